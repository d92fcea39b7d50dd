//! Errors of the API and the `Status` objects that carry them.

use serde_json::{Map, Value, json};

use super::resource::ResourceType;

/// A refused request: what the answer's `Status` object says.
///
/// Source: `meta/v1 Status`; the messages are those that clients of the real server match on.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    code: u16,
    reason: &'static str,
    message: String,
    details: Option<Box<Details>>,
    continuation: Option<String>,
    warnings: Vec<String>,
}

/// `Status.details`.
#[derive(Clone, Debug, Default)]
struct Details {
    name: String,
    group: String,
    kind: String,
    causes: Vec<Cause>,
    retry_after_seconds: u32,
}

/// One entry of `Status.details.causes`: a field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The reason, `FieldValueInvalid` for example.
    pub reason: &'static str,
    /// The path of the field, `spec.source` for example; may be empty.
    pub field: String,
    /// What is wrong, without the field: `Invalid value: "x": must be ...`.
    pub message: String,
}

impl Cause {
    /// The field has a value that cannot be taken. `value` is shown as JSON.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::new(
            "FieldValueInvalid",
            field,
            format!("Invalid value: {value}: {detail}"),
        )
    }

    /// The field must be there.
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueRequired", field, format!("Required value: {detail}"))
    }

    /// The field must not be set, or not so.
    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    pub(crate) fn new(reason: &'static str, field: impl Into<String>, message: String) -> Self {
        Self {
            reason,
            field: field.into(),
            message,
        }
    }

    fn line(&self) -> String {
        if self.field.is_empty() {
            self.message.clone()
        } else {
            format!("{}: {}", self.field, self.message)
        }
    }
}

impl ApiError {
    fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            continuation: None,
            warnings: Vec::new(),
        }
    }

    fn about(mut self, resource: &ResourceType, name: &str) -> Self {
        self.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: resource.group.clone(),
            kind: resource.plural.clone(),
            ..Details::default()
        }));
        self
    }

    pub(crate) fn not_found(resource: &ResourceType, name: &str) -> Self {
        Self::plain(
            404,
            "NotFound",
            format!("{} \"{name}\" not found", resource.qualified()),
        )
        .about(resource, name)
    }

    /// No such resource type or path.
    pub(crate) fn no_such_resource() -> Self {
        let mut error = Self::plain(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        error.details = Some(Box::default());
        error
    }

    pub(crate) fn already_exists(resource: &ResourceType, name: &str, is_deleting: bool) -> Self {
        let state = if is_deleting {
            "object is being deleted: "
        } else {
            ""
        };
        let message = format!("{state}{} \"{name}\" already exists", resource.qualified());
        Self::plain(409, "AlreadyExists", message).about(resource, name)
    }

    pub(crate) fn conflict(resource: &ResourceType, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource.qualified()
        );
        Self::plain(409, "Conflict", message).about(resource, name)
    }

    /// A precondition of a deletion does not hold: the only errors that name the kind.
    pub(crate) fn precondition(resource: &ResourceType, name: &str, why: &str) -> Self {
        let qualified = if resource.group.is_empty() {
            resource.kind.clone()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let message = format!("Operation cannot be fulfilled on {qualified} \"{name}\": {why}");
        let mut error = Self::plain(409, "Conflict", message).about(resource, name);
        error
            .details
            .get_or_insert_default()
            .kind
            .clone_from(&resource.kind);
        error
    }

    /// An apply would change fields of other managers.
    pub(crate) fn apply_conflict(message: &str, causes: Vec<Cause>) -> Self {
        let mut error = Self::plain(409, "Conflict", message);
        error.details.get_or_insert_default().causes = causes;
        error
    }

    /// The resourceVersion of a write is not the stored one.
    pub(crate) fn modified(resource: &ResourceType, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    pub(crate) fn invalid(kind: &str, group: &str, name: &str, causes: Vec<Cause>) -> Self {
        let qualified = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let lines: Vec<String> = causes.iter().map(Cause::line).collect();
        let lines = match lines.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut error = Self::plain(
            422,
            "Invalid",
            format!("{qualified} \"{name}\" is invalid: {lines}"),
        );
        error.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes,
            ..Details::default()
        }));
        error
    }

    /// A JSON patch that cannot be applied: the real server says no more than this.
    pub(crate) fn unprocessable_patch() -> Self {
        let message = "the server rejected our request due to an error in our request";
        let mut error = Self::plain(422, "Invalid", message);
        error.details = Some(Box::default());
        error
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::plain(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn forbidden(resource: &ResourceType, name: &str, why: &str) -> Self {
        let shown = if name.is_empty() {
            resource.qualified()
        } else {
            format!("{} \"{name}\"", resource.qualified())
        };
        Self::plain(403, "Forbidden", format!("{shown} is forbidden: {why}")).about(resource, name)
    }

    /// Refused before any resource is looked at.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::plain(403, "Forbidden", message)
    }

    /// The same with what the client is told besides.
    pub(crate) fn warning(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    /// What the client is told besides.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn with_cause(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    pub(crate) fn method_not_allowed(message: impl Into<String>) -> Self {
        let mut error = Self::plain(405, "MethodNotAllowed", message);
        error.details = Some(Box::default());
        error
    }

    pub(crate) fn not_acceptable() -> Self {
        let message = "406: Not Acceptable\n\nAvailable representations: application/json";
        let mut error = Self::plain(406, "NotAcceptable", message);
        error.details = Some(Box::default());
        error
    }

    pub(crate) fn unsupported_media_type(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::plain(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::plain(413, "RequestEntityTooLarge", message)
    }

    /// The real server gives no reason for this one.
    pub(crate) fn version_set_on_create() -> Self {
        Self::untyped("resourceVersion should not be set on objects to be created")
    }

    /// What the real server answers for errors that it did not think of.
    pub(crate) fn untyped(message: impl Into<String>) -> Self {
        Self::plain(500, "", message)
    }

    pub(crate) fn expired(message: impl Into<String>, continuation: Option<String>) -> Self {
        let mut error = Self::plain(410, "Expired", message);
        error.continuation = continuation;
        error
    }

    pub(crate) fn version_too_large(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let cause = Cause::new(
            "ResourceVersionTooLarge",
            "",
            "Too large resource version".to_owned(),
        );
        let mut error = Self::plain(504, "Timeout", format!("Timeout: {message}")).with_cause(cause);
        error.details.get_or_insert_default().retry_after_seconds = 1;
        error
    }

    /// The HTTP code of the answer.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The reason, `Conflict` for example.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.reason
    }

    /// The `Status` object of the answer.
    #[must_use]
    pub fn status(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continuation {
            metadata.insert("continue".to_owned(), json!(token));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata,
            "status": "Failure", "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = details.value();
        }
        status
    }
}

impl Details {
    fn value(&self) -> Value {
        let mut map = Map::new();
        for (key, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind)] {
            if !text.is_empty() {
                map.insert(key.to_owned(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(|cause| {
                let mut map = Map::new();
                map.insert("reason".to_owned(), json!(cause.reason));
                map.insert("message".to_owned(), json!(cause.message));
                if !cause.field.is_empty() {
                    map.insert("field".to_owned(), json!(cause.field));
                }
                Value::Object(map)
            });
            map.insert("causes".to_owned(), Value::Array(causes.collect()));
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds".to_owned(), json!(self.retry_after_seconds));
        }
        Value::Object(map)
    }
}
