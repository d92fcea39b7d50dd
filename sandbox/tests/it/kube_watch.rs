//! Watches.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kube_support::{Fixture, from, thing};

/// One line of a watch: type, name (or code) and what else a test looks at.
fn told(event: &WatchEvent<ConfigMap>) -> String {
    let name = |map: &ConfigMap| map.metadata.name.clone().unwrap();
    match event {
        WatchEvent::Added(map) => format!("ADDED {}", name(map)),
        WatchEvent::Modified(map) => format!("MODIFIED {}", name(map)),
        WatchEvent::Deleted(map) => format!("DELETED {}", name(map)),
        WatchEvent::Bookmark(bookmark) => {
            let ends = bookmark
                .metadata
                .annotations
                .contains_key("k8s.io/initial-events-end");
            format!(
                "BOOKMARK {}{}",
                bookmark.metadata.resource_version,
                if ends { " end" } else { "" }
            )
        }
        WatchEvent::Error(status) => format!("ERROR {} {}", status.code, status.reason),
    }
}

async fn watch(
    fixture: &Fixture,
    parameters: &WatchParams,
    version: &str,
) -> impl Stream<Item = String> + Unpin + use<> {
    let stream = fixture.config_maps().watch(parameters, version).await.unwrap();
    Box::pin(stream.map(|event| told(&event.unwrap())))
}

async fn next(stream: &mut (impl Stream<Item = String> + Unpin)) -> String {
    stream.next().await.unwrap_or_else(|| "end".to_owned())
}

fn plain() -> WatchParams {
    WatchParams::default().disable_bookmarks()
}

async fn patch(fixture: &Fixture, name: &str, patch: Value) -> ConfigMap {
    fixture
        .config_maps()
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn changes_come_in_order() {
    let fixture = Fixture::new();
    let version = fixture.server.revision().to_string();
    let mut stream = watch(&fixture, &plain(), &version).await;
    fixture.config_map("a").await;
    assert_eq!(next(&mut stream).await, "ADDED a");
    patch(&fixture, "a", json!({"data": {"b": "2"}})).await;
    patch(&fixture, "a", json!({"data": {"b": "2"}})).await;
    fixture
        .config_maps()
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    fixture.config_map("b").await;
    for expected in ["MODIFIED a", "DELETED a", "ADDED b"] {
        assert_eq!(next(&mut stream).await, expected);
    }
    let mut late = watch(&fixture, &plain(), &version).await;
    for expected in ["ADDED a", "MODIFIED a", "DELETED a", "ADDED b"] {
        assert_eq!(next(&mut late).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_carries_its_own_version() {
    let fixture = Fixture::new();
    let version = fixture.server.revision().to_string();
    let made = fixture.config_map("a").await;
    fixture
        .config_maps()
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    let mut stream = Box::pin(fixture.config_maps().watch(&plain(), &version).await.unwrap());
    stream.next().await.unwrap().unwrap();
    let WatchEvent::Deleted(gone) = stream.next().await.unwrap().unwrap() else {
        panic!("a deletion was expected");
    };
    assert_eq!(gone.metadata.uid, made.metadata.uid);
    assert_eq!(
        gone.metadata.resource_version.unwrap(),
        fixture.server.revision().to_string()
    );
}

#[tokio::test(start_paused = true)]
async fn without_version_the_present_objects_come_first() {
    let fixture = Fixture::new();
    fixture.config_map("a").await;
    let path = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1";
    for version in ["", "&resourceVersion=0"] {
        let (code, lines) = fixture.get(&format!("{path}{version}")).await;
        assert_eq!(code, 200);
        assert_eq!(
            (&lines["type"], &lines["object"]["metadata"]["name"]),
            (&json!("ADDED"), &json!("a"))
        );
    }
    let quiet = format!("{path}&sendInitialEvents=false&resourceVersionMatch=NotOlderThan");
    assert_eq!(fixture.get(&quiet).await, (200, json!("")));
    let one = "/api/v1/namespaces/default/configmaps/a?watch=true&timeoutSeconds=1";
    let (_, object) = fixture.get(one).await;
    assert_eq!(
        object["kind"], "ConfigMap",
        "the path of an object is never watched"
    );
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_ends_with_a_marked_bookmark() {
    let fixture = Fixture::new();
    fixture.config_map("a").await;
    fixture.config_map("b").await;
    let revision = fixture.server.revision();
    let mut stream = watch(&fixture, &WatchParams::default().initial_events(), "0").await;
    for expected in [
        "ADDED a".to_owned(),
        "ADDED b".to_owned(),
        format!("BOOKMARK {revision} end"),
    ] {
        assert_eq!(next(&mut stream).await, expected);
    }
    fixture.config_map("c").await;
    assert_eq!(next(&mut stream).await, "ADDED c");
    let path = "/api/v1/configmaps?watch=1&sendInitialEvents=true";
    assert_eq!(fixture.get(path).await.0, 422, "resourceVersionMatch is missing");
    let path = "/api/v1/configmaps?watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=1";
    assert_eq!(fixture.get(path).await.0, 422, "sendInitialEvents is missing");
}

#[tokio::test(start_paused = true)]
async fn an_old_version_is_gone() {
    let fixture = Fixture::new();
    let version = fixture.server.revision().to_string();
    let mut running = watch(&fixture, &plain(), &version).await;
    fixture.config_map("a").await;
    assert_eq!(next(&mut running).await, "ADDED a");
    fixture.config_map("b").await;
    fixture.server.forget_history();
    let mut stream = watch(&fixture, &plain(), &version).await;
    assert_eq!(next(&mut stream).await, "ERROR 410 Expired");
    assert_eq!(next(&mut stream).await, "end");
    assert_eq!(
        next(&mut running).await,
        "ERROR 410 Expired",
        "it had not yet read b"
    );
    let now = fixture.server.revision().to_string();
    let mut stream = watch(&fixture, &plain(), &now).await;
    fixture.config_map("c").await;
    assert_eq!(next(&mut stream).await, "ADDED c");
}

#[tokio::test(start_paused = true)]
async fn a_long_history_is_bounded() {
    let fixture = Fixture::new();
    let version = fixture.server.revision().to_string();
    let store = fixture.server.store("tester");
    let maps = sandbox::kube::GroupResource::new("", "configmaps");
    let map = json!({"metadata": {"name": "a", "namespace": "default"}});
    store.create(maps, map).unwrap();
    for count in 0..5000 {
        store
            .update(maps, "default", "a", |map| {
                map["data"] = json!({"count": count.to_string()})
            })
            .unwrap();
    }
    let mut stream = watch(&fixture, &plain(), &version).await;
    assert_eq!(next(&mut stream).await, "ERROR 410 Expired");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_each_minute_and_before_the_end() {
    let fixture = Fixture::new();
    let version = fixture.server.revision().to_string();
    let started = Instant::now();
    let mut stream = watch(&fixture, &WatchParams::default().timeout(100), &version).await;
    // A write of another kind: the bookmark shows that nothing of ours was missed.
    fixture.define_things().await;
    let revision = fixture.server.revision();
    assert_eq!(next(&mut stream).await, format!("BOOKMARK {revision}"));
    assert_eq!(started.elapsed(), Duration::from_secs(60));
    fixture
        .server
        .store("tester")
        .create(
            sandbox::kube::GroupResource::new("", "namespaces"),
            json!({"metadata": {"name": "other"}}),
        )
        .unwrap();
    assert_eq!(next(&mut stream).await, format!("BOOKMARK {}", revision + 1));
    assert_eq!(started.elapsed(), Duration::from_secs(98));
    assert_eq!(next(&mut stream).await, "end");
    assert_eq!(started.elapsed(), Duration::from_secs(100));
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_the_future_is_silent() {
    let fixture = Fixture::new();
    let started = Instant::now();
    let ahead = (fixture.server.revision() + 2).to_string();
    let mut stream = watch(&fixture, &WatchParams::default().timeout(200), &ahead).await;
    // No bookmark tells the client that the server has not come so far.
    fixture.config_map("one").await;
    assert_eq!(next(&mut stream).await, "end");
    assert_eq!(started.elapsed(), Duration::from_secs(200));

    let mut stream = watch(&fixture, &WatchParams::default().timeout(200), &ahead).await;
    fixture.config_map("two").await;
    fixture.config_map("three").await;
    assert_eq!(next(&mut stream).await, "ADDED three");
}

#[tokio::test(start_paused = true)]
async fn moving_in_and_out_of_a_selection_adds_and_deletes() {
    let fixture = Fixture::new();
    let version = fixture.server.revision().to_string();
    let mut stream = watch(&fixture, &plain().labels("app=a"), &version).await;
    fixture.config_map("a").await;
    fixture.config_map("b").await;
    patch(&fixture, "a", json!({"data": {"b": "2"}})).await;
    let out = patch(&fixture, "a", json!({"metadata": {"labels": {"app": "x"}}})).await;
    patch(&fixture, "b", json!({"metadata": {"labels": {"app": "a"}}})).await;
    for expected in ["ADDED a", "MODIFIED a", "DELETED a", "ADDED b"] {
        assert_eq!(next(&mut stream).await, expected);
    }
    // The deleted object is the one that was selected, at the version of the change.
    let raw = fixture
        .config_maps()
        .watch(&plain().labels("app=a"), &version)
        .await
        .unwrap();
    let events: Vec<_> = raw.take(3).collect().await;
    let Ok(WatchEvent::Deleted(gone)) = &events[2] else {
        panic!("{:?}", events[2]);
    };
    assert_eq!(gone.metadata.labels.as_ref().unwrap()["app"], "a");
    assert_eq!(gone.metadata.resource_version, out.metadata.resource_version);
}

#[tokio::test(start_paused = true)]
async fn a_watch_keeps_to_its_namespace_and_fields() {
    let fixture = Fixture::new();
    let version = fixture.server.revision().to_string();
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), "kube-system");
    let params = plain().fields("spec.nodeName=node-1");
    let mut stream = Box::pin(pods.watch(&params, &version).await.unwrap());
    for (namespace, name, node) in [
        ("default", "x", "node-1"),
        ("kube-system", "y", "node-2"),
        ("kube-system", "z", "node-1"),
    ] {
        let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), namespace);
        let spec = json!({"containers": [{"name": "c", "image": "i"}], "nodeName": node});
        pods.create(
            &PostParams::default(),
            &from(json!({"metadata": {"name": name}, "spec": spec})),
        )
        .await
        .unwrap();
    }
    let Some(Ok(WatchEvent::Added(pod))) = stream.next().await else {
        panic!("a pod was expected");
    };
    assert_eq!(pod.metadata.name.as_deref(), Some("z"));
}

#[tokio::test(start_paused = true)]
async fn watches_end_with_their_type_and_with_the_server() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let things = fixture.things("v1beta1");
    let mut stream = Box::pin(things.watch(&plain(), "0").await.unwrap());
    fixture
        .things("v1")
        .create(&PostParams::default(), &thing("t", json!({})))
        .await
        .unwrap();
    let Some(Ok(WatchEvent::Added(object))) = stream.next().await else {
        panic!("a thing was expected");
    };
    assert_eq!(object.types.unwrap().api_version, "example.com/v1beta1");
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com";
    fixture.send("DELETE", path, "", json!({})).await;
    let rest: Vec<_> = stream.collect().await;
    let [Ok(WatchEvent::Deleted(object))] = &rest[..] else {
        panic!("{rest:?}");
    };
    assert_eq!(object.metadata.name.as_deref(), Some("t"));
    let mut stream = watch(&fixture, &plain(), "0").await;
    fixture.scope.stop();
    assert_eq!(next(&mut stream).await, "end");
}

#[tokio::test(start_paused = true)]
async fn a_type_that_is_defined_again_knows_nothing_of_the_one_before() {
    let fixture = Fixture::new();
    let things = fixture.things("v1");
    let create = async |name: &str| {
        let params = PostParams::default();
        things.create(&params, &thing(name, json!({}))).await.unwrap()
    };
    fixture.define_things().await;
    let version = create("t").await.metadata.resource_version.unwrap();
    let former = Box::pin(things.watch(&plain(), &version).await.unwrap());
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com";
    fixture.send("DELETE", definition, "", json!({})).await;
    fixture.define_things().await;
    create("u").await;

    let told: Vec<_> = former.collect().await;
    let [Ok(WatchEvent::Deleted(object))] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(object.metadata.name.as_deref(), Some("t"));
    let path = "/apis/example.com/v1/namespaces/default/things?resourceVersion";
    let (code, event) = fixture
        .get(&format!("{path}={version}&watch=true&timeoutSeconds=1"))
        .await;
    assert_eq!((code, &event["type"]), (200, &json!("ERROR")), "{event}");
    assert_eq!(
        (&event["object"]["code"], &event["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    let exact = |version: &str| format!("{path}={version}&resourceVersionMatch=Exact");
    assert_eq!(fixture.get(&exact(&version)).await.0, 410);
    let now = fixture.server.revision().to_string();
    assert_eq!(fixture.get(&exact(&now)).await.0, 200);
}
