//! ResourceQuota, with the quota controller.

use std::time::Duration;

use base::Clock;
use sandbox::actors;
use serde_json::{Value, json};

use crate::kube_support::Fixture;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const PODS: &str = "/api/v1/namespaces/default/pods";
const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";

/// A server with the actors.
fn cluster() -> Fixture {
    let fixture = Fixture::new();
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    actors::run(&fixture.server, &fixture.scope, clock);
    fixture
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

/// Makes a quota, and lets it be counted.
async fn limit(fixture: &Fixture, name: &str, hard: Value) {
    let quota = json!({"metadata": {"name": name}, "spec": {"hard": hard}});
    let (code, answer) = fixture.send("POST", QUOTAS, JSON, quota).await;
    assert_eq!(code, 201, "{answer}");
    settle().await;
}

async fn status(fixture: &Fixture, name: &str) -> Value {
    let (_, quota) = fixture.get(&format!("{QUOTAS}/{name}")).await;
    quota["status"].clone()
}

/// The code, and the text of a refusal.
async fn post(fixture: &Fixture, path: &str, object: Value) -> (u16, String) {
    let (code, answer) = fixture.send("POST", path, JSON, object).await;
    (code, answer["message"].as_str().unwrap_or_default().to_owned())
}

fn named(name: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name}})
}

fn claim(name: &str, size: &str, class: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": {"requests": {"storage": size}},
        },
    })
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "a"}]}})
}

#[tokio::test(start_paused = true)]
async fn custom_kinds_are_counted_from_their_definition_on() {
    let fixture = cluster();
    let name = "count/things.example.com";
    limit(&fixture, "q", json!({name: "1"})).await;
    assert_eq!(
        status(&fixture, "q").await,
        json!({"hard": {name: "1"}, "used": {}})
    );
    fixture.define_things().await;
    settle().await;
    assert_eq!(
        status(&fixture, "q").await,
        json!({"hard": {name: "1"}, "used": {name: "0"}})
    );
    assert_eq!(post(&fixture, THINGS, named("a")).await.0, 201);
    let says = "things.example.com \"b\" is forbidden: exceeded quota: q, requested: count/things.example.com=1, used: \
        count/things.example.com=1, limited: count/things.example.com=1";
    assert_eq!(post(&fixture, THINGS, named("b")).await, (403, says.to_owned()));
    let (_, refused) = fixture.send("POST", THINGS, JSON, named("b")).await;
    assert_eq!(refused["reason"], "Forbidden");
    assert_eq!(
        refused["details"],
        json!({"name": "b", "group": "example.com", "kind": "things"})
    );
    // Other namespaces have their own.
    let elsewhere = THINGS.replace("default", "kube-system");
    assert_eq!(post(&fixture, &elsewhere, named("b")).await.0, 201);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_booked_at_once_and_what_is_freed_is_counted() {
    let fixture = cluster();
    limit(&fixture, "q", json!({"configmaps": "2"})).await;
    let used = async || status(&fixture, "q").await["used"]["configmaps"].clone();
    assert_eq!(used().await, "0");
    for (name, number) in [("a", "1"), ("b", "2")] {
        assert_eq!(post(&fixture, MAPS, named_map(name)).await.0, 201);
        // The controller has not had its turn.
        assert_eq!(used().await, number);
    }
    let (code, _) = fixture
        .send("POST", &format!("{MAPS}?dryRun=All"), JSON, named_map("c"))
        .await;
    assert_eq!(code, 403);
    fixture
        .send("DELETE", &format!("{MAPS}/a"), JSON, json!({}))
        .await;
    settle().await;
    assert_eq!(used().await, "1");
    // Tries book nothing, and no more what is there already.
    let (code, _) = fixture
        .send("POST", &format!("{MAPS}?dryRun=All"), JSON, named_map("c"))
        .await;
    assert_eq!((code, used().await), (201, json!("1")));
    assert_eq!(post(&fixture, MAPS, named_map("b")).await.0, 409);
    assert_eq!(used().await, "1");
    // A limit below what is there refuses what is new, and is otherwise taken.
    let lower = json!({"spec": {"hard": {"configmaps": "0"}}});
    let (code, _) = fixture.send("PATCH", &format!("{QUOTAS}/q"), MERGE, lower).await;
    assert_eq!(code, 200);
    settle().await;
    assert_eq!(
        status(&fixture, "q").await,
        json!({"hard": {"configmaps": "0"}, "used": {"configmaps": "1"}})
    );
    let change = json!({"data": {"k": "1"}});
    let (code, _) = fixture.send("PATCH", &format!("{MAPS}/b"), MERGE, change).await;
    assert_eq!(code, 200);
    assert_eq!(post(&fixture, MAPS, named_map("c")).await.0, 403);
    fixture
        .send("DELETE", &format!("{QUOTAS}/q"), JSON, json!({}))
        .await;
    assert_eq!(post(&fixture, MAPS, named_map("c")).await.0, 201);
}

fn named_map(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

#[tokio::test(start_paused = true)]
async fn claims_are_counted_by_size_and_class_and_when_they_grow() {
    let fixture = cluster();
    let class =
        json!({"metadata": {"name": "gp3"}, "provisioner": "ebs.csi.aws.com", "allowVolumeExpansion": true});
    fixture
        .send("POST", "/apis/storage.k8s.io/v1/storageclasses", JSON, class)
        .await;
    let limits = json!({
        "requests.storage": "10Gi", "persistentvolumeclaims": "3",
        "gp3.storageclass.storage.k8s.io/requests.storage": "8Gi",
    });
    limit(&fixture, "q", limits).await;
    assert_eq!(post(&fixture, CLAIMS, claim("a", "4Gi", "gp3")).await.0, 201);
    let (code, why) = post(&fixture, CLAIMS, claim("b", "5Gi", "gp3")).await;
    let says = "persistentvolumeclaims \"b\" is forbidden: exceeded quota: q, requested: \
        gp3.storageclass.storage.k8s.io/requests.storage=5Gi, used: gp3.storageclass.storage.k8s.io/requests.storage=4Gi, \
        limited: gp3.storageclass.storage.k8s.io/requests.storage=8Gi";
    assert_eq!((code, why.as_str()), (403, says));
    assert_eq!(post(&fixture, CLAIMS, claim("b", "5Gi", "")).await.0, 201);
    let (code, why) = post(&fixture, CLAIMS, claim("c", "2Gi", "")).await;
    let says = "persistentvolumeclaims \"c\" is forbidden: exceeded quota: q, requested: requests.storage=2Gi, used: \
        requests.storage=9Gi, limited: requests.storage=10Gi";
    assert_eq!((code, why.as_str()), (403, says));
    // Only bound claims grow.
    let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "4Gi"}}});
    fixture
        .send("PATCH", &format!("{CLAIMS}/a/status"), MERGE, bound)
        .await;
    let grow = async |size: &str| {
        let change = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        fixture.send("PATCH", &format!("{CLAIMS}/a"), MERGE, change).await
    };
    let (code, answer) = grow("6Gi").await;
    assert_eq!(code, 403);
    let says = "requested: requests.storage=2Gi, used: requests.storage=9Gi, limited: requests.storage=10Gi";
    assert!(answer["message"].as_str().unwrap().ends_with(says), "{answer}");
    assert_eq!(grow("5Gi").await.0, 200);
    let used = status(&fixture, "q").await["used"].clone();
    let expected = json!({
        "requests.storage": "10Gi", "persistentvolumeclaims": "2",
        "gp3.storageclass.storage.k8s.io/requests.storage": "5Gi",
    });
    assert_eq!(used, expected);
    // The binder has put them right meanwhile, and nothing else is counted.
    settle().await;
    assert_eq!(status(&fixture, "q").await["used"], expected);
}

#[tokio::test(start_paused = true)]
async fn pods_that_have_ended_are_objects_still() {
    let fixture = cluster();
    limit(&fixture, "q", json!({"pods": "1", "count/pods": "2"})).await;
    assert_eq!(post(&fixture, PODS, pod("a")).await.0, 201);
    let (code, why) = post(&fixture, PODS, pod("b")).await;
    assert!(
        code == 403 && why.ends_with("requested: pods=1, used: pods=1, limited: pods=1"),
        "{why}"
    );
    let ended = json!({"status": {"phase": "Succeeded"}});
    fixture
        .send("PATCH", &format!("{PODS}/a/status"), MERGE, ended)
        .await;
    settle().await;
    assert_eq!(
        status(&fixture, "q").await["used"],
        json!({"pods": "0", "count/pods": "1"})
    );
    assert_eq!(post(&fixture, PODS, pod("b")).await.0, 201);
}

#[tokio::test(start_paused = true)]
async fn sets_make_their_pods_once_there_is_room() {
    let fixture = cluster();
    limit(&fixture, "q", json!({"pods": "1"})).await;
    let labels = json!({"app": "a"});
    let template =
        json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}});
    for kind in ["deployments", "statefulsets"] {
        let spec = json!({"replicas": 2, "serviceName": "a", "selector": {"matchLabels": labels}, "template": template});
        let mut spec = spec;
        if kind == "deployments" {
            spec.as_object_mut().unwrap().remove("serviceName");
        }
        let path = format!("/apis/apps/v1/namespaces/default/{kind}");
        let (code, answer) = fixture
            .send(
                "POST",
                &path,
                JSON,
                json!({"metadata": {"name": kind}, "spec": spec}),
            )
            .await;
        assert_eq!(code, 201, "{answer}");
    }
    settle().await;
    let pods = async || fixture.get(PODS).await.1["items"].as_array().unwrap().len();
    assert_eq!(pods().await, 1);
    let higher = json!({"spec": {"hard": {"pods": "9"}}});
    fixture.send("PATCH", &format!("{QUOTAS}/q"), MERGE, higher).await;
    settle().await;
    assert_eq!(pods().await, 4);
    assert_eq!(status(&fixture, "q").await["used"]["pods"], "4");
}

#[tokio::test]
async fn a_quota_is_judged_and_shown_as_by_the_real_server() {
    let fixture = Fixture::new();
    let bad = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "-1"}}});
    let says = "ResourceQuota \"q\" is invalid: spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0";
    assert_eq!(post(&fixture, QUOTAS, bad).await, (422, says.to_owned()));
    let scoped =
        json!({"metadata": {"name": "q"}, "spec": {"scopes": ["BestEffort"], "hard": {"pods": "1"}}});
    let (code, why) = post(&fixture, QUOTAS, scoped).await;
    assert!(code == 422 && why.contains("scopes"), "{why}");
    // A status that is sent with a new one is nobody's.
    let quota = json!({
        "metadata": {"name": "q"}, "spec": {"hard": {"requests.storage": "1024Mi", "pods": 2}},
        "status": {"hard": {"pods": "1"}},
    });
    let (_, made) = fixture.send("POST", QUOTAS, JSON, quota).await;
    assert_eq!(
        made["spec"],
        json!({"hard": {"requests.storage": "1Gi", "pods": "2"}})
    );
    assert_eq!(made["status"], json!({}));
    // Without the controller nothing is limited.
    assert_eq!(post(&fixture, PODS, pod("a")).await.0, 201);
    let limits = json!({"status": {"hard": {"pods": "1"}}});
    fixture
        .send("PATCH", &format!("{QUOTAS}/q/status"), MERGE, limits)
        .await;
    let (code, why) = post(&fixture, PODS, pod("b")).await;
    assert!(
        code == 403 && why.ends_with("status unknown for quota: q, resources: pods"),
        "{why}"
    );
    let used = json!({"status": {"used": {"pods": "1"}}});
    fixture
        .send("PATCH", &format!("{QUOTAS}/q/status"), MERGE, used)
        .await;
    let request = http::Request::get(QUOTAS).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let (_, table) = fixture.raw(request.body(Vec::new()).unwrap()).await;
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..3], [json!("q"), json!("pods: 1/1"), json!("")]);
}
