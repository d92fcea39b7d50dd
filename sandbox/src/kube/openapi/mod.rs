//! OpenAPI: v2 without content, and of v3 the index and one document a group and version, as `kubectl explain` and
//! `kubectl apply` read them.
//!
//! A document has the schemas of its kinds and of what they refer to, and of each resource the paths whose
//! parameters clients look for. Custom kinds have the schemas of their definitions; those of the built-in
//! kinds lie in [`schemas`].

mod schemas;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) use self::schemas::{Schema, Shape};
use super::discovery;
use super::object::serialise;
use super::request::Answer;
use super::resource::ResourceType;
use super::state::State;
use super::write::DEFINITIONS;

const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// `/openapi/v3`: where the document of each group and version is. The hash in an address changes with the
/// document, so that clients may keep it.
pub(crate) fn index(state: &State) -> Value {
    let mut paths = Map::new();
    for group in std::iter::once("").chain(state.group_names()) {
        for version in discovery::versions(state, group) {
            let path = group_path(group, version);
            let address = format!("/openapi/v3/{path}?hash={}", hash(state, group, version));
            paths.insert(path, json!({"serverRelativeURL": address}));
        }
    }
    json!({"paths": paths})
}

/// `/openapi/v2`: says that nothing is described there. kubectl reads it before it sends a file of `kind: List`, and
/// takes what is not described for good.
pub(crate) fn old(accept: &str) -> Answer {
    // A Document of the swagger version, and an Info of title and version.
    const DOCUMENT: &[u8] = b"\x0a\x032.0\x12\x12\x0a\x0aKubernetes\x12\x04v1.0";
    if accept.contains("com.github.proto-openapi.spec.v2") {
        let media_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        return Answer::Typed(media_type, Bytes::from_static(DOCUMENT));
    }
    let info = json!({"title": "Kubernetes", "version": discovery::version()["gitVersion"]});
    let document = json!({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}});
    Answer::Json(StatusCode::OK, serialise(&document))
}

fn group_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// Of all that the document is made from.
fn hash(state: &State, group: &str, version: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(concat!(env!("CARGO_PKG_VERSION"), " "));
    hash.update(group_path(group, version));
    for resource in served(state, group, version) {
        hash.update(&resource.plural);
        if let Some(definition) = definition(state, resource) {
            hash.update(serialise(&definition["spec"]));
        }
    }
    let hash = hash.finalize();
    hex::encode_upper(&hash[..16])
}

/// The types of a group that are served in a version.
fn served<'a>(state: &'a State, group: &str, version: &'a str) -> impl Iterator<Item = &'a ResourceType> {
    state
        .group(group)
        .map(AsRef::as_ref)
        .filter(move |resource| resource.version(version).is_some_and(|version| version.served))
}

fn definition<'a>(state: &'a State, resource: &ResourceType) -> Option<&'a Value> {
    let name = resource.qualified();
    let object = state
        .object(DEFINITIONS, "", &name)
        .filter(|_| resource.is_custom())?;
    Some(object.value())
}

/// `/openapi/v3/api/v1` and the like; none when the group or version is not served.
pub(crate) fn document(state: &State, group: &str, version: &str) -> Option<Value> {
    let (mut paths, mut published) = (Map::new(), Map::new());
    let mut wanted = vec![METADATA.to_owned()];
    for resource in served(state, group, version) {
        let kind = kind_of(resource, version);
        path_items(resource, version, &kind, &mut paths);
        match definition(state, resource) {
            Some(definition) => {
                let name = definition_name(resource, version);
                published.insert(name, custom_schema(definition, version, &kind));
            }
            None => {
                let api_version = resource.api_version(version);
                let Some(name) = schemas::definition_of(&api_version, &resource.kind) else {
                    continue;
                };
                let mut schema = schemas::publish(name, &mut wanted);
                schema["x-kubernetes-group-version-kind"] = json!([kind]);
                published.insert(name.to_owned(), schema);
            }
        }
    }
    if paths.is_empty() {
        return None;
    }
    while let Some(name) = wanted.pop() {
        if !published.contains_key(&name) {
            let schema = schemas::publish(&name, &mut wanted);
            published.insert(name, schema);
        }
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": discovery::version()["gitVersion"]},
        "paths": paths,
        "components": {"schemas": published},
    }))
}

fn kind_of(resource: &ResourceType, version: &str) -> Value {
    json!({"group": resource.group, "version": version, "kind": resource.kind})
}

/// The name of a custom kind's schema: the group backwards, the version, the kind.
fn definition_name(resource: &ResourceType, version: &str) -> String {
    let group: Vec<&str> = resource.group.rsplit('.').collect();
    format!("{}.{version}.{}", group.join("."), resource.kind)
}

/// The schema of a definition with what every object has beside it.
fn custom_schema(definition: &Value, version: &str, kind: &Value) -> Value {
    let versions = definition["spec"]["versions"].as_array();
    let found = versions.and_then(|list| list.iter().find(|one| one["name"] == version));
    let mut schema = found.map_or_else(
        || json!({"type": "object"}),
        |version| version["schema"]["openAPIV3Schema"].clone(),
    );
    schema["properties"]["apiVersion"] = json!({
        "type": "string", "description": "The version of the schema of this object.",
    });
    schema["properties"]["kind"] = json!({
        "type": "string", "description": "The kind of this object.",
    });
    schema["properties"]["metadata"] = json!({
        "description": "Name, labels and what else every object has.",
        "allOf": [{"$ref": format!("#/components/schemas/{METADATA}")}],
    });
    schema["x-kubernetes-group-version-kind"] = json!([kind]);
    schema
}

/// The operations by which clients learn what the server can do; the parameters of a patch tell them that
/// fields are judged and that nothing need be stored.
fn path_items(resource: &ResourceType, version: &str, kind: &Value, paths: &mut Map<String, Value>) {
    let operation = |action: &str, parameters: &[&str]| {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
            .collect();
        json!({
            "responses": {"200": {"description": "OK"}}, "parameters": parameters,
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind,
        })
    };
    const WRITE: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];
    const PATCH: [&str; 4] = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let namespace = if resource.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let base = group_path(&resource.group, version);
    let collection = format!("/{base}/{namespace}{}", resource.plural);
    if resource.rules.review_only {
        paths.insert(collection, json!({"post": operation("post", &WRITE)}));
        return;
    }
    let item = json!({
        "get": operation("get", &[]), "put": operation("put", &WRITE),
        "patch": operation("patch", &PATCH), "delete": operation("delete", &WRITE[..1]),
    });
    paths.insert(format!("{collection}/{{name}}"), item);
    let list = json!({"get": operation("list", &[]), "post": operation("post", &WRITE)});
    paths.insert(collection, list);
}
