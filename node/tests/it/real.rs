use std::path::Path;
use std::time::Duration;

use node::{Check, Contents, Host, HostError, Mount, MountRequest, PathKind};

use crate::loops::{Machine, machine};

fn request(source: &Path, target: &Path, fs_type: Option<&str>, options: &[&str]) -> MountRequest {
    MountRequest {
        source: source.display().to_string(),
        target: target.to_owned(),
        fs_type: fs_type.map(str::to_owned),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    }
}

/// Formats and mounts the device of a machine.
async fn mounted(machine: &Machine, fs_type: &str, options: &[&str]) -> std::path::PathBuf {
    let target = machine.path("mounted");
    let flags: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let host = &machine.host;
    host.format(&machine.device, fs_type, &flags).await.unwrap();
    host.make_directory(&target).await.unwrap();
    host.mount(&request(&machine.device, &target, Some(fs_type), &["noatime"]))
        .await
        .unwrap();
    target
}

#[tokio::test]
async fn a_blank_device_becomes_a_mounted_ext4() {
    let Some(machine) = machine("a_blank_device_becomes_a_mounted_ext4", 64) else {
        return;
    };
    let host = &machine.host;
    let found = host
        .block_device(&host.dev().join("xvdaa"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.path.as_path(), found.size),
        (machine.device.as_path(), 64 << 20)
    );
    assert_eq!(host.contents(&found.path).await.unwrap(), Contents::Blank);
    let target = mounted(&machine, "ext4", &["-F", "-m0"]).await;
    let of_ext4 = Contents::FileSystem("ext4".into());
    assert_eq!(host.contents(&found.path).await.unwrap(), of_ext4);
    let mounts = host.mounts().await.unwrap();
    let mount = Mount::at(&mounts, &target).unwrap();
    assert_eq!(Path::new(&mount.source), machine.device);
    assert!(mount.options.iter().any(|option| option == "noatime"));
    std::fs::write(target.join("file"), "data").unwrap();
    let statistics = host.statistics(&target).await.unwrap();
    assert!(statistics.bytes.total > 32 << 20 && statistics.inodes.is_some());
    // In use: neither formatted nor let go.
    let busy = host.format(&machine.device, "ext4", &["-F".into()]).await;
    assert!(matches!(busy, Err(HostError::Busy { .. })), "{busy:?}");
    let open = std::fs::File::open(target.join("file")).unwrap();
    let busy = host.unmount(&target).await;
    assert!(matches!(busy, Err(HostError::Busy { .. })), "{busy:?}");
    drop(open);
    // A process that another test begins may hold a copy of the open file for a moment.
    let let_go = async {
        while let Err(error) = host.unmount(&target).await {
            assert!(matches!(error, HostError::Busy { .. }), "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), let_go)
        .await
        .unwrap();
    host.unmount(&target).await.unwrap();
    host.remove(&target).await.unwrap();
    assert_eq!(host.kind(&target).await.unwrap(), None);
    assert_eq!(host.check(&machine.device).await.unwrap(), Check::Clean);
}

#[tokio::test]
async fn ext4_grows_unmounted_and_says_which_capability_is_lacking() {
    let Some(machine) = machine("ext4_grows_unmounted", 64) else {
        return;
    };
    let host = &machine.host;
    let target = mounted(&machine, "ext4", &["-F", "-m0"]).await;
    std::fs::write(target.join("file"), "data").unwrap();
    let before = host
        .file_system_size(&machine.device, "ext4", Some(&target))
        .await
        .unwrap();
    assert_eq!(before, 64 << 20);
    machine.enlarge(128);
    match host.grow(&machine.device, "ext4", Some(&target)).await {
        Ok(()) => {}
        Err(HostError::CapabilityLacking { capability, .. }) => {
            assert_eq!(capability, "CAP_SYS_RESOURCE");
            eprintln!("this process lacks {capability}: ext4 is grown unmounted");
            host.unmount(&target).await.unwrap();
            host.grow(&machine.device, "ext4", None).await.unwrap();
            host.mount(&request(&machine.device, &target, Some("ext4"), &[]))
                .await
                .unwrap();
        }
        Err(error) => panic!("{error}"),
    }
    let after = host
        .file_system_size(&machine.device, "ext4", Some(&target))
        .await
        .unwrap();
    assert_eq!(after, 128 << 20);
    assert_eq!(std::fs::read_to_string(target.join("file")).unwrap(), "data");
}

#[tokio::test]
async fn xfs_grows_while_it_is_written_to() {
    let Some(machine) = machine("xfs_grows_while_it_is_written_to", 512) else {
        return;
    };
    let host = &machine.host;
    let target = mounted(&machine, "xfs", &["-f"]).await;
    let size = async || {
        host.file_system_size(&machine.device, "xfs", Some(&target))
            .await
            .unwrap()
    };
    assert_eq!(size().await, 512 << 20);
    machine.enlarge(1024);
    let path = target.join("log");
    let writer = std::thread::spawn(move || {
        for number in 0..2000 {
            std::fs::write(&path, number.to_string()).unwrap();
        }
    });
    host.grow(&machine.device, "xfs", Some(&target)).await.unwrap();
    writer.join().unwrap();
    assert_eq!(size().await, 1024 << 20);
    assert_eq!(std::fs::read_to_string(target.join("log")).unwrap(), "1999");
    let unmounted = host.grow(&machine.device, "xfs", None).await;
    assert!(
        matches!(unmounted, Err(HostError::Unsupported(_))),
        "{unmounted:?}"
    );
}

#[tokio::test]
async fn bind_mounts_of_folders_and_devices() {
    let Some(machine) = machine("bind_mounts_of_folders_and_devices", 64) else {
        return;
    };
    let host = &machine.host;
    let target = mounted(&machine, "ext4", &["-F"]).await;
    let (bound, block) = (machine.path("bound"), machine.path("block"));
    host.make_directory(&bound).await.unwrap();
    host.mount(&request(&target, &bound, None, &["bind", "ro"]))
        .await
        .unwrap();
    assert!(std::fs::write(bound.join("file"), "x").is_err());
    std::fs::write(target.join("file"), "x").unwrap();
    let mounts = host.mounts().await.unwrap();
    let mount = Mount::at(&mounts, &bound).unwrap();
    assert!(mount.is_read_only() && Path::new(&mount.source) == machine.device);
    host.make_file(&block).await.unwrap();
    host.mount(&request(&machine.device, &block, None, &["bind"]))
        .await
        .unwrap();
    assert_eq!(host.kind(&block).await.unwrap(), Some(PathKind::BlockDevice));
    assert_eq!(host.block_device(&block).await.unwrap().unwrap().size, 64 << 20);
    host.unmount(&block).await.unwrap();
    host.remove(&block).await.unwrap();
    host.unmount(&bound).await.unwrap();
    host.remove(&bound).await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_or_is_no_device_is_told() {
    let Some(machine) = machine("what_is_not_there_or_is_no_device_is_told", 64) else {
        return;
    };
    let host = &machine.host;
    assert_eq!(host.block_device(&host.dev().join("xvdzz")).await.unwrap(), None);
    let image = host.block_device(&machine.path("image")).await;
    assert!(matches!(image, Err(HostError::NotADevice(_))), "{image:?}");
    let missing = host.format(&host.dev().join("xvdzz"), "ext4", &[]).await;
    assert!(matches!(missing, Err(HostError::DeviceMissing(_))), "{missing:?}");
    let tool = host.format(&machine.device, "nosuch", &[]).await;
    assert!(matches!(tool, Err(HostError::ToolMissing { .. })), "{tool:?}");
    let failed = host
        .format(&machine.device, "ext4", &["-b".into(), "7".into()])
        .await;
    assert!(matches!(failed, Err(HostError::ToolFailed { .. })), "{failed:?}");
    assert_eq!(host.contents(&machine.device).await.unwrap(), Contents::Blank);
    host.make_directory(&machine.path("mounted")).await.unwrap();
    let foreign = host
        .mount(&request(
            &machine.device,
            &machine.path("mounted"),
            Some("ext4"),
            &[],
        ))
        .await;
    assert!(foreign.is_err());
}

/// What the mount table says of a target, from its options on; shared and slave groups without their numbers.
fn seen(target: &Path) -> String {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let at = format!(" {} ", target.display());
    let line = table.lines().rfind(|line| line.contains(&at)).unwrap();
    let (_, seen) = line.split_once(&at).unwrap();
    let seen: String = seen.split(|c: char| c.is_ascii_digit()).collect();
    seen
}

/// Options that mount(8) takes.
const TAKEN: [&str; 27] = [
    "noatime,nodiratime",
    "user",
    "users",
    "user,exec",
    "nouser",
    "owner",
    "group,dev",
    "comment=x",
    "iversion",
    "noiversion",
    "loud",
    "silent",
    "nostrictatime",
    "strictatime",
    "noatime,atime",
    "private",
    "rshared",
    "slave",
    "unbindable",
    "ro,rw",
    "rw,ro",
    "mand",
    "sync,async",
    "nosymfollow",
    "defaults,noauto,nofail,_netdev,x-a.b=c,X-mount.mkdir",
    "discard",
    "commit=30,errors=remount-ro",
];

/// The same options lead to the same mount as with mount(8) itself.
#[tokio::test]
async fn ebs_case_114_options_are_taken_as_mount_8_takes_them() {
    let Some(machine) = machine("ebs_case_114_options_are_taken_as_mount_8_takes_them", 64) else {
        return;
    };
    let (host, target) = (&machine.host, machine.path("mounted"));
    host.format(&machine.device, "ext4", &["-F".into()])
        .await
        .unwrap();
    host.make_directory(&target).await.unwrap();
    for options in TAKEN {
        let tool = std::process::Command::new("mount")
            .args(["-t", "ext4", "-o", options])
            .args([&machine.device, &target])
            .output()
            .unwrap();
        assert!(tool.status.success(), "{options}: {tool:?}");
        let expected = seen(&target);
        host.unmount(&target).await.unwrap();
        let ours = request(&machine.device, &target, Some("ext4"), &[options]);
        host.mount(&ours)
            .await
            .unwrap_or_else(|error| panic!("{options}: {error}"));
        assert_eq!(seen(&target), expected, "{options}");
        host.unmount(&target).await.unwrap();
    }
    for (options, named) in [
        ("noatime,bogus,commit=30", "bogus"),
        ("commit=soon", "commit=soon"),
        ("remount", "remount"),
        ("noatime,loop", "loop"),
    ] {
        let ours = request(&machine.device, &target, Some("ext4"), &[options]);
        let error = host.mount(&ours).await.unwrap_err().to_string();
        assert!(error.contains(&format!("the mount option {named:?}")), "{error}");
        assert!(Mount::at(&host.mounts().await.unwrap(), &target).is_none());
    }
}

/// What is published for a pod has the name that kubelet gives it.
#[tokio::test]
async fn ebs_case_189_a_device_is_known_by_its_number() {
    let Some(machine) = machine("ebs_case_189_a_device_is_known_by_its_number", 64) else {
        return;
    };
    let (host, block) = (&machine.host, machine.path("block"));
    host.make_file(&block).await.unwrap();
    host.mount(&request(&machine.device, &block, None, &["bind"]))
        .await
        .unwrap();
    for (flag, expected) in [("--setro", true), ("--setrw", false)] {
        let set = std::process::Command::new("blockdev")
            .arg(flag)
            .arg(&machine.device)
            .status();
        assert!(set.unwrap().success());
        let found = host.block_device(&block).await.unwrap().unwrap();
        assert_eq!(found.is_read_only, expected);
    }
    host.unmount(&block).await.unwrap();
    host.remove(&block).await.unwrap();
}
