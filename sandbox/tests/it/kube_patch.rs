//! PATCH.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::kube_support::{Fixture, refused, thing};

const PATH: &str = "/api/v1/namespaces/default/configmaps/one";

fn json_patch(operations: Value) -> Patch<ConfigMap> {
    Patch::Json(serde_json::from_value(operations).unwrap())
}

#[tokio::test(start_paused = true)]
async fn json_patches_apply_all_or_nothing() {
    let fixture = Fixture::new();
    let maps = fixture.config_maps();
    let map = fixture.config_map("one").await;
    let patch = json_patch(json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": map.metadata.resource_version},
        {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/a"]},
        {"op": "replace", "path": "/data/a", "value": "2"},
    ]));
    let patched = maps.patch("one", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.data.as_ref().unwrap()["a"], "2");
    let status = refused(maps.patch("one", &PatchParams::default(), &patch).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert_eq!(
        status.message,
        "the server rejected our request due to an error in our request"
    );
    assert_eq!(maps.get("one").await.unwrap(), patched);
}

#[tokio::test(start_paused = true)]
async fn malformed_patches_are_bad_requests() {
    let fixture = Fixture::new();
    fixture.config_map("one").await;
    for (content_type, body, code) in [
        ("application/json-patch+json", json!({"a": 1}), 400),
        (
            "application/json-patch+json",
            json!([{"op": "jump", "path": "/a"}]),
            422,
        ),
        ("application/merge-patch+json", json!([1]), 400),
        ("application/json", json!({}), 415),
        (
            "application/merge-patch+json",
            json!({"metadata": {"labels": {"a": {"b": "c"}}}}),
            422,
        ),
        (
            "application/merge-patch+json",
            json!({"metadata": {"name": "two"}}),
            400,
        ),
        (
            "application/json-patch+json",
            json!([{"op": "replace", "path": "", "value": 3}]),
            400,
        ),
    ] {
        let (got, status) = fixture.send("PATCH", PATH, content_type, body.clone()).await;
        assert_eq!(got, code, "{content_type} {body} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn merge_patches_remove_with_null_and_keep_preconditions() {
    let fixture = Fixture::new();
    let map = fixture.config_map("one").await;
    let merge = |body: Value| {
        let maps = fixture.config_maps();
        async move {
            maps.patch("one", &PatchParams::default(), &Patch::Merge(body))
                .await
        }
    };
    let patched = merge(json!({"data": {"a": null, "b": "2"}, "metadata": {"labels": {"app": null}}}))
        .await
        .unwrap();
    assert_eq!(
        patched.data.unwrap().into_iter().collect::<Vec<_>>(),
        [("b".to_owned(), "2".to_owned())]
    );
    assert_eq!(patched.metadata.labels, None);
    let old = map.metadata.resource_version;
    let status = refused(merge(json!({"metadata": {"resourceVersion": old}, "data": {"c": "3"}})).await);
    assert_eq!(status.reason, "Conflict");
    assert_eq!(
        refused(merge(json!({"metadata": {"uid": "x"}})).await).reason,
        "Invalid"
    );
    let before = fixture.server.revision();
    merge(json!({"data": {"b": "2"}})).await.unwrap();
    assert_eq!(fixture.server.revision(), before, "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn custom_types_take_no_strategic_merge() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let things = fixture.things("v1");
    things
        .create(&PostParams::default(), &thing("t", json!({"x": 1})))
        .await
        .unwrap();
    let status = refused(
        things
            .patch(
                "t",
                &PatchParams::default(),
                &Patch::Strategic(json!({"spec": {}})),
            )
            .await,
    );
    assert_eq!(
        (status.code, status.reason.as_str()),
        (415, "UnsupportedMediaType")
    );
    assert_eq!(
        status.message,
        "the body of the request was in an unknown format - accepted media types include: \
         application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    );
    let status_patch = Patch::Merge(json!({"spec": {"x": 9}, "status": {"ready": true}}));
    let patched = things
        .patch_status("t", &PatchParams::default(), &status_patch)
        .await
        .unwrap();
    assert_eq!(
        (&patched.data["spec"]["x"], &patched.data["status"]["ready"]),
        (&json!(1), &json!(true))
    );
}

#[tokio::test(start_paused = true)]
async fn apply_makes_and_changes_objects() {
    let fixture = Fixture::new();
    let maps = fixture.config_maps();
    let apply = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": value}});
    let parameters = PatchParams::apply("tester");
    let made = maps
        .patch("new", &parameters, &Patch::Apply(apply("1")))
        .await
        .unwrap();
    assert_eq!(made.metadata.name.as_deref(), Some("new"));
    let again = maps
        .patch("new", &parameters, &Patch::Apply(apply("1")))
        .await
        .unwrap();
    assert_eq!(again.metadata.resource_version, made.metadata.resource_version);
    let changed = maps
        .patch("new", &parameters, &Patch::Apply(apply("2")))
        .await
        .unwrap();
    assert_eq!(changed.data.unwrap()["a"], "2");
    let yaml = b"apiVersion: v1\nkind: ConfigMap\ndata:\n  a: '3'\n".to_vec();
    let path = "/api/v1/namespaces/default/configmaps/new";
    let request = http::Request::patch(format!("{path}?fieldManager=tester"));
    let request = request
        .header("content-type", "application/apply-patch+yaml")
        .body(yaml.clone())
        .unwrap();
    assert_eq!(fixture.raw(request).await.1["data"]["a"], "3");
    let request = http::Request::patch(path).header("content-type", "application/apply-patch+yaml");
    let (code, status) = fixture.raw(request.body(yaml).unwrap()).await;
    assert_eq!(code, 422);
    assert_eq!(
        status["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
}
