//! What the driver is asked over either EC2. Written once; what it answers and leaves behind is the transcript.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Clock, Random, Scope};
use csi::Channel;
use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::volume_capability::{AccessMode, AccessType, MountVolume};
use csi::v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use csi::v1::{
    CapacityRange, ControllerExpandVolumeRequest, ControllerPublishVolumeRequest,
    ControllerUnpublishVolumeRequest, CreateSnapshotRequest, CreateVolumeRequest, DeleteSnapshotRequest,
    DeleteVolumeRequest, ListSnapshotsRequest, Snapshot, Topology, TopologyRequirement,
    ValidateVolumeCapabilitiesRequest, Volume, VolumeCapability, VolumeContentSource,
};
use ebs_driver::{Config, Driver};
use prometheus::Registry;
use serde_json::{Value, json};
use tonic::Status;

use super::cloud::Cloud;
use super::requests::{Outcome, normal};

const GIB: i64 = 1 << 30;

/// A driver over an EC2, and what was seen.
pub struct Play<'a> {
    cloud: &'a Cloud,
    channel: Channel,
    /// IDs by the names that the transcript shows.
    names: BTreeMap<String, String>,
    seen: Vec<Outcome>,
}

impl<'a> Play<'a> {
    pub fn new(cloud: &'a Cloud, scope: &Scope) -> Self {
        let config = Config {
            modify_window: Duration::from_millis(20),
            consistency_delay: Duration::from_millis(100),
            ..Config::default()
        };
        let (clock, random, registry) = (Clock::system(), Random::seeded(1), Registry::new());
        let driver = Driver::new(config, cloud.transport(), clock, random, scope, &registry).unwrap();
        Self {
            cloud,
            channel: Channel::in_process(driver.routes()),
            names: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    /// Plays everything.
    pub async fn run(mut self) -> Vec<Outcome> {
        self.volumes().await;
        self.snapshots().await;
        self.copies().await;
        self.expansions().await;
        self.attachments().await;
        self.end().await;
        self.seen
    }

    async fn volumes(&mut self) {
        let gp3 = request("pvc-1", 4, &[]);
        let id = self.create("create a volume", "one", gp3.clone()).await;
        self.create("create it again", "again", gp3.clone()).await;
        let larger = CreateVolumeRequest {
            capacity_range: range(6),
            ..gp3
        };
        self.create("create it with another size", "other", larger).await;
        let tuned = [("type", "gp3"), ("iops", "4000"), ("throughput", "250")];
        self.create("create with values", "tuned", request("pvc-2", 100, &tuned))
            .await;
        let io2 = [("type", "io2"), ("iopsPerGB", "50"), ("encrypted", "true")];
        self.create("create io2 by ratio", "io2", request("pvc-3", 10, &io2))
            .await;
        let tags = [("tagSpecification_1", "team=storage")];
        self.create("create with a tag", "tagged", request("pvc-4", 1, &tags))
            .await;
        let st1 = request("pvc-5", 125, &[("type", "st1")]);
        self.create("create st1", "st1", st1).await;
        let elsewhere = CreateVolumeRequest {
            accessibility_requirements: zone("us-east-1z"),
            ..request("pvc-6", 1, &[])
        };
        self.create("create in a zone that does not exist", "none", elsewhere)
            .await;
        let answer = self
            .channel
            .controller()
            .validate_volume_capabilities(ValidateVolumeCapabilitiesRequest {
                volume_id: id.clone(),
                volume_capabilities: vec![mount()],
                ..ValidateVolumeCapabilitiesRequest::default()
            })
            .await;
        let answer = answer.map(|answer| json!(answer.into_inner().confirmed.is_some()));
        self.note("validate", answer);
        self.delete_volume("delete what never was", "vol-00000000000000000")
            .await;
    }

    async fn snapshots(&mut self) {
        let one = self.names["one"].clone();
        let first = self.snapshot("snapshot", "snap", "snapshot-1", &one).await;
        self.snapshot("snapshot again", "snap again", "snapshot-1", &one)
            .await;
        let other = self.names["tuned"].clone();
        self.snapshot(
            "snapshot of another volume by that name",
            "none",
            "snapshot-1",
            &other,
        )
        .await;
        self.snapshot("second snapshot", "snap two", "snapshot-2", &one)
            .await;
        self.snapshot(
            "snapshot of nothing",
            "none",
            "snapshot-3",
            "vol-00000000000000000",
        )
        .await;
        self.list("list by ID", &first, "").await;
        self.list("list by source", "", &one).await;
        self.list("list an unknown one", "snap-00000000000000000", "")
            .await;
        let restored = from_snapshot(request("pvc-7", 4, &[]), &first);
        self.create("restore", "restored", restored).await;
        let smaller = from_snapshot(request("pvc-8", 1, &[]), &first);
        self.create("restore to less", "none", smaller).await;
        let unknown = from_snapshot(request("pvc-9", 4, &[]), "snap-00000000000000000");
        self.create("restore what is not there", "none", unknown).await;
        let second = self.names["snap two"].clone();
        for name in ["delete a snapshot", "delete it again"] {
            self.delete_snapshot(name, &second).await;
        }
        self.list("list after the deletion", "", &one).await;
    }

    async fn copies(&mut self) {
        let source = self.names["io2"].clone();
        let source = Type::Volume(VolumeSource { volume_id: source });
        let copy = CreateVolumeRequest {
            volume_content_source: Some(VolumeContentSource { r#type: Some(source) }),
            ..request("pvc-10", 10, &[])
        };
        self.create("copy a volume", "copy", copy).await;
    }

    async fn expansions(&mut self) {
        let one = self.names["one"].clone();
        self.expand("expand", &one, 8).await;
        self.expand("expand to what it is", &one, 8).await;
        self.expand("expand to less", &one, 5).await;
        self.expand("expand nothing", "vol-00000000000000000", 8).await;
    }

    async fn attachments(&mut self) {
        let one = self.names["one"].clone();
        let node = self.cloud.run_instance("us-east-1a", "m5.large").await;
        self.know("node", &node);
        self.publish("publish", &one, &node).await;
        self.publish("publish again", &one, &node).await;
        self.publish("publish at nothing", &one, "i-00000000000000000")
            .await;
        for what in ["unpublish", "unpublish again"] {
            let request = ControllerUnpublishVolumeRequest {
                volume_id: one.clone(),
                node_id: node.clone(),
                ..ControllerUnpublishVolumeRequest::default()
            };
            let mut controller = self.channel.controller();
            let answer = controller.controller_unpublish_volume(deadline(request)).await;
            self.note(what, answer.map(|_| json!("detached")));
        }
    }

    async fn publish(&mut self, what: &'static str, volume: &str, node: &str) {
        let request = ControllerPublishVolumeRequest {
            volume_id: volume.to_owned(),
            node_id: node.to_owned(),
            volume_capability: Some(mount()),
            ..ControllerPublishVolumeRequest::default()
        };
        let mut controller = self.channel.controller();
        let answer = controller.controller_publish_volume(deadline(request)).await;
        self.note(
            what,
            answer.map(|answer| json!(answer.into_inner().publish_context)),
        );
    }

    async fn end(&mut self) {
        self.look("everything").await;
        let (one, snap) = (self.names["one"].clone(), self.names["snap"].clone());
        self.delete_volume("delete the volume", &one).await;
        self.delete_volume("delete the volume again", &one).await;
        self.delete_snapshot("delete the snapshot", &snap).await;
        self.look("the rest").await;
    }

    async fn create(&mut self, what: &'static str, name: &str, request: CreateVolumeRequest) -> String {
        let answer = self.channel.controller().create_volume(deadline(request)).await;
        let volume = answer.map(|answer| answer.into_inner().volume.unwrap());
        let id = volume
            .as_ref()
            .map(|volume| volume.volume_id.clone())
            .unwrap_or_default();
        self.know(name, &id);
        self.note(what, volume.map(|volume| shown_volume(&volume)));
        id
    }

    async fn delete_volume(&mut self, what: &'static str, id: &str) {
        let request = DeleteVolumeRequest {
            volume_id: id.to_owned(),
            ..DeleteVolumeRequest::default()
        };
        let answer = self.channel.controller().delete_volume(deadline(request)).await;
        self.note(what, answer.map(|_| json!("deleted")));
    }

    async fn snapshot(&mut self, what: &'static str, known_as: &str, name: &str, volume: &str) -> String {
        let request = CreateSnapshotRequest {
            name: name.to_owned(),
            source_volume_id: volume.to_owned(),
            ..CreateSnapshotRequest::default()
        };
        let answer = self.channel.controller().create_snapshot(deadline(request)).await;
        let snapshot = answer.map(|answer| answer.into_inner().snapshot.unwrap());
        let id = snapshot
            .as_ref()
            .map(|snapshot| snapshot.snapshot_id.clone())
            .unwrap_or_default();
        self.know(known_as, &id);
        self.note(what, snapshot.map(|snapshot| shown_snapshot(&snapshot)));
        id
    }

    async fn delete_snapshot(&mut self, what: &'static str, id: &str) {
        let request = DeleteSnapshotRequest {
            snapshot_id: id.to_owned(),
            ..DeleteSnapshotRequest::default()
        };
        let answer = self.channel.controller().delete_snapshot(deadline(request)).await;
        self.note(what, answer.map(|_| json!("deleted")));
    }

    async fn list(&mut self, what: &'static str, snapshot: &str, volume: &str) {
        let request = ListSnapshotsRequest {
            snapshot_id: snapshot.to_owned(),
            source_volume_id: volume.to_owned(),
            ..ListSnapshotsRequest::default()
        };
        let answer = self.channel.controller().list_snapshots(deadline(request)).await;
        let answer = answer.map(|answer| {
            let entries = answer.into_inner().entries.into_iter();
            let shown = entries.filter_map(|entry| Some(shown_snapshot(&entry.snapshot?)));
            Value::Array(shown.collect())
        });
        self.note(what, answer);
    }

    async fn expand(&mut self, what: &'static str, id: &str, gib: i64) {
        let request = ControllerExpandVolumeRequest {
            volume_id: id.to_owned(),
            capacity_range: range(gib),
            volume_capability: Some(mount()),
            ..ControllerExpandVolumeRequest::default()
        };
        let answer = self
            .channel
            .controller()
            .controller_expand_volume(deadline(request))
            .await;
        let answer = answer.map(|answer| {
            let answer = answer.into_inner();
            json!({"gib": answer.capacity_bytes / GIB, "node": answer.node_expansion_required})
        });
        self.note(what, answer);
    }

    /// What EC2 holds.
    async fn look(&mut self, what: &'static str) {
        for action in ["DescribeVolumes", "DescribeSnapshots"] {
            let mut parameters = BTreeMap::new();
            if action == "DescribeSnapshots" {
                parameters.insert("Owner.1".to_owned(), "self".to_owned());
            }
            let answer = self.cloud.send(action, &parameters).await;
            self.seen.push(Outcome {
                name: what,
                answer: json!({ action: normal(answer.body, &self.names) }),
            });
        }
    }

    fn know(&mut self, name: &str, id: &str) {
        let is_new = !self.names.values().any(|known| known == id);
        if !id.is_empty() && is_new {
            self.names.insert(name.to_owned(), id.to_owned());
        }
    }

    fn note(&mut self, what: &'static str, answer: Result<Value, Status>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(status) => json!({"code": csi::status::code_name(status.code())}),
        };
        self.seen.push(Outcome {
            name: what,
            answer: normal(answer, &self.names),
        });
    }
}

fn deadline<T>(request: T) -> tonic::Request<T> {
    csi::channel::request(request, Duration::from_secs(20))
}

fn request(name: &str, gib: i64, parameters: &[(&str, &str)]) -> CreateVolumeRequest {
    let parameters = parameters
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: range(gib),
        volume_capabilities: vec![mount()],
        parameters: parameters.collect(),
        accessibility_requirements: zone("us-east-1a"),
        ..CreateVolumeRequest::default()
    }
}

fn from_snapshot(request: CreateVolumeRequest, id: &str) -> CreateVolumeRequest {
    let source = Type::Snapshot(SnapshotSource {
        snapshot_id: id.to_owned(),
    });
    CreateVolumeRequest {
        volume_content_source: Some(VolumeContentSource { r#type: Some(source) }),
        ..request
    }
}

fn mount() -> VolumeCapability {
    VolumeCapability {
        access_mode: Some(AccessMode {
            mode: Mode::SingleNodeWriter.into(),
        }),
        access_type: Some(AccessType::Mount(MountVolume::default())),
    }
}

fn range(gib: i64) -> Option<CapacityRange> {
    Some(CapacityRange {
        required_bytes: gib * GIB,
        limit_bytes: 0,
    })
}

fn zone(name: &str) -> Option<TopologyRequirement> {
    let segments = [("topology.kubernetes.io/zone".to_owned(), name.to_owned())];
    Some(TopologyRequirement {
        preferred: vec![Topology {
            segments: segments.into(),
        }],
        requisite: vec![],
    })
}

fn shown_volume(volume: &Volume) -> Value {
    let topology = volume.accessible_topology.iter().map(|one| &one.segments);
    json!({
        "id": volume.volume_id, "gib": volume.capacity_bytes / GIB, "context": volume.volume_context,
        "topology": topology.collect::<Vec<_>>(), "source": format!("{:?}", volume.content_source),
    })
}

fn shown_snapshot(snapshot: &Snapshot) -> Value {
    json!({
        "id": snapshot.snapshot_id, "volume": snapshot.source_volume_id,
        "gib": snapshot.size_bytes / GIB, "ready": snapshot.ready_to_use,
    })
}
