//! CustomResourceDefinitions and discovery.

use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::kube_support::{Fixture, refused, thing, things_definition};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

#[tokio::test(start_paused = true)]
async fn a_definition_is_established_at_once() {
    let fixture = Fixture::new();
    let missing = fixture
        .get("/apis/example.com/v1/namespaces/default/things")
        .await;
    assert_eq!(missing, (404, json!("404 page not found\n")));
    fixture.define_things().await;
    let (_, definition) = fixture.get(&format!("{DEFINITIONS}/things.example.com")).await;
    let status = &definition["status"];
    assert_eq!(status["storedVersions"], json!(["v1"]));
    assert_eq!(status["acceptedNames"]["listKind"], "ThingList");
    assert_eq!(status["acceptedNames"]["singular"], "thing");
    let conditions = status["conditions"].as_array().unwrap();
    assert!(conditions.iter().all(|condition| condition["status"] == "True"));
    assert!(
        conditions
            .iter()
            .any(|condition| condition["type"] == "Established")
    );
    let list = fixture.things("v1").list(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn bad_definitions_are_invalid() {
    let fixture = Fixture::new();
    let mut wrong_name = things_definition();
    wrong_name["metadata"]["name"] = json!("other.example.com");
    let mut wrong_scope = things_definition();
    wrong_scope["spec"]["scope"] = json!("World");
    let mut two_stored = things_definition();
    two_stored["spec"]["versions"][0]["storage"] = json!(true);
    for (definition, field) in [
        (wrong_name, "metadata.name"),
        (wrong_scope, "spec.scope"),
        (two_stored, "spec.versions"),
    ] {
        let (code, status) = fixture
            .send("POST", DEFINITIONS, "application/json", definition)
            .await;
        assert_eq!((code, status["reason"].as_str()), (422, Some("Invalid")));
        assert_eq!(status["details"]["causes"][0]["field"], field);
    }
}

#[tokio::test(start_paused = true)]
async fn versions_are_views_of_the_stored_one() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let mut old = thing("t", json!({"x": 1}));
    old.types.as_mut().unwrap().api_version = "example.com/v1beta1".to_owned();
    let made = fixture
        .things("v1beta1")
        .create(&PostParams::default(), &old)
        .await
        .unwrap();
    assert_eq!(
        made.types.unwrap().api_version,
        "example.com/v1beta1",
        "the version asked for"
    );
    let seen = fixture.things("v1").get("t").await.unwrap();
    assert_eq!(seen.types.unwrap().api_version, "example.com/v1");
    assert_eq!(
        fixture.server.dump()["things.example.com"]["default/t"]["apiVersion"],
        "example.com/v1"
    );
}

#[tokio::test(start_paused = true)]
async fn the_wrong_version_in_the_data_is_refused() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let status = refused(
        fixture
            .things("v1beta1")
            .create(&PostParams::default(), &thing("t", json!({})))
            .await,
    );
    assert_eq!(
        status.message,
        "the API version in the data (example.com/v1) does not match the expected API version (example.com/v1beta1)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_definition_serves_other_versions() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    fixture
        .things("v1")
        .create(&PostParams::default(), &thing("t", json!({"x": 1})))
        .await
        .unwrap();
    let path = format!("{DEFINITIONS}/things.example.com");
    let patch = json!([{"op": "replace", "path": "/spec/versions/0/served", "value": false}]);
    let (code, _) = fixture
        .send("PATCH", &path, "application/json-patch+json", patch)
        .await;
    assert_eq!(code, 200);
    assert_eq!(refused(fixture.things("v1beta1").get("t").await).code, 404);
    let merge = Patch::Merge(json!({"spec": {"x": 2}}));
    let patched = fixture
        .things("v1")
        .patch("t", &PatchParams::default(), &merge)
        .await
        .unwrap();
    assert_eq!(patched.metadata.generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_equal_definition_is_no_write() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let before = fixture.server.revision();
    let path = format!("{DEFINITIONS}/things.example.com");
    let (code, same) = fixture
        .send(
            "PATCH",
            &path,
            "application/merge-patch+json",
            things_definition(),
        )
        .await;
    assert_eq!((code, same["metadata"]["generation"].as_u64()), (200, Some(1)));
    let (_, stored) = fixture.get(&path).await;
    let mut put = things_definition();
    put["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
    put["metadata"]["finalizers"] = stored["metadata"]["finalizers"].clone();
    assert_eq!(fixture.send("PUT", &path, "application/json", put).await.0, 200);
    assert_eq!(fixture.server.revision(), before);
}

#[tokio::test(start_paused = true)]
async fn discovery_shows_what_is_served() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let (_, groups) = fixture.get("/apis").await;
    let group = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .find(|group| group["name"] == "example.com")
        .unwrap();
    assert_eq!(group["preferredVersion"]["groupVersion"], "example.com/v1");
    assert_eq!(group["versions"][1]["version"], "v1beta1");
    assert_eq!(fixture.get("/apis/example.com").await.1["kind"], "APIGroup");
    let (_, list) = fixture.get("/apis/example.com/v1").await;
    let names: Vec<_> = list["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].clone())
        .collect();
    assert_eq!(names, ["things", "things/status"]);
    assert_eq!(list["resources"][0]["shortNames"], json!(["th"]));
    let (_, core) = fixture.get("/api/v1").await;
    let status = core["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["name"] == "persistentvolumeclaims/status");
    assert!(status.is_some());
    assert_eq!(fixture.get("/api").await.1["versions"], json!(["v1"]));
    assert_eq!(fixture.get("/apis/nothing.example.com").await.0, 404);
    assert_eq!(fixture.client.apiserver_version().await.unwrap().major, "1");
    let apis = fixture.client.list_api_groups().await.unwrap();
    assert!(apis.groups.iter().any(|group| group.name == "storage.k8s.io"));
    for path in ["/healthz", "/readyz", "/livez"] {
        assert_eq!(fixture.get(path).await, (200, json!("ok")));
    }
    assert_eq!(fixture.get("/nothing").await.0, 404);
}
