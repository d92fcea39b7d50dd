//! Reading an object of a built-in kind into its type, as the API server does before any rule is looked at.
//!
//! What has the wrong type is refused, what the type does not have is dropped and named, absent and null are the same,
//! and times, quantities and bytes come out in the form in which the type writes them.

mod time;

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _, alphabet};
use serde_json::{Map, Value};

use super::openapi::{Schema, Shape};
use super::validation::quantity::Quantity;
use time::Precision;

/// Reads `object` in place. The answer names the fields that the kind does not have, in order.
///
/// # Errors
/// What the API server says of the first value that does not fit.
pub(crate) fn decode(schema: Schema, kind: &str, object: &mut Value) -> Result<Vec<String>, String> {
    let mut reader = Reader {
        path: Vec::new(),
        owner: kind.to_owned(),
        unknown: Vec::new(),
    };
    reader.value(schema, object)?;
    Ok(reader.unknown)
}

/// A walk through an object.
struct Reader {
    path: Vec<Part>,
    /// The type whose member is read.
    owner: String,
    unknown: Vec<String>,
}

/// A step of the way to a value.
enum Part {
    Member(String),
    Key(String),
    Index(usize),
}

impl Reader {
    fn value(&mut self, schema: Schema, value: &mut Value) -> Result<(), String> {
        let shape = schema.shape();
        match (shape, value) {
            (Shape::Any, _)
            | (Shape::Text, Value::String(_))
            | (Shape::Truth, Value::Bool(_))
            | (Shape::Number, Value::Number(_))
            | (Shape::IntOrText, Value::String(_)) => Ok(()),
            (Shape::Members, Value::Object(members)) => self.members(schema, members),
            (Shape::Map, Value::Object(members)) => self.map(schema, members),
            (Shape::List, Value::Array(items)) => self.items(schema, items),
            (Shape::Bytes, value @ Value::String(_)) => read_bytes(value),
            (Shape::Int32 | Shape::IntOrText, Value::Number(number))
                if number
                    .as_i64()
                    .is_some_and(|number| i32::try_from(number).is_ok()) =>
            {
                Ok(())
            }
            (Shape::Int64, Value::Number(number)) if number.as_i64().is_some() => Ok(()),
            (Shape::Quantity, value) => read_quantity(value),
            (Shape::Time, value @ Value::String(_)) => read_time(Precision::Seconds, value),
            (Shape::MicroTime, value @ Value::String(_)) => read_time(Precision::Micros, value),
            (_, value) => Err(self.wrong_type(schema, value)),
        }
    }

    fn members(&mut self, schema: Schema, members: &mut Map<String, Value>) -> Result<(), String> {
        let owner = match schema.type_name() {
            "" => self.owner.clone(),
            name => name.to_owned(),
        };
        let outer = std::mem::replace(&mut self.owner, owner);
        let mut dropped = Vec::new();
        for (name, value) in members.iter_mut() {
            let member = schema.member(name);
            self.path.push(Part::Member(name.clone()));
            match member {
                None => {
                    self.unknown.push(self.place());
                    dropped.push(name.clone());
                }
                // A raw value may be null.
                Some(member) if value.is_null() && member.shape() != Shape::Any => dropped.push(name.clone()),
                Some(member) => self.value(member, value)?,
            }
            self.path.pop();
        }
        for name in dropped {
            members.remove(&name);
        }
        self.owner = outer;
        Ok(())
    }

    fn map(&mut self, schema: Schema, members: &mut Map<String, Value>) -> Result<(), String> {
        for (name, value) in members.iter_mut() {
            let Some(member) = schema.member(name) else {
                continue;
            };
            if value.is_null() {
                *value = zero(member.shape());
                continue;
            }
            self.path.push(Part::Key(name.clone()));
            self.value(member, value)?;
            self.path.pop();
        }
        Ok(())
    }

    fn items(&mut self, schema: Schema, items: &mut [Value]) -> Result<(), String> {
        let Some(member) = schema.item() else {
            return Ok(());
        };
        for (index, value) in items.iter_mut().enumerate() {
            if value.is_null() {
                *value = zero(member.shape());
                continue;
            }
            self.path.push(Part::Index(index));
            self.value(member, value)?;
            self.path.pop();
        }
        Ok(())
    }

    /// Where the walk is, as `spec.containers[0].name`.
    fn place(&self) -> String {
        let mut place = String::new();
        for part in &self.path {
            match part {
                Part::Index(index) => place.push_str(&format!("[{index}]")),
                Part::Member(name) | Part::Key(name) => {
                    if !place.is_empty() {
                        place.push('.');
                    }
                    place.push_str(name);
                }
            }
        }
        place
    }

    /// The value is of another type. Keys and indices are no part of a type.
    fn wrong_type(&self, schema: Schema, value: &Value) -> String {
        let found = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if matches!(schema.shape(), Shape::Int32 | Shape::Int64) => {
                format!("number {number}")
            }
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        let members = self.path.iter().filter_map(|part| match part {
            Part::Member(name) => Some(name.as_str()),
            Part::Key(_) | Part::Index(_) => None,
        });
        let members: Vec<&str> = members.collect();
        if members.is_empty() {
            return format!(
                "json: cannot unmarshal {found} into Go value of type v1.{}",
                self.owner
            );
        }
        let (owner, members) = (&self.owner, members.join("."));
        format!(
            "json: cannot unmarshal {found} into Go struct field {owner}.{members} of type {}",
            type_name(schema)
        )
    }
}

/// A type as the API server names it.
fn type_name(schema: Schema) -> String {
    let of = |inner: Option<Schema>| inner.map_or_else(|| "interface {}".to_owned(), type_name);
    match schema.shape() {
        Shape::Text | Shape::Time | Shape::MicroTime | Shape::Quantity => "string".to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::Truth => "bool".to_owned(),
        Shape::Int32 | Shape::IntOrText => "int32".to_owned(),
        Shape::Int64 => "int64".to_owned(),
        Shape::Number => "float64".to_owned(),
        Shape::List => format!("[]{}", of(schema.item())),
        Shape::Map => format!("map[string]{}", of(schema.member(""))),
        Shape::Members | Shape::Any => format!("v1.{}", schema.type_name()),
    }
}

fn read_quantity(value: &mut Value) -> Result<(), String> {
    *value = Value::from(Quantity::decode(value)?.to_string());
    Ok(())
}

fn read_time(precision: Precision, value: &mut Value) -> Result<(), String> {
    let read = time::read(precision, value.as_str().unwrap_or_default())?;
    *value = Value::from(read);
    Ok(())
}

/// Base64 in which lines may be broken and the last bits be anything.
fn read_bytes(value: &mut Value) -> Result<(), String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let text: String = value.as_str().unwrap_or_default().split(['\r', '\n']).collect();
    let bytes = LENIENT.decode(&text).map_err(|error| {
        let place = match error {
            DecodeError::InvalidByte(place, _) => place,
            _ => text.len() / 4 * 4,
        };
        format!("illegal base64 data at input byte {place}")
    })?;
    *value = Value::from(LENIENT.encode(bytes));
    Ok(())
}

/// What stands for null in a map or list.
fn zero(shape: Shape) -> Value {
    match shape {
        Shape::Text => Value::from(""),
        Shape::Truth => Value::from(false),
        Shape::Int32 | Shape::Int64 | Shape::Number | Shape::IntOrText => Value::from(0),
        Shape::Quantity => Value::from("0"),
        Shape::Members | Shape::Map => Value::Object(Map::new()),
        Shape::Any | Shape::List | Shape::Bytes | Shape::Time | Shape::MicroTime => Value::Null,
    }
}
