//! Our controllers before a driver that has nothing of EBS: snapshots, groups, expansions and changes by class, and what is
//! told where the driver lacks something.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use controller::testing::resources::{
    ATTRIBUTES_CLASSES, DEFINITIONS, GROUP_CLASSES, GROUP_CONTENTS, GROUPS, STORAGE_CLASSES,
};
use csi::v1::volume_capability::{AccessMode, AccessType, MountVolume, access_mode};
use csi::v1::{
    CapacityRange, ControllerPublishVolumeRequest, CreateVolumeRequest, ListSnapshotsRequest, Snapshot,
    VolumeCapability,
};
use file_driver::driver::Machine;
use file_driver::{Capabilities, Capability, Config, Driver};
use prometheus::Registry;
use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use serde_json::{Value, json};
use slackwater::controller::Function;

use crate::fleet::Process;
use crate::world::{CLAIMS, CLASSES, CONTENTS, SNAPSHOTS, VOLUMES, World};

const DRIVER: &str = "file.csi.slackwater";

/// The driver, and the cluster with claims of its volumes.
struct Scene {
    world: World,
    channel: csi::Channel,
    folder: tempfile::TempDir,
    /// Handles of the volumes of the claims.
    handles: Vec<String>,
}

impl Scene {
    /// With the claims `data` and `log`, and a driver that lacks these.
    async fn without(off: &[Capability]) -> Self {
        let world = World::new(11, Ec2Options::instant()).await;
        let folder = tempfile::tempdir().unwrap();
        let mut handles = Vec::new();
        let whole = start_driver(&world, &folder, &[]);
        for claim in ["data", "log"] {
            handles.push(make(&whole, claim).await);
        }
        drop(whole);
        world.socket.close();
        let scene = Self {
            channel: start_driver(&world, &folder, off),
            world,
            folder,
            handles,
        };
        scene.furnish();
        let is_bound = |world: &World| {
            let phase = |name| world.claim(name).map(|claim| claim["status"]["phase"] == "Bound");
            ["data", "log"].into_iter().all(|name| phase(name) == Some(true))
        };
        scene.world.until("the claims are bound", is_bound).await;
        scene
    }

    /// Another driver over the same files.
    fn replace_driver(&mut self, off: &[Capability]) {
        self.world.socket.close();
        self.channel = self.world.socket.channel(&Faults::none());
        self.channel = start_driver(&self.world, &self.folder, off);
    }

    fn furnish(&self) {
        let store = self.world.store();
        for definition in crds::definitions::groups() {
            store.create(DEFINITIONS, definition).unwrap();
        }
        let classes = [
            (CLASSES, "snapshot.storage.k8s.io/v1", "VolumeSnapshotClass"),
            (
                GROUP_CLASSES,
                "groupsnapshot.storage.k8s.io/v1beta2",
                "VolumeGroupSnapshotClass",
            ),
        ];
        for (resource, version, kind) in classes {
            let class = json!({
                "apiVersion": version, "kind": kind, "metadata": {"name": "files"},
                "driver": DRIVER, "deletionPolicy": "Delete",
            });
            store.create(resource, class).unwrap();
        }
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "files"},
            "provisioner": DRIVER, "allowVolumeExpansion": true,
        });
        store.create(STORAGE_CLASSES, class).unwrap();
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "noted"},
            "driverName": DRIVER, "parameters": {"comment": "noted"},
        });
        store.create(ATTRIBUTES_CLASSES, class).unwrap();
        for (claim, handle) in ["data", "log"].iter().zip(&self.handles) {
            self.bind(claim, handle);
        }
    }

    fn bind(&self, name: &str, handle: &str) {
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("pv-{name}")},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": "files",
                "csi": {"driver": DRIVER, "volumeHandle": handle},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        });
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "ns", "labels": {"app": "database"}},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "files",
                "resources": {"requests": {"storage": "1Gi"}}, "volumeName": format!("pv-{name}"),
            },
        });
        self.world.store().create(VOLUMES, volume).unwrap();
        self.world.store().create(CLAIMS, claim).unwrap();
    }

    /// Starts these functions, each as a process of its own.
    async fn start(&self, names: &[&str]) -> Vec<Process> {
        let mut processes = Vec::new();
        for name in names {
            let function = Function::named(name).unwrap();
            let process = self
                .world
                .start_functions(&[function], Faults::none(), "replica", &[])
                .await;
            processes.push(process);
        }
        processes
    }

    /// The data of a volume.
    fn data(&self, number: usize) -> PathBuf {
        let volumes = self.folder.path().join("volumes");
        volumes.join(&self.handles[number]).join("data")
    }

    async fn snapshots(&self) -> Vec<Snapshot> {
        let request = ListSnapshotsRequest::default();
        let answer = self.channel.controller().list_snapshots(request).await;
        let entries = answer.unwrap().into_inner().entries.into_iter();
        entries.map(|entry| entry.snapshot.unwrap()).collect()
    }

    fn take_group(&self) {
        let group = json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1beta2", "kind": "VolumeGroupSnapshot",
            "metadata": {"name": "nightly", "namespace": "ns"},
            "spec": {"volumeGroupSnapshotClassName": "files",
                "source": {"selector": {"matchLabels": {"app": "database"}}}},
        });
        self.world.store().create(GROUPS, group).unwrap();
    }
}

/// Starts a driver over the folder that lacks these. The former one must be gone.
fn start_driver(world: &World, folder: &tempfile::TempDir, off: &[Capability]) -> csi::Channel {
    let host = Arc::new(node::testing::Machine::default());
    let machine = Machine {
        host: host.clone(),
        loops: host,
    };
    let config = Config {
        name: DRIVER.to_owned(),
        node_id: "node".to_owned(),
        capacity_bytes: 1 << 40,
        max_volumes: 0,
        capabilities: Capabilities::without(off),
        ready_after: Duration::from_secs(20),
    };
    let clock = world.clock.clone();
    let driver = Driver::new(config, folder.path(), machine, clock, &Registry::new()).unwrap();
    let socket = &world.socket;
    socket.listen(driver.routes(), &Faults::none(), world.scope.child());
    csi::Channel::in_process(driver.routes())
}

fn usage() -> VolumeCapability {
    VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume::default())),
        access_mode: Some(AccessMode {
            mode: access_mode::Mode::SingleNodeWriter.into(),
        }),
    }
}

/// Makes a volume of one GiB; its handle.
async fn make(channel: &csi::Channel, name: &str) -> String {
    let request = CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(CapacityRange {
            required_bytes: 1 << 30,
            limit_bytes: 0,
        }),
        volume_capabilities: vec![usage()],
        ..CreateVolumeRequest::default()
    };
    let answer = channel.controller().create_volume(request).await.unwrap();
    answer.into_inner().volume.unwrap().volume_id
}

fn is_ready(object: &Value) -> bool {
    object["status"]["readyToUse"] == true
}

/// The group and all snapshots are ready.
fn is_whole(world: &World) -> bool {
    let group = world.store().get(GROUPS, "ns", "nightly");
    let snapshots = world.store().list(SNAPSHOTS, None);
    group.is_some_and(|group| is_ready(group.value()))
        && snapshots.iter().all(|snapshot| is_ready(snapshot.value()))
}

/// `status.error` of the group, as text.
fn group_error(world: &World) -> Option<String> {
    let group = world.store().get(GROUPS, "ns", "nightly")?;
    let message = &group.value()["status"]["error"]["message"];
    message.as_str().map(str::to_owned)
}

/// There is neither a snapshot nor a group, nor a content of either.
fn is_empty(world: &World) -> bool {
    let none = |resource| world.store().list(resource, None).is_empty();
    [SNAPSHOTS, CONTENTS, GROUPS, GROUP_CONTENTS]
        .into_iter()
        .all(none)
}

/// What a process has asked the driver about groups.
fn group_calls(process: &Process) -> Vec<String> {
    let calls = process.faults.calls().into_iter().map(|(call, _)| call.name);
    calls.filter(|name| name.contains("GroupController")).collect()
}

#[tokio::test(start_paused = true)]
async fn snapshots_and_groups_of_files_are_taken_and_deleted() {
    let scene = Scene::without(&[]).await;
    let _processes = scene.start(&["snapshot-controller", "csi-snapshotter"]).await;
    let world = &scene.world;
    world.create_snapshot("s", "data", "files");
    world
        .until("the snapshot is ready", |world| world.is_ready("s"))
        .await;
    let taken = scene.snapshots().await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].source_volume_id, scene.handles[0]);
    let stored = world.contents()[0]["status"]["snapshotHandle"].clone();
    assert_eq!(stored, taken[0].snapshot_id.as_str());

    scene.take_group();
    world
        .until("the group is ready", |world| {
            is_whole(world) && world.store().list(SNAPSHOTS, None).len() == 3
        })
        .await;
    let members = scene.snapshots().await;
    let members: Vec<&Snapshot> = members
        .iter()
        .filter(|one| !one.group_snapshot_id.is_empty())
        .collect();
    assert_eq!(members.len(), 2);
    assert_eq!(members[0].group_snapshot_id, members[1].group_snapshot_id);

    world.store().delete(GROUPS, "ns", "nightly", None).unwrap();
    world.delete_snapshot("s");
    world.until("all is gone", is_empty).await;
    assert!(scene.snapshots().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_volume_of_a_file_grows_and_is_changed_by_class() {
    let scene = Scene::without(&[]).await;
    let _processes = scene.start(&["csi-resizer"]).await;
    let world = &scene.world;
    world.expand("data", "3Gi");
    world
        .until("the claim has grown", |world| world.is_expanded("data", "3Gi"))
        .await;
    assert_eq!(std::fs::metadata(scene.data(0)).unwrap().len(), 3 << 30);
    assert_eq!(std::fs::metadata(scene.data(1)).unwrap().len(), 1 << 30);
    world.want_class("data", "noted");
    let is_noted = |world: &World| {
        let claim = world.claim("data").unwrap();
        claim["status"]["currentVolumeAttributesClassName"] == "noted"
    };
    world.until("the volume is changed", is_noted).await;
    let record = std::fs::read_to_string(scene.data(0).with_file_name("record.json")).unwrap();
    assert!(record.contains("\"comment\": \"noted\""), "{record}");
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_ends_with_what_its_driver_lacks() {
    use Capability::{ControllerService, CreateDeleteSnapshot, ExpandVolume, ModifyVolume, NodeExpandVolume};

    let rows: [(&[Capability], &str, &str); 3] = [
        (
            &[CreateDeleteSnapshot],
            "csi-snapshotter",
            "lacks the controller capability CREATE_DELETE_SNAPSHOT",
        ),
        (
            &[ControllerService],
            "csi-resizer",
            "lacks the plugin capability CONTROLLER_SERVICE",
        ),
        (
            &[ExpandVolume, NodeExpandVolume, ModifyVolume],
            "csi-resizer",
            "neither expansion in its controller nor in its node service",
        ),
    ];
    for (off, function, says) in rows {
        let scene = Scene::without(off).await;
        let processes = scene.start(&[function]).await;
        let is_gone = |_: &World| processes[0].is_gone();
        scene.world.until("the process ends", is_gone).await;
        let failure = processes[0].failure().unwrap();
        assert!(failure.contains(DRIVER) && failure.contains(says), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_driver_lacks_is_told_on_the_claim() {
    let scene = Scene::without(&[Capability::ModifyVolume]).await;
    let _processes = scene.start(&["csi-resizer"]).await;
    scene.world.want_class("data", "noted");
    let is_told = |world: &World| {
        let events = world.events("data");
        let says =
            format!("the CSI driver {DRIVER} cannot change volumes: it lacks the capability MODIFY_VOLUME");
        events.iter().any(|(_, message)| message.contains(&says))
    };
    scene.world.until("the claim is told", is_told).await;
}

#[tokio::test(start_paused = true)]
async fn an_expansion_that_the_driver_lacks_in_use_is_told_on_the_claim() {
    let scene = Scene::without(&[Capability::Online]).await;
    let request = ControllerPublishVolumeRequest {
        volume_id: scene.handles[0].clone(),
        node_id: "node".to_owned(),
        volume_capability: Some(usage()),
        ..ControllerPublishVolumeRequest::default()
    };
    let mut controller = scene.channel.controller();
    controller.controller_publish_volume(request).await.unwrap();
    let _processes = scene.start(&["csi-resizer"]).await;
    scene.world.expand("data", "3Gi");
    let is_told = |world: &World| {
        let events = world.events("data");
        events
            .iter()
            .any(|(_, message)| message.contains("lacks ONLINE expansion"))
    };
    scene.world.until("the claim is told", is_told).await;
    assert_eq!(std::fs::metadata(scene.data(0)).unwrap().len(), 1 << 30);
}

#[tokio::test(start_paused = true)]
async fn without_expansion_on_the_node_a_claim_has_grown_with_its_volume() {
    let scene = Scene::without(&[Capability::NodeExpandVolume]).await;
    let world = &scene.world;
    // No kubelet: nobody else can end the expansion.
    world.node.abort();
    let _processes = scene.start(&["csi-resizer"]).await;
    world.expand("data", "3Gi");
    world
        .until("the claim has grown", |world| world.is_expanded("data", "3Gi"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_lists_an_imported_snapshot_counts_as_ready() {
    let scene = Scene::without(&[Capability::ListSnapshots]).await;
    let _processes = scene.start(&["snapshot-controller", "csi-snapshotter"]).await;
    let world = &scene.world;
    let handle = format!("snap-{:032x}", 7);
    let content = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
        "metadata": {"name": "imported"},
        "spec": {
            "deletionPolicy": "Retain", "driver": DRIVER, "source": {"snapshotHandle": handle},
            "volumeSnapshotRef": {"name": "i", "namespace": "ns"},
        },
    });
    let snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": "i", "namespace": "ns"},
        "spec": {"source": {"volumeSnapshotContentName": "imported"}},
    });
    world.store().create(CONTENTS, content).unwrap();
    world.store().create(SNAPSHOTS, snapshot).unwrap();
    world
        .until("it counts as ready", |world| world.is_ready("i"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn journeys_case_31_a_group_that_the_driver_lacks_is_told_and_single_snapshots_are_taken() {
    for off in [
        Capability::GroupControllerService,
        Capability::CreateDeleteGetVolumeGroupSnapshot,
    ] {
        let scene = Scene::without(&[off]).await;
        let processes = scene.start(&["snapshot-controller", "csi-snapshotter"]).await;
        let world = &scene.world;
        scene.take_group();
        let says = format!(
            "the CSI driver {DRIVER} takes no group snapshots: it lacks the capability \
             CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT; take a VolumeSnapshot of each claim instead"
        );
        let told = ("GroupSnapshotNotSupported".to_owned(), says.clone());
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(group_error(world), Some(says), "within a minute");
        assert!(
            world.events("nightly").contains(&told),
            "{:?}",
            world.events("nightly")
        );
        world.create_snapshot("s", "data", "files");
        world
            .until("the snapshot is ready", |world| world.is_ready("s"))
            .await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(scene.snapshots().await.len(), 1, "nothing is taken for the group");
        assert_eq!(
            group_calls(&processes[1]).len(),
            1,
            "{:?}",
            group_calls(&processes[1])
        );

        world.store().delete(GROUPS, "ns", "nightly", None).unwrap();
        world.delete_snapshot("s");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(is_empty(world), "its deletion waits for nobody");
        assert_eq!(
            group_calls(&processes[1]).len(),
            1,
            "{:?}",
            group_calls(&processes[1])
        );
    }
}

#[tokio::test(start_paused = true)]
async fn journeys_case_31_a_group_that_waits_is_taken_once_the_driver_has_groups() {
    let mut scene = Scene::without(&[Capability::GroupControllerService]).await;
    let mut processes = scene.start(&["snapshot-controller", "csi-snapshotter"]).await;
    scene.take_group();
    let is_told = |world: &World| group_error(world).is_some();
    scene.world.until("the group is told", is_told).await;
    drop(processes.pop());
    scene.replace_driver(&[]);
    processes.extend(scene.start(&["csi-snapshotter"]).await);
    let world = &scene.world;
    world
        .until("the group is ready", |world| {
            is_whole(world) && world.store().list(SNAPSHOTS, None).len() == 2
        })
        .await;
    assert_eq!(group_error(world), None);
    world.store().delete(GROUPS, "ns", "nightly", None).unwrap();
    world.until("all is gone", is_empty).await;
    assert!(scene.snapshots().await.is_empty());
}
