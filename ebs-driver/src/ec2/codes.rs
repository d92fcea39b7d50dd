//! Where an EC2 code becomes final: [`CODES`] says what each code means, [`REPLIES`] which gRPC code each call answers for
//! that meaning, and [`EXCEPTIONS`] names the few codes that a call takes otherwise. Whether a gRPC code is final for a
//! sidecar is `csi::classify`. `docs/errors.md` is made from these tables.
//!
//! Source: EC2's public list of error codes; spec 1.8, 3.8, Q3, Q4, Q9, Q13, Q15; decisions 21, 67, 68, 116.

use csi::Operation;
use tonic::{Code, Status};

use super::errors::{Ec2Error, Failure, Lost};

/// What an error of EC2 says about the call that got it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Meaning {
    /// The thing does not exist.
    NotFound,
    /// The text is no ID of EC2, so nothing of that name exists.
    MalformedId,
    /// EC2 refuses the content of the request.
    BadParameter,
    /// EC2 does not do this here or for this type.
    Unsupported,
    /// The client token was used for something else.
    TokenMismatch,
    /// A quota; may be reported for a token that already made a volume.
    Quota,
    /// The thing is in a state that does not allow it, or is used.
    State,
    /// The account or the role may not do this.
    Denied,
    /// EC2 does not accept the credentials.
    Credentials,
    /// A dry run that would have succeeded.
    DryRun,
    /// Too many requests; not executed.
    Throttled,
    /// It may or may not have taken effect.
    Unclear,
    /// It was never sent, or could not reach EC2.
    NotSent,
    /// Every other definite refusal.
    Refused,
}

impl Meaning {
    /// In the order of the columns of [`REPLIES`].
    pub const ALL: [Self; 14] = [
        Self::NotFound,
        Self::MalformedId,
        Self::BadParameter,
        Self::Unsupported,
        Self::TokenMismatch,
        Self::Quota,
        Self::State,
        Self::Denied,
        Self::Credentials,
        Self::DryRun,
        Self::Throttled,
        Self::Unclear,
        Self::NotSent,
        Self::Refused,
    ];

    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unclear | Self::NotSent)
    }

    /// For people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NotFound => "there is no such thing",
            Self::MalformedId => "that is no ID, so there is no such thing",
            Self::BadParameter => "EC2 refuses a value of the request",
            Self::Unsupported => "EC2 does not do this here or for this type",
            Self::TokenMismatch => "the client token was used for another request",
            Self::Quota => "a quota or the capacity is used up",
            Self::State => "the state of the thing does not allow it, or somebody uses it",
            Self::Denied => "the account or the role may not do this",
            Self::Credentials => "EC2 does not accept the credentials",
            Self::DryRun => "a dry run that would have succeeded",
            Self::Throttled => "too many requests, nothing was done",
            Self::Unclear => "no answer to go by, it may have been done",
            Self::NotSent => "nothing was sent",
            Self::Refused => "EC2 refuses for another reason",
        }
    }

    /// What the user can do, where the row of the code does not say more.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::NotFound => "Look whether it was deleted by hand; check `AWS_REGION` and the account.",
            Self::MalformedId => "Correct the ID in the object that names it.",
            Self::BadParameter => "Change the parameter that the text names, in the class or the request.",
            Self::Unsupported => "Choose another type, zone or instance, as the text says.",
            Self::TokenMismatch | Self::DryRun => "Nothing; the driver goes on by itself.",
            Self::Quota => {
                "Have the quota raised, or delete what is not needed; it is tried again by itself."
            }
            Self::State => "Wait, or end what uses it; it is tried again by itself.",
            Self::Denied => {
                "Give the role of the driver the right that is missing; the log has the encoded message."
            }
            Self::Credentials => "Renew the credentials of the driver; check the clock of the node.",
            Self::Throttled => {
                "Nothing; the driver slows down. Where it lasts, see who else calls EC2 in the account."
            }
            Self::Unclear => "Nothing; the driver looks what came of it before it tries again.",
            Self::NotSent => "Check network, DNS, region and credentials of the driver.",
            Self::Refused => "Do what the text of EC2 says.",
        }
    }
}

/// An error code of EC2.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// As EC2 spells it.
    pub code: &'static str,
    /// What it says about the call.
    pub meaning: Meaning,
    /// What the user can do; empty where [`Meaning::advice`] is all there is to say.
    pub advice: &'static str,
}

const fn row(code: &'static str, meaning: Meaning, advice: &'static str) -> Row {
    Row {
        code,
        meaning,
        advice,
    }
}

/// Every code of EC2's public list that the calls of the driver can give, and those that other parts of AWS answer in its
/// place. What is not here is [`Meaning::Unclear`] with a status of 500 or above, else [`Meaning::Refused`].
#[rustfmt::skip]
pub const CODES: &[Row] = &[
    row("InvalidAttachment.NotFound", Meaning::NotFound, "Nothing; the volume is detached."),
    row("InvalidInstanceID.NotFound", Meaning::NotFound, "Nothing; the node is gone, or its ID belongs to another region."),
    row("InvalidSnapshot.NotFound", Meaning::NotFound, ""),
    row("InvalidVolume.NotFound", Meaning::NotFound, ""),
    row("InvalidVolumeModification.NotFound", Meaning::NotFound, "Nothing; the volume was never modified."),

    row("InvalidID", Meaning::MalformedId, ""),
    row("InvalidInstanceID.Malformed", Meaning::MalformedId, ""),
    row("InvalidSnapshotID.Malformed", Meaning::MalformedId, ""),
    row("InvalidVolumeID.Malformed", Meaning::MalformedId, ""),

    row("FilterLimitExceeded", Meaning::BadParameter, "Report it: the driver keeps to 200 values a filter."),
    row("InvalidAvailabilityZone", Meaning::BadParameter, "Correct the zone in `allowedTopologies` or on the node."),
    row("InvalidClientToken", Meaning::BadParameter, "Report it: the driver makes the tokens."),
    row("InvalidFilter", Meaning::BadParameter, "Report it, with the endpoint if it is not EC2 itself."),
    row("InvalidInput", Meaning::BadParameter, ""),
    row("InvalidInstanceType", Meaning::BadParameter, "Nothing; the driver assumes one EBS card."),
    row("InvalidMaxResults", Meaning::BadParameter, "Ask for 5 to 1000 entries."),
    row("InvalidNextToken", Meaning::BadParameter, "Begin the list anew."),
    row("InvalidPaginationToken", Meaning::BadParameter, "Begin the list anew."),
    row("InvalidParameter", Meaning::BadParameter, ""),
    row("InvalidParameterCombination", Meaning::BadParameter, "Leave out one of the parameters that the text names, or choose a type that has both."),
    row("InvalidParameterDependency", Meaning::BadParameter, "Add the parameter that the text misses."),
    row("InvalidParameterValue", Meaning::BadParameter, ""),
    row("InvalidResourceType.Unknown", Meaning::BadParameter, "Report it, with the endpoint if it is not EC2 itself."),
    row("InvalidTagKey.Malformed", Meaning::BadParameter, "Correct `tagSpecification_*` or `--extra-tags`."),
    row("InvalidTime", Meaning::BadParameter, "Correct `lockExpirationDate`."),
    row("InvalidUserID.Malformed", Meaning::BadParameter, ""),
    row("InvalidVolume.ZoneMismatch", Meaning::BadParameter, "The pod must run in the zone of its volume: check the node affinity of the PersistentVolume."),
    row("InvalidVolumeID.ZoneMismatch", Meaning::BadParameter, "The pod must run in the zone of its volume: check the node affinity of the PersistentVolume."),
    row("InvalidZone.NotFound", Meaning::BadParameter, "Correct the zone; it must be one of the region and open to the account."),
    row("MissingInput", Meaning::BadParameter, ""),
    row("MissingParameter", Meaning::BadParameter, "Add the parameter: `iops` where the type is io1 or io2."),
    row("TagLimitExceeded", Meaning::BadParameter, "EC2 takes 50 tags: leave out some of the class or of `--extra-tags`."),
    row("UnknownParameter", Meaning::BadParameter, "Report it, with the endpoint if it is not EC2 itself."),
    row("UnknownVolumeType", Meaning::BadParameter, "Correct `type` of the class."),
    row("ValidationError", Meaning::BadParameter, ""),
    row("VolumeIOPSLimit", Meaning::BadParameter, "Ask for fewer `iops`, or choose a type that has more."),
    row("VolumeTypeNotAvailableInZone", Meaning::BadParameter, "Choose another `type` or zone."),

    row("EncryptedVolumesNotSupported", Meaning::Unsupported, "Use an instance type that takes encrypted volumes."),
    row("NonEBSInstance", Meaning::Unsupported, "Restart the instance, or use a type that takes EBS volumes."),
    row("Unsupported", Meaning::Unsupported, ""),
    row("UnsupportedOperation", Meaning::Unsupported, ""),

    row("IdempotentParameterMismatch", Meaning::TokenMismatch, "Nothing; the driver looks for the volume, and takes the next token where there is none."),

    row("AttachmentLimitExceeded", Meaning::Quota, "The node is full: let the pod run elsewhere; check `--volume-attach-limit`."),
    row("ConcurrentSnapshotLimitExceeded", Meaning::Quota, "Wait: EC2 takes 5 pending snapshots a volume (st1, sc1: 1). Those in the state error count too: delete them."),
    row("InsufficientVolumeCapacity", Meaning::Quota, "EC2 has no room for such a volume in this zone: wait, or choose another zone or type."),
    row("MaxIOPSLimitExceeded", Meaning::Quota, "Have the IOPS quota of the region raised."),
    row("PendingSnapshotLimitExceeded", Meaning::Quota, "Wait: the account has as many pending snapshots as EC2 allows."),
    row("ResourceCountExceeded", Meaning::Quota, ""),
    row("ResourceLimitExceeded", Meaning::Quota, ""),
    row("SnapshotCreationPerVolumeRateExceeded", Meaning::Quota, "Wait: EC2 wants 15 s between two snapshots of a volume."),
    row("SnapshotLimitExceeded", Meaning::Quota, "Have the snapshot quota raised, or delete snapshots."),
    row("VolumeLimitExceeded", Meaning::Quota, "Have the storage quota of the type raised, or delete volumes."),
    row("VolumeModificationRateExceeded", Meaning::Quota, "Wait: EC2 takes four modifications of a volume in 24 h, each after the one before is complete. The answer says until when, where EC2 does."),
    row("VolumeModificationSizeLimitExceeded", Meaning::Quota, "Wait until other modifications are complete, or have the quota raised."),

    row("ConcurrentTagAccess", Meaning::State, ""),
    row("IncorrectInstanceState", Meaning::State, "Wait until the instance runs or is stopped."),
    row("IncorrectModificationState", Meaning::State, "Wait until the last modification of the volume is complete."),
    row("IncorrectState", Meaning::State, ""),
    row("InvalidDevice.InUse", Meaning::State, "Nothing; the driver takes another device name at the next attempt."),
    row("InvalidInstanceID", Meaning::State, "Wait until the instance runs."),
    row("InvalidInstanceState", Meaning::State, "Wait until the instance runs or is stopped."),
    row("InvalidSnapshot.InUse", Meaning::State, "Deregister the images that are made of the snapshot."),
    row("InvalidState", Meaning::State, ""),
    row("InvalidVolumeID.Duplicate", Meaning::State, ""),
    row("SnapshotLocked", Meaning::State, "Wait until the lock ends; in governance mode it can be taken off."),
    row("VolumeInUse", Meaning::State, "Look where the volume is attached, and detach it there."),

    row("AccessDenied", Meaning::Denied, ""),
    row("AccessDeniedException", Meaning::Denied, ""),
    row("Blocked", Meaning::Denied, "The account is blocked: ask AWS support."),
    row("CustomerKeyHasBeenRevoked", Meaning::Denied, "Give the role of the driver the KMS key again, or use another key."),
    row("OperationNotPermitted", Meaning::Denied, "Take off the protection that the text names."),
    row("OptInRequired", Meaning::Denied, "Subscribe the account to what the text names."),
    row("PendingVerification", Meaning::Denied, "The account is being verified: wait, or ask AWS support."),
    row("UnauthorizedOperation", Meaning::Denied, "Add the action to the policy of the role. `aws sts decode-authorization-message` reads the encoded message in the log of the driver."),

    row("AuthFailure", Meaning::Credentials, ""),
    row("ExpiredToken", Meaning::Credentials, ""),
    row("ExpiredTokenException", Meaning::Credentials, ""),
    row("IncompleteSignature", Meaning::Credentials, "A proxy may change the request: see that it leaves headers alone."),
    row("InvalidClientTokenId", Meaning::Credentials, ""),
    row("InvalidSecurity.RequestHasExpired", Meaning::Credentials, "Set the clock of the node."),
    row("MissingAuthenticationToken", Meaning::Credentials, ""),
    row("RequestExpired", Meaning::Credentials, "Set the clock of the node, or renew temporary credentials."),
    row("SignatureDoesNotMatch", Meaning::Credentials, ""),
    row("UnrecognizedClientException", Meaning::Credentials, ""),

    row("DryRunOperation", Meaning::DryRun, ""),

    row("BandwidthLimitExceeded", Meaning::Throttled, ""),
    row("EC2ThrottledException", Meaning::Throttled, ""),
    row("LimitExceededException", Meaning::Throttled, ""),
    row("PriorRequestNotComplete", Meaning::Throttled, ""),
    row("ProvisionedThroughputExceededException", Meaning::Throttled, ""),
    row("RequestLimitExceeded", Meaning::Throttled, ""),
    row("RequestThrottled", Meaning::Throttled, ""),
    row("RequestThrottledException", Meaning::Throttled, ""),
    row("SlowDown", Meaning::Throttled, ""),
    row("ThrottledException", Meaning::Throttled, ""),
    row("Throttling", Meaning::Throttled, ""),
    row("ThrottlingException", Meaning::Throttled, ""),
    row("TooManyRequestsException", Meaning::Throttled, ""),
    row("TransactionInProgressException", Meaning::Throttled, ""),

    row("InternalError", Meaning::Unclear, ""),
    row("InternalFailure", Meaning::Unclear, ""),
    row("RequestTimeout", Meaning::Unclear, ""),
    row("RequestTimeoutException", Meaning::Unclear, ""),
    row("ServiceUnavailable", Meaning::Unclear, ""),
    row("Unavailable", Meaning::Unclear, ""),

    row("InvalidAction", Meaning::Refused, "The endpoint does not know this action of EC2: check `AWS_EC2_ENDPOINT`."),
    row("InvalidCharacter", Meaning::Refused, ""),
    row("InvalidQueryParameter", Meaning::Refused, "Report it, with the endpoint if it is not EC2 itself."),
    row("InvalidRequest", Meaning::Refused, ""),
    row("MalformedQueryString", Meaning::Refused, "Report it, with the endpoint if it is not EC2 itself."),
    row("MissingAction", Meaning::Refused, "A proxy may change the request: see that it leaves the body alone."),
    row("NoSuchVersion", Meaning::Refused, "Report it, with the endpoint if it is not EC2 itself."),
    row("UnsupportedProtocol", Meaning::Refused, "The endpoint is not the Query API of EC2: check `AWS_EC2_ENDPOINT`."),
];

/// What a call to EC2 is for, which decides what its refusal means to the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The volume is made.
    CreateVolume,
    /// Something is looked up for a volume to be made, or looked at after it was.
    CreateVolumeRead,
    /// The volume is deleted.
    DeleteVolume,
    /// Instance or volume are looked at around an attachment.
    AttachRead,
    /// The volume is attached.
    Attach,
    /// The volume is detached.
    Detach,
    /// The volume is looked up to confirm what it can.
    Validate,
    /// The volume is changed.
    Change,
    /// The volume is looked at before it is changed.
    ChangeRead,
    /// The snapshot, or those of a group, are taken.
    CreateSnapshot,
    /// Snapshots are looked up around a creation.
    SnapshotRead,
    /// Fast restores or the lock that the class asks for, of a snapshot that was just taken.
    NewSnapshotClass,
    /// The same of a snapshot that was there before.
    SnapshotClass,
    /// The snapshot is deleted.
    DeleteSnapshot,
    /// Snapshots are listed.
    ListSnapshots,
    /// A further page of the list is asked for.
    ListPage,
    /// The rights are tried by a dry run.
    Probe,
}

/// What a call answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reply {
    /// OK: what was asked for is so already.
    Done,
    /// This gRPC code.
    Code(Code),
    /// The call looks what there is first; where that does not settle it, this gRPC code.
    LookFirst(Code),
}

const DONE: Reply = Reply::Done;
const LOOK: Reply = Reply::LookFirst(Code::Aborted);
const ABOR: Reply = Reply::Code(Code::Aborted);
const IARG: Reply = Reply::Code(Code::InvalidArgument);
const INTE: Reply = Reply::Code(Code::Internal);
const NOTF: Reply = Reply::Code(Code::NotFound);
const PREC: Reply = Reply::Code(Code::FailedPrecondition);
const UNAV: Reply = Reply::Code(Code::Unavailable);

/// Which gRPC code a call answers. One row a purpose, in the order of [`Purpose`]; one column a meaning, in the order of
/// [`Meaning::ALL`].
///
/// - CreateVolume is Aborted wherever a volume may be in the making: the provisioner then keeps the claim where it is and
///   asks again. A quota is too, since EC2 may report one for a token that already made a volume.
/// - A read before or after a change is Unavailable whatever EC2 says of it (decision 67): what it would have shown is not
///   known, and only the change itself can be refused for good. Where nothing can be sent at all, nothing is being
///   changed.
/// - CreateSnapshot is final only for definite refusals: the snapshotter then believes that there is no snapshot. What the
///   class asks for beside a new snapshot is a part of it: where it is refused, the snapshot is deleted again. A snapshot
///   that was there before may be in use, so its caller is told, and goes on without.
#[rustfmt::skip]
pub const REPLIES: [(Purpose, [Reply; 14]); 17] = [
    //                           not found, malformed, parameter, unsupported, token, quota, state, denied, credentials, dry run, throttled, unclear, not sent, refused
    (Purpose::CreateVolume,     [NOTF, IARG, IARG, ABOR, LOOK, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR]),
    (Purpose::CreateVolumeRead, [ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR]),
    (Purpose::DeleteVolume,     [DONE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE]),
    (Purpose::AttachRead,       [NOTF, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV]),
    (Purpose::Attach,           [INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE]),
    (Purpose::Detach,           [DONE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE]),
    (Purpose::Validate,         [NOTF, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE]),
    (Purpose::Change,           [NOTF, IARG, IARG, IARG, INTE, INTE, INTE, INTE, INTE, INTE, UNAV, UNAV, INTE, INTE]),
    (Purpose::ChangeRead,       [NOTF, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, INTE, UNAV, UNAV, UNAV, INTE, UNAV]),
    (Purpose::CreateSnapshot,   [INTE, IARG, IARG, INTE, INTE, INTE, INTE, INTE, INTE, INTE, UNAV, UNAV, UNAV, INTE]),
    (Purpose::SnapshotRead,     [UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV, UNAV]),
    (Purpose::NewSnapshotClass, [INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE]),
    (Purpose::SnapshotClass,    [ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR, ABOR]),
    (Purpose::DeleteSnapshot,   [DONE, DONE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE]),
    (Purpose::ListSnapshots,    [INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE]),
    (Purpose::ListPage,         [INTE, INTE, ABOR, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE, INTE]),
    (Purpose::Probe,            [PREC, PREC, PREC, PREC, PREC, PREC, PREC, PREC, PREC, DONE, PREC, PREC, PREC, PREC]),
];

/// The codes that a call takes otherwise than their meaning says.
pub const EXCEPTIONS: &[(Purpose, &str, Reply)] = &[
    (Purpose::CreateVolume, "VolumeLimitExceeded", LOOK),
    // Quotas that get free by themselves: the call waits, or says when to come back.
    (Purpose::CreateSnapshot, "ConcurrentSnapshotLimitExceeded", UNAV),
    (Purpose::CreateSnapshot, "PendingSnapshotLimitExceeded", UNAV),
    (
        Purpose::CreateSnapshot,
        "SnapshotCreationPerVolumeRateExceeded",
        UNAV,
    ),
    (
        Purpose::Attach,
        "AttachmentLimitExceeded",
        Reply::Code(Code::ResourceExhausted),
    ),
    (Purpose::Attach, "InvalidInstanceID.Malformed", NOTF),
    (Purpose::Attach, "InvalidInstanceID.NotFound", NOTF),
    // Of an attempt before whose answer was lost, or somebody else's.
    (Purpose::Attach, "VolumeInUse", Reply::LookFirst(Code::Internal)),
    (Purpose::Detach, "IncorrectState", DONE),
];

impl Purpose {
    /// Every purpose, in the order of the rows of [`REPLIES`].
    pub fn all() -> impl Iterator<Item = Self> {
        REPLIES.iter().map(|(purpose, _)| *purpose)
    }

    /// The RPC, and the actions of EC2 that are sent.
    #[must_use]
    pub fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::CreateVolume => ("CreateVolume", "CreateVolume, CopyVolumes"),
            Self::CreateVolumeRead => (
                "CreateVolume, what it looks up",
                "DescribeAvailabilityZones, DescribeVolumes, CreateVolume as a dry run",
            ),
            Self::DeleteVolume => ("DeleteVolume", "DeleteVolume"),
            Self::AttachRead => (
                "ControllerPublishVolume, what it looks up",
                "DescribeInstances, DescribeVolumes, DescribeVolumeStatus",
            ),
            Self::Attach => ("ControllerPublishVolume", "AttachVolume"),
            Self::Detach => ("ControllerUnpublishVolume", "DetachVolume"),
            Self::Validate => ("ValidateVolumeCapabilities", "DescribeVolumes"),
            Self::Change => ("ControllerExpandVolume, ControllerModifyVolume", "ModifyVolume"),
            Self::ChangeRead => (
                "ControllerExpandVolume and ControllerModifyVolume, what they look up",
                "DescribeVolumes, DescribeVolumesModifications, CreateVolume as a dry run",
            ),
            Self::CreateSnapshot => (
                "CreateSnapshot, CreateVolumeGroupSnapshot",
                "CreateSnapshot, CreateSnapshots",
            ),
            Self::SnapshotRead => (
                "CreateSnapshot and the RPCs of groups, what they look up",
                "DescribeSnapshots, DescribeVolumes, DescribeInstances",
            ),
            Self::NewSnapshotClass => (
                "CreateSnapshot, the class of a new snapshot",
                "EnableFastSnapshotRestores, LockSnapshot",
            ),
            Self::SnapshotClass => (
                "CreateSnapshot, the class of a snapshot that was there before",
                "EnableFastSnapshotRestores, LockSnapshot",
            ),
            Self::DeleteSnapshot => ("DeleteSnapshot, DeleteVolumeGroupSnapshot", "DeleteSnapshot"),
            Self::ListSnapshots => ("ListSnapshots", "DescribeSnapshots"),
            Self::ListPage => ("ListSnapshots, a further page", "DescribeSnapshots"),
            Self::Probe => ("Probe", "DescribeAvailabilityZones as a dry run"),
        }
    }

    /// What a call that changes volumes is for: its error says which action it was.
    #[must_use]
    pub fn of_change(error: &Ec2Error) -> Self {
        if error.action.may_change_a_volume() {
            Self::Change
        } else {
            Self::ChangeRead
        }
    }

    /// The reply to an error of such a call.
    #[must_use]
    pub fn reply(self, error: &Ec2Error) -> Reply {
        let is_of =
            |(purpose, code, _): &&(Self, &str, Reply)| *purpose == self && error.code() == Some(*code);
        let exception = EXCEPTIONS.iter().find(is_of);
        exception.map_or_else(|| self.usual(error.meaning()), |(_, _, reply)| *reply)
    }

    /// The reply to most codes of a meaning.
    #[must_use]
    pub fn usual(self, meaning: Meaning) -> Reply {
        REPLIES[self as usize].1[meaning as usize]
    }

    /// Whether the error says that what was asked for is so already.
    #[must_use]
    pub fn is_done(self, error: &Ec2Error) -> bool {
        self.reply(error) == Reply::Done
    }

    /// Whether the call must look what there is before it answers.
    #[must_use]
    pub fn looks_first(self, error: &Ec2Error) -> bool {
        matches!(self.reply(error), Reply::LookFirst(_))
    }

    /// The gRPC code that the caller gets.
    #[must_use]
    pub fn code(self, error: &Ec2Error) -> Code {
        match self.reply(error) {
            Reply::Done => Code::Ok,
            Reply::Code(code) | Reply::LookFirst(code) => code,
        }
    }

    /// The status that the caller gets, with the words of EC2. What only has to wait was not sent: it is never final, and
    /// `google.rpc.RetryInfo` says when to come back.
    #[must_use]
    pub fn status(self, error: &Ec2Error) -> Status {
        let code = self.code(error);
        let Some(after) = error.wait() else {
            return Status::new(code, error.to_string());
        };
        let code = match code {
            Code::Aborted => code,
            _ => Code::Unavailable,
        };
        csi::retry::status_with_delay(code, error.to_string(), after)
    }

    /// The RPCs as the sidecars judge them, with their names; none where they judge no code of it.
    #[must_use]
    pub fn operations(self) -> &'static [(&'static str, Operation)] {
        match self {
            Self::CreateVolume | Self::CreateVolumeRead => &[("CreateVolume", Operation::CreateVolume)],
            Self::DeleteVolume => &[("DeleteVolume", Operation::DeleteVolume)],
            Self::AttachRead | Self::Attach => &[("ControllerPublishVolume", Operation::PublishVolume)],
            Self::Detach => &[("ControllerUnpublishVolume", Operation::UnpublishVolume)],
            Self::Change | Self::ChangeRead => &[
                ("ControllerExpandVolume", Operation::ExpandVolume),
                ("ControllerModifyVolume", Operation::ModifyVolume),
            ],
            Self::CreateSnapshot | Self::SnapshotRead | Self::NewSnapshotClass | Self::SnapshotClass => &[
                ("CreateSnapshot", Operation::CreateSnapshot),
                ("CreateVolumeGroupSnapshot", Operation::CreateGroupSnapshot),
            ],
            Self::DeleteSnapshot => &[
                ("DeleteSnapshot", Operation::DeleteSnapshot),
                ("DeleteVolumeGroupSnapshot", Operation::DeleteGroupSnapshot),
            ],
            Self::ListSnapshots | Self::ListPage => &[("ListSnapshots", Operation::ListSnapshots)],
            Self::Validate | Self::Probe => &[],
        }
    }
}

/// What an error means.
#[must_use]
pub(super) fn meaning(failure: &Failure) -> Meaning {
    match failure {
        Failure::Answer { status, code, .. } => meaning_of(*status, code),
        Failure::Lost { why, .. } => match why {
            Lost::Timeout | Lost::Connection | Lost::Malformed => Meaning::Unclear,
            Lost::Dns | Lost::Credentials | Lost::NotSent => Meaning::NotSent,
        },
        Failure::Waits { .. } => Meaning::Throttled,
    }
}

fn meaning_of(status: u16, code: &str) -> Meaning {
    match CODES.iter().find(|row| row.code == code) {
        Some(row) => row.meaning,
        None if status >= 500 => Meaning::Unclear,
        None => Meaning::Refused,
    }
}

/// Whether AttachVolume was refused for the device name.
#[must_use]
pub fn is_device_taken(error: &Ec2Error) -> bool {
    error.code() == Some("InvalidDevice.InUse")
        || error.meaning() == Meaning::BadParameter && error.message().contains("already in use")
}

#[cfg(test)]
mod tests;
