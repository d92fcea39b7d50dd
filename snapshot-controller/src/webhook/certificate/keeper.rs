//! Requests for certificates: Secret and definition are read, the step that is due is taken. Knows no rule.
//!
//! Replicas need no leader: a Secret is replaced at the version that was read, and the definition is read before the Secret
//! and changed at that version, so that nobody writes from a state that has passed. Who was slower looks again.

use std::time::Duration;

use base::Clock;
use base::http::{Tls, TlsError};
use controller::patch;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, WebhookClientConfig, WebhookConversion,
};
use runtime::json_patch::Patch;
use runtime::{ApiError, ApiErrorClass, ObjectKey, Writer};
use serde_json::json;

use super::issue::{self, IssueError};
use super::plan::{Pair, Seen, Step, Stored, Trust, plan};
use super::secret;
use crate::webhook::NAME;

/// The definition whose versions differ.
const DEFINITION: &str = "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io";
/// How often Secret and definition are looked at.
pub const PERIOD: Duration = Duration::from_secs(60);
/// The pause after a failure, while there is nothing to serve yet.
const PAUSE: Duration = Duration::from_secs(2);
/// Steps of one look: at the beginning there are three, and each may lose a race.
const MOST_STEPS: usize = 8;

/// Where certificates are kept, and for whom they are.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Secret.
    pub secret: ObjectKey,
    /// The names of the server.
    pub names: Vec<String>,
    /// How the API server reaches it, without the bundle.
    pub client: WebhookClientConfig,
    /// How often Secret and definition are looked at: [`PERIOD`].
    pub period: Duration,
}

/// Keeps the certificates of one replica.
pub struct Keeper {
    secrets: Writer<Secret>,
    definitions: Writer<CustomResourceDefinition>,
    options: Options,
    clock: Clock,
    /// The bundle that the definition has, and since when as far as was seen.
    shown: Option<(String, Timestamp)>,
    told: Option<String>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The Secret cannot be read or written.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// None can be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// What is stored cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Others are faster all the time.
    #[error("the Secret changes faster than it can be read")]
    Busy,
}

/// The definition, as far as it is of use.
struct Definition {
    version: Option<String>,
    conversion: Option<CustomResourceConversion>,
}

impl Keeper {
    /// Sends nothing yet.
    #[must_use]
    pub fn new(client: &kube::Client, options: Options, clock: &Clock) -> Self {
        Self {
            secrets: Writer::new(client, NAME),
            definitions: Writer::new(client, NAME),
            options,
            clock: clock.clone(),
            shown: None,
            told: None,
        }
    }

    /// The first certificate, as soon as there is one.
    pub async fn first(&mut self) -> Tls {
        loop {
            let served = match self.look().await {
                Ok(pair) => Tls::from_pem(&pair.certificate, &pair.key).map_err(KeepError::from),
                Err(error) => Err(error),
            };
            match served {
                Ok(tls) => return tls,
                Err(error) => self.tell(&format!("there is no certificate yet: {error}")),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Looks again and again, for ever, and serves what is stored.
    pub async fn keep(mut self, tls: Tls) {
        loop {
            tokio::time::sleep(self.options.period).await;
            let renewed = match self.look().await {
                Ok(pair) => tls.renew(&pair.certificate, &pair.key).map_err(KeepError::from),
                Err(error) => Err(error),
            };
            match renewed {
                Ok(true) => tracing::info!("took the renewed certificate"),
                Ok(false) => {}
                Err(error) => self.tell(&format!("the former certificate stays in use: {error}")),
            }
        }
    }

    /// Takes what is due; the pair that is to be served.
    ///
    /// # Errors
    /// [`KeepError`]. A definition that cannot be written is told in the log: what is trusted may be right all the same.
    pub async fn look(&mut self) -> Result<Pair, KeepError> {
        for _ in 0..MOST_STEPS {
            let definition = self.definition().await;
            let secret = self.secret().await?;
            let stored = secret.as_ref().and_then(secret::read);
            let now = self.clock.now();
            let trust = self.trust(definition.as_ref(), stored.as_ref(), now);
            let seen = Seen {
                stored: stored.as_ref(),
                names: &self.options.names,
                trust,
                now,
            };
            let due = plan(&seen);
            let pair = || issue::pair(&self.options.names, now);
            let next = match (due, stored) {
                (None, Some(stored)) => return Ok(stored.current),
                (Some(Step::Trust), Some(stored)) => {
                    if let Err(error) = self.make_trusted(definition.as_ref(), &stored).await {
                        self.tell(&format!("the definition does not name this webhook: {error}"));
                        return Ok(stored.current);
                    }
                    continue;
                }
                (Some(Step::Prepare), Some(stored)) => stored.prepared(pair()?),
                (Some(Step::Promote), Some(stored)) => stored.promoted(),
                (_, None) | (Some(Step::Begin), Some(_)) => Stored::begun(pair()?),
            };
            self.store(secret.as_ref(), &next).await?;
        }
        Err(KeepError::Busy)
    }

    async fn secret(&self) -> Result<Option<Secret>, ApiError> {
        match self.secrets.get(&self.options.secret).await {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if error.class() == ApiErrorClass::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates or replaces the Secret. Who was slower than another replica has written nothing.
    async fn store(&self, before: Option<&Secret>, stored: &Stored) -> Result<(), ApiError> {
        let secret = secret::written(before, &self.options.secret, stored);
        let written = match before {
            None => self.secrets.create(&secret).await,
            Some(_) => self.secrets.replace(&secret).await,
        };
        match written {
            Ok(_) => Ok(()),
            Err(error) => match error.class() {
                ApiErrorClass::Conflict | ApiErrorClass::AlreadyExists => Ok(()),
                _ => Err(error),
            },
        }
    }

    async fn definition(&mut self) -> Option<Definition> {
        match self.definitions.get(&ObjectKey::cluster(DEFINITION)).await {
            Ok(definition) => Some(Definition {
                version: definition.metadata.resource_version,
                conversion: definition.spec.conversion,
            }),
            Err(error) => {
                self.tell(&format!("cannot see who converts: {error}"));
                None
            }
        }
    }

    /// What the definition says, and since when.
    fn trust(
        &mut self,
        definition: Option<&Definition>,
        stored: Option<&Stored>,
        now: Timestamp,
    ) -> Option<Trust> {
        let (definition, stored) = (definition?, stored?);
        let bundle = stored.bundle();
        if definition.conversion.as_ref() != Some(&self.conversion(&bundle)) {
            self.shown = None;
            return Some(Trust::Lacking);
        }
        let known = self.shown.take().filter(|(shown, _)| *shown == bundle);
        let (_, since) = self.shown.insert(known.unwrap_or((bundle, now)));
        Some(Trust::Since(*since))
    }

    /// The stanza that names this webhook and who vouches for it.
    fn conversion(&self, bundle: &str) -> CustomResourceConversion {
        CustomResourceConversion {
            strategy: "Webhook".to_owned(),
            webhook: Some(WebhookConversion {
                client_config: Some(WebhookClientConfig {
                    ca_bundle: Some(ByteString(bundle.as_bytes().to_vec())),
                    ..self.options.client.clone()
                }),
                conversion_review_versions: vec!["v1".to_owned()],
            }),
        }
    }

    async fn make_trusted(&self, definition: Option<&Definition>, stored: &Stored) -> Result<(), ApiError> {
        let version = definition.and_then(|definition| definition.version.clone());
        let conversion = self.conversion(&stored.bundle());
        let operations = vec![
            patch::test(&["metadata", "resourceVersion"], json!(version)),
            patch::add(&["spec", "conversion"], json!(conversion)),
        ];
        let key = ObjectKey::cluster(DEFINITION);
        match self.definitions.patch_json(&key, Patch(operations)).await {
            Ok(_) => {
                tracing::info!(
                    definition = DEFINITION,
                    "wrote how this webhook is reached and trusted"
                );
                Ok(())
            }
            Err(error) if error.class() == ApiErrorClass::Conflict => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Each trouble once.
    fn tell(&mut self, text: &str) {
        if self.told.as_deref() != Some(text) {
            tracing::warn!("{text}");
            self.told = Some(text.to_owned());
        }
    }
}
