//! Objects, one by one. Expected ones are written out.

use serde_json::{Value, json};
use snapshot_controller::webhook::convert::{ConversionError, convert};

use super::{ANNOTATION, V1, V1BETA1, V1BETA2, content};

/// The content as `v1beta1` has it.
fn old_content() -> Value {
    let mut old = content(V1BETA1);
    let status = old["status"].as_object_mut().unwrap();
    let infos = status.remove("volumeSnapshotInfoList").unwrap();
    status.insert(
        "volumeSnapshotHandlePairList".to_owned(),
        json!([
            { "volumeHandle": "vol-1", "snapshotHandle": "snap-1" },
            { "volumeHandle": "vol-2", "snapshotHandle": "snap-2" },
        ]),
    );
    old["metadata"]["annotations"] = json!({ (ANNOTATION): infos.to_string() });
    old
}

#[test]
fn snapshot_case_11_members_go_into_the_annotation_and_come_back() {
    for later in [V1, V1BETA2] {
        assert_eq!(
            convert(content(later), V1BETA1).unwrap(),
            old_content(),
            "{later}"
        );
        assert_eq!(convert(old_content(), later).unwrap(), content(later), "{later}");
    }
}

#[test]
fn snapshot_case_11_v1_and_v1beta2_are_one() {
    for (from, to) in [(V1, V1BETA2), (V1BETA2, V1), (V1, V1), (V1BETA2, V1BETA2)] {
        assert_eq!(convert(content(from), to).unwrap(), content(to), "{from} to {to}");
    }
    assert_eq!(convert(old_content(), V1BETA1).unwrap(), old_content());
    for kind in ["VolumeGroupSnapshot", "VolumeGroupSnapshotClass"] {
        for (from, to) in [(V1BETA1, V1), (V1, V1BETA1), (V1BETA1, V1BETA2)] {
            let object = |version: &str| json!({ "apiVersion": version, "kind": kind, "status": { "readyToUse": true } });
            assert_eq!(
                convert(object(from), to).unwrap(),
                object(to),
                "{kind} {from} to {to}"
            );
        }
    }
}

#[test]
fn without_the_annotation_the_handles_are_all_that_is_known() {
    let mut old = old_content();
    old["metadata"].as_object_mut().unwrap().remove("annotations");
    let mut expected = content(V1);
    expected["status"]["volumeSnapshotInfoList"] = old["status"]["volumeSnapshotHandlePairList"].clone();
    assert_eq!(convert(old, V1).unwrap(), expected);
}

#[test]
fn the_annotation_alone_makes_a_status_as_upstream() {
    let mut old = old_content();
    old.as_object_mut().unwrap().remove("status");
    let new = convert(old, V1).unwrap();
    let status = json!({ "volumeSnapshotInfoList": content(V1)["status"]["volumeSnapshotInfoList"] });
    assert_eq!(new["status"], status);
}

#[test]
fn what_has_no_list_changes_nothing_but_its_version() {
    for status in [
        None,
        Some(Value::Null),
        Some(json!({})),
        Some(json!({ "readyToUse": false })),
    ] {
        for (from, to) in [(V1, V1BETA1), (V1BETA1, V1BETA2)] {
            let object = |version: &str| {
                let mut object = content(version);
                match &status {
                    Some(status) => object["status"] = status.clone(),
                    None => drop(object.as_object_mut().unwrap().remove("status")),
                }
                object["metadata"]["annotations"] = json!({ "others": "stay" });
                object
            };
            assert_eq!(
                convert(object(from), to).unwrap(),
                object(to),
                "{from} {status:?}"
            );
        }
    }
}

#[test]
fn an_annotation_that_is_left_over_brings_no_members_back() {
    let mut new = content(V1);
    new["status"]
        .as_object_mut()
        .unwrap()
        .remove("volumeSnapshotInfoList");
    let expected = new.clone();
    new["metadata"]["annotations"] = json!({ (ANNOTATION): "[{\"snapshotHandle\": \"of-others\"}]" });
    let old = convert(new, V1BETA1).unwrap();
    assert_eq!(convert(old, V1).unwrap(), expected);
}

#[test]
fn handles_that_are_unknown_are_empty_where_they_are_required() {
    let mut new = content(V1);
    new["status"]["volumeSnapshotInfoList"] = json!([{ "snapshotHandle": "snap-1" }]);
    let old = convert(new.clone(), V1BETA1).unwrap();
    let pairs = json!([{ "snapshotHandle": "snap-1", "volumeHandle": "" }]);
    assert_eq!(old["status"]["volumeSnapshotHandlePairList"], pairs);
    assert_eq!(convert(old, V1).unwrap(), new);
}

#[test]
fn what_cannot_be_converted_is_an_error_and_never_a_panic() {
    let with = |pointer: &str, value: Value| {
        let mut object = old_content();
        *object.pointer_mut(pointer).unwrap() = value;
        object
    };
    let annotation = "/metadata/annotations/groupsnapshot.storage.kubernetes.io~1volume-snapshot-info-list";
    for text in [
        "", "{", "7", "null", "{}", "\"x\"", "[1]", "[null]", "[[]]", "[{}] x",
    ] {
        let error = convert(with(annotation, json!(text)), V1).unwrap_err();
        assert!(
            matches!(error, ConversionError::Annotation(_)),
            "{text:?}: {error}"
        );
    }
    for (pointer, value) in [
        (annotation, json!(7)),
        ("/metadata", json!([])),
        ("/metadata/annotations", json!("x")),
        ("/status", json!("ready")),
        ("/status/volumeSnapshotHandlePairList", json!({})),
    ] {
        convert(with(pointer, value), V1).unwrap_err();
    }
    for list in [json!({}), json!("x"), json!([1]), json!([null])] {
        let mut new = content(V1);
        new["status"]["volumeSnapshotInfoList"] = list;
        convert(new, V1BETA1).unwrap_err();
    }
    for object in [json!(null), json!([]), json!("x"), json!({})] {
        convert(object, V1).unwrap_err();
    }
    for version in [
        "",
        "v1",
        "groupsnapshot.storage.k8s.io/",
        "groupsnapshot.storage.k8s.io/v2",
        "snapshot.storage.k8s.io/v1",
    ] {
        assert_eq!(
            convert(content(V1), version),
            Err(ConversionError::Version(version.to_owned()))
        );
        assert_eq!(
            convert(content(version), V1),
            Err(ConversionError::Version(version.to_owned()))
        );
    }
    let mut other = content(V1);
    other["kind"] = json!("VolumeSnapshotContent");
    let kind = ConversionError::Kind("VolumeSnapshotContent".to_owned());
    assert_eq!(convert(other, V1BETA1), Err(kind));
}
