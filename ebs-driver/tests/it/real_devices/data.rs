//! Data: written, in the snapshot, in what is restored of it; and nothing is left behind.

use std::panic::AssertUnwindSafe;

use csi::v1::volume_capability::access_mode::Mode;
use futures::FutureExt as _;

use super::{bench, left_of, nothing_left, read_at, write};
use crate::world::{block, mount};

#[tokio::test]
async fn a_snapshot_holds_what_was_written_before_it() {
    for fs_type in ["ext4", "xfs"] {
        let Some(bench) = bench("a_snapshot_holds_what_was_written_before_it") else {
            return;
        };
        let used = bench.use_it(&bench.volume(), mount(fs_type)).await;
        let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        write(&used.target.join("large"), &large);
        write(&used.target.join("note"), b"before");
        let snapshot = bench.snapshot("s", &used.id).await;
        write(&used.target.join("note"), b"after!");
        std::fs::remove_file(used.target.join("large")).unwrap();
        // On the same node, beside its source.
        let restored = bench.use_it(&bench.restored(&snapshot), mount(fs_type)).await;
        assert_ne!(bench.device(&restored).await, bench.device(&used).await);
        assert!(
            std::fs::read(restored.target.join("large")).unwrap() == large,
            "{fs_type}"
        );
        assert_eq!(std::fs::read(restored.target.join("note")).unwrap(), b"before");
        assert_eq!(std::fs::read(used.target.join("note")).unwrap(), b"after!");
        // What is given back and used again still has its data, whatever its device is then.
        bench.give_back(&used).await;
        bench.give_back(&restored).await;
        nothing_left(&bench.path("ebs")).await;
        let again = bench.use_it(&restored.id, mount(fs_type)).await;
        assert_eq!(std::fs::read(again.target.join("note")).unwrap(), b"before");
    }
}

#[tokio::test]
async fn raw_block_volumes_have_their_data_and_grow_by_themselves() {
    let Some(bench) = bench("raw_block_volumes_have_their_data_and_grow_by_themselves") else {
        return;
    };
    let wanted = block(Mode::SingleNodeWriter);
    let used = bench.use_it(&bench.volume(), wanted.clone()).await;
    write(&used.target, b"before");
    let snapshot = bench.snapshot("s", &used.id).await;
    write(&used.target, b"after!");
    let restored = bench.use_it(&bench.restored(&snapshot), wanted).await;
    assert_eq!(read_at(&restored.target, 0, 6), b"before");
    assert_eq!(read_at(&used.target, 0, 6), b"after!");
    bench.expand_volume(&used, 2).await;
    assert_eq!(bench.total(&used).await, 2 << 30);
    assert_eq!(bench.expand_on(&bench.node, &used).await.unwrap(), 2 << 30);
    assert_eq!(read_at(&used.target, (2 << 30) - 6, 6), [0; 6]);
    bench.give_back(&used).await;
    bench.give_back(&restored).await;
    assert!(!used.target.exists());
    nothing_left(bench.folder.path()).await;
}

#[tokio::test]
async fn a_volume_that_is_pulled_out_fails_under_its_mount_and_keeps_its_data() {
    for fs_type in ["ext4", "xfs"] {
        let Some(bench) = bench("a_volume_that_is_pulled_out_fails_under_its_mount_and_keeps_its_data")
        else {
            return;
        };
        let used = bench.use_it(&bench.volume(), mount(fs_type)).await;
        write(&used.target.join("note"), b"before");
        bench.world.ec2.force_detach_volume_fixture(&used.id).unwrap();
        let lost = std::fs::File::create(used.target.join("lost")).and_then(|file| file.sync_all());
        assert!(lost.is_err(), "{fs_type}");
        bench.give_back(&used).await;
        let again = bench.use_it(&used.id, mount(fs_type)).await;
        assert_eq!(std::fs::read(again.target.join("note")).unwrap(), b"before");
        assert!(!again.target.join("lost").exists(), "{fs_type}");
        bench.give_back(&again).await;
        nothing_left(&bench.path("ebs")).await;
    }
}

#[tokio::test]
async fn nothing_is_left_after_a_panic() {
    let Some(bench) = bench("nothing_is_left_after_a_panic") else {
        return;
    };
    let folder = bench.folder.path().to_owned();
    let of_test = folder.clone();
    let panicking = async move {
        let mounted = bench.use_it(&bench.volume(), mount("xfs")).await;
        bench.use_it(&bench.volume(), block(Mode::SingleNodeWriter)).await;
        let _open = std::fs::File::create(mounted.target.join("open")).unwrap();
        let known = left_of(&of_test).len();
        assert_eq!(known, 0, "devices and mounts");
    };
    let panicked = AssertUnwindSafe(panicking).catch_unwind().await;
    let text = *panicked.unwrap_err().downcast::<String>().unwrap_or_default();
    assert!(text.contains("left: 5\n"), "{text}");
    nothing_left(&folder).await;
    assert!(!folder.exists());
}
