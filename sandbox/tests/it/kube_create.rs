//! POST.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::kube_support::{Fixture, from, refused};

#[tokio::test(start_paused = true)]
async fn a_new_object_gets_its_system_metadata() {
    let fixture = Fixture::new();
    let map = fixture.config_map("one").await;
    let metadata = &map.metadata;
    assert_eq!(metadata.namespace.as_deref(), Some("default"));
    assert_eq!(metadata.uid.as_ref().unwrap().len(), 36);
    assert_eq!(
        metadata.creation_timestamp.as_ref().unwrap().0.to_string(),
        "2026-01-01T00:00:00Z"
    );
    assert_eq!(
        metadata.resource_version.as_deref(),
        Some("3"),
        "two namespaces came before"
    );
    assert_eq!(fixture.config_maps().get("one").await.unwrap(), map);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_once() {
    let fixture = Fixture::new();
    let map = fixture.config_map("one").await;
    let again: ConfigMap = from(json!({"metadata": {"name": "one"}}));
    let status = refused(fixture.config_maps().create(&PostParams::default(), &again).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(status.message, "configmaps \"one\" already exists");
    assert_eq!(fixture.config_maps().get("one").await.unwrap(), map);
}

#[tokio::test(start_paused = true)]
async fn names_are_generated_from_the_seed() {
    let mut names = Vec::new();
    for _ in 0..2 {
        let fixture = Fixture::new();
        let map: ConfigMap = from(json!({"metadata": {"generateName": "map-"}}));
        let made = fixture
            .config_maps()
            .create(&PostParams::default(), &map)
            .await
            .unwrap();
        names.push(made.metadata.name.unwrap());
    }
    assert_eq!(names[0], names[1]);
    assert!(names[0].starts_with("map-") && names[0].len() == 9, "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn bad_names_are_invalid() {
    let fixture = Fixture::new();
    for (metadata, detail) in [
        (
            json!({"name": "Bad_Name"}),
            "Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist",
        ),
        (json!({}), "Required value: name or generateName is required"),
    ] {
        let map: ConfigMap = from(json!({"metadata": metadata}));
        let status = refused(fixture.config_maps().create(&PostParams::default(), &map).await);
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
        let name = map.metadata.name.as_deref().unwrap_or_default();
        let start = format!("ConfigMap \"{name}\" is invalid: metadata.name: {detail}");
        assert!(status.message.starts_with(&start), "{}", status.message);
        let details = status.details.unwrap();
        assert_eq!(
            (details.kind.as_str(), details.causes[0].field.as_str()),
            ("ConfigMap", "metadata.name")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_namespace_is_not_found() {
    let fixture = Fixture::new();
    let maps: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), "nowhere");
    let map: ConfigMap = from(json!({"metadata": {"name": "one"}}));
    let status = refused(maps.create(&PostParams::default(), &map).await);
    assert_eq!(
        (status.code, status.message.as_str()),
        (404, "namespaces \"nowhere\" not found")
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_stores_nothing() {
    let fixture = Fixture::new();
    let before = fixture.server.revision();
    let map: ConfigMap = from(json!({"metadata": {"name": "one"}}));
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let made = fixture.config_maps().create(&dry, &map).await.unwrap();
    assert!(made.metadata.uid.is_some());
    assert_eq!(refused(fixture.config_maps().get("one").await).code, 404);
    assert_eq!(fixture.server.revision(), before);
}

#[tokio::test(start_paused = true)]
async fn a_sent_status_is_dropped() {
    let fixture = Fixture::new();
    let pod: Pod = from(json!({
        "metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running"},
    }));
    let made = fixture.pods().create(&PostParams::default(), &pod).await.unwrap();
    assert_eq!(made.status.unwrap().phase.as_deref(), Some("Pending"));
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test(start_paused = true)]
async fn objects_that_do_not_fit_are_bad_requests() {
    let fixture = Fixture::new();
    for body in [
        json!([]),
        json!({"kind": "Pod", "metadata": {"name": "one"}}),
        json!({"apiVersion": "v2", "metadata": {"name": "one"}}),
        json!({"metadata": {"name": "one", "namespace": "other"}}),
        json!({"metadata": {"name": "one", "labels": {"a": 1}}}),
        json!({"metadata": {"name": 1}}),
        json!({"metadata": []}),
    ] {
        let (code, status) = fixture.send("POST", MAPS, "application/json", body.clone()).await;
        assert_eq!(
            (code, status["reason"].as_str()),
            (400, Some("BadRequest")),
            "{body}"
        );
        assert_eq!(status["kind"], "Status");
    }
    let (code, _) = fixture
        .raw(http::Request::post(MAPS).body(b"{".to_vec()).unwrap())
        .await;
    assert_eq!(code, 400);
    let with_version = json!({"metadata": {"name": "one", "resourceVersion": "7"}});
    let (code, status) = fixture.send("POST", MAPS, "application/json", with_version).await;
    assert_eq!(code, 500);
    assert_eq!(
        status["message"],
        "resourceVersion should not be set on objects to be created"
    );
}

#[tokio::test(start_paused = true)]
async fn wrong_paths_types_and_sizes_are_refused() {
    let fixture = Fixture::new();
    let one = format!("{MAPS}/one");
    for (path, content_type, code) in [
        (MAPS, "application/yaml", 415),
        ("/api/v1/configmaps", "application/json", 405),
        (one.as_str(), "application/json", 405),
        ("/api/v1/namespaces/default/nodes", "application/json", 404),
        ("/api/v2/namespaces/default/configmaps", "application/json", 404),
    ] {
        let body = json!({"metadata": {"name": "one"}});
        assert_eq!(
            fixture.send("POST", path, content_type, body).await.0,
            code,
            "{path}"
        );
    }
    let (code, _) = fixture
        .raw(http::Request::post(MAPS).body(vec![b' '; 4 << 20]).unwrap())
        .await;
    assert_eq!(code, 413);
    assert_eq!(fixture.send("TRACE", MAPS, "", json!({})).await.0, 405);
}

#[tokio::test(start_paused = true)]
async fn a_terminating_namespace_takes_no_content() {
    let fixture = Fixture::new();
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    let namespace: Namespace = from(json!({"metadata": {"name": "old", "finalizers": ["example.com/keep"]}}));
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let gone = namespaces
        .delete("old", &Default::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(gone.status.unwrap().phase.as_deref(), Some("Terminating"));
    let maps: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), "old");
    let map: ConfigMap = from(json!({"metadata": {"name": "one"}}));
    let status = refused(maps.create(&PostParams::default(), &map).await);
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert_eq!(status.details.unwrap().causes[0].reason, "NamespaceTerminating");
}
