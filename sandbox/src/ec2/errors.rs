//! The errors that EC2 answers.

use http::StatusCode;

/// One EC2 error: what stands in `<Error>` of the answer, and its HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Ec2Error {
    /// The error code, as `InvalidVolume.NotFound`.
    pub code: String,
    /// The text beside it.
    pub message: String,
    /// The HTTP status of the answer.
    pub status: StatusCode,
}

impl Ec2Error {
    /// An error with the status that EC2 gives this code.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            status: status_of(code),
        }
    }

    /// A needed parameter is absent.
    pub(super) fn missing(name: &str) -> Self {
        Self::new(
            "MissingParameter",
            format!("The request must contain the parameter {name}"),
        )
    }

    /// A parameter has a value that EC2 refuses.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    /// A parameter has a value that EC2 refuses, in its usual words.
    pub(super) fn invalid_value(name: &str, value: &str, reason: &str) -> Self {
        Self::invalid(format!(
            "Value ({value}) for parameter {name} is invalid. {reason}"
        ))
    }

    /// Two parameters exclude each other, or one does not fit the volume type.
    pub(super) fn combination(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterCombination", message)
    }

    /// A resource is in a state that does not allow the action.
    pub(super) fn state(message: impl Into<String>) -> Self {
        Self::new("IncorrectState", message)
    }

    /// The resources with these IDs do not exist; EC2 names all of them.
    pub(super) fn not_found(code: &str, kind: &str, ids: &[&str]) -> Self {
        let message = match ids {
            [id] => format!("The {kind} '{id}' does not exist."),
            _ => format!("The {kind}s '{}' do not exist.", ids.join(", ")),
        };
        Self::new(code, message)
    }

    /// No such volume.
    pub(super) fn no_volume(id: &str) -> Self {
        Self::not_found("InvalidVolume.NotFound", "volume", &[id])
    }

    /// No such snapshot.
    pub(super) fn no_snapshot(id: &str) -> Self {
        Self::not_found("InvalidSnapshot.NotFound", "snapshot", &[id])
    }

    /// No such instance.
    pub(super) fn no_instance(id: &str) -> Self {
        Self::new(
            "InvalidInstanceID.NotFound",
            format!("The instance ID '{id}' does not exist"),
        )
    }

    /// The request is sound and was only a rehearsal.
    pub(super) fn dry_run() -> Self {
        Self::new(
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
        )
    }
}

/// The HTTP status that goes with an error code.
#[must_use]
pub fn status_of(code: &str) -> StatusCode {
    match code {
        "AuthFailure" => StatusCode::UNAUTHORIZED,
        "UnauthorizedOperation" | "OptInRequired" | "Blocked" => StatusCode::FORBIDDEN,
        "DryRunOperation" => StatusCode::PRECONDITION_FAILED,
        "InternalError" | "InternalFailure" => StatusCode::INTERNAL_SERVER_ERROR,
        "RequestLimitExceeded" | "Unavailable" | "ServiceUnavailable" | "InsufficientVolumeCapacity" => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::BAD_REQUEST,
    }
}
