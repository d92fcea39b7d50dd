//! What an error says about the operation: is it over, may it still be running, is it useless to repeat?
//!
//! Sources: exemplars.md 4.4, snapshot.md 3.4.1, resize.md 3.5 and 5.4, sidecars.md 2.9, decision 34.

use std::error::Error as _;

use tonic::{Code, Status};

use crate::status::Malformed;

/// An RPC whose errors a controller must tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `Controller.CreateVolume`
    CreateVolume,
    /// `Controller.DeleteVolume`
    DeleteVolume,
    /// `Controller.ControllerPublishVolume`
    PublishVolume,
    /// `Controller.ControllerUnpublishVolume`
    UnpublishVolume,
    /// `Controller.ControllerExpandVolume`
    ExpandVolume,
    /// `Controller.ControllerModifyVolume`
    ModifyVolume,
    /// `Controller.GetCapacity`
    GetCapacity,
    /// `Controller.CreateSnapshot`
    CreateSnapshot,
    /// `Controller.DeleteSnapshot`
    DeleteSnapshot,
    /// `Controller.ListSnapshots`
    ListSnapshots,
    /// `GroupController.CreateVolumeGroupSnapshot`
    CreateGroupSnapshot,
    /// `GroupController.DeleteVolumeGroupSnapshot`
    DeleteGroupSnapshot,
    /// `GroupController.GetVolumeGroupSnapshot`
    GetGroupSnapshot,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 13] = [
        Self::CreateVolume,
        Self::DeleteVolume,
        Self::PublishVolume,
        Self::UnpublishVolume,
        Self::ExpandVolume,
        Self::ModifyVolume,
        Self::GetCapacity,
        Self::CreateSnapshot,
        Self::DeleteSnapshot,
        Self::ListSnapshots,
        Self::CreateGroupSnapshot,
        Self::DeleteGroupSnapshot,
        Self::GetGroupSnapshot,
    ];

    /// The name of the RPC, as CSI has it.
    #[must_use]
    pub fn rpc(self) -> &'static str {
        match self {
            Self::CreateVolume => "CreateVolume",
            Self::DeleteVolume => "DeleteVolume",
            Self::PublishVolume => "ControllerPublishVolume",
            Self::UnpublishVolume => "ControllerUnpublishVolume",
            Self::ExpandVolume => "ControllerExpandVolume",
            Self::ModifyVolume => "ControllerModifyVolume",
            Self::GetCapacity => "GetCapacity",
            Self::CreateSnapshot => "CreateSnapshot",
            Self::DeleteSnapshot => "DeleteSnapshot",
            Self::ListSnapshots => "ListSnapshots",
            Self::CreateGroupSnapshot => "CreateVolumeGroupSnapshot",
            Self::DeleteGroupSnapshot => "DeleteVolumeGroupSnapshot",
            Self::GetGroupSnapshot => "GetVolumeGroupSnapshot",
        }
    }
}

/// What an outcome says about the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Done.
    Ok,
    /// Surely not running: intent marks may be cleared, the operation may be given up or changed.
    Final,
    /// It may be running or may have succeeded: repeat the same request, keep the marks.
    InProgress,
    /// Final, and useless to repeat before the request or the world has changed.
    Infeasible,
}

/// The class of the code that a driver answered to an operation. An error that did not come from the driver is
/// in progress: see [`classify_status`].
#[must_use]
pub fn classify(operation: Operation, code: Code) -> Class {
    match code {
        Code::Ok => Class::Ok,
        Code::Cancelled | Code::DeadlineExceeded | Code::Unavailable | Code::Aborted => Class::InProgress,
        // The provisioner alone takes it as the end of the attempt: there is no room, try elsewhere.
        Code::ResourceExhausted if operation == Operation::CreateVolume => Class::Final,
        Code::ResourceExhausted => Class::InProgress,
        Code::InvalidArgument => match operation {
            Operation::CreateVolume | Operation::ExpandVolume | Operation::ModifyVolume => Class::Infeasible,
            // Snapshots know no infeasible state (decision 34); the others are retried alike.
            _ => Class::Final,
        },
        Code::OutOfRange | Code::NotFound if operation == Operation::ExpandVolume => Class::Infeasible,
        Code::Unknown
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Class::Final,
    }
}

/// The class of a status as a client got it: [`classify`], except that an answer which broke the protocol says
/// nothing and counts as in progress.
#[must_use]
pub fn classify_status(operation: Operation, status: &Status) -> Class {
    let malformed = status.source().is_some_and(|source| source.is::<Malformed>());
    if malformed {
        Class::InProgress
    } else {
        classify(operation, status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 17 codes in the order of their numbers: o = ok, f = final, p = in progress, i = infeasible.
    const TABLE: [(Operation, &str); 13] = [
        //                                0         1
        //                                01234567890123456
        (Operation::CreateVolume, /*   */ "opfipfffffpfffpff"),
        (Operation::DeleteVolume, /*   */ "opffpfffpfpfffpff"),
        (Operation::PublishVolume, /*  */ "opffpfffpfpfffpff"),
        (Operation::UnpublishVolume, /**/ "opffpfffpfpfffpff"),
        (Operation::ExpandVolume, /*   */ "opfipiffpfpiffpff"),
        (Operation::ModifyVolume, /*   */ "opfipfffpfpfffpff"),
        (Operation::GetCapacity, /*    */ "opffpfffpfpfffpff"),
        (Operation::CreateSnapshot, /* */ "opffpfffpfpfffpff"),
        (Operation::DeleteSnapshot, /* */ "opffpfffpfpfffpff"),
        (Operation::ListSnapshots, /*  */ "opffpfffpfpfffpff"),
        (Operation::CreateGroupSnapshot, "opffpfffpfpfffpff"),
        (Operation::DeleteGroupSnapshot, "opffpfffpfpfffpff"),
        (Operation::GetGroupSnapshot, /**/ "opffpfffpfpfffpff"),
    ];

    #[test]
    fn every_code_of_every_operation_has_its_class() {
        assert!(TABLE.iter().map(|row| row.0).eq(Operation::ALL));
        for (operation, row) in TABLE {
            let found: String = (0..17)
                .map(|number| match classify(operation, Code::from(number)) {
                    Class::Ok => 'o',
                    Class::Final => 'f',
                    Class::InProgress => 'p',
                    Class::Infeasible => 'i',
                })
                .collect();
            assert_eq!(found, row, "{operation:?}");
        }
    }

    #[test]
    fn a_malformed_answer_says_nothing() {
        for operation in Operation::ALL {
            let status = crate::status::malformed("truncated");
            assert_eq!(status.code(), Code::Internal);
            assert_eq!(classify_status(operation, &status), Class::InProgress);
            assert_eq!(classify_status(operation, &Status::internal("no")), Class::Final);
        }
    }
}
