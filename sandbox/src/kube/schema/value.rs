//! JSON values as CEL sees them through a schema.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString,
    CelTimestamp,
};
use cel::common::value::Val;
use serde_json::Value;

use super::format::{self, Format};
use super::library::keyed::Keyed;
use super::node::{Kind, ListType, Node};

/// A value as CEL has it.
pub(super) type Cel = Box<dyn Val>;

/// Words that stand for something in the grammar itself.
const GRAMMAR: [&str; 4] = ["true", "false", "null", "in"];

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The whole object: of its metadata rules see the name only.
pub(super) fn root(schema: &Node, object: &Value) -> Cel {
    let mut members = members(schema, object);
    let text = |value: &Value| boxed(CelString::from(value.as_str().unwrap_or_default().to_owned()));
    for name in ["apiVersion", "kind"] {
        members.insert(key(name), text(&object[name]));
    }
    let metadata: HashMap<CelMapKey<'static>, Cel> = ["name", "generateName"]
        .into_iter()
        .filter(|name| object["metadata"].get(name).is_some())
        .map(|name| (key(name), text(&object["metadata"][name])))
        .collect();
    members.insert(key("metadata"), boxed(CelMap::from(metadata)));
    boxed(CelMap::from(members))
}

/// A value below the root.
pub(super) fn convert(schema: Option<&Node>, value: &Value) -> Cel {
    match value {
        Value::Null => boxed(CelNull),
        Value::Bool(flag) => boxed(CelBool::from(*flag)),
        Value::Number(number) => convert_number(schema, number),
        Value::String(text) => convert_text(schema, text),
        Value::Array(items) => convert_list(schema, items),
        Value::Object(object) => match schema {
            Some(schema) => boxed(CelMap::from(members(schema, value))),
            None => {
                let members = object
                    .iter()
                    .flat_map(|(name, child)| named(name, convert(None, child)));
                boxed(CelMap::from(members.collect::<HashMap<_, _>>()))
            }
        },
    }
}

fn boxed(value: impl Val + 'static) -> Cel {
    Box::new(value)
}

fn members(schema: &Node, object: &Value) -> HashMap<CelMapKey<'static>, Cel> {
    let Value::Object(object) = object else {
        return HashMap::new();
    };
    let converted = object.iter().flat_map(|(name, child)| {
        let value = convert(schema.member(name), child);
        // Keys of a map are data; only names of fields are escaped.
        if schema.is_key(name) {
            vec![(key(name), value)]
        } else {
            named(name, value)
        }
    });
    converted.collect()
}

/// A field under each of its names.
fn named(field: &str, value: Cel) -> Vec<(CelMapKey<'static>, Cel)> {
    let names = names(field).into_iter();
    names.map(|name| (key(&name), value.clone())).collect()
}

fn key(name: &str) -> CelMapKey<'static> {
    CelMapKey::from(name.to_owned())
}

fn convert_list(schema: Option<&Node>, items: &[Value]) -> Cel {
    let item_schema = schema.and_then(|schema| schema.items.as_deref());
    let items = items.iter().map(|item| convert(item_schema, item)).collect();
    match schema.map_or(&ListType::Atomic, |schema| &schema.list) {
        ListType::Atomic => boxed(CelList::from(items)),
        ListType::Set => boxed(Keyed::new(items, Vec::new())),
        ListType::Map(keys) => boxed(Keyed::new(items, keys.iter().map(|key| escape(key)).collect())),
    }
}

fn convert_number(schema: Option<&Node>, number: &serde_json::Number) -> Cel {
    let real = || boxed(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)));
    if schema.is_some_and(|schema| schema.kind == Some(Kind::Number)) {
        return real();
    }
    number
        .as_i64()
        .map_or_else(real, |integer| boxed(CelInt::from(integer)))
}

fn convert_text(schema: Option<&Node>, text: &str) -> Cel {
    let format = schema
        .filter(|schema| !schema.int_or_string)
        .and_then(|schema| schema.checks.format);
    let converted = match format {
        Some(Format::DateTime) => convert_time(text),
        Some(Format::Date) => convert_time(&format!("{text}T00:00:00Z")),
        Some(Format::Duration) => format::duration(text)
            .map(|nanoseconds| boxed(CelDuration::from(chrono::Duration::nanoseconds(nanoseconds)))),
        Some(Format::Byte) => format::bytes(text).map(|bytes| boxed(CelBytes::from(bytes))),
        _ => None,
    };
    converted.unwrap_or_else(|| boxed(CelString::from(text.to_owned())))
}

fn convert_time(text: &str) -> Option<Cel> {
    format::time(text).map(|time| boxed(CelTimestamp::from(time)))
}

/// The names of a field within an expression. A word that is reserved may stand behind a point as it is, but for those
/// that the grammar knows.
pub(super) fn names(field: &str) -> Vec<String> {
    let mut names = vec![escape(field)];
    if RESERVED.contains(&field) && !GRAMMAR.contains(&field) {
        names.push(field.to_owned());
    }
    names
}

/// The name of a field within an expression: reserved words and the characters that an identifier
/// cannot have are written out.
pub(super) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let (text, length) = match c {
            '_' if rest.starts_with("__") => ("__underscores__", 2),
            '.' => ("__dot__", 1),
            '-' => ("__dash__", 1),
            '/' => ("__slash__", 1),
            c => {
                escaped.push(c);
                ("", c.len_utf8())
            }
        };
        escaped.push_str(text);
        rest = rest.get(length..).unwrap_or_default();
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_are_escaped_as_the_api_server_does() {
        for (name, escaped) in [
            ("namespace", "__namespace__"),
            ("a-b.c/d", "a__dash__b__dot__c__slash__d"),
            ("a_b", "a_b"),
            ("a__b", "a__underscores__b"),
            ("größe", "größe"),
        ] {
            assert_eq!(escape(name), escaped);
        }
    }
}
