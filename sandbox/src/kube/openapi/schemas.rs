//! The schemas of the built-in kinds.
//!
//! They come compressed from the crate `k8s-openapi`, which the server itself does not contain: a test compares
//! them and writes them anew (`sandbox/tests/it/kube_schemas.rs`, which also says which lists a strategic merge
//! patch merges). They are read when somebody first asks for them.

use std::sync::LazyLock;

use serde_json::{Map, Value};

const COMPRESSED: &[u8] = include_bytes!("builtin.deflate");
const PREFIX: &str = "#/components/schemas/";

/// A constant, which is unpacked once a process and not once a server.
static TABLE: LazyLock<Value> = LazyLock::new(|| {
    // The test reads the same bytes: they are whole.
    let text = miniz_oxide::inflate::decompress_to_vec(COMPRESSED).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
});

/// The name of the schema of a kind.
pub(crate) fn definition_of(api_version: &str, kind: &str) -> Option<&'static str> {
    TABLE["kinds"][format!("{api_version}/{kind}")].as_str()
}

/// A schema as OpenAPI documents have it; what it refers to is added to `wanted`.
pub(crate) fn publish(name: &str, wanted: &mut Vec<String>) -> Value {
    let mut schema = Schema::named(name).value.clone();
    if schema.is_null() {
        schema = Value::Object(Map::new());
    }
    complete(&mut schema, wanted);
    schema
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
pub(crate) struct Schema {
    value: &'static Value,
}

/// What the values of a schema look like in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// An object with named members.
    Members,
    /// An object with members of any name and one schema.
    Map,
    List,
    Text,
    /// Base64.
    Bytes,
    Truth,
    /// Of 32 bits.
    Int32,
    /// Of 64 bits.
    Int64,
    Number,
    IntOrText,
    Quantity,
    /// A time in whole seconds.
    Time,
    /// A time in whole microseconds.
    MicroTime,
}

impl Schema {
    /// The schema of a kind.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        definition_of(api_version, kind).map(Self::named)
    }

    /// The schema of the metadata of every kind.
    pub fn of_metadata() -> Self {
        Self::named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    }

    fn named(name: &str) -> Self {
        Self {
            value: &TABLE["definitions"][name],
        }
    }

    /// The schema of a member; none when an object of this schema has no such member.
    pub fn member(self, name: &str) -> Option<Self> {
        let value = self.target().value;
        let named = value.get("properties").and_then(|members| members.get(name));
        named.or_else(|| value.get("additionalProperties")).map(Self::at)
    }

    /// The schema of the items of a list.
    pub fn item(self) -> Option<Self> {
        self.target().value.get("items").map(Self::at)
    }

    /// What its values look like.
    pub fn shape(self) -> Shape {
        let named = match self.type_name() {
            "Quantity" => Some(Shape::Quantity),
            "IntOrString" => Some(Shape::IntOrText),
            "Time" => Some(Shape::Time),
            "MicroTime" => Some(Shape::MicroTime),
            _ => None,
        };
        named.unwrap_or_else(|| self.target().own_shape())
    }

    fn own_shape(self) -> Shape {
        let text = |field: &str| self.value.get(field).and_then(Value::as_str).unwrap_or_default();
        let has = |field: &str| self.value.get(field).is_some_and(Value::is_object);
        match (text("type"), text("format")) {
            ("object", _) if has("properties") => Shape::Members,
            ("object", _) if has("additionalProperties") => Shape::Map,
            ("array", _) => Shape::List,
            ("string", "byte") => Shape::Bytes,
            ("string", _) => Shape::Text,
            ("boolean", _) => Shape::Truth,
            ("integer", "int32") => Shape::Int32,
            ("integer", _) => Shape::Int64,
            ("number", _) => Shape::Number,
            _ => Shape::Any,
        }
    }

    /// The last part of the name under which the schema is defined; empty where it stands in another.
    pub fn type_name(self) -> &'static str {
        self.reference()
            .and_then(|name| name.rsplit('.').next())
            .unwrap_or_default()
    }

    /// By which member a strategic merge patch tells items apart.
    pub fn merge_key(self) -> Option<&'static str> {
        self.value.get("x-kubernetes-patch-merge-key")?.as_str()
    }

    /// True when a strategic merge patch does `strategy` here: `merge`, `retainKeys`.
    pub fn has_strategy(self, strategy: &str) -> bool {
        let text = self.value["x-kubernetes-patch-strategy"].as_str();
        text.is_some_and(|text| text.split(',').any(|name| name == strategy))
    }

    const fn at(value: &'static Value) -> Self {
        Self { value }
    }

    /// The name of the schema that this one refers to.
    fn reference(self) -> Option<&'static str> {
        let direct = self.value.get("$ref");
        direct.or_else(|| self.value.pointer("/allOf/0/$ref"))?.as_str()
    }

    /// The schema that this one refers to, or this one.
    fn target(self) -> Self {
        self.reference().map_or(self, Self::named)
    }
}
