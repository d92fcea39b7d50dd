//! The same requests of the Query protocol to two EC2s, read from `moto/requests.txt`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cloud::Cloud;

/// A line of the file.
pub struct Line {
    pub name: &'static str,
    action: &'static str,
    parameters: Vec<&'static str>,
    /// Variable and where its value stands in the answer.
    captures: Vec<(&'static str, &'static str)>,
}

/// What one side answered to a line, with its IDs replaced by the names of variables and its times by `TIME`.
pub struct Outcome {
    pub name: &'static str,
    pub answer: Value,
}

pub fn lines() -> Vec<Line> {
    let lines = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/moto/requests.txt")).lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(line).collect()
}

fn line(line: &'static str) -> Line {
    let (name, rest) = line.split_once(": ").expect("a name");
    let (request, captures) = rest.split_once(" -> ").unwrap_or((rest, ""));
    let mut words = request.split_whitespace();
    let captures = captures.split_whitespace();
    Line {
        name,
        action: words.next().expect("an action"),
        parameters: words.collect(),
        captures: captures
            .map(|one| one.split_once('=').expect("a capture"))
            .collect(),
    }
}

/// Sends all lines, one after the other.
pub async fn play(cloud: &Cloud, lines: &[Line]) -> Vec<Outcome> {
    let mut variables = BTreeMap::new();
    let mut outcomes = Vec::new();
    for line in lines {
        let answer = if line.action == "instance" {
            let id = cloud.run_instance(line.parameters[0], line.parameters[1]).await;
            json!({"body": {"instanceId": id}})
        } else {
            let parameters = line.parameters.iter().map(|parameter| {
                let (key, value) = parameter.split_once('=').expect("a parameter");
                (key.to_owned(), filled(value, &variables))
            });
            let answer = cloud.send(line.action, &parameters.collect()).await;
            json!({"status": answer.status.as_u16(), "body": answer.body})
        };
        for (variable, pointer) in &line.captures {
            if let Some(value) = answer["body"].pointer(pointer).and_then(Value::as_str) {
                variables.insert((*variable).to_owned(), value.to_owned());
            }
        }
        outcomes.push(Outcome {
            name: line.name,
            answer: normal(answer, &variables),
        });
    }
    outcomes
}

fn filled(value: &str, variables: &BTreeMap<String, String>) -> String {
    let mut value = value.to_owned();
    for (name, known) in variables {
        value = value.replace(&format!("{{{name}}}"), known);
    }
    value
}

/// Without what differs from side to side by nature, and with lists as maps by what their entries are named after: EC2
/// promises no order. A field without a value is as good as none.
pub fn normal(value: Value, variables: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(key, value)| {
                let is_empty = value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
                !is_empty && !key.eq_ignore_ascii_case("requestid") && !key.eq_ignore_ascii_case("message")
            });
            kept.map(|(key, value)| (key, normal(value, variables))).collect()
        }
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().map(|item| normal(item, variables)).collect();
            if !items.is_empty() && items.iter().all(|item| name_of(item).is_some()) {
                let named = items.into_iter().filter_map(|item| Some((name_of(&item)?, item)));
                return Value::Object(named.collect());
            }
            Value::Array(items)
        }
        Value::String(text) => {
            if text.parse::<jiff::Timestamp>().is_ok() {
                return json!("TIME");
            }
            let mut text = text;
            for (name, known) in variables {
                text = text.replace(known, &format!("<{name}>"));
            }
            Value::String(text)
        }
        other => other,
    }
}

/// What an entry of a list is named after.
fn name_of(item: &Value) -> Option<String> {
    if let (Some(key), Some(owner)) = (item.get("key"), item.get("resourceId")) {
        return Some(format!("{} {}", owner.as_str()?, key.as_str()?));
    }
    let names = ["snapshotId", "volumeId", "zoneName", "instanceId", "key", "id"];
    let is_volume = item.get("availabilityZone").is_some();
    let mut names = names.iter().filter(|name| !(is_volume && **name == "snapshotId"));
    Some(names.find_map(|name| item.get(*name)?.as_str())?.to_owned())
}
