//! Devices that are missing, busy, another volume's, or full of other data.

use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::PathBuf;

use node::Host;
use tonic::{Code, Status};

use super::{Bench, Used, bench, read_at, write};
use crate::world::mount;

/// `O_EXCL`: nobody else may have the device.
const EXCLUSIVE: i32 = 0o200;

impl Bench {
    /// The links of an attached volume.
    fn links(&self, used: &Used) -> [PathBuf; 2] {
        let by_id = format!(
            "disk/by-id/nvme-Amazon_Elastic_Block_Store_{}",
            used.id.replace('-', "")
        );
        [used.device.trim_start_matches("/dev/"), &by_id].map(|name| self.host.dev().join(name))
    }

    /// Staging must be refused, with nothing mounted and these bytes at the beginning of the device.
    async fn refused(&self, used: &Used, begin: &[u8]) -> Status {
        let device = self.device(used).await;
        let status = self.stage(used).await.unwrap_err();
        let mounts = self.host.mounts().await.unwrap();
        assert!(
            mounts.iter().all(|mount| mount.target != used.staging),
            "{status}"
        );
        assert_eq!(read_at(&device, 0, begin.len()), begin, "{status}");
        status
    }
}

#[tokio::test]
async fn a_missing_device_is_named() {
    let Some(bench) = bench("a_missing_device_is_named") else {
        return;
    };
    let used = bench.attach(&bench.volume(), mount("ext4")).await;
    for link in bench.links(&used) {
        std::fs::remove_file(link).unwrap();
    }
    let status = bench.stage(&used).await.unwrap_err();
    let text = format!("there is no device {}", used.device);
    assert_eq!((status.code(), status.message()), (Code::NotFound, text.as_str()));
}

#[tokio::test]
async fn ebs_case_81_a_real_device_of_another_volume_is_not_touched() {
    let Some(bench) = bench("ebs_case_81_a_real_device_of_another_volume_is_not_touched") else {
        return;
    };
    let used = bench.attach(&bench.volume(), mount("ext4")).await;
    let other = bench.attach(&bench.volume(), mount("ext4")).await;
    let device = bench.device(&other).await;
    write(&device, b"of somebody");
    for link in bench.links(&used) {
        std::fs::remove_file(&link).unwrap();
        symlink(&device, &link).unwrap();
    }
    let status = bench.refused(&used, b"of somebody").await;
    assert_eq!(status.code(), Code::NotFound);
    let expected = format!(
        "the device {} is that of volume {}, not of {}",
        device.display(),
        other.id,
        used.id
    );
    assert_eq!(status.message(), expected);
}

#[tokio::test]
async fn ebs_case_82_the_link_by_id_is_enough_on_a_real_disk() {
    let Some(bench) = bench("ebs_case_82_the_link_by_id_is_enough_on_a_real_disk") else {
        return;
    };
    let used = bench.attach(&bench.volume(), mount("ext4")).await;
    std::fs::remove_file(&bench.links(&used)[0]).unwrap();
    bench.stage(&used).await.unwrap();
    bench.give_back(&used).await;
}

#[tokio::test]
async fn a_busy_device_is_not_formatted() {
    let Some(bench) = bench("a_busy_device_is_not_formatted") else {
        return;
    };
    let used = bench.attach(&bench.volume(), mount("xfs")).await;
    let device = bench.device(&used).await;
    let mut options = std::fs::OpenOptions::new();
    let held = options.read(true).custom_flags(EXCLUSIVE).open(&device).unwrap();
    let status = bench.refused(&used, &[0; 8]).await;
    assert_eq!(status.code(), Code::Internal);
    let text = format!("{} is in use: ", device.display());
    assert!(status.message().starts_with(&text), "{status}");
    drop(held);
    bench.stage(&used).await.unwrap();
    bench.give_back(&used).await;
}

#[tokio::test]
async fn a_file_system_of_another_type_is_kept() {
    let Some(bench) = bench("a_file_system_of_another_type_is_kept") else {
        return;
    };
    let mut used = bench.use_it(&bench.volume(), mount("xfs")).await;
    write(&used.target.join("file"), b"data");
    bench.unstage(&used).await;
    used.wanted = mount("ext4");
    let status = bench.refused(&used, b"XFSB").await;
    assert_eq!(status.code(), Code::Internal);
    assert!(
        status
            .message()
            .contains("holds xfs, and ext4 is asked for; it was not touched"),
        "{status}"
    );
    used.wanted = mount("xfs");
    bench.stage(&used).await.unwrap();
    assert_eq!(std::fs::read(used.staging.join("file")).unwrap(), b"data");
    bench.give_back(&used).await;
}

#[tokio::test]
async fn a_partition_table_is_kept() {
    let Some(bench) = bench("a_partition_table_is_kept") else {
        return;
    };
    let used = bench.attach(&bench.volume(), mount("ext4")).await;
    // One partition of type Linux, from the first MiB on.
    let mut table = vec![0_u8; 512];
    table[446..462].copy_from_slice(&[0, 0, 2, 0, 0x83, 0, 2, 0, 0, 8, 0, 0, 0, 8, 0, 0]);
    table[510..].copy_from_slice(&[0x55, 0xAA]);
    write(&bench.device(&used).await, &table);
    let status = bench.refused(&used, &table).await;
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("a partition table (dos)"), "{status}");
}

#[tokio::test]
async fn tools_that_are_missing_or_fail_leave_the_device_blank() {
    let Some(bench) = bench("tools_that_are_missing_or_fail_leave_the_device_blank") else {
        return;
    };
    let used = bench.attach(&bench.volume(), mount("ext4")).await;
    let device = bench.device(&used).await;
    let tools = bench.path("tools");
    std::fs::create_dir(&tools).unwrap();
    let node = super::serve(&bench.machine, bench.host.clone().with_tools(&tools));
    // In the order in which they are needed.
    let steps = [
        (None, "blkid is not installed; install util-linux"),
        (
            Some(("blkid", "exit 2")),
            "mkfs.ext4 is not installed; install e2fsprogs",
        ),
        (
            Some(("mkfs.ext4", "echo 'no space' >&2; exit 1")),
            "mkfs.ext4 failed (exit code 1): no space",
        ),
    ];
    for (program, expected) in steps {
        if let Some((name, line)) = program {
            node::testing::program(&tools.join(name), line).unwrap();
        }
        let status = bench.stage_at(&node, &used).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Internal, expected));
        assert_eq!(read_at(&device, 0, 4096), [0; 4096]);
    }
    // With the right ones it works.
    bench.stage(&used).await.unwrap();
    bench.give_back(&used).await;
}
