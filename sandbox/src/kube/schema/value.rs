//! JSON values as CEL sees them through a schema.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::Value as Cel;
use kube_cel::cel::objects::{Key, Map};
use serde_json::Value;

use super::format::{self, Format};
use super::node::{Kind, Node};

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
    let text = |value: &Value| Cel::String(Arc::new(value.as_str().unwrap_or_default().to_owned()));
    for name in ["apiVersion", "kind"] {
        members.insert(key(name), text(&object[name]));
    }
    let metadata: HashMap<Key, Cel> = ["name", "generateName"]
        .into_iter()
        .filter(|name| object["metadata"].get(name).is_some())
        .map(|name| (key(name), text(&object["metadata"][name])))
        .collect();
    members.insert(key("metadata"), map(metadata));
    map(members)
}

/// A value below the root.
pub(super) fn convert(schema: Option<&Node>, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => convert_number(schema, number),
        Value::String(text) => convert_text(schema, text),
        Value::Array(items) => {
            let item_schema = schema.and_then(|schema| schema.items.as_deref());
            Cel::List(Arc::new(
                items.iter().map(|item| convert(item_schema, item)).collect(),
            ))
        }
        Value::Object(object) => match schema {
            Some(schema) => map(members(schema, value)),
            None => map(object
                .iter()
                .map(|(name, child)| (key(&escape(name)), convert(None, child)))
                .collect()),
        },
    }
}

fn members(schema: &Node, object: &Value) -> HashMap<Key, Cel> {
    let Value::Object(object) = object else {
        return HashMap::new();
    };
    let converted = object.iter().map(|(name, child)| {
        // Keys of a map are data; only names of fields are escaped.
        let shown = if schema.is_key(name) {
            key(name)
        } else {
            key(&escape(name))
        };
        (shown, convert(schema.member(name), child))
    });
    converted.collect()
}

fn key(name: &str) -> Key {
    Key::String(Arc::new(name.to_owned()))
}

fn map(members: HashMap<Key, Cel>) -> Cel {
    Cel::Map(Map {
        map: Arc::new(members),
    })
}

fn convert_number(schema: Option<&Node>, number: &serde_json::Number) -> Cel {
    let real = Cel::Float(number.as_f64().unwrap_or(f64::NAN));
    if schema.is_some_and(|schema| schema.kind == Some(Kind::Number)) {
        return real;
    }
    number.as_i64().map_or(real, Cel::Int)
}

fn convert_text(schema: Option<&Node>, text: &str) -> Cel {
    let plain = || Cel::String(Arc::new(text.to_owned()));
    match schema
        .filter(|schema| !schema.int_or_string)
        .and_then(|schema| schema.checks.format)
    {
        Some(Format::DateTime) => {
            chrono::DateTime::parse_from_rfc3339(text).map_or_else(|_| plain(), Cel::Timestamp)
        }
        Some(Format::Duration) => format::duration(text).map_or_else(plain, |nanoseconds| {
            Cel::Duration(chrono::Duration::nanoseconds(nanoseconds))
        }),
        Some(Format::Byte) => format::bytes(text).map_or_else(plain, |bytes| Cel::Bytes(Arc::new(bytes))),
        _ => plain(),
    }
}

/// The name of a field within an expression: reserved words and the characters that an identifier
/// cannot have are written out.
fn escape(name: &str) -> String {
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
