//! A snapshot or content is deleted and made again under its name between our read and our write of its status: the new
//! one never gets the status of the old one. It is tried at every write of a status.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox::ec2::{Ec2Options, Fault as Ec2Fault, When};
use sandbox::faults::{Call, Fault, Faults, Schedule};
use sandbox::kube::{GroupResource, Store};
use serde_json::{Value, json};

use crate::fleet::{Fleet, Form};
use crate::world::{CONTENTS, SNAPSHOTS, World};

const SEED: u64 = 69;
/// A content and an EC2 snapshot that are not there: the new objects name them, and nobody else does.
const NO_CONTENT: &str = "content-of-nobody";
const NO_HANDLE: &str = "snap-00000000000000bad";

/// What EC2 says to a creation that it refuses.
const REFUSAL: &str = "Injected by the sandbox";

/// Puts another object in the place of one, just before a write of its status arrives.
struct Swap {
    store: Store,
    kind: GroupResource<'static>,
    /// The place of the write among all of the kind, from 0.
    number: usize,
    seen: Arc<AtomicUsize>,
    /// The UID of the new object.
    made: Arc<Mutex<Option<String>>>,
}

impl Schedule for Swap {
    fn fault(&self, call: &Call) -> Fault {
        let path = call
            .name
            .strip_prefix("PATCH ")
            .and_then(|path| path.strip_suffix("/status"));
        let name = path.and_then(|path| path.rsplit_once('/'));
        let is_of_kind =
            |(collection, name): (&str, _)| collection.ends_with(self.kind.plural).then_some(name);
        if let Some(name) = name.and_then(is_of_kind)
            && self.seen.fetch_add(1, Ordering::Relaxed) == self.number
        {
            *self.made.lock().unwrap() = Some(self.swap(name));
        }
        Fault::None
    }
}

impl Swap {
    fn swap(&self, name: &str) -> String {
        let is_snapshot = self.kind.plural == SNAPSHOTS.plural;
        let (namespace, object) = if is_snapshot {
            ("ns", other_snapshot(name))
        } else {
            ("", other_content(name))
        };
        let free = |object: &mut Value| object["metadata"]["finalizers"] = json!([]);
        // It may be on its way out already.
        if self.store.get(self.kind, namespace, name).is_some() {
            self.store.update(self.kind, namespace, name, free).unwrap();
        }
        if self.store.get(self.kind, namespace, name).is_some() {
            self.store.delete(self.kind, namespace, name, None).unwrap();
        }
        let made = self.store.create(self.kind, object).unwrap();
        made.value()["metadata"]["uid"].as_str().unwrap().to_owned()
    }
}

fn other_snapshot(name: &str) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": { "name": name, "namespace": "ns" },
        "spec": { "source": { "volumeSnapshotContentName": NO_CONTENT } },
    })
}

fn other_content(name: &str) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotContent",
        "metadata": { "name": name },
        "spec": {
            "deletionPolicy": "Retain",
            "driver": "ebs.csi.aws.com",
            "source": { "snapshotHandle": NO_HANDLE },
            "volumeSnapshotRef": { "name": "nobody", "namespace": "ns" },
        },
    })
}

/// What the new objects cannot have by themselves.
fn is_foreign(status: &Value) -> bool {
    let bound = &status["boundVolumeSnapshotContentName"];
    let handle = &status["snapshotHandle"];
    let message = status["error"]["message"].as_str().unwrap_or_default();
    !(bound.is_null() || bound == NO_CONTENT)
        || !(handle.is_null() || handle == NO_HANDLE)
        || status["readyToUse"] == true
        || !status["restoreSize"].is_null()
        || !status["creationTime"].is_null()
        || message.contains(REFUSAL)
}

/// What happens to the old objects.
#[derive(Clone, Copy, Debug)]
enum Story {
    /// They become ready.
    Created,
    /// EC2 refuses.
    Refused,
    /// They become ready and are deleted.
    Deleted,
}

/// Plays a story in which an object is swapped at this write of its status; false when there were fewer.
async fn play(story: Story, kind: GroupResource<'static>, number: usize) -> bool {
    let world = World::new(SEED, Ec2Options::default()).await;
    let mut changes = world.store().subscribe(&[kind]);
    let (seen, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
    let faults = Faults::new(Swap {
        store: world.store(),
        kind,
        number,
        seen: seen.clone(),
        made: made.clone(),
    });
    if matches!(story, Story::Refused) {
        world.ec2.inject(
            "CreateSnapshot",
            When::Always,
            Ec2Fault::error("InvalidParameterValue"),
        );
    }
    let mut fleet = Fleet::start(&world, Form::One, |_| faults.clone()).await;
    world.create_snapshot("s", "p", "delete");
    if matches!(story, Story::Deleted) {
        let is_over = |world: &World| world.is_ready("s") || made.lock().unwrap().is_some();
        fleet
            .until("the snapshot is ready, or another one", is_over)
            .await;
        if world.snapshot("s").is_some() {
            world.delete_snapshot("s");
        }
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    world.nothing_panicked().await;
    let Some(uid) = made.lock().unwrap().clone() else {
        return false;
    };
    let mut versions = 0;
    while let Some(change) = changes.try_next() {
        let object = change.object.value();
        if object["metadata"]["uid"] == uid.as_str() {
            versions += 1;
            assert!(
                !is_foreign(&object["status"]),
                "{story:?}, write {number} of {}: {object:#}",
                kind.plural
            );
        }
    }
    assert!(versions > 0, "the new object was seen");
    true
}

#[tokio::test(start_paused = true)]
async fn a_status_is_never_written_to_another_object_of_the_name() {
    for (kind, story, at_least) in [
        (SNAPSHOTS, Story::Created, 2),
        (SNAPSHOTS, Story::Refused, 1),
        (CONTENTS, Story::Created, 2),
        (CONTENTS, Story::Refused, 1),
        (CONTENTS, Story::Deleted, 2),
    ] {
        let mut number = 0;
        while number < 6 && play(story, kind, number).await {
            number += 1;
        }
        assert!(
            number >= at_least,
            "{story:?}: only {number} writes to {}",
            kind.plural
        );
    }
}
