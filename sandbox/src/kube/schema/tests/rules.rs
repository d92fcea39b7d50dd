//! The CEL rules that the conformance tests ask of a real API server: what they found is what the table says.

use serde_json::{Map, Value, json};

use super::super::CompiledCrd;

const TABLE: &str = include_str!("../../../../../conformance/corpus/rules.yaml");

/// Rules and expressions that the sandbox judges otherwise, as `docs/sandbox.md` lists them.
const DIFFERENT: [&str; 4] = [
    "'%e'.format([self.d]) == '1.500000×10⁰³'",
    "self.l.transformList(i, v, v + string(i)) == ['a0', 'b1']",
    "self.n > 0, messageExpression \"'n is ' + string(self.n)\"",
    "'%s'.format([1000000.0]) == '1e+06'",
];

fn name(rule: &Map<String, Value>) -> String {
    let others = rule.iter().filter(|(field, _)| *field != "rule");
    let others = others.map(|(field, value)| format!(", {field} {value}"));
    format!("{}{}", rule["rule"].as_str().unwrap(), others.collect::<String>())
}

fn compiled(subject: &Value, rule: &Map<String, Value>) -> Result<CompiledCrd, Vec<String>> {
    let mut schema = subject.clone();
    schema["x-kubernetes-validations"] = json!([rule]);
    compiled_schema(&schema)
}

fn compiled_schema(schema: &Value) -> Result<CompiledCrd, Vec<String>> {
    let schema = json!({ "type": "object", "properties": { "spec": schema } });
    CompiledCrd::compile(&json!({
        "metadata": { "name": "things.example.com" },
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": { "plural": "things", "kind": "Thing" },
            "versions": [{ "name": "v1", "storage": true, "schema": { "openAPIV3Schema": schema } }],
        },
    }))
}

/// What is wrong with the verdicts on a row; nothing where they are as the table says.
fn faults(subject: &Value, row: &Map<String, Value>) -> Option<String> {
    let mut rule = row.clone();
    let [good, bad, old, refused] = ["good", "bad", "old", "refused"].map(|field| rule.remove(field));
    let kind = match (compiled(subject, &rule), refused.is_some()) {
        (Err(_), true) => return None,
        (Err(faults), false) => return Some(format!("refused: {faults:?}")),
        (Ok(_), true) => return Some("accepted".to_owned()),
        (Ok(kind), false) => kind,
    };
    let object = |spec: Option<Value>| spec.map(|spec| json!({ "metadata": { "name": "a" }, "spec": spec }));
    let old = object(old);
    for (spec, passes) in [(good, true), (bad, false)] {
        let found = kind.validate("v1", &object(spec).unwrap(), old.as_ref());
        if found.is_empty() != passes {
            return Some(format!("passes is not {passes}: {found:?}"));
        }
    }
    None
}

#[test]
fn rules_are_judged_as_by_the_real_one() {
    let table: Value = serde_saphyr::from_str(TABLE).unwrap();
    let listed = |field: &str| table[field].as_array().unwrap().clone();
    let mut rows: Vec<Map<String, Value>> = listed("rules")
        .iter()
        .map(|row| row.as_object().unwrap().clone())
        .collect();
    for (field, holds) in [("holds", true), ("fails", false)] {
        for expression in listed(field) {
            let expression = expression.as_str().unwrap();
            let row = json!({ "rule": format!("({expression}) == self.b"), "good": { "b": holds }, "bad": { "b": !holds } });
            rows.push(row.as_object().unwrap().clone());
        }
    }
    assert!(rows.len() > 400, "only {} rules", rows.len());
    let is_listed = |row: &Map<String, Value>| {
        let mut rule = row.clone();
        rule.retain(|field, _| !["good", "bad", "old", "refused"].contains(&field.as_str()));
        let name = name(&rule);
        DIFFERENT
            .iter()
            .any(|different| name == *different || name == format!("({different}) == self.b"))
    };
    let mut wrong = Vec::new();
    for row in &rows {
        let faults = faults(&table["subject"], row);
        if faults.is_some() != is_listed(row) {
            wrong.push(format!("{}: {faults:?}", row["rule"]));
        }
    }
    assert!(wrong.is_empty(), "{} rules: {wrong:#?}", wrong.len());
}

#[test]
fn schemas_with_rules_are_judged_as_by_the_real_one() {
    let table: Value = serde_saphyr::from_str(TABLE).unwrap();
    let schemas = table["schemas"].as_array().unwrap();
    assert!(schemas.len() > 15);
    for row in schemas {
        let refused = compiled_schema(&row["schema"]).err();
        assert_eq!(refused.is_some(), row["refused"] == true, "{row}: {refused:?}");
    }
}
