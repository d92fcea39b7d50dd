use std::sync::Arc;
use std::time::Duration;

use csi::Channel;
use csi::v1::volume_capability::AccessType;
use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::{
    CreateVolumeRequest, NodeExpandVolumeRequest, NodeGetInfoRequest, NodeGetVolumeStatsRequest,
    NodePublishVolumeRequest, NodeStageVolumeRequest, NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest,
    ProbeRequest, VolumeCapability,
};
use ebs_driver::node::{InstanceInfo, Limits};
use ebs_driver::{NodeConfig, NodeService};
use node::{Check, Contents, Host, HostError, Mount, PathKind};
use prometheus::Registry;
use tonic::{Code, Status};

use crate::scripted::Scripted;
use crate::world::{block, code, map, mount};

const VOLUME: &str = "vol-0a";
const NAME: &str = "/dev/xvdaa";
const DEVICE: &str = "/dev/nvme1n1";
const STAGING: &str = "/staging";
const TARGET: &str = "/pods/1/volume";

fn channel(host: &Arc<Scripted>, config: NodeConfig) -> Channel {
    let instance = InstanceInfo {
        instance_id: "i-1".into(),
        instance_type: "m5.large".into(),
        zone: "us-east-1a".into(),
        interfaces: 1,
        ..InstanceInfo::default()
    };
    let host: Arc<dyn Host> = host.clone();
    let service = NodeService::new(config, host, Arc::new(instance), &Registry::new()).unwrap();
    Channel::in_process(service.routes())
}

/// A node with the volume's device under both of its names.
fn node_with_volume() -> (Arc<Scripted>, Channel) {
    let host = Arc::new(Scripted::default());
    host.device(DEVICE, "vol0a", &[NAME]);
    let channel = channel(&host, NodeConfig::default());
    (host, channel)
}

fn with_flags(fs_type: &str, flags: &[&str]) -> VolumeCapability {
    let mut wanted = mount(fs_type);
    if let Some(AccessType::Mount(mount)) = &mut wanted.access_type {
        mount.mount_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }
    wanted
}

fn stage_request(fs_type: &str, flags: &[&str]) -> NodeStageVolumeRequest {
    NodeStageVolumeRequest {
        volume_id: VOLUME.into(),
        publish_context: map(&[("devicePath", NAME)]),
        staging_target_path: STAGING.into(),
        volume_capability: Some(with_flags(fs_type, flags)),
        ..NodeStageVolumeRequest::default()
    }
}

async fn send(channel: &Channel, request: NodeStageVolumeRequest) -> Result<(), Status> {
    channel.node().node_stage_volume(request).await.map(drop)
}

async fn stage(channel: &Channel, fs_type: &str, flags: &[&str]) -> Result<(), Status> {
    send(channel, stage_request(fs_type, flags)).await
}

async fn expand(channel: &Channel, path: &str, wanted: Option<VolumeCapability>) -> Result<i64, Status> {
    let request = NodeExpandVolumeRequest {
        volume_id: VOLUME.into(),
        volume_path: path.into(),
        volume_capability: wanted,
        ..NodeExpandVolumeRequest::default()
    };
    let answer = channel.node().node_expand_volume(request).await?;
    Ok(answer.into_inner().capacity_bytes)
}

#[tokio::test(start_paused = true)]
async fn ebs_case_4_the_node_serves_identity_and_node() {
    let (_, channel) = node_with_volume();
    channel.identity().probe(ProbeRequest {}).await.unwrap();
    let answer = channel
        .controller()
        .create_volume(CreateVolumeRequest::default())
        .await;
    assert_eq!(code(answer), Code::Unimplemented);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_80_only_mounts_need_a_device_path() {
    let (host, channel) = node_with_volume();
    let mut request = stage_request("ext4", &[]);
    request.publish_context.clear();
    assert_eq!(code(send(&channel, request.clone()).await), Code::InvalidArgument);
    request.volume_capability = Some(block(Mode::SingleNodeWriter));
    send(&channel, request).await.unwrap();
    assert!(host.acts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ebs_case_81_another_volumes_device_is_not_touched() {
    let host = Arc::new(Scripted::default());
    host.device(DEVICE, "vol0b", &[NAME]);
    let channel = channel(&host, NodeConfig::default());
    let refused = stage(&channel, "ext4", &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("vol-0b"), "{refused}");
    assert!(host.acts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_device_is_waited_for() {
    let host = Arc::new(Scripted::default());
    let channel = channel(&host, NodeConfig::default());
    assert_eq!(code(stage(&channel, "ext4", &[]).await), Code::NotFound);
    let appear = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        host.device(DEVICE, "vol0a", &[NAME]);
    };
    let (staged, ()) = tokio::join!(stage(&channel, "ext4", &[]), appear);
    staged.unwrap();
}

#[tokio::test(start_paused = true)]
async fn ebs_case_82_a_blank_disk_is_formatted_and_mounted() {
    let host = Arc::new(Scripted::default());
    let link = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0a";
    host.device(DEVICE, "vol0a", &[link]);
    let channel = channel(&host, NodeConfig::default());
    stage(&channel, "ext4", &[]).await.unwrap();
    // What was just made is as large as its device: nothing to grow.
    let expected = [
        "mkfs.ext4 -F -m0 /dev/nvme1n1",
        "mount ext4  /dev/nvme1n1 /staging",
    ];
    assert_eq!(host.acts(), expected);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_83_a_mounted_device_is_only_grown() {
    let (host, channel) = node_with_volume();
    stage(&channel, "ext4", &[]).await.unwrap();
    host.acts();
    stage(&channel, "ext4", &[]).await.unwrap();
    assert!(host.acts().is_empty());
    host.state().sizes.insert(DEVICE.into(), 1 << 29);
    stage(&channel, "ext4", &[]).await.unwrap();
    assert_eq!(host.acts(), ["grow ext4 /dev/nvme1n1 /staging"]);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_84_what_cannot_be_staged_is_not_touched() {
    let (host, channel) = node_with_volume();
    let refused = stage(&channel, "btrfs", &[]).await;
    assert_eq!(code(refused), Code::InvalidArgument);
    assert_eq!(code(stage(&channel, "ext4", &["ro"]).await), Code::Internal);
    assert!(host.acts().is_empty());
    let formatted = Contents::FileSystem("ext4".into());
    host.state().contents.insert(DEVICE.into(), formatted);
    host.state().sizes.insert(DEVICE.into(), 1 << 30);
    host.state().check = Some(Check::Broken("inode 2 is bad".into()));
    let broken = stage(&channel, "ext4", &[]).await.unwrap_err();
    assert_eq!(broken.code(), Code::Internal);
    assert!(broken.message().contains("inode 2 is bad"));
    assert_eq!(host.acts(), ["fsck /dev/nvme1n1"]);
    host.state().check = Some(Check::Unknown("fsck is not installed".into()));
    stage(&channel, "ext4", &[]).await.unwrap();
    host.state().mounts.clear();
    host.acts();
    stage(&channel, "ext4", &["ro"]).await.unwrap();
    assert_eq!(host.acts(), ["mount ext4 ro /dev/nvme1n1 /staging"]);
}

#[tokio::test(start_paused = true)]
async fn other_data_are_not_formatted() {
    for found in [
        Contents::FileSystem("xfs".into()),
        Contents::PartitionTable("gpt".into()),
    ] {
        let (host, channel) = node_with_volume();
        host.state().contents.insert(DEVICE.into(), found.clone());
        let refused = stage(&channel, "ext4", &[]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Internal);
        assert!(refused.message().contains(&found.to_string()), "{refused}");
        assert!(host.acts().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_machine_are_told() {
    let device = || DEVICE.into();
    let busy = HostError::Busy {
        path: device(),
        detail: "it is mounted".into(),
    };
    let missing = HostError::ToolMissing {
        tool: "mkfs.ext4".into(),
        package: "e2fsprogs",
    };
    let failed = HostError::ToolFailed {
        tool: "mkfs.ext4".into(),
        status: "exit code 1".into(),
        output: "no space".into(),
    };
    for (act, error) in [("mount", busy), ("format", missing), ("format", failed)] {
        let (host, channel) = node_with_volume();
        let text = error.to_string();
        host.state().failing.insert(act, error);
        let refused = stage(&channel, "ext4", &[]).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::Internal, text.as_str())
        );
        stage(&channel, "ext4", &[]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_capability_a_file_system_grows_unmounted() {
    let (host, channel) = node_with_volume();
    let formatted = Contents::FileSystem("ext4".into());
    host.state().contents.insert(DEVICE.into(), formatted);
    host.state().sizes.insert(DEVICE.into(), 1 << 29);
    host.state().lacks_capability = true;
    stage(&channel, "ext4", &[]).await.unwrap();
    let acts = host.acts();
    assert_eq!(
        acts[2..],
        [
            "grow ext4 /dev/nvme1n1 /staging",
            "unmount /staging",
            "grow ext4 /dev/nvme1n1 unmounted",
            "mount ext4  /dev/nvme1n1 /staging"
        ]
    );
    host.state().sizes.insert(DEVICE.into(), 1 << 29);
    let refused = expand(&channel, STAGING, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("CAP_SYS_RESOURCE"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn ebs_case_85_what_is_not_mounted_is_taken_away() {
    let (host, channel) = node_with_volume();
    let unstage = NodeUnstageVolumeRequest {
        volume_id: VOLUME.into(),
        staging_target_path: STAGING.into(),
    };
    let unpublish = NodeUnpublishVolumeRequest {
        volume_id: VOLUME.into(),
        target_path: TARGET.into(),
    };
    let mut node = channel.node();
    node.node_unstage_volume(unstage.clone()).await.unwrap();
    node.node_unpublish_volume(unpublish).await.unwrap();
    assert!(host.acts().is_empty());
    stage(&channel, "ext4", &[]).await.unwrap();
    host.acts();
    node.node_unstage_volume(unstage).await.unwrap();
    assert_eq!(host.acts(), ["unmount /staging"]);
    assert!(host.state().paths.is_empty());
}

fn publish_request(wanted: VolumeCapability, readonly: bool) -> NodePublishVolumeRequest {
    NodePublishVolumeRequest {
        volume_id: VOLUME.into(),
        publish_context: map(&[("devicePath", NAME)]),
        staging_target_path: STAGING.into(),
        target_path: TARGET.into(),
        volume_capability: Some(wanted),
        readonly,
        ..NodePublishVolumeRequest::default()
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_86_publishing_binds_the_staged_volume() {
    let (host, channel) = node_with_volume();
    let mut node = channel.node();
    let request = publish_request(with_flags("xfs", &["noatime"]), true);
    let unstaged = node.node_publish_volume(request.clone()).await;
    assert_eq!(code(unstaged), Code::FailedPrecondition);
    stage(&channel, "xfs", &["noatime"]).await.unwrap();
    assert_eq!(host.acts()[1], "mount xfs noatime,nouuid /dev/nvme1n1 /staging");
    node.node_publish_volume(request.clone()).await.unwrap();
    let bound = "mount - bind,ro,noatime,nouuid /staging /pods/1/volume";
    assert_eq!(host.acts(), [bound]);
    node.node_publish_volume(request.clone()).await.unwrap();
    assert!(host.acts().is_empty());
    host.state().paths.insert(TARGET.into(), PathKind::Corrupted);
    node.node_publish_volume(request).await.unwrap();
    assert_eq!(host.acts(), ["unmount /pods/1/volume", bound]);
}

/// After a forced detachment the volume comes back under another name.
#[tokio::test(start_paused = true)]
async fn ebs_case_204_the_mount_of_a_device_that_is_gone_makes_room() {
    let (host, channel) = node_with_volume();
    let mut node = channel.node();
    let publication = publish_request(with_flags("ext4", &[]), false);
    stage(&channel, "ext4", &[]).await.unwrap();
    node.node_publish_volume(publication.clone()).await.unwrap();
    let back = "/dev/nvme2n1";
    host.state().devices.clear();
    host.device(back, "vol0a", &[NAME]);
    let formatted = Contents::FileSystem("ext4".into());
    host.state().contents.insert(back.into(), formatted);
    host.state().sizes.insert(back.into(), 1 << 30);
    host.acts();
    let open = HostError::Busy {
        path: STAGING.into(),
        detail: "files on it are open".into(),
    };
    host.state().failing.insert("unmount", open);
    let refused = stage(&channel, "ext4", &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    assert!(refused.message().contains("files on it are open"), "{refused}");
    assert_eq!(host.acts(), ["unmount /staging"]);
    stage(&channel, "ext4", &[]).await.unwrap();
    let expected = [
        "unmount /staging",
        "fsck /dev/nvme2n1",
        "mount ext4  /dev/nvme2n1 /staging",
    ];
    assert_eq!(host.acts(), expected);
    node.node_publish_volume(publication.clone()).await.unwrap();
    let expected = ["unmount /pods/1/volume", "mount - bind /staging /pods/1/volume"];
    assert_eq!(host.acts(), expected);
    stage(&channel, "ext4", &[]).await.unwrap();
    node.node_publish_volume(publication).await.unwrap();
    assert!(host.acts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ebs_case_204_another_mount_stays() {
    for (source, root) in [
        ("/dev/nvme3n1", "/"),
        ("/dev/root", "/var/lib/other"),
        ("tmpfs", "/"),
        ("10.0.0.1:/", "/"),
    ] {
        let (host, channel) = node_with_volume();
        host.device("/dev/nvme3n1", "vol0c", &[]);
        host.state().mounts.push(Mount {
            source: source.into(),
            root: root.into(),
            target: STAGING.into(),
            ..Mount::default()
        });
        let refused = stage(&channel, "ext4", &[]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Internal, "{source}");
        assert!(refused.message().contains("is mounted there"), "{refused}");
        assert!(host.acts().is_empty(), "{source}");
    }
}

#[tokio::test(start_paused = true)]
async fn block_volumes_are_published_as_files() {
    let (host, channel) = node_with_volume();
    let mut node = channel.node();
    let request = publish_request(block(Mode::SingleNodeWriter), false);
    let busy = HostError::Busy {
        path: DEVICE.into(),
        detail: String::new(),
    };
    host.state().failing.insert("mount", busy);
    let refused = node.node_publish_volume(request.clone()).await;
    assert_eq!(code(refused), Code::Internal);
    assert!(!host.state().paths.contains_key(std::path::Path::new(TARGET)));
    host.acts();
    node.node_publish_volume(request.clone()).await.unwrap();
    assert_eq!(host.acts(), ["mount - bind /dev/nvme1n1 /pods/1/volume"]);
    let mut bad = request.clone();
    bad.volume_context = map(&[("partition", "x")]);
    assert_eq!(code(node.node_publish_volume(bad).await), Code::InvalidArgument);
    let mut bad = request;
    bad.publish_context.clear();
    assert_eq!(code(node.node_publish_volume(bad).await), Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_87_statistics_of_paths_and_devices() {
    let (host, channel) = node_with_volume();
    let stats = async |path: &str| {
        let request = NodeGetVolumeStatsRequest {
            volume_id: VOLUME.into(),
            volume_path: path.into(),
            ..NodeGetVolumeStatsRequest::default()
        };
        let answer = channel.node().node_get_volume_stats(request).await;
        answer.map(|answer| answer.into_inner().usage)
    };
    assert_eq!(code(stats(TARGET).await), Code::NotFound);
    assert_eq!(code(stats("").await), Code::InvalidArgument);
    host.state().paths.insert(NAME.into(), PathKind::BlockDevice);
    let usage = stats(NAME).await.unwrap();
    assert_eq!(usage.len(), 1);
    assert_eq!(
        (usage[0].total, usage[0].used, usage[0].available),
        (1 << 30, 0, 0)
    );
    host.state().paths.insert(TARGET.into(), PathKind::Directory);
    assert_eq!(stats(TARGET).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_88_what_is_mounted_grows() {
    let (host, channel) = node_with_volume();
    assert_eq!(
        expand(&channel, TARGET, Some(block(Mode::SingleNodeWriter)))
            .await
            .unwrap(),
        0
    );
    assert_eq!(code(expand(&channel, TARGET, None).await), Code::NotFound);
    stage(&channel, "ext4", &[]).await.unwrap();
    let request = publish_request(with_flags("ext4", &[]), false);
    channel.node().node_publish_volume(request).await.unwrap();
    host.state().sizes.insert(DEVICE.into(), 1 << 29);
    host.acts();
    assert_eq!(expand(&channel, TARGET, None).await.unwrap(), 1 << 30);
    assert_eq!(host.acts(), ["grow ext4 /dev/nvme1n1 /pods/1/volume"]);
    assert_eq!(
        expand(&channel, TARGET, Some(mount("ext4"))).await.unwrap(),
        1 << 30
    );
    assert!(host.acts().is_empty());
}

/// kubelet gives a call up after two minutes; what the call has begun goes on, and is not begun again.
#[tokio::test(start_paused = true)]
async fn ebs_case_159_a_call_that_is_given_up_ends_by_itself() {
    let (host, channel) = node_with_volume();
    host.state().held.insert("mount");
    let stuck = tokio::time::timeout(Duration::from_mins(2), stage(&channel, "ext4", &[]));
    assert!(stuck.await.is_err());
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(code(stage(&channel, "ext4", &[]).await), Code::Aborted);
    let unstage = NodeUnstageVolumeRequest {
        volume_id: VOLUME.into(),
        staging_target_path: STAGING.into(),
    };
    let unstaged = channel.node().node_unstage_volume(unstage).await;
    assert_eq!(code(unstaged), Code::Aborted);
    host.state().held.clear();
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage(&channel, "ext4", &[]).await.unwrap();
    let acts = host.acts();
    let begun = |what: &str| acts.iter().filter(|act| act.starts_with(what)).count();
    assert_eq!((begun("mkfs"), begun("mount")), (1, 1), "{acts:?}");
}

#[tokio::test(start_paused = true)]
async fn one_call_a_volume_runs_at_a_time() {
    let (host, channel) = node_with_volume();
    host.state().held.insert("mount");
    let (first, second) = tokio::join!(stage(&channel, "ext4", &[]), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = stage(&channel, "ext4", &[]).await;
        host.state().held.clear();
        second
    });
    first.unwrap();
    assert_eq!(code(second), Code::Aborted);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_89_a_fixed_limit_is_told_as_it_is() {
    let host = Arc::new(Scripted::default());
    let limits = Limits {
        fixed: Some(0),
        reserved: None,
        ..Limits::default()
    };
    let config = NodeConfig {
        limits,
        ..NodeConfig::default()
    };
    let channel = channel(&host, config);
    let info = channel.node().node_get_info(NodeGetInfoRequest {}).await.unwrap();
    let info = info.into_inner();
    assert_eq!((info.node_id.as_str(), info.max_volumes_per_node), ("i-1", 0));
    let segments = info.accessible_topology.unwrap().segments;
    assert_eq!(segments["topology.kubernetes.io/zone"], "us-east-1a");
}
