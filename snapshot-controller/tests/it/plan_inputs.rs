//! Dynamic snapshots: class, claim, volume, secrets, node, mode.

use std::sync::Arc;

use controller::{Next, UNTIL_GROWN};
use serde_json::{Value, json};
use snapshot_controller::plan::topology::NodeFacts;

use crate::plan_create::body;
use crate::scene::{AS_SOURCE, CLAIM_SOURCE, NOW, Scene, class_of};

fn default_class(name: &str, driver: &str, value: &str) -> Value {
    let mut class = class_of(name, driver, "Delete");
    class["metadata"]["annotations"] = json!({"snapshot.storage.kubernetes.io/is-default-class": value});
    class
}

fn without_class() -> Scene {
    Scene::new().with("vs", "s", json!({"spec": {"volumeSnapshotClassName": null}}))
}

#[test]
fn snapshot_case_36_the_default_class_of_the_driver_is_stored_with_the_finalizers() {
    let mut scene = without_class();
    scene.put("class", default_class("mine", "d", "true"));
    scene.put("class", default_class("other", "e", "true"));
    let lines = scene.lines("s");
    assert_eq!(
        body(&lines[0])[4],
        json!({"op": "add", "path": "/spec/volumeSnapshotClassName", "value": "mine"})
    );
    assert!(lines[0].contains(AS_SOURCE));
    assert_eq!(body(&lines[2])["spec"]["volumeSnapshotClassName"], "mine");
    assert!(scene.settle("s", 2));
    assert_eq!(scene.requests.len(), 4, "the class costs no request of its own");
}

#[test]
fn snapshot_case_37_38_no_or_several_default_classes_are_refused_until_there_is_one() {
    let mut scene = without_class();
    scene.put("class", default_class("true", "d", "True"));
    let none = "Failed to set default snapshot class with error cannot find default snapshot class";
    assert_eq!(
        scene.refusal("s"),
        ("SetDefaultSnapshotClassFailed".to_owned(), none.to_owned())
    );
    scene.put("class", default_class("a", "d", "true"));
    scene.put("class", default_class("b", "d", "true"));
    let two = "Failed to set default snapshot class with error 2 default snapshot classes were found: a, b";
    assert_eq!(
        scene.refusal("s"),
        ("SetDefaultSnapshotClassFailed".to_owned(), two.to_owned())
    );
    assert!(scene.lines("s")[0].contains(two));
    scene.remove("class", "b");
    assert!(scene.settle("s", 2));
    assert_eq!(
        scene.get("vs", "s").unwrap()["spec"]["volumeSnapshotClassName"],
        "a"
    );
}

type RefusedInput = (&'static str, Scene, &'static str);

/// Scenes in which nothing may be created, and a part of the text that says why: claim and volume.
fn refused_sources() -> Vec<RefusedInput> {
    let claim = |change| Scene::new().with("pvc", "p", change);
    let volume = |change| Scene::new().with("pv", "pv", change);
    let unbound = "the PVC p is not yet bound to a PV, will not attempt to take a snapshot";
    let invalid = "claim in dataSource not bound or invalid";
    vec![
        (
            "39 claim missing",
            Scene::new().without("pvc", "p"),
            "\"p\" does not exist in namespace \"ns\"",
        ),
        (
            "39 volume missing",
            Scene::new().without("pv", "pv"),
            "the PersistentVolume \"pv\" of claim \"p\" does not exist",
        ),
        (
            "40 claim pending",
            claim(json!({"status": {"phase": "Pending"}})),
            unbound,
        ),
        (
            "40 claim without volume",
            claim(json!({"spec": {"volumeName": null}})),
            unbound,
        ),
        (
            "41 volume of no driver",
            volume(json!({"spec": {"csi": null, "nfs": {}}})),
            "cannot find CSI PersistentVolumeSource for volume pv",
        ),
        (
            "161 in-tree volume with an ID that is none",
            volume(json!({"spec": {"csi": null, "awsElasticBlockStore": {"volumeID": "aws://a/foo"}}})),
            "\"aws://a/foo\", which is no EBS volume",
        ),
        (
            "160 class of another driver than the one that took the plugin over",
            volume(json!({"spec": {"csi": null, "awsElasticBlockStore": {"volumeID": "vol-1"}}})),
            "the volume of claim p is of driver ebs.csi.aws.com",
        ),
        (
            "41 volume of another claim",
            volume(json!({"spec": {"claimRef": {"uid": "other"}}})),
            invalid,
        ),
        (
            "41 volume of no claim",
            volume(json!({"spec": {"claimRef": null}})),
            invalid,
        ),
        (
            "46 claim terminating",
            claim(json!({"metadata": {"deletionTimestamp": NOW}})),
            "cannot add finalizer on claim p because it is being deleted",
        ),
    ]
}

/// The same for the class.
fn refused_classes() -> Vec<RefusedInput> {
    let class = |change| Scene::new().with("class", "k", change);
    vec![
        (
            "42 class of another driver",
            class(json!({"driver": "e"})),
            "VolumeSnapshotClass k is of driver e, but the volume of claim p is of driver d",
        ),
        (
            "43 half a secret",
            class(json!({"parameters": {"csi.storage.k8s.io/snapshotter-secret-name": "x"}})),
            "either name and namespace for Snapshotter secrets specified, Both must be specified",
        ),
        (
            "43 snapshot name in the namespace",
            class(json!({"parameters": {
                "csi.storage.k8s.io/snapshotter-secret-name": "x",
                "csi.storage.k8s.io/snapshotter-secret-namespace": "${volumesnapshot.name}"}})),
            "invalid tokens: [\"volumesnapshot.name\"]",
        ),
    ]
}

#[test]
fn snapshot_cases_39_to_43_and_46_160_161_wrong_inputs_are_refused_before_anything_is_written() {
    for (case, scene, text) in refused_sources().into_iter().chain(refused_classes()) {
        let (reason, message) = scene.refusal("s");
        assert_eq!(reason, "SnapshotContentCreationFailed", "{case}");
        assert!(
            message.starts_with("Failed to create snapshot content with error ") && message.contains(text),
            "{case}: {message}"
        );
        let lines = scene.lines("s");
        assert!(lines[0].starts_with("PATCH vs/status"), "{case}: {lines:?}");
        assert!(lines[0].contains("\"readyToUse\":false"), "{case}: {lines:?}");
        assert!(
            lines[1].starts_with("Warning SnapshotContentCreationFailed"),
            "{case}: {lines:?}"
        );
        assert_eq!(lines.len(), 2, "{case}: {lines:?}");
    }
}

#[test]
fn snapshot_case_39_the_snapshot_proceeds_when_the_claim_appears() {
    let mut scene = Scene::new();
    let claim = scene.remove("pvc", "p").unwrap();
    assert!(scene.settle("s", 2));
    scene.put("pvc", claim);
    assert!(scene.settle("s", 2));
    assert!(scene.get("vsc", "snapcontent-u").is_some());
    assert!(scene.get("vs", "s").unwrap()["status"]["error"].is_null());
}

#[test]
fn snapshot_case_44_secret_templates_become_annotations() {
    let scene = Scene::new().with(
        "class",
        "k",
        json!({"parameters": {
            "csi.storage.k8s.io/snapshotter-secret-name": "key-${volumesnapshot.name}",
            "csi.storage.k8s.io/snapshotter-secret-namespace": "${volumesnapshot.namespace}"}}),
    );
    assert_eq!(
        body(&scene.lines("s")[2])["metadata"]["annotations"],
        json!({
            "slackwater.io/fresh": "yes",
            "snapshot.storage.kubernetes.io/deletion-secret-name": "key-s",
            "snapshot.storage.kubernetes.io/deletion-secret-namespace": "ns"})
    );
}

#[test]
fn snapshot_case_46_a_terminating_claim_that_we_hold_is_cut() {
    let scene = Scene::new().with(
        "pvc",
        "p",
        json!({"metadata": {"deletionTimestamp": NOW, "finalizers": [CLAIM_SOURCE]}}),
    );
    let lines = scene.lines("s");
    assert!(lines[1].starts_with("POST vsc"), "{lines:#?}");
}

/// Distributed, with these nodes and a volume of the one of this name.
fn distributed(nodes: &[&str], of: &str) -> Scene {
    let mut scene = Scene::new().with(
        "pv",
        "pv",
        json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": [of]}]}]}}}}),
    );
    scene.distributed = true;
    let node = |name: &&str| {
        Arc::new(NodeFacts {
            name: (*name).to_owned(),
            labels: [("zone".to_owned(), (*name).to_owned())].into(),
        })
    };
    scene.nodes = nodes.iter().map(node).collect();
    scene
}

#[test]
fn snapshot_case_87_distributed_contents_carry_the_node_of_the_volume() {
    let mut scene = distributed(&["n0", "n1"], "n1");
    let lines = scene.lines("s");
    assert_eq!(
        body(&lines[2])["metadata"]["labels"],
        json!({"snapshot.storage.kubernetes.io/managed-by": "n1"})
    );
    assert!(
        !lines.iter().any(|line| line.starts_with("Warning")),
        "{lines:#?}"
    );
    scene.distributed = false;
    assert!(body(&scene.lines("s")[2])["metadata"]["labels"].is_null());
}

#[test]
fn snapshot_case_87_and_181_without_a_node_the_content_has_no_label_and_it_is_told_once() {
    let long = "n".repeat(64);
    let rows = [
        (
            ["n0"],
            "n1",
            "no node matches the node affinity of PersistentVolume pv",
        ),
        (
            [long.as_str()],
            long.as_str(),
            "is longer than the 63 characters of a label value",
        ),
    ];
    for (nodes, of, why) in rows {
        let mut scene = distributed(&nodes, of);
        let lines = scene.lines("s");
        assert!(lines[2].starts_with("POST vsc"), "{lines:#?}");
        assert!(body(&lines[2])["metadata"]["labels"].is_null());
        let told = lines.last().unwrap();
        assert!(told.starts_with("Warning SnapshotNodeUnknown: "), "{told}");
        assert!(told.ends_with(why), "{told}");
        assert!(scene.settle("s", 2));
        let warnings = scene.events.iter().filter(|event| event.starts_with("Warning"));
        assert_eq!(warnings.count(), 1, "{:?}", scene.events);
    }
}

#[test]
fn snapshot_case_182_a_node_that_may_only_not_be_known_yet_is_waited_for() {
    let waits = |scene: &Scene| {
        let plan = scene.plan("s");
        plan.actions.is_empty() && plan.next == Next::After(UNTIL_GROWN)
    };
    let made_now = json!({"metadata": {"creationTimestamp": NOW}});
    let young = distributed(&["n0"], "n1").with("vs", "s", made_now.clone());
    assert!(waits(&young));
    let mut lost = distributed(&["n0"], "n1");
    lost.is_lost = true;
    assert!(waits(&lost));
    let known = distributed(&["n1"], "n1").with("vs", "s", made_now);
    assert!(!waits(&known), "a node that is there is not waited for");
}

#[test]
fn snapshot_case_160_an_in_tree_volume_is_cut_by_the_driver_that_took_it_over() {
    let source = json!({"spec": {
        "csi": null, "awsElasticBlockStore": {"volumeID": "aws://us-east-1a/vol-1", "fsType": "ext4"},
    }});
    let labels = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "us-east-1a"}}});
    let mut scene = without_class().with("pv", "pv", source).with("pv", "pv", labels);
    scene.put("class", default_class("mine", "ebs.csi.aws.com", "true"));
    // Its label says where it is, and the driver's nodes say it in the driver's words.
    scene.distributed = true;
    scene.nodes = ["us-east-1b", "us-east-1a"]
        .map(|zone| {
            Arc::new(NodeFacts {
                name: format!("node-{zone}"),
                labels: [("topology.ebs.csi.aws.com/zone".to_owned(), zone.to_owned())].into(),
            })
        })
        .into();
    let content = body(&scene.lines("s")[2]);
    assert_eq!(content["spec"]["driver"], "ebs.csi.aws.com");
    assert_eq!(content["spec"]["source"], json!({"volumeHandle": "vol-1"}));
    assert_eq!(
        content["metadata"]["labels"],
        json!({"snapshot.storage.kubernetes.io/managed-by": "node-us-east-1a"})
    );
    assert!(scene.settle("s", 2));
}

#[test]
fn snapshot_case_88_the_volume_mode_is_recorded_unless_switched_off() {
    let mut scene = Scene::new().with("pv", "pv", json!({"spec": {"volumeMode": "Block"}}));
    assert_eq!(body(&scene.lines("s")[2])["spec"]["sourceVolumeMode"], "Block");
    scene.ignore_mode = true;
    assert!(body(&scene.lines("s")[2])["spec"]["sourceVolumeMode"].is_null());
}

#[test]
fn snapshot_case_2_both_sources_or_none_are_refused_where_the_schema_let_them_pass() {
    for source in [
        json!({"volumeSnapshotContentName": "c"}),
        json!({"persistentVolumeClaimName": null}),
    ] {
        let scene = Scene::new().with("vs", "s", json!({"spec": {"source": source}}));
        assert_eq!(scene.refusal("s").0, "SnapshotValidationError");
    }
}
