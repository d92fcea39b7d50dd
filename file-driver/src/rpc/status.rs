//! Errors as gRPC statuses, with the codes that CSI names for them.

use std::io::ErrorKind;

use node::HostError;
use tonic::{Code, Status};

use crate::folder::FolderError;
use crate::plan::Refusal;

pub(crate) fn of_refusal(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::Invalid { .. } => Code::InvalidArgument,
        Refusal::NotFound { .. } => Code::NotFound,
        Refusal::AlreadyExists(_) => Code::AlreadyExists,
        Refusal::OutOfRange(_) => Code::OutOfRange,
        Refusal::Exhausted(_) => Code::ResourceExhausted,
        Refusal::Precondition(_) => Code::FailedPrecondition,
        Refusal::Token(_) => Code::Aborted,
        Refusal::Lacking(_) => Code::Unimplemented,
    };
    Status::new(code, refusal.to_string())
}

pub(crate) fn of_folder(error: &FolderError) -> Status {
    let code = match error {
        FolderError::Io { source, .. } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Code::ResourceExhausted,
            ErrorKind::Unsupported => Code::FailedPrecondition,
            _ => Code::Internal,
        },
        FolderError::Record { .. } | FolderError::InUse { .. } => Code::Internal,
    };
    Status::new(code, error.to_string())
}

pub(crate) fn of_host(error: &HostError) -> Status {
    let code = match error {
        HostError::DeviceMissing(_) | HostError::NotADevice(_) => Code::NotFound,
        HostError::MountOption { .. } => Code::InvalidArgument,
        HostError::CapabilityLacking { .. } => Code::FailedPrecondition,
        _ => Code::Internal,
    };
    Status::new(code, error.to_string())
}
