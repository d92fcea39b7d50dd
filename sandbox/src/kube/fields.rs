//! Reading what clients send: types, and fields that a kind does not have (`fieldValidation`).

use serde_json::Value;

use super::decode::decode;
use super::error::{ApiError, Cause};
use super::openapi::Schema;
use super::write::Target;

/// What the client wants to be told of unknown fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directive {
    Ignore,
    Warn,
    Strict,
}

impl Directive {
    /// Reads the query parameter.
    ///
    /// # Errors
    /// Invalid.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "Ignore" => Ok(Self::Ignore),
            "" | "Warn" => Ok(Self::Warn),
            "Strict" => Ok(Self::Strict),
            other => {
                let message = format!(
                    "Invalid value: \"{other}\": fieldValidation must be one of: \"Strict\", \"Warn\", or \"Ignore\""
                );
                let cause = Cause::new("FieldValueInvalid", "fieldValidation", message);
                Err(ApiError::invalid("CreateOptions", "meta.k8s.io", "", vec![cause]))
            }
        }
    }
}

/// Reads an object that a client sent into its type. The answer names the fields that the type does not have, in
/// order.
///
/// # Errors
/// What the API server says of a value that does not fit the type. All but the metadata of custom kinds is held against
/// their schemas later.
pub(crate) fn read(target: &Target<'_>, object: &mut Value) -> Result<Vec<String>, String> {
    if !object.is_object() {
        // Refused as such, by the check of its type.
        return Ok(Vec::new());
    }
    let kind = &target.resource.kind;
    match &target.resource.custom {
        Some(custom) => {
            let mut unknown = Vec::new();
            custom.unknown(target.version, object, &mut unknown);
            whole_numbers(object);
            if let Some(metadata) = object.get_mut("metadata") {
                // The fields that it does not have are among the unknown ones.
                decode(Schema::of_metadata(), "ObjectMeta", metadata)?;
            }
            Ok(unknown)
        }
        None => match Schema::of(&target.resource.api_version(target.version), kind) {
            Some(schema) => decode(schema, kind, object),
            None => Ok(Vec::new()),
        },
    }
}

/// Writes numbers like `1.0` as the integers that they are. The API server takes numbers up to 2^53 for integers.
fn whole_numbers(value: &mut Value) {
    const LARGEST: f64 = 9_007_199_254_740_991.0;
    match value {
        Value::Number(number) => {
            let float = number
                .as_f64()
                .filter(|float| number.is_f64() && float.fract() == 0.0);
            if let Some(float) = float.filter(|float| float.abs() <= LARGEST)
                && let Ok(whole) = format!("{float:.0}").parse::<i64>()
            {
                *value = Value::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// The texts of unknown fields, in warnings and errors.
pub(crate) fn texts(unknown: &[String]) -> Vec<String> {
    let texts = unknown.iter().map(|path| format!("unknown field \"{path}\""));
    texts.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_floats_are_integers() {
        let mut value =
            json!({"a": [1.0, 1.5, -0.0, 9.007_199_254_740_991e15, 9.007_199_254_740_994e15, 1e300]});
        whole_numbers(&mut value);
        assert_eq!(
            value.to_string(),
            r#"{"a":[1,1.5,0,9007199254740991,9007199254740994.0,1e+300]}"#
        );
    }
}
