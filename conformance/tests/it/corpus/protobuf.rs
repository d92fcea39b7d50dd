//! What the sandbox reads of protobuf, held against what a real API server writes of it.

use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use sandbox::kube::protobuf::{MEDIA_TYPE, decode};
use serde_json::{Value, json};

/// Where objects of each kind lie once the corpus was played.
const PLACES: [(&str, &str); 18] = [
    ("v1 ConfigMap", "/api/v1/configmaps"),
    ("v1 Event", "/api/v1/events"),
    ("v1 Namespace", "/api/v1/namespaces"),
    ("v1 PersistentVolume", "/api/v1/persistentvolumes"),
    ("v1 PersistentVolumeClaim", "/api/v1/persistentvolumeclaims"),
    ("v1 ResourceQuota", "/api/v1/resourcequotas"),
    ("v1 Secret", "/api/v1/secrets"),
    ("v1 Service", "/api/v1/services"),
    ("v1 ServiceAccount", "/api/v1/serviceaccounts"),
    (
        "coordination.k8s.io/v1 Lease",
        "/apis/coordination.k8s.io/v1/leases",
    ),
    (
        "rbac.authorization.k8s.io/v1 ClusterRole",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    ),
    (
        "rbac.authorization.k8s.io/v1 ClusterRoleBinding",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    ),
    (
        "rbac.authorization.k8s.io/v1 Role",
        "/apis/rbac.authorization.k8s.io/v1/roles",
    ),
    (
        "rbac.authorization.k8s.io/v1 RoleBinding",
        "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    ),
    (
        "storage.k8s.io/v1 CSIDriver",
        "/apis/storage.k8s.io/v1/csidrivers",
    ),
    (
        "storage.k8s.io/v1 StorageClass",
        "/apis/storage.k8s.io/v1/storageclasses",
    ),
    (
        "storage.k8s.io/v1 VolumeAttachment",
        "/apis/storage.k8s.io/v1/volumeattachments",
    ),
    (
        "storage.k8s.io/v1 VolumeAttributesClass",
        "/apis/storage.k8s.io/v1/volumeattributesclasses",
    ),
];
/// Objects of a kind that are read.
const MOST: usize = 30;

/// Reads objects of every kind in both forms, which must say the same. Answers how many were read.
pub async fn check(real: &Client) -> usize {
    let mut read = 0;
    for (of, place) in PLACES {
        let (list, _) = both(real, Request::get(place), &[]).await;
        let items = list["items"].as_array().unwrap();
        assert!(!items.is_empty(), "there is no {of}");
        for item in items.iter().take(MOST) {
            let path = path_of(place, item);
            let (json, bytes) = both(real, Request::get(path), &[]).await;
            compare(&json, &bytes);
            read += 1;
        }
    }
    let pod: Value = serde_json::from_str(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/corpus/pod.json"
    )))
    .unwrap();
    let selector = json!({"matchLabels": pod["metadata"]["labels"]});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "whole"}, "spec": {
        "replicas": 0, "selector": selector, "template": {
            "metadata": {"labels": pod["metadata"]["labels"]}, "spec": {"containers": pod["spec"]["containers"],
                "volumes": pod["spec"]["volumes"]},
        },
        "strategy": {"rollingUpdate": {"maxSurge": "30%", "maxUnavailable": 0}},
    }});
    for (path, object) in [
        ("/api/v1/namespaces/default/pods", &pod),
        ("/apis/apps/v1/namespaces/default/deployments", &deployment),
    ] {
        let request = || Request::post(format!("{path}?dryRun=All")).header(CONTENT_TYPE, "application/json");
        let (json, bytes) = both(real, request(), object.to_string().as_bytes()).await;
        assert_eq!(json["kind"], object["kind"], "{json}");
        compare(&json, &bytes);
        read += 1;
    }
    read
}

fn path_of(place: &str, item: &Value) -> String {
    let metadata = &item["metadata"];
    let name = metadata["name"].as_str().unwrap().replace(':', "%3A");
    let Some(namespace) = metadata["namespace"].as_str() else {
        return format!("{place}/{name}");
    };
    let (group, plural) = place.rsplit_once('/').unwrap();
    format!("{group}/namespaces/{namespace}/{plural}/{name}")
}

/// The answer as JSON and as protobuf.
async fn both(real: &Client, request: http::request::Builder, body: &[u8]) -> (Value, Vec<u8>) {
    let request = request.body(body.to_vec()).unwrap();
    let mut answers = Vec::new();
    for accept in ["application/json", MEDIA_TYPE] {
        let (mut parts, body) = request.clone().into_parts();
        parts.headers.insert(ACCEPT, accept.parse().unwrap());
        let answer = real
            .send(Request::from_parts(parts, Body::from(body)))
            .await
            .unwrap();
        answers.push(answer.into_body().collect().await.unwrap().to_bytes().to_vec());
    }
    let bytes = answers.pop().unwrap();
    (serde_json::from_slice(&answers[0]).unwrap(), bytes)
}

fn compare(json: &Value, bytes: &[u8]) {
    let read = decode(bytes)
        .unwrap()
        .unwrap_or_else(|| panic!("{} is not read", json["kind"]));
    assert_eq!(without_nothing(&read), without_nothing(json), "{}", json["kind"]);
}

/// A value without what says nothing, and what differs between two writes that are not stored.
fn without_nothing(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members
                .iter()
                .filter(|(name, _)| *name != "uid" && *name != "time");
            let members = members.map(|(name, value)| (name.clone(), without_nothing(value)));
            let is_something = |value: &Value| !value.is_null() && *value != json!({}) && *value != json!("");
            members.filter(|(_, value)| is_something(value)).collect()
        }
        Value::Array(items) => items.iter().map(without_nothing).collect(),
        other => other.clone(),
    }
}
