//! Compiles CEL rules with their definition, and refuses those that can mean nothing.

use std::fmt;
use std::sync::Arc;

use cel::common::ast::SourceInfo;
use cel::{Env, Program};
use serde_json::Value;

use super::rules::Rule;
use super::types::Type;
use super::types::checker::{Checker, Fault};
use super::types::signatures::Signatures;
use super::{library, literals};
use crate::kube::validation::{ErrorKind, quote};

/// What rules may call; built once for a definition.
pub(super) struct Environment {
    env: Arc<Env>,
    signatures: Signatures,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

impl Environment {
    /// # Errors
    /// As [`library::environment`] and [`Signatures::new`], in words.
    pub(super) fn new() -> Result<Self, String> {
        let env = library::environment().map_err(|error| format!("the functions of rules: {error}"))?;
        Ok(Self {
            env: Arc::new(env),
            signatures: Signatures::new()?,
        })
    }

    /// Compiles an expression, and tells its type.
    fn compile(&self, text: &str, subject: &Subject) -> Result<(Program, Type), String> {
        let fault = |detail: String| format!("compilation failed: {detail}");
        // The API server moves what it quotes to the right.
        let unread = |error: cel::ParseErrors| fault(error.to_string().replace("\n| ", "\n | "));
        let program = self.env.compile(text).map_err(unread)?;
        // As it was written, for macros have no types.
        let written = Env::default().parser().parse_with_source_info(text);
        let (written, source) = written.map_err(unread)?;
        let place = |error: Fault| fault(located(&error, &source, text));
        let mut checker = Checker::new(&self.signatures, subject.variables());
        let of = checker.check(&written).map_err(place)?;
        literals::check(&written, &self.env).map_err(place)?;
        Ok((program, of))
    }

    /// The functions.
    pub(super) fn env(&self) -> &Arc<Env> {
        &self.env
    }
}

/// Where a rule stands.
pub(super) struct Site<'a> {
    /// The schema as it is written.
    pub(super) schema: &'a Value,
    pub(super) subject: &'a Type,
    /// The list around whose items have no former selves.
    pub(super) anonymous: Option<&'a str>,
    pub(super) environment: &'a Environment,
}

impl Rule {
    /// Compiles the rule and its message expression; `path` is where it stands in the definition.
    pub(super) fn compile(rule: &Value, site: &Site<'_>, path: &str) -> Result<Self, String> {
        let text = member(rule, "rule").map(str::trim).unwrap_or_default();
        if text.is_empty() {
            return Err(format!("{path}.rule: Required value: rule is not specified"));
        }
        let optional_old = rule.get("optionalOldSelf") == Some(&Value::Bool(true));
        let subject = Subject {
            of: site.subject,
            optional_old,
        };
        let environment = site.environment;
        let program = compiled(rule, "rule", path, &subject, environment)?;
        let transition = program
            .as_ref()
            .is_some_and(|program| program.references().has_variable("oldSelf"));
        if optional_old && !transition {
            return Err(format!(
                "{path}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
            ));
        }
        if let (true, Some(list)) = (transition, site.anonymous) {
            return Err(format!(
                "{path}.rule: Invalid value: {}: oldSelf cannot be used on the uncorrelatable portion of the schema \
                 within {list}",
                quote(text)
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            program: program.ok_or_else(|| format!("{path}.rule: Required value: rule is not specified"))?,
            message: message(rule, text, path)?,
            message_program: compiled(rule, "messageExpression", path, &subject, environment)?,
            reason: reason(rule, path)?,
            field_path: field_path(rule, site.schema, path)?,
            transition,
            optional_old,
        })
    }
}

/// An error with the place that it is about, as the API server shows it.
fn located(fault: &Fault, source: &SourceInfo, text: &str) -> String {
    let offset = source.offset_for(fault.at).map_or(0, |(start, _)| start);
    let before: String = text.chars().take(usize::try_from(offset).unwrap_or(0)).collect();
    let (line, column) = match before.rsplit_once('\n') {
        Some((lines, last)) => (lines.matches('\n').count() + 1, last.chars().count()),
        None => (0, before.chars().count()),
    };
    let shown = text.lines().nth(line).unwrap_or_default();
    format!(
        "ERROR: <input>:{}:{}: {}\n | {shown}\n | {}^",
        line + 1,
        column + 1,
        fault.detail,
        ".".repeat(column),
    )
}

/// What `self` and `oldSelf` are.
struct Subject<'a> {
    of: &'a Type,
    optional_old: bool,
}

impl Subject<'_> {
    fn variables(&self) -> Vec<(String, Type)> {
        let old = if self.optional_old {
            Type::optional(self.of.clone())
        } else {
            self.of.clone()
        };
        vec![("self".to_owned(), self.of.clone()), ("oldSelf".to_owned(), old)]
    }
}

/// The program of one of the expressions of a rule, where there is one.
fn compiled(
    rule: &Value,
    field: &str,
    path: &str,
    subject: &Subject<'_>,
    environment: &Environment,
) -> Result<Option<Program>, String> {
    let Some(text) = given(rule, field, path)? else {
        return Ok(None);
    };
    let is_message = field == "messageExpression";
    let checked = environment.compile(text, subject).map_err(|problem| {
        if is_message {
            format!("messageExpression {problem}")
        } else {
            problem
        }
    });
    let checked = checked.and_then(|(program, of)| match (is_message, of) {
        (true, of) if !of.is("string") => Err("messageExpression must evaluate to a string".to_owned()),
        (false, of) if !of.is("bool") => Err("cel expression must evaluate to a bool".to_owned()),
        _ => Ok(program),
    });
    let program =
        checked.map_err(|problem| format!("{path}.{field}: Invalid value: {}: {problem}", written(rule)))?;
    Ok(Some(program))
}

/// A rule as the API server shows it.
fn written(rule: &Value) -> String {
    let text = |field: &str| Value::from(member(rule, field).unwrap_or_default());
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        rule["reason"],
        text("fieldPath"),
        rule["optionalOldSelf"],
    )
    .replace('<', "\\u003c")
    .replace('>', "\\u003e")
    .replace('&', "\\u0026")
}

/// The text of one of the messages; none where it is not given.
fn given<'a>(rule: &'a Value, field: &str, path: &str) -> Result<Option<&'a str>, String> {
    match member(rule, field).filter(|text| !text.is_empty()) {
        Some(text) if text.trim().is_empty() && field == "messageExpression" => Err(format!(
            "{path}.{field}: Required value: {field} must be non-empty if specified"
        )),
        Some(text) if text.trim().is_empty() => Err(format!(
            "{path}.{field}: Invalid value: {}: must be non-empty if specified",
            quote(text)
        )),
        given => Ok(given.map(str::trim)),
    }
}

fn message(rule: &Value, text: &str, path: &str) -> Result<Option<String>, String> {
    match given(rule, "message", path)? {
        Some(message) if message.contains('\n') => Err(format!(
            "{path}.message: Invalid value: {}: must not contain line breaks",
            quote(message)
        )),
        None if text.contains('\n') => Err(format!(
            "{path}.message: Required value: message must be specified if rule contains line breaks"
        )),
        message => Ok(message.map(str::to_owned)),
    }
}

fn member<'a>(rule: &'a Value, field: &str) -> Option<&'a str> {
    rule.get(field).and_then(Value::as_str)
}

fn reason(rule: &Value, path: &str) -> Result<ErrorKind, String> {
    Ok(match member(rule, "reason").unwrap_or("FieldValueInvalid") {
        "FieldValueInvalid" => ErrorKind::Invalid,
        "FieldValueForbidden" => ErrorKind::Forbidden,
        "FieldValueRequired" => ErrorKind::Required,
        "FieldValueDuplicate" => ErrorKind::Duplicate,
        other => {
            return Err(format!(
                "{path}.reason: Unsupported value: {}: supported values: \"FieldValueDuplicate\", \
                 \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
                quote(other)
            ));
        }
    })
}

/// Where a broken rule is shown, as a path below the schema that has it.
fn field_path(rule: &Value, schema: &Value, path: &str) -> Result<String, String> {
    let Some(suffix) = member(rule, "fieldPath").filter(|suffix| !suffix.is_empty()) else {
        return Ok(String::new());
    };
    walked(suffix, schema).ok_or_else(|| {
        format!(
            "{path}.fieldPath: Invalid value: {}: must be a valid path",
            quote(suffix)
        )
    })
}

/// The path as errors show it; none where it names what the schema does not have. `.a` and `['a']` mean the same, a
/// field or a key; there is no way into a list.
fn walked(suffix: &str, schema: &Value) -> Option<String> {
    let (mut rest, mut schema, mut shown) = (suffix, schema, String::new());
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix("['") {
            Some(quoted) => quoted.split_once("']")?,
            None => {
                let plain = rest.strip_prefix('.')?;
                plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len()))
            }
        };
        if let Some(field) = schema["properties"].get(name) {
            shown.push_str(&format!(".{name}"));
            schema = field;
        } else {
            schema = schema
                .get("additionalProperties")
                .filter(|values| values.is_object())?;
            shown.push_str(&format!("[{name}]"));
        }
        rest = after;
    }
    Some(shown)
}
