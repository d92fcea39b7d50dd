//! The types of the values and expressions of rules: what a rule cannot mean is refused with its definition.
//!
//! | Module | Subject |
//! |---|---|
//! | [`signatures`] | the functions and operators, with the types that they take and give |
//! | [`checker`], [`macros`] | the type of an expression |
//!
//! Sources: `cel-go checker`, apiserver `pkg/cel/common/schemas.go`.

pub(super) mod checker;
mod macros;
pub(super) mod signatures;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::format::Format;
use super::node::{Additional, Kind, Node};
use super::value::names;

/// The type of an expression.
#[derive(Clone, Debug)]
pub(super) enum Type {
    /// Known only when the rule is evaluated.
    Dyn,
    /// `int`, `string` and others without parts.
    Simple(&'static str),
    List(Box<Type>),
    Map(Box<[Type; 2]>),
    Optional(Box<Type>),
    /// An object of a schema: no other object has its type, whatever its fields.
    Object(Arc<Fields>),
    /// Stands for any type in a signature, the same at each place.
    Parameter(u8),
}

/// The fields of an object, by the names that rules have for them.
#[derive(Debug, Default)]
pub(super) struct Fields(BTreeMap<String, Type>);

/// Simple types with their names in errors.
const SIMPLE: [(&str, &str); 16] = [
    ("bool", "bool"),
    ("bytes", "bytes"),
    ("cidr", "net.CIDR"),
    ("double", "double"),
    ("duration", "google.protobuf.Duration"),
    ("format", "kubernetes.NamedFormat"),
    ("int", "int"),
    ("ip", "net.IP"),
    ("null", "null"),
    ("quantity", "kubernetes.Quantity"),
    ("semver", "kubernetes.Semver"),
    ("string", "string"),
    ("timestamp", "google.protobuf.Timestamp"),
    ("type", "type"),
    ("uint", "uint"),
    ("url", "kubernetes.URL"),
];

impl Type {
    pub(super) const BOOL: Self = Self::Simple("bool");
    pub(super) const STRING: Self = Self::Simple("string");
    const INT: Self = Self::Simple("int");
    const TYPE: Self = Self::Simple("type");

    pub(super) fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    pub(super) fn map(keys: Self, values: Self) -> Self {
        Self::Map(Box::new([keys, values]))
    }

    pub(super) fn optional(of: Self) -> Self {
        Self::Optional(Box::new(of))
    }

    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Simple(own) if *own == name)
    }

    /// The type of the values of a schema; at the root with what every object has.
    pub(super) fn of(node: &Node, is_root: bool) -> Self {
        if node.int_or_string {
            return Self::Dyn;
        }
        match node.kind {
            Some(Kind::Boolean) => Self::BOOL,
            Some(Kind::Integer) => Self::INT,
            Some(Kind::Number) => Self::Simple("double"),
            Some(Kind::String) => match node.checks.format {
                Some(Format::Byte) => Self::Simple("bytes"),
                Some(Format::Duration) => Self::Simple("duration"),
                Some(Format::Date | Format::DateTime) => Self::Simple("timestamp"),
                _ => Self::STRING,
            },
            Some(Kind::Array) => Self::list(
                node.items
                    .as_deref()
                    .map_or(Self::Dyn, |items| Self::of(items, false)),
            ),
            Some(Kind::Object) => match &node.additional {
                Additional::Schema(values) => Self::map(Self::STRING, Self::of(values, false)),
                // Values of any type have none: of such a map rules see nothing.
                Additional::Any | Additional::None => {
                    Self::Object(Arc::new(Fields::of(node, is_root || node.embedded)))
                }
            },
            None => Self::Dyn,
        }
    }
}

impl Fields {
    /// What has no type is no field for rules.
    fn of(node: &Node, is_object: bool) -> Self {
        let typed = node
            .properties
            .iter()
            .filter(|(_, field)| field.kind.is_some() || field.int_or_string);
        let mut fields: BTreeMap<String, Type> = typed
            .flat_map(|(name, field)| {
                let of = Type::of(field, false);
                names(name).into_iter().map(move |name| (name, of.clone()))
            })
            .collect();
        if is_object {
            let named = ["name", "generateName"].map(|name| (name.to_owned(), Type::STRING));
            let metadata = Type::Object(Arc::new(Self(named.into())));
            fields.insert("metadata".to_owned(), metadata);
            for name in ["apiVersion", "kind"] {
                fields.insert(name.to_owned(), Type::STRING);
            }
        }
        Self(fields)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Parameter(_) => f.write_str("dyn"),
            Self::Simple(name) => {
                let shown = SIMPLE.iter().find(|(own, _)| own == name);
                f.write_str(shown.map_or(*name, |(_, shown)| *shown))
            }
            Self::List(of) => write!(f, "list({of})"),
            Self::Map(parts) => write!(f, "map({}, {})", parts[0], parts[1]),
            Self::Optional(of) => write!(f, "optional_type({of})"),
            Self::Object(_) => f.write_str("object"),
        }
    }
}

/// What the parameters of a signature stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings(BTreeMap<u8, Type>);

impl Bindings {
    /// Whether a value of the second type can stand where the first is expected.
    pub(super) fn accept(&mut self, expected: &Type, actual: &Type) -> bool {
        match (expected, actual) {
            (Type::Parameter(letter), _) => match self.0.get(letter).cloned() {
                None => {
                    self.0.insert(*letter, actual.clone());
                    true
                }
                Some(bound) => {
                    let holds = self.accept(&bound, actual) || self.accept(actual, &bound);
                    // What is known of a place is known of all.
                    if holds && contains_dyn(&bound) && !contains_dyn(actual) {
                        self.0.insert(*letter, actual.clone());
                    }
                    holds
                }
            },
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::Simple("null"), other) | (other, Type::Simple("null")) => {
                other.is("null") || may_be_null(other)
            }
            (Type::Simple(one), Type::Simple(other)) => one == other,
            (Type::List(one), Type::List(other)) | (Type::Optional(one), Type::Optional(other)) => {
                self.accept(one, other)
            }
            (Type::Map(one), Type::Map(other)) => {
                self.accept(&one[0], &other[0]) && self.accept(&one[1], &other[1])
            }
            (Type::Object(one), Type::Object(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// A type of the signature with what its parameters stand for.
    pub(super) fn resolve(&self, of: &Type) -> Type {
        match of {
            Type::Parameter(letter) => self.0.get(letter).cloned().unwrap_or(Type::Dyn),
            Type::List(of) => Type::list(self.resolve(of)),
            Type::Optional(of) => Type::optional(self.resolve(of)),
            Type::Map(parts) => Type::map(self.resolve(&parts[0]), self.resolve(&parts[1])),
            other => other.clone(),
        }
    }
}

fn may_be_null(of: &Type) -> bool {
    match of {
        Type::Object(_) | Type::Optional(_) => true,
        Type::Simple(name) => {
            let plain = ["bool", "bytes", "double", "int", "string", "type", "uint"];
            !plain.contains(name)
        }
        _ => false,
    }
}

fn contains_dyn(of: &Type) -> bool {
    match of {
        Type::Dyn | Type::Parameter(_) => true,
        Type::List(of) | Type::Optional(of) => contains_dyn(of),
        Type::Map(parts) => parts.iter().any(contains_dyn),
        Type::Simple(_) | Type::Object(_) => false,
    }
}
