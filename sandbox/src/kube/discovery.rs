//! What is served: `/api`, `/apis` and below, `/version`.
//!
//! Both forms are given: one document a group and version, and the aggregated one with everything below `/api`
//! or `/apis` (`as=APIGroupDiscoveryList`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::custom::priority;
use super::resource::ResourceType;
use super::state::State;

/// The Kubernetes version that the server shows.
const MINOR: u32 = 37;
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
/// The order for custom kinds.
const CUSTOM_VERBS: [&str; 8] = [
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];
const SUBRESOURCE_VERBS: [&str; 3] = ["get", "patch", "update"];
/// Group, version and kind of the `scale` subresource.
const SCALE: (&str, &str, &str) = ("autoscaling", "v1", "Scale");
/// The media type of the aggregated form.
pub(crate) const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

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
    let versions: Vec<Value> = versions(state, name)
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    let preferred = versions.first()?.clone();
    Some(json!({"name": name, "versions": versions, "preferredVersion": preferred}))
}

/// The served versions of a group, most preferred first.
pub(crate) fn versions<'a>(state: &'a State, group: &str) -> Vec<&'a str> {
    let mut versions = BTreeMap::new();
    for resource in state.group(group) {
        for version in resource.versions.iter().filter(|version| version.served) {
            versions.insert(priority(&version.name), version.name.as_str());
        }
    }
    versions.into_values().rev().collect()
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
        if served.scale {
            let mut scale = subresource(resource, "scale");
            for (field, value) in [("group", SCALE.0), ("version", SCALE.1), ("kind", SCALE.2)] {
                scale[field] = json!(value);
            }
            resources.push(scale);
        }
    }
    let api_version = api_version?;
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources,
    }))
}

fn verbs(resource: &ResourceType) -> &'static [&'static str] {
    if resource.rules.review_only {
        &ALL_VERBS[..1]
    } else if resource.is_custom() {
        &CUSTOM_VERBS
    } else {
        &ALL_VERBS
    }
}

/// True for a client that takes the aggregated form before any other that it names.
pub(crate) fn wants_aggregated(accept: &str) -> bool {
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        if parts.next() != Some("application/json") {
            continue;
        }
        let parameters: Vec<&str> = parts.collect();
        let form = parameters.iter().find_map(|part| part.strip_prefix("as="));
        match form {
            None => return false,
            Some("APIGroupDiscoveryList") if parameters.contains(&"v=v2") => return true,
            Some(_) => {}
        }
    }
    false
}

/// `/api` (the core group) or `/apis` (the others), all at once.
pub(crate) fn aggregated(state: &State, core: bool) -> Value {
    let names: Vec<&str> = if core {
        vec![""]
    } else {
        state.group_names().collect()
    };
    let items: Vec<Value> = names
        .into_iter()
        .map(|name| {
            let versions: Vec<Value> = versions(state, name)
                .into_iter()
                .map(|version| aggregated_version(state, name, version))
                .collect();
            let metadata = if core { json!({}) } else { json!({"name": name}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items,
    })
}

fn aggregated_version(state: &State, group: &str, version: &str) -> Value {
    let mut resources = Vec::new();
    for resource in state.group(group) {
        let Some(served) = resource.version(version).filter(|version| version.served) else {
            continue;
        };
        let kind = json!({"group": group, "version": version, "kind": resource.kind});
        let mut entry = json!({
            "resource": resource.plural, "responseKind": kind, "singularResource": resource.singular,
            "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
            "verbs": verbs(resource),
        });
        lists(resource, &mut entry);
        let mut subresources = Vec::new();
        if served.status {
            subresources.push(json!({
                "subresource": "status", "responseKind": kind, "verbs": SUBRESOURCE_VERBS,
            }));
        }
        if served.scale {
            let kind = json!({"group": SCALE.0, "version": SCALE.1, "kind": SCALE.2});
            subresources.push(json!({
                "subresource": "scale", "responseKind": kind, "verbs": SUBRESOURCE_VERBS,
            }));
        }
        if !subresources.is_empty() {
            entry["subresources"] = json!(subresources);
        }
        resources.push(entry);
    }
    json!({"version": version, "resources": resources, "freshness": "Current"})
}

fn entry(resource: &ResourceType) -> Value {
    let verbs = verbs(resource);
    let mut entry = json!({
        "name": resource.plural, "singularName": resource.singular,
        "namespaced": resource.namespaced, "kind": resource.kind, "verbs": verbs,
    });
    lists(resource, &mut entry);
    entry
}

/// Short names and categories, where there are any.
fn lists(resource: &ResourceType, entry: &mut Value) {
    for (field, values) in [
        ("shortNames", &resource.short_names),
        ("categories", &resource.categories),
    ] {
        if !values.is_empty() {
            entry[field] = json!(values);
        }
    }
}

fn subresource(resource: &ResourceType, name: &str) -> Value {
    json!({
        "name": format!("{}/{name}", resource.plural), "singularName": "",
        "namespaced": resource.namespaced, "kind": resource.kind, "verbs": SUBRESOURCE_VERBS,
    })
}
