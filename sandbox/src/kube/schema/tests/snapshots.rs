//! The definitions of the snapshot API: every message of spec snapshot 1.3.

use serde_json::{Value, json};

use super::{CompiledCrd, errors};

fn crd(plural: &str) -> CompiledCrd {
    let all = crds::definitions::all();
    let definition = all
        .iter()
        .find(|definition| definition["spec"]["names"]["plural"] == plural)
        .unwrap();
    CompiledCrd::compile(definition).unwrap()
}

fn prepared(crd: &CompiledCrd, kind: &str, rest: &Value) -> Value {
    let mut object =
        json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": kind, "metadata": {"name": "a"}});
    for (name, value) in rest.as_object().unwrap() {
        object[name] = value.clone();
    }
    crd.prepare("v1", &mut object);
    object
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn snapshot_1_3_messages_of_volume_snapshots() {
    let crd = crd("volumesnapshots");
    let claim = json!({"source": {"persistentVolumeClaimName": "c"}});
    let content = json!({"source": {"volumeSnapshotContentName": "c"}});
    const EXACTLY: &[&str] = &[
        "spec.source: Invalid value: exactly one of volumeSnapshotContentName and persistentVolumeClaimName must be set",
    ];
    let cases: Vec<(Option<&Value>, Value, &[&str])> = vec![
        (None, claim.clone(), &[]),
        (None, content.clone(), &[]),
        (None, json!({}), &["spec.source: Required value"]),
        (None, json!({"source": {}}), EXACTLY),
        (
            None,
            json!({"source": {"persistentVolumeClaimName": "c", "volumeSnapshotContentName": "d"}}),
            EXACTLY,
        ),
        (None, json!({"source": {"persistentVolumeClaimName": ""}}), &[]),
        (
            None,
            json!({"source": {"persistentVolumeClaimName": "c"}, "volumeSnapshotClassName": ""}),
            &[
                "spec.volumeSnapshotClassName: Invalid value: \"\": volumeSnapshotClassName must not be the empty string when set",
            ],
        ),
        (
            Some(&claim),
            json!({"source": {"persistentVolumeClaimName": "d"}}),
            &[
                "spec.source.persistentVolumeClaimName: Invalid value: \"d\": persistentVolumeClaimName is immutable",
            ],
        ),
        (
            Some(&content),
            json!({"source": {"volumeSnapshotContentName": "d"}}),
            &[
                "spec.source.volumeSnapshotContentName: Invalid value: \"d\": volumeSnapshotContentName is immutable",
            ],
        ),
        (
            Some(&claim),
            content.clone(),
            &["spec.source: Invalid value: persistentVolumeClaimName is required once set"],
        ),
        (
            Some(&content),
            claim.clone(),
            &["spec.source: Invalid value: volumeSnapshotContentName is required once set"],
        ),
        (
            Some(&claim),
            json!({"source": {"persistentVolumeClaimName": "c"}, "volumeSnapshotClassName": "k"}),
            &[],
        ),
    ];
    for (old, new, expected) in cases {
        let old = old.map(|old| prepared(&crd, "VolumeSnapshot", &json!({"spec": old})));
        let new = prepared(&crd, "VolumeSnapshot", &json!({"spec": new}));
        let found = errors(&crd, &new, old.as_ref());
        let found: Vec<&String> = found
            .iter()
            .filter(|text| !text.contains("some validation rules"))
            .collect();
        assert_eq!(found, expected, "{}", new["spec"]);
    }
    let mut without_spec = prepared(&crd, "VolumeSnapshot", &json!({"spec": claim}));
    without_spec.as_object_mut().unwrap().remove("spec");
    assert_eq!(errors(&crd, &without_spec, None)[0], "spec: Required value");
}

fn content_spec(change: Value) -> Value {
    let mut spec = json!({
        "deletionPolicy": "Delete", "driver": "ebs.csi.aws.com", "source": {"volumeHandle": "vol-1"},
        "volumeSnapshotRef": {"name": "s", "namespace": "n"},
    });
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            spec.as_object_mut().unwrap().remove(name);
        } else {
            spec[name] = value.clone();
        }
    }
    spec
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn snapshot_1_3_messages_of_volume_snapshot_contents() {
    let crd = crd("volumesnapshotcontents");
    let dynamic = content_spec(json!({}));
    let imported = content_spec(json!({"source": {"snapshotHandle": "snap-1"}}));
    let block = content_spec(json!({"sourceVolumeMode": "Block"}));
    const EXACTLY: &[&str] =
        &["spec.source: Invalid value: exactly one of volumeHandle and snapshotHandle must be set"];
    const BOTH: &[&str] = &[
        "spec.volumeSnapshotRef: Invalid value: both spec.volumeSnapshotRef.name and spec.volumeSnapshotRef.namespace must be set",
    ];
    let cases: Vec<(Option<&Value>, Value, &[&str])> = vec![
        (None, dynamic.clone(), &[]),
        (None, imported.clone(), &[]),
        (None, content_spec(json!({"source": {}})), EXACTLY),
        (
            None,
            content_spec(json!({"source": {"volumeHandle": "a", "snapshotHandle": "b"}})),
            EXACTLY,
        ),
        (
            None,
            content_spec(json!({"volumeSnapshotRef": {"name": "s"}})),
            BOTH,
        ),
        (
            None,
            content_spec(json!({"volumeSnapshotRef": {"namespace": "s"}})),
            BOTH,
        ),
        (
            None,
            content_spec(json!({"deletionPolicy": "Keep"})),
            &["spec.deletionPolicy: Unsupported value: \"Keep\": supported values: \"Delete\", \"Retain\""],
        ),
        (
            None,
            content_spec(json!({"driver": null})),
            &["spec.driver: Required value"],
        ),
        (
            Some(&dynamic),
            content_spec(json!({"source": {"volumeHandle": "vol-2"}})),
            &["spec.source.volumeHandle: Invalid value: \"vol-2\": volumeHandle is immutable"],
        ),
        (
            Some(&imported),
            content_spec(json!({"source": {"snapshotHandle": "snap-2"}})),
            &["spec.source.snapshotHandle: Invalid value: \"snap-2\": snapshotHandle is immutable"],
        ),
        (
            Some(&dynamic),
            imported.clone(),
            &["spec.source: Invalid value: volumeHandle is required once set"],
        ),
        (
            Some(&imported),
            dynamic.clone(),
            &["spec.source: Invalid value: snapshotHandle is required once set"],
        ),
        (
            Some(&block),
            dynamic.clone(),
            &["spec: Invalid value: sourceVolumeMode is required once set"],
        ),
        (
            Some(&block),
            content_spec(json!({"sourceVolumeMode": "Filesystem"})),
            &["spec.sourceVolumeMode: Invalid value: \"Filesystem\": sourceVolumeMode is immutable"],
        ),
        (Some(&dynamic), block.clone(), &[]),
        (
            Some(&dynamic),
            content_spec(json!({"deletionPolicy": "Retain"})),
            &[],
        ),
    ];
    for (old, new, expected) in cases {
        let old = old.map(|old| prepared(&crd, "VolumeSnapshotContent", &json!({"spec": old})));
        let new = prepared(&crd, "VolumeSnapshotContent", &json!({"spec": new}));
        let found = errors(&crd, &new, old.as_ref());
        let found: Vec<&String> = found
            .iter()
            .filter(|text| !text.contains("some validation rules"))
            .collect();
        assert_eq!(found, expected, "{}", new["spec"]);
    }
}

#[test]
fn snapshot_1_2_status_fields_are_checked() {
    let crd = crd("volumesnapshots");
    let spec = json!({"source": {"persistentVolumeClaimName": "c"}});
    let cases: [(Value, &[&str]); 4] = [
        (
            json!({"readyToUse": true, "restoreSize": "5Gi", "creationTime": "2026-11-21T09:30:00Z", "error": {"message": "m", "time": "2026-11-21T09:30:00Z"}}),
            &[],
        ),
        (json!({"restoreSize": 5_368_709_120_u64}), &[]),
        (
            json!({"creationTime": "soon"}),
            &[
                "status.creationTime: Invalid value: \"soon\": status.creationTime in body must be of type date-time: \"soon\"",
            ],
        ),
        (
            json!({"readyToUse": "yes"}),
            &[
                "status.readyToUse: Invalid value: \"string\": status.readyToUse in body must be of type boolean: \"string\"",
            ],
        ),
    ];
    for (status, expected) in cases {
        let new = prepared(&crd, "VolumeSnapshot", &json!({"spec": spec, "status": status}));
        let found = errors(&crd, &new, None);
        let found: Vec<&String> = found
            .iter()
            .filter(|text| !text.contains("some validation rules"))
            .collect();
        assert_eq!(found, expected, "{status}");
    }
    let contents = self::crd("volumesnapshotcontents");
    let status = json!({"restoreSize": -1, "creationTime": 1_700_000_000_000_000_000_i64});
    let new = prepared(
        &contents,
        "VolumeSnapshotContent",
        &json!({"spec": content_spec(json!({})), "status": status}),
    );
    assert_eq!(
        errors(&contents, &new, None),
        [
            "status.restoreSize: Invalid value: -1: status.restoreSize in body should be greater than or equal to 0"
        ]
    );
}

#[test]
fn snapshot_1_2_classes_have_their_fields_at_the_top() {
    let crd = crd("volumesnapshotclasses");
    let good = json!({"driver": "d", "deletionPolicy": "Delete", "parameters": {"a": "b"}, "unknown": 1});
    let good = prepared(&crd, "VolumeSnapshotClass", &good);
    assert!(good.get("unknown").is_none());
    assert!(errors(&crd, &good, None).is_empty());
    let bad = prepared(&crd, "VolumeSnapshotClass", &json!({"deletionPolicy": "Keep"}));
    let found = errors(&crd, &bad, None);
    assert!(found.contains(&"driver: Required value".to_owned()), "{found:#?}");
}

#[test]
fn the_unserved_version_is_compiled_too() {
    let crd = crd("volumesnapshots");
    let object = json!({"apiVersion": "snapshot.storage.k8s.io/v1beta1", "kind": "VolumeSnapshot", "metadata": {}, "spec": {"source": {}}});
    assert!(
        crd.validate("v1beta1", &object, None).is_empty() || !crd.validate("v1", &object, None).is_empty()
    );
    assert!(crd.validate("v9", &object, None).is_empty());
}

/// Kind, an object's `spec` or the whole object, and what it is changed to.
#[test]
fn snapshot_case_4_6_8_what_may_be_changed_at_any_time() {
    let named = json!({"source": {"persistentVolumeClaimName": "c"}, "volumeSnapshotClassName": "k"});
    let bare = json!({"source": {"persistentVolumeClaimName": "c"}});
    let bound =
        |uid: &str| content_spec(json!({"volumeSnapshotRef": {"name": "s", "namespace": "n", "uid": uid}}));
    let spec = |spec: Value| json!({ "spec": spec });
    let class =
        |parameters: Value| json!({"driver": "d", "deletionPolicy": "Delete", "parameters": parameters});
    let cases = [
        ("VolumeSnapshot", spec(named), spec(bare)),
        (
            "VolumeSnapshotContent",
            spec(content_spec(json!({}))),
            spec(content_spec(json!({"driver": "other.example.com"}))),
        ),
        (
            "VolumeSnapshotContent",
            spec(content_spec(json!({}))),
            spec(bound("u")),
        ),
        ("VolumeSnapshotContent", spec(bound("u")), spec(bound("v"))),
        (
            "VolumeSnapshotContent",
            spec(bound("u")),
            spec(content_spec(json!({}))),
        ),
        (
            "VolumeSnapshotClass",
            class(json!({"a": "b"})),
            class(json!({"a": "c"})),
        ),
        ("VolumeSnapshotClass", class(json!({"a": "b"})), class(json!({}))),
    ];
    for (kind, old, new) in cases {
        let plural = match kind {
            "VolumeSnapshotClass" => "volumesnapshotclasses".to_owned(),
            _ => format!("{}s", kind.to_lowercase()),
        };
        let crd = crd(&plural);
        let [old, new] = [old, new].map(|object| prepared(&crd, kind, &object));
        assert_ne!(old, new);
        assert_eq!(errors(&crd, &new, Some(&old)), [""; 0], "{kind}: {new}");
    }
}
