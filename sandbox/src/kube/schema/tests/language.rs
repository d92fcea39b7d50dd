//! Pruning, defaults, checks and rules on small schemas.

use serde_json::{Value, json};

use super::{compiled, errors, thing};

#[test]
fn unknown_fields_are_pruned_except_where_kept() {
    let crd = compiled(json!({
        "type": "object",
        "properties": {
            "known": {"type": "string"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"strict": {"type": "object"}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "object": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"b": {"type": "string"}}},
        },
    }));
    let mut object = thing(json!({
        "known": "x", "unknown": 1,
        "free": {"any": 1, "strict": {"gone": 1}},
        "map": {"k": {"a": "x", "b": "gone"}},
        "list": [{"a": "x", "b": "gone"}],
        "object": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "gone": 1}, "b": "x", "gone": 1},
    }));
    object["metadata"]["nonsense"] = json!(1);
    object["status"] = json!({"gone": 1});
    crd.prepare("v1", &mut object);
    assert_eq!(
        object,
        thing(json!({
            "known": "x",
            "free": {"any": 1, "strict": {}},
            "map": {"k": {"a": "x"}},
            "list": [{"a": "x"}],
            "object": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "b": "x"},
        }))
    );
}

#[test]
fn defaults_fill_in_from_outside_to_inside() {
    let crd = compiled(json!({
        "type": "object",
        "properties": {
            "a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 5}}},
            "n": {"type": "string", "default": "x"},
            "nullable": {"type": "string", "nullable": true, "default": "x"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "boolean", "default": false}}}},
        },
    }));
    let mut object = thing(json!({"n": null, "nullable": null, "list": [{}, {"c": true}]}));
    crd.prepare("v1", &mut object);
    assert_eq!(
        object["spec"],
        json!({"a": {"b": 5}, "n": "x", "nullable": null, "list": [{"c": false}, {"c": true}]})
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn values_are_checked_with_the_texts_of_the_api_server() {
    let cases: Vec<(Value, Value, &[&str])> = vec![
        (
            json!({"type": "string"}),
            json!(5),
            &["spec.f: Invalid value: \"integer\": spec.f in body must be of type string: \"integer\""],
        ),
        (
            json!({"type": "string"}),
            json!(null),
            &["spec.f: Invalid value: \"null\": spec.f in body must be of type string: \"null\""],
        ),
        (json!({"type": "string", "nullable": true}), json!(null), &[]),
        (json!({"type": "integer"}), json!(5.0), &[]),
        (
            json!({"type": "integer"}),
            json!(5.5),
            &[
                "spec.f: Invalid value: \"number\": spec.f in body must be of type integer: \"number\"",
                "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec.f",
            ],
        ),
        (
            json!({"type": "integer", "format": "int64"}),
            json!(9_223_372_036_854_775_808_u64),
            &[
                "spec.f: Invalid value: \"float64\": spec.f in body must be of type int64: \"float64\"",
                "<nil>: Invalid value: \"\": Checked value must be of type integer with format int64 in spec.f",
            ],
        ),
        (
            json!({"type": "string", "enum": ["Delete", "Retain"]}),
            json!("Keep"),
            &["spec.f: Unsupported value: \"Keep\": supported values: \"Delete\", \"Retain\""],
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            &["spec.f: Invalid value: \"b\": spec.f in body should match '^a+$'"],
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("b"),
            &["spec.f: Invalid value: \"b\": spec.f in body should be at least 2 chars long"],
        ),
        (
            json!({"type": "string", "maxLength": 2}),
            json!("bbb"),
            &["spec.f: Too long: may not be more than 2 bytes"],
        ),
        (
            json!({"type": "integer", "minimum": 0}),
            json!(-1),
            &["spec.f: Invalid value: -1: spec.f in body should be greater than or equal to 0"],
        ),
        (
            json!({"type": "integer", "maximum": 3, "exclusiveMaximum": true}),
            json!(3),
            &["spec.f: Invalid value: 3: spec.f in body should be less than 3"],
        ),
        (
            json!({"type": "integer", "multipleOf": 2}),
            json!(3),
            &["spec.f: Invalid value: 3: spec.f in body should be a multiple of 2"],
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("now"),
            &["spec.f: Invalid value: \"now\": spec.f in body must be of type date-time: \"now\""],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            json!([]),
            &["spec.f: Invalid value: []: spec.f in body should have at least 1 items"],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            &["spec.f: Too many: 2: must have at most 1 items"],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["a", 1]),
            &["spec.f[1]: Invalid value: \"integer\": spec.f[1] in body must be of type string: \"integer\""],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
            json!(["a", "a"]),
            &["spec.f[1]: Duplicate value: \"a\""],
        ),
        (
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
            json!({}),
            &["spec.f.a: Required value"],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"k": 1}),
            &["spec.f.k: Invalid value: \"integer\": spec.f.k in body must be of type string: \"integer\""],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            json!("5Gi"),
            &[],
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!({}),
            &["spec.f: Invalid value: \"object\": spec.f in body must be of type integer,string: \"object\""],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({}),
            &[
                "<nil>: Invalid value: \"\": \"spec.f\" must validate one and only one schema (oneOf). Found none valid",
            ],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({"a": "", "b": ""}),
            &[
                "<nil>: Invalid value: \"\": \"spec.f\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}]}),
            json!({}),
            &["<nil>: Invalid value: \"\": \"spec.f\" must validate at least one schema (anyOf)"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "not": {"required": ["a"]}}),
            json!({"a": ""}),
            &["<nil>: Invalid value: \"\": \"spec.f\" must not validate the schema (not)"],
        ),
    ];
    for (schema, value, expected) in cases {
        let crd = compiled(json!({"type": "object", "properties": {"f": schema}}));
        let found = errors(&crd, &thing(json!({"f": value})), None);
        let blocked = |text: &&String| !text.starts_with("<nil>: Invalid value: null: some validation rules");
        assert_eq!(
            found.iter().filter(blocked).collect::<Vec<_>>(),
            expected,
            "{schema} {value}"
        );
    }
}

#[test]
fn a_wrong_type_keeps_the_rules_from_being_checked() {
    let crd = compiled(
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-validations": [{"rule": "false"}]}),
    );
    assert_eq!(
        errors(&crd, &thing(json!({"a": 1})), None)[1],
        "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
         correct the existing errors to complete validation"
    );
}

#[test]
fn an_update_is_not_judged_for_what_it_leaves_alone() {
    let crd = compiled(json!({
        "type": "object",
        "properties": {"a": {"type": "string", "maxLength": 1}, "b": {"type": "string", "x-kubernetes-validations": [{"rule": "size(self) < 2"}]}},
    }));
    let old = thing(json!({"a": "long", "b": "long"}));
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"x": "y"});
    assert!(errors(&crd, &new, Some(&old)).is_empty());
    new["spec"]["b"] = json!("longer");
    assert_eq!(
        errors(&crd, &new, Some(&old)),
        ["spec.b: Invalid value: \"longer\": failed rule: size(self) < 2"]
    );
}

/// A rule on `spec.f` of this schema, with an old and a new value.
fn ruled(schema: Value, old: Option<Value>, new: Value) -> Vec<String> {
    let crd = compiled(json!({"type": "object", "properties": {"f": schema}}));
    let old = old.map(|old| thing(json!({"f": old})));
    errors(&crd, &thing(json!({"f": new})), old.as_ref())
}

#[test]
fn rules_see_old_values_where_there_are_any() {
    let with = |rule: Value| json!({"type": "string", "x-kubernetes-validations": [rule]});
    let immutable = with(json!({"rule": "self == oldSelf", "message": "f is immutable"}));
    assert!(
        ruled(immutable.clone(), None, json!("a")).is_empty(),
        "skipped at creation"
    );
    assert!(ruled(immutable.clone(), Some(json!("a")), json!("a")).is_empty());
    assert_eq!(
        ruled(immutable, Some(json!("a")), json!("b")),
        ["spec.f: Invalid value: \"b\": f is immutable"]
    );
    let optional = with(json!({"rule": "oldSelf.hasValue() || self == 'new'", "optionalOldSelf": true}));
    assert!(ruled(optional.clone(), None, json!("new")).is_empty());
    assert_eq!(ruled(optional.clone(), None, json!("a")).len(), 1);
    assert!(ruled(optional, Some(json!("b")), json!("a")).is_empty());
    let value = with(json!({"rule": "oldSelf.orValue('a') == 'a'", "optionalOldSelf": true}));
    assert_eq!(ruled(value, Some(json!("b")), json!("c")).len(), 1);
}

#[test]
fn items_have_old_values_only_by_their_keys() {
    let item = json!({"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": "self.v == oldSelf.v", "message": "v is immutable"}]});
    let keyed = json!({"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]});
    let plain = json!({"type": "array", "items": item});
    // The API server refuses such a definition.
    let refused = super::CompiledCrd::compile(&super::definition(
        json!({"type": "object", "properties": {"f": plain}}),
    ));
    assert!(
        refused.unwrap_err()[0]
            .contains("oldSelf cannot be used on the uncorrelatable portion of the schema")
    );
    let (old, new) = (
        json!([{"k": "a", "v": "1"}, {"k": "b", "v": "1"}]),
        json!([{"k": "b", "v": "2"}]),
    );
    assert_eq!(
        ruled(keyed, Some(old), new),
        ["spec.f[0]: Invalid value: v is immutable"]
    );
}

#[test]
fn rules_choose_message_reason_and_path() {
    let with = |rule: Value| {
        json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "string"}},
        "x-kubernetes-validations": [rule]})
    };
    let cases = [
        (
            json!({"rule": "self.a > 5"}),
            "spec.f: Invalid value: failed rule: self.a > 5",
        ),
        (
            json!({"rule": "self.a > 5", "message": "too small", "fieldPath": ".a"}),
            "spec.f.a: Invalid value: too small",
        ),
        (
            json!({"rule": "self.a > 5", "message": "m", "messageExpression": "'is ' + string(self.a)"}),
            "spec.f: Invalid value: is 1",
        ),
        (
            json!({"rule": "self.a > 5", "message": "m", "messageExpression": "self.c"}),
            "spec.f: Invalid value: m",
        ),
        (
            json!({"rule": "self.a > 5", "message": "m", "reason": "FieldValueForbidden"}),
            "spec.f: Forbidden: m",
        ),
        (
            json!({"rule": "self.a > 5", "message": "m", "reason": "FieldValueRequired"}),
            "spec.f: Required value: m",
        ),
        (
            json!({"rule": "self.b > 5", "message": "m"}),
            "spec.f: Invalid value: \"object\": no such key: b evaluating rule: m",
        ),
    ];
    for (rule, expected) in cases {
        assert_eq!(
            ruled(with(rule.clone()), None, json!({"a": 1})),
            [expected],
            "{rule}"
        );
    }
}

#[test]
fn rules_know_formats_names_and_functions() {
    let cases = [
        (
            json!({"type": "string", "format": "date-time"}),
            "self < timestamp('2027-01-01T00:00:00Z')",
            json!("2026-01-01T00:00:00Z"),
        ),
        (
            json!({"type": "string", "format": "duration"}),
            "self == duration('90s')",
            json!("1m30s"),
        ),
        (json!({"type": "number"}), "self > 1.5", json!(2)),
        (
            json!({"type": "object", "properties": {"namespace": {"type": "string"}, "a-b": {"type": "string"}}}),
            "self.__namespace__ == self.a__dash__b",
            json!({"namespace": "x", "a-b": "x"}),
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            "self['a-b'] == 'x' && self.all(k, size(k) < 5)",
            json!({"a-b": "x"}),
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            "self.exists(x, x.startsWith('b'))",
            json!(["a", "bc"]),
        ),
        (
            json!({"type": "string"}),
            "quantity(self).isGreaterThan(quantity('1Gi'))",
            json!("5Gi"),
        ),
    ];
    for (mut schema, rule, value) in cases {
        schema["x-kubernetes-validations"] = json!([{"rule": rule}]);
        assert_eq!(ruled(schema.clone(), None, value), Vec::<String>::new(), "{rule}");
        schema["x-kubernetes-validations"] = json!([{"rule": format!("!({rule})")}]);
    }
}

#[test]
fn the_whole_object_may_be_judged() {
    let mut definition = super::definition(json!({"type": "object"}));
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = json!([{"rule": "self.metadata.name == 'a' && self.kind == 'Thing' && !has(self.metadata.generateName)", "message": "m"}]);
    let crd = super::CompiledCrd::compile(&definition).unwrap();
    let mut object = thing(json!({}));
    object["metadata"]["labels"] = json!({"x": "y"});
    assert_eq!(errors(&crd, &object, None), Vec::<String>::new());
    object["metadata"]["name"] = json!("b");
    assert_eq!(errors(&crd, &object, None), ["<nil>: Invalid value: m"]);
}
