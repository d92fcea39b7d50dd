//! Recorder of core/v1 Events: asynchronous, bounded, aggregating.
//!
//! ```text
//! event() -> bounded queue of a lane -> correlate (repeat? similar?) -> POST first, PATCH for repeats
//! ```
//! What concerns one object goes through one lane, in order; the lanes write side by side.
//! Recording never waits and never fails work: what cannot be queued or written is counted and dropped.
//! Sources: decisions 6 and 35, snapshot 2.12, journeys 5.2.

mod correlate;
mod recent;
mod write;

use std::sync::Arc;
use std::time::Duration;

use base::metrics::register;
use base::{Clock, Random, Scope};
use k8s_openapi::api::core::v1::ObjectReference;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::sync::{mpsc, oneshot};

use crate::Context;

/// Events that are written at the same time.
const LANES: u64 = 4;
/// Events that may wait in one lane to be written; more are dropped and counted.
const QUEUE_LENGTH: usize = 1_000;

/// How the reader should take an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// Things go as they should.
    Normal,
    /// Something needs attention.
    Warning,
}

impl EventType {
    /// The text in the Event object.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What was said about one object at one moment.
#[derive(Clone, Debug)]
struct Occurrence {
    about: ObjectReference,
    component: Arc<str>,
    kind: EventType,
    reason: &'static str,
    message: String,
    at: jiff::Timestamp,
}

enum Order {
    Record(Box<Occurrence>),
    Flush(oneshot::Sender<()>),
}

/// Records events about objects. Cheap to clone; clones share the queues and the memory of what was said.
///
/// When the last clone is dropped, what was not written is lost: call [`Recorder::flush`] at the end of
/// `run`.
#[derive(Clone)]
pub struct Recorder {
    component: Arc<str>,
    clock: Clock,
    lanes: Arc<[mpsc::Sender<Order>]>,
    outcomes: Outcomes,
    /// The writing tasks live here: they end with the last clone or with the scope of the function.
    _scope: Scope,
}

impl Recorder {
    /// A recorder whose events name `component` as their source.
    ///
    /// One a function: further components of it are [`Recorder::with_component`], else their counts are not
    /// in the registry.
    #[must_use]
    pub fn new(context: &Context, component: &str) -> Self {
        Self::from_parts(
            context.client.clone(),
            &context.clock,
            &context.random,
            &context.scope,
            &context.registry,
            component,
        )
    }

    /// The same from its parts.
    #[must_use]
    pub fn from_parts(
        client: kube::Client,
        clock: &Clock,
        random: &Random,
        scope: &Scope,
        registry: &Registry,
        component: &str,
    ) -> Self {
        let outcomes = Outcomes::new(registry);
        let scope = scope.child();
        let stamps = write::Stamps::default();
        let lanes = (0..LANES).map(|_| {
            let (orders, queue) = mpsc::channel(QUEUE_LENGTH);
            let (clock, random, stamps) = (clock.clone(), random.clone(), stamps.clone());
            let writer = write::Writer::new(client.clone(), clock, random, stamps, outcomes.clone());
            scope.spawn_named("writer of events", work(queue, writer));
            orders
        });
        Self {
            component: component.into(),
            clock: clock.clone(),
            lanes: lanes.collect(),
            outcomes,
            _scope: scope,
        }
    }

    /// A handle on the same queues whose events name another component.
    #[must_use]
    pub fn with_component(&self, component: &str) -> Self {
        Self {
            component: component.into(),
            ..self.clone()
        }
    }

    /// Records an event. Returns at once; the message is cut at 1,024 bytes.
    ///
    /// `about` should carry apiVersion, kind, namespace (empty for cluster-scoped objects, whose events lie
    /// in `default`), name, uid and resourceVersion.
    pub fn event(&self, about: &ObjectReference, kind: EventType, reason: &'static str, message: String) {
        let occurrence = Box::new(Occurrence {
            about: about.clone(),
            component: self.component.clone(),
            kind,
            reason,
            message: cut(message),
            at: self.clock.now(),
        });
        let lane = self.lane(about);
        if lane.is_none_or(|lane| lane.try_send(Order::Record(occurrence)).is_err()) {
            self.outcomes.count(&self.component, "dropped");
        }
    }

    /// The same one for all that is said about an object.
    fn lane(&self, about: &ObjectReference) -> Option<&mpsc::Sender<Order>> {
        let about = correlate::hash(&(&about.kind, &about.namespace, &about.name, &about.uid));
        self.lanes.get(usize::try_from(about % LANES).ok()?)
    }

    /// Waits until all that was recorded before is written or given up, but not longer than `within`.
    /// False when time ran out.
    pub async fn flush(&self, within: Duration) -> bool {
        let lanes = self.lanes.iter().map(async |lane| {
            let (done, flushed) = oneshot::channel();
            lane.send(Order::Flush(done)).await.is_ok() && flushed.await.is_ok()
        });
        let flushed = futures::future::join_all(lanes);
        let flushed = tokio::time::timeout(within, flushed).await;
        flushed.is_ok_and(|lanes| lanes.into_iter().all(|flushed| flushed))
    }
}

async fn work(mut queue: mpsc::Receiver<Order>, mut writer: write::Writer) {
    while let Some(order) = queue.recv().await {
        match order {
            Order::Record(occurrence) => writer.record(*occurrence).await,
            Order::Flush(done) => {
                // Nobody waits any more: nothing to tell.
                let _ = done.send(());
            }
        }
    }
}

/// Counts what becomes of events; without a place in the registry it counts for nobody.
#[derive(Clone)]
struct Outcomes(Option<IntCounterVec>);

impl Outcomes {
    fn new(registry: &Registry) -> Self {
        let help = "Events by what became of them: created, updated, suppressed (repeated too soon), failed, dropped.";
        let counter = IntCounterVec::new(
            Opts::new("slackwater_events_total", help),
            &["component", "outcome"],
        );
        Self(counter.and_then(|counter| register(registry, counter)).ok())
    }

    fn count(&self, component: &str, outcome: &str) {
        if let Some(counter) = &self.0 {
            counter.with_label_values(&[component, outcome]).inc();
        }
    }
}

/// The longest beginning of at most 1,024 bytes.
fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(1_024));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_between_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        assert_eq!(cut("x".repeat(2_000)).len(), 1_024);
        assert_eq!(cut(format!("x{}", "é".repeat(1_000))).len(), 1_023);
    }
}
