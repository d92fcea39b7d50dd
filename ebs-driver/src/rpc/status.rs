//! EC2's errors as gRPC statuses, one exhaustive table a call. Source: spec 1.8; decision 21.

use std::fmt::Display;

use tonic::{Code, Status};

use crate::ec2::errors::{Class, Ec2Error};

/// InvalidArgument for whatever the request itself got wrong.
pub(super) fn bad(error: impl Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// CreateVolume and CopyVolumes. Aborted means for the provisioner that a volume may be in the making, so that
/// it keeps the claim where it is and asks again.
pub(super) fn create_volume(error: &Ec2Error) -> Status {
    let code = match error.class() {
        Class::NotFound => Code::NotFound,
        Class::BadParameter | Class::MalformedId => Code::InvalidArgument,
        // EC2 may report a quota for a token that already made a volume.
        Class::Quota
        | Class::TokenMismatch
        | Class::Unsupported
        | Class::State
        | Class::DryRun
        | Class::Throttled
        | Class::Unclear
        | Class::NotSent
        | Class::Refused => Code::Aborted,
    };
    Status::new(code, error.to_string())
}

/// CreateSnapshot itself. Only definite refusals are final: Internal makes the snapshotter believe that nothing
/// exists.
pub(super) fn create_snapshot(error: &Ec2Error) -> Status {
    let code = match error.class() {
        Class::BadParameter | Class::MalformedId => Code::InvalidArgument,
        Class::Throttled | Class::Unclear | Class::NotSent => Code::Unavailable,
        Class::NotFound
        | Class::Unsupported
        | Class::TokenMismatch
        | Class::Quota
        | Class::State
        | Class::DryRun
        | Class::Refused => Code::Internal,
    };
    Status::new(code, error.to_string())
}

/// A lookup before or after a CreateSnapshot: a snapshot may exist, so no code is final (Q13).
pub(super) fn snapshot_lookup(error: &Ec2Error) -> Status {
    Status::unavailable(error.to_string())
}

/// Expand, and later modify.
pub(super) fn change_volume(error: &Ec2Error) -> Status {
    let code = match error.class() {
        Class::NotFound => Code::NotFound,
        Class::BadParameter | Class::MalformedId | Class::Unsupported => Code::InvalidArgument,
        Class::Throttled | Class::Unclear | Class::NotSent => Code::Unavailable,
        Class::TokenMismatch | Class::Quota | Class::State | Class::DryRun | Class::Refused => Code::Internal,
    };
    Status::new(code, error.to_string())
}

/// Calls for which every error past NotFound is Internal.
pub(super) fn internal(error: &Ec2Error) -> Status {
    Status::internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec2::errors::{Action, Failure, Lost};

    fn answer(status: u16, code: &str) -> Ec2Error {
        Ec2Error {
            action: Action::CreateVolume,
            failure: Failure::Answer {
                status,
                code: code.into(),
                message: String::new(),
            },
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn the_table_of_codes() {
        use Code::{Aborted, Internal, InvalidArgument, NotFound, Unavailable};
        // EC2 code, CreateVolume, CreateSnapshot, Expand
        let rows = [
            (400, "InvalidSnapshot.NotFound", NotFound, Internal, NotFound),
            (400, "InvalidVolume.NotFound", NotFound, Internal, NotFound),
            (
                400,
                "InvalidParameterCombination",
                InvalidArgument,
                InvalidArgument,
                InvalidArgument,
            ),
            (
                400,
                "InvalidParameterValue",
                InvalidArgument,
                InvalidArgument,
                InvalidArgument,
            ),
            (
                400,
                "UnknownVolumeType",
                InvalidArgument,
                InvalidArgument,
                InvalidArgument,
            ),
            (
                400,
                "InvalidZone.NotFound",
                InvalidArgument,
                InvalidArgument,
                InvalidArgument,
            ),
            (400, "UnsupportedOperation", Aborted, Internal, InvalidArgument),
            (400, "MaxIOPSLimitExceeded", Aborted, Internal, Internal),
            (400, "SnapshotLimitExceeded", Aborted, Internal, Internal),
            (
                400,
                "SnapshotCreationPerVolumeRateExceeded",
                Aborted,
                Internal,
                Internal,
            ),
            (
                400,
                "ConcurrentSnapshotLimitExceeded",
                Aborted,
                Internal,
                Internal,
            ),
            (400, "IncorrectState", Aborted, Internal, Internal),
            (
                400,
                "VolumeModificationSizeLimitExceeded",
                Aborted,
                Internal,
                Internal,
            ),
            (400, "VolumeModificationRateExceeded", Aborted, Internal, Internal),
            (400, "IncorrectModificationState", Aborted, Internal, Internal),
            (403, "UnauthorizedOperation", Aborted, Internal, Internal),
            (503, "RequestLimitExceeded", Aborted, Unavailable, Unavailable),
            (500, "InternalError", Aborted, Unavailable, Unavailable),
        ];
        for (status, code, volume, snapshot, expand) in rows {
            let error = answer(status, code);
            assert_eq!(create_volume(&error).code(), volume, "{code}");
            assert_eq!(create_snapshot(&error).code(), snapshot, "{code}");
            assert_eq!(change_volume(&error).code(), expand, "{code}");
            assert_eq!(snapshot_lookup(&error).code(), Unavailable, "{code}");
        }
        for why in [
            Lost::Timeout,
            Lost::Connection,
            Lost::Dns,
            Lost::Credentials,
            Lost::Malformed,
            Lost::NotSent,
        ] {
            let error = Ec2Error::lost(Action::CreateSnapshot, why, "");
            assert_eq!(create_snapshot(&error).code(), Unavailable);
            assert_eq!(create_volume(&error).code(), Aborted);
        }
    }
}
