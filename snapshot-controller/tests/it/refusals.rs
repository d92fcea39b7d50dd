//! What is told, and what not, when the API server refuses, in the sandbox.

use sandbox::faults::{Call, Fault, Faults, Refusal, Schedule};
use sandbox::kube::Denial;

use crate::world::{CLASSES, CONTENTS, SNAPSHOTS, USER, World, class, seconds, snapshot};

/// The first calls whose name has this beginning are refused.
struct First {
    calls: usize,
    name: &'static str,
    refusal: Refusal,
    seen: std::sync::Mutex<usize>,
}

impl First {
    fn refused(calls: usize, name: &'static str, refusal: Refusal) -> Faults {
        Faults::new(Self {
            calls,
            name,
            refusal,
            seen: std::sync::Mutex::default(),
        })
    }
}

impl Schedule for First {
    fn fault(&self, call: &Call) -> Fault {
        let mut seen = self.seen.lock().unwrap();
        if call.name.starts_with(self.name) && *seen < self.calls {
            *seen += 1;
            return Fault::Refuse(self.refusal);
        }
        Fault::None
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_33_50_conflicts_are_never_told() {
    for name in [
        "PATCH /api/v1/namespaces/default/persistentvolumeclaims",
        "PATCH /apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots",
        "POST /apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents",
    ] {
        for refusal in [Refusal::Conflict, Refusal::ServerError, Refusal::Throttled] {
            let world = World::new().await;
            let process = world.start_with(First::refused(3, name, refusal));
            world.create_snapshot("s");
            for _ in 0..20 {
                seconds(1).await;
                assert!(
                    world.snapshot("s")["status"]["error"].is_null(),
                    "{name} {refusal:?}"
                );
            }
            assert_eq!(
                world.snapshot("s")["status"]["readyToUse"],
                true,
                "{name} {refusal:?}: {:#?}",
                process.faults.calls()
            );
            assert_eq!(
                world.reasons(),
                ["CreatingSnapshot x1", "SnapshotCreated x1", "SnapshotReady x1"],
                "{name} {refusal:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_definite_refusal_is_told_in_an_event_and_not_in_the_status() {
    let world = World::new().await;
    world.api.deny(USER, Denial::of("create", CONTENTS));
    let _process = world.start();
    world.create_snapshot("s");
    seconds(5).await;
    assert_eq!(world.reasons(), ["CreateSnapshotContentFailed x1"]);
    assert!(world.snapshot("s")["status"]["error"].is_null());
    world.api.allow_all(USER);
    seconds(20).await;
    assert_eq!(world.snapshot("s")["status"]["readyToUse"], true);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_141_what_cannot_be_worked_on_is_counted_by_its_reason() {
    let world = World::new().await;
    world.api.deny(USER, Denial::of("create", CONTENTS));
    let name = "PATCH /api/v1/namespaces/default/persistentvolumeclaims";
    let process = world.start_with(First::refused(1, name, Refusal::Conflict));
    world.create_snapshot("s");
    world.create(SNAPSHOTS, snapshot("t", "p", Some("never")));
    seconds(5).await;
    let count = |operation: &str, driver: &str, class: &str| {
        let labels = [
            ("component", USER),
            ("operation", operation),
            ("driver_name", driver),
            ("grpc_code", ""),
            ("class", class),
        ];
        process.metric("slackwater_failures_total", &labels)
    };
    let denied = count("CreateSnapshotContentFailed", "d", "forbidden");
    assert!(denied >= 1.0, "{denied}");
    assert!(count("GetSnapshotClassFailed", "unknown", "retryable") >= 1.0);
    assert_eq!(
        count("SnapshotFinalizerError", "d", "conflict") + count("ErrorPVCFinalizer", "d", "conflict"),
        1.0
    );
    let phase = |phase: &str| process.metric("slackwater_volumesnapshots", &[("phase", phase)]);
    assert_eq!(phase("error"), 1.0);
    world.api.allow_all(USER);
    seconds(20).await;
    let of_phase = |phase: &str| {
        let labels = [
            ("driver_name", "d"),
            ("phase", phase),
            ("deletion_policy", "Delete"),
        ];
        process.metric("slackwater_volumesnapshotcontents", &labels)
    };
    assert_eq!(of_phase("ready"), 1.0);
    // Nobody counts what is gone.
    world.remove_by_force(SNAPSHOTS, "default", "s");
    seconds(1).await;
    assert_eq!((of_phase("ready"), of_phase("orphaned")), (0.0, 1.0));
}

/// The watch of the classes breaks ten seconds after the start and is refused until the weather clears; all others stand.
struct ClassesAreAway(std::sync::Mutex<usize>);

impl Schedule for ClassesAreAway {
    fn fault(&self, call: &Call) -> Fault {
        if !call.watch || !call.name.contains("volumesnapshotclasses") {
            return Fault::None;
        }
        let mut seen = self.0.lock().unwrap();
        *seen += 1;
        match *seen {
            1 => Fault::CutWatch(std::time::Duration::from_secs(10)),
            _ => Fault::Refuse(Refusal::ServerError),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_112_nothing_is_refused_before_all_watches_are_live() {
    let world = World::new().await;
    let process = world.start_with(Faults::new(ClassesAreAway(std::sync::Mutex::default())));
    seconds(15).await;
    world.create(CLASSES, class("late", "Delete"));
    world.create(SNAPSHOTS, snapshot("s", "p", Some("late")));
    for _ in 0..20 {
        seconds(1).await;
        let error = &world.snapshot("s")["status"]["error"];
        assert!(error.is_null(), "from a cache that is behind: {error}");
    }
    assert!(world.reasons().is_empty(), "{:?}", world.reasons());
    process.faults.end();
    seconds(60).await;
    assert_eq!(world.snapshot("s")["status"]["readyToUse"], true);
    // What is really missing is told.
    world.create(SNAPSHOTS, snapshot("t", "p", Some("never")));
    seconds(15).await;
    let error = &world.snapshot("t")["status"]["error"]["message"];
    assert!(
        error.as_str().is_some_and(|text| text.contains("never")),
        "{error}"
    );
}
