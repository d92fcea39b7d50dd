//! The group kinds: their rules, and the files of upstream.

use std::fs;

use conformance::{Hand, Patch, Peers, until};
use serde_json::{Value, json};

use super::LAYER;
use crate::shared::{self, PATIENCE};

const GROUP: &str = "/apis/groupsnapshot.storage.k8s.io";
const CLASSES: &str = "volumegroupsnapshotclasses";
const CONTENTS: &str = "volumegroupsnapshotcontents";
const GROUPS: &str = "volumegroupsnapshots";

fn collection(version: &str, kind: &str) -> String {
    match kind {
        GROUPS => format!("{GROUP}/{version}/namespaces/default/{kind}"),
        _ => format!("{GROUP}/{version}/{kind}"),
    }
}

fn group(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
        "metadata": {"name": name}, "spec": spec,
    })
}

fn content(name: &str, source: Value) -> Value {
    json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshotContent",
        "metadata": {"name": name},
        "spec": {"deletionPolicy": "Retain", "driver": "other.example.com", "source": source,
            "volumeGroupSnapshotRef": {"name": "g", "namespace": "default"}},
    })
}

fn class(name: &str) -> Value {
    json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshotClass",
        "metadata": {"name": name}, "driver": "other.example.com", "deletionPolicy": "Delete",
        "parameters": {"a": "b"},
    })
}

fn handles() -> Value {
    json!({"groupSnapshotHandles": {"volumeGroupSnapshotHandle": "g-1", "volumeSnapshotHandles": ["s-1"]}})
}

/// A valid object of each form.
fn objects() -> [(&'static str, Value); 5] {
    let selector = json!({"source": {"selector": {"matchLabels": {"a": "b"}}}});
    [
        (GROUPS, group("dynamic", selector)),
        (
            GROUPS,
            group(
                "static",
                json!({"source": {"volumeGroupSnapshotContentName": "c"}}),
            ),
        ),
        (CONTENTS, content("dynamic", json!({"volumeHandles": ["v-1"]}))),
        (CONTENTS, content("static", handles())),
        (CLASSES, class("class")),
    ]
}

async fn create_all(hand: &Hand) {
    for (kind, object) in objects() {
        let path = collection("v1", kind);
        hand.create(&path, &object).await.unwrap().ok(&path).unwrap();
    }
}

async fn delete_all(hand: &Hand) {
    for (kind, object) in objects() {
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = format!("{}/{name}", collection("v1", kind));
        hand.delete(&path).await.unwrap().ok(&path).unwrap();
    }
}

#[tokio::test]
async fn snapshot_case_1_group_kinds_are_served_in_three_versions() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let (hand, kubectl) = (plane.hand().await.unwrap(), plane.kubectl());
    create_all(&hand).await;
    for kind in [GROUPS, CONTENTS, CLASSES] {
        let definition = format!("customresourcedefinitions/{kind}.groupsnapshot.storage.k8s.io");
        let conditions = "jsonpath={.status.conditions[?(@.status==\"False\")].type}";
        let violated = kubectl.ok(&["get", &definition, "-o", conditions]).unwrap();
        assert_eq!(violated, "", "{kind}: a condition is false");
        for version in ["v1", "v1beta2", "v1beta1"] {
            let path = collection(version, kind);
            let listed = hand.get(&path).await.unwrap().ok(&path).unwrap();
            let items = listed["items"].as_array().unwrap().len();
            let made = objects().iter().filter(|(of, _)| *of == kind).count();
            assert_eq!(items, made, "{path}");
        }
    }
    for (short, columns) in [
        (
            "vgs",
            "NAME READYTOUSE VOLUMEGROUPSNAPSHOTCLASS VOLUMEGROUPSNAPSHOTCONTENT CREATIONTIME AGE",
        ),
        (
            "vgsc",
            "NAME READYTOUSE DELETIONPOLICY DRIVER VOLUMEGROUPSNAPSHOTCLASS VOLUMEGROUPSNAPSHOTNAMESPACE \
             VOLUMEGROUPSNAPSHOT AGE",
        ),
        ("vgsclass", "NAME DRIVER DELETIONPOLICY AGE"),
    ] {
        let printed = until(short, PATIENCE, async || {
            let output = kubectl.run(&["get", short]).unwrap();
            output.success.then_some(output.stdout)
        })
        .await
        .unwrap();
        let header: Vec<&str> = printed.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(header.join(" "), columns, "kubectl get {short}");
    }
    delete_all(&hand).await;
}

#[tokio::test]
async fn snapshot_case_2_to_5_what_may_not_be_created_of_groups() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let hand = plane.hand().await.unwrap();
    let one_of = "exactly one of selector and volumeGroupSnapshotContentName must be set";
    let one_source = "exactly one of volumeHandles and groupSnapshotHandles must be set";
    let both = "both volumeGroupSnapshotRef.name and volumeGroupSnapshotRef.namespace must be set";
    let mut nowhere = content("bad", handles());
    nowhere["spec"]["volumeGroupSnapshotRef"] = json!({"name": "g"});
    let mut policy = class("bad");
    policy["deletionPolicy"] = json!("Keep");
    let unnamed = json!({"source": {"selector": {}}, "volumeGroupSnapshotClassName": ""});
    for (kind, object, says) in [
        (GROUPS, group("bad", json!({"source": {}})), one_of),
        (
            GROUPS,
            group(
                "bad",
                json!({"source": {"selector": {}, "volumeGroupSnapshotContentName": "c"}}),
            ),
            one_of,
        ),
        (
            GROUPS,
            group("bad", unnamed),
            "volumeGroupSnapshotClassName must not be the empty string when set",
        ),
        (CONTENTS, content("bad", json!({})), one_source),
        (
            CONTENTS,
            content(
                "bad",
                json!({"groupSnapshotHandles": {"volumeGroupSnapshotHandle": "g"}}),
            ),
            "volumeSnapshotHandles: Required value",
        ),
        (CONTENTS, nowhere, both),
        (CLASSES, policy, "supported values: \"Delete\", \"Retain\""),
    ] {
        let answer = hand.create(&collection("v1", kind), &object).await.unwrap();
        assert_eq!(answer.status, 422, "{object}: {}", answer.message());
        assert!(answer.message().contains(says), "{object}: {}", answer.message());
    }
}

/// Kind, name, merge patch, and what the refusal says.
const REFUSED: [(&str, &str, &str, &str); 14] = [
    (
        GROUPS,
        "dynamic",
        r#"{"spec":{"source":{"selector":{"matchLabels":{"a":"c"}}}}}"#,
        "selector is immutable",
    ),
    (
        GROUPS,
        "dynamic",
        r#"{"spec":{"source":{"selector":null}}}"#,
        "selector is required once set",
    ),
    (
        GROUPS,
        "static",
        r#"{"spec":{"source":{"volumeGroupSnapshotContentName":"d"}}}"#,
        "volumeGroupSnapshotContentName is immutable",
    ),
    (
        GROUPS,
        "static",
        r#"{"spec":{"source":{"volumeGroupSnapshotContentName":null}}}"#,
        "volumeGroupSnapshotContentName is required once set",
    ),
    (
        CONTENTS,
        "dynamic",
        r#"{"spec":{"driver":"d"}}"#,
        "driver is immutable once set",
    ),
    (
        CONTENTS,
        "dynamic",
        r#"{"spec":{"source":{"volumeHandles":["w"]}}}"#,
        "volumeHandles is immutable",
    ),
    (
        CONTENTS,
        "dynamic",
        r#"{"spec":{"source":{"volumeHandles":null}}}"#,
        "volumeHandles is required once set",
    ),
    (
        CONTENTS,
        "static",
        r#"{"spec":{"source":{"groupSnapshotHandles":{"volumeGroupSnapshotHandle":"h"}}}}"#,
        "groupSnapshotHandles is immutable",
    ),
    (
        CONTENTS,
        "static",
        r#"{"spec":{"source":{"groupSnapshotHandles":null}}}"#,
        "groupSnapshotHandles is required once set",
    ),
    (
        CONTENTS,
        "static",
        r#"{"spec":{"volumeGroupSnapshotRef":{"name":"h"}}}"#,
        "volumeGroupSnapshotRef.name and volumeGroupSnapshotRef.namespace are immutable",
    ),
    (
        CONTENTS,
        "static",
        r#"{"spec":{"volumeGroupSnapshotRef":{"namespace":null}}}"#,
        "both volumeGroupSnapshotRef.name and volumeGroupSnapshotRef.namespace must be set",
    ),
    (
        CLASSES,
        "class",
        r#"{"parameters":{"a":"c"}}"#,
        "parameters are immutable once set",
    ),
    (
        CLASSES,
        "class",
        r#"{"driver":"d"}"#,
        "driver is immutable once set",
    ),
    (
        CLASSES,
        "class",
        r#"{"deletionPolicy":"Retain"}"#,
        "deletionPolicy is immutable once set",
    ),
];

async fn change(hand: &Hand, kind: &str, name: &str, body: &Value) -> conformance::Answer {
    let path = format!("{}/{name}", collection("v1", kind));
    hand.patch(&path, Patch::Merge, body).await.unwrap()
}

/// The same in order, with an empty refusal for what is taken: what is set once, and what may not follow it.
const SET_ONCE: [(&str, &str, &str, &str); 12] = [
    (CONTENTS, "static", r#"{"spec":{"deletionPolicy":"Delete"}}"#, ""),
    (
        CONTENTS,
        "static",
        r#"{"spec":{"volumeGroupSnapshotClassName":"k"}}"#,
        "",
    ),
    (
        CONTENTS,
        "static",
        r#"{"spec":{"volumeGroupSnapshotClassName":"l"}}"#,
        "volumeGroupSnapshotClassName is immutable once set",
    ),
    (
        CONTENTS,
        "static",
        r#"{"spec":{"volumeGroupSnapshotRef":{"uid":"u"}}}"#,
        "",
    ),
    (
        CONTENTS,
        "static",
        r#"{"spec":{"volumeGroupSnapshotRef":{"uid":"w"}}}"#,
        "volumeGroupSnapshotRef.uid is immutable once set",
    ),
    (
        CONTENTS,
        "static",
        r#"{"spec":{"volumeGroupSnapshotRef":{"uid":null}}}"#,
        "volumeGroupSnapshotRef.uid is immutable once set",
    ),
    (
        CONTENTS,
        "static/status",
        r#"{"status":{"volumeGroupSnapshotHandle":"h"}}"#,
        "",
    ),
    (
        CONTENTS,
        "static/status",
        r#"{"status":{"volumeGroupSnapshotHandle":"i"}}"#,
        "volumeGroupSnapshotHandle is immutable once set",
    ),
    (
        CONTENTS,
        "static/status",
        r#"{"status":{"volumeGroupSnapshotHandle":null}}"#,
        "",
    ),
    (
        GROUPS,
        "static/status",
        r#"{"status":{"boundVolumeGroupSnapshotContentName":"c"}}"#,
        "",
    ),
    (
        GROUPS,
        "static/status",
        r#"{"status":{"boundVolumeGroupSnapshotContentName":"d"}}"#,
        "boundVolumeGroupSnapshotContentName is immutable once set",
    ),
    (
        GROUPS,
        "static",
        r#"{"spec":{"volumeGroupSnapshotClassName":"k"}}"#,
        "",
    ),
];

#[tokio::test]
async fn snapshot_case_8_9_10_what_may_and_may_not_be_changed_of_groups() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let hand = plane.hand().await.unwrap();
    create_all(&hand).await;
    for (kind, name, body, says) in REFUSED {
        let answer = change(&hand, kind, name, &serde_json::from_str(body).unwrap()).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.message());
        assert!(answer.message().contains(says), "{body}: {}", answer.message());
    }
    for (kind, name, body, says) in SET_ONCE {
        let answer = change(&hand, kind, name, &serde_json::from_str(body).unwrap()).await;
        let expected = if says.is_empty() { 200 } else { 422 };
        assert_eq!(answer.status, expected, "{body}: {}", answer.message());
        assert!(answer.message().contains(says), "{body}: {}", answer.message());
    }
    delete_all(&hand).await;
}

/// Without descriptions, and without what the generator of some of upstream's files adds.
fn bare(mut definition: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|name, value| name != "description" || !value.is_string());
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut definition);
    definition.as_object_mut().unwrap().remove("status");
    if let Some(annotations) = definition["metadata"]["annotations"].as_object_mut() {
        annotations.retain(|name, _| !name.starts_with("controller-gen."));
    }
    definition
}

#[test]
fn snapshot_case_1_the_definitions_are_those_of_upstream() {
    let peers = match Peers::find() {
        Ok(peers) => peers,
        Err(error) => return shared::not_run(LAYER, &error),
    };
    let mut compared = 0;
    for kind in crds::definitions::KINDS {
        let Ok(text) = fs::read_to_string(peers.definitions().join(kind.file)) else {
            continue;
        };
        let theirs: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(bare(kind.definition()), bare(theirs), "{}", kind.name);
        compared += 1;
    }
    assert!(compared >= 3, "upstream's files are not there");
}
