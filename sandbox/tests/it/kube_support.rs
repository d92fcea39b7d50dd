//! A server and a client of it, without sockets.

use base::{Clock, Random, Scope};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind, Status};
use kube::{Client, Error};
use sandbox::kube::ApiServer;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A server at a fixed moment with seed 1. Ends when it is dropped.
pub struct Fixture {
    pub server: ApiServer,
    pub client: Client,
    pub scope: Scope,
}

impl Fixture {
    pub fn new() -> Self {
        let scope = Scope::new();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let server = ApiServer::new(clock, Random::seeded(1), &scope);
        let client = Client::new(server.service("tester"), "default");
        Self {
            server,
            client,
            scope,
        }
    }

    pub fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub async fn config_map(&self, name: &str) -> ConfigMap {
        let map = from(json!({"metadata": {"name": name, "labels": {"app": name}}, "data": {"a": "1"}}));
        self.config_maps()
            .create(&PostParams::default(), &map)
            .await
            .unwrap()
    }

    /// Any request, for what the typed client cannot say. Answers code and JSON (or text).
    pub async fn raw(&self, request: http::Request<Vec<u8>>) -> (u16, Value) {
        use http_body_util::BodyExt as _;
        use tower::ServiceExt as _;
        let request = request.map(|body| http_body_util::Full::new(bytes::Bytes::from(body)));
        let response = self.server.service("tester").oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        (code, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.raw(http::Request::get(path).body(Vec::new()).unwrap()).await
    }

    pub async fn send(&self, method: &str, path: &str, content_type: &str, body: Value) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type);
        self.raw(request.body(body.to_string().into_bytes()).unwrap())
            .await
    }

    pub fn things(&self, version: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), "default", &thing_resource(version))
    }

    /// Registers `things.example.com`: v1 (stored, with status) and v1beta1 (served, without).
    pub async fn define_things(&self) {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let (code, answer) = self
            .send("POST", path, "application/json", things_definition())
            .await;
        assert_eq!(code, 201, "{answer}");
    }
}

pub fn thing_resource(version: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", version, "Thing"), "things")
}

pub fn thing(name: &str, spec: Value) -> DynamicObject {
    DynamicObject::new(name, &thing_resource("v1")).data(json!({"spec": spec}))
}

pub fn things_definition() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }}});
    let selectable = json!([{"jsonPath": ".spec.color"}]);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
            "versions": [
                {"name": "v1beta1", "served": true, "storage": false, "schema": schema},
                {"name": "v1", "served": true, "storage": true, "schema": schema,
                 "subresources": {"status": {}}, "selectableFields": selectable},
            ],
        },
    })
}

pub fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// The `Status` of a refused request.
pub fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Status {
    match result {
        Err(Error::Api(status)) => *status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}
