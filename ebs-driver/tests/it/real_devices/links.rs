//! Kubelet's folder may be a link: the mount table knows the path behind it alone.

use node::Host as _;

use super::{Used, bench};
use crate::world::mount;

#[tokio::test]
async fn ebs_case_113_a_link_in_kubelets_path_changes_nothing() {
    let Some(bench) = bench("ebs_case_113_a_link_in_kubelets_path_changes_nothing") else {
        return;
    };
    let (link, behind) = (bench.path("kubelet"), bench.path("behind"));
    std::fs::create_dir(&behind).unwrap();
    std::os::unix::fs::symlink(&behind, &link).unwrap();
    let id = bench.volume();
    let used = bench.attach(&id, mount("xfs")).await;
    let used = Used {
        staging: link.join("staging"),
        target: link.join("pods/a/mount"),
        ..used
    };
    for _ in 0..2 {
        bench.stage(&used).await.unwrap();
    }
    for _ in 0..2 {
        bench.publish(&used).await.unwrap();
    }
    let mounts = bench.host.mounts().await.unwrap();
    let below = mounts.iter().filter(|mount| mount.target.starts_with(&behind));
    let below: Vec<_> = below
        .map(|mount| mount.target.strip_prefix(&behind).unwrap())
        .collect();
    assert_eq!(below, ["staging", "pods/a/mount"].map(std::path::Path::new));
    bench.expand_volume(&used, 2).await;
    assert_eq!(bench.expand_on(&bench.node, &used).await.unwrap(), 2 << 30);
    bench.unstage(&used).await;
    let mounts = bench.host.mounts().await.unwrap();
    assert!(!mounts.iter().any(|mount| mount.target.starts_with(&behind)));
    assert!(!behind.join("staging").exists() && !behind.join("pods/a/mount").exists());
    bench.give_back(&used).await;
}
