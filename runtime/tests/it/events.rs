//! The recorder against a small API server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::{Clock, Random, Scope};
use k8s_openapi::api::core::v1::ObjectReference;
use prometheus::Registry;
use runtime::{EventType, Recorder};
use serde_json::{Value, json};

use crate::store::{Fault, Store};

const EVENTS: &str = "/api/v1/namespaces/shop/events";

struct World {
    store: Store,
    registry: Registry,
    scope: Scope,
    recorder: Recorder,
}

fn world() -> World {
    let (store, registry, scope) = (Store::default(), Registry::new(), Scope::new());
    let clock = Clock::simulated("2026-11-21T10:00:00Z".parse().unwrap());
    let recorder = Recorder::from_parts(
        store.client(),
        &clock,
        &Random::seeded(1),
        &scope,
        &registry,
        "csi-snapshotter ebs.csi.aws.com",
    );
    World {
        store,
        registry,
        scope,
        recorder,
    }
}

fn snapshot(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("snapshot.storage.k8s.io/v1".to_owned()),
        kind: Some("VolumeSnapshot".to_owned()),
        namespace: Some("shop".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(format!("u-{name}")),
        resource_version: Some("7".to_owned()),
        field_path: None,
    }
}

impl World {
    async fn say(&self, message: &str) {
        self.recorder.event(
            &snapshot("s"),
            EventType::Warning,
            "SnapshotFailed",
            message.to_owned(),
        );
        assert!(self.recorder.flush(Duration::from_secs(60)).await);
    }

    fn outcome(&self, outcome: &str) -> f64 {
        let families = self.registry.gather();
        let metrics = families
            .iter()
            .flat_map(prometheus::proto::MetricFamily::get_metric);
        metrics
            .filter(|metric| metric.get_label().iter().any(|label| label.value() == outcome))
            .map(|metric| metric.get_counter().get_value())
            .sum()
    }

    fn event(&self) -> Value {
        let events = self.store.objects(EVENTS);
        assert_eq!(events.len(), 1, "{events:?}");
        events[0].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_event_is_a_post_and_a_repeat_a_patch() {
    let world = world();
    world.say("no luck").await;
    let event = world.event();
    let name = "s.18ea0717bd2c4000";
    assert_eq!(
        event,
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": name, "namespace": "shop", "resourceVersion": "1", "uid": "uid-0" },
            "involvedObject": {
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "namespace": "shop",
                "name": "s", "uid": "u-s", "resourceVersion": "7",
            },
            "type": "Warning",
            "reason": "SnapshotFailed",
            "message": "no luck",
            "source": { "component": "csi-snapshotter ebs.csi.aws.com" },
            "reportingComponent": "csi-snapshotter ebs.csi.aws.com",
            "reportingInstance": "",
            "count": 1,
            "firstTimestamp": "2026-11-21T10:00:00Z",
            "lastTimestamp": "2026-11-21T10:00:00Z",
        })
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.say("no luck").await;
    tokio::time::sleep(Duration::from_secs(241)).await;
    world.say("no luck").await;
    assert_eq!(
        world.store.take_lines(),
        [format!("POST {EVENTS}"), format!("PATCH {EVENTS}/{name}")]
    );
    let event = world.event();
    assert_eq!(
        (&event["count"], &event["lastTimestamp"]),
        (&json!(3), &json!("2026-11-21T10:05:01Z"))
    );
    assert_eq!(event["firstTimestamp"], "2026-11-21T10:00:00Z");
    let outcomes = ["created", "updated", "suppressed"].map(|outcome| world.outcome(outcome));
    assert!(
        outcomes.iter().all(|count| (count - 1.0).abs() < f64::EPSILON),
        "{outcomes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_repeat_of_an_expired_event_is_a_new_one_with_the_old_count() {
    let world = world();
    world.say("no luck").await;
    world.store.remove(&format!("{EVENTS}/s.18ea0717bd2c4000"));
    tokio::time::sleep(Duration::from_secs(300)).await;
    world.say("no luck").await;
    let methods: Vec<String> = world.store.sent().into_iter().map(|sent| sent.method).collect();
    assert_eq!(methods, ["POST", "PATCH", "POST"]);
    let event = world.event();
    assert_eq!(
        (&event["count"], &event["firstTimestamp"]),
        (&json!(2), &json!("2026-11-21T10:00:00Z"))
    );
}

#[tokio::test(start_paused = true)]
async fn events_of_cluster_scoped_objects_lie_in_default() {
    let world = world();
    let content = ObjectReference {
        namespace: None,
        ..snapshot(&"c".repeat(253))
    };
    world
        .recorder
        .event(&content, EventType::Normal, "Created", "x".repeat(5_000));
    assert!(world.recorder.flush(Duration::from_secs(1)).await);
    let events = world.store.objects("/api/v1/namespaces/default/events");
    assert_eq!(events[0]["message"].as_str().unwrap().len(), 1_024);
    assert_eq!(events[0]["metadata"]["name"].as_str().unwrap().len(), 253);
}

#[tokio::test(start_paused = true)]
async fn failures_never_reach_the_caller_and_are_counted() {
    let world = world();
    world.store.faults(|_| Fault {
        refuse: Some(403),
        ..Fault::default()
    });
    world.say("denied").await;
    assert_eq!(
        world.store.take_lines().len(),
        1,
        "a denied event is not tried again"
    );
    world.store.faults(|_| Fault {
        refuse: Some(503),
        ..Fault::default()
    });
    world.say("unavailable").await;
    assert_eq!(world.store.take_lines().len(), 3);
    assert!((world.outcome("failed") - 2.0).abs() < f64::EPSILON);
    world.store.no_faults();
    world.say("unavailable").await;
    assert_eq!(
        world.event()["count"],
        2,
        "what failed is made up for with the next occurrence"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_second_event() {
    let world = world();
    let mut first = true;
    world.store.faults(move |_| Fault {
        lose: std::mem::take(&mut first),
        ..Fault::default()
    });
    world.say("no luck").await;
    assert_eq!(world.store.take_lines().len(), 2);
    assert_eq!(world.event()["count"], 1);
}

#[tokio::test(start_paused = true)]
async fn two_recorders_in_one_nanosecond_write_two_events() {
    let world = world();
    world
        .store
        .put(&format!("{EVENTS}/s.18ea0717bd2c4000"), json!({ "metadata": {} }));
    world.say("no luck").await;
    assert_eq!(world.store.objects(EVENTS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_flushing_too() {
    let world = world();
    world.store.faults(|_| Fault {
        before: Duration::from_secs(100_000),
        ..Fault::default()
    });
    for number in 0..6_000 {
        let about = snapshot(&format!("s-{number}"));
        world
            .recorder
            .event(&about, EventType::Normal, "Created", "created".to_owned());
    }
    // 1,000 in each of four lanes, and one of each on its way.
    assert!(
        world.outcome("dropped") >= 1_996.0,
        "{}",
        world.outcome("dropped")
    );
    assert!(!world.recorder.flush(Duration::from_secs(2)).await);
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_the_writer() {
    let world = world();
    world.scope.abort();
    tokio::time::sleep(Duration::from_millis(1)).await;
    world
        .recorder
        .event(&snapshot("s"), EventType::Normal, "Created", "created".to_owned());
    assert!(!world.recorder.flush(Duration::from_secs(2)).await);
    assert!(world.store.take_lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn different_components_share_one_queue() {
    let world = world();
    world.say("no luck").await;
    let other = world.recorder.with_component("external-resizer ebs.csi.aws.com");
    other.event(
        &snapshot("s"),
        EventType::Warning,
        "SnapshotFailed",
        "no luck".to_owned(),
    );
    assert!(world.recorder.flush(Duration::from_secs(1)).await);
    let sources: Vec<Value> = world
        .store
        .objects(EVENTS)
        .iter()
        .map(|event| event["source"]["component"].clone())
        .collect();
    assert_eq!(
        sources,
        [
            "csi-snapshotter ebs.csi.aws.com",
            "external-resizer ebs.csi.aws.com"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_one_event_is_its_failure_and_not_that_of_the_others() {
    let World {
        store,
        registry,
        scope,
        ..
    } = world();
    let (to, tries) = (store.client(), std::sync::Arc::new(AtomicUsize::new(0)));
    let service = tower::service_fn(move |request| {
        let (to, number) = (to.clone(), tries.fetch_add(1, Ordering::SeqCst));
        async move {
            assert_ne!(number, 0, "the first one");
            to.send(request).await
        }
    });
    let recorder = Recorder::from_parts(
        kube::Client::new(service, "default"),
        &Clock::system(),
        &Random::seeded(1),
        &scope,
        &Registry::new(),
        "csi-snapshotter",
    );
    for message in ["one", "two"] {
        let (about, message) = (snapshot("s"), message.to_owned());
        recorder.event(&about, EventType::Warning, "SnapshotFailed", message);
        assert!(recorder.flush(Duration::from_secs(60)).await);
    }
    let events = store.objects(EVENTS);
    assert_eq!((events.len(), &events[0]["message"]), (1, &json!("two")));
    assert_eq!(scope.panics().count(), 0);
    drop(registry);
}
