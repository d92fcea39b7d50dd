//! The node service on a machine whose mounts are in memory.

use std::collections::BTreeSet;
use std::path::PathBuf;

use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::volume_capability::{AccessType, MountVolume};
use csi::v1::*;
use file_driver::Capability;
use node::{Host, Mount};
use tonic::Code;

use crate::world::{MIB, NODE, Process, Reply, World, block, capability, mounted, refused, volume};

impl World {
    fn at(&self, name: &str) -> String {
        self.path().join("kubelet").join(name).display().to_string()
    }

    /// Paths below the kubelet's folder at which something is mounted.
    async fn mounted(&self) -> Vec<String> {
        let mounts = self.machine.mounts().await.unwrap();
        let name = |mount: &Mount| mount.target.file_name().unwrap().to_string_lossy().into_owned();
        mounts.iter().map(name).collect()
    }
}

impl Process {
    async fn stage(&self, id: &str, at: &str, usage: VolumeCapability) -> Reply<()> {
        let request = NodeStageVolumeRequest {
            volume_id: id.to_owned(),
            staging_target_path: at.to_owned(),
            volume_capability: Some(usage),
            ..Default::default()
        };
        self.channel.node().node_stage_volume(request).await.map(drop)
    }

    async fn unstage(&self, id: &str, at: &str) -> Reply<()> {
        let request = NodeUnstageVolumeRequest {
            volume_id: id.to_owned(),
            staging_target_path: at.to_owned(),
        };
        self.channel.node().node_unstage_volume(request).await.map(drop)
    }

    async fn show(
        &self,
        id: &str,
        (staging, at): (&str, &str),
        usage: VolumeCapability,
        readonly: bool,
    ) -> Reply<()> {
        let request = NodePublishVolumeRequest {
            volume_id: id.to_owned(),
            staging_target_path: staging.to_owned(),
            target_path: at.to_owned(),
            volume_capability: Some(usage),
            readonly,
            ..Default::default()
        };
        self.channel.node().node_publish_volume(request).await.map(drop)
    }

    async fn hide(&self, id: &str, at: &str) -> Reply<()> {
        let request = NodeUnpublishVolumeRequest {
            volume_id: id.to_owned(),
            target_path: at.to_owned(),
        };
        self.channel.node().node_unpublish_volume(request).await.map(drop)
    }

    async fn stats(&self, id: &str, at: &str) -> Reply<NodeGetVolumeStatsResponse> {
        let request = NodeGetVolumeStatsRequest {
            volume_id: id.to_owned(),
            volume_path: at.to_owned(),
            ..Default::default()
        };
        let answer = self.channel.node().node_get_volume_stats(request).await?;
        Ok(answer.into_inner())
    }

    async fn grow(&self, id: &str, at: &str) -> Reply<i64> {
        let request = NodeExpandVolumeRequest {
            volume_id: id.to_owned(),
            volume_path: at.to_owned(),
            ..Default::default()
        };
        let answer = self.channel.node().node_expand_volume(request).await?;
        Ok(answer.into_inner().capacity_bytes)
    }
}

#[tokio::test]
async fn a_volume_is_staged_and_published_and_goes_without_a_trace() {
    let world = World::new();
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let (staging, one, two) = (world.at("staging"), world.at("one"), world.at("two"));
    let unstaged = driver.show(&id, (&staging, &one), mounted(), false).await;
    refused(unstaged, Code::FailedPrecondition, "not staged");
    for _ in 0..2 {
        driver.stage(&id, &staging, mounted()).await.unwrap();
        driver
            .show(&id, (&staging, &one), mounted(), false)
            .await
            .unwrap();
        driver.show(&id, (&staging, &two), mounted(), true).await.unwrap();
    }
    assert_eq!(world.mounted().await, ["staging", "one", "two"]);
    assert_eq!(world.machine.formats(), 1);
    assert_eq!(world.machine.loops(), BTreeSet::from([world.data(&id)]));
    let other = driver.show(&id, (&staging, &one), mounted(), true).await;
    refused(other, Code::AlreadyExists, "other rights");
    refused(
        driver.delete(&id).await,
        Code::FailedPrecondition,
        "staged or published",
    );
    assert!(driver.stats(&id, &one).await.unwrap().usage[0].total > 0);
    refused(
        driver.stats(&id, &world.at("three")).await,
        Code::NotFound,
        "three",
    );

    for _ in 0..2 {
        for at in [&one, &two] {
            driver.hide(&id, at).await.unwrap();
        }
        driver.unstage(&id, &staging).await.unwrap();
    }
    assert!(world.mounted().await.is_empty() && world.machine.loops().is_empty());
    assert!(!PathBuf::from(&one).exists());
    driver.stage(&id, &staging, mounted()).await.unwrap();
    assert_eq!(world.machine.formats(), 1, "what is there is not formatted again");
    driver.unstage(&id, &staging).await.unwrap();
    driver.delete(&id).await.unwrap();
    driver.hide(&id, &one).await.unwrap();
    driver.unstage(&id, &staging).await.unwrap();
}

#[tokio::test]
async fn a_block_volume_is_a_device() {
    let world = World::new();
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let (staging, at) = (world.at("staging"), world.at("device"));
    driver.stage(&id, &staging, block()).await.unwrap();
    driver.show(&id, (&staging, &at), block(), false).await.unwrap();
    assert_eq!(world.machine.formats(), 0);
    assert_eq!(world.machine.loops().len(), 1);
    assert_eq!(driver.stats(&id, &at).await.unwrap().usage[0].total, MIB);
    driver.expand(&id, 2 * MIB).await.unwrap();
    assert_eq!(driver.grow(&id, &at).await.unwrap(), 2 * MIB);
    driver.hide(&id, &at).await.unwrap();
    assert!(world.machine.loops().is_empty(), "nothing is mounted from it");
    driver.unstage(&id, &staging).await.unwrap();
    driver.delete(&id).await.unwrap();
}

#[tokio::test]
async fn a_file_system_grows_with_its_volume() {
    let world = World::new();
    let driver = world.start();
    let mut request = volume("v");
    request.capacity_range = crate::world::at_least(4 * MIB);
    let id = driver.create(request).await.unwrap().volume_id;
    let (staging, at) = (world.at("staging"), world.at("one"));
    driver.stage(&id, &staging, mounted()).await.unwrap();
    driver.show(&id, (&staging, &at), mounted(), false).await.unwrap();
    let size = async || {
        let file = world.data(&id);
        world.machine.file_system_size(&file, "ext4", None).await.unwrap()
    };
    assert_eq!(size().await, 4 << 20);
    driver.expand(&id, 8 * MIB).await.unwrap();
    assert_eq!(size().await, 4 << 20);
    assert_eq!(driver.grow(&id, &at).await.unwrap(), 8 * MIB);
    assert_eq!(size().await, 8 << 20);
    driver.expand(&id, 16 * MIB).await.unwrap();
    world.machine.forbid_growing(true);
    let in_use = driver.grow(&id, &at).await;
    refused(in_use, Code::FailedPrecondition, "CAP_SYS_RESOURCE");
    driver.hide(&id, &at).await.unwrap();
    driver.unstage(&id, &staging).await.unwrap();
    driver.stage(&id, &staging, mounted()).await.unwrap();
    assert_eq!(size().await, 16 << 20, "it grows when it is staged anew");
    refused(driver.grow(&id, &at).await, Code::NotFound, "one");
}

#[tokio::test]
async fn a_single_writer_has_one_place() {
    let world = World::new();
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let (staging, one, two) = (world.at("staging"), world.at("one"), world.at("two"));
    let of = |mode| capability(AccessType::Mount(MountVolume::default()), mode);
    let single = || of(Mode::SingleNodeSingleWriter);
    driver.stage(&id, &staging, single()).await.unwrap();
    for _ in 0..2 {
        driver.show(&id, (&staging, &one), single(), false).await.unwrap();
    }
    let second = driver.show(&id, (&staging, &two), single(), false).await;
    refused(second, Code::FailedPrecondition, "SINGLE_NODE_SINGLE_WRITER");
    let shared = of(Mode::SingleNodeMultiWriter);
    driver.show(&id, (&staging, &two), shared, false).await.unwrap();
}

#[tokio::test]
async fn without_staging_a_volume_is_mounted_where_it_is_published() {
    let world = World::without(&[Capability::NodeStageUnstageVolume]);
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let at = world.at("one");
    for _ in 0..2 {
        driver.show(&id, ("", &at), mounted(), false).await.unwrap();
    }
    assert_eq!(world.mounted().await, ["one"]);
    driver.hide(&id, &at).await.unwrap();
    assert!(world.mounted().await.is_empty() && world.machine.loops().is_empty());
}

#[tokio::test]
async fn a_field_that_is_missing_is_named() {
    let world = World::new();
    let driver = world.start();
    let code = Code::InvalidArgument;
    refused(
        driver.stage("", "/a", mounted()).await,
        code,
        "volume_id is missing",
    );
    refused(
        driver.stage("v", "", mounted()).await,
        code,
        "staging_target_path is missing",
    );
    refused(driver.unstage("", "/a").await, code, "volume_id is missing");
    refused(
        driver.unstage("v", "").await,
        code,
        "staging_target_path is missing",
    );
    refused(
        driver.show("", ("/a", "/b"), mounted(), false).await,
        code,
        "volume_id is missing",
    );
    refused(
        driver.show("v", ("/a", ""), mounted(), false).await,
        code,
        "target_path is missing",
    );
    let unstaged = driver.show("v", ("", "/b"), mounted(), false).await;
    refused(
        unstaged,
        Code::FailedPrecondition,
        "staging_target_path is missing",
    );
    refused(driver.hide("", "/a").await, code, "volume_id is missing");
    refused(driver.hide("v", "").await, code, "target_path is missing");
    refused(driver.stats("", "/a").await, code, "volume_id is missing");
    refused(driver.stats("v", "").await, code, "volume_path is missing");
    refused(driver.grow("", "/a").await, code, "volume_id is missing");
    refused(driver.grow("v", "").await, code, "volume_path is missing");
    let request = NodeStageVolumeRequest {
        volume_id: "v".to_owned(),
        staging_target_path: "/a".to_owned(),
        ..Default::default()
    };
    let reply = driver.channel.node().node_stage_volume(request).await;
    refused(reply, code, "volume_capability is missing");
    refused(driver.stage("v", "/a", mounted()).await, Code::NotFound, "\"v\"");
    refused(driver.grow("v", "/a").await, Code::NotFound, "\"v\"");
    refused(driver.stats("v", "/a").await, Code::NotFound, "\"v\"");
}

#[tokio::test]
async fn the_node_says_where_it_is() {
    let mut world = World::new();
    world.config.max_volumes = 3;
    let driver = world.start();
    let info = driver.channel.node().node_get_info(NodeGetInfoRequest {}).await;
    let info = info.unwrap().into_inner();
    assert_eq!((info.node_id.as_str(), info.max_volumes_per_node), (NODE, 3));
    assert_eq!(info.accessible_topology.unwrap().segments["file.test/node"], NODE);
}
