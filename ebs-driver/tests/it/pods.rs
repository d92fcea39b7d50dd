//! Driver, node service, attacher and kubelet on a machine of the simulated EC2: all that a pod with a volume needs.

use std::sync::Arc;
use std::time::Duration;

use base::{Random, Scope};
use csi::Channel;
use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::{
    ControllerExpandVolumeRequest, NodeExpandVolumeRequest, NodePublishVolumeRequest, NodeStageVolumeRequest,
    VolumeCapability,
};
use ebs_driver::node::InstanceInfo;
use ebs_driver::{NodeConfig, NodeService};
use node::{Host, Mount, MountRequest};
use prometheus::Registry;
use sandbox::actors::{self, Options};
use sandbox::ec2::Disk;
use sandbox::kube::{ApiServer, GroupResource, Store};
use sandbox::node::Machine;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::world::{GIB, World, block, code, map, mount, range};

const DRIVER: &str = "ebs.csi.aws.com";
const ZONE: &str = "us-east-1a";
const CLAIMS: GroupResource<'_> = GroupResource::new("", "persistentvolumeclaims");
const VOLUMES: GroupResource<'_> = GroupResource::new("", "persistentvolumes");
const PODS: GroupResource<'_> = GroupResource::new("", "pods");
const NODES: GroupResource<'_> = GroupResource::new("", "nodes");

struct Cluster {
    world: World,
    machine: Machine,
    node: Channel,
    api: ApiServer,
    store: Store,
    _scope: Scope,
}

impl Cluster {
    /// A cluster with the driver and one node.
    fn new() -> Self {
        let (world, scope) = (World::new(), Scope::new());
        let api = ApiServer::new(world.clock.clone(), Random::seeded(3), &scope);
        let machine = Machine::launch(&world.ec2, "node-a", ZONE, "m5.large").unwrap();
        let instance = InstanceInfo {
            instance_id: machine.instance_id().into(),
            instance_type: machine.instance_type().into(),
            region: machine.region().into(),
            zone: machine.zone().into(),
            interfaces: 1,
            ..InstanceInfo::default()
        };
        let service = NodeService::new(
            NodeConfig::default(),
            machine.host(),
            Arc::new(instance),
            &Registry::new(),
        );
        let node = Channel::in_process(service.unwrap().routes());
        let options = Options::default()
            .with_attacher(DRIVER, world.channel.clone())
            .with_node(machine.node().with_driver(DRIVER, node.clone()));
        actors::run_with(&api, &scope, world.clock.clone(), options);
        let store = api.store("tester");
        Self {
            world,
            machine,
            node,
            api,
            store,
            _scope: scope,
        }
    }

    /// A claim bound to a volume of EC2, and a pod of the same name that mounts it.
    fn pod(&self, name: &str, handle: &str, gib: u32, fs_type: &str) {
        let size = format!("{gib}Gi");
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "storageClassName": "",
                "csi": {"driver": DRIVER, "volumeHandle": handle, "fsType": fs_type},
            },
        });
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}},
                "storageClassName": "", "volumeName": name,
            },
        });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "containers": [{"name": "a", "image": "busybox"}],
                "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": name}}],
            },
        });
        self.store.create(VOLUMES, volume).unwrap();
        self.store.create(CLAIMS, claim).unwrap();
        self.store.create(PODS, pod).unwrap();
    }

    async fn settle(&self) {
        for _ in 0..100 {
            let revision = self.api.revision();
            tokio::time::sleep(Duration::from_secs(5)).await;
            if self.api.revision() == revision {
                return;
            }
        }
    }

    fn get(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Value {
        let object = self.store.get(resource, namespace, name);
        object.map(|object| object.value().clone()).unwrap_or_default()
    }

    fn assert_running(&self, pod: &str) {
        let status = self.get(PODS, "default", pod)["status"].clone();
        assert_eq!(status["phase"], "Running", "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_gets_its_volume_and_gives_it_back() {
    let cluster = Cluster::new();
    let ec2 = &cluster.world.ec2;
    let volume = ec2.create_volume_fixture(ZONE, 10, &[]).unwrap();
    cluster.pod("p", &volume, 10, "ext4");
    cluster.settle().await;
    cluster.assert_running("p");
    assert_eq!(ec2.disk(&volume), Some(Disk::file_system("ext4", 10 << 30)));
    let mounts = cluster.machine.host().mounts().await.unwrap();
    let uid = cluster.get(PODS, "default", "p")["metadata"]["uid"].clone();
    let target = format!(
        "/var/lib/kubelet/pods/{}/volumes/kubernetes.io~csi/p/mount",
        uid.as_str().unwrap()
    );
    assert!(
        mounts
            .iter()
            .any(|mount| mount.target.as_os_str() == target.as_str())
    );
    let node = cluster.get(NODES, "", "node-a");
    assert_eq!(
        node["spec"]["providerID"],
        format!("aws:///{ZONE}/{}", cluster.machine.instance_id())
    );
    assert_eq!(node["metadata"]["labels"]["topology.ebs.csi.aws.com/zone"], ZONE);
    cluster.store.delete(PODS, "default", "p", None).unwrap();
    cluster.settle().await;
    assert!(cluster.machine.host().mounts().await.unwrap().is_empty());
    assert!(ec2.state().volumes[&volume].attachments.is_empty());
}

#[tokio::test(start_paused = true)]
async fn both_halves_of_an_expansion_reach_the_file_system() {
    let cluster = Cluster::new();
    let ec2 = &cluster.world.ec2;
    let volume = ec2.create_volume_fixture(ZONE, 10, &[]).unwrap();
    cluster.pod("p", &volume, 10, "xfs");
    cluster.settle().await;
    cluster.assert_running("p");
    let request = ControllerExpandVolumeRequest {
        volume_id: volume.clone(),
        capacity_range: range(20 * GIB, 0),
        volume_capability: Some(mount("xfs")),
        ..ControllerExpandVolumeRequest::default()
    };
    let request = csi::channel::request(request, Duration::from_secs(60));
    cluster
        .world
        .channel
        .controller()
        .controller_expand_volume(request)
        .await
        .unwrap();
    assert_eq!(ec2.disk(&volume), Some(Disk::file_system("xfs", 10 << 30)));
    // What the resizer writes.
    cluster
        .store
        .update_status(CLAIMS, "default", "p", |claim| {
            claim["status"]["allocatedResources"] = json!({"storage": "20Gi"});
            claim["status"]["allocatedResourceStatuses"] = json!({"storage": "NodeResizePending"});
        })
        .unwrap();
    let grown = |volume: &mut Value| volume["spec"]["capacity"]["storage"] = json!("20Gi");
    cluster.store.update(VOLUMES, "", "p", grown).unwrap();
    cluster.settle().await;
    assert_eq!(ec2.disk(&volume), Some(Disk::file_system("xfs", 20 << 30)));
    let claim = cluster.get(CLAIMS, "default", "p");
    assert_eq!(claim["status"]["capacity"]["storage"], "20Gi");
}

#[tokio::test(start_paused = true)]
async fn a_larger_volume_of_a_snapshot_grows_when_it_is_staged() {
    let cluster = Cluster::new();
    let ec2 = &cluster.world.ec2;
    let volume = ec2.create_volume_fixture(ZONE, 10, &[]).unwrap();
    cluster.pod("p", &volume, 10, "ext4");
    cluster.settle().await;
    let snapshot = ec2.create_snapshot_fixture(&volume, &[]).unwrap();
    let parameters = [
        ("AvailabilityZone", ZONE),
        ("SnapshotId", &snapshot),
        ("Size", "20"),
    ];
    let restored = ec2.create_volume_fixture_with(&parameters, &[]).unwrap();
    assert_eq!(ec2.disk(&restored), Some(Disk::file_system("ext4", 10 << 30)));
    cluster.pod("q", &restored, 20, "ext4");
    cluster.settle().await;
    cluster.assert_running("q");
    assert_eq!(ec2.disk(&restored), Some(Disk::file_system("ext4", 20 << 30)));
}

#[tokio::test(start_paused = true)]
async fn a_volume_with_other_data_is_not_touched_and_the_pod_is_told() {
    let cluster = Cluster::new();
    let ec2 = &cluster.world.ec2;
    let volume = ec2.create_volume_fixture(ZONE, 10, &[]).unwrap();
    let other = Disk::file_system("btrfs", 10 << 30);
    ec2.write_disk(&volume, other.clone());
    cluster.pod("p", &volume, 10, "ext4");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ec2.disk(&volume), Some(other));
    let events = cluster.store.list(GroupResource::new("", "events"), None);
    let told = events.iter().any(|event| {
        let event = event.value();
        let message = event["message"].as_str().unwrap_or_default();
        event["reason"] == "FailedMount" && message.contains("holds btrfs, and ext4 is asked for")
    });
    assert!(told, "{events:?}");
}

const STAGING: &str = "/staging";
const TARGET: &str = "/pods/1/volume";

/// A machine with a volume of one GiB, without kubelet.
struct Node {
    cluster: Cluster,
    volume: String,
    wanted: VolumeCapability,
}

impl Node {
    async fn staged(wanted: VolumeCapability) -> Self {
        let cluster = Cluster::new();
        let ec2 = &cluster.world.ec2;
        let volume = ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
        ec2.attach_volume_fixture(&volume, cluster.machine.instance_id(), "/dev/xvdaa")
            .unwrap();
        let node = Self {
            cluster,
            volume,
            wanted,
        };
        let request = NodeStageVolumeRequest {
            volume_id: node.volume.clone(),
            publish_context: map(&[("devicePath", "/dev/xvdaa")]),
            staging_target_path: STAGING.into(),
            volume_capability: Some(node.wanted.clone()),
            ..NodeStageVolumeRequest::default()
        };
        node.cluster.node.node().node_stage_volume(request).await.unwrap();
        node
    }

    async fn publish(&self, readonly: bool) -> Result<(), Status> {
        let request = NodePublishVolumeRequest {
            volume_id: self.volume.clone(),
            publish_context: map(&[("devicePath", "/dev/xvdaa")]),
            staging_target_path: STAGING.into(),
            target_path: TARGET.into(),
            volume_capability: Some(self.wanted.clone()),
            readonly,
            ..NodePublishVolumeRequest::default()
        };
        self.cluster
            .node
            .node()
            .node_publish_volume(request)
            .await
            .map(drop)
    }

    /// The answer, and after how many seconds it came.
    async fn expand(&self, required_bytes: i64) -> (Result<i64, Status>, u64) {
        let request = NodeExpandVolumeRequest {
            volume_id: self.volume.clone(),
            volume_path: TARGET.into(),
            capacity_range: range(required_bytes, 0),
            volume_capability: Some(self.wanted.clone()),
            ..NodeExpandVolumeRequest::default()
        };
        let begun = tokio::time::Instant::now();
        let answer = self.cluster.node.node().node_expand_volume(request).await;
        let bytes = answer.map(|answer| answer.into_inner().capacity_bytes);
        (bytes, begun.elapsed().as_secs())
    }

    /// What the resizer asks for.
    async fn grow(&self, gib: i64) {
        let request = ControllerExpandVolumeRequest {
            volume_id: self.volume.clone(),
            capacity_range: range(gib * GIB, 0),
            ..ControllerExpandVolumeRequest::default()
        };
        let request = csi::channel::request(request, Duration::from_secs(60));
        let mut controller = self.cluster.world.channel.controller();
        controller.controller_expand_volume(request).await.unwrap();
    }

    async fn mounts(&self) -> Vec<Mount> {
        self.cluster.machine.host().mounts().await.unwrap()
    }
}

/// The process was killed after the bind and before it made that read-only.
#[tokio::test(start_paused = true)]
async fn ebs_case_181_a_mount_that_should_be_read_only_is_made_again() {
    let is_at_target = |mount: &&Mount| mount.target.as_os_str() == TARGET;
    for wanted in [mount("ext4"), block(Mode::SingleNodeWriter)] {
        let source = match block(Mode::SingleNodeWriter) == wanted {
            true => "/dev/xvdaa",
            false => STAGING,
        };
        let node = Node::staged(wanted).await;
        let host = node.cluster.machine.host();
        // A first publication makes the paths.
        node.publish(true).await.unwrap();
        host.unmount(TARGET.as_ref()).await.unwrap();
        let half = MountRequest {
            source: source.into(),
            target: TARGET.into(),
            fs_type: None,
            options: vec!["bind".into()],
        };
        host.mount(&half).await.unwrap();
        for _ in 0..2 {
            node.publish(true).await.unwrap();
            let mounts = node.mounts().await;
            let there: Vec<&Mount> = mounts.iter().filter(is_at_target).collect();
            assert!(there.len() == 1 && there[0].is_read_only(), "{source}: {there:?}");
        }
        // Who may write gets what is there.
        host.unmount(TARGET.as_ref()).await.unwrap();
        node.publish(false).await.unwrap();
        node.publish(false).await.unwrap();
        let mounts = node.mounts().await;
        let there: Vec<&Mount> = mounts.iter().filter(is_at_target).collect();
        assert!(
            there.len() == 1 && !there[0].is_read_only(),
            "{source}: {there:?}"
        );
    }
}

/// The kernel reads a new size a while after EC2 has it.
#[tokio::test(start_paused = true)]
async fn ebs_case_182_a_device_that_has_not_grown_yet_is_waited_for() {
    for (wanted, told) in [(mount("ext4"), 2 * GIB), (block(Mode::SingleNodeWriter), 0)] {
        let node = Node::staged(wanted).await;
        node.publish(false).await.unwrap();
        let (early, took) = node.expand(2 * GIB).await;
        assert_eq!((code(early), took), (Code::Unavailable, 3));
        let (waits, ()) = tokio::join!(node.expand(2 * GIB), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            node.grow(2).await;
        });
        assert_eq!(waits.0.unwrap(), told);
        // A size that EBS has rounded up.
        let (rounded, took) = node.expand(2 * GIB - 5).await;
        assert_eq!((rounded.unwrap(), took), (told, 0));
        if told > 0 {
            let disk = node.cluster.world.ec2.disk(&node.volume);
            assert_eq!(disk, Some(Disk::file_system("ext4", 2 << 30)));
        }
    }
}
