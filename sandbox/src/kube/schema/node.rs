//! The compiled schema tree.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::format::Format;
use super::rules::Rule;

/// The JSON type that a schema asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ListType {
    #[default]
    Atomic,
    Set,
    /// With the names of the key fields.
    Map(Vec<String>),
}

/// What `additionalProperties` says.
#[derive(Debug, Default)]
pub(super) enum Additional {
    #[default]
    None,
    Any,
    Schema(Box<Node>),
}

/// A bound of a number.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) limit: f64,
    /// The limit as written, for the message.
    pub(super) text: String,
    pub(super) exclusive: bool,
}

/// The checks of a value that need nothing of its children.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) allowed: Vec<Value>,
    pub(super) minimum: Option<Bound>,
    pub(super) maximum: Option<Bound>,
    pub(super) multiple_of: Option<f64>,
    pub(super) min_length: Option<u64>,
    pub(super) max_length: Option<u64>,
    pub(super) pattern: Option<Regex>,
    pub(super) format: Option<Format>,
    pub(super) min_items: Option<u64>,
    pub(super) max_items: Option<u64>,
    pub(super) min_properties: Option<u64>,
    pub(super) max_properties: Option<u64>,
}

/// `allOf`, `anyOf`, `oneOf` and `not`.
#[derive(Debug, Default)]
pub(super) struct Combined {
    pub(super) all: Vec<Node>,
    pub(super) any: Vec<Node>,
    pub(super) one: Vec<Node>,
    pub(super) not: Option<Box<Node>>,
}

/// One schema.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) kind: Option<Kind>,
    pub(super) int_or_string: bool,
    pub(super) nullable: bool,
    pub(super) preserve_unknown: bool,
    pub(super) embedded: bool,
    /// `x-kubernetes-map-type: atomic`: members have no history of their own.
    pub(super) atomic_map: bool,
    pub(super) list: ListType,
    pub(super) properties: BTreeMap<String, Node>,
    pub(super) additional: Additional,
    pub(super) items: Option<Box<Node>>,
    pub(super) required: Vec<String>,
    pub(super) checks: Checks,
    pub(super) combined: Combined,
    pub(super) default: Option<Value>,
    pub(super) rules: Vec<Rule>,
    /// This schema or one below it has rules.
    pub(super) has_rules: bool,
}

impl Node {
    /// The schema of one member of an object.
    pub(super) fn member(&self, name: &str) -> Option<&Node> {
        self.properties.get(name).or(match &self.additional {
            Additional::Schema(schema) => Some(schema),
            Additional::None | Additional::Any => None,
        })
    }

    /// True where a member of this name is data of the user rather than a field.
    pub(super) fn is_key(&self, name: &str) -> bool {
        !self.properties.contains_key(name) && !matches!(self.additional, Additional::None)
    }

    /// The stored counterpart of an item of a list, where the list type gives items an identity.
    pub(super) fn former_item<'a>(&self, old: Option<&'a Value>, item: &Value) -> Option<&'a Value> {
        let ListType::Map(keys) = &self.list else {
            return None;
        };
        old?.as_array()?
            .iter()
            .find(|former| keys.iter().all(|key| former.get(key) == item.get(key)))
    }

    /// The stored counterpart of a member, where members have a history of their own.
    pub(super) fn former_member<'a>(&self, old: Option<&'a Value>, name: &str) -> Option<&'a Value> {
        if self.atomic_map { None } else { old?.get(name) }
    }
}
