mod definitions;
mod language;
mod properties;
mod rules;
mod snapshots;

use serde_json::{Value, json};

use super::CompiledCrd;

/// A definition of one version `v1` with this schema for `spec`.
fn definition(spec: Value) -> Value {
    json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
}

fn compiled(spec: Value) -> CompiledCrd {
    CompiledCrd::compile(&definition(spec)).unwrap()
}

fn thing(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "b"}, "spec": spec})
}

fn errors(crd: &CompiledCrd, new: &Value, old: Option<&Value>) -> Vec<String> {
    crd.validate("v1", new, old)
        .iter()
        .map(ToString::to_string)
        .collect()
}
