//! Which writes of status a UID guards.

use serde_json::{Value, json};

use crate::kube_support::Fixture;

const OTHER: &str = "11111111-1111-1111-1111-111111111111";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A thing, a claim and an attachment, with what may be written into their status.
async fn furnished() -> (Fixture, [(&'static str, &'static str, Value, Value); 3]) {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let cases = [
        (
            "/apis/example.com/v1/namespaces/default/things",
            "example.com/v1 Thing",
            json!({"a": 1}),
            json!({"phase": "x"}),
        ),
        (
            "/api/v1/namespaces/default/persistentvolumeclaims",
            "v1 PersistentVolumeClaim",
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}),
            json!({"phase": "Bound"}),
        ),
        (
            "/apis/storage.k8s.io/v1/volumeattachments",
            "storage.k8s.io/v1 VolumeAttachment",
            json!({"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "p"}}),
            json!({"attached": true}),
        ),
    ];
    for (path, of, spec, _) in &cases {
        let object = whole(of, json!({"spec": spec}));
        let (code, answer) = fixture.send("POST", path, "application/json", object).await;
        assert_eq!(code, 201, "{answer}");
    }
    (fixture, cases)
}

/// An object `a` of a version and kind.
fn whole(of: &str, mut object: Value) -> Value {
    let (version, kind) = of.split_once(' ').unwrap();
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind);
    object["metadata"]["name"] = json!("a");
    object
}

#[tokio::test]
async fn a_uid_guards_the_status_of_built_in_kinds_alone() {
    let (fixture, cases) = furnished().await;
    for (path, of, _, status) in cases {
        let place = format!("{path}/a/status");
        let custom = of.starts_with("example.com");
        let before = fixture.get(&format!("{path}/a")).await.1["metadata"]["uid"].clone();
        let patch = json!({"metadata": {"uid": OTHER}, "status": status});
        let (code, answer) = fixture.send("PATCH", &place, MERGE, patch.clone()).await;
        assert_eq!(code, if custom { 200 } else { 422 }, "{of} merged: {answer}");
        let applied = whole(of, patch);
        let apply = format!("{place}?fieldManager=one&force=true");
        let (code, answer) = fixture.send("PATCH", &apply, APPLY, applied.clone()).await;
        assert_eq!(code, if custom { 200 } else { 422 }, "{of} applied: {answer}");
        let stored = fixture.get(&format!("{path}/a")).await.1;
        assert_eq!(stored["metadata"]["uid"], before, "{of}");
        assert_eq!(stored["status"] == status, custom, "{of}: {}", stored["status"]);
    }
}

#[tokio::test]
async fn a_version_a_test_and_a_put_guard_the_status_of_every_kind() {
    let (fixture, cases) = furnished().await;
    for (path, of, spec, status) in cases {
        let place = format!("{path}/a/status");
        let stale = json!({"metadata": {"resourceVersion": "1"}, "status": status});
        let (code, answer) = fixture.send("PATCH", &place, MERGE, stale).await;
        assert_eq!(code, 409, "{of}: {answer}");
        let tested = json!([
            {"op": "test", "path": "/metadata/uid", "value": OTHER},
            {"op": "add", "path": "/status", "value": status},
        ]);
        let json_patch = "application/json-patch+json";
        let (code, answer) = fixture.send("PATCH", &place, json_patch, tested).await;
        assert_eq!(code, 422, "{of}: {answer}");
        let put = whole(
            of,
            json!({"metadata": {"uid": OTHER}, "spec": spec, "status": status}),
        );
        let (code, answer) = fixture.send("PUT", &place, "application/json", put).await;
        assert_eq!(code, 409, "{of}: {answer}");
        let main = json!({"metadata": {"uid": OTHER, "labels": {"a": "b"}}});
        let (code, answer) = fixture.send("PATCH", &format!("{path}/a"), MERGE, main).await;
        assert_eq!(code, 422, "{of}: {answer}");
    }
}

#[tokio::test]
async fn an_apply_with_a_uid_makes_nothing() {
    let fixture = Fixture::new();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": OTHER}});
    let path = "/api/v1/namespaces/default/configmaps/a?fieldManager=one";
    let (code, answer) = fixture.send("PATCH", path, APPLY, map).await;
    assert_eq!((code, &answer["reason"]), (409, &json!("Conflict")), "{answer}");
}
