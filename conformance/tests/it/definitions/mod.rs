//! Layer 2: the definitions of the snapshot kinds, before the real API server.

mod conversion;
mod groups;
mod installed;
mod same_name;

use conformance::{Hand, Patch, until};
use serde_json::{Value, json};

use crate::shared::{self, PATIENCE};

const LAYER: &str = "2 definitions";
const GROUP: &str = "/apis/snapshot.storage.k8s.io/v1";
const KINDS: [&str; 3] = [
    "volumesnapshots",
    "volumesnapshotcontents",
    "volumesnapshotclasses",
];

fn collection(kind: &str) -> String {
    match kind {
        "volumesnapshots" => format!("{GROUP}/namespaces/default/{kind}"),
        _ => format!("{GROUP}/{kind}"),
    }
}

fn snapshot(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": { "name": name },
        "spec": spec,
    })
}

fn content(name: &str, source: Value) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotContent",
        "metadata": { "name": name },
        "spec": {
            "deletionPolicy": "Retain",
            "driver": "other.example.com",
            "source": source,
            "volumeSnapshotRef": { "name": "s", "namespace": "default" },
        },
    })
}

fn class(name: &str) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotClass",
        "metadata": { "name": name },
        "driver": "other.example.com",
        "deletionPolicy": "Delete",
    })
}

/// A valid object of each form, by name.
fn objects() -> [(&'static str, Value); 6] {
    let moded = {
        let mut moded = content("moded", json!({ "volumeHandle": "vol-1" }));
        moded["spec"]["sourceVolumeMode"] = json!("Block");
        moded
    };
    [
        (
            "volumesnapshots",
            snapshot(
                "dynamic",
                json!({ "source": { "persistentVolumeClaimName": "p" }, "volumeSnapshotClassName": "c" }),
            ),
        ),
        (
            "volumesnapshots",
            snapshot(
                "static",
                json!({ "source": { "volumeSnapshotContentName": "c" } }),
            ),
        ),
        (
            "volumesnapshotcontents",
            content("dynamic", json!({ "volumeHandle": "vol-1" })),
        ),
        (
            "volumesnapshotcontents",
            content("static", json!({ "snapshotHandle": "snap-1" })),
        ),
        ("volumesnapshotcontents", moded),
        ("volumesnapshotclasses", class("class")),
    ]
}

async fn create_all(hand: &Hand) {
    for (kind, object) in objects() {
        let path = collection(kind);
        hand.create(&path, &object).await.unwrap().ok(&path).unwrap();
    }
}

async fn delete_all(hand: &Hand) {
    for (kind, object) in objects() {
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = format!("{}/{name}", collection(kind));
        hand.delete(&path).await.unwrap().ok(&path).unwrap();
    }
}

#[tokio::test]
async fn snapshot_case_1_the_definitions_are_accepted_and_explained() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let kubectl = plane.kubectl();
    for kind in KINDS {
        let definition = format!("customresourcedefinitions/{kind}.snapshot.storage.k8s.io");
        for condition in ["Established", "NamesAccepted"] {
            let condition = format!("--for=condition={condition}");
            kubectl
                .ok(&["wait", &condition, &definition, "--timeout=60s"])
                .unwrap();
        }
        let conditions = "jsonpath={.status.conditions[?(@.status==\"False\")].type}";
        let violated = kubectl.ok(&["get", &definition, "-o", conditions]).unwrap();
        assert_eq!(violated, "", "{kind}: a condition is false");
    }
    for (field, says) in [
        ("volumesnapshot.spec.source.persistentVolumeClaimName", "<string>"),
        ("volumesnapshotcontent.status.restoreSize", "<integer>"),
        (
            "volumesnapshotclass.deletionPolicy",
            "ENUM:\n    Delete\n    Retain",
        ),
    ] {
        // The API server publishes new kinds a little later.
        until(field, PATIENCE, async || {
            let output = kubectl.run(&["explain", field]).unwrap();
            (output.success && output.stdout.contains(says)).then_some(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn kubectl_prints_the_columns_that_scripts_cut_by_position() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let (hand, kubectl) = (plane.hand().await.unwrap(), plane.kubectl());
    create_all(&hand).await;
    for (short, columns) in [
        (
            "vs",
            "NAME READYTOUSE SOURCEPVC SOURCESNAPSHOTCONTENT RESTORESIZE SNAPSHOTCLASS SNAPSHOTCONTENT CREATIONTIME AGE",
        ),
        (
            "vsc",
            "NAME READYTOUSE RESTORESIZE DELETIONPOLICY DRIVER VOLUMESNAPSHOTCLASS VOLUMESNAPSHOT \
             VOLUMESNAPSHOTNAMESPACE AGE",
        ),
        ("vsclass", "NAME DRIVER DELETIONPOLICY AGE"),
    ] {
        let printed = kubectl.ok(&["get", short]).unwrap();
        let header: Vec<&str> = printed.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(header.join(" "), columns, "kubectl get {short}");
    }
    delete_all(&hand).await;
}

/// A creation that is refused: kind, object, and what the refusal says.
type Refused = (&'static str, Value, &'static str);

const BAD_POLICY: &str = "supported values: \"Delete\", \"Retain\"";

fn refused_snapshots() -> Vec<Refused> {
    let one_of = "exactly one of volumeSnapshotContentName and persistentVolumeClaimName must be set";
    let both = json!({ "persistentVolumeClaimName": "p", "volumeSnapshotContentName": "c" });
    let unnamed = json!({ "source": { "persistentVolumeClaimName": "p" }, "volumeSnapshotClassName": "" });
    let unnamed_says = "volumeSnapshotClassName must not be the empty string when set";
    [
        (json!({ "source": {} }), one_of),
        (json!({ "source": both }), one_of),
        (json!({}), "spec.source: Required value"),
        (unnamed, unnamed_says),
    ]
    .map(|(spec, says)| ("volumesnapshots", snapshot("bad", spec), says))
    .into()
}

fn refused_contents() -> Vec<Refused> {
    let mut rows = Vec::new();
    let one_of = "exactly one of volumeHandle and snapshotHandle must be set";
    for source in [json!({}), json!({ "volumeHandle": "v", "snapshotHandle": "s" })] {
        rows.push(("volumesnapshotcontents", content("bad", source), one_of));
    }
    let both = "both spec.volumeSnapshotRef.name and spec.volumeSnapshotRef.namespace must be set";
    for (field, value, says) in [
        ("volumeSnapshotRef", json!({ "name": "s" }), both),
        ("volumeSnapshotRef", json!({ "namespace": "default" }), both),
        ("volumeSnapshotRef", json!({}), both),
        (
            "volumeSnapshotRef",
            Value::Null,
            "spec.volumeSnapshotRef: Required value",
        ),
        ("deletionPolicy", json!("Keep"), BAD_POLICY),
        (
            "deletionPolicy",
            Value::Null,
            "spec.deletionPolicy: Required value",
        ),
        ("driver", Value::Null, "spec.driver: Required value"),
        ("source", Value::Null, "spec.source: Required value"),
    ] {
        let mut bad = content("bad", json!({ "snapshotHandle": "s" }));
        set(&mut bad["spec"], field, value);
        rows.push(("volumesnapshotcontents", bad, says));
    }
    rows
}

fn refused_classes() -> Vec<Refused> {
    [
        ("deletionPolicy", json!("Keep"), BAD_POLICY),
        ("deletionPolicy", Value::Null, "deletionPolicy: Required value"),
        ("driver", Value::Null, "driver: Required value"),
        ("parameters", json!({ "a": 1 }), "must be of type string"),
    ]
    .map(|(field, value, says)| {
        let mut bad = class("bad");
        set(&mut bad, field, value);
        ("volumesnapshotclasses", bad, says)
    })
    .into()
}

/// Sets a field, or removes it when the value is null.
fn set(object: &mut Value, field: &str, value: Value) {
    let fields = object.as_object_mut().unwrap();
    if value.is_null() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), value);
    }
}

#[tokio::test]
async fn snapshot_case_2_to_8_what_may_not_be_created() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let hand = plane.hand().await.unwrap();
    for (kind, object, says) in [refused_snapshots(), refused_contents(), refused_classes()].concat() {
        let answer = hand.create(&collection(kind), &object).await.unwrap();
        assert_eq!(answer.status, 422, "{object}: {}", answer.message());
        assert!(answer.message().contains(says), "{object}: {}", answer.message());
    }
}

/// Kind, name of the object, merge patch, and what the refusal says.
const REFUSED_CHANGES: [(&str, &str, &str, &str); 14] = [
    (
        "volumesnapshots",
        "dynamic",
        r#"{"source":{"persistentVolumeClaimName":"q"}}"#,
        "persistentVolumeClaimName is immutable",
    ),
    (
        "volumesnapshots",
        "dynamic",
        r#"{"source":{"persistentVolumeClaimName":null}}"#,
        "persistentVolumeClaimName is required once set",
    ),
    (
        "volumesnapshots",
        "dynamic",
        r#"{"source":{"volumeSnapshotContentName":"c"}}"#,
        "exactly one of volumeSnapshotContentName and persistentVolumeClaimName must be set",
    ),
    (
        "volumesnapshots",
        "dynamic",
        r#"{"volumeSnapshotClassName":""}"#,
        "volumeSnapshotClassName must not be the empty string when set",
    ),
    (
        "volumesnapshots",
        "static",
        r#"{"source":{"volumeSnapshotContentName":"d"}}"#,
        "volumeSnapshotContentName is immutable",
    ),
    (
        "volumesnapshots",
        "static",
        r#"{"source":{"volumeSnapshotContentName":null}}"#,
        "volumeSnapshotContentName is required once set",
    ),
    (
        "volumesnapshotcontents",
        "dynamic",
        r#"{"source":{"volumeHandle":"vol-2"}}"#,
        "volumeHandle is immutable",
    ),
    (
        "volumesnapshotcontents",
        "dynamic",
        r#"{"source":{"volumeHandle":null}}"#,
        "volumeHandle is required once set",
    ),
    (
        "volumesnapshotcontents",
        "static",
        r#"{"source":{"snapshotHandle":"snap-2"}}"#,
        "snapshotHandle is immutable",
    ),
    (
        "volumesnapshotcontents",
        "static",
        r#"{"source":{"snapshotHandle":null}}"#,
        "snapshotHandle is required once set",
    ),
    (
        "volumesnapshotcontents",
        "static",
        r#"{"volumeSnapshotRef":{"namespace":null}}"#,
        "both spec.volumeSnapshotRef.name and spec.volumeSnapshotRef.namespace must be set",
    ),
    (
        "volumesnapshotcontents",
        "moded",
        r#"{"sourceVolumeMode":"Filesystem"}"#,
        "sourceVolumeMode is immutable",
    ),
    (
        "volumesnapshotcontents",
        "moded",
        r#"{"sourceVolumeMode":null}"#,
        "sourceVolumeMode is required once set",
    ),
    (
        "volumesnapshotcontents",
        "dynamic",
        r#"{"deletionPolicy":"Keep"}"#,
        "supported values: \"Delete\", \"Retain\"",
    ),
];

/// Kind, name of the object, and a merge patch that must be taken.
const TAKEN_CHANGES: [(&str, &str, &str); 11] = [
    (
        "volumesnapshots",
        "dynamic",
        r#"{"spec":{"volumeSnapshotClassName":"d"}}"#,
    ),
    (
        "volumesnapshots",
        "dynamic",
        r#"{"spec":{"volumeSnapshotClassName":null}}"#,
    ),
    (
        "volumesnapshotcontents",
        "dynamic",
        r#"{"spec":{"deletionPolicy":"Delete"}}"#,
    ),
    (
        "volumesnapshotcontents",
        "dynamic",
        r#"{"spec":{"sourceVolumeMode":"Block"}}"#,
    ),
    (
        "volumesnapshotcontents",
        "static",
        r#"{"spec":{"volumeSnapshotRef":{"uid":"u"}}}"#,
    ),
    (
        "volumesnapshotcontents",
        "static",
        r#"{"spec":{"volumeSnapshotRef":{"uid":"v"}}}"#,
    ),
    (
        "volumesnapshotcontents",
        "static",
        r#"{"spec":{"volumeSnapshotRef":{"uid":null}}}"#,
    ),
    (
        "volumesnapshotcontents",
        "static",
        r#"{"spec":{"driver":"other.example.com"}}"#,
    ),
    (
        "volumesnapshotclasses",
        "class",
        r#"{"parameters":{"a":"b"},"deletionPolicy":"Retain"}"#,
    ),
    (
        "volumesnapshotclasses",
        "class",
        r#"{"parameters":{"a":"c"},"driver":"other.example.com"}"#,
    ),
    ("volumesnapshotclasses", "class", r#"{"parameters":null}"#),
];

#[tokio::test]
async fn snapshot_case_3_to_8_what_may_and_may_not_be_changed() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let hand = plane.hand().await.unwrap();
    create_all(&hand).await;
    for (kind, name, spec, says) in REFUSED_CHANGES {
        let path = format!("{}/{name}", collection(kind));
        let spec: Value = serde_json::from_str(spec).unwrap();
        let change = json!({ "spec": spec });
        let answer = hand.patch(&path, Patch::Merge, &change).await.unwrap();
        assert_eq!(answer.status, 422, "{path} {change}: {}", answer.message());
        assert!(
            answer.message().contains(says),
            "{path} {change}: {}",
            answer.message()
        );
    }
    let size = json!({ "status": { "restoreSize": -1 } });
    let path = format!("{}/static/status", collection("volumesnapshotcontents"));
    let answer = hand.patch(&path, Patch::Merge, &size).await.unwrap();
    assert_eq!(answer.status, 422, "{}", answer.message());
    assert!(
        answer.message().contains("greater than or equal to 0"),
        "{}",
        answer.message()
    );
    for (kind, name, change) in TAKEN_CHANGES {
        let path = format!("{}/{name}", collection(kind));
        let change: Value = serde_json::from_str(change).unwrap();
        hand.patch(&path, Patch::Merge, &change)
            .await
            .unwrap()
            .ok(&path)
            .unwrap();
    }
    delete_all(&hand).await;
}
