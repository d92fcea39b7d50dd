//! CEL rules of definitions: a table of rules, asked for one by one.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::script::{Scene, Step};

/// How many rules one definition has; the API server bounds what all of one may cost.
const TOGETHER: usize = 64;

/// The table as it is written down.
#[derive(Debug, Deserialize)]
struct Written {
    /// The schema of what every rule is about.
    subject: Value,
    rules: Vec<Row>,
    /// Expressions without a subject.
    holds: Vec<String>,
    fails: Vec<String>,
    /// What has rules of its own.
    schemas: Vec<Schema>,
}

#[derive(Debug, Deserialize)]
struct Schema {
    schema: Value,
    #[serde(default)]
    refused: bool,
}

/// The rules, expressions among them.
#[derive(Debug)]
pub struct Table {
    subject: Value,
    rows: Vec<Row>,
    schemas: Vec<Schema>,
}

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default)]
    good: Value,
    #[serde(default)]
    bad: Value,
    /// What is there before; without it the others are created.
    #[serde(default)]
    old: Option<Value>,
    /// The definition is refused.
    #[serde(default)]
    refused: bool,
    /// The rule as a definition has it.
    #[serde(flatten)]
    rule: Map<String, Value>,
}

impl Row {
    /// An expression, beside a field that says whether it is true.
    fn truth(expression: &str, holds: bool) -> Self {
        Self {
            good: json!({ "b": holds }),
            bad: json!({ "b": !holds }),
            old: None,
            refused: false,
            rule: Map::from_iter([("rule".to_owned(), json!(format!("({expression}) == self.b")))]),
        }
    }

    /// The rule and what it has besides, in one line.
    fn name(&self) -> String {
        let others = self.rule.iter().filter(|(field, _)| *field != "rule");
        let others = others.map(|(field, value)| format!(", {field} {value}"));
        let rule = self.rule["rule"].as_str().unwrap();
        format!("{rule}{}", others.collect::<String>()).replace('\n', " ")
    }
}

impl Table {
    pub fn read() -> Self {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/rules.yaml"));
        let mut written: Written = serde_saphyr::from_str(text).expect("the rules are YAML");
        for (expressions, holds) in [(written.holds, true), (written.fails, false)] {
            let rows = expressions.iter().map(|expression| Row::truth(expression, holds));
            written.rules.extend(rows);
        }
        Self {
            subject: written.subject,
            rows: written.rules,
            schemas: written.schemas,
        }
    }

    /// Each rule in a definition of its own, which is not kept; then each schema.
    pub fn definitions(&self) -> Scene {
        let ask = "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All";
        let steps = self.rows.iter().enumerate().map(|(index, row)| {
            let definition = definition("alone", [self.field(index)].into_iter().collect());
            Step::new(
                format!("{index} {}", row.name()),
                ask.to_owned(),
                Some(definition),
            )
        });
        let schemas = self.schemas.iter().enumerate().map(|(index, schema)| {
            let fields = Map::from_iter([("f".to_owned(), schema.schema.clone())]);
            let body = Some(definition("alone", fields));
            Step::new(format!("schema {index} {}", schema.schema), ask.to_owned(), body)
        });
        Scene {
            scene: "rules".to_owned(),
            steps: steps.chain(schemas).collect(),
        }
    }

    /// Definitions of the rules that are taken, and requests for objects of them: for each rule one that passes and one
    /// that fails.
    pub fn objects(&self, taken: &[bool]) -> (Vec<Value>, Scene) {
        let taken: Vec<usize> = (0..self.rows.len()).filter(|index| taken[*index]).collect();
        let (mut definitions, mut steps) = (Vec::new(), Vec::new());
        for (number, together) in taken.chunks(TOGETHER).enumerate() {
            let name = format!("rules{number}");
            definitions.push(definition(
                &name,
                together.iter().map(|index| self.field(*index)).collect(),
            ));
            for index in together {
                steps.extend(self.steps(*index, &name));
            }
        }
        let scene = Scene {
            scene: "ruled objects".to_owned(),
            steps,
        };
        (definitions, scene)
    }

    fn steps(&self, index: usize, kind: &str) -> Vec<Step> {
        let row = &self.rows[index];
        let (field, name) = (format!("r{index}"), row.name());
        let path = format!("/apis/rules.example/v1/namespaces/NS/{kind}s");
        let object = |subject: &Value| {
            json!({ "apiVersion": "rules.example/v1", "kind": kind, "metadata": { "name": field },
                "spec": { (field.clone()): subject } })
        };
        let mut steps = Vec::new();
        if let Some(old) = &row.old {
            let ask = format!("POST {path}");
            steps.push(Step::new(format!("{index} {name}: old"), ask, Some(object(old))));
        }
        for (verdict, subject) in [("good", &row.good), ("bad", &row.bad)] {
            let name = format!("{index} {name}: {verdict}");
            steps.push(if row.old.is_some() {
                let patch = json!([{ "op": "replace", "path": format!("/spec/{field}"), "value": subject }]);
                Step::new(name, format!("PATCH {path}/{field}?dryRun=All"), Some(patch)).form("json")
            } else {
                Step::new(name, format!("POST {path}?dryRun=All"), Some(object(subject)))
            });
        }
        steps
    }

    /// Looks whether the real one judges as the table says.
    pub fn check(&self, definitions: &[Value], objects: &Scene, answers: &[Value]) {
        let rows = self.rows.iter().map(|row| (row.refused, row.name()));
        let schemas = self
            .schemas
            .iter()
            .map(|schema| (schema.refused, schema.schema.to_string()));
        for ((is_refused, name), answer) in rows.chain(schemas).zip(definitions) {
            let expected = if is_refused { 422 } else { 201 };
            assert_eq!(answer["status"], expected, "{name}: {answer}");
        }
        for (step, answer) in objects.steps.iter().zip(answers) {
            let is_refused = answer["status"] == 422;
            assert_eq!(
                is_refused,
                step.name.ends_with(": bad"),
                "{}: {answer}",
                step.name
            );
        }
    }

    /// The field that has the rule, and its schema.
    fn field(&self, index: usize) -> (String, Value) {
        let mut schema = self.subject.clone();
        schema["x-kubernetes-validations"] = json!([self.rows[index].rule]);
        (format!("r{index}"), schema)
    }
}

fn definition(kind: &str, fields: Map<String, Value>) -> Value {
    let schema =
        json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": fields } } });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{kind}s.rules.example") },
        "spec": {
            "group": "rules.example",
            "scope": "Namespaced",
            "names": { "plural": format!("{kind}s"), "singular": kind, "kind": kind, "listKind": format!("{kind}List") },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
        },
    })
}
