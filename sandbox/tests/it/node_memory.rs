//! The machine in memory.

use base::{Clock, Random};
use node::{BlockDevice, Check, Contents, Host, HostError, Mount, MountRequest, PathKind};
use sandbox::ec2::{Disk, Ec2, Ec2Options};
use sandbox::node::{Machine, MemoryHost};
use std::path::Path;
use std::sync::Arc;

const ZONE: &str = "us-east-1a";
const NAME: &str = "/dev/xvdaa";

struct World {
    ec2: Ec2,
    machine: Machine,
    host: Arc<MemoryHost>,
    volume: String,
}

/// A machine with a volume of 10 GiB.
fn world() -> World {
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let ec2 = Ec2::new(clock, Random::seeded(1), Ec2Options::instant());
    let machine = Machine::launch(&ec2, "n", ZONE, "m5.large").unwrap();
    let volume = ec2.create_volume_fixture(ZONE, 10, &[]).unwrap();
    ec2.attach_volume_fixture(&volume, machine.instance_id(), NAME)
        .unwrap();
    World {
        host: machine.host(),
        ec2,
        machine,
        volume,
    }
}

fn request(source: &str, target: &str, fs_type: Option<&str>, options: &[&str]) -> MountRequest {
    MountRequest {
        source: source.into(),
        target: target.into(),
        fs_type: fs_type.map(str::to_owned),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    }
}

impl World {
    async fn device(&self, path: &str) -> Option<BlockDevice> {
        self.host.block_device(Path::new(path)).await.unwrap()
    }

    async fn staged(&self, fs_type: &str) {
        self.host.format(Path::new(NAME), fs_type, &[]).await.unwrap();
        self.host.make_directory(Path::new("/a/b")).await.unwrap();
        let staged = request("/dev/nvme1n1", "/a/b", Some(fs_type), &["noatime", "defaults"]);
        self.host.mount(&staged).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn devices_are_what_is_attached() {
    let world = world();
    let id = world.volume.replace('-', "");
    let expected = BlockDevice {
        path: "/dev/nvme1n1".into(),
        serial: Some(id.clone()),
        size: 10 << 30,
        is_read_only: false,
        is_partition: false,
    };
    let link = format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{id}");
    for name in [NAME, "/dev/nvme1n1", link.as_str()] {
        assert_eq!(world.device(name).await.as_ref(), Some(&expected));
    }
    assert_eq!(
        world.device("/dev/xvda").await.unwrap().path,
        Path::new("/dev/nvme0n1")
    );
    let folder = world.host.block_device(Path::new("/dev")).await;
    assert!(matches!(folder, Err(HostError::NotADevice(_))));
    world
        .ec2
        .detach_volume_fixture(&world.volume, world.machine.instance_id())
        .unwrap();
    assert_eq!(world.device(NAME).await, None);
    let missing = world.host.contents(Path::new(NAME)).await;
    assert!(matches!(missing, Err(HostError::DeviceMissing(_))));
}

#[tokio::test(start_paused = true)]
async fn what_is_formatted_belongs_to_the_volume_and_its_snapshots() {
    let world = world();
    let device = Path::new(NAME);
    assert_eq!(world.host.contents(device).await.unwrap(), Contents::Blank);
    world.host.format(device, "xfs", &[]).await.unwrap();
    let disk = Disk::file_system("xfs", 10 << 30);
    assert_eq!(world.ec2.disk(&world.volume), Some(disk.clone()));
    let snapshot = world.ec2.create_snapshot_fixture(&world.volume, &[]).unwrap();
    world.ec2.write_disk(&world.volume, Disk::default());
    let parameters = [
        ("AvailabilityZone", ZONE),
        ("SnapshotId", &snapshot),
        ("Size", "20"),
    ];
    let restored = world.ec2.create_volume_fixture_with(&parameters, &[]).unwrap();
    assert_eq!(world.ec2.disk(&restored), Some(disk));
    // Another machine sees it, smaller than its device.
    let other = Machine::launch(&world.ec2, "m", ZONE, "m5.large").unwrap();
    world
        .ec2
        .attach_volume_fixture(&restored, other.instance_id(), NAME)
        .unwrap();
    let host = other.host();
    let size = host.file_system_size(device, "xfs", None).await.unwrap();
    let device = host.block_device(device).await.unwrap().unwrap();
    assert_eq!((size, device.size), (10 << 30, 20 << 30));
    assert_eq!(host.check(&device.path).await.unwrap(), Check::Clean);
}

#[tokio::test(start_paused = true)]
async fn what_is_mounted_is_seen_and_taken_away() {
    let world = world();
    let host = &world.host;
    let blank = host.mount(&request(NAME, "/a", Some("ext4"), &[])).await;
    assert!(matches!(blank, Err(HostError::Io { .. })), "{blank:?}");
    world.staged("ext4").await;
    host.make_directory(Path::new("/pod")).await.unwrap();
    host.mount(&request("/a/b", "/pod", None, &["bind", "ro"]))
        .await
        .unwrap();
    let mounts = host.mounts().await.unwrap();
    let staged = Mount::at(&mounts, Path::new("/a/b")).unwrap();
    assert_eq!(
        (staged.source.as_str(), staged.fs_type.as_str()),
        ("/dev/nvme1n1", "ext4")
    );
    assert_eq!(staged.options, ["rw", "noatime"]);
    assert!(Mount::at(&mounts, Path::new("/pod")).unwrap().is_read_only());
    let busy = host.format(Path::new(NAME), "ext4", &[]).await;
    assert!(matches!(busy, Err(HostError::Busy { .. })), "{busy:?}");
    assert!(host.remove(Path::new("/pod")).await.is_err());
    for target in ["/pod", "/a/b", "/a/b"] {
        host.unmount(Path::new(target)).await.unwrap();
    }
    assert!(host.remove(Path::new("/a")).await.is_err(), "not empty");
    for path in ["/pod", "/a/b", "/a", "/a"] {
        host.remove(Path::new(path)).await.unwrap();
        assert_eq!(host.kind(Path::new(path)).await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_is_bound_to_a_file() {
    let world = world();
    let (host, target) = (&world.host, Path::new("/pods/1"));
    let bind = request(NAME, "/pods/1", None, &["bind"]);
    assert!(host.make_file(target).await.is_err(), "there is no such folder");
    host.make_directory(Path::new("/pods")).await.unwrap();
    assert!(host.mount(&bind).await.is_err(), "there is no such file");
    host.make_file(target).await.unwrap();
    host.mount(&bind).await.unwrap();
    assert_eq!(host.kind(target).await.unwrap(), Some(PathKind::BlockDevice));
    assert_eq!(world.device("/pods/1").await.unwrap().size, 10 << 30);
    host.unmount(target).await.unwrap();
    assert_eq!(host.kind(target).await.unwrap(), Some(PathKind::File));
}

#[tokio::test(start_paused = true)]
async fn a_mount_whose_volume_is_gone_does_not_answer() {
    let world = world();
    world.staged("xfs").await;
    let (host, at) = (&world.host, Path::new("/a/b"));
    assert_eq!(host.statistics(at).await.unwrap().bytes.total, 10 << 30);
    world
        .ec2
        .detach_volume_fixture(&world.volume, world.machine.instance_id())
        .unwrap();
    assert_eq!(host.kind(at).await.unwrap(), Some(PathKind::Corrupted));
    assert!(host.statistics(at).await.is_err());
    host.unmount(at).await.unwrap();
    assert_eq!(host.kind(at).await.unwrap(), Some(PathKind::Directory));
}

#[tokio::test(start_paused = true)]
async fn xfs_grows_only_while_it_is_mounted() {
    let world = world();
    world.host.format(Path::new(NAME), "xfs", &[]).await.unwrap();
    let unmounted = world.host.grow(Path::new(NAME), "xfs", None).await;
    assert!(
        matches!(unmounted, Err(HostError::Unsupported(_))),
        "{unmounted:?}"
    );
    world.staged("xfs").await;
    world
        .ec2
        .write_disk(&world.volume, Disk::file_system("xfs", 1 << 30));
    let at = Path::new("/a/b");
    world.host.grow(Path::new(NAME), "xfs", Some(at)).await.unwrap();
    assert_eq!(world.host.statistics(at).await.unwrap().bytes.total, 10 << 30);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_below_a_mount_lies_on_the_volume_and_in_its_snapshots() {
    let world = world();
    let file = Path::new("/a/b/folder/out.txt");
    assert!(world.host.append(file, "too early").is_err());
    world.staged("ext4").await;
    assert!(world.host.read(file).is_err(), "nobody has written it");
    world.host.append(file, "first").unwrap();
    let snapshot = world.ec2.create_snapshot_fixture(&world.volume, &[]).unwrap();
    world.host.append(file, "second").unwrap();
    assert_eq!(world.host.read(file).unwrap(), "first\nsecond\n");
    world
        .host
        .grow(Path::new(NAME), "ext4", Some(Path::new("/a/b")))
        .await
        .unwrap();
    assert_eq!(world.host.read(file).unwrap(), "first\nsecond\n", "grown");
    let restored = [("AvailabilityZone", ZONE), ("SnapshotId", snapshot.as_str())];
    let restored = world.ec2.create_volume_fixture_with(&restored, &[]).unwrap();
    let files = &world.ec2.disk(&restored).unwrap().files;
    assert_eq!(files[Path::new("folder/out.txt")], "first\n");

    world.host.make_directory(Path::new("/ro")).await.unwrap();
    world
        .host
        .mount(&request("/a/b", "/ro", None, &["bind", "ro"]))
        .await
        .unwrap();
    assert_eq!(
        world.host.read(Path::new("/ro/folder/out.txt")).unwrap(),
        "first\nsecond\n"
    );
    assert!(
        world
            .host
            .append(Path::new("/ro/folder/out.txt"), "third")
            .is_err()
    );
    assert!(world.host.append(Path::new("/elsewhere"), "lost").is_err());
}
