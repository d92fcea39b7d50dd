//! The selector of a group, as the API server reads it in a LIST (spec snapshot Q30).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// Longest name of a label, and longest value.
const LONGEST: usize = 63;
/// Longest prefix of a label.
const LONGEST_PREFIX: usize = 253;

/// Labels and expressions in one text: `app=db,tier in (a,b),!old`.
///
/// # Errors
/// It selects everything, or a requirement is one that the API server would refuse, or would read as another one.
pub fn text(selector: &LabelSelector) -> Result<String, String> {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| Ok(format!("{}={}", label(key)?, label_value(value)?)));
    let expressions = selector.match_expressions.iter().flatten();
    let all: Result<Vec<String>, String> = labels.chain(expressions.map(expression)).collect();
    let all = all?;
    if all.is_empty() {
        return Err(
            "the selector in spec.source is empty and would select every claim of the namespace".to_owned(),
        );
    }
    Ok(all.join(","))
}

fn expression(requirement: &LabelSelectorRequirement) -> Result<String, String> {
    let key = label(&requirement.key)?;
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || -> Result<String, String> {
        if values.is_empty() {
            return Err(format!(
                "operator {} of label {key} needs values",
                requirement.operator
            ));
        }
        let values: Result<Vec<&str>, String> = values.iter().map(|value| label_value(value)).collect();
        Ok(values?.join(","))
    };
    let alone = |text: String| {
        if values.is_empty() {
            Ok(text)
        } else {
            Err(format!(
                "operator {} of label {key} takes no values",
                requirement.operator
            ))
        }
    };
    match requirement.operator.as_str() {
        "In" => Ok(format!("{key} in ({})", listed()?)),
        "NotIn" => Ok(format!("{key} notin ({})", listed()?)),
        "Exists" => alone(key.to_owned()),
        "DoesNotExist" => alone(format!("!{key}")),
        other => Err(format!(
            "operator {other:?} of label {key} is none of In, NotIn, Exists, DoesNotExist"
        )),
    }
}

fn label(key: &str) -> Result<&str, String> {
    let (prefix, name) = key.split_once('/').unwrap_or(("", key));
    let is_prefix = prefix.len() <= LONGEST_PREFIX
        && prefix.split('.').all(|part| {
            is_word(part)
                && part
                    .bytes()
                    .all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
    let has_prefix = key.contains('/');
    if is_word(name) && (!has_prefix || is_prefix) {
        Ok(key)
    } else {
        Err(format!("{key:?} cannot be a label"))
    }
}

fn label_value(value: &str) -> Result<&str, String> {
    if value.is_empty() || is_word(value) {
        Ok(value)
    } else {
        Err(format!("{value:?} cannot be the value of a label"))
    }
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_word(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= LONGEST
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(selector: Value) -> Result<String, String> {
        text(&serde_json::from_value(selector).unwrap())
    }

    #[test]
    fn snapshot_case_94_labels_and_expressions_are_one_selector() {
        let both = json!({
            "matchLabels": {"app.kubernetes.io/name": "db", "tier": ""},
            "matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["a", "b"]},
                {"key": "zone", "operator": "NotIn", "values": ["c"]},
                {"key": "backup", "operator": "Exists"},
                {"key": "old", "operator": "DoesNotExist", "values": []},
            ],
        });
        assert_eq!(
            of(both).unwrap(),
            "app.kubernetes.io/name=db,tier=,zone in (a,b),zone notin (c),backup,!old"
        );
        let alone = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["db"]}]});
        assert_eq!(of(alone).unwrap(), "app in (db)");
    }

    #[test]
    fn snapshot_case_94_what_selects_everything_or_nothing_definite_is_refused() {
        let expression = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, says) in [
            (json!({}), "empty"),
            (json!({"matchLabels": {}, "matchExpressions": []}), "empty"),
            (expression("a", "Gt", json!(["1"])), "none of In, NotIn"),
            (expression("a", "In", json!([])), "needs values"),
            (expression("a", "Exists", json!(["1"])), "takes no values"),
            (expression("a", "In", json!(["b)"])), "cannot be the value"),
            (json!({"matchLabels": {"a,b": "c"}}), "cannot be a label"),
            (json!({"matchLabels": {"a": "b,c=d"}}), "cannot be the value"),
            (json!({"matchLabels": {"/a": "b"}}), "cannot be a label"),
            (json!({"matchLabels": {"Ex ample/a": "b"}}), "cannot be a label"),
            (json!({"matchLabels": {"a".repeat(64): "b"}}), "cannot be a label"),
        ] {
            let refused = of(selector.clone()).unwrap_err();
            assert!(refused.contains(says), "{selector}: {refused}");
        }
    }
}
