//! Label and field selectors.

use serde_json::Value;

use super::error::ApiError;
use super::metadata::label_value_error;
use super::resource::{ResourceType, SelectableField};

/// Chooses objects by labels and fields. The default chooses all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<LabelRequirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelRequirement {
    key: String,
    test: LabelTest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LabelTest {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

#[derive(Clone, Debug)]
struct FieldRequirement {
    field: SelectableField,
    equal: bool,
    value: String,
}

impl Selector {
    /// Reads the two query parameters for a version of a type.
    ///
    /// # Errors
    /// BadRequest: no selector, or a field that cannot be selected by.
    pub fn parse(
        resource: &ResourceType,
        version: &str,
        labels: &str,
        fields: &str,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            labels: parse_labels(labels)?,
            fields: parse_fields(resource, version, fields)?,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
        self.labels.iter().all(|requirement| requirement.matches(labels))
            && self.fields.iter().all(|requirement| requirement.matches(object))
    }
}

impl LabelRequirement {
    fn matches(&self, labels: Option<&Value>) -> bool {
        let value = labels
            .and_then(|labels| labels.get(&self.key))
            .and_then(Value::as_str);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            LabelTest::Exists => value.is_some(),
            LabelTest::Missing => value.is_none(),
            LabelTest::In(values) => value.is_some_and(|value| values.iter().any(|other| other == value)),
            LabelTest::NotIn(values) => value.is_none_or(|value| values.iter().all(|other| other != value)),
            LabelTest::Above(bound) => number().is_some_and(|number| number > *bound),
            LabelTest::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

impl FieldRequirement {
    fn matches(&self, object: &Value) -> bool {
        let mut value = Some(object);
        for step in &self.field.path {
            value = value.and_then(|value| value.get(step));
        }
        let equal = match value {
            Some(Value::String(text)) if !text.is_empty() => *text == self.value,
            Some(Value::Bool(truth)) => truth.to_string() == self.value,
            Some(Value::Number(number)) => number.to_string() == self.value,
            _ => self.field.missing == self.value,
        };
        equal == self.equal
    }
}

fn parse_labels(text: &str) -> Result<Vec<LabelRequirement>, ApiError> {
    let wrong = |part: &str| ApiError::bad_request(format!("unable to parse requirement: {part}"));
    split_outside_brackets(text)
        .filter(|part| !part.trim().is_empty())
        .map(|part| parse_label(part.trim()).ok_or_else(|| wrong(part)))
        .collect()
}

fn parse_label(part: &str) -> Option<LabelRequirement> {
    let make = |key: &str, test| {
        let key = key.trim();
        let bad = key.is_empty() || key.contains(|c: char| c.is_whitespace() || "()!=<>,".contains(c));
        (!bad).then(|| LabelRequirement {
            key: key.to_owned(),
            test,
        })
    };
    let one = |value: &str| {
        let value = value.trim();
        let bad = value.contains(|c: char| c.is_whitespace() || "()!=<>,".contains(c));
        let bad = bad || label_value_error(value).is_some();
        (!bad).then(|| vec![value.to_owned()])
    };
    if let Some(list) = part.strip_suffix(')') {
        let (head, values) = list.split_once('(')?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let (key, word) = head.trim().rsplit_once(char::is_whitespace)?;
        return match word {
            "in" => make(key, LabelTest::In(values)),
            "notin" => make(key, LabelTest::NotIn(values)),
            _ => None,
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return make(key, LabelTest::NotIn(one(value)?));
    }
    if let Some((key, value)) = part.split_once('=') {
        return make(key, LabelTest::In(one(value.strip_prefix('=').unwrap_or(value))?));
    }
    if let Some((key, value)) = part.split_once('>') {
        return make(key, LabelTest::Above(value.trim().parse().ok()?));
    }
    if let Some((key, value)) = part.split_once('<') {
        return make(key, LabelTest::Below(value.trim().parse().ok()?));
    }
    match part.strip_prefix('!') {
        Some(key) => make(key, LabelTest::Missing),
        None => make(part, LabelTest::Exists),
    }
}

fn split_outside_brackets(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn parse_fields(
    resource: &ResourceType,
    version: &str,
    text: &str,
) -> Result<Vec<FieldRequirement>, ApiError> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| parse_field(resource, version, part))
        .collect()
}

fn parse_field(resource: &ResourceType, version: &str, part: &str) -> Result<FieldRequirement, ApiError> {
    let (label, value, equal) = if let Some((label, value)) = part.split_once("!=") {
        (label, value, false)
    } else if let Some((label, value)) = part.split_once('=') {
        (label, value.strip_prefix('=').unwrap_or(value), true)
    } else {
        return Err(ApiError::bad_request(format!(
            "invalid selector: '{part}'; can't understand '{part}'"
        )));
    };
    let field = match label {
        "metadata.name" => metadata_field(label),
        "metadata.namespace" if resource.namespaced => metadata_field(label),
        _ => {
            let version = resource.version(version);
            let field = version.and_then(|version| version.fields.iter().find(|field| field.label == label));
            let unsupported = || ApiError::bad_request(format!("field label not supported: {label}"));
            field.cloned().ok_or_else(unsupported)?
        }
    };
    Ok(FieldRequirement {
        field,
        equal,
        value: value.to_owned(),
    })
}

fn metadata_field(label: &str) -> SelectableField {
    SelectableField {
        label: label.to_owned(),
        path: label.split('.').map(str::to_owned).collect(),
        missing: "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::builtin;

    fn matches(labels: &str, fields: &str) -> Result<bool, ApiError> {
        let pods = builtin::types()
            .find(|resource| resource.plural == "pods")
            .unwrap();
        let pod = json!({
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web", "size": "7", "none": ""}},
            "spec": {"nodeName": "node-1"},
        });
        Ok(Selector::parse(&pods, "v1", labels, fields)?.matches(&pod))
    }

    #[test]
    fn label_selectors() {
        for (selector, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("app=web", true),
            ("app==web,size=7", true),
            ("app!=web", false),
            ("missing!=web", true),
            ("app in (db, web)", true),
            ("app notin (db,web)", false),
            ("app in (web),size>6,size<8", true),
            ("none=", true),
            ("missing=", false),
            ("size>7", false),
        ] {
            assert_eq!(matches(selector, "").unwrap(), expected, "{selector}");
        }
        for wrong in ["app in web", "a b", "=x", "app=(", "size>x"] {
            assert_eq!(
                matches(wrong, "").map_err(|error| error.code()).err(),
                Some(400),
                "{wrong}"
            );
        }
    }

    #[test]
    fn field_selectors() {
        for (selector, expected) in [
            ("metadata.name=web", true),
            ("metadata.name!=web", false),
            ("metadata.namespace==default,spec.nodeName=node-1", true),
            ("spec.nodeName=", false),
            ("status.phase=", true),
            ("spec.restartPolicy=Always", true),
            ("spec.hostNetwork=false", true),
        ] {
            assert_eq!(matches("", selector).unwrap(), expected, "{selector}");
        }
        assert_eq!(
            matches("", "spec.x=y").unwrap_err().to_string(),
            "field label not supported: spec.x"
        );
        assert_eq!(matches("", "metadata.name").unwrap_err().code(), 400);
    }
}
