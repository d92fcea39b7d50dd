//! Schemas, rules of kinds, server-side apply and the actors, as a client sees them.

use std::time::Duration;

use sandbox::actors;
use serde_json::{Value, json};

use super::kube_support::Fixture;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const SNAPSHOTS: &str = "/apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots";
const CLAIM: &str = "/api/v1/namespaces/default/persistentvolumeclaims/ebs-claim";
const VOLUME: &str = "/api/v1/persistentvolumes/test-pv";

async fn with_definitions() -> Fixture {
    let fixture = Fixture::new();
    for definition in crds::definitions::snapshots() {
        let name = definition["metadata"]["name"].as_str().unwrap();
        let path =
            format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=test");
        let (code, answer) = fixture.send("PATCH", &path, APPLY, definition).await;
        assert_eq!(code, 201, "{answer}");
    }
    fixture
}

fn snapshot(source: Value) -> Value {
    json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": "s"}, "spec": {"source": source}})
}

#[tokio::test(start_paused = true)]
async fn snapshot_1_3_a_broken_rule_is_a_422_with_its_message() {
    let fixture = with_definitions().await;
    let (code, answer) = fixture
        .send("POST", SNAPSHOTS, "application/json", snapshot(json!({})))
        .await;
    assert_eq!(code, 422);
    assert_eq!(
        answer["message"],
        "VolumeSnapshot.snapshot.storage.k8s.io \"s\" is invalid: spec.source: Invalid value: exactly one of \
         volumeSnapshotContentName and persistentVolumeClaimName must be set"
    );
    assert_eq!(answer["details"]["causes"][0]["reason"], "FieldValueInvalid");
    assert_eq!(answer["details"]["causes"][0]["field"], "spec.source");
    let mut unknown = snapshot(json!({"persistentVolumeClaimName": "c", "unknown": 1}));
    unknown["status"] = json!({"readyToUse": true});
    let (code, answer) = fixture.send("POST", SNAPSHOTS, "application/json", unknown).await;
    assert_eq!(code, 201);
    assert_eq!(
        answer["spec"],
        json!({"source": {"persistentVolumeClaimName": "c"}})
    );
    assert!(answer.get("status").is_none());
    let path = format!("{SNAPSHOTS}/s");
    let change = json!({"spec": {"source": {"persistentVolumeClaimName": "d"}}});
    let (code, answer) = fixture.send("PATCH", &path, MERGE, change).await;
    assert_eq!(code, 422, "{answer}");
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .ends_with("persistentVolumeClaimName is immutable"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_apply_names_its_conflicts_and_can_be_forced() {
    let fixture = with_definitions().await;
    let wanted = snapshot(json!({"persistentVolumeClaimName": "c"}));
    let path = |manager: &str, force: bool| format!("{SNAPSHOTS}/s?fieldManager={manager}&force={force}");
    let (code, first) = fixture
        .send("PATCH", &path("one", false), APPLY, wanted.clone())
        .await;
    assert_eq!(code, 201, "{first}");
    assert_eq!(first["metadata"]["managedFields"][0]["manager"], "one");
    let (code, same) = fixture
        .send("PATCH", &path("one", false), APPLY, wanted.clone())
        .await;
    assert_eq!((code, &same), (200, &first), "nothing to write");
    let mut other = wanted;
    other["spec"]["volumeSnapshotClassName"] = json!("gold");
    let (code, _) = fixture
        .send("PATCH", &path("one", false), APPLY, other.clone())
        .await;
    assert_eq!(code, 200);
    other["spec"]["volumeSnapshotClassName"] = json!("silver");
    let (code, answer) = fixture
        .send("PATCH", &path("two", false), APPLY, other.clone())
        .await;
    assert_eq!((code, answer["reason"].as_str()), (409, Some("Conflict")));
    assert_eq!(
        answer["message"],
        "Apply failed with 1 conflict: conflict with \"one\": .spec.volumeSnapshotClassName"
    );
    assert_eq!(answer["details"]["causes"][0]["reason"], "FieldManagerConflict");
    let (code, answer) = fixture.send("PATCH", &path("two", true), APPLY, other).await;
    assert_eq!(
        (code, answer["spec"]["volumeSnapshotClassName"].as_str()),
        (200, Some("silver"))
    );
}

#[tokio::test(start_paused = true)]
async fn the_examples_apply_and_the_static_claim_is_bound() {
    let fixture = with_definitions().await;
    let clock = base::Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    actors::run(&fixture.server, &fixture.scope, clock);
    let content = "/apis/snapshot.storage.k8s.io/v1";
    let files = [
        (
            VOLUME.to_owned(),
            include_str!("../../../examples/01-static/persistentvolume.yaml"),
        ),
        (
            CLAIM.to_owned(),
            include_str!("../../../examples/01-static/persistentvolumeclaim.yaml"),
        ),
        (
            format!("{content}/volumesnapshotclasses/"),
            include_str!("../../../examples/05-snapshot/volumesnapshotclass.yaml"),
        ),
        (
            format!("{SNAPSHOTS}/"),
            include_str!("../../../examples/05-snapshot/volumesnapshot.yaml"),
        ),
        (
            format!("{content}/volumesnapshotcontents/"),
            include_str!("../../../examples/07-import-snapshot/volumesnapshotcontent.yaml"),
        ),
        (
            format!("{SNAPSHOTS}/"),
            include_str!("../../../examples/07-import-snapshot/volumesnapshot.yaml"),
        ),
    ];
    for (mut path, yaml) in files {
        let object: Value = serde_saphyr::from_str(yaml).unwrap();
        if path.ends_with('/') {
            path.push_str(object["metadata"]["name"].as_str().unwrap());
        }
        let (code, answer) = fixture
            .send("PATCH", &format!("{path}?fieldManager=kubectl"), APPLY, object)
            .await;
        assert_eq!(code, 201, "{path}: {answer}");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (_, claim) = fixture.get(CLAIM).await;
    assert_eq!(claim["status"]["phase"], "Bound", "{claim}");
    assert_eq!(fixture.get(VOLUME).await.1["status"]["phase"], "Bound");
    let bigger = json!({"spec": {"resources": {"requests": {"storage": "20Gi"}}}});
    let (code, answer) = fixture.send("PATCH", CLAIM, MERGE, bigger).await;
    assert_eq!(code, 403);
    assert_eq!(
        answer["message"],
        "persistentvolumeclaims \"ebs-claim\" is forbidden: only dynamically provisioned pvc can be resized and the \
         storageclass that provisions the pvc must support resize"
    );
    let (code, _) = fixture
        .send("PATCH", CLAIM, MERGE, json!({"spec": {"volumeMode": "Block"}}))
        .await;
    assert_eq!(code, 422);
}
