//! A node is drained: its node service stays until the volumes are detached.

use conformance::{Kubectl, until};
use serde_json::Value;

use super::person::{claim, pod};
use super::{Cluster, GONE_WITHIN, PATIENCE, suite};

const NODE: &str = "node-1";
const SYSTEM: [&str; 2] = ["-n", "kube-system"];

#[tokio::test]
async fn a_drained_node_keeps_its_node_service_until_its_volumes_are_detached() {
    let Some(cluster) = Cluster::alone().await else {
        return;
    };
    let kubectl = cluster.kubectl();
    let person = cluster.person("drained");
    let names = ["first", "second"];
    for name in names {
        person.apply(&[claim(name, "ebs-sc", "1Gi", Value::Null), pod(name, &[name])]);
    }
    let written = names.map(|name| {
        person.wait(&format!("pod/{name}"), "condition=Ready");
        person.writes(name, &format!("/{name}/data"))
    });
    let service = node_service(&kubectl);
    kubectl.ok(&["cordon", NODE]).unwrap();
    // As at the end of a node; its pods are still there.
    in_system(&kubectl, &["delete", &service, "--wait=false"]);
    waits(&cluster).await;
    let running =
        "jsonpath={.metadata.deletionTimestamp} {.status.containerStatuses[*].state.running.startedAt}";
    let seen = in_system(&kubectl, &["get", &service, "-o", running]);
    assert_eq!(
        seen.split_whitespace().count(),
        4,
        "it is to go, and three containers run: {seen}"
    );
    // The controllers are on this node too, and would be on another one.
    let drain = [
        "drain",
        NODE,
        "--ignore-daemonsets",
        "--force",
        "--pod-selector=!app.kubernetes.io/part-of",
        PATIENCE,
    ];
    kubectl.ok(&drain).unwrap();
    in_system(&kubectl, &["wait", "--for=delete", &service, PATIENCE]);
    let volumes = cluster.node().volumes().unwrap();
    let states: Vec<&str> = volumes.iter().map(|volume| volume.status.as_str()).collect();
    assert_eq!(states, ["available"; 2], "when the node service was gone");
    kubectl.ok(&["uncordon", NODE]).unwrap();
    suite::runs(&kubectl);
    for (name, written) in names.into_iter().zip(&written) {
        person.pod(name, &[name]);
        person.holds(name, &format!("/{name}/data"), written);
    }
    person.leaves();
    cluster.nothing_is_left().await;
}

fn in_system(kubectl: &Kubectl, args: &[&str]) -> String {
    kubectl.ok(&[&SYSTEM, args].concat()).unwrap()
}

/// The pod that is there now.
fn node_service(kubectl: &Kubectl) -> String {
    let pods = in_system(kubectl, &["get", "pods", "-l", "app=ebs-csi-node", "-o", "name"]);
    let [pod] = pods.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("one node service: {pods}");
    };
    pod.to_owned()
}

/// Until the hook runs.
async fn waits(cluster: &Cluster) {
    until("the pre-stop hook runs", GONE_WITHIN, async || {
        let hooks = cluster
            .node()
            .running(&["/bin/aws-ebs-csi-driver", "pre-stop-hook"]);
        (!hooks.unwrap().is_empty()).then_some(())
    })
    .await
    .unwrap();
}
