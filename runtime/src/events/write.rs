//! Writes Events: POST first, PATCH for repeats.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::panics::text_of;
use base::{Clock, Random};
use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Request;
use serde_json::json;

use super::correlate::{Correlator, Standing, Verdict};
use super::{Occurrence, Outcomes};
use crate::error::{ApiError, ApiErrorClass};
use crate::request::{built, path, tell};

/// Tries of one write whose failure may pass.
const TRIES: u32 = 3;
/// Limit of one request, from when it is sent.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest name of an object, less a dot and 16 hexadecimal digits.
const LONGEST_PREFIX: usize = 253 - 17;

pub(super) struct Writer {
    client: kube::Client,
    clock: Clock,
    random: Random,
    outcomes: Outcomes,
    correlator: Correlator,
    stamps: Stamps,
}

/// Nanoseconds for the names of events, none given twice. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Stamps(Arc<Mutex<i128>>);

impl Stamps {
    fn next(&self, at: Timestamp) -> i128 {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = at.as_nanosecond().max(*last + 1);
        *last
    }
}

/// Why one try of a write failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("not found")]
    NotFound,
    #[error("the name is taken")]
    AlreadyExists,
    #[error("{0}")]
    Passing(String),
    #[error("{0}")]
    Final(String),
}

impl Writer {
    pub(super) fn new(
        client: kube::Client,
        clock: Clock,
        random: Random,
        stamps: Stamps,
        outcomes: Outcomes,
    ) -> Self {
        Self {
            client,
            clock,
            random,
            outcomes,
            correlator: Correlator::new(),
            stamps,
        }
    }

    /// Writes an occurrence if it is due. Failures are counted and logged, nothing more. A panic is the failure of this
    /// occurrence, as one in a key's run is that key's: the writer goes on with the next.
    pub(super) async fn record(&mut self, occurrence: Occurrence) {
        let component = occurrence.component.clone();
        let written = AssertUnwindSafe(self.record_one(occurrence)).catch_unwind().await;
        if let Err(caught) = written {
            tracing::error!("writing an event panicked: {}", text_of(caught.as_ref()));
            self.outcomes.count(&component, "failed");
        }
    }

    async fn record_one(&mut self, mut occurrence: Occurrence) {
        let (key, verdict) = self.correlator.judge(&mut occurrence);
        let (outcome, result) = match verdict {
            Verdict::Nothing => return self.count(&occurrence, "suppressed"),
            Verdict::Create { count, first } => ("created", self.create(&occurrence, count, first).await),
            Verdict::Update {
                count,
                first,
                standing,
            } => {
                match self.update(&occurrence, count, standing).await {
                    // Events live for an hour or so: the first one is gone.
                    Err(Failure::NotFound) => ("created", self.create(&occurrence, count, first).await),
                    other => ("updated", other),
                }
            }
        };
        match result {
            Ok(standing) => {
                self.correlator.written(&key, standing, self.clock.now());
                self.count(&occurrence, outcome);
            }
            Err(failure) => {
                self.count(&occurrence, "failed");
                let (about, reason) = (&occurrence.about, occurrence.reason);
                let name = about.name.as_deref().unwrap_or_default();
                let namespace = about.namespace.as_deref().unwrap_or_default();
                tracing::debug!(namespace, name, reason, %failure, "event not written");
            }
        }
    }

    async fn create(
        &mut self,
        occurrence: &Occurrence,
        count: i32,
        first: Timestamp,
    ) -> Result<Standing, Failure> {
        let mut event = event(occurrence, count, first, self.stamps.next(occurrence.at));
        let mut tries = 0;
        loop {
            let name = event.metadata.name.clone().unwrap_or_default().into_boxed_str();
            let body = serde_json::to_vec(&event).map_err(|error| Failure::Final(error.to_string()))?;
            let create = |request: Request| request.create(&PostParams::default(), body);
            match self.send(occurrence, create).await {
                Ok(()) => return Ok(Standing { name }),
                // A lost answer to our own first try; the name belongs to this occurrence.
                Err(Failure::AlreadyExists) if tries > 0 => return Ok(Standing { name }),
                // Another recorder in the same nanosecond.
                Err(Failure::AlreadyExists) => {
                    let stamp = self.stamps.next(occurrence.at);
                    event.metadata.name = Some(event_name(occurrence, stamp));
                }
                Err(Failure::Passing(_)) if tries + 1 < TRIES => {}
                Err(failure) => return Err(failure),
            }
            self.pause(tries).await;
            tries += 1;
        }
    }

    async fn update(
        &self,
        occurrence: &Occurrence,
        count: i32,
        standing: Standing,
    ) -> Result<Standing, Failure> {
        let patch = Patch::Merge(
            json!({ "count": count, "lastTimestamp": Time(occurrence.at), "message": occurrence.message }),
        );
        let mut tries = 0;
        loop {
            let patch = |request: Request| request.patch(&standing.name, &PatchParams::default(), &patch);
            match self.send(occurrence, patch).await {
                Ok(()) => return Ok(standing),
                Err(Failure::Passing(_)) if tries + 1 < TRIES => {}
                Err(failure) => return Err(failure),
            }
            self.pause(tries).await;
            tries += 1;
        }
    }

    /// Sends it beside the object that it is about.
    async fn send(
        &self,
        occurrence: &Occurrence,
        build: impl FnOnce(Request) -> Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(), Failure> {
        let request = built(build(Request::new(path::<Event>(
            None,
            Some(namespace(occurrence)),
        ))))?;
        Ok(tell(&self.client, request, REQUEST_TIMEOUT).await?)
    }

    /// 1 s, 4 s, with jitter.
    async fn pause(&self, tries: u32) {
        tokio::time::sleep(self.random.jittered(Duration::from_secs(4_u64.pow(tries)), 0.2)).await;
    }

    fn count(&self, occurrence: &Occurrence, outcome: &str) {
        self.outcomes.count(&occurrence.component, outcome);
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error.class() {
            ApiErrorClass::NotFound => Self::NotFound,
            ApiErrorClass::AlreadyExists => Self::AlreadyExists,
            ApiErrorClass::Transient | ApiErrorClass::Conflict => Self::Passing(error.to_string()),
            _ => Self::Final(error.to_string()),
        }
    }
}

fn event_name(occurrence: &Occurrence, stamp: i128) -> String {
    let name = occurrence.about.name.as_deref().unwrap_or("unknown");
    let prefix = &name[..name.floor_char_boundary(LONGEST_PREFIX)];
    format!("{}.{stamp:x}", prefix.trim_end_matches(['.', '-']))
}

/// Where the Event lies: beside its object.
fn namespace(occurrence: &Occurrence) -> &str {
    let namespace = occurrence.about.namespace.as_deref();
    namespace
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or("default")
}

fn event(occurrence: &Occurrence, count: i32, first: Timestamp, stamp: i128) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(event_name(occurrence, stamp)),
            namespace: Some(namespace(occurrence).to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: occurrence.about.clone(),
        reason: Some(occurrence.reason.to_owned()),
        message: Some(occurrence.message.clone()),
        type_: Some(occurrence.kind.as_str().to_owned()),
        source: Some(EventSource {
            component: Some(occurrence.component.to_string()),
            host: None,
        }),
        reporting_component: Some(occurrence.component.to_string()),
        reporting_instance: Some(String::new()),
        count: Some(count),
        first_timestamp: Some(Time(first)),
        last_timestamp: Some(Time(occurrence.at)),
        ..Event::default()
    }
}
