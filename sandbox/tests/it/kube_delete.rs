//! DELETE: preconditions, finalizers, grace periods, containers.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use sandbox::kube::GroupResource;
use serde_json::json;

use crate::kube_support::{Fixture, from, refused, thing};

#[tokio::test(start_paused = true)]
async fn the_answer_is_a_status_or_the_object() {
    let fixture = Fixture::new();
    let map = fixture.config_map("one").await;
    let (code, status) = fixture
        .send(
            "DELETE",
            "/api/v1/namespaces/default/configmaps/one",
            "",
            json!({}),
        )
        .await;
    assert_eq!((code, status["status"].as_str()), (200, Some("Success")));
    assert_eq!(
        status["details"],
        json!({"name": "one", "kind": "configmaps", "uid": map.metadata.uid})
    );
    assert_eq!(
        refused(
            fixture
                .config_maps()
                .delete("one", &DeleteParams::default())
                .await
        )
        .code,
        404
    );
    let capacities = "/apis/storage.k8s.io/v1/namespaces/default/csistoragecapacities";
    let capacity = json!({"metadata": {"name": "one"}, "storageClassName": "c"});
    fixture
        .send("POST", capacities, "application/json", capacity)
        .await;
    let (code, status) = fixture
        .send("DELETE", &format!("{capacities}/one"), "", json!({}))
        .await;
    assert_eq!((code, status["status"].as_str()), (200, Some("Success")));
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(fixture.client.clone(), "default");
    let claim = from(json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }));
    claims.create(&PostParams::default(), &claim).await.unwrap();
    let gone = claims.delete("data", &DeleteParams::default()).await.unwrap();
    assert!(gone.is_left(), "claims are answered as objects");
}

#[tokio::test(start_paused = true)]
async fn preconditions_hold() {
    let fixture = Fixture::new();
    let map = fixture.config_map("one").await;
    let delete = |uid: Option<&str>, version: Option<&str>| {
        let preconditions = Preconditions {
            uid: uid.map(str::to_owned),
            resource_version: version.map(str::to_owned),
        };
        let maps = fixture.config_maps();
        async move {
            maps.delete("one", &DeleteParams::default().preconditions(preconditions))
                .await
        }
    };
    let status = refused(delete(Some("other"), None).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(
        status
            .message
            .contains("the UID in the precondition (other) does not match the UID in record")
    );
    let status = refused(delete(None, Some("1")).await);
    assert!(
        status
            .message
            .contains("the ResourceVersion in the precondition (1) does not match")
    );
    let metadata = map.metadata;
    delete(metadata.uid.as_deref(), metadata.resource_version.as_deref())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn finalizers_keep_an_object_until_the_last_is_gone() {
    let fixture = Fixture::new();
    let maps = fixture.config_maps();
    let map: ConfigMap =
        from(json!({"metadata": {"name": "one", "finalizers": ["example.com/a", "example.com/b"]}}));
    maps.create(&PostParams::default(), &map).await.unwrap();
    let marked = maps
        .delete("one", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(
        marked.metadata.deletion_timestamp.as_ref().unwrap().0.to_string(),
        "2026-01-01T00:00:00Z"
    );
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(0));
    let before = fixture.server.revision();
    assert_eq!(
        maps.delete("one", &DeleteParams::default())
            .await
            .unwrap()
            .left()
            .unwrap(),
        marked
    );
    assert_eq!(
        fixture.server.revision(),
        before,
        "a second deletion changes nothing"
    );
    let patch = |finalizers: serde_json::Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let more = patch(json!(["example.com/a", "example.com/b", "example.com/c"]));
    let status = refused(maps.patch("one", &PatchParams::default(), &more).await);
    assert_eq!(status.code, 422);
    assert!(
        status
            .message
            .contains("metadata.finalizers: Forbidden: no new finalizers can be added")
    );
    maps.patch("one", &PatchParams::default(), &patch(json!(["example.com/b"])))
        .await
        .unwrap();
    assert!(maps.get("one").await.is_ok());
    let last = maps
        .patch("one", &PatchParams::default(), &patch(json!(null)))
        .await
        .unwrap();
    assert_eq!(last.metadata.finalizers, None);
    assert_eq!(refused(maps.get("one").await).code, 404);
}

#[tokio::test(start_paused = true)]
async fn removing_a_finalizer_deletes_nothing_by_itself() {
    let fixture = Fixture::new();
    let maps = fixture.config_maps();
    let map: ConfigMap = from(json!({"metadata": {"name": "one", "finalizers": ["example.com/a"]}}));
    maps.create(&PostParams::default(), &map).await.unwrap();
    let none = Patch::Merge(json!({"metadata": {"finalizers": []}}));
    maps.patch("one", &PatchParams::default(), &none).await.unwrap();
    assert!(maps.get("one").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn propagation_policies_are_finalizers() {
    let fixture = Fixture::new();
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        let name = policy.to_lowercase();
        fixture.config_map(&name).await;
        let path = format!("/api/v1/namespaces/default/configmaps/{name}?propagationPolicy={policy}");
        let (code, object) = fixture.send("DELETE", &path, "application/json", json!({})).await;
        assert_eq!(
            (code, &object["metadata"]["finalizers"]),
            (200, &json!([finalizer]))
        );
    }
    fixture.config_map("background").await;
    fixture
        .config_maps()
        .delete("background", &DeleteParams::background())
        .await
        .unwrap();
    assert_eq!(refused(fixture.config_maps().get("background").await).code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_policy_takes_the_place_of_the_one_before_also_while_an_object_is_being_deleted() {
    let fixture = Fixture::new();
    let path = "/api/v1/namespaces/default/configmaps";
    let delete = async |name: &str, policy: &str| {
        let path = format!("{path}/{name}?propagationPolicy={policy}");
        let (code, answer) = fixture.send("DELETE", &path, "", json!({})).await;
        assert_eq!(code, 200, "{answer}");
        answer["metadata"]["finalizers"].clone()
    };
    for (name, finalizers) in [
        ("kept", json!(["orphan", "example.com/a"])),
        ("left", json!(["foregroundDeletion"])),
    ] {
        let map = json!({"metadata": {"name": name, "finalizers": finalizers}});
        let (code, answer) = fixture.send("POST", path, "application/json", map).await;
        assert_eq!(code, 201, "{answer}");
    }
    for (policy, expected) in [
        ("Orphan", json!(["orphan", "example.com/a"])),
        ("Foreground", json!(["example.com/a", "foregroundDeletion"])),
        ("", json!(["example.com/a", "foregroundDeletion"])),
        ("Background", json!(["example.com/a"])),
        ("Orphan", json!(["example.com/a", "orphan"])),
    ] {
        assert_eq!(delete("kept", policy).await, expected, "{policy}");
    }
    delete("left", "Background").await;
    assert_eq!(fixture.get(&format!("{path}/left")).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_pod_has_its_grace_period() {
    let fixture = Fixture::new();
    let pod = |name: &str, node: Option<&str>| -> Pod {
        let spec = json!({"containers": [{"name": "c", "image": "i"}], "nodeName": node});
        from(json!({"metadata": {"name": name}, "spec": spec}))
    };
    let pods = fixture.pods();
    pods.create(&PostParams::default(), &pod("waiting", None))
        .await
        .unwrap();
    pods.create(&PostParams::default(), &pod("running", Some("node-1")))
        .await
        .unwrap();
    pods.delete("waiting", &DeleteParams::default()).await.unwrap();
    assert_eq!(refused(pods.get("waiting").await).code, 404);
    let marked = pods
        .delete("running", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(30));
    assert_eq!(
        marked.metadata.deletion_timestamp.unwrap().0.to_string(),
        "2026-01-01T00:00:30Z"
    );
    assert!(pods.get("running").await.is_ok());
    pods.delete("running", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    assert_eq!(refused(pods.get("running").await).code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_with_its_content() {
    let fixture = Fixture::new();
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    namespaces
        .create(
            &PostParams::default(),
            &from(json!({"metadata": {"name": "team"}})),
        )
        .await
        .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), "team");
    let plain: ConfigMap = from(json!({"metadata": {"name": "plain"}}));
    let kept: ConfigMap = from(json!({"metadata": {"name": "kept", "finalizers": ["example.com/a"]}}));
    maps.create(&PostParams::default(), &plain).await.unwrap();
    maps.create(&PostParams::default(), &kept).await.unwrap();
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert!(namespaces.get("team").await.is_ok());
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("kept", &PatchParams::default(), &none).await.unwrap();
    assert_eq!(refused(namespaces.get("team").await).code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_definition_goes_with_its_objects() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let things = fixture.things("v1");
    let mut object = thing("t", json!({}));
    object.metadata.finalizers = Some(vec!["example.com/a".to_owned()]);
    things.create(&PostParams::default(), &object).await.unwrap();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com";
    assert_eq!(fixture.send("DELETE", path, "", json!({})).await.0, 200);
    let status = refused(
        things
            .create(&PostParams::default(), &thing("u", json!({})))
            .await,
    );
    assert_eq!(
        status.message,
        "create not allowed while custom resource definition is terminating"
    );
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    things.patch("t", &PatchParams::default(), &none).await.unwrap();
    assert_eq!(fixture.get(path).await.0, 404);
    assert_eq!(fixture.get("/apis/example.com/v1").await.0, 404);
    fixture.define_things().await;
    assert_eq!(
        fixture.server.count(GroupResource::new("example.com", "things")),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn collections_are_deleted_by_selector() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c"] {
        fixture.config_map(name).await;
    }
    let some = ListParams::default().labels("app in (a, b)");
    let deleted = fixture
        .config_maps()
        .delete_collection(&DeleteParams::default(), &some)
        .await
        .unwrap();
    assert_eq!(deleted.left().unwrap().items.len(), 2);
    let left = fixture.config_maps().list(&ListParams::default()).await.unwrap();
    assert_eq!(
        left.items
            .iter()
            .map(|map| map.metadata.name.as_deref().unwrap())
            .collect::<Vec<_>>(),
        ["c"]
    );
}
