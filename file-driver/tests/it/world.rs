//! A driver over a folder, called in process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use csi::Channel;
use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use csi::v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use csi::v1::*;
use file_driver::driver::Machine as DriverMachine;
use file_driver::folder::{Files, Folder};
use file_driver::{Capabilities, Capability, Config, Driver};
use node::testing::Machine;
use prometheus::Registry;
use tempfile::TempDir;
use tonic::Status;

pub const MIB: i64 = 1 << 20;
pub const NODE: &str = "node-a";

/// The folder and the machine, which outlive the process of the driver.
pub struct World {
    pub folder: TempDir,
    pub machine: Arc<Machine>,
    pub config: Config,
    pub clock: Clock,
}

/// A process of the driver. Dropping it ends it.
pub struct Process {
    pub channel: Channel,
}

impl World {
    pub fn new() -> Self {
        Self::without(&[])
    }

    /// With a driver that lacks these.
    pub fn without(off: &[Capability]) -> Self {
        let config = Config {
            name: "file.test".to_owned(),
            node_id: NODE.to_owned(),
            capacity_bytes: 1 << 30,
            max_volumes: 0,
            capabilities: Capabilities::without(off),
            ready_after: Duration::ZERO,
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            machine: Arc::default(),
            config,
            clock: Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap()),
        }
    }

    pub fn start(&self) -> Process {
        self.start_with(Files::default())
    }

    /// Starts the driver, whose process dies with these files.
    pub fn start_with(&self, files: Files) -> Process {
        let folder = Folder::open(self.path(), files).unwrap();
        let machine = DriverMachine {
            host: self.machine.clone(),
            loops: self.machine.clone(),
        };
        let (config, clock) = (self.config.clone(), self.clock.clone());
        let driver = Driver::over(config, folder, machine, clock, &Registry::new()).unwrap();
        Process {
            channel: Channel::in_process(driver.routes()),
        }
    }

    /// The folder without its links, as the table of mounts has paths.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the data of a volume are.
    pub fn data(&self, volume: &str) -> PathBuf {
        self.path().join("volumes").join(volume).join("data")
    }

    /// All that the folder shows: paths and contents.
    pub fn picture(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        for kind in ["volumes", "snapshots", "groups", "scratch"] {
            collect(&self.path().join(kind), self.path(), &mut all);
        }
        all
    }
}

fn collect(at: &Path, root: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if path.is_dir() {
            all.insert(format!("{name}/"), Vec::new());
            collect(&path, root, all);
        } else if path.extension().is_none_or(|end| end != "new") {
            all.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

pub type Reply<T> = Result<T, Status>;

impl Process {
    pub async fn create(&self, request: CreateVolumeRequest) -> Reply<Volume> {
        let answer = self.channel.controller().create_volume(request).await?;
        Ok(answer.into_inner().volume.unwrap())
    }

    pub async fn delete(&self, id: &str) -> Reply<()> {
        let volume_id = id.to_owned();
        let request = DeleteVolumeRequest {
            volume_id,
            ..Default::default()
        };
        self.channel.controller().delete_volume(request).await.map(drop)
    }

    pub async fn take(&self, name: &str, volume: &str) -> Reply<Snapshot> {
        let request = CreateSnapshotRequest {
            name: name.to_owned(),
            source_volume_id: volume.to_owned(),
            ..Default::default()
        };
        let answer = self.channel.controller().create_snapshot(request).await?;
        Ok(answer.into_inner().snapshot.unwrap())
    }

    pub async fn delete_snapshot(&self, id: &str) -> Reply<()> {
        let snapshot_id = id.to_owned();
        let request = DeleteSnapshotRequest {
            snapshot_id,
            ..Default::default()
        };
        self.channel.controller().delete_snapshot(request).await.map(drop)
    }

    pub async fn take_group(&self, name: &str, volumes: &[&str]) -> Reply<VolumeGroupSnapshot> {
        let request = CreateVolumeGroupSnapshotRequest {
            name: name.to_owned(),
            source_volume_ids: volumes.iter().map(|id| (*id).to_owned()).collect(),
            ..Default::default()
        };
        let mut groups = self.channel.group_controller();
        let answer = groups.create_volume_group_snapshot(request).await?;
        Ok(answer.into_inner().group_snapshot.unwrap())
    }

    pub async fn get_group(&self, id: &str, members: &[String]) -> Reply<VolumeGroupSnapshot> {
        let request = GetVolumeGroupSnapshotRequest {
            group_snapshot_id: id.to_owned(),
            snapshot_ids: members.to_vec(),
            ..Default::default()
        };
        let mut groups = self.channel.group_controller();
        let answer = groups.get_volume_group_snapshot(request).await?;
        Ok(answer.into_inner().group_snapshot.unwrap())
    }

    pub async fn delete_group(&self, id: &str, members: &[String]) -> Reply<()> {
        let request = DeleteVolumeGroupSnapshotRequest {
            group_snapshot_id: id.to_owned(),
            snapshot_ids: members.to_vec(),
            ..Default::default()
        };
        let mut groups = self.channel.group_controller();
        groups.delete_volume_group_snapshot(request).await.map(drop)
    }

    pub async fn expand(&self, id: &str, bytes: i64) -> Reply<ControllerExpandVolumeResponse> {
        let request = ControllerExpandVolumeRequest {
            volume_id: id.to_owned(),
            capacity_range: at_least(bytes),
            ..Default::default()
        };
        let answer = self
            .channel
            .controller()
            .controller_expand_volume(request)
            .await?;
        Ok(answer.into_inner())
    }

    pub async fn modify(&self, id: &str, key: &str, value: &str) -> Reply<()> {
        let request = ControllerModifyVolumeRequest {
            volume_id: id.to_owned(),
            mutable_parameters: BTreeMap::from([(key.to_owned(), value.to_owned())]),
            ..Default::default()
        };
        let answer = self.channel.controller().controller_modify_volume(request).await;
        answer.map(drop)
    }

    pub async fn publish(&self, id: &str, readonly: bool) -> Reply<()> {
        let request = ControllerPublishVolumeRequest {
            volume_id: id.to_owned(),
            node_id: NODE.to_owned(),
            volume_capability: Some(mounted()),
            readonly,
            ..Default::default()
        };
        let answer = self.channel.controller().controller_publish_volume(request).await;
        answer.map(drop)
    }

    pub async fn unpublish(&self, id: &str, node: &str) -> Reply<()> {
        let request = ControllerUnpublishVolumeRequest {
            volume_id: id.to_owned(),
            node_id: node.to_owned(),
            ..Default::default()
        };
        let answer = self
            .channel
            .controller()
            .controller_unpublish_volume(request)
            .await;
        answer.map(drop)
    }

    /// IDs of all volumes.
    pub async fn volumes(&self) -> Vec<String> {
        let request = ListVolumesRequest::default();
        let answer = self.channel.controller().list_volumes(request).await.unwrap();
        let entries = answer.into_inner().entries.into_iter();
        entries.map(|entry| entry.volume.unwrap().volume_id).collect()
    }

    /// All snapshots.
    pub async fn snapshots(&self) -> Vec<Snapshot> {
        let request = ListSnapshotsRequest::default();
        let answer = self.channel.controller().list_snapshots(request).await.unwrap();
        let entries = answer.into_inner().entries.into_iter();
        entries.map(|entry| entry.snapshot.unwrap()).collect()
    }
}

pub fn at_least(bytes: i64) -> Option<CapacityRange> {
    Some(CapacityRange {
        required_bytes: bytes,
        limit_bytes: 0,
    })
}

/// A file system to be written from one node.
pub fn mounted() -> VolumeCapability {
    capability(AccessType::Mount(MountVolume::default()), Mode::SingleNodeWriter)
}

/// A block device to be written from one node.
pub fn block() -> VolumeCapability {
    capability(AccessType::Block(BlockVolume {}), Mode::SingleNodeWriter)
}

pub fn capability(access_type: AccessType, mode: Mode) -> VolumeCapability {
    VolumeCapability {
        access_type: Some(access_type),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}

/// A volume of one MiB.
pub fn volume(name: &str) -> CreateVolumeRequest {
    CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: at_least(MIB),
        volume_capabilities: vec![mounted()],
        ..Default::default()
    }
}

pub fn of_snapshot(name: &str, id: &str) -> CreateVolumeRequest {
    let source = SnapshotSource {
        snapshot_id: id.to_owned(),
    };
    of(name, Type::Snapshot(source))
}

pub fn of_volume(name: &str, id: &str) -> CreateVolumeRequest {
    let source = VolumeSource {
        volume_id: id.to_owned(),
    };
    of(name, Type::Volume(source))
}

fn of(name: &str, source: Type) -> CreateVolumeRequest {
    CreateVolumeRequest {
        volume_content_source: Some(VolumeContentSource { r#type: Some(source) }),
        ..volume(name)
    }
}

/// IDs of the members of a group.
pub fn members(group: &VolumeGroupSnapshot) -> Vec<String> {
    let id = |snapshot: &Snapshot| snapshot.snapshot_id.clone();
    group.snapshots.iter().map(id).collect()
}

/// That a call was refused with this code and this word.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(reply: Reply<T>, code: tonic::Code, says: &str) {
    let status = reply.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().contains(says), "{says}: {}", status.message());
}
