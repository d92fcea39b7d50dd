//! Field errors with the texts of the API server.

use std::fmt;

use serde_json::Value;

/// What is wrong with a field. The reason string is that of the causes of an `Invalid` status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// A needed value is missing.
    Required,
    /// The value is malformed or breaks a rule.
    Invalid,
    /// The value is not one of the known ones.
    NotSupported,
    /// The text has too many bytes.
    TooLong,
    /// The list or map has too many entries.
    TooMany,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// The value is well formed but not allowed here.
    Forbidden,
    /// The value occurs twice where it must be unique.
    Duplicate,
    /// The value refers to nothing.
    NotFound,
}

impl ErrorKind {
    /// The `reason` of a status cause.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Forbidden => "FieldValueForbidden",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
        }
    }

    /// True for the kinds that keep the rules of a custom resource from being evaluated at all.
    pub(crate) fn blocks_rules(self) -> bool {
        matches!(
            self,
            Self::Required | Self::NotSupported | Self::TooLong | Self::TypeInvalid
        )
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Forbidden => "Forbidden",
            Self::Duplicate => "Duplicate value",
            Self::NotFound => "Not found",
        })
    }
}

/// One broken rule of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, `spec.source` or `spec.accessModes[0]`; `<nil>` for the object as a whole.
    pub field: String,
    /// The class of the error.
    pub kind: ErrorKind,
    /// The text that follows `field: ` in the answer of the API server.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl FieldError {
    /// `Required value`, with a detail unless that is empty.
    #[must_use]
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::bare(field, ErrorKind::Required, detail)
    }

    /// `Forbidden`, with a detail.
    #[must_use]
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::bare(field, ErrorKind::Forbidden, detail)
    }

    /// `Invalid value: <value>: <detail>`.
    #[must_use]
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::valued(field, ErrorKind::Invalid, value, detail)
    }

    /// `Invalid value: <detail>`, for values that are too large to be shown.
    #[must_use]
    pub fn invalid_unshown(field: impl Into<String>, detail: &str) -> Self {
        Self::bare(field, ErrorKind::Invalid, detail)
    }

    /// `Invalid value: <value>: <detail>` for a wrong JSON type.
    #[must_use]
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::valued(field, ErrorKind::TypeInvalid, value, detail)
    }

    /// `Unsupported value: <value>: supported values: ...`.
    #[must_use]
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[String]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|s| quote(s)).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Self::valued(field, ErrorKind::NotSupported, value, &detail)
    }

    /// `Too long: may not be more than N bytes`.
    #[must_use]
    pub fn too_long(field: impl Into<String>, limit: u64) -> Self {
        Self::bare(
            field,
            ErrorKind::TooLong,
            &format!("may not be more than {limit} bytes"),
        )
    }

    /// `Too many: <actual>: must have at most N items`.
    #[must_use]
    pub fn too_many(field: impl Into<String>, actual: u64, limit: u64) -> Self {
        let detail = format!("must have at most {limit} items");
        Self::valued(field, ErrorKind::TooMany, &Value::from(actual), &detail)
    }

    /// `Duplicate value: <value>`.
    #[must_use]
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::valued(field, ErrorKind::Duplicate, value, "")
    }

    /// `Duplicate value`, for values that are too large to be shown.
    #[must_use]
    pub fn duplicate_unshown(field: impl Into<String>) -> Self {
        Self::bare(field, ErrorKind::Duplicate, "")
    }

    fn bare(field: impl Into<String>, kind: ErrorKind, detail: &str) -> Self {
        let message = if detail.is_empty() {
            kind.to_string()
        } else {
            format!("{kind}: {detail}")
        };
        Self {
            field: field.into(),
            kind,
            message,
        }
    }

    fn valued(field: impl Into<String>, kind: ErrorKind, value: &Value, detail: &str) -> Self {
        let shown = show(value);
        let message = if detail.is_empty() {
            format!("{kind}: {shown}")
        } else {
            format!("{kind}: {shown}: {detail}")
        };
        Self {
            field: field.into(),
            kind,
            message,
        }
    }
}

/// A text in double quotes with the escapes of the API server's language.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A value as the API server prints it in an error: texts quoted, all else as JSON.
fn show(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_those_of_the_api_server() {
        let cases = [
            (
                FieldError::required("spec.source", ""),
                "spec.source: Required value",
            ),
            (
                FieldError::not_supported(
                    "spec.deletionPolicy",
                    &json!("Keep"),
                    &["Delete".into(), "Retain".into()],
                ),
                "spec.deletionPolicy: Unsupported value: \"Keep\": supported values: \"Delete\", \"Retain\"",
            ),
            (
                FieldError::invalid("<nil>", &Value::Null, "x"),
                "<nil>: Invalid value: null: x",
            ),
            (
                FieldError::invalid("spec", &json!({"b": [1, null], "a": "q\"\n"}), "x"),
                "spec: Invalid value: {\"a\":\"q\\\"\\n\",\"b\":[1,null]}: x",
            ),
            (
                FieldError::too_long("spec.a", 5),
                "spec.a: Too long: may not be more than 5 bytes",
            ),
            (
                FieldError::too_many("spec.a", 4, 3),
                "spec.a: Too many: 4: must have at most 3 items",
            ),
            (
                FieldError::duplicate("spec.a[1]", &json!("x")),
                "spec.a[1]: Duplicate value: \"x\"",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
