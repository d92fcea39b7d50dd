//! The schemas of the built-in kinds.
//!
//! They come compressed from the crate `k8s-openapi`, which the server itself does not contain: a test compares
//! them and writes them anew (`sandbox/tests/it/kube_schemas.rs`, which also says which lists a strategic merge
//! patch merges). They are read when somebody first asks for them.

use std::sync::OnceLock;

use serde_json::{Map, Value};

const COMPRESSED: &[u8] = include_bytes!("builtin.deflate");
const PREFIX: &str = "#/components/schemas/";

/// All schemas, once they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    table: OnceLock<Value>,
}

impl Schemas {
    fn table(&self) -> &Value {
        self.table.get_or_init(|| {
            // The test reads the same bytes: they are whole.
            let text = miniz_oxide::inflate::decompress_to_vec(COMPRESSED).unwrap_or_default();
            serde_json::from_slice(&text).unwrap_or_default()
        })
    }

    /// The name of the schema of a kind.
    pub fn definition_of(&self, api_version: &str, kind: &str) -> Option<&str> {
        self.table()["kinds"][format!("{api_version}/{kind}")].as_str()
    }

    /// The schema of a kind.
    pub fn of(&self, api_version: &str, kind: &str) -> Option<Schema<'_>> {
        let name = self.definition_of(api_version, kind)?;
        Some(self.named(name))
    }

    fn named(&self, name: &str) -> Schema<'_> {
        Schema {
            all: self,
            value: &self.table()["definitions"][name],
        }
    }

    /// A schema as OpenAPI documents have it; what it refers to is added to `wanted`.
    pub fn publish(&self, name: &str, wanted: &mut Vec<String>) -> Value {
        let mut schema = self.named(name).value.clone();
        if schema.is_null() {
            schema = Value::Object(Map::new());
        }
        complete(&mut schema, wanted);
        schema
    }
}

/// Makes references whole.
fn complete(value: &mut Value, wanted: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref") {
                wanted.push(reference.clone());
                reference.insert_str(0, PREFIX);
            }
            map.values_mut().for_each(|child| complete(child, wanted));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| complete(item, wanted)),
        _ => {}
    }
}

/// A schema, or the place of one in another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema<'a> {
    all: &'a Schemas,
    value: &'a Value,
}

impl<'a> Schema<'a> {
    /// The schema of a member; none when an object of this schema has no such member.
    pub fn member(self, name: &str) -> Option<Self> {
        let target = self.target();
        let found = target
            .value
            .get("properties")
            .and_then(|properties| properties.get(name))
            .or_else(|| target.value.get("additionalProperties"))?;
        Some(target.at(found))
    }

    /// The schema of the items of a list.
    pub fn item(self) -> Option<Self> {
        let target = self.target();
        target.value.get("items").map(|items| target.at(items))
    }

    /// True where the schema says which members there are.
    pub fn lists_members(self) -> bool {
        let value = self.target().value;
        value.get("properties").is_some() || value.get("additionalProperties").is_some_and(Value::is_object)
    }

    /// By which member a strategic merge patch tells items apart.
    pub fn merge_key(self) -> Option<&'a str> {
        self.value.get("x-kubernetes-patch-merge-key")?.as_str()
    }

    /// True when a strategic merge patch does `strategy` here: `merge`, `retainKeys`.
    pub fn has_strategy(self, strategy: &str) -> bool {
        let text = self.value["x-kubernetes-patch-strategy"].as_str();
        text.is_some_and(|text| text.split(',').any(|name| name == strategy))
    }

    fn at(self, value: &'a Value) -> Self {
        Self { value, ..self }
    }

    /// The schema that this one refers to, or this one.
    fn target(self) -> Self {
        let reference = self
            .value
            .get("$ref")
            .or_else(|| self.value.pointer("/allOf/0/$ref"));
        match reference.and_then(Value::as_str) {
            Some(name) => self.all.named(name),
            None => self,
        }
    }
}
