//! From a claim to restored data, and what else people do with volumes.

use std::time::Instant;

use serde_json::{Value, json};

use super::person::{claim, class, from_claim, from_snapshot, pod_spec, snapshot};
use super::{Cluster, LAYER, PATIENCE};
use crate::shared::say;

#[tokio::test]
async fn what_was_written_before_a_snapshot_is_restored_and_cloned_beside_the_first() {
    let Some(cluster) = Cluster::beside_others().await else {
        return;
    };
    let person = cluster.person("restore");
    person.apply(&[class("xfs", "xfs"), class("ext4", "ext4")]);
    for file_system in ["xfs", "ext4"] {
        let [first, restored, clone] =
            ["first", "restored", "clone"].map(|name| format!("{name}-{file_system}"));
        person.apply(&[claim(&first, file_system, "1Gi", Value::Null)]);
        person.pod("writer", &[&first]);
        let before = person.writes("writer", &format!("/{first}/data"));
        person.apply(&[snapshot("before", &first)]);
        person.wait("volumesnapshot/before", "jsonpath={.status.readyToUse}=true");
        let after = person.writes("writer", &format!("/{first}/data"));
        person.apply(&[
            claim(&restored, file_system, "1Gi", from_snapshot("before")),
            claim(&clone, file_system, "1Gi", from_claim(&first)),
        ]);
        // All three have one UUID: xfs mounts the second and the third only if it is told to.
        person.pod("reader", &[&first, &restored, &clone]);
        for (name, written) in [(&first, &after), (&restored, &before), (&clone, &after)] {
            person.holds("reader", &format!("/{name}/data"), written);
        }
        person.kubectl(&["delete", "pod/writer", "pod/reader", "volumesnapshot/before"]);
    }
    person.kubectl(&["delete", "storageclass", "xfs", "ext4"]);
    person.leaves();
    cluster.nothing_is_left().await;
}

#[tokio::test]
async fn a_snapshot_under_a_writer_holds_a_prefix_of_what_was_synced() {
    let Some(cluster) = Cluster::beside_others().await else {
        return;
    };
    let person = cluster.person("prefix");
    person.apply(&[claim("log", "ebs-sc", "1Gi", Value::Null)]);
    person.pod("writer", &["log"]);
    // A line is synced before it is counted.
    person.sh(
        "writer",
        "(n=0; while true; do n=$((n+1)); echo $n >>/log/lines; sync /log/lines; echo $n >/tmp/next; mv /tmp/next /tmp/count; done) >/dev/null 2>&1 &",
    );
    person.sh("writer", "until [ -s /tmp/count ]; do sleep 0.1; done");
    let synced: u32 = person.sh("writer", "cat /tmp/count").parse().unwrap();
    person.apply(&[snapshot("under", "log")]);
    person.wait("volumesnapshot/under", "jsonpath={.status.readyToUse}=true");
    let later: u32 = person.sh("writer", "cat /tmp/count").parse().unwrap();
    person.apply(&[claim("copy", "ebs-sc", "1Gi", from_snapshot("under"))]);
    person.pod("reader", &["copy"]);
    let lines = person.sh("reader", "cat /copy/lines");
    let held = (1..)
        .zip(lines.lines())
        .take_while(|(number, line)| *line == format!("{number}"))
        .count();
    assert!(
        held >= synced as usize && held <= later as usize + 1,
        "{synced} were synced before, {later} after; the snapshot holds {held}"
    );
    // The length of a file may be on the device before the line that was being written, which nobody had synced.
    let rest: Vec<&str> = lines.lines().skip(held).collect();
    assert!(rest.len() <= 1, "lines in their order, none left out: {rest:?}");
    person.leaves();
    cluster.nothing_is_left().await;
}

#[tokio::test]
async fn a_volume_grows_under_a_writer() {
    let Some(cluster) = Cluster::beside_others().await else {
        return;
    };
    let person = cluster.person("growth");
    person.apply(&[
        class("growing", "xfs"),
        claim("data", "growing", "1Gi", Value::Null),
    ]);
    person.pod("writer", &["data"]);
    let first = person.writes("writer", "/data/first");
    person.sh(
        "writer",
        "(while true; do head -c 1000000 /dev/urandom >/data/other; sync; done) >/dev/null 2>&1 &",
    );
    let patch = r#"{"spec":{"resources":{"requests":{"storage":"3Gi"}}}}"#;
    person.kubectl(&["patch", "pvc", "data", "-p", patch]);
    person.wait("pvc/data", "jsonpath={.status.capacity.storage}=3Gi");
    let size: u64 = person
        .sh("writer", "df -P /data | awk 'NR==2 { print $2 }'")
        .parse()
        .unwrap();
    assert!(size > 2_900_000, "{size} KiB");
    person.holds("writer", "/data/first", &first);
    person.kubectl(&["delete", "storageclass", "growing"]);
    person.leaves();
    cluster.nothing_is_left().await;
}

#[tokio::test]
async fn a_block_volume_keeps_its_bytes_and_grows() {
    let Some(cluster) = Cluster::beside_others().await else {
        return;
    };
    let person = cluster.person("block");
    let pod = || {
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "raw" }, "spec": pod_spec(&[]) });
        pod["spec"]["volumes"] =
            json!([{ "name": "disk", "persistentVolumeClaim": { "claimName": "disk" } }]);
        pod["spec"]["containers"][0]["volumeDevices"] =
            json!([{ "name": "disk", "devicePath": "/dev/disk0" }]);
        pod
    };
    person.apply(&[
        claim("disk", "ebs-sc", "1Gi", json!({ "volumeMode": "Block" })),
        pod(),
    ]);
    person.wait("pod/raw", "condition=Ready");
    let made = "head -c 8000000 /dev/urandom >/tmp/data && dd if=/tmp/data of=/dev/disk0 bs=1000000 conv=fsync 2>/dev/null && sha256sum </tmp/data";
    let written = person.sh("raw", made);
    person.delete("pod/raw");
    person.apply(&[pod()]);
    person.wait("pod/raw", "condition=Ready");
    person.same("raw", "head -c 8000000 /dev/disk0 | sha256sum", &written);
    let patch = r#"{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}"#;
    person.kubectl(&["patch", "pvc", "disk", "-p", patch]);
    person.wait("pvc/disk", "jsonpath={.status.capacity.storage}=2Gi");
    assert_eq!(
        person.sh("raw", "blockdev --getsize64 /dev/disk0"),
        (2_u64 << 30).to_string()
    );
    person.same("raw", "head -c 8000000 /dev/disk0 | sha256sum", &written);
    person.leaves();
    cluster.nothing_is_left().await;
}

#[tokio::test]
async fn workloads_find_their_data_again() {
    let Some(cluster) = Cluster::beside_others().await else {
        return;
    };
    let person = cluster.person("workloads");
    person.apply(&[
        claim("shared", "ebs-sc", "1Gi", Value::Null),
        deployment(),
        stateful_set(1),
    ]);
    person.kubectl(&["rollout", "status", "deployment/web", PATIENCE]);
    person.kubectl(&["rollout", "status", "statefulset/db", PATIENCE]);
    let of_web = person.writes("deployment/web", "/shared/data");
    let of_db = person.writes("db-0", "/data/data");
    person.delete("deployment/web");
    person.apply(&[deployment(), stateful_set(0)]);
    person.wait("pod/db-0", "delete");
    person.apply(&[stateful_set(1)]);
    person.kubectl(&["rollout", "status", "deployment/web", PATIENCE]);
    person.kubectl(&["rollout", "status", "statefulset/db", PATIENCE]);
    person.holds("deployment/web", "/shared/data", &of_web);
    person.holds("db-0", "/data/data", &of_db);
    person.leaves();
    cluster.nothing_is_left().await;
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": pod_spec(&["shared"]) },
        },
    })
}

fn stateful_set(replicas: u32) -> Value {
    let mut spec = pod_spec(&["data"]);
    spec["volumes"] = json!([]);
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db" },
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": { "matchLabels": { "app": "db" } },
            "template": { "metadata": { "labels": { "app": "db" } }, "spec": spec },
            "volumeClaimTemplates": [claim("data", "ebs-sc", "1Gi", Value::Null)],
        },
    })
}

#[tokio::test]
async fn a_volume_that_exists_is_used_by_a_pod() {
    let Some(cluster) = Cluster::beside_others().await else {
        return;
    };
    let person = cluster.person("static");
    let id = cluster.node().ec2().volume("us-east-1a", 1).unwrap();
    person.apply(&[
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "by-hand" },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "1Gi" },
                "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "",
                "csi": { "driver": "ebs.csi.aws.com", "fsType": "ext4", "volumeHandle": id },
                "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [{
                    "key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a"],
                }] }] } },
            },
        }),
        claim("mine", "", "1Gi", json!({ "volumeName": "by-hand" })),
    ]);
    person.pod("writer", &["mine"]);
    let written = person.writes("writer", "/mine/data");
    person.delete("pod/writer");
    person.pod("reader", &["mine"]);
    person.holds("reader", "/mine/data", &written);
    person.leaves();
    cluster.nothing_is_left().await;
}

#[tokio::test]
async fn journeys_case_45_a_namespace_is_deleted_with_its_claims_pods_and_snapshots() {
    let Some(cluster) = Cluster::beside_others().await else {
        return;
    };
    let person = cluster.person("deleted");
    let retaining = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass",
        "metadata": { "name": "retaining" }, "driver": "ebs.csi.aws.com", "deletionPolicy": "Retain",
    });
    let mut kept = snapshot("kept", "data");
    kept["spec"]["volumeSnapshotClassName"] = json!("retaining");
    person.apply(&[retaining, claim("data", "ebs-sc", "1Gi", Value::Null)]);
    person.pod("writer", &["data"]);
    person.writes("writer", "/data/data");
    person.apply(&[snapshot("goes", "data"), kept]);
    person.wait("volumesnapshot/kept", "jsonpath={.status.readyToUse}=true");
    person.wait("volumesnapshot/goes", "jsonpath={.status.readyToUse}=true");
    // One that nobody uses yet, and one that is being made.
    person.apply(&[
        claim("waits", "ebs-sc", "1Gi", Value::Null),
        claim("copy", "ebs-sc", "1Gi", from_snapshot("goes")),
        super::person::pod("reader", &["copy"]),
    ]);
    let contents = ["kept", "goes"].map(|name| {
        let path = "jsonpath={.status.boundVolumeSnapshotContentName}";
        person.kubectl(&["get", "volumesnapshot", name, "-o", path])
    });
    let handle = [
        "get",
        "volumesnapshotcontent",
        &contents[0],
        "-o",
        "jsonpath={.status.snapshotHandle}",
    ];
    let handle = cluster.kubectl().ok(&handle).unwrap();
    let volumes = person.volumes();
    let begun = Instant::now();
    person.delete_namespace();
    let seconds = begun.elapsed().as_secs_f64();
    say(&format!(
        "layer {LAYER}: a namespace was gone after {seconds:.1} s"
    ));
    person.gone("pv", &volumes);
    person.gone("volumesnapshotcontent", &contents[1..]);
    let left = cluster.node().ec2().state().unwrap().snapshots;
    assert!(left.iter().any(|snapshot| snapshot.id == handle), "{left:?}");
    // Who wants it gone says so of the content that is left.
    let kubectl = cluster.kubectl();
    let patch = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
    let content = format!("volumesnapshotcontent/{}", contents[0]);
    kubectl
        .ok(&["patch", &content, "--type=merge", "-p", patch])
        .unwrap();
    kubectl
        .ok(&["delete", &content, "volumesnapshotclass/retaining", PATIENCE])
        .unwrap();
    cluster.nothing_is_left().await;
}
