//! Layer 2: the definitions of the snapshot kinds, before the real API server.

use conformance::{Hand, Patch, until};
use controller::patch::Change;
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use csi_snapshotter::plan::status::Answer;
use csi_snapshotter::plan::{StatusChange, Step};
use runtime::{ApiError, ApiErrorClass, ObjectKey, Writer};
use serde_json::{Value, json};
use snapshot_controller::plan::status::status_patch;

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
const TAKEN_CHANGES: [(&str, &str, &str); 6] = [
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
        "volumesnapshotclasses",
        "class",
        r#"{"parameters":{"a":"b"},"deletionPolicy":"Retain"}"#,
    ),
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

/// Sends a change of a status as the controllers do.
async fn write<K>(writer: &Writer<K>, key: &ObjectKey, change: Change) -> Result<K, ApiError>
where
    K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned,
{
    match change {
        Change::Json(patch) => writer.patch_json_status(key, patch).await,
        Change::Merge(body) => writer.patch_merge_status(key, &body).await,
    }
}

/// All changes of a status, as csi-snapshotter makes them of the content that it has read.
fn changes_of_content(content: &VolumeSnapshotContent) -> Vec<Change> {
    let answer = Answer {
        handle: Some("snap-1".to_owned()),
        creation_time: Some(1),
        restore_size: Some(1 << 30),
        ready: Some(true),
        group_handle: None,
        clear_error: true,
    };
    let failed = |not_ready| StatusChange::Failed {
        message: "refused".to_owned(),
        time: jiff::Timestamp::UNIX_EPOCH,
        not_ready,
    };
    let all = [
        StatusChange::Answer(answer),
        failed(false),
        failed(true),
        StatusChange::Cleared,
    ];
    let of = |change| {
        csi_snapshotter::patch::of(content, &Step::Status(change))
            .unwrap()
            .1
    };
    all.into_iter().map(of).collect()
}

/// The changes of a status as the snapshot-controller makes them of the snapshot that it has read.
fn changes_of_snapshot(snapshot: &VolumeSnapshot) -> Vec<Change> {
    let ready = vec![
        ("boundVolumeSnapshotContentName", Some(json!("c"))),
        ("readyToUse", Some(json!(true))),
    ];
    let failed = vec![("error", Some(json!({ "message": "refused" })))];
    [ready, failed]
        .into_iter()
        .map(|members| status_patch(snapshot, members).unwrap())
        .collect()
}

/// Reads an object, puts another one of its name in its place, and writes what was made of the first: it is a conflict,
/// and the second has no status. What is made of the second is written (decision 69).
async fn never_of_another<K>(hand: &Hand, kind: &str, object: Value, changes: fn(&K) -> Vec<Change>)
where
    K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned,
{
    let (collection, writer) = (collection(kind), Writer::<K>::new(&hand.client(), "conformance"));
    let name = object["metadata"]["name"].as_str().unwrap();
    let path = format!("{collection}/{name}");
    for has_status in [false, true] {
        let read = make(hand, &collection, &object, has_status).await;
        let read: K = serde_json::from_value(read).unwrap();
        let key = ObjectKey::of(&read);
        hand.delete(&path).await.unwrap().ok(&path).unwrap();
        let other = make(hand, &collection, &object, has_status).await;
        for change in changes(&read) {
            let refused = write(&writer, &key, change.clone()).await.err();
            let class = refused.map(|error| error.class());
            assert_eq!(class, Some(ApiErrorClass::Conflict), "{kind}: {change:?}");
            let now = hand.get(&path).await.unwrap().ok(&path).unwrap();
            assert_eq!(now, other, "{kind}: {change:?}");
        }
        let other: K = serde_json::from_value(other).unwrap();
        let change = changes(&other).swap_remove(0);
        let written = write(&writer, &key, change).await;
        assert!(written.is_ok(), "{kind}: {:?}", written.err());
        hand.delete(&path).await.unwrap().ok(&path).unwrap();
    }
}

/// Makes an object, and gives it a status.
async fn make(hand: &Hand, collection: &str, object: &Value, has_status: bool) -> Value {
    let made = hand
        .create(collection, object)
        .await
        .unwrap()
        .ok(collection)
        .unwrap();
    if !has_status {
        return made;
    }
    let path = format!(
        "{collection}/{}/status",
        object["metadata"]["name"].as_str().unwrap()
    );
    let status = json!({ "status": { "readyToUse": false } });
    hand.patch(&path, Patch::Merge, &status)
        .await
        .unwrap()
        .ok(&path)
        .unwrap()
}

#[tokio::test]
async fn a_status_is_never_written_to_another_object_of_the_name() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let hand = plane.hand().await.unwrap();
    let source = json!({ "volumeHandle": "vol-1" });
    never_of_another(
        &hand,
        "volumesnapshotcontents",
        content("swapped", source),
        changes_of_content,
    )
    .await;
    let spec = json!({ "source": { "persistentVolumeClaimName": "p" } });
    never_of_another(
        &hand,
        "volumesnapshots",
        snapshot("swapped", spec),
        changes_of_snapshot,
    )
    .await;
}
