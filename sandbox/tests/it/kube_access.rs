//! Reviews, denials, audit, and the store of the actors.

use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::api::{Api, Patch, PatchParams, PostParams};
use sandbox::kube::{ChangeKind, Denial, GroupResource};
use serde_json::json;

use crate::kube_support::{Fixture, from, refused};

const CONFIG_MAPS: GroupResource<'static> = GroupResource::new("", "configmaps");

#[tokio::test(start_paused = true)]
async fn reviews_tell_what_is_denied() {
    let fixture = Fixture::new();
    fixture.config_map("one").await;
    let reviews: Api<SelfSubjectAccessReview> = Api::all(fixture.client.clone());
    let review = |verb: &str| -> SelfSubjectAccessReview {
        from(json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "configmaps"}}}))
    };
    let ask = async |verb: &str| {
        let answer = reviews
            .create(&PostParams::default(), &review(verb))
            .await
            .unwrap();
        answer.status.unwrap().allowed
    };
    assert!(ask("patch").await);
    fixture.server.deny("tester", Denial::of("patch", CONFIG_MAPS));
    assert!(!ask("patch").await);
    assert!(ask("update").await);
    let patch = Patch::Merge(json!({"data": {"a": "2"}}));
    let status = refused(
        fixture
            .config_maps()
            .patch("one", &PatchParams::default(), &patch)
            .await,
    );
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        status.message,
        "configmaps \"one\" is forbidden: User \"tester\" cannot patch resource \"configmaps\" in API group \"\" \
         in the namespace \"default\""
    );
    fixture.server.allow_all("tester");
    fixture
        .config_maps()
        .patch("one", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let (code, _) = fixture
        .get("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .await;
    assert_eq!(code, 405);
}

#[tokio::test(start_paused = true)]
async fn every_request_is_recorded() {
    let fixture = Fixture::new();
    assert_eq!(fixture.server.audit(), []);
    fixture.config_map("one").await;
    let first = fixture.server.audit()[0].number;
    let _ = fixture.config_maps().get("two").await;
    fixture.get("/api/v1/configmaps?watch=1&timeoutSeconds=1").await;
    fixture.get("/version").await;
    let records = fixture.server.audit_since(first);
    let told: Vec<_> = records
        .iter()
        .map(|r| (r.verb, r.resource.as_str(), r.name.as_str(), r.code))
        .collect();
    let expected = [
        ("get", "configmaps", "two", 404),
        ("watch", "configmaps", "", 200),
        ("get", "", "/version", 200),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        (records[0].user.as_str(), records[0].namespace.as_str()),
        ("tester", "default")
    );
}

#[tokio::test(start_paused = true)]
async fn the_store_has_the_same_rules() {
    let fixture = Fixture::new();
    let store = fixture.server.store("system:actor");
    let mut changes = store.subscribe(&[CONFIG_MAPS]);
    let map = json!({"metadata": {"name": "one", "namespace": "default"}});
    let made = store.create(CONFIG_MAPS, map.clone()).unwrap();
    assert_eq!(
        store.create(CONFIG_MAPS, map).unwrap_err().reason(),
        "AlreadyExists"
    );
    store
        .update(CONFIG_MAPS, "default", "one", |map| {
            map["data"] = json!({"a": "1"})
        })
        .unwrap();
    store.update(CONFIG_MAPS, "default", "one", |_| ()).unwrap();
    assert_eq!(
        store
            .delete(CONFIG_MAPS, "default", "one", Some("other"))
            .unwrap_err()
            .reason(),
        "Conflict"
    );
    store
        .delete(CONFIG_MAPS, "default", "one", Some(made.uid()))
        .unwrap();
    let mut kinds = Vec::new();
    while let Some(change) = changes.try_next() {
        kinds.push(change.kind);
    }
    assert_eq!(
        kinds,
        [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted]
    );
    assert_eq!(
        store
            .get(CONFIG_MAPS, "default", "one")
            .map(|object| object.revision()),
        None
    );
    assert_eq!(fixture.server.audit(), [], "actors make no requests");
}

#[tokio::test(start_paused = true)]
async fn equal_seeds_give_equal_states() {
    let mut dumps = Vec::new();
    for _ in 0..2 {
        let fixture = Fixture::new();
        fixture.define_things().await;
        fixture.config_map("one").await;
        dumps.push(fixture.server.dump().to_string());
    }
    assert_eq!(dumps[0], dumps[1]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_has_done_all_or_nothing() {
    use tower::Service as _;
    let fixture = Fixture::new();
    let before = fixture.server.revision();
    let body = http_body_util::Full::new(bytes::Bytes::from(r#"{"metadata":{"name":"one"}}"#));
    let request = http::Request::post("/api/v1/namespaces/default/configmaps")
        .body(body)
        .unwrap();
    let future = fixture.server.service("tester").call(request);
    drop(future);
    assert_eq!(fixture.server.revision(), before);
}
