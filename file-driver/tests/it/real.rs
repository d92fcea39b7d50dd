//! The driver on this machine: loop devices, file systems, mounts. Needs root.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use csi::Channel;
use csi::v1::*;
use file_driver::driver::Machine;
use file_driver::{Capabilities, Config, Driver};
use node::linux::LinuxHost;
use prometheus::Registry;

use crate::world::{MIB, Process, at_least, block, mounted, of_snapshot, refused, volume};

/// `SLACKWATER_ROOT_TESTS=required` makes it a failure that a test cannot run.
const REQUIRED: &str = "SLACKWATER_ROOT_TESTS";

fn run(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Whether this machine has what the test needs; says so where it has not.
fn can_run(test: &str, folder: &std::path::Path) -> bool {
    let probe = folder.join("probe");
    std::fs::write(&probe, [0; 4096]).unwrap();
    let probe = probe.display().to_string();
    let is_root = run("id", &["-u"]).as_deref() == Some("0");
    let device = if is_root {
        run("losetup", &["--find", "--show", &probe])
    } else {
        None
    };
    let has_device = device.is_some_and(|device| run("losetup", &["--detach", &device]).is_some());
    let has_tools = ["mkfs.ext4", "resize2fs"]
        .iter()
        .all(|tool| Command::new(tool).arg("-V").output().is_ok());
    let can = has_device && has_tools;
    if !can {
        let needs = "needs root, loop devices and e2fsprogs";
        let is_required = std::env::var(REQUIRED).as_deref() == Ok("required");
        assert!(!is_required, "{test} {needs}");
        eprintln!("not run: {test} {needs}");
    }
    can
}

struct Mounted<'a>(&'a [String]);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        for at in self.0 {
            while run("umount", &[at]).is_some() {}
        }
    }
}

fn start(folder: &std::path::Path) -> Process {
    let config = Config {
        name: "file.test".to_owned(),
        node_id: "here".to_owned(),
        capacity_bytes: 1 << 40,
        max_volumes: 0,
        capabilities: Capabilities::all(),
        ready_after: Duration::ZERO,
    };
    let host = Arc::new(LinuxHost::default());
    let machine = Machine {
        host: host.clone(),
        loops: host,
    };
    let driver = Driver::new(config, folder, machine, Clock::system(), &Registry::new()).unwrap();
    Process {
        channel: Channel::in_process(driver.routes()),
    }
}

async fn stage(driver: &Process, id: &str, at: &str) {
    let request = NodeStageVolumeRequest {
        volume_id: id.to_owned(),
        staging_target_path: at.to_owned(),
        volume_capability: Some(mounted()),
        ..Default::default()
    };
    driver.channel.node().node_stage_volume(request).await.unwrap();
}

async fn unstage(driver: &Process, id: &str, at: &str) {
    let request = NodeUnstageVolumeRequest {
        volume_id: id.to_owned(),
        staging_target_path: at.to_owned(),
    };
    driver.channel.node().node_unstage_volume(request).await.unwrap();
}

/// The bytes of the file system at a place.
async fn size(driver: &Process, at: &str, id: &str) -> i64 {
    let request = NodeGetVolumeStatsRequest {
        volume_id: id.to_owned(),
        volume_path: at.to_owned(),
        ..Default::default()
    };
    let answer = driver.channel.node().node_get_volume_stats(request).await;
    answer.unwrap().into_inner().usage[0].total
}

/// Lets the file system at a place be as large as its volume.
async fn grow(driver: &Process, id: &str, at: &str) {
    let request = NodeExpandVolumeRequest {
        volume_id: id.to_owned(),
        volume_path: at.to_owned(),
        ..Default::default()
    };
    if let Err(status) = driver.channel.node().node_expand_volume(request).await {
        // A container without CAP_SYS_RESOURCE grows it when it is staged anew.
        assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status:?}");
        unstage(driver, id, at).await;
        stage(driver, id, at).await;
    }
}

fn devices(folder: &std::path::Path) -> usize {
    let all = run("losetup", &["--list", "--noheadings", "--output=BACK-FILE"]).unwrap();
    let folder = folder.display().to_string();
    all.lines().filter(|line| line.starts_with(&folder)).count()
}

/// Waits until no device is left: a program that another test starts has a copy of an open one for a moment, and the
/// kernel waits for it.
async fn until_detached(folder: &std::path::Path) {
    let waiting = async {
        while devices(folder) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap();
}

#[tokio::test]
async fn real_data_are_snapshotted_restored_and_grown() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    if !can_run("real_data_are_snapshotted_restored_and_grown", &folder) {
        return;
    }
    let data = folder.join("data");
    let path = |name: &str| folder.join(name).display().to_string();
    let places = [path("a"), path("b")];
    let _mounted = Mounted(&places);
    let [a, b] = &places;
    let driver = start(&data);
    let mut request = volume("v");
    request.capacity_range = at_least(64 * MIB);
    let v = driver.create(request).await.unwrap().volume_id;
    stage(&driver, &v, a).await;
    let file = std::path::Path::new(a).join("words");
    std::fs::write(&file, "before").unwrap();
    run("sync", &["-f", a]).unwrap();
    let snapshot = driver.take("s", &v).await.unwrap().snapshot_id;
    std::fs::write(&file, "after").unwrap();

    let mut request = of_snapshot("restored", &snapshot);
    request.capacity_range = at_least(128 * MIB);
    let restored = driver.create(request).await.unwrap().volume_id;
    stage(&driver, &restored, b).await;
    let words = std::fs::read_to_string(std::path::Path::new(b).join("words")).unwrap();
    assert_eq!(words, "before");
    assert_eq!(devices(&data), 2);
    let restored_size = size(&driver, b, &restored).await;
    assert!(
        restored_size > 100 * MIB,
        "a larger copy is filled: {restored_size}"
    );

    // The process comes anew over what is mounted.
    drop(driver);
    let driver = start(&data);
    let before = size(&driver, a, &v).await;
    driver.expand(&v, 128 * MIB).await.unwrap();
    grow(&driver, &v, a).await;
    assert!(size(&driver, a, &v).await > before + 50 * MIB);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "after");
    unstage(&driver, &v, a).await;
    unstage(&driver, &restored, b).await;
    until_detached(&data).await;
    driver.delete(&v).await.unwrap();
    driver.delete(&restored).await.unwrap();
}

#[tokio::test]
async fn real_block_devices_are_published() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    if !can_run("real_block_devices_are_published", &folder) {
        return;
    }
    let data = folder.join("data");
    let places = [folder.join("device").display().to_string()];
    let _mounted = Mounted(&places);
    let [at] = &places;
    let driver = start(&data);
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let request = NodePublishVolumeRequest {
        volume_id: id.clone(),
        staging_target_path: folder.join("staging").display().to_string(),
        target_path: at.clone(),
        volume_capability: Some(block()),
        ..Default::default()
    };
    for _ in 0..2 {
        let request = request.clone();
        driver.channel.node().node_publish_volume(request).await.unwrap();
    }
    assert_eq!(devices(&data), 1);
    let request = NodeGetVolumeStatsRequest {
        volume_id: id.clone(),
        volume_path: at.clone(),
        ..Default::default()
    };
    let elsewhere = NodeGetVolumeStatsRequest {
        volume_path: "some/path".to_owned(),
        ..request.clone()
    };
    let stats = driver.channel.node().node_get_volume_stats(request).await;
    assert_eq!(stats.unwrap().into_inner().usage[0].total, MIB);
    let stats = driver.channel.node().node_get_volume_stats(elsewhere).await;
    refused(stats, tonic::Code::NotFound, "some/path");
    let request = NodeUnpublishVolumeRequest {
        volume_id: id.clone(),
        target_path: at.clone(),
    };
    driver
        .channel
        .node()
        .node_unpublish_volume(request)
        .await
        .unwrap();
    until_detached(&data).await;
    driver.delete(&id).await.unwrap();
}
