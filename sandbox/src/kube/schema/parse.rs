//! Reads a structural schema, complaining as the API server does at creation of a definition.

use serde_json::Value;

use super::compile::{Environment, Site};
use super::format::Format;
use super::node::{Additional, Bound, Checks, Combined, Kind, ListType, Node};
use super::pattern;
use super::rules::Rule;
use super::types::Type;
use crate::kube::validation::quote;

/// Deeper schemas are refused, so that no walk can exhaust the stack.
const MAX_DEPTH: usize = 64;

/// Where a schema stands: what must be written and what must not depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Root,
    Property,
    Items,
    Additional,
    /// Below `allOf`, `anyOf`, `oneOf` or `not`: only value checks.
    Combined,
}

struct Parser<'a> {
    environment: &'a Environment,
    errors: &'a mut Vec<String>,
    depth: usize,
    /// The list around, where its items have no former selves: nothing tells them apart.
    anonymous: Option<String>,
}

/// The schema of a version.
pub(super) fn root(schema: &Value, path: &str, environment: &Environment, errors: &mut Vec<String>) -> Node {
    let mut parser = Parser {
        environment,
        errors,
        depth: 0,
        anonymous: None,
    };
    let node = parser.node(schema, path, Place::Root);
    match node.kind {
        Some(Kind::Object) => {}
        Some(_) => errors.push(format!(
            "{path}.type: Invalid value: {}: must be object at the root",
            quote(text(schema, "type"))
        )),
        // A missing type has been complained about.
        None => {}
    }
    node
}

impl Parser<'_> {
    fn complain(&mut self, path: &str, field: &str, message: &str) {
        self.errors.push(format!("{path}.{field}: {message}"));
    }

    fn node(&mut self, schema: &Value, path: &str, place: Place) -> Node {
        if self.depth >= MAX_DEPTH {
            self.errors.push(format!(
                "{path}: Forbidden: schemas nest at most {MAX_DEPTH} deep"
            ));
            return Node::default();
        }
        self.depth += 1;
        let mut node = Node {
            int_or_string: flag(schema, "x-kubernetes-int-or-string"),
            nullable: flag(schema, "nullable"),
            preserve_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(schema, "x-kubernetes-embedded-resource"),
            atomic_map: text(schema, "x-kubernetes-map-type") == "atomic",
            required: texts(&schema["required"]),
            default: schema.get("default").cloned(),
            ..Node::default()
        };
        self.kind(schema, path, place, &mut node);
        self.forbidden(schema, path, place);
        self.children(schema, path, place, &mut node);
        self.list_type(schema, path, &mut node);
        node.checks = self.checks(schema, path);
        node.combined = self.combined(schema, path);
        if place == Place::Combined {
            // `x-kubernetes-validations` and defaults are refused there.
            node.default = None;
        } else {
            self.rules(schema, path, place, &mut node);
        }
        node.has_rules = !node.rules.is_empty()
            || node.properties.values().any(|child| child.has_rules)
            || node.items.as_ref().is_some_and(|child| child.has_rules)
            || matches!(&node.additional, Additional::Schema(child) if child.has_rules);
        self.depth -= 1;
        node
    }

    fn kind(&mut self, schema: &Value, path: &str, place: Place, node: &mut Node) {
        let name = text(schema, "type");
        node.kind = Kind::from_name(name);
        if !name.is_empty() && node.kind.is_none() {
            let message = format!(
                "Unsupported value: {}: supported values: \"array\", \"boolean\", \"integer\", \"number\", \
                 \"object\", \"string\"",
                quote(name)
            );
            self.complain(path, "type", &message);
        }
        if !name.is_empty() || node.int_or_string || node.preserve_unknown && place != Place::Root {
            return;
        }
        match place {
            Place::Root => self.complain(path, "type", "Required value: must not be empty at the root"),
            Place::Property | Place::Additional => {
                self.complain(
                    path,
                    "type",
                    "Required value: must not be empty for specified object fields",
                );
            }
            Place::Items => {
                self.complain(
                    path,
                    "type",
                    "Required value: must not be empty for specified array items",
                );
            }
            Place::Combined => {}
        }
    }

    fn forbidden(&mut self, schema: &Value, path: &str, place: Place) {
        if schema.get("$ref").is_some() {
            self.complain(path, "$ref", "Forbidden: $ref is not supported");
        }
        if flag(schema, "uniqueItems") {
            self.complain(
                path,
                "uniqueItems",
                "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            );
        }
        for field in [
            "definitions",
            "dependencies",
            "patternProperties",
            "additionalItems",
            "id",
        ] {
            if schema.get(field).is_some() {
                self.complain(path, field, &format!("Forbidden: {field} is not supported"));
            }
        }
        if place != Place::Combined {
            return;
        }
        for field in ["title", "description"] {
            if !text(schema, field).is_empty() {
                self.complain(path, field, "Forbidden: must be empty to be structural");
            }
        }
        // The API server allows a type here in one idiom: a value that is an integer or a text.
        if schema.get("type").is_some() && !matches!(text(schema, "type"), "integer" | "string") {
            self.complain(path, "type", "Forbidden: must be empty to be structural");
        }
        if schema.get("x-kubernetes-validations").is_some() {
            let message = "Forbidden: must be empty to be structural";
            self.complain(path, "x-kubernetes-validations", message);
        }
        for field in ["default", "nullable", "additionalProperties"] {
            if schema.get(field).is_some() {
                self.complain(path, field, "Forbidden: must be undefined to be structural");
            }
        }
    }

    fn children(&mut self, schema: &Value, path: &str, place: Place, node: &mut Node) {
        let below = |other| {
            if place == Place::Combined {
                Place::Combined
            } else {
                other
            }
        };
        if let Some(properties) = schema["properties"].as_object() {
            for (name, child) in properties {
                let path = format!("{path}.properties[{name}]");
                node.properties
                    .insert(name.clone(), self.node(child, &path, below(Place::Property)));
            }
        }
        match schema.get("additionalProperties") {
            Some(Value::Bool(true)) => node.additional = Additional::Any,
            Some(Value::Bool(false)) => self.complain(
                path,
                "additionalProperties",
                "Forbidden: additionalProperties cannot be set to false",
            ),
            Some(child) if child.is_object() => {
                let path = format!("{path}.additionalProperties");
                node.additional =
                    Additional::Schema(Box::new(self.node(child, &path, below(Place::Additional))));
            }
            _ => {}
        }
        if !node.properties.is_empty() && !matches!(node.additional, Additional::None) {
            self.complain(
                path,
                "additionalProperties",
                "Forbidden: additionalProperties and properties are mutual exclusive",
            );
        }
        match schema.get("items") {
            Some(child) if child.is_object() => {
                let outer = self.anonymous.clone();
                if text(schema, "x-kubernetes-list-type") != "map" {
                    self.anonymous.get_or_insert_with(|| path.to_owned());
                }
                let path = format!("{path}.items");
                node.items = Some(Box::new(self.node(child, &path, below(Place::Items))));
                self.anonymous = outer;
            }
            Some(_) => self.complain(
                path,
                "items",
                "Forbidden: items must be a schema object and not an array",
            ),
            None if node.kind == Some(Kind::Array) && place != Place::Combined => {
                self.complain(path, "items", "Required value: must be specified");
            }
            None => {}
        }
    }

    fn list_type(&mut self, schema: &Value, path: &str, node: &mut Node) {
        let keys = texts(&schema["x-kubernetes-list-map-keys"]);
        match text(schema, "x-kubernetes-list-type") {
            "" | "atomic" if !keys.is_empty() => self.complain(
                path,
                "x-kubernetes-list-type",
                "Required value: must be map if x-kubernetes-list-map-keys is non-empty",
            ),
            "" | "atomic" => {}
            _ if node.kind != Some(Kind::Array) => {
                self.complain(
                    path,
                    "type",
                    "Required value: must be array if x-kubernetes-list-type is specified",
                );
            }
            "set" => node.list = ListType::Set,
            "map" if keys.is_empty() => self.complain(
                path,
                "x-kubernetes-list-map-keys",
                "Required value: must not be empty if x-kubernetes-list-type is map",
            ),
            "map" => self.list_keys(path, keys, node),
            other => {
                let message = format!(
                    "Unsupported value: {}: supported values: \"atomic\", \"map\", \"set\"",
                    quote(other)
                );
                self.complain(path, "x-kubernetes-list-type", &message);
            }
        }
    }

    fn list_keys(&mut self, path: &str, keys: Vec<String>, node: &mut Node) {
        for key in &keys {
            let item = node.items.as_deref();
            match item.and_then(|item| item.properties.get(key)) {
                None => self.errors.push(format!(
                    "{path}.x-kubernetes-list-map-keys: Invalid value: {}: entries must all be names of item properties",
                    quote(key)
                )),
                Some(field) if field.default.is_none() => {
                    if item.is_some_and(|item| !item.required.contains(key)) {
                        self.errors.push(format!(
                            "{path}.items.properties[{key}].default: Required value: this property is in \
                             x-kubernetes-list-map-keys, so it must have a default or be a required property"
                        ));
                    }
                }
                Some(_) => {}
            }
        }
        node.list = ListType::Map(keys);
    }

    fn checks(&mut self, schema: &Value, path: &str) -> Checks {
        let pattern = schema["pattern"]
            .as_str()
            .and_then(|pattern| match pattern::compiled(pattern) {
                Ok(compiled) => Some(compiled),
                Err(error) => {
                    let message = format!(
                        "Invalid value: {}: must be a valid regular expression, but isn't: {error}",
                        quote(pattern)
                    );
                    self.complain(path, "pattern", &message);
                    None
                }
            });
        Checks {
            allowed: schema["enum"].as_array().cloned().unwrap_or_default(),
            minimum: bound(schema, "minimum", "exclusiveMinimum"),
            maximum: bound(schema, "maximum", "exclusiveMaximum"),
            multiple_of: schema["multipleOf"].as_f64().filter(|factor| *factor > 0.0),
            min_length: schema["minLength"].as_u64(),
            max_length: schema["maxLength"].as_u64(),
            pattern,
            format: schema["format"].as_str().and_then(Format::from_name),
            min_items: schema["minItems"].as_u64(),
            max_items: schema["maxItems"].as_u64(),
            min_properties: schema["minProperties"].as_u64(),
            max_properties: schema["maxProperties"].as_u64(),
        }
    }

    fn combined(&mut self, schema: &Value, path: &str) -> Combined {
        let mut listed = |field: &str| -> Vec<Node> {
            let listed = schema[field].as_array().map(Vec::as_slice).unwrap_or_default();
            let nodes = listed
                .iter()
                .enumerate()
                .map(|(index, child)| self.node(child, &format!("{path}.{field}[{index}]"), Place::Combined));
            nodes.collect()
        };
        let (all, any, one) = (listed("allOf"), listed("anyOf"), listed("oneOf"));
        let not = schema
            .get("not")
            .filter(|child| child.is_object())
            .map(|child| Box::new(self.node(child, &format!("{path}.not"), Place::Combined)));
        Combined { all, any, one, not }
    }

    fn rules(&mut self, schema: &Value, path: &str, place: Place, node: &mut Node) {
        let listed = schema["x-kubernetes-validations"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if listed.is_empty() {
            return;
        }
        if node.kind.is_none() && !node.int_or_string {
            let message = "Internal error: internal error: failed to construct type information for \
                           x-kubernetes-validations rules: unable to convert structural schema to CEL declarations";
            self.complain(path, "x-kubernetes-validations", message);
            return;
        }
        let site = Site {
            schema,
            subject: &Type::of(node, place == Place::Root),
            anonymous: self.anonymous.as_deref(),
            environment: self.environment,
        };
        for (index, rule) in listed.iter().enumerate() {
            let path = format!("{path}.x-kubernetes-validations[{index}]");
            match Rule::compile(rule, &site, &path) {
                Ok(rule) => node.rules.push(rule),
                Err(error) => self.errors.push(error),
            }
        }
    }
}

fn flag(schema: &Value, field: &str) -> bool {
    schema.get(field) == Some(&Value::Bool(true))
}

fn text<'a>(schema: &'a Value, field: &str) -> &'a str {
    schema.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    let listed = value.as_array().map(Vec::as_slice).unwrap_or_default();
    listed
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn bound(schema: &Value, field: &str, exclusive: &str) -> Option<Bound> {
    let limit = schema.get(field)?;
    Some(Bound {
        limit: limit.as_f64()?,
        text: limit.to_string(),
        exclusive: flag(schema, exclusive),
    })
}
