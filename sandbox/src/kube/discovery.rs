//! What is served: `/api`, `/apis` and below, `/version`.
//!
//! The aggregated form (`as=APIGroupDiscoveryList`) would be another rendering of the same types.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::custom::priority;
use super::resource::ResourceType;
use super::state::State;

/// The Kubernetes version that the server shows.
const MINOR: u32 = 36;
const ALL_VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const SUBRESOURCE_VERBS: [&str; 3] = ["get", "patch", "update"];

/// `/version`
pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR.to_string(), "gitVersion": format!("v1.{MINOR}.0+slackwater"),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": "sandbox",
    })
}

/// `/api`
pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis`
pub(crate) fn groups(state: &State) -> Value {
    let groups: Vec<Value> = state
        .group_names()
        .filter_map(|name| group_entry(state, name))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`; none when the group is not served.
pub(crate) fn group(state: &State, name: &str) -> Option<Value> {
    let mut group = group_entry(state, name)?;
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    Some(group)
}

fn group_entry(state: &State, name: &str) -> Option<Value> {
    let mut versions = BTreeMap::new();
    for resource in state.group(name) {
        for version in resource.versions.iter().filter(|version| version.served) {
            versions.insert(priority(&version.name), version.name.as_str());
        }
    }
    let versions: Vec<Value> = versions
        .into_values()
        .rev()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    let preferred = versions.first()?.clone();
    Some(json!({"name": name, "versions": versions, "preferredVersion": preferred}))
}

/// `/api/v1` and `/apis/{group}/{version}`; none when it is not served.
pub(crate) fn group_version(state: &State, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    let mut api_version = None;
    for resource in state.group(group) {
        let Some(served) = resource.version(version).filter(|version| version.served) else {
            continue;
        };
        api_version = Some(resource.api_version(version));
        resources.push(entry(resource));
        if served.status {
            resources.push(subresource(resource, "status"));
        }
    }
    let api_version = api_version?;
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources,
    }))
}

fn entry(resource: &ResourceType) -> Value {
    let verbs: &[&str] = if resource.rules.review_only {
        &ALL_VERBS[..1]
    } else {
        &ALL_VERBS
    };
    let mut entry = json!({
        "name": resource.plural, "singularName": resource.singular,
        "namespaced": resource.namespaced, "kind": resource.kind, "verbs": verbs,
    });
    for (field, values) in [
        ("shortNames", &resource.short_names),
        ("categories", &resource.categories),
    ] {
        if !values.is_empty() {
            entry[field] = json!(values);
        }
    }
    entry
}

fn subresource(resource: &ResourceType, name: &str) -> Value {
    json!({
        "name": format!("{}/{name}", resource.plural), "singularName": "",
        "namespaced": resource.namespaced, "kind": resource.kind, "verbs": SUBRESOURCE_VERBS,
    })
}
