//! CEL rules (`x-kubernetes-validations`), evaluated at each write.

use std::fmt;
use std::sync::Arc;

use cel::common::types::CelOptional;
use cel::{Context, ExecutionError, Program, Value as Answer};
use serde_json::Value;

use super::compile::Environment;
use super::node::{Additional, Kind, Node};
use super::value::{self, Cel};
use crate::kube::validation::{ErrorKind, FieldError};

/// One rule of a schema.
pub(super) struct Rule {
    pub(super) text: String,
    pub(super) program: Program,
    pub(super) message: Option<String>,
    pub(super) message_program: Option<Program>,
    pub(super) reason: ErrorKind,
    /// Suffix of the path, starting with `.` or `[`.
    pub(super) field_path: String,
    /// Mentions `oldSelf`: evaluated only where there is an old value.
    pub(super) transition: bool,
    pub(super) optional_old: bool,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

impl Rule {
    fn shown(&self) -> String {
        self.message
            .clone()
            .unwrap_or_else(|| format!("failed rule: {}", self.text))
    }

    /// The message of a broken rule: the expression where it gives a text of one line.
    fn explain(&self, scope: &Context<'_, '_>) -> String {
        let computed = self
            .message_program
            .as_ref()
            .and_then(|program| match program.execute(scope) {
                Ok(Answer::String(text)) => Some(text.trim().to_owned()),
                _ => None,
            });
        computed
            .filter(|text| !text.is_empty() && !text.contains('\n'))
            .unwrap_or_else(|| self.shown())
    }

    /// Objects and lists are not shown.
    fn fault(&self, path: &str, value: &Value, detail: &str) -> FieldError {
        let field = format!("{path}{}", self.field_path);
        let field = shown(&field);
        match self.reason {
            ErrorKind::Required => FieldError::required(field, detail),
            ErrorKind::Forbidden => FieldError::forbidden(field, detail),
            ErrorKind::Duplicate if value.is_object() || value.is_array() => {
                FieldError::duplicate_unshown(field)
            }
            ErrorKind::Duplicate => FieldError::duplicate(field, value),
            _ if value.is_object() || value.is_array() => FieldError::invalid_unshown(field, detail),
            _ => FieldError::invalid(field, value, detail),
        }
    }
}

/// A path as errors show it.
fn shown(path: &str) -> &str {
    match path.trim_start_matches('.') {
        "" => "<nil>",
        path => path,
    }
}

/// Where the walk is: the values at one path before and after the write.
#[derive(Clone, Copy)]
struct Site<'a> {
    schema: &'a Node,
    path: &'a str,
    new: &'a Value,
    old: Option<&'a Value>,
}

impl Environment {
    /// Evaluates all rules of a whole object.
    pub(super) fn root(&self, schema: &Node, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
        let site = Site {
            schema,
            path: "",
            new,
            old,
        };
        self.walk(site, errors);
    }

    fn walk(&self, site: Site<'_>, errors: &mut Vec<FieldError>) {
        if !site.schema.has_rules || site.new.is_null() {
            return;
        }
        self.rules(site, errors);
        match site.new {
            Value::Object(members) => {
                for (name, child) in members {
                    if let Some(schema) = site.schema.member(name) {
                        let path = match &site.schema.additional {
                            Additional::None => format!("{}.{name}", site.path),
                            Additional::Any | Additional::Schema(_) => format!("{}[{name}]", site.path),
                        };
                        let old = site.schema.former_member(site.old, name);
                        self.walk(
                            Site {
                                schema,
                                path: &path,
                                new: child,
                                old,
                            },
                            errors,
                        );
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = site.schema.items.as_deref() {
                        let path = format!("{}[{index}]", site.path);
                        let old = site.schema.former_item(site.old, item);
                        self.walk(
                            Site {
                                schema,
                                path: &path,
                                new: item,
                                old,
                            },
                            errors,
                        );
                    }
                }
            }
            _ => {}
        }
    }

    fn rules(&self, site: Site<'_>, errors: &mut Vec<FieldError>) {
        let old = site.old.filter(|old| !old.is_null());
        let is_due = |rule: &&Rule| match rule.transition {
            true => old.is_some() || rule.optional_old,
            false => site.old != Some(site.new),
        };
        let mut due = site.schema.rules.iter().filter(is_due).peekable();
        if due.peek().is_none() {
            return;
        }
        let convert = |value| {
            if site.path.is_empty() {
                value::root(site.schema, value)
            } else {
                value::convert(Some(site.schema), value)
            }
        };
        let (new_value, old_value) = (convert(site.new), old.map(convert));
        let root = Context::with_env(Arc::clone(self.env()));
        for rule in due {
            let mut scope = root.new_inner_scope();
            scope.add_variable_as_val("self", new_value.clone());
            if let Some(former) = former(rule, old_value.as_ref()) {
                scope.add_variable_as_val("oldSelf", former);
            }
            errors.extend(judge(rule, site, &scope));
        }
    }
}

/// `oldSelf` as the rule asked for it: plain, or an optional that is empty at creation.
fn former(rule: &Rule, old: Option<&Cel>) -> Option<Cel> {
    if !rule.optional_old {
        return old.cloned();
    }
    Some(Box::new(CelOptional::from(old.cloned())))
}

fn judge(rule: &Rule, site: Site<'_>, scope: &Context<'_, '_>) -> Option<FieldError> {
    let problem = match rule.program.execute(scope) {
        Ok(Answer::Bool(true)) => return None,
        Ok(Answer::Bool(false)) => {
            return Some(rule.fault(site.path, site.new, &rule.explain(scope)));
        }
        Ok(_) => "the rule gives no boolean".to_owned(),
        Err(error) => problem(error),
    };
    let text = rule.message.as_deref().unwrap_or(&rule.text);
    // In place of the value stands its type, and neither reason nor field path of the rule count.
    let kind = Value::from(site.schema.kind.map_or("", Kind::name));
    let detail = format!("{problem} evaluating rule: {text}");
    Some(FieldError::invalid(shown(site.path), &kind, &detail))
}

/// An error of evaluation in the words of the API server.
fn problem(error: ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::FunctionError { function, message } => conversion(&function, message),
        ExecutionError::IndexOutOfBounds(index) => format!("index out of bounds: {}", number(&index)),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::NoSuchOverload(_) => "no such overload".to_owned(),
        other => other.to_string(),
    }
}

/// Whatever keeps a text from being converted, the API server has one sentence for it.
fn conversion(function: &str, message: String) -> String {
    let to = match function {
        "bool" | "double" | "int" | "uint" => function,
        "duration" => "google.protobuf.Duration",
        "timestamp" => "google.protobuf.Timestamp",
        _ => return message,
    };
    if message.contains("overflow") {
        return message;
    }
    format!("type conversion error from 'string' to '{to}'")
}

fn number(value: &Answer) -> String {
    match value {
        Answer::Int(number) => number.to_string(),
        Answer::UInt(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
