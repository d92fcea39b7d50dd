//! `google.rpc.RetryInfo`: a driver that knows when a repetition can succeed says so (decisions 21, 27).

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// How long the driver asks to wait, if it says so in a form that can be read.
#[must_use]
pub fn delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// An error that asks to wait for `delay`.
#[must_use]
pub fn status_with_delay(code: Code, message: impl Into<String>, delay: Duration) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(delay)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_survives_the_status() {
        let status = status_with_delay(Code::Internal, "optimizing", Duration::from_secs(90));
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(delay(&status), Some(Duration::from_secs(90)));
        assert_eq!(delay(&Status::internal("plain")), None);
        let garbage = Status::with_details(Code::Internal, "", bytes::Bytes::from_static(b"\xff\xff"));
        assert_eq!(delay(&garbage), None);
    }
}
