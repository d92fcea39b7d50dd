//! Steps to requests and calls. This is the only file with clients, and it knows no rule.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use csi::v1::{CapacityRange, ControllerExpandVolumeRequest};
use csi::{Channel, Class, Operation, classify_status};
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use runtime::objects::{Claim, Quantity, SecretName, Volume};
use runtime::{ApiError, ApiErrorClass, Cache, ObjectKey, Recorder, Writer};
use tonic::{Code, Status};

use crate::observe::{Failure, Grown, SecretAnswer, SecretRead};
use crate::patch;
use crate::plan::{Expand, Notice, Step};

/// The longest wait for an answer of the API server (resize.md section 6).
const API_TIMEOUT: Duration = Duration::from_secs(30);

/// What a step brought.
#[derive(Debug)]
pub(crate) enum Done {
    /// The object was written, and the overlay knows; or an event was recorded.
    Written,
    /// A Secret was read.
    Secret(SecretRead),
    /// The driver answered.
    Expanded(Result<Grown, Failure>),
}

/// Which object a refused request was about.
#[derive(Debug)]
pub(crate) enum Refused {
    Claim(ApiError),
    Volume(ApiError),
    Other(ApiError),
}

/// The clients.
pub(crate) struct Executor {
    pub(crate) claims: Cache<Claim>,
    pub(crate) volumes: Cache<Volume>,
    pub(crate) claim_writer: Writer<Claim>,
    pub(crate) volume_writer: Writer<Volume>,
    pub(crate) secrets: Writer<Secret>,
    pub(crate) recorder: Recorder,
    pub(crate) driver: Channel,
    pub(crate) timeout: Duration,
}

impl Executor {
    /// Takes one step for the objects as they were observed.
    pub(crate) async fn take(
        &self,
        claim: &Claim,
        volume: Option<&Volume>,
        step: &Step,
        secret: Option<&SecretRead>,
    ) -> Result<Done, Refused> {
        match (step, volume) {
            (Step::ReadSecret(secret), _) => {
                let read = self.read(secret).await.map_err(Refused::Other)?;
                return Ok(Done::Secret(read));
            }
            (Step::Expand(call), _) => return Ok(Done::Expanded(self.expand(call, secret).await)),
            (Step::Tell(notice), _) => self.tell(claim, notice),
            (Step::Claim(change), _) => {
                let (key, patch) = (ObjectKey::of(claim), patch::of_claim(claim, change));
                let sent = within_limit(self.claim_writer.patch_merge_status(&key, &patch));
                self.claims.record(sent.await.map_err(Refused::Claim)?);
            }
            (Step::Volume(change), Some(volume)) => {
                let (key, patch) = (ObjectKey::of(volume), patch::of_volume(volume, *change));
                let sent = within_limit(self.volume_writer.patch_merge(&key, &patch));
                self.volumes.record(sent.await.map_err(Refused::Volume)?);
            }
            // A plan without a volume writes none.
            (Step::Volume(_), None) => {}
        }
        Ok(Done::Written)
    }

    fn tell(&self, claim: &Claim, notice: &Notice) {
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("PersistentVolumeClaim".to_owned()),
            namespace: claim.metadata.namespace.clone(),
            name: claim.metadata.name.clone(),
            uid: claim.metadata.uid.clone(),
            resource_version: claim.metadata.resource_version.clone(),
            ..ObjectReference::default()
        };
        self.recorder
            .event(&about, notice.kind, notice.reason, notice.message.clone());
    }

    async fn read(&self, secret: &SecretName) -> Result<SecretRead, ApiError> {
        let key = ObjectKey::new(&secret.namespace, &secret.name);
        let answer = match within_limit(self.secrets.get(&key)).await {
            Ok(found) => SecretAnswer::Found(texts(found)),
            Err(error) => match error.class() {
                ApiErrorClass::NotFound => SecretAnswer::Refused("it does not exist".to_owned()),
                ApiErrorClass::Forbidden | ApiErrorClass::Invalid => SecretAnswer::Refused(error.to_string()),
                _ => return Err(error),
            },
        };
        Ok(SecretRead {
            secret: secret.clone(),
            answer,
        })
    }

    async fn expand(&self, call: &Expand, secret: Option<&SecretRead>) -> Result<Grown, Failure> {
        let secrets = match secret.map(|read| &read.answer) {
            Some(SecretAnswer::Found(data)) => data.clone(),
            _ => BTreeMap::new(),
        };
        let asked = ControllerExpandVolumeRequest {
            volume_id: call.volume_handle.clone(),
            capacity_range: Some(CapacityRange {
                required_bytes: call.target.bytes(),
                limit_bytes: 0,
            }),
            secrets: secrets.clone(),
            volume_capability: Some(call.capability.clone()),
        };
        let mut request = csi::channel::request(asked, self.timeout);
        if call.single_change {
            csi::hints::attach_single_change(&mut request);
        }
        let answered = self.driver.controller().controller_expand_volume(request).await;
        let answer = answered
            .map_err(|status| failure(&status, &secrets))?
            .into_inner();
        if answer.capacity_bytes < call.target.bytes() {
            return Err(too_small(answer.capacity_bytes, call.target));
        }
        Ok(Grown {
            capacity: if answer.capacity_bytes == call.target.bytes() {
                // In the user's form.
                call.target
            } else {
                Quantity::from_bytes(answer.capacity_bytes)
            },
            node_stage: answer.node_expansion_required,
        })
    }
}

/// An answer that is no size, or too small a one, must not be written (Q9).
fn too_small(answered: i64, target: Quantity) -> Failure {
    Failure {
        class: Class::Final,
        code: Some(Code::Internal),
        text: format!(
            "rpc error: code = Internal desc = the CSI driver answered a capacity of {answered} bytes where {} were \
             asked for",
            target.bytes()
        ),
        retry_after: None,
    }
}

fn failure(status: &Status, secrets: &BTreeMap<String, String>) -> Failure {
    Failure {
        class: classify_status(Operation::ExpandVolume, status),
        code: Some(status.code()),
        text: csi::status::error_text_without(status, secrets.values()),
        retry_after: csi::retry::delay(status),
    }
}

/// CSI wants text. What is none is passed on as far as it can be.
fn texts(secret: Secret) -> BTreeMap<String, String> {
    let data = secret.data.unwrap_or_default();
    data.into_iter()
        .map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned()))
        .collect()
}

async fn within_limit<T>(request: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    tokio::time::timeout(API_TIMEOUT, request)
        .await
        .unwrap_or_else(|_| Err(ApiError::no_answer("no answer of the API server within 30 s")))
}
