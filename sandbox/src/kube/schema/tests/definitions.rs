use serde_json::{Value, json};

use super::{CompiledCrd, definition};

fn faults(definition: &Value) -> Vec<String> {
    CompiledCrd::compile(definition).map(|_| ()).unwrap_err()
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn schemas_that_are_not_structural_are_refused() {
    let at = "spec.validation.openAPIV3Schema.properties[spec]";
    let cases = [
        (
            json!({}),
            "type: Required value: must not be empty for specified object fields",
        ),
        (
            json!({"type": "text"}),
            "type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ),
        (
            json!({"type": "array"}),
            "items: Required value: must be specified",
        ),
        (
            json!({"type": "array", "items": {}}),
            "items.type: Required value: must not be empty for specified array items",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true}),
            "additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            "additionalProperties: Forbidden: additionalProperties cannot be set to false",
        ),
        (
            json!({"type": "string", "pattern": "("}),
            "pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: ",
        ),
        (
            json!({"type": "string", "default": 5}),
            "default: Invalid value: \"integer\": ",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
            "uniqueItems: Forbidden: ",
        ),
        (
            json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}),
            "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (
            json!({"type": "object", "oneOf": [{"default": 1}]}),
            "oneOf[0].default: Forbidden: must be undefined to be structural",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self >="}]}),
            "x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"self \\u003e=\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:8: Syntax error: ",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "selv == ''"}]}),
            "x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"selv == ''\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:1: undeclared reference to 'selv' (in container '')\n | selv == ''\n | ^",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "true", "reason": "Nope"}]}),
            "x-kubernetes-validations[0].reason: Unsupported value: \"Nope\": ",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "true", "optionalOldSelf": true}]}),
            "x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: ",
        ),
    ];
    for (schema, fault) in cases {
        let found = faults(&definition(schema.clone()));
        let wanted = format!("{at}.{fault}");
        assert!(
            found.iter().any(|text| text.starts_with(&wanted)),
            "{schema}: {found:#?}"
        );
    }
}

#[test]
fn schemas_that_nest_too_deep_are_refused() {
    let mut schema = json!({"type": "string"});
    for _ in 0..100 {
        schema = json!({"type": "object", "properties": {"a": schema}});
    }
    assert!(faults(&definition(schema))[0].ends_with("Forbidden: schemas nest at most 64 deep"));
}

#[test]
fn protected_groups_need_an_approval() {
    let mut protected = definition(json!({"type": "object"}));
    protected["spec"]["group"] = json!("snapshot.storage.k8s.io");
    protected["metadata"]["name"] = json!("things.snapshot.storage.k8s.io");
    assert_eq!(
        faults(&protected),
        [
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval \
          annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111"
        ]
    );
    protected["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "yes"});
    assert!(faults(&protected)[0].contains("with either a URL or a reason starting with \"unapproved\""));
    for good in [
        "unapproved, a test",
        "https://github.com/kubernetes-csi/external-snapshotter/pull/814",
    ] {
        protected["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": good});
        assert!(CompiledCrd::compile(&protected).is_ok(), "{good}");
    }
}

#[test]
fn what_stands_around_the_schemas_is_checked() {
    let cases: [(&str, Value, &str); 6] = [
        (
            "/metadata/name",
            json!("x"),
            "metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group",
        ),
        (
            "/spec/scope",
            json!("Global"),
            "spec.scope: Unsupported value: \"Global\": supported values: \"Cluster\", \"Namespaced\"",
        ),
        (
            "/spec/versions",
            json!([]),
            "spec.versions: Required value: must have at least one version",
        ),
        (
            "/spec/versions/0/storage",
            json!(false),
            "spec.versions: Invalid value: must have exactly one version marked as storage version",
        ),
        (
            "/spec/versions/0/schema",
            json!({}),
            "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/type",
            json!("array"),
            "spec.validation.openAPIV3Schema.type: Invalid value: \"array\": must be object at the root",
        ),
    ];
    for (pointer, value, fault) in cases {
        let mut broken = definition(json!({"type": "object"}));
        *broken.pointer_mut(pointer).unwrap() = value;
        assert!(
            faults(&broken).iter().any(|text| text == fault),
            "{:#?}",
            faults(&broken)
        );
    }
}
