//! CSI calls that failed.

use std::collections::BTreeMap;
use std::time::Duration;

use csi::{Class, Operation, classify_status};
use tonic::{Code, Status};

/// A driver that asks for no time would be called without end.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

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

    /// How long the driver asks to wait: a second at least, and at most so long.
    #[must_use]
    pub fn wait(&self, longest: Duration) -> Option<Duration> {
        self.retry_after
            .map(|asked| asked.min(longest).max(SHORTEST_WAIT))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_bounds() {
        let waits = |asked, longest| {
            let failure = CallFailure {
                retry_after: Some(asked),
                ..CallFailure::nonsense(Class::Final, "")
            };
            failure.wait(longest)
        };
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        assert_eq!(waits(Duration::ZERO, minute), Some(second));
        assert_eq!(
            waits(Duration::from_secs(9), minute),
            Some(Duration::from_secs(9))
        );
        assert_eq!(waits(Duration::MAX, minute), Some(minute));
        assert_eq!(waits(Duration::MAX, Duration::ZERO), Some(second));
        assert_eq!(CallFailure::nonsense(Class::Final, "").wait(minute), None);
    }
}
