//! Lists: selectors, pages, versions.

use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::json;

use crate::kube_support::{Fixture, from, refused, thing};

async fn names(fixture: &Fixture, parameters: &ListParams) -> Vec<String> {
    let maps: Api<ConfigMap> = Api::all(fixture.client.clone());
    let list = maps.list(parameters).await.unwrap();
    list.items
        .into_iter()
        .map(|map| map.metadata.name.unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn lists_are_in_key_order_and_selected() {
    let fixture = Fixture::new();
    for name in ["b", "a", "c"] {
        fixture.config_map(name).await;
    }
    assert_eq!(names(&fixture, &ListParams::default()).await, ["a", "b", "c"]);
    assert_eq!(
        names(&fixture, &ListParams::default().labels("app!=b")).await,
        ["a", "c"]
    );
    assert_eq!(
        names(&fixture, &ListParams::default().fields("metadata.name=b")).await,
        ["b"]
    );
    assert_eq!(
        names(
            &fixture,
            &ListParams::default().fields("metadata.namespace=other")
        )
        .await,
        [""; 0]
    );
    let wrong = fixture
        .config_maps()
        .list(&ListParams::default().fields("data.a=1"))
        .await;
    assert_eq!(refused(wrong).message, "field label not supported: data.a");
    assert_eq!(
        refused(
            fixture
                .config_maps()
                .list(&ListParams::default().labels("a b"))
                .await
        )
        .code,
        400
    );
}

#[tokio::test(start_paused = true)]
async fn kinds_have_their_own_fields() {
    let fixture = Fixture::new();
    let events: Api<Event> = Api::namespaced(fixture.client.clone(), "default");
    for (name, about) in [("e1", "one"), ("e2", "two")] {
        let event = from(json!({
            "metadata": {"name": name}, "involvedObject": {"kind": "Thing", "name": about, "namespace": "default"},
            "reason": "Made", "type": "Normal", "source": {"component": "tester"},
        }));
        events.create(&PostParams::default(), &event).await.unwrap();
    }
    let some = ListParams::default().fields("involvedObject.name=two,reason=Made,source=tester");
    assert_eq!(events.list(&some).await.unwrap().items.len(), 1);
    fixture.define_things().await;
    for (name, color) in [("r", "red"), ("g", "green")] {
        fixture
            .things("v1")
            .create(&PostParams::default(), &thing(name, json!({"color": color})))
            .await
            .unwrap();
    }
    let red = ListParams::default().fields("spec.color=red");
    assert_eq!(fixture.things("v1").list(&red).await.unwrap().items.len(), 1);
    assert_eq!(refused(fixture.things("v1beta1").list(&red).await).code, 400);
}

#[tokio::test(start_paused = true)]
async fn pages_show_one_moment() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c", "d", "e"] {
        fixture.config_map(name).await;
    }
    let maps = fixture.config_maps();
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    maps.delete("d", &DeleteParams::default()).await.unwrap();
    fixture.config_map("cc").await;
    let next = |token: Option<String>| ListParams::default().limit(2).continue_token(&token.unwrap());
    let second = maps.list(&next(first.metadata.continue_)).await.unwrap();
    let third = maps.list(&next(second.metadata.continue_.clone())).await.unwrap();
    let all: Vec<_> = [first.items, second.items, third.items].concat();
    let all: Vec<_> = all
        .iter()
        .map(|map| map.metadata.name.as_deref().unwrap())
        .collect();
    assert_eq!(all, ["a", "b", "c", "d", "e"]);
    assert_eq!(
        (third.metadata.continue_, third.metadata.remaining_item_count),
        (None, None)
    );
    assert_eq!(third.metadata.resource_version, first.metadata.resource_version);
    // With a selector the count of the rest is unknown.
    let selected = maps
        .list(&ListParams::default().limit(1).labels("app"))
        .await
        .unwrap();
    assert_eq!(selected.metadata.remaining_item_count, None);
    assert!(selected.metadata.continue_.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_gone_and_brings_another() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c"] {
        fixture.config_map(name).await;
    }
    let maps = "/api/v1/namespaces/default/configmaps";
    let (_, first) = fixture.get(&format!("{maps}?limit=1")).await;
    fixture.config_map("bb").await;
    fixture.server.forget_history();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (code, status) = fixture.get(&format!("{maps}?limit=1&continue={token}")).await;
    assert_eq!((code, status["reason"].as_str()), (410, Some("Expired")));
    let token = status["metadata"]["continue"].as_str().unwrap();
    let (code, rest) = fixture.get(&format!("{maps}?continue={token}")).await;
    assert_eq!((code, rest["items"].as_array().unwrap().len()), (200, 3));
    assert_eq!(fixture.get(&format!("{maps}?continue=nonsense")).await.0, 400);
    assert_eq!(
        fixture
            .get(&format!("{maps}?continue={token}&resourceVersion=4"))
            .await
            .0,
        400
    );
}

#[tokio::test(start_paused = true)]
async fn versions_are_exact_or_newer() {
    let fixture = Fixture::new();
    let maps = "/api/v1/namespaces/default/configmaps";
    let first = fixture.config_map("a").await.metadata.resource_version.unwrap();
    fixture.config_map("b").await;
    for (query, code, count) in [
        (
            format!("resourceVersion={first}&resourceVersionMatch=Exact"),
            200,
            1,
        ),
        (
            format!("resourceVersion={first}&resourceVersionMatch=NotOlderThan"),
            200,
            2,
        ),
        (format!("resourceVersion={first}"), 200, 2),
        (format!("resourceVersion={first}&limit=5"), 200, 1),
        ("resourceVersion=0".to_owned(), 200, 2),
        // What may come from the cache comes whole.
        ("resourceVersion=0&limit=1".to_owned(), 200, 2),
        (
            "resourceVersion=0&resourceVersionMatch=NotOlderThan&limit=1".to_owned(),
            200,
            2,
        ),
        ("limit=1".to_owned(), 200, 1),
        ("resourceVersion=99".to_owned(), 504, 0),
        ("resourceVersion=x".to_owned(), 422, 0),
        ("resourceVersionMatch=Exact".to_owned(), 422, 0),
        ("resourceVersion=0&resourceVersionMatch=Exact".to_owned(), 422, 0),
        (
            format!("resourceVersion={first}&resourceVersionMatch=Perhaps"),
            422,
            0,
        ),
        ("sendInitialEvents=true".to_owned(), 422, 0),
        ("limit=many".to_owned(), 400, 0),
    ] {
        let (got, list) = fixture.get(&format!("{maps}?{query}")).await;
        let items = list["items"].as_array().map_or(0, Vec::len);
        assert_eq!((got, items), (code, count), "{query} {list}");
    }
    fixture.server.forget_history();
    let old = format!("{maps}?resourceVersion={first}&resourceVersionMatch=Exact");
    assert_eq!(fixture.get(&old).await.0, 410);
}

#[tokio::test(start_paused = true)]
async fn metadata_alone_can_be_asked_for() {
    let fixture = Fixture::new();
    fixture.config_map("a").await;
    let maps = fixture.config_maps();
    let one = maps.get_metadata("a").await.unwrap();
    assert_eq!(one.types.unwrap().kind, "PartialObjectMetadata");
    let list = maps.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(list.types.kind, "PartialObjectMetadataList");
    assert_eq!(list.items[0].metadata.name.as_deref(), Some("a"));
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    assert_eq!(
        namespaces
            .list_metadata(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        2
    );
    let request =
        http::Request::get("/api/v1/namespaces").header("accept", "application/vnd.kubernetes.protobuf");
    let (code, status) = fixture.raw(request.body(Vec::new()).unwrap()).await;
    assert_eq!((code, status["reason"].as_str()), (406, Some("NotAcceptable")));
}
