//! Errors of the machine as gRPC statuses. Source: spec 4.1.

use ::node::HostError;
use tonic::{Code, Status};

/// What a failed step of a call answers.
pub(super) fn of(error: &HostError) -> Status {
    let code = match error {
        HostError::DeviceMissing(_) | HostError::NotADevice(_) | HostError::AnotherVolume { .. } => {
            Code::NotFound
        }
        HostError::MountOption { .. } => Code::InvalidArgument,
        HostError::Busy { .. }
        | HostError::OtherData { .. }
        | HostError::ToolMissing { .. }
        | HostError::ToolFailed { .. }
        | HostError::ToolTimeout { .. }
        | HostError::CapabilityLacking { .. }
        | HostError::Unsupported(_)
        | HostError::Io { .. } => Code::Internal,
    };
    Status::new(code, error.to_string())
}

/// The same of growing a file system that is in use: where only the capability is lacking it can be grown while nobody
/// uses it, which CSI calls FailedPrecondition and kubelet does when the volume is staged next.
pub(super) fn of_growing(error: &HostError) -> Status {
    match error {
        HostError::CapabilityLacking { .. } => Status::failed_precondition(error.to_string()),
        _ => of(error),
    }
}
