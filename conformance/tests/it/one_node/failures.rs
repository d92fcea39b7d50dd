//! What fails under workloads; nothing is lost, nothing formatted that held data, all comes back without a hand.

use std::time::Duration;

use serde_json::Value;

use super::person::{claim, class};
use super::{Cluster, PATIENCE};

#[tokio::test]
async fn kubelet_and_containerd_are_killed_under_a_workload() {
    let Some(mut cluster) = Cluster::get().await else {
        return;
    };
    let person = cluster.person("killed");
    person.apply(&[claim("data", "ebs-sc", "1Gi", Value::Null)]);
    person.pod("writer", &["data"]);
    let written = person.writes("writer", "/data/data");
    cluster.node_mut().restart_kubelet().await.unwrap();
    assert_eq!(person.checksum("writer", "/data/data"), written);
    cluster.node_mut().restart_containerd().await.unwrap();
    person.pod("second", &["data"]);
    assert_eq!(person.checksum("second", "/data/data"), written);
    person.leaves();
    cluster.nothing_is_left();
}

#[tokio::test]
async fn the_suite_is_killed_midway() {
    let Some(cluster) = Cluster::get().await else {
        return;
    };
    let person = cluster.person("midway");
    let names: Vec<String> = (0..6).map(|number| format!("data-{number}")).collect();
    for name in &names {
        person.apply(&[
            claim(name, "ebs-sc", "1Gi", Value::Null),
            super::person::pod(name, &[name]),
        ]);
    }
    let kubectl = cluster.kubectl();
    let killed = [
        "delete",
        "pod",
        "-n",
        "kube-system",
        "--all",
        "--grace-period=0",
        "--force",
        "--wait=false",
    ];
    for _ in 0..3 {
        kubectl.ok(&killed).unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    for name in &names {
        person.wait(&format!("pod/{name}"), "condition=Ready");
        let written = person.writes(name, &format!("/{name}/data"));
        assert_eq!(person.checksum(name, &format!("/{name}/data")), written);
    }
    let volumes = cluster.node().volumes().unwrap();
    assert_eq!(volumes.len(), names.len(), "one volume a claim");
    person.leaves();
    cluster.nothing_is_left();
}

#[tokio::test]
async fn the_api_server_is_away_under_a_workload() {
    let Some(mut cluster) = Cluster::get().await else {
        return;
    };
    let person = cluster.person("away");
    person.apply(&[claim("data", "ebs-sc", "1Gi", Value::Null)]);
    person.pod("writer", &["data"]);
    let written = person.writes("writer", "/data/data");
    let plane = cluster.node_mut().plane_mut();
    plane.kill_apiserver();
    tokio::time::sleep(Duration::from_secs(20)).await;
    plane.start_apiserver().await.unwrap();
    person.delete("pod/writer");
    person.pod("reader", &["data"]);
    assert_eq!(person.checksum("reader", "/data/data"), written);
    person.leaves();
    cluster.nothing_is_left();
}

#[tokio::test]
async fn ec2_refuses_for_a_while() {
    let Some(cluster) = Cluster::get().await else {
        return;
    };
    let person = cluster.person("refused");
    let ec2 = cluster.node().ec2();
    for (action, code) in [
        ("CreateVolume", "RequestLimitExceeded"),
        ("AttachVolume", "InternalError"),
        ("DescribeVolumes", "Unavailable"),
    ] {
        ec2.fault(action, code, 3).unwrap();
    }
    person.apply(&[claim("data", "ebs-sc", "1Gi", Value::Null)]);
    person.pod("writer", &["data"]);
    let written = person.writes("writer", "/data/data");
    assert_eq!(person.checksum("writer", "/data/data"), written);
    person.leaves();
    cluster.nothing_is_left();
}

#[tokio::test]
async fn a_full_volume_is_healed_by_its_expansion() {
    let Some(cluster) = Cluster::get().await else {
        return;
    };
    let person = cluster.person("full");
    person.apply(&[
        class("filled", "xfs"),
        claim("data", "filled", "1Gi", Value::Null),
    ]);
    person.pod("writer", &["data"]);
    let written = person.writes("writer", "/data/first");
    let filled = person.sh("writer", "cat /dev/zero 2>&1 >/data/rest || true");
    assert!(filled.contains("No space left"), "{filled}");
    let patch = r#"{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}"#;
    person.kubectl(&["patch", "pvc", "data", "-p", patch]);
    person.wait("pvc/data", "jsonpath={.status.capacity.storage}=2Gi");
    let more = person.writes("writer", "/data/more");
    assert_eq!(person.checksum("writer", "/data/first"), written);
    assert_eq!(person.checksum("writer", "/data/more"), more);
    person.leaves();
    cluster.nothing_is_left();
    cluster
        .kubectl()
        .ok(&["delete", "storageclass", "filled", PATIENCE])
        .unwrap();
}
