//! What a claim is filled from, and how its size may be written.

use serde_json::{Value, json};

use crate::kube_support::Fixture;

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const MERGE: &str = "application/merge-patch+json";

/// Makes a claim whose spec has these members too.
async fn claim(fixture: &Fixture, name: &str, more: Value) -> (u16, Value) {
    let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let claim = json!({"metadata": {"name": name}, "spec": spec});
    fixture.send("POST", CLAIMS, "application/json", claim).await
}

fn snapshot() -> Value {
    json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"})
}

#[tokio::test]
async fn a_source_that_the_api_server_does_not_know_is_dropped_without_a_word() {
    let fixture = Fixture::new();
    let mut elsewhere = snapshot();
    elsewhere["namespace"] = json!("elsewhere");
    let cases = [
        json!({"dataSourceRef": elsewhere}),
        json!({"dataSource": {"kind": "VolumeSnapshot", "name": "s"}}),
        json!({"dataSource": {"apiGroup": "example.com", "kind": "Thing", "name": "s"}}),
        json!({"dataSource": {}}),
        json!({"dataSource": null}),
    ];
    for (index, source) in cases.into_iter().enumerate() {
        let (code, made) = claim(&fixture, &format!("c{index}"), source.clone()).await;
        assert_eq!(code, 201, "{source}: {made}");
        let spec = made["spec"].as_object().unwrap();
        assert!(!spec.contains_key("dataSource"), "{source}: {made}");
        assert!(!spec.contains_key("dataSourceRef"), "{source}: {made}");
    }
}

#[tokio::test]
async fn either_form_of_a_source_stands_for_both_and_they_agree() {
    let fixture = Fixture::new();
    for (name, field, other) in [
        ("a", "dataSource", "dataSourceRef"),
        ("b", "dataSourceRef", "dataSource"),
    ] {
        let (code, made) = claim(&fixture, name, json!({field: snapshot()})).await;
        assert_eq!(code, 201, "{made}");
        assert_eq!(made["spec"][other], snapshot(), "{made}");
        // A client that does not know the other form takes nothing away.
        let patch = json!({"spec": {field: null}});
        let (code, kept) = fixture
            .send("PATCH", &format!("{CLAIMS}/{name}"), MERGE, patch)
            .await;
        assert_eq!((code, &kept["spec"][field]), (200, &snapshot()), "{kept}");
    }
    for (name, source, why) in [
        (
            "c",
            json!({"dataSourceRef": {"kind": "VolumeSnapshot", "name": "s"}}),
            "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        ),
        (
            "d",
            json!({"dataSource": snapshot(), "dataSourceRef": {
                "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "other",
            }}),
            "must match dataSourceRef",
        ),
        (
            "e",
            json!({"dataSourceRef": {"apiGroup": "a b", "kind": "Thing", "name": "s"}}),
            "a lowercase RFC 1123 subdomain",
        ),
    ] {
        let (code, refused) = claim(&fixture, name, source).await;
        assert_eq!(code, 422, "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(why), "{refused}");
    }
}

#[tokio::test]
async fn the_same_size_may_be_written_in_another_way() {
    let fixture = Fixture::new();
    claim(&fixture, "a", json!({})).await;
    let sizes = [
        (json!("1073741824"), Some("1073741824")),
        (json!("1073741824000m"), Some("1073741824")),
        (json!("1024Mi"), Some("1Gi")),
        (json!(1_073_741_824), Some("1073741824")),
        (json!("1073741825"), None),
    ];
    for (size, stored) in sizes {
        let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        let (code, answer) = fixture.send("PATCH", &format!("{CLAIMS}/a"), MERGE, patch).await;
        assert_eq!(code, if stored.is_some() { 200 } else { 422 }, "{size}: {answer}");
        if let Some(stored) = stored {
            assert_eq!(
                answer["spec"]["resources"]["requests"]["storage"], stored,
                "{size}"
            );
        }
    }
}

#[tokio::test]
async fn a_class_of_attributes_may_go_while_none_is_in_force() {
    let fixture = Fixture::new();
    claim(&fixture, "a", json!({"volumeAttributesClassName": "gold"})).await;
    let place = format!("{CLAIMS}/a");
    let status = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
    fixture
        .send("PATCH", &format!("{place}/status"), MERGE, status)
        .await;
    for class in [json!(null), json!("gold"), json!(""), json!("gold")] {
        let patch = json!({"spec": {"volumeAttributesClassName": class}});
        let (code, answer) = fixture.send("PATCH", &place, MERGE, patch).await;
        assert_eq!(code, 200, "{answer}");
    }
    let status = json!({"status": {"currentVolumeAttributesClassName": "gold"}});
    fixture
        .send("PATCH", &format!("{place}/status"), MERGE, status)
        .await;
    for class in [json!(null), json!("")] {
        let patch = json!({"spec": {"volumeAttributesClassName": class}});
        let (code, answer) = fixture.send("PATCH", &place, MERGE, patch).await;
        assert_eq!(code, 422, "{answer}");
    }
}
