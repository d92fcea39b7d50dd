//! Values that are null, which takes the default away: each by itself.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use super::{CONTROLLER, Helm, RELEASE, args, values};
use crate::pods::{containers, documents, named, of_kind};
use crate::shared::repository;

/// The paths to all values that the schema knows.
fn paths() -> BTreeSet<Vec<String>> {
    let path = repository().join("charts/slackwater-ebs/values.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut paths = BTreeSet::new();
    collect(&schema, &schema, &[], &mut paths);
    paths
}

/// What the fields of a part of the schema are called.
fn collect(schema: &Value, part: &Value, above: &[String], paths: &mut BTreeSet<Vec<String>>) {
    if let Some(name) = part["$ref"].as_str() {
        let part = schema.pointer(name.trim_start_matches('#')).unwrap();
        collect(schema, part, above, paths);
    }
    for part in part["allOf"].as_array().into_iter().flatten() {
        collect(schema, part, above, paths);
    }
    for (name, part) in part["properties"].as_object().into_iter().flatten() {
        let path = [above, std::slice::from_ref(name)].concat();
        collect(schema, part, &path, paths);
        paths.insert(path);
    }
}

/// Null at the end of a path.
fn null(path: &[String]) -> Value {
    path.iter()
        .rev()
        .fold(Value::Null, |below, name| json!({ name: below }))
}

/// It renders, and no argument is without its value, or what is wrong is told by the name of the value.
fn is_followed_or_named(helm: &Helm, path: &[String], below: &Value) {
    let values = values::merged(&[below.clone(), null(path)]);
    match helm.template(RELEASE, &values, &[]) {
        Ok(text) => {
            let objects = documents(&text);
            for pod in [of_kind(&objects, "Deployment"), of_kind(&objects, "DaemonSet")].concat() {
                for arg in containers(pod)
                    .iter()
                    .flat_map(|one| crate::pods::texts(&one["args"]))
                {
                    assert!(!arg.ends_with('=') && !arg.contains("nil"), "{path:?}: {arg}");
                }
            }
        }
        Err(refusal) => {
            // By itself, or as a part of what it belongs to.
            let named = path
                .iter()
                .rev()
                .take(2)
                .any(|name| refusal.contains(name.as_str()));
            let of_template = refusal.contains("executing") || refusal.contains("nil pointer");
            assert!(named && !of_template, "{path:?}: {refusal}");
        }
    }
}

#[test]
fn journeys_case_117_each_value_may_be_null_or_is_refused_by_its_name() {
    let paths: Vec<_> = paths().into_iter().collect();
    assert!(paths.len() > 250, "{}", paths.len());
    // What is off by default is on in these: its templates are read too.
    let on = json!({
        "slackwater": { "crds": { "install": true }, "snapshotController": { "enabled": true } },
        "sidecars": { "metadataLabeler": { "enabled": true }, "volumemodifier": { "image": { "repository": "modifier" } } },
        "controller": { "enableMetrics": true, "volumeModificationFeature": { "enabled": true } },
        "node": { "enableMetrics": true },
    });
    // Each has a home of its own, and so a file of values.
    thread::scope(|scope| {
        for part in paths.chunks(paths.len().div_ceil(2)) {
            let on = &on;
            scope.spawn(move || {
                let Some(helm) = Helm::find() else { return };
                for path in part {
                    is_followed_or_named(&helm, path, on);
                }
            });
        }
    });
}

/// Where upstream's chart has a meaning for it, ours has the same.
#[test]
fn journeys_case_117_null_means_what_it_means_upstream() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.rendered(&json!({
        "awsAccessSecret": null,
        "controller": { "batching": null, "env": null, "socketDirVolume": null, "volumeModificationFeature": null },
        "node": { "env": null, "probeDirVolume": null },
    }));
    let plugin = &containers(named(&objects, "Deployment", CONTROLLER).unwrap())[0];
    let variables: Vec<_> = plugin["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert!(
        !variables.iter().any(|name| **name == "AWS_ACCESS_KEY_ID"),
        "{variables:?}"
    );
    let args = args(&objects, "Deployment", CONTROLLER, "ebs-plugin");
    assert!(args.contains(&"--batching=false"), "{args:?}");
    for (kind, name, volume) in [
        ("Deployment", CONTROLLER, "socket-dir"),
        ("DaemonSet", super::NODE, "probe-dir"),
    ] {
        let volumes = &named(&objects, kind, name).unwrap()["spec"]["template"]["spec"]["volumes"];
        let empty = json!({ "name": volume, "emptyDir": {} });
        assert!(volumes.as_array().unwrap().contains(&empty), "{volumes}");
    }
}
