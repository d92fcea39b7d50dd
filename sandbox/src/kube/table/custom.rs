//! The columns that a CustomResourceDefinition names (`additionalPrinterColumns`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use super::path::JsonPath;

/// One column of a custom type.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    name: String,
    kind: String,
    format: String,
    priority: i64,
    description: String,
    /// None where the path cannot be read: the cells stay empty.
    path: Option<JsonPath>,
}

/// The columns of a version of a definition; one with the age where it names none.
pub(crate) fn columns(version: &Value) -> Vec<Column> {
    match version["additionalPrinterColumns"].as_array() {
        Some(listed) if !listed.is_empty() => listed.iter().map(Column::read).collect(),
        _ => {
            let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
            vec![Column::read(&age)]
        }
    }
}

impl Column {
    fn read(column: &Value) -> Self {
        let text = |field: &str| column[field].as_str().unwrap_or_default().to_owned();
        let path = text("jsonPath");
        let description = match text("description") {
            nothing if nothing.is_empty() => {
                format!("Custom resource definition column (in JSONPath format): {path}")
            }
            given => given,
        };
        Self {
            name: text("name"),
            kind: text("type"),
            format: text("format"),
            priority: column["priority"].as_i64().unwrap_or(0),
            description,
            path: JsonPath::parse(&path),
        }
    }

    pub(super) fn header(&self) -> Value {
        super::header(
            &self.name,
            &self.kind,
            &self.format,
            self.priority,
            &self.description,
        )
    }

    /// The cell of an object; null, which prints as nothing, where there is no value of the right type.
    pub(super) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let value = self.path.as_ref().and_then(|path| path.first(object));
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Value::Null;
        };
        match (self.kind.as_str(), value) {
            ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => value.clone(),
            ("string", other) => Value::from(other.to_string()),
            ("integer", Value::Number(number)) => {
                let whole = number.as_i64();
                // Fractions are cut, as the API server does.
                let cut = || number.as_f64().map(|number| number.trunc() as i64);
                whole.or_else(cut).map_or(Value::Null, Value::from)
            }
            ("number", Value::Number(_)) => value.clone(),
            ("date", Value::String(moment)) => Value::from(age::since(Some(moment), now)),
            _ => Value::Null,
        }
    }
}
