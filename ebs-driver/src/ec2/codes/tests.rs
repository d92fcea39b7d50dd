use std::collections::BTreeSet;

use super::*;
use crate::ec2::errors::Action;

fn answer(action: Action, status: u16, code: &str) -> Ec2Error {
    Ec2Error {
        action,
        failure: Failure::Answer {
            status,
            code: code.into(),
            message: String::new(),
        },
    }
}

#[test]
fn rows_and_columns_stand_in_their_order() {
    for (number, purpose) in Purpose::all().enumerate() {
        assert_eq!(purpose as usize, number, "{purpose:?}");
    }
    for (number, meaning) in Meaning::ALL.into_iter().enumerate() {
        assert_eq!(meaning as usize, number, "{meaning:?}");
    }
}

#[test]
fn every_code_stands_once_in_the_order_of_meanings() {
    let mut seen = BTreeSet::new();
    let order: Vec<_> = CODES.iter().map(|row| (row.meaning as usize, row.code)).collect();
    assert!(order.is_sorted(), "{order:?}");
    for row in CODES {
        assert!(seen.insert(row.code), "{} stands twice", row.code);
    }
    for (purpose, code, reply) in EXCEPTIONS {
        let row = CODES.iter().find(|row| row.code == *code).expect(code);
        assert_ne!(
            purpose.usual(row.meaning),
            *reply,
            "{code} is no exception for {purpose:?}"
        );
    }
}

#[test]
fn codes_have_meanings() {
    let rows = [
        (400, "InvalidVolume.NotFound", Meaning::NotFound),
        (400, "InvalidSnapshot.NotFound", Meaning::NotFound),
        (400, "InvalidSnapshotID.Malformed", Meaning::MalformedId),
        (400, "InvalidZone.NotFound", Meaning::BadParameter),
        (400, "InvalidParameterCombination", Meaning::BadParameter),
        (400, "IdempotentParameterMismatch", Meaning::TokenMismatch),
        (400, "InvalidInstanceID.NotFound", Meaning::NotFound),
        (400, "InvalidInstanceID.Malformed", Meaning::MalformedId),
        (400, "InvalidAttachment.NotFound", Meaning::NotFound),
        (400, "AttachmentLimitExceeded", Meaning::Quota),
        (400, "VolumeLimitExceeded", Meaning::Quota),
        (400, "PendingSnapshotLimitExceeded", Meaning::Quota),
        (503, "InsufficientVolumeCapacity", Meaning::Quota),
        (400, "IncorrectModificationState", Meaning::State),
        (412, "DryRunOperation", Meaning::DryRun),
        (503, "RequestLimitExceeded", Meaning::Throttled),
        (400, "Throttling", Meaning::Throttled),
        (500, "InternalError", Meaning::Unclear),
        (503, "Unavailable", Meaning::Unclear),
        (500, "SomethingNew", Meaning::Unclear),
        (403, "UnauthorizedOperation", Meaning::Denied),
        (401, "AuthFailure", Meaning::Credentials),
        (400, "SomethingNew", Meaning::Refused),
    ];
    for (status, code, meaning) in rows {
        assert_eq!(
            answer(Action::CreateVolume, status, code).meaning(),
            meaning,
            "{code}"
        );
    }
}

#[test]
#[rustfmt::skip]
fn the_table_of_codes() {
    use Code::{Aborted, Internal, InvalidArgument, NotFound, Unavailable};
    // EC2 code, CreateVolume, CreateSnapshot, Expand
    let rows = [
        (400, "InvalidSnapshot.NotFound", NotFound, Internal, NotFound),
        (400, "InvalidVolume.NotFound", NotFound, Internal, NotFound),
        (400, "InvalidParameterCombination", InvalidArgument, InvalidArgument, InvalidArgument),
        (400, "InvalidParameterValue", InvalidArgument, InvalidArgument, InvalidArgument),
        (400, "UnknownVolumeType", InvalidArgument, InvalidArgument, InvalidArgument),
        (400, "InvalidZone.NotFound", InvalidArgument, InvalidArgument, InvalidArgument),
        (400, "VolumeTypeNotAvailableInZone", InvalidArgument, InvalidArgument, InvalidArgument),
        (400, "VolumeIOPSLimit", InvalidArgument, InvalidArgument, InvalidArgument),
        (400, "TagLimitExceeded", InvalidArgument, InvalidArgument, InvalidArgument),
        (400, "UnsupportedOperation", Aborted, Internal, InvalidArgument),
        (400, "MaxIOPSLimitExceeded", Aborted, Internal, Internal),
        (400, "SnapshotLimitExceeded", Aborted, Internal, Internal),
        (400, "PendingSnapshotLimitExceeded", Aborted, Unavailable, Internal),
        (400, "SnapshotCreationPerVolumeRateExceeded", Aborted, Unavailable, Internal),
        (400, "ConcurrentSnapshotLimitExceeded", Aborted, Unavailable, Internal),
        (400, "IncorrectState", Aborted, Internal, Internal),
        (400, "VolumeModificationSizeLimitExceeded", Aborted, Internal, Internal),
        (400, "VolumeModificationRateExceeded", Aborted, Internal, Internal),
        (400, "IncorrectModificationState", Aborted, Internal, Internal),
        (403, "UnauthorizedOperation", Aborted, Internal, Internal),
        (503, "RequestLimitExceeded", Aborted, Unavailable, Unavailable),
        (500, "InternalError", Aborted, Unavailable, Unavailable),
    ];
    for (status, code, volume, snapshot, expand) in rows {
        let error = answer(Action::ModifyVolume, status, code);
        assert_eq!(Purpose::CreateVolume.status(&error).code(), volume, "{code}");
        assert_eq!(Purpose::CreateSnapshot.status(&error).code(), snapshot, "{code}");
        assert_eq!(Purpose::of_change(&error).status(&error).code(), expand, "{code}");
        assert_eq!(Purpose::SnapshotRead.status(&error).code(), Unavailable, "{code}");
    }
}

#[test]
fn what_was_lost_is_never_final_where_something_may_have_been_made() {
    for why in Lost::ALL {
        let error = Ec2Error::lost(Action::CreateSnapshot, why, "");
        assert_eq!(
            Purpose::CreateSnapshot.status(&error).code(),
            Code::Unavailable,
            "{why:?}"
        );
        assert_eq!(
            Purpose::CreateVolume.status(&error).code(),
            Code::Aborted,
            "{why:?}"
        );
    }
}

#[test]
fn what_was_not_sent_changes_nothing() {
    for action in [
        Action::ModifyVolume,
        Action::DescribeVolumes,
        Action::CreateVolume,
    ] {
        for (why, code) in [
            (Lost::Credentials, Code::Internal),
            (Lost::Dns, Code::Internal),
            (Lost::NotSent, Code::Internal),
            (Lost::Timeout, Code::Unavailable),
            (Lost::Connection, Code::Unavailable),
        ] {
            let error = Ec2Error::lost(action, why, "");
            assert_eq!(
                Purpose::of_change(&error).status(&error).code(),
                code,
                "{action:?} {why:?}"
            );
        }
    }
}

#[test]
fn a_refused_read_is_not_a_refused_change() {
    for code in ["UnauthorizedOperation", "RequestLimitExceeded", "SomethingNew"] {
        let read = answer(Action::DescribeVolumes, 400, code);
        for purpose in [
            Purpose::of_change(&read),
            Purpose::AttachRead,
            Purpose::SnapshotRead,
        ] {
            assert_eq!(
                purpose.status(&read).code(),
                Code::Unavailable,
                "{purpose:?} {code}"
            );
        }
        assert_eq!(Purpose::CreateVolumeRead.status(&read).code(), Code::Aborted);
    }
}

#[test]
fn single_codes_are_taken_as_their_call_needs() {
    let of = |code| answer(Action::DetachVolume, 400, code);
    assert!(Purpose::Detach.is_done(&of("IncorrectState")));
    assert!(Purpose::Detach.is_done(&of("InvalidAttachment.NotFound")));
    assert!(!Purpose::Detach.is_done(&of("IncorrectInstanceState")));
    assert!(Purpose::Attach.looks_first(&of("VolumeInUse")));
    assert!(Purpose::CreateVolume.looks_first(&of("VolumeLimitExceeded")));
    assert!(Purpose::CreateVolume.looks_first(&of("IdempotentParameterMismatch")));
    assert!(!Purpose::CreateVolume.looks_first(&of("MaxIOPSLimitExceeded")));
    assert!(is_device_taken(&of("InvalidDevice.InUse")));
    assert!(!is_device_taken(&of("InvalidParameterValue")));
}
