//! CEL rules (`x-kubernetes-validations`): compiled with the definition, evaluated at each write.

use std::fmt;
use std::sync::Arc;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::Value;

use super::node::{Additional, Kind, Node};
use super::{scope, value};
use crate::kube::validation::{ErrorKind, FieldError, quote};

/// One rule of a schema.
pub(super) struct Rule {
    text: String,
    program: Program,
    message: Option<String>,
    message_program: Option<Program>,
    reason: ErrorKind,
    /// Suffix of the path, starting with `.` or `[`.
    field_path: String,
    /// Mentions `oldSelf`: evaluated only where there is an old value.
    transition: bool,
    optional_old: bool,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

impl Rule {
    /// Compiles the rule and its message expression; `path` is where it stands in the definition.
    pub(super) fn compile(rule: &Value, path: &str) -> Result<Self, String> {
        let text = member(rule, "rule").map(str::trim).unwrap_or_default();
        if text.is_empty() {
            return Err(format!("{path}.rule: Required value: rule is not specified"));
        }
        let program = program(text, &format!("{path}.rule"))?;
        let transition = program.references().has_variable("oldSelf");
        let optional_old = rule.get("optionalOldSelf") == Some(&Value::Bool(true));
        if optional_old && !transition {
            return Err(format!(
                "{path}.optionalOldSelf: Invalid value: true: must not be set if oldSelf is not used in rule"
            ));
        }
        let message = member(rule, "message")
            .map(str::trim)
            .filter(|message| !message.is_empty());
        if message.is_some_and(|message| message.contains('\n')) {
            return Err(format!(
                "{path}.message: Invalid value: message must not contain line breaks"
            ));
        }
        let message_program = member(rule, "messageExpression")
            .map(|expression| program_of(expression, &format!("{path}.messageExpression")))
            .transpose()?;
        Ok(Self {
            text: text.to_owned(),
            program,
            message: message.map(str::to_owned),
            message_program,
            reason: reason(rule, path)?,
            field_path: field_path(rule, path)?,
            transition,
            optional_old,
        })
    }

    fn shown(&self) -> String {
        self.message
            .clone()
            .unwrap_or_else(|| format!("failed rule: {}", self.text))
    }

    /// The message of a broken rule: the expression where it gives a text of one line.
    fn explain(&self, scope: &Context<'_>) -> String {
        let computed = self
            .message_program
            .as_ref()
            .and_then(|program| match program.execute(scope) {
                Ok(Cel::String(text)) => Some(text.trim().to_owned()),
                _ => None,
            });
        computed
            .filter(|text| !text.is_empty() && !text.contains('\n'))
            .unwrap_or_else(|| self.shown())
    }

    /// Objects and lists are not shown.
    fn fault(&self, schema: &Node, path: &str, value: &Value, detail: &str) -> FieldError {
        let field = format!("{path}{}", self.field_path);
        let field = field.trim_start_matches('.');
        let field = if field.is_empty() { "<nil>" } else { field };
        let kind = Value::from(schema.kind.map_or("", Kind::name));
        match self.reason {
            ErrorKind::Required => FieldError::required(field, detail),
            ErrorKind::Forbidden => FieldError::forbidden(field, detail),
            ErrorKind::Duplicate => FieldError::duplicate(field, &kind),
            _ if value.is_object() || value.is_array() => FieldError::invalid_unshown(field, detail),
            _ => FieldError::invalid(field, value, detail),
        }
    }
}

fn member<'a>(rule: &'a Value, field: &str) -> Option<&'a str> {
    rule.get(field).and_then(Value::as_str)
}

fn program(text: &str, path: &str) -> Result<Program, String> {
    let program = program_of(text, path)?;
    if let Some(name) = scope::undeclared(&program) {
        return Err(format!(
            "{path}: Invalid value: {}: compilation failed: undeclared reference to '{name}' (in container '')",
            quote(text)
        ));
    }
    Ok(program)
}

fn program_of(text: &str, path: &str) -> Result<Program, String> {
    Program::compile(text).map_err(|error| {
        format!(
            "{path}: Invalid value: {}: compilation failed: {error}",
            quote(text)
        )
    })
}

fn reason(rule: &Value, path: &str) -> Result<ErrorKind, String> {
    Ok(match member(rule, "reason").unwrap_or("FieldValueInvalid") {
        "FieldValueInvalid" => ErrorKind::Invalid,
        "FieldValueForbidden" => ErrorKind::Forbidden,
        "FieldValueRequired" => ErrorKind::Required,
        "FieldValueDuplicate" => ErrorKind::Duplicate,
        other => {
            return Err(format!(
                "{path}.reason: Unsupported value: {}: supported values: \"FieldValueRequired\", \
                 \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueDuplicate\"",
                quote(other)
            ));
        }
    })
}

fn field_path(rule: &Value, path: &str) -> Result<String, String> {
    let Some(suffix) = member(rule, "fieldPath") else {
        return Ok(String::new());
    };
    if suffix.starts_with(['.', '[']) && !suffix.contains('\n') {
        Ok(suffix.replace("['", "[").replace("']", "]"))
    } else {
        Err(format!(
            "{path}.fieldPath: Invalid value: {}: fieldPath must be a valid path",
            quote(suffix)
        ))
    }
}

/// The functions that rules may call; built once for a definition.
pub(super) struct Environment {
    context: Context<'static>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
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
    pub(super) fn new() -> Self {
        Self {
            context: Context::default().with_all(),
        }
    }

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
        for rule in due {
            let mut scope = self.context.new_inner_scope();
            scope.add_variable_from_value("self", new_value.clone());
            if let Some(former) = former(rule, old_value.as_ref()) {
                scope.add_variable_from_value("oldSelf", former);
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
    let optional = old.map_or_else(OptionalValue::none, |old| OptionalValue::of(old.clone()));
    Some(Cel::Opaque(Arc::new(optional)))
}

fn judge(rule: &Rule, site: Site<'_>, scope: &Context<'_>) -> Option<FieldError> {
    let problem = match rule.program.execute(scope) {
        Ok(Cel::Bool(true)) => return None,
        Ok(Cel::Bool(false)) => {
            return Some(rule.fault(site.schema, site.path, site.new, &rule.explain(scope)));
        }
        Ok(_) => "the rule gives no boolean".to_owned(),
        Err(ExecutionError::NoSuchKey(key)) => format!("no such key: {key}"),
        Err(other) => other.to_string(),
    };
    let shown = rule.message.as_deref().unwrap_or(&rule.text);
    Some(rule.fault(
        site.schema,
        site.path,
        site.new,
        &format!("{problem} evaluating rule: {shown}"),
    ))
}
