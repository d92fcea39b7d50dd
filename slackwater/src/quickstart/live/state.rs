//! What the live page shows, made of the objects and of EC2's state; no clock, no request.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::ec2::{Ec2, Ec2State};
use sandbox::kube::ApiServer;
use serde::Serialize;
use serde_json::Value;

use super::super::report::Cost;
use super::super::story::text;

/// How many events are shown.
const EVENTS: usize = 14;

/// All of it at one moment.
#[derive(Debug, Serialize)]
pub struct Live {
    /// Since the start.
    seconds: f64,
    claims: Vec<Claim>,
    snapshots: Vec<Snapshot>,
    volumes: Vec<EbsVolume>,
    copies: Vec<EbsSnapshot>,
    /// The newest first.
    events: Vec<Event>,
    /// By who asks.
    requests: BTreeMap<String, Requests>,
    /// EC2 calls by action.
    ec2: BTreeMap<String, Calls>,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Serialize)]
struct Claim {
    namespace: String,
    name: String,
    phase: String,
    wants: String,
    has: String,
    /// The PersistentVolume.
    volume: String,
    /// The EBS volume.
    handle: String,
    /// Of an expansion, as the claim's status has it.
    stage: String,
    /// The VolumeAttributesClass in effect.
    class: String,
    pods: Vec<String>,
    deleting: bool,
}

/// A VolumeSnapshot.
#[derive(Debug, Serialize)]
struct Snapshot {
    namespace: String,
    name: String,
    source: String,
    content: String,
    handle: String,
    ready: bool,
    size: String,
    /// Percent that EC2 has copied; none while it has no such snapshot.
    progress: Option<u32>,
    error: String,
    deleting: bool,
}

/// An EBS volume.
#[derive(Debug, Serialize)]
struct EbsVolume {
    id: String,
    name: String,
    gib: u32,
    kind: String,
    iops: Option<u32>,
    status: String,
    attached: Vec<String>,
    modification: Option<String>,
    progress: Option<u32>,
}

/// An EBS snapshot.
#[derive(Debug, Serialize)]
struct EbsSnapshot {
    id: String,
    volume: String,
    gib: u32,
    status: String,
    progress: u32,
    /// The VolumeSnapshotContents that name it.
    contents: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Event {
    at: String,
    kind: String,
    reason: String,
    object: String,
    message: String,
    count: u64,
}

/// Requests of one user of the Kubernetes API.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
struct Requests {
    writes: usize,
    gets: usize,
    events: usize,
    refused: usize,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
struct Calls {
    count: usize,
    refused: usize,
}

/// Requests and calls so far: each is looked at once.
#[derive(Debug, Default)]
pub struct Tally {
    seen_api: u64,
    seen_ec2: u64,
    requests: BTreeMap<String, Requests>,
    calls: BTreeMap<String, Calls>,
}

impl Tally {
    /// Adds what came since the last time.
    pub fn count(&mut self, api: &ApiServer, ec2: &Ec2) {
        for request in api.audit_since(self.seen_api) {
            self.seen_api = request.number;
            let mut cost = Cost::default();
            cost.count(&request);
            let of_user = self.requests.entry(request.user).or_default();
            of_user.writes += cost.writes;
            of_user.gets += cost.gets;
            of_user.events += cost.events;
            of_user.refused += usize::from(request.code >= 400);
        }
        for call in ec2.calls_since(self.seen_ec2) {
            self.seen_ec2 = call.number;
            let of_action = self.calls.entry(call.action).or_default();
            of_action.count += 1;
            // A rehearsal is answered by a code in any case.
            of_action.refused += usize::from(call.code.is_some() && !call.dry_run);
        }
    }
}

impl Live {
    /// Of the objects as [`ApiServer::dump`] has them.
    #[must_use]
    pub fn of(dump: &Value, ec2: &Ec2State, tally: &Tally, since: Duration) -> Self {
        Self {
            seconds: since.as_secs_f64(),
            claims: objects(dump, "persistentvolumeclaims")
                .map(|one| claim(one, dump))
                .collect(),
            snapshots: objects(dump, "volumesnapshots.snapshot.storage.k8s.io")
                .map(|one| snapshot(one, dump, ec2))
                .collect(),
            volumes: volumes(ec2),
            copies: copies(dump, ec2),
            events: events(dump),
            requests: tally.requests.clone(),
            ec2: tally.calls.clone(),
        }
    }
}

fn objects<'a>(dump: &'a Value, resource: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    dump[resource]
        .as_object()
        .into_iter()
        .flat_map(|all| all.values())
}

/// Those without a namespace: the key is the name.
fn named<'a>(dump: &'a Value, resource: &str, name: &str) -> Option<&'a Value> {
    objects(dump, resource).find(|object| text(Some(object), "/metadata/name") == name)
}

fn is_deleting(object: &Value) -> bool {
    !text(Some(object), "/metadata/deletionTimestamp").is_empty()
}

fn claim(object: &Value, dump: &Value) -> Claim {
    let of = |pointer| text(Some(object), pointer).to_owned();
    let (namespace, name, volume) = (
        of("/metadata/namespace"),
        of("/metadata/name"),
        of("/spec/volumeName"),
    );
    let handle = text(
        named(dump, "persistentvolumes", &volume),
        "/spec/csi/volumeHandle",
    )
    .to_owned();
    let mounts = |pod: &&Value| {
        let mut volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
        text(Some(pod), "/metadata/namespace") == namespace
            && volumes.any(|one| text(Some(one), "/persistentVolumeClaim/claimName") == name)
    };
    let pods = objects(dump, "pods").filter(mounts);
    let pods = pods.map(|pod| {
        let (name, phase) = (
            text(Some(pod), "/metadata/name"),
            text(Some(pod), "/status/phase"),
        );
        format!("{name} {phase}").trim_end().to_owned()
    });
    Claim {
        phase: of("/status/phase"),
        wants: of("/spec/resources/requests/storage"),
        has: of("/status/capacity/storage"),
        handle,
        stage: of("/status/allocatedResourceStatuses/storage"),
        class: of("/status/currentVolumeAttributesClassName"),
        pods: pods.collect(),
        deleting: is_deleting(object),
        namespace,
        name,
        volume,
    }
}

fn snapshot(object: &Value, dump: &Value, ec2: &Ec2State) -> Snapshot {
    let of = |pointer| text(Some(object), pointer).to_owned();
    let content = of("/status/boundVolumeSnapshotContentName");
    let bound = named(dump, "volumesnapshotcontents.snapshot.storage.k8s.io", &content);
    let handle = text(bound, "/status/snapshotHandle").to_owned();
    Snapshot {
        namespace: of("/metadata/namespace"),
        name: of("/metadata/name"),
        source: of("/spec/source/persistentVolumeClaimName"),
        ready: object.pointer("/status/readyToUse") == Some(&Value::Bool(true)),
        size: of("/status/restoreSize"),
        progress: ec2.snapshots.get(&handle).map(|copy| copy.progress),
        error: of("/status/error/message"),
        deleting: is_deleting(object),
        content,
        handle,
    }
}

fn volumes(ec2: &Ec2State) -> Vec<EbsVolume> {
    let shown = ec2.volumes.values().map(|volume| EbsVolume {
        id: volume.id.clone(),
        name: volume.tags.get("Name").cloned().unwrap_or_default(),
        gib: volume.size_gib,
        kind: volume.volume_type.clone(),
        iops: volume.iops,
        status: volume.status.clone(),
        attached: volume.attachments.keys().cloned().collect(),
        modification: volume.modification.clone(),
        progress: volume.modification_progress,
    });
    shown.collect()
}

fn copies(dump: &Value, ec2: &Ec2State) -> Vec<EbsSnapshot> {
    let mut contents: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for content in objects(dump, "volumesnapshotcontents.snapshot.storage.k8s.io") {
        let name = text(Some(content), "/metadata/name").to_owned();
        contents
            .entry(text(Some(content), "/status/snapshotHandle"))
            .or_default()
            .push(name);
    }
    let shown = ec2.snapshots.values().map(|copy| EbsSnapshot {
        id: copy.id.clone(),
        volume: copy.volume_id.clone(),
        gib: copy.size_gib,
        status: copy.status.clone(),
        progress: copy.progress,
        contents: contents.remove(copy.id.as_str()).unwrap_or_default(),
    });
    shown.collect()
}

fn events(dump: &Value) -> Vec<Event> {
    let mut events: Vec<Event> = objects(dump, "events").map(event).collect();
    events.sort_by(|one, other| other.at.cmp(&one.at));
    events.truncate(EVENTS);
    events
}

fn event(object: &Value) -> Event {
    let of = |pointer| text(Some(object), pointer).to_owned();
    let times = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    let at = times.map(of).into_iter().find(|time| !time.is_empty());
    Event {
        at: at.unwrap_or_default(),
        kind: of("/type"),
        reason: of("/reason"),
        object: format!("{} {}", of("/involvedObject/kind"), of("/involvedObject/name")),
        message: of("/message"),
        count: object["count"].as_u64().unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use base::{Clock, Random};
    use sandbox::ec2::Ec2Options;
    use serde_json::json;

    use super::*;

    fn dump(handle: &str) -> Value {
        json!({
            "persistentvolumeclaims": { "default/data": {
                "metadata": { "namespace": "default", "name": "data" },
                "spec": { "volumeName": "pv", "resources": { "requests": { "storage": "8Gi" } } },
                "status": {
                    "phase": "Bound",
                    "capacity": { "storage": "4Gi" },
                    "allocatedResourceStatuses": { "storage": "ControllerResizeInProgress" },
                },
            } },
            "persistentvolumes": { "pv": {
                "metadata": { "name": "pv" }, "spec": { "csi": { "volumeHandle": "vol-1" } },
            } },
            "pods": {
                "default/app": {
                    "metadata": { "namespace": "default", "name": "app" },
                    "spec": { "volumes": [{ "persistentVolumeClaim": { "claimName": "data" } }] },
                    "status": { "phase": "Running" },
                },
                "other/app": {
                    "metadata": { "namespace": "other", "name": "app" },
                    "spec": { "volumes": [{ "persistentVolumeClaim": { "claimName": "data" } }] },
                },
            },
            "volumesnapshots.snapshot.storage.k8s.io": {
                "default/s": {
                    "metadata": { "namespace": "default", "name": "s" },
                    "spec": { "source": { "persistentVolumeClaimName": "data" } },
                    "status": { "boundVolumeSnapshotContentName": "c", "readyToUse": false, "restoreSize": "4Gi" },
                },
                "default/unbound": { "metadata": { "namespace": "default", "name": "unbound" } },
            },
            "volumesnapshotcontents.snapshot.storage.k8s.io": { "c": {
                "metadata": { "name": "c" }, "status": { "snapshotHandle": handle },
            } },
            "events": {
                "default/a": {
                    "metadata": { "creationTimestamp": "2026-01-01T00:00:01Z" },
                    "type": "Normal", "reason": "Older", "involvedObject": { "kind": "Pod", "name": "app" },
                },
                "default/b": { "lastTimestamp": "2026-01-01T00:00:02Z", "reason": "Newer", "count": 3 },
            },
        })
    }

    #[test]
    fn objects_are_shown_with_what_ec2_says_of_them() {
        let ec2 = Ec2::new(Clock::system(), Random::seeded(1), Ec2Options::default());
        let volume = ec2
            .create_volume_fixture("us-east-1a", 4, &[("Name", "data")])
            .unwrap();
        let copy = ec2.create_snapshot_fixture(&volume, &[]).unwrap();
        let live = Live::of(
            &dump(&copy),
            &ec2.state(),
            &Tally::default(),
            Duration::from_secs(3),
        );
        let shown = json!(live);
        for (pointer, expected) in [
            ("/claims/0/wants", json!("8Gi")),
            ("/claims/0/has", json!("4Gi")),
            ("/claims/0/handle", json!("vol-1")),
            ("/claims/0/stage", json!("ControllerResizeInProgress")),
            ("/claims/0/pods", json!(["app Running"])),
            ("/snapshots/0/handle", json!(copy)),
            ("/snapshots/0/progress", json!(100)),
            ("/snapshots/0/ready", json!(false)),
            ("/snapshots/1/progress", Value::Null),
            ("/volumes/0/name", json!("data")),
            ("/volumes/0/gib", json!(4)),
            ("/copies/0/contents", json!(["c"])),
            ("/events/0/reason", json!("Newer")),
            ("/events/0/count", json!(3)),
            ("/events/1/object", json!("Pod app")),
            ("/seconds", json!(3.0)),
        ] {
            assert_eq!(shown.pointer(pointer), Some(&expected), "{pointer}: {shown:#}");
        }
    }

    #[test]
    fn nothing_at_all_is_shown_too() {
        let ec2 = Ec2::new(Clock::system(), Random::seeded(1), Ec2Options::default());
        let live = Live::of(&json!({}), &ec2.state(), &Tally::default(), Duration::ZERO);
        assert!(live.claims.is_empty() && live.events.is_empty() && live.requests.is_empty());
    }
}
