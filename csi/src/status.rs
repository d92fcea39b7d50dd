//! gRPC statuses in the words that users of the upstream programs know.

use tonic::{Code, Status};

/// The name of a code as the Go library prints it: in metrics, in events, in status texts.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// `rpc error: code = <Code> desc = <text>`, which events and status texts carry (snapshot.md 3.4.3).
#[must_use]
pub fn error_text(status: &Status) -> String {
    format!(
        "rpc error: code = {} desc = {}",
        code_name(status.code()),
        status.message()
    )
}

/// The same without any value of `secrets`, should a driver have put one into its text (sidecars.md 1.7).
///
/// Values shorter than four characters are left: taking them out would only garble the text.
#[must_use]
pub fn error_text_without<'a>(status: &Status, secrets: impl IntoIterator<Item = &'a String>) -> String {
    let mut text = error_text(status);
    for secret in secrets {
        if secret.len() >= 4 {
            text = text.replace(secret.as_str(), "***stripped***");
        }
    }
    text
}

/// The answer broke the gRPC protocol, so it says nothing about the operation. Found as the source of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed gRPC answer")]
pub struct Malformed;

/// A status for an answer that cannot be read; `what` says why.
pub(crate) fn malformed(what: &str) -> Status {
    let mut status = Status::internal(format!("malformed answer of the CSI driver: {what}"));
    status.set_source(std::sync::Arc::new(Malformed));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_as_upstream() {
        let status = Status::invalid_argument("bad key s3cret");
        assert_eq!(
            error_text(&status),
            "rpc error: code = InvalidArgument desc = bad key s3cret"
        );
        assert_eq!(
            error_text_without(&status, &["s3cret".to_string(), "a".to_string()]),
            "rpc error: code = InvalidArgument desc = bad key ***stripped***"
        );
    }
}
