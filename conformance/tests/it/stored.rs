//! Manifests before the real API server: what it would store of them, and whether what it has stored is what they say.

use conformance::{Kubectl, until};
use serde_json::{Value, json};

use crate::shared::PATIENCE;

/// Objects as one text for kubectl.
pub fn text(objects: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string()
}

/// The objects of a List, or the only one.
fn items(said: &str) -> Vec<Value> {
    let mut said: Value = serde_json::from_str(said).unwrap();
    match said["items"].take() {
        Value::Array(items) => items,
        _ => vec![said],
    }
}

/// How kubectl asks for what would be stored.
const DRY_RUN: [&str; 7] = [
    "apply",
    "--server-side",
    "--force-conflicts",
    "--dry-run=server",
    "--validate=strict",
    "-o",
    "json",
];

/// The objects of a kustomization, as the API server would store them: it knows every field of theirs.
pub fn would_be(kubectl: &Kubectl, folder: &str) -> Vec<Value> {
    let args = [&DRY_RUN[..], &["-k", folder]].concat();
    items(&kubectl.ok(&args).unwrap())
}

/// The same of a text.
pub fn would_be_of(kubectl: &Kubectl, text: &str) -> Vec<Value> {
    let args = [&DRY_RUN[..], &["-f", "-"]].concat();
    items(&kubectl.ok_with(&args, text).unwrap())
}

/// Applies objects by the server in the name of `manager`, who takes no field from anybody else.
pub fn apply(kubectl: &Kubectl, manager: &str, objects: &[Value]) {
    let manager = format!("--field-manager={manager}");
    let args = ["apply", "--server-side", "--validate=strict", &manager, "-f", "-"];
    kubectl.ok_with(&args, &text(objects)).unwrap();
}

/// The kinds that are defined among the objects are served.
pub async fn are_served(kubectl: &Kubectl, objects: &[Value]) {
    let is_definition = |object: &&Value| object["kind"] == "CustomResourceDefinition";
    let definitions: Vec<Value> = objects.iter().filter(is_definition).cloned().collect();
    if !definitions.is_empty() {
        are_established(kubectl, "-", &text(&definitions)).await;
    }
}

/// The definitions of a file or folder are served, of the input where it is `-`. kubectl does not wait for what has no status yet.
pub async fn are_established(kubectl: &Kubectl, file: &str, input: &str) {
    until("the definitions are served", PATIENCE, async || {
        let args = ["wait", "--for=condition=Established", "--timeout=60s", "-f", file];
        kubectl.ok_with(&args, input).ok()
    })
    .await
    .unwrap();
}

/// To apply them again would change nothing, and nobody else has taken a field.
pub fn would_not_change(kubectl: &Kubectl, manager: &str, objects: &[Value]) {
    let manager = format!("--field-manager={manager}");
    let args = ["diff", "--server-side", &manager, "-f", "-"];
    // It reads and asks one after the other: a status that is written between them differs, but not again and again.
    for round in 1.. {
        let answer = kubectl.run_with(&args, &text(objects)).unwrap();
        if answer.success {
            return;
        }
        assert!(round < 5, "{}{}", answer.stdout, answer.stderr);
    }
}

/// The same of a kustomization that kubectl has applied in its own name.
pub fn folder_would_not_change(kubectl: &Kubectl, folder: &str) {
    let answer = kubectl.run(&["diff", "--server-side", "-k", folder]).unwrap();
    assert!(answer.success, "{}{}", answer.stdout, answer.stderr);
}

/// Every value of the objects stands in what is stored, in the same words: whoever compares the texts finds no difference either.
pub fn are_stored_word_for_word(kubectl: &Kubectl, objects: &[Value]) {
    let stored = kubectl
        .ok_with(&["get", "-f", "-", "-o", "json"], &text(objects))
        .unwrap();
    let stored = items(&stored);
    assert_eq!(stored.len(), objects.len());
    let mut differences = Vec::new();
    for (object, stored) in objects.iter().zip(&stored) {
        let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
        compare(&name, object, stored, &mut differences);
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Notes each value that is stored otherwise.
fn compare(path: &str, said: &Value, stored: &Value, differences: &mut Vec<String>) {
    match (said, stored) {
        (Value::Object(fields), Value::Object(stored)) => {
            for (name, value) in fields {
                let stored = stored.get(name).unwrap_or(&Value::Null);
                compare(&format!("{path}.{name}"), value, stored, differences);
            }
        }
        (Value::Array(entries), Value::Array(stored)) if entries.len() == stored.len() => {
            for (number, (value, stored)) in entries.iter().zip(stored).enumerate() {
                compare(&format!("{path}[{number}]"), value, stored, differences);
            }
        }
        _ if said == stored => {}
        _ => differences.push(format!("{path}: {said} is stored as {stored}")),
    }
}

/// Kubernetes' controllers have looked at the Deployments and DaemonSets among the objects.
pub async fn were_looked_at(kubectl: &Kubectl, objects: &[Value]) {
    let is_looked_at = |object: &&Value| object["kind"] == "Deployment" || object["kind"] == "DaemonSet";
    let objects: Vec<Value> = objects.iter().filter(is_looked_at).cloned().collect();
    if objects.is_empty() {
        return;
    }
    until(
        "the controllers have looked at all of them",
        PATIENCE,
        async || {
            let args = ["get", "-f", "-", "-o", "json"];
            let stored = items(&kubectl.ok_with(&args, &text(&objects)).ok()?);
            let is_seen = |one: &Value| one["status"]["observedGeneration"] == one["metadata"]["generation"];
            stored.iter().all(is_seen).then_some(())
        },
    )
    .await
    .unwrap();
}

/// Deletes objects, the last one first, and waits until they are gone.
pub fn delete(kubectl: &Kubectl, objects: &[Value]) {
    if objects.is_empty() {
        return;
    }
    let backwards: Vec<Value> = objects.iter().rev().cloned().collect();
    let args = ["delete", "--ignore-not-found", "--timeout=120s", "-f", "-"];
    kubectl.ok_with(&args, &text(&backwards)).unwrap();
}

/// Those of the objects that are there.
pub fn still_there(kubectl: &Kubectl, objects: &[Value]) -> String {
    let args = ["get", "--ignore-not-found", "-o", "name", "-f", "-"];
    kubectl.ok_with(&args, &text(objects)).unwrap()
}
