use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CompiledCrd, compiled, definition};
use crate::kube::validation::tests::any_json;

proptest! {
    #[test]
    fn no_json_makes_a_snapshot_definition_panic(new in any_json(), old in any_json()) {
        for definition in crds::definitions::all() {
            let crd = CompiledCrd::compile(&definition).unwrap();
            let mut new = new.clone();
            crd.prepare("v1", &mut new);
            let _ = crd.validate("v1", &new, Some(&old));
            let _ = crd.validate("v1", &new, None);
        }
    }

    #[test]
    fn preparing_twice_is_preparing_once(spec in any_json()) {
        let crd = compiled(json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "default": "x"},
                "source": {"type": "object", "default": {}, "properties": {"driver": {"type": "string", "default": "d"}}},
                "labels": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string", "default": "b"}}}},
                "parameters": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string", "default": "b"}}}},
            },
        }));
        let mut once = super::thing(spec);
        crd.prepare("v1", &mut once);
        let mut twice = once.clone();
        crd.prepare("v1", &mut twice);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn no_json_makes_compilation_panic(schema in any_schema()) {
        let _ = CompiledCrd::compile(&definition(schema));
    }

    #[test]
    fn no_json_is_a_definition_that_panics(definition in any_json()) {
        let _ = CompiledCrd::compile(&definition);
    }
}

/// JSON that looks like a schema more often than not.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        proptest::sample::select(vec![
            "object", "array", "string", "integer", "number", "boolean", "null"
        ])
        .prop_map(|kind| json!({"type": kind})),
        any_json(),
        ".{0,8}".prop_map(|rule| json!({"type": "string", "x-kubernetes-validations": [{"rule": rule}]})),
        ".{0,4}".prop_map(|pattern| json!({"type": "string", "pattern": pattern})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map(".{0,3}", inner.clone(), 0..4)
                .prop_map(|properties| json!({"type": "object", "properties": properties})),
            inner
                .clone()
                .prop_map(|items| json!({"type": "array", "items": items})),
            inner
                .clone()
                .prop_map(|values| json!({"type": "object", "additionalProperties": values})),
            prop::collection::vec(inner, 0..3).prop_map(|parts| json!({"type": "object", "oneOf": parts})),
        ]
    })
}
