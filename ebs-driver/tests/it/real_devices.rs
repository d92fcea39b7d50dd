//! Controller and node service on real devices: volumes of the simulated EC2 are files, attached ones loop devices.
//! It needs root; without it the tests say that they were not run.

mod bad_input;
mod data;
mod growth;
mod links;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use csi::Channel;
use csi::v1::{
    ControllerExpandVolumeRequest, ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest,
    NodeExpandVolumeRequest, NodeGetVolumeStatsRequest, NodePublishVolumeRequest, NodeStageVolumeRequest,
    NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest, VolumeCapability,
};
use ebs_driver::node::InstanceInfo;
use ebs_driver::{NodeConfig, NodeService};
use node::Host;
use node::linux::LinuxHost;
use prometheus::Registry;
use sandbox::ec2::Storage;
use sandbox::node::Machine;
use tempfile::TempDir;
use tonic::Status;

use crate::world::{GIB, World, range};

const ZONE: &str = "us-east-1a";
/// `SLACKWATER_ROOT_TESTS=required` makes it a failure that a test cannot run.
const REQUIRED: &str = "SLACKWATER_ROOT_TESTS";

/// A driver and a node over volumes with data.
struct Bench {
    world: World,
    node: Channel,
    host: LinuxHost,
    machine: Machine,
    folder: TempDir,
}

/// Before the folder goes: nothing is to be mounted in it any more.
impl Drop for Bench {
    fn drop(&mut self) {
        self.world.ec2.discard_data();
    }
}

/// A volume on the node.
struct Used {
    id: String,
    device: String,
    wanted: VolumeCapability,
    staging: PathBuf,
    target: PathBuf,
}

/// None, with a line that says so, where it cannot be had.
fn bench(test: &str) -> Option<Bench> {
    let folder = tempfile::tempdir().unwrap();
    let storage = if has_tools() {
        Storage::new(folder.path().join("ebs")).map_err(|error| error.to_string())
    } else {
        Err("needs e2fsprogs and xfsprogs".to_owned())
    };
    let storage = match storage {
        Ok(storage) => storage,
        Err(error) => {
            let is_required = std::env::var(REQUIRED).as_deref() == Ok("required");
            assert!(!is_required, "{test}: {error}");
            eprintln!("not run: {test}: {error}");
            return None;
        }
    };
    let world = World::new();
    world.ec2.keep_data(storage).unwrap();
    let machine = Machine::launch(&world.ec2, "n", ZONE, "m5.large").unwrap();
    let host = world.ec2.linux_host(machine.instance_id()).unwrap().unwrap();
    Some(Bench {
        node: serve(&machine, host.clone()),
        world,
        host,
        machine,
        folder,
    })
}

fn has_tools() -> bool {
    let has = |tool: &str| std::process::Command::new(tool).arg("-V").output().is_ok();
    ["mkfs.ext4", "resize2fs", "mkfs.xfs", "xfs_growfs"]
        .into_iter()
        .all(has)
}

fn serve(machine: &Machine, host: LinuxHost) -> Channel {
    let instance = InstanceInfo {
        instance_id: machine.instance_id().into(),
        ..InstanceInfo::default()
    };
    let config = NodeConfig::default();
    let service = NodeService::new(config, Arc::new(host), Arc::new(instance), &Registry::new());
    Channel::in_process(service.unwrap().routes())
}

fn request<T>(message: T) -> tonic::Request<T> {
    csi::channel::request(message, Duration::from_secs(60))
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A volume of one GiB.
    fn volume(&self) -> String {
        self.world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap()
    }

    /// A volume made of a snapshot by hand.
    fn restored(&self, snapshot: &str) -> String {
        let parameters = [("AvailabilityZone", ZONE), ("SnapshotId", snapshot)];
        self.world
            .ec2
            .create_volume_fixture_with(&parameters, &[])
            .unwrap()
    }

    async fn attach(&self, id: &str, wanted: VolumeCapability) -> Used {
        let message = ControllerPublishVolumeRequest {
            volume_id: id.into(),
            node_id: self.machine.instance_id().into(),
            volume_capability: Some(wanted.clone()),
            ..ControllerPublishVolumeRequest::default()
        };
        let mut controller = self.world.channel.controller();
        let answer = controller.controller_publish_volume(request(message)).await;
        let device = answer.unwrap().into_inner().publish_context["devicePath"].clone();
        Used {
            id: id.into(),
            device,
            wanted,
            staging: self.path(&format!("staging/{id}")),
            target: self.path(&format!("pods/{id}")),
        }
    }

    async fn stage(&self, used: &Used) -> Result<(), Status> {
        self.stage_at(&self.node, used).await
    }

    async fn stage_at(&self, node: &Channel, used: &Used) -> Result<(), Status> {
        let message = NodeStageVolumeRequest {
            volume_id: used.id.clone(),
            publish_context: [("devicePath".to_owned(), used.device.clone())].into(),
            staging_target_path: text(&used.staging),
            volume_capability: Some(used.wanted.clone()),
            ..NodeStageVolumeRequest::default()
        };
        node.node().node_stage_volume(request(message)).await.map(drop)
    }

    async fn publish(&self, used: &Used) -> Result<(), Status> {
        let message = NodePublishVolumeRequest {
            volume_id: used.id.clone(),
            publish_context: [("devicePath".to_owned(), used.device.clone())].into(),
            staging_target_path: text(&used.staging),
            target_path: text(&used.target),
            volume_capability: Some(used.wanted.clone()),
            ..NodePublishVolumeRequest::default()
        };
        self.node
            .node()
            .node_publish_volume(request(message))
            .await
            .map(drop)
    }

    /// Attached, staged and published.
    async fn use_it(&self, id: &str, wanted: VolumeCapability) -> Used {
        let used = self.attach(id, wanted).await;
        self.stage(&used).await.unwrap();
        self.publish(&used).await.unwrap();
        used
    }

    async fn unstage(&self, used: &Used) {
        let mut node = self.node.node();
        let message = NodeUnpublishVolumeRequest {
            volume_id: used.id.clone(),
            target_path: text(&used.target),
        };
        node.node_unpublish_volume(request(message)).await.unwrap();
        let message = NodeUnstageVolumeRequest {
            volume_id: used.id.clone(),
            staging_target_path: text(&used.staging),
        };
        // As kubelet does; see `nothing_left`.
        for _ in 0..3000 {
            match node.node_unstage_volume(request(message.clone())).await {
                Err(status) if status.message().contains("is in use") => {}
                answer => return drop(answer.unwrap()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} is in use for a minute", used.id);
    }

    async fn give_back(&self, used: &Used) {
        self.unstage(used).await;
        let message = ControllerUnpublishVolumeRequest {
            volume_id: used.id.clone(),
            node_id: self.machine.instance_id().into(),
            ..ControllerUnpublishVolumeRequest::default()
        };
        let mut controller = self.world.channel.controller();
        controller
            .controller_unpublish_volume(request(message))
            .await
            .unwrap();
    }

    async fn snapshot(&self, name: &str, id: &str) -> String {
        let made = self
            .world
            .create_snapshot(crate::world::snapshot(name, id, &[]))
            .await;
        made.unwrap().snapshot_id
    }

    async fn expand_volume(&self, used: &Used, gib: i64) {
        let message = ControllerExpandVolumeRequest {
            volume_id: used.id.clone(),
            capacity_range: range(gib * GIB, 0),
            volume_capability: Some(used.wanted.clone()),
            ..ControllerExpandVolumeRequest::default()
        };
        let mut controller = self.world.channel.controller();
        controller
            .controller_expand_volume(request(message))
            .await
            .unwrap();
    }

    /// The size that the node answers.
    async fn expand_on(&self, node: &Channel, used: &Used) -> Result<i64, Status> {
        let message = NodeExpandVolumeRequest {
            volume_id: used.id.clone(),
            volume_path: text(&used.target),
            staging_target_path: text(&used.staging),
            ..NodeExpandVolumeRequest::default()
        };
        let answer = node.node().node_expand_volume(request(message)).await?;
        Ok(answer.into_inner().capacity_bytes)
    }

    /// Bytes of what a pod sees.
    async fn total(&self, used: &Used) -> i64 {
        let message = NodeGetVolumeStatsRequest {
            volume_id: used.id.clone(),
            volume_path: text(&used.target),
            ..NodeGetVolumeStatsRequest::default()
        };
        let answer = self.node.node().node_get_volume_stats(request(message)).await;
        answer.unwrap().into_inner().usage[0].total
    }

    /// The device of an attached volume.
    async fn device(&self, used: &Used) -> PathBuf {
        let name = used.device.trim_start_matches("/dev/");
        let device = self.host.block_device(&self.host.dev().join(name)).await;
        device.unwrap().unwrap().path
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Writes and waits until it is on the device.
fn write(path: &Path, data: &[u8]) {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap();
    file.write_all(data).unwrap();
    file.sync_all().unwrap();
}

fn read_at(path: &Path, offset: u64, length: usize) -> Vec<u8> {
    let mut file = File::open(path).unwrap();
    let mut data = vec![0; length];
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.read_exact(&mut data).unwrap();
    data
}

/// Waits until devices and mounts below a folder are gone: the program of another test, while it begins, may hold a copy of
/// a file that was open here.
async fn nothing_left(folder: &Path) {
    for _ in 0..3000 {
        if left_of(folder).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("left: {:?}", left_of(folder));
}

/// What losetup and the kernel's table know below a folder.
fn left_of(folder: &Path) -> Vec<String> {
    let output = std::process::Command::new("losetup")
        .arg("--list")
        .output()
        .unwrap();
    let devices = String::from_utf8_lossy(&output.stdout).into_owned();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let folder = text(folder);
    let lines = devices.lines().chain(mounts.lines());
    lines
        .filter(|line| line.contains(&folder))
        .map(str::to_owned)
        .collect()
}
