use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn object(rest: Value) -> Value {
    let mut object = json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": "a", "namespace": "b"}});
    for (name, value) in rest.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

fn managers(object: &Value) -> Vec<(String, String)> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let shown = entries.iter().map(|entry| {
        (
            entry["manager"].as_str().unwrap().to_owned(),
            entry["fieldsV1"].to_string(),
        )
    });
    shown.collect()
}

#[test]
fn creation_by_update_records_objects_and_leaves() {
    let mut new = object(json!({"spec": {"source": {"persistentVolumeClaimName": "c"}}}));
    new["metadata"]["finalizers"] = json!(["x/y"]);
    new["metadata"]["labels"] = json!({"k": "v"});
    track(None, &mut new, "kubectl", Operation::Update, "", at(0));
    assert_eq!(
        new["metadata"]["managedFields"],
        json!([{
            "manager": "kubectl", "operation": "Update", "apiVersion": "snapshot.storage.k8s.io/v1",
            "time": "2027-01-15T08:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:finalizers": {".": {}, "v:\"x/y\"": {}}, "f:labels": {".": {}, "f:k": {}}},
                "f:spec": {".": {}, "f:source": {".": {}, "f:persistentVolumeClaimName": {}}},
            },
        }])
    );
}

#[test]
fn spec_of_a_built_in_kind_is_always_there() {
    let mut new = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "a"}, "spec": {"volumeName": "v"}});
    track(None, &mut new, "m", Operation::Update, "", at(0));
    assert_eq!(
        new["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {"f:volumeName": {}}})
    );
}

#[test]
fn an_update_takes_what_it_changes_and_nothing_else() {
    let mut first = object(json!({"spec": {"a": 1, "b": 1}}));
    track(None, &mut first, "one", Operation::Update, "", at(0));
    let mut second = first.clone();
    second["spec"]["b"] = json!(2);
    track(Some(&first), &mut second, "two", Operation::Update, "", at(1));
    assert_eq!(
        managers(&second),
        [
            ("one".into(), r#"{"f:spec":{".":{},"f:a":{}}}"#.into()),
            ("two".into(), r#"{"f:spec":{"f:b":{}}}"#.into())
        ]
    );
    let mut third = second.clone();
    third["spec"].as_object_mut().unwrap().remove("b");
    track(Some(&second), &mut third, "three", Operation::Update, "", at(2));
    assert_eq!(
        managers(&third),
        [("one".into(), r#"{"f:spec":{".":{},"f:a":{}}}"#.into())]
    );
}

#[test]
fn an_update_without_change_leaves_the_record_alone() {
    let mut first = object(json!({"spec": {"a": 1}}));
    track(None, &mut first, "one", Operation::Update, "", at(0));
    let mut second = first.clone();
    second["metadata"]["resourceVersion"] = json!("7");
    track(
        Some(&first),
        &mut second,
        "two",
        Operation::Update,
        "status",
        at(9),
    );
    assert_eq!(
        second["metadata"]["managedFields"],
        first["metadata"]["managedFields"]
    );
}

#[test]
fn applied_fields_that_are_left_out_later_go_away() {
    let first = apply(
        None,
        &object(json!({"spec": {"a": 1, "b": {"c": 2}}})),
        "one",
        false,
        at(0),
    )
    .unwrap();
    assert_eq!(
        managers(&first),
        [("one".into(), r#"{"f:spec":{"f:a":{},"f:b":{"f:c":{}}}}"#.into())]
    );
    let second = apply(
        Some(&first),
        &object(json!({"spec": {"a": 1}})),
        "one",
        false,
        at(1),
    )
    .unwrap();
    assert_eq!(second["spec"], json!({"a": 1}));
    let other = apply(
        Some(&second),
        &object(json!({"spec": {"a": 1}})),
        "two",
        false,
        at(2),
    )
    .unwrap();
    let left = apply(Some(&other), &object(json!({})), "one", false, at(3)).unwrap();
    assert_eq!(left["spec"], json!({"a": 1}), "the second manager has it too");
}

#[test]
fn conflicts_are_refused_unless_forced() {
    let mut live = object(json!({"spec": {"a": 1, "b": 1}}));
    track(None, &mut live, "kubectl", Operation::Update, "", at(0));
    let wanted = object(json!({"spec": {"a": 2}}));
    let error = apply(Some(&live), &wanted, "one", false, at(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl\" using snapshot.storage.k8s.io/v1: .spec.a"
    );
    let both = object(json!({"spec": {"a": 2, "b": 2}}));
    assert_eq!(
        apply(Some(&live), &both, "one", false, at(1))
            .unwrap_err()
            .to_string(),
        "Apply failed with 2 conflicts: conflicts with \"kubectl\" using snapshot.storage.k8s.io/v1:\n- .spec.a\n- .spec.b"
    );
    let forced = apply(Some(&live), &wanted, "one", true, at(1)).unwrap();
    assert_eq!(forced["spec"], json!({"a": 2, "b": 1}));
    assert_eq!(
        managers(&forced),
        [
            ("one".into(), r#"{"f:spec":{"f:a":{}}}"#.into()),
            ("kubectl".into(), r#"{"f:spec":{".":{},"f:b":{}}}"#.into())
        ]
    );
    let same = apply(
        Some(&live),
        &object(json!({"spec": {"a": 1}})),
        "one",
        false,
        at(1),
    )
    .unwrap();
    assert_eq!(managers(&same).len(), 2, "equal values are shared");
}

#[test]
fn lists_merge_by_their_kind() {
    let mut live = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "finalizers": ["a"]},
        "spec": {"containers": [{"name": "x", "image": "i"}], "tolerations": [{"key": "t"}]}});
    track(None, &mut live, "kubectl", Operation::Update, "", at(0));
    let wanted = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "finalizers": ["b"]},
        "spec": {"containers": [{"name": "y", "image": "j"}, {"name": "x", "tty": true}]}});
    let merged = apply(Some(&live), &wanted, "one", false, at(1)).unwrap();
    assert_eq!(merged["metadata"]["finalizers"], json!(["a", "b"]));
    assert_eq!(
        merged["spec"]["containers"],
        json!([{"name": "x", "image": "i", "tty": true}, {"name": "y", "image": "j"}])
    );
    let less = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "x"}]}});
    let merged = apply(Some(&merged), &less, "one", false, at(2)).unwrap();
    assert_eq!(merged["metadata"]["finalizers"], json!(["a"]));
    assert_eq!(merged["spec"]["containers"], json!([{"name": "x", "image": "i"}]));
    let other = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"tolerations": [{"key": "u"}]}});
    let error = apply(Some(&merged), &other, "one", false, at(3)).unwrap_err();
    assert_eq!(error.conflicts[0].field, ".spec.tolerations");
}

#[test]
fn subresources_have_their_own_entries() {
    let first = apply(None, &object(json!({"spec": {"a": 1}})), "one", false, at(0)).unwrap();
    let status = object(json!({"status": {"readyToUse": true}}));
    let second = apply_subresource(Some(&first), &status, "one", "status", false, at(1)).unwrap();
    assert_eq!(second["spec"], json!({"a": 1}));
    assert_eq!(second["metadata"]["managedFields"].as_array().unwrap().len(), 2);
    assert_eq!(second["metadata"]["managedFields"][1]["subresource"], "status");
}
