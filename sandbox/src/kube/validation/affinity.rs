//! The node affinity of a PersistentVolume: it names nodes, and stays as it is once it is set.

use serde_json::{Value, json};

use super::{FieldError, items};

/// Labels of nodes that have got another name; an affinity may be moved to it.
const RENAMED_LABELS: [(&str, &str); 5] = [
    (
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    ),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    (
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
    ),
];

pub(super) fn validate(spec: &Value, errors: &mut Vec<FieldError>) {
    let affinity = &spec["nodeAffinity"];
    if affinity.is_null() {
        return;
    }
    let field = "spec.nodeAffinity.required";
    if affinity["required"].is_null() {
        errors.push(FieldError::required(
            field,
            "must specify required node constraints",
        ));
    } else if items(&affinity["required"], "nodeSelectorTerms").is_empty() {
        errors.push(FieldError::required(
            format!("{field}.nodeSelectorTerms"),
            "must have at least one node selector term",
        ));
    }
}

pub(super) fn update(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    if old["nodeAffinity"].is_null() {
        return;
    }
    let (new, old) = (shown(&new["nodeAffinity"]), shown(&old["nodeAffinity"]));
    if !is_kept(&new, &old) {
        let detail = "field is immutable, except for updating from beta label to GA";
        errors.push(FieldError::invalid("nodeAffinity", &new, detail));
    }
}

/// An affinity as the API server prints it: by the names of its own type, with lists that are not there.
fn shown(affinity: &Value) -> Value {
    if affinity.is_null() {
        return Value::Null;
    }
    let required = &affinity["required"];
    let terms = listed(required, "nodeSelectorTerms", |term| {
        json!({
            "MatchExpressions": listed(term, "matchExpressions", requirement),
            "MatchFields": listed(term, "matchFields", requirement),
        })
    });
    match required.is_null() {
        true => json!({"Required": null}),
        false => json!({"Required": {"NodeSelectorTerms": terms}}),
    }
}

fn requirement(requirement: &Value) -> Value {
    json!({
        "Key": requirement["key"], "Operator": requirement["operator"],
        "Values": listed(requirement, "values", Value::clone),
    })
}

/// A list with each of its items shown; an empty one is none.
fn listed(parent: &Value, field: &str, show: fn(&Value) -> Value) -> Value {
    match items(parent, field) {
        [] => Value::Null,
        items => items.iter().map(show).collect(),
    }
}

/// Whether two affinities are the same but for labels that got their new names.
fn is_kept(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| is_kept(new, old))
        }
        (Value::Object(new), Value::Object(old)) => old.iter().all(|(name, old)| {
            let new = new.get(name).unwrap_or(&Value::Null);
            is_kept(new, old) || name == "Key" && is_renamed(new, old)
        }),
        _ => new == old,
    }
}

fn is_renamed(new: &Value, old: &Value) -> bool {
    let (new, old) = (new.as_str(), old.as_str());
    RENAMED_LABELS
        .iter()
        .any(|&(beta, stable)| old == Some(beta) && new == Some(stable))
}
