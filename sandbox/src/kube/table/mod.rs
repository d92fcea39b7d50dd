//! `meta/v1 Table`: what `kubectl get` prints.
//!
//! | Module | Subject |
//! |---|---|
//! | [`builtin`], [`pod`], [`workload`] | columns and cells of the built-in kinds |
//! | [`custom`] | those that a CustomResourceDefinition names |
//! | [`path`], [`age`] | JSONPath of columns, lengths of time |
//!
//! Sources: journeys 2.3; `kubernetes pkg/printers/internalversion`,
//! `apiextensions-apiserver pkg/registry/customresource/tableconvertor`.

mod age;
mod builtin;
pub(crate) mod custom;
mod path;
mod pod;
mod workload;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::format::Shape;
use super::resource::ResourceType;

/// What a row holds beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    /// The metadata, as `PartialObjectMetadata`.
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    None,
}

impl Include {
    /// Reads the query parameter `includeObject`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Metadata" => Some(Self::Metadata),
            "Object" => Some(Self::Object),
            "None" => Some(Self::None),
            _ => None,
        }
    }
}

/// A column of a built-in kind.
#[derive(Clone, Copy, Debug)]
struct Column {
    name: &'static str,
    kind: &'static str,
    /// 1 for those of `-o wide`.
    priority: u8,
}

const fn text(name: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        priority: 0,
    }
}

const fn integer(name: &'static str) -> Column {
    Column {
        kind: "integer",
        ..text(name)
    }
}

const fn boolean(name: &'static str) -> Column {
    Column {
        kind: "boolean",
        ..text(name)
    }
}

const fn wide(name: &'static str) -> Column {
    Column {
        priority: 1,
        ..text(name)
    }
}

impl Column {
    fn header(&self) -> Value {
        let format = if self.name == "Name" { "name" } else { "" };
        header(self.name, self.kind, format, self.priority.into(), "")
    }
}

fn header(name: &str, kind: &str, format: &str, priority: i64, description: &str) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

/// A table of objects that are in the version of `shape` already. `list` is the metadata of the list or object.
pub(crate) fn render(
    shape: &Shape<'_>,
    objects: &[&Value],
    list: &Value,
    include: Include,
    headers: bool,
) -> Value {
    let layout = Layout::of(shape.resource, shape.version);
    let rows: Vec<Value> = objects
        .iter()
        .map(|&object| {
            let mut row = json!({"cells": layout.cells(object, shape.now)});
            match include {
                Include::Metadata => {
                    row["object"] = json!({
                        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                        "metadata": object["metadata"],
                    });
                }
                Include::Object => row["object"] = object.clone(),
                Include::None => {}
            }
            row
        })
        .collect();
    let mut metadata = Map::new();
    for field in ["resourceVersion", "continue", "remainingItemCount"] {
        if let Some(value) = list.get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let headers = if headers { layout.headers() } else { Vec::new() };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": headers, "rows": rows,
    })
}

/// The columns of a type.
enum Layout<'a> {
    BuiltIn(builtin::Printer),
    Custom(&'a [custom::Column]),
}

impl<'a> Layout<'a> {
    fn of(resource: &'a ResourceType, version: &str) -> Self {
        match resource.version(version) {
            Some(served) if resource.is_custom() => Self::Custom(&served.columns),
            _ => Self::BuiltIn(builtin::printer(&resource.group, &resource.kind)),
        }
    }

    fn headers(&self) -> Vec<Value> {
        match self {
            Self::BuiltIn(printer) => printer.columns.iter().map(Column::header).collect(),
            Self::Custom(columns) => {
                let name = text("Name").header();
                let others = columns.iter().map(custom::Column::header);
                std::iter::once(name).chain(others).collect()
            }
        }
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match self {
            Self::BuiltIn(printer) => (printer.cells)(&Row { object, now }),
            Self::Custom(columns) => {
                let name = object["metadata"]["name"].clone();
                let others = columns.iter().map(|column| column.cell(object, now));
                std::iter::once(name).chain(others).collect()
            }
        }
    }
}

/// An object of which a row is made.
struct Row<'a> {
    object: &'a Value,
    now: Timestamp,
}

impl<'a> Row<'a> {
    /// The text at a JSON pointer, empty when missing.
    fn text(&self, pointer: &str) -> &'a str {
        self.find(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The same with another word for nothing.
    fn text_or(&self, pointer: &str, nothing: &'a str) -> &'a str {
        match self.text(pointer) {
            "" => nothing,
            text => text,
        }
    }

    /// The number at a JSON pointer, 0 when missing.
    fn number(&self, pointer: &str) -> i64 {
        self.find(pointer).and_then(Value::as_i64).unwrap_or(0)
    }

    fn find(&self, pointer: &str) -> Option<&'a Value> {
        self.object.pointer(pointer)
    }

    fn items(&self, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.find(pointer).and_then(Value::as_array).into_iter().flatten()
    }

    fn is_deleting(&self) -> bool {
        !self.text("/metadata/deletionTimestamp").is_empty()
    }

    fn name(&self) -> Value {
        Value::from(self.text("/metadata/name"))
    }

    fn age(&self) -> Value {
        Value::from(self.since("/metadata/creationTimestamp"))
    }

    fn since(&self, pointer: &str) -> String {
        age::since(self.find(pointer).and_then(Value::as_str), self.now)
    }
}
