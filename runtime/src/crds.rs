//! Waiting for custom resource definitions. Sources: snapshot 2.1, decision 4.

use std::fmt;
use std::time::Duration;

use base::http::ReadyHandle;
use base::metrics::register;
use kube::api::ListParams;
use kube::core::{ApiResource, Request};
use prometheus::{IntGaugeVec, Opts, Registry};
use serde::de::IgnoredAny;
use tokio::time::Instant;

use crate::client::explain;
use crate::request::{AnswerWithin, WHOLE_ANSWER};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// While waiting for ever; new definitions are noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const LOG_EVERY: Duration = Duration::from_secs(60);
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often kinds are asked for that a cluster may do without.
const SELDOM: Duration = Duration::from_secs(120);
/// Upstream's lower bound of `--retry-crd-interval-max`.
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As upstream's snapshot-controller; at least 1 s.
    AtMost(Duration),
    /// With one log line a minute.
    Endless,
}

/// Definitions that did not appear in time; the process ends with exit 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct CrdsMissing {
    /// What was missing, and why as far as known.
    pub missing: Vec<Missing>,
}

/// One definition that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `volumesnapshots.snapshot.storage.k8s.io/v1`.
    pub definition: String,
    /// What the probe met; `None` when the API server does not know the kind.
    pub obstacle: Option<String>,
}

impl CrdsMissing {
    fn summary(&self) -> String {
        let absent: Vec<&str> = self
            .missing
            .iter()
            .filter(|missing| missing.obstacle.is_none())
            .map(|missing| missing.definition.as_str())
            .collect();
        let mut lines = Vec::new();
        if !absent.is_empty() {
            lines.push(format!(
                "custom resource definitions are missing: {}; install them with \
                 `slackwater crds | kubectl apply --server-side -f -`",
                absent.join(", ")
            ));
        }
        // One reason usually holds for all.
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for missing in &self.missing {
            if let Some(obstacle) = &missing.obstacle {
                match reasons.iter_mut().find(|(reason, _)| reason == obstacle) {
                    Some((_, definitions)) => definitions.push(&missing.definition),
                    None => reasons.push((obstacle, vec![&missing.definition])),
                }
            }
        }
        lines.extend(
            reasons
                .into_iter()
                .map(|(reason, definitions)| format!("cannot list {}: {reason}", definitions.join(", "))),
        );
        lines.join("; ")
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.definition)
    }
}

/// `slackwater_waiting_for_crds`: 1 for each kind that is waited for.
#[derive(Clone, Debug)]
pub struct WaitingGauge(IntGaugeVec);

impl WaitingGauge {
    /// In the registry of a function, once.
    ///
    /// # Errors
    /// When the registry has it already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "slackwater_waiting_for_crds",
            "1 while the custom resource definition of a kind is waited for.",
        );
        Ok(Self(register(registry, IntGaugeVec::new(opts, &["kind"])?)?))
    }

    fn set(&self, kind: &str, waiting: bool) {
        self.0.with_label_values(&[kind]).set(waiting.into());
    }
}

/// Probes every kind with a LIST of one object until all answer; each probe that succeeded is not repeated.
/// Pauses grow from 100 ms by half.
///
/// `remark` shows on `/readyz?verbose` what is waited for; waiting never makes the process unready.
///
/// # Errors
/// [`CrdsMissing`] when patience ends.
pub async fn wait_for_crds(
    client: &kube::Client,
    kinds: &[ApiResource],
    patience: Patience,
    gauge: Option<&WaitingGauge>,
    remark: Option<&ReadyHandle>,
) -> Result<(), CrdsMissing> {
    let deadline = match patience {
        Patience::AtMost(limit) => Some(Instant::now() + limit.max(SHORTEST_LIMIT)),
        Patience::Endless => None,
    };
    let mut kinds: Vec<&ApiResource> = kinds.iter().collect();
    let mut pause = FIRST_PAUSE;
    let mut logged: Option<Instant> = None;
    loop {
        let missing = probe_all(client, &mut kinds, gauge).await;
        if missing.missing.is_empty() {
            if let Some(remark) = remark {
                remark.ready();
            }
            return Ok(());
        }
        if let Some(remark) = remark {
            remark.remark(&missing.to_string());
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Err(missing);
        }
        if logged.is_none_or(|at| now.duration_since(at) >= LOG_EVERY) {
            tracing::warn!("waiting: {missing}");
            logged = Some(now);
        }
        let until = deadline.map_or(now + pause, |deadline| deadline.min(now + pause));
        tokio::time::sleep_until(until).await;
        pause = (pause * 3 / 2).min(if deadline.is_some() {
            Duration::MAX / 4
        } else {
            LONGEST_PAUSE
        });
    }
}

/// Whether the API server serves some kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// All of them.
    Yes,
    /// This one is not known, or may not be listed.
    No(Missing),
    /// Of this one the answer told nothing.
    Unclear(Missing),
}

/// Asks for each kind with a LIST of one object, up to the first that is not served.
pub async fn are_served(client: &kube::Client, kinds: &[ApiResource]) -> Served {
    for kind in kinds {
        let Err(obstacle) = probe(client, kind).await else {
            continue;
        };
        let is_final = obstacle.as_ref().is_none_or(|obstacle| obstacle.is_final);
        let missing = Missing::of(kind, obstacle);
        return match is_final {
            true => Served::No(missing),
            false => Served::Unclear(missing),
        };
    }
    Served::Yes
}

/// Resolves once the API server serves all these kinds, which a cluster may do without: then that is never. A definite no is
/// the last word for two minutes and `told` when it is another one than before; what gives no verdict is asked again within
/// seconds.
pub async fn until_served(client: &kube::Client, kinds: &[ApiResource], mut told: impl FnMut(&CrdsMissing)) {
    let (mut pause, mut last) = (FIRST_PAUSE, None);
    loop {
        let missing = match are_served(client, kinds).await {
            Served::Yes => return,
            Served::No(missing) => missing,
            Served::Unclear(_) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        let missing = CrdsMissing {
            missing: vec![missing],
        };
        if last.as_ref() != Some(&missing) {
            told(&missing);
            last = Some(missing);
        }
        pause = FIRST_PAUSE;
        tokio::time::sleep(SELDOM).await;
    }
}

/// What keeps a kind from being listed.
struct Obstacle {
    text: String,
    /// Asking again changes nothing.
    is_final: bool,
}

impl Missing {
    fn of(kind: &ApiResource, obstacle: Option<Obstacle>) -> Self {
        Self {
            definition: format!("{}.{}/{}", kind.plural, kind.group, kind.version),
            obstacle: obstacle.map(|obstacle| obstacle.text),
        }
    }
}

/// One LIST of one object for each kind; those that answer are taken out of `kinds`.
async fn probe_all(
    client: &kube::Client,
    kinds: &mut Vec<&ApiResource>,
    gauge: Option<&WaitingGauge>,
) -> CrdsMissing {
    let mut missing = Vec::new();
    let mut left = Vec::new();
    for kind in kinds.drain(..) {
        let obstacle = probe(client, kind).await;
        if let Some(gauge) = gauge {
            gauge.set(&kind.kind, obstacle.is_err());
        }
        if let Err(obstacle) = obstacle {
            missing.push(Missing::of(kind, obstacle));
            left.push(kind);
        }
    }
    *kinds = left;
    CrdsMissing { missing }
}

/// `Err(None)` when the API server does not know the kind.
async fn probe(client: &kube::Client, kind: &ApiResource) -> Result<(), Option<Obstacle>> {
    let passing = |text| {
        Some(Obstacle {
            text,
            is_final: false,
        })
    };
    let path = format!("/apis/{}/{}/{}", kind.group, kind.version, kind.plural);
    let mut request = Request::new(path)
        .list(&ListParams::default().limit(1))
        .map_err(|error| passing(error.to_string()))?;
    request.extensions_mut().insert(AnswerWithin(PROBE_TIMEOUT));
    match tokio::time::timeout(WHOLE_ANSWER, client.request::<IgnoredAny>(request)).await {
        Ok(Ok(_)) => Ok(()),
        // Of a group that nobody serves the API server says so in plain text, which is no NotFound of an object.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(None),
        Ok(Err(error)) => Err(Some(Obstacle {
            text: explain(&error),
            is_final: matches!(&error, kube::Error::Api(status) if status.code == 403),
        })),
        Err(_) => Err(passing("the API server does not answer".to_owned())),
    }
}
