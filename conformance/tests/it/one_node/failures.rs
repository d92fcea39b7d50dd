//! What fails under workloads; nothing is lost, nothing formatted that held data, all comes back without a hand.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::person::{claim, from_snapshot, pod, snapshot};
use super::{Cluster, LAYER};
use crate::shared::say;

/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(60);

#[tokio::test]
async fn kubelet_and_containerd_are_killed_under_a_workload() {
    let Some(mut cluster) = Cluster::alone().await else {
        return;
    };
    let person = cluster.person("killed");
    person.apply(&[claim("data", "ebs-sc", "1Gi", Value::Null)]);
    person.pod("writer", &["data"]);
    let written = person.writes("writer", "/data/data");
    cluster.node_mut().restart_kubelet().await.unwrap();
    person.holds("writer", "/data/data", &written);
    cluster.node_mut().restart_containerd().await.unwrap();
    person.pod("second", &["data"]);
    person.holds("second", "/data/data", &written);
    person.leaves();
    cluster.nothing_is_left().await;
}

#[tokio::test]
async fn the_api_server_is_away_for_a_minute_under_workloads() {
    let Some(mut cluster) = Cluster::alone().await else {
        return;
    };
    let person = cluster.person("away");
    person.apply(&[claim("data", "ebs-sc", "1Gi", Value::Null)]);
    person.pod("writer", &["data"]);
    let written = person.writes("writer", "/data/data");
    person.sh(
        "writer",
        "(while true; do echo x >>/data/lines; sync /data/lines; sleep 0.2; done) >/dev/null 2>&1 &",
    );
    let lines = cluster
        .node()
        .mounted(&person.volumes()[0])
        .unwrap()
        .join("lines");
    person.apply(&[snapshot("before", "data")]);
    person.wait("volumesnapshot/before", "jsonpath={.status.readyToUse}=true");
    // It goes while these are being made.
    person.apply(&[
        claim("copy", "ebs-sc", "1Gi", from_snapshot("before")),
        pod("reader", &["copy"]),
        snapshot("meanwhile", "data"),
    ]);
    let plane = cluster.node_mut().plane_mut();
    plane.kill_apiserver();
    let length = || std::fs::metadata(&lines).map_or(0, |metadata| metadata.len());
    let at_begin = length();
    tokio::time::sleep(AWAY).await;
    assert!(length() > at_begin, "the pod went on writing");
    plane.start_apiserver().await.unwrap();
    let begun = Instant::now();
    person.wait("volumesnapshot/meanwhile", "jsonpath={.status.readyToUse}=true");
    let seconds = begun.elapsed().as_secs_f64();
    say(&format!(
        "layer {LAYER}: a snapshot is ready {seconds:.1} s after the API server is back"
    ));
    // They would look again up to a minute later only, and the time of Kubernetes' own is not the question.
    cluster.node_mut().restart_controllers().unwrap();
    cluster.node_mut().restart_kubelet().await.unwrap();
    person.wait("pod/reader", "condition=Ready");
    person.holds("reader", "/copy/data", &written);
    person.holds("writer", "/data/data", &written);
    person.delete("pod/writer");
    person.pod("again", &["data"]);
    person.holds("again", "/data/data", &written);
    person.leaves();
    cluster.nothing_is_left().await;
}

#[tokio::test]
async fn ec2_refuses_for_a_while() {
    let Some(cluster) = Cluster::alone().await else {
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
    person.holds("writer", "/data/data", &written);
    person.leaves();
    cluster.nothing_is_left().await;
}
