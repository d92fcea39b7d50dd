//! Where two JSON values differ.

use serde_json::Value;

/// One place where two answers differ.
#[derive(Debug, Eq, PartialEq)]
pub struct Difference {
    /// Where, as `body.items[0].metadata.name`.
    pub path: String,
    /// What the sandbox has there; `-` for nothing.
    pub sandbox: String,
    /// What the other side has there.
    pub other: String,
}

/// All differences of two values below `path`, in order.
pub fn differences(path: &str, sandbox: &Value, other: &Value, found: &mut Vec<Difference>) {
    match (sandbox, other) {
        (Value::Object(left), Value::Object(right)) => {
            let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let below = format!("{path}.{key}");
                match (left.get(key), right.get(key)) {
                    (Some(left), Some(right)) => differences(&below, left, right, found),
                    (left, right) => found.push(different(below, left, right)),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            if left.len() != right.len() {
                let (left, right) = (left.len().into(), right.len().into());
                found.push(different(format!("{path}.length"), Some(&left), Some(&right)));
            }
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differences(&format!("{path}[{index}]"), left, right, found);
            }
        }
        (left, right) if left == right => {}
        (left, right) => found.push(different(path.to_owned(), Some(left), Some(right))),
    }
}

fn different(path: String, sandbox: Option<&Value>, other: Option<&Value>) -> Difference {
    let show = |value: Option<&Value>| value.map_or("-".to_owned(), ToString::to_string);
    Difference {
        path,
        sandbox: show(sandbox),
        other: show(other),
    }
}

#[test]
fn every_difference_is_found() {
    let mut found = Vec::new();
    let left = serde_json::json!({"a": [1, {"b": 2}], "c": 1});
    let right = serde_json::json!({"a": [1, {"b": 3}, 4], "d": 1});
    differences("body", &left, &right, &mut found);
    let paths: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["body.a.length", "body.a[1].b", "body.c", "body.d"]);
}
