//! Checks of a value against its schema: types, required members, bounds, patterns, formats.
//!
//! Texts follow the API server, where a field is named in front of the message and once more in it.

use serde_json::Value;

use super::format::Format;
use super::node::{Additional, Bound, Checks, Kind, Node};
use crate::kube::validation::{FieldError, quote};

/// Everything wrong with a whole object apart from its CEL rules and repeated list items.
pub(super) fn root(schema: &Node, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    value(schema, "", new, old, &mut errors);
    errors
}

/// Complains about defaults that their own schema refuses.
pub(super) fn defaults(schema: &Node, path: &str, errors: &mut Vec<String>) {
    if let Some(default) = &schema.default {
        let mut faults = Vec::new();
        value(schema, "", default, None, &mut faults);
        errors.extend(
            faults
                .iter()
                .map(|fault| format!("{path}.default{}: {}", dotted(&fault.field), fault.message)),
        );
    }
    for (name, member) in &schema.properties {
        defaults(member, &format!("{path}.properties[{name}]"), errors);
    }
    if let Additional::Schema(member) = &schema.additional {
        defaults(member, &format!("{path}.additionalProperties"), errors);
    }
    if let Some(item) = &schema.items {
        defaults(item, &format!("{path}.items"), errors);
    }
}

fn dotted(field: &str) -> String {
    if field.is_empty() || field == "<nil>" {
        String::new()
    } else {
        format!(".{field}")
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn value(schema: &Node, path: &str, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    // Ratcheting: what an update leaves alone is not judged again.
    if old == Some(new) {
        return;
    }
    if schema.kind == Some(Kind::Integer) && new.is_number() && !is_integer(new) {
        no_integer(schema, path, new, errors);
    } else if !type_holds(schema, new) {
        errors.push(wrong_type(schema, path, new));
        return;
    }
    if !new.is_null() {
        scalar(&schema.checks, path, new, errors);
        combined(schema, path, new, errors);
    }
    match new {
        Value::Object(_) => object(schema, path, new, old, errors),
        Value::Array(_) => array(schema, path, new, old, errors),
        _ => {}
    }
}

fn type_holds(schema: &Node, value: &Value) -> bool {
    if value.is_null() {
        return schema.nullable || schema.kind.is_none() && !schema.int_or_string;
    }
    if schema.int_or_string {
        return value.is_string() || is_integer(value);
    }
    match schema.kind {
        None => true,
        Some(Kind::Object) => value.is_object(),
        Some(Kind::Array) => value.is_array(),
        Some(Kind::String) => value.is_string(),
        Some(Kind::Integer) => is_integer(value),
        Some(Kind::Number) => value.is_number(),
        Some(Kind::Boolean) => value.is_boolean(),
    }
}

fn is_integer(value: &Value) -> bool {
    const LARGEST_FLOAT: f64 = 9_007_199_254_740_991.0;
    let is_whole = |number: f64| number.fract() == 0.0 && number.abs() <= LARGEST_FLOAT;
    value.is_i64() || value.as_f64().is_some_and(is_whole)
}

/// A number where an integer must be.
fn no_integer(schema: &Node, path: &str, value: &Value, errors: &mut Vec<FieldError>) {
    let format = schema
        .checks
        .format
        .filter(|format| matches!(format, Format::Int32 | Format::Int64));
    let (wanted, found, form) = match format {
        None => ("integer", "number", "(default format)".to_owned()),
        Some(format) => (format.name(), "float64", format!("with format {}", format.name())),
    };
    let detail = format!("{path} in body must be of type {wanted}: {}", quote(found));
    errors.push(FieldError::type_invalid(
        named(path),
        &Value::from(found),
        &detail,
    ));
    let fits = |number: f64| number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_807.0;
    if !value.as_f64().is_some_and(fits) {
        let detail = format!("Checked value must be of type integer {form} in {path}");
        errors.push(FieldError::invalid("<nil>", &Value::from(""), &detail));
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong_type(schema: &Node, path: &str, value: &Value) -> FieldError {
    let wanted = if schema.int_or_string {
        "integer,string"
    } else {
        schema.kind.map_or("", Kind::name)
    };
    let found = type_name(value);
    let detail = format!("{path} in body must be of type {wanted}: {}", quote(found));
    FieldError::type_invalid(named(path), &Value::from(found), &detail)
}

fn named(path: &str) -> &str {
    if path.is_empty() { "<nil>" } else { path }
}

fn scalar(checks: &Checks, path: &str, value: &Value, errors: &mut Vec<FieldError>) {
    if !checks.allowed.is_empty() && !checks.allowed.contains(value) {
        let supported: Vec<String> = checks.allowed.iter().map(plain).collect();
        errors.push(FieldError::not_supported(named(path), value, &supported));
    }
    if let Some(format) = checks.format.filter(|format| !format.holds(value)) {
        let detail = format!(
            "{path} in body must be of type {}: {}",
            format.name(),
            quote(&plain(value))
        );
        errors.push(FieldError::type_invalid(named(path), value, &detail));
    }
    match value {
        Value::Number(_) => number(checks, path, value, errors),
        Value::String(content) => text(checks, path, content, errors),
        _ => {}
    }
}

/// A text without quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn number(checks: &Checks, path: &str, value: &Value, errors: &mut Vec<FieldError>) {
    let number = value.as_f64().unwrap_or(f64::NAN);
    let mut complain = |relation: &str, limit: &str| {
        let detail = format!("{path} in body should be {relation} {limit}");
        errors.push(FieldError::invalid(named(path), value, &detail));
    };
    if let Some(Bound {
        limit,
        text,
        exclusive,
    }) = &checks.minimum
        && (number < *limit || *exclusive && number <= *limit)
    {
        complain(
            if *exclusive {
                "greater than"
            } else {
                "greater than or equal to"
            },
            text,
        );
    }
    if let Some(Bound {
        limit,
        text,
        exclusive,
    }) = &checks.maximum
        && (number > *limit || *exclusive && number >= *limit)
    {
        complain(
            if *exclusive {
                "less than"
            } else {
                "less than or equal to"
            },
            text,
        );
    }
    if let Some(factor) = checks
        .multiple_of
        .filter(|factor| (number / factor).fract() != 0.0)
    {
        complain("a multiple of", &factor.to_string());
    }
}

fn text(checks: &Checks, path: &str, content: &str, errors: &mut Vec<FieldError>) {
    let length = content.chars().count() as u64;
    let value = || Value::from(content);
    if let Some(limit) = checks.max_length.filter(|limit| length > *limit) {
        errors.push(FieldError::too_long(named(path), limit));
    }
    if let Some(limit) = checks.min_length.filter(|limit| length < *limit) {
        let detail = format!("{path} in body should be at least {limit} chars long");
        errors.push(FieldError::invalid(named(path), &value(), &detail));
    }
    if let Some(pattern) = checks
        .pattern
        .as_ref()
        .filter(|pattern| !pattern.is_match(content))
    {
        let detail = format!("{path} in body should match '{pattern}'");
        errors.push(FieldError::invalid(named(path), &value(), &detail));
    }
}

fn object(schema: &Node, path: &str, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let Value::Object(members) = new else {
        return;
    };
    let count = members.len() as u64;
    if let Some(limit) = schema.checks.max_properties.filter(|limit| count > *limit) {
        errors.push(FieldError::too_many(named(path), count, limit));
    }
    if let Some(limit) = schema.checks.min_properties.filter(|limit| count < *limit) {
        let detail = format!("{path} in body should have at least {limit} properties");
        errors.push(FieldError::invalid(named(path), new, &detail));
    }
    for name in &schema.required {
        if !members.contains_key(name) {
            errors.push(FieldError::required(join(path, name), ""));
        }
    }
    if schema.embedded {
        embedded(path, new, errors);
    }
    for (name, child) in members {
        if let Some(member) = schema.member(name) {
            let former = schema.former_member(old, name);
            value(member, &join(path, name), child, former, errors);
        }
    }
}

/// An object within an object says what it is.
fn embedded(path: &str, object: &Value, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        match object.get(name) {
            None => errors.push(FieldError::required(join(path, name), "must not be empty")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::required(join(path, name), "must not be empty"));
            }
            Some(_) => {}
        }
    }
}

fn array(schema: &Node, path: &str, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let Value::Array(items) = new else {
        return;
    };
    let count = items.len() as u64;
    if let Some(limit) = schema.checks.max_items.filter(|limit| count > *limit) {
        errors.push(FieldError::too_many(named(path), count, limit));
    }
    if let Some(limit) = schema.checks.min_items.filter(|limit| count < *limit) {
        let detail = format!("{path} in body should have at least {limit} items");
        errors.push(FieldError::invalid(named(path), new, &detail));
    }
    if let Some(item_schema) = &schema.items {
        for (index, item) in items.iter().enumerate() {
            let former = schema.former_item(old, item);
            value(item_schema, &format!("{path}[{index}]"), item, former, errors);
        }
    }
}

fn combined(schema: &Node, path: &str, new: &Value, errors: &mut Vec<FieldError>) {
    let holds = |branch: &Node| {
        let mut faults = Vec::new();
        value(branch, path, new, None, &mut faults);
        faults.is_empty()
    };
    let mut complain = |message: &str| {
        let detail = format!("{} {message}", quote(path));
        errors.push(FieldError::invalid("<nil>", &Value::from(""), &detail));
    };
    let parts = &schema.combined;
    if !parts.all.iter().all(holds) {
        complain("must validate all the schemas (allOf)");
    }
    // An integer or a text is checked by the type already.
    if !parts.any.is_empty() && !schema.int_or_string && !parts.any.iter().any(holds) {
        complain("must validate at least one schema (anyOf)");
    }
    match parts.one.iter().filter(|branch| holds(branch)).count() {
        _ if parts.one.is_empty() => {}
        0 => complain("must validate one and only one schema (oneOf). Found none valid"),
        1 => {}
        many => complain(&format!(
            "must validate one and only one schema (oneOf). Found {many} valid alternatives"
        )),
    }
    if parts.not.as_ref().is_some_and(|branch| holds(branch)) {
        complain("must not validate the schema (not)");
    }
}
