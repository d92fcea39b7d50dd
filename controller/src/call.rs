//! CSI calls that failed.

use std::collections::BTreeMap;
use std::time::Duration;

use csi::{Class, Operation, classify_status};
use tonic::{Code, Status};

/// A call that failed, or could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    /// What it says about the operation.
    pub class: Class,
    /// The driver's code; none when it failed before the call.
    pub code: Option<Code>,
    /// `rpc error: code = ... desc = ...`, without secrets; or what went wrong before the call.
    pub text: String,
    /// The driver asked to wait this long.
    pub retry_after: Option<Duration>,
}

impl CallFailure {
    /// From the driver's answer to a call that carried these secrets.
    #[must_use]
    pub fn of(operation: Operation, status: &Status, secrets: &BTreeMap<String, String>) -> Self {
        Self {
            class: classify_status(operation, status),
            code: Some(status.code()),
            text: csi::status::error_text_without(status, secrets.values()),
            retry_after: csi::retry::delay(status),
        }
    }

    /// An answer that is none: OK, but with something that cannot be.
    #[must_use]
    pub fn nonsense(class: Class, what: &str) -> Self {
        Self {
            class,
            code: Some(Code::Internal),
            text: format!("rpc error: code = Internal desc = the CSI driver answered {what}"),
            retry_after: None,
        }
    }
}
