//! What the API server's refusals mean to a controller.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use kube::core::Status;

use crate::client::chain;

/// Longest message kept of an answer, in characters: a proxy may answer a whole page.
const MESSAGE_LIMIT: usize = 1024;

/// How a controller reacts to a failed request (exemplars 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiErrorClass {
    /// Another writer was faster, or a precondition or a JSON patch `test` failed: observe again
    /// (decision 17).
    Conflict,
    /// The object, or its kind, does not exist.
    NotFound,
    /// An object of this name exists.
    AlreadyExists,
    /// The request can never be accepted as it is.
    Invalid,
    /// Not allowed: missing right, quota, admission, credentials.
    Forbidden,
    /// Nothing is known of the outcome: 429, 5xx, timeout, lost connection, unreadable answer. Back off and
    /// repeat, not before [`ApiError::retry_after`].
    Transient,
    /// The resourceVersion or continue token asked for is no longer there: list again.
    Gone,
}

impl ApiErrorClass {
    /// Name for metric labels and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Invalid => "invalid",
            Self::Forbidden => "forbidden",
            Self::Transient => "transient",
            Self::Gone => "gone",
        }
    }
}

/// A failed request to the API server. Its text is one line and holds nothing that we sent.
#[derive(Clone, Debug)]
pub struct ApiError {
    class: ApiErrorClass,
    code: u16,
    reason: String,
    message: String,
    retry_after: Option<Duration>,
    operation: String,
    explained: bool,
}

impl ApiError {
    /// How to react.
    #[must_use]
    pub fn class(&self) -> ApiErrorClass {
        self.class
    }

    /// HTTP status; 0 when there was no answer.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The API server's reason (`NotFound`, `Expired` ...); empty when it gave none.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The API server's message, or what became of the connection, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The earliest time for a repetition that the server asked for (`Retry-After`), between 1 s and 60 s: an
    /// answer of 0 must not make a loop without pause, one of a day must not park the object.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
            .map(|wait| wait.clamp(Duration::from_secs(1), Duration::from_secs(60)))
    }

    /// From the HTTP status and the `Status` body of a refusal.
    #[must_use]
    pub fn from_status(code: u16, status: &Status, retry_after: Option<Duration>) -> Self {
        let code = if status.code == 0 { code } else { status.code };
        let details = status.details.as_ref();
        let stated = details
            .map(|details| details.retry_after_seconds)
            .filter(|seconds| *seconds > 0)
            .map(|seconds| Duration::from_secs(seconds.into()));
        Self {
            class: match class_of(code, &status.reason) {
                class if class.is_of_the_object() && is_denial(&status.message) => ApiErrorClass::Invalid,
                class => class,
            },
            code,
            reason: status.reason.clone(),
            message: one_line(&status.message),
            retry_after: retry_after.or(stated),
            operation: String::new(),
            explained: details.is_some_and(|details| !details.causes.is_empty()),
        }
    }

    /// A request without an answer, or with one that cannot be read: the outcome is unknown.
    #[must_use]
    pub fn no_answer(message: &str) -> Self {
        Self {
            class: ApiErrorClass::Transient,
            code: 0,
            reason: String::new(),
            message: one_line(message),
            retry_after: None,
            operation: String::new(),
            explained: false,
        }
    }

    /// A request that cannot be sent as it is.
    #[must_use]
    pub fn bad_request(message: &str) -> Self {
        Self {
            class: ApiErrorClass::Invalid,
            ..Self::no_answer(message)
        }
    }

    /// Names what was tried, for example `patch volumesnapshots shop/s`.
    #[must_use]
    pub fn during(mut self, operation: impl Into<String>) -> Self {
        self.operation = operation.into();
        self
    }

    /// The same as a refusal of the object as it is: nothing had changed, so it was no lost race.
    #[must_use]
    pub fn as_invalid(mut self) -> Self {
        self.class = ApiErrorClass::Invalid;
        self
    }

    /// The API server answers a JSON patch whose `test` fails with a bare 422 that names no field. Where the
    /// patch has a `test`, that is a lost race and not an invalid object.
    pub(crate) fn of_tested_patch(mut self) -> Self {
        if self.code == 422 && !self.explained {
            self.class = ApiErrorClass::Conflict;
        }
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.operation.is_empty() {
            write!(formatter, "{}: ", self.operation)?;
        }
        formatter.write_str(if self.message.is_empty() {
            "refused"
        } else {
            &self.message
        })?;
        match (self.code, self.reason.as_str()) {
            (0, _) => Ok(()),
            (code, "") => write!(formatter, " (HTTP {code})"),
            (code, reason) => write!(formatter, " ({reason}, HTTP {code})"),
        }
    }
}

impl Error for ApiError {}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from_status(status.code, &status, None),
            // Its text may quote what the answer held.
            kube::Error::SerdeError(source) => Self::no_answer(&unreadable(&source)),
            kube::Error::BuildRequest(source) => Self::bad_request(&chain(&source)),
            other => Self::no_answer(&chain(&other)),
        }
    }
}

/// The class of an answer. The reason wins over the code where both are known.
/// Source: `apimachinery: pkg/api/errors` by behaviour; exemplars 4.4.
fn class_of(code: u16, reason: &str) -> ApiErrorClass {
    match (reason, code) {
        ("AlreadyExists", _) => ApiErrorClass::AlreadyExists,
        ("Expired" | "Gone", _) | (_, 410) => ApiErrorClass::Gone,
        ("Conflict", _) | (_, 409) => ApiErrorClass::Conflict,
        ("NotFound", _) => ApiErrorClass::NotFound,
        // A 404 that the API server did not word comes from something between: it says nothing of the object.
        (_, 404) => ApiErrorClass::Transient,
        // Tokens rotate: the next one may be good.
        ("Unauthorized", _) | (_, 401) => ApiErrorClass::Transient,
        ("Forbidden", _) | (_, 403) => ApiErrorClass::Forbidden,
        (_, 408 | 429) => ApiErrorClass::Transient,
        (_, 400..=499) => ApiErrorClass::Invalid,
        _ => ApiErrorClass::Transient,
    }
}

impl ApiErrorClass {
    /// It says what has become of the object.
    fn is_of_the_object(self) -> bool {
        matches!(
            self,
            Self::NotFound | Self::Conflict | Self::AlreadyExists | Self::Gone
        )
    }
}

/// An admission webhook chooses the code and the reason of its refusal, often those of something that it looked up itself: of
/// the object they say nothing. The API server puts these words before its.
fn is_denial(message: &str) -> bool {
    message.starts_with("admission webhook \"")
}

/// Where an answer could not be decoded, without quoting it.
pub(crate) fn unreadable(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Io | serde_json::error::Category::Eof => "ends early",
        serde_json::error::Category::Syntax => "is not JSON",
        serde_json::error::Category::Data => "does not have the expected fields",
    };
    format!(
        "the answer of the API server {what} (line {}, column {})",
        error.line(),
        error.column()
    )
}

fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(MESSAGE_LIMIT) {
        line.truncate(end);
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    fn answer(code: u16, reason: &str) -> ApiError {
        ApiError::from_status(code, &Status::failure("text", reason), None)
    }

    #[test]
    fn snapshot_case_115_a_webhook_that_denies_says_nothing_of_the_object() {
        use ApiErrorClass::{AlreadyExists, Conflict, Forbidden, Gone, Invalid, NotFound, Transient};
        let denial = "admission webhook \"quota.example.com\" denied the request: configmap not found";
        let rows = [
            (404, "NotFound", NotFound, Invalid),
            (409, "Conflict", Conflict, Invalid),
            (409, "AlreadyExists", AlreadyExists, Invalid),
            (410, "Gone", Gone, Invalid),
            (400, "", Invalid, Invalid),
            (403, "Forbidden", Forbidden, Forbidden),
            (429, "TooManyRequests", Transient, Transient),
            (500, "InternalError", Transient, Transient),
        ];
        for (code, reason, of_server, of_webhook) in rows {
            let class = |text| ApiError::from_status(code, &Status::failure(text, reason), None).class();
            assert_eq!(
                (class("text"), class(denial)),
                (of_server, of_webhook),
                "{code} {reason}"
            );
        }
    }

    #[test]
    fn answers_have_classes() {
        use ApiErrorClass::{AlreadyExists, Conflict, Forbidden, Gone, Invalid, NotFound, Transient};
        for (code, reason, class) in [
            (400, "BadRequest", Invalid),
            (401, "Unauthorized", Transient),
            (403, "Forbidden", Forbidden),
            (403, "", Forbidden),
            (404, "NotFound", NotFound),
            (404, "Failed to parse error data", Transient),
            (405, "MethodNotAllowed", Invalid),
            (406, "NotAcceptable", Invalid),
            (408, "Timeout", Transient),
            (409, "Conflict", Conflict),
            (409, "AlreadyExists", AlreadyExists),
            (409, "", Conflict),
            (410, "Gone", Gone),
            (410, "Expired", Gone),
            (413, "RequestEntityTooLarge", Invalid),
            (415, "UnsupportedMediaType", Invalid),
            (422, "Invalid", Invalid),
            (429, "TooManyRequests", Transient),
            (429, "", Transient),
            (500, "InternalError", Transient),
            (500, "ServerTimeout", Transient),
            (503, "ServiceUnavailable", Transient),
            (504, "Timeout", Transient),
            (0, "", Transient),
        ] {
            assert_eq!(answer(code, reason).class(), class, "{code} {reason}");
        }
    }

    #[test]
    fn errors_of_the_client_have_classes() {
        let broken = serde_json::from_str::<u8>("\"secret\"").unwrap_err();
        let error = ApiError::from(kube::Error::SerdeError(broken));
        assert_eq!(error.class(), ApiErrorClass::Transient);
        assert!(!error.to_string().contains("secret"), "{error}");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = ApiError::from(kube::Error::Service(Box::new(refused)));
        assert_eq!((error.class(), error.code()), (ApiErrorClass::Transient, 0));
        assert!(error.to_string().contains("connection refused"), "{error}");
        let status = Status::failure("no", "NotFound").with_code(404).boxed();
        assert_eq!(
            ApiError::from(kube::Error::Api(status)).class(),
            ApiErrorClass::NotFound
        );
    }

    #[test]
    fn the_text_is_one_line_that_names_the_operation() {
        let status = Status::failure("object\n  changed", "Conflict").with_code(409);
        let error = ApiError::from_status(409, &status, None).during("patch volumesnapshots shop/s");
        assert_eq!(
            error.to_string(),
            "patch volumesnapshots shop/s: object changed (Conflict, HTTP 409)"
        );
        let long = ApiError::no_answer(&"x".repeat(5000));
        assert_eq!(long.to_string().len(), MESSAGE_LIMIT + 3);
    }

    #[test]
    fn the_time_to_wait_comes_from_the_header_or_the_status() {
        let details = StatusDetails {
            retry_after_seconds: 3,
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
        };
        let status = Status::failure("slow down", "TooManyRequests").with_details(details);
        let after = |header| ApiError::from_status(429, &status, header).retry_after();
        assert_eq!(after(None), Some(Duration::from_secs(3)));
        assert_eq!(after(Some(Duration::from_secs(9))), Some(Duration::from_secs(9)));
    }

    #[test]
    fn a_failed_test_of_a_patch_is_a_conflict_and_an_invalid_field_is_not() {
        let bare = answer(422, "Invalid");
        assert_eq!(bare.clone().class(), ApiErrorClass::Invalid);
        assert_eq!(bare.of_tested_patch().class(), ApiErrorClass::Conflict);
        let details = StatusDetails {
            causes: vec![StatusCause {
                reason: "FieldValueInvalid".to_owned(),
                message: "is immutable".to_owned(),
                field: "spec.driver".to_owned(),
            }],
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            retry_after_seconds: 0,
        };
        let status = Status::failure("invalid", "Invalid").with_details(details);
        let explained = ApiError::from_status(422, &status, None).of_tested_patch();
        assert_eq!(explained.class(), ApiErrorClass::Invalid);
    }
}
