//! Calls of EC2 that did not succeed. What their codes mean is [`super::codes`]. Source: spec 3.8.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::codes::{self, Meaning};

/// The actions by their names, so that no list of them lacks one.
macro_rules! actions {
    ($($name:ident)*) => {
        /// The actions that the driver sends.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Action {
            $(
                #[doc = stringify!($name)]
                $name,
            )*
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in requests and metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

actions! {
    CreateVolume
    CopyVolumes
    DeleteVolume
    DescribeVolumes
    ModifyVolume
    DescribeVolumesModifications
    CreateTags
    DeleteTags
    CreateSnapshot
    CreateSnapshots
    DeleteSnapshot
    DescribeSnapshots
    EnableFastSnapshotRestores
    LockSnapshot
    DescribeAvailabilityZones
    AttachVolume
    DetachVolume
    DescribeInstances
    DescribeInstanceTypes
    DescribeVolumeStatus
    AttachClusterNodeVolume
    DetachClusterNodeVolume
}

impl Action {
    /// The service that it is an action of, as IAM names it.
    #[must_use]
    pub fn service(self) -> &'static str {
        match self {
            Self::AttachClusterNodeVolume | Self::DetachClusterNodeVolume => "sagemaker",
            _ => "ec2",
        }
    }

    /// Whether a request of this action, while a volume is being changed, is a part of the change: it only looks otherwise.
    #[must_use]
    pub fn may_change_a_volume(self) -> bool {
        // A CreateVolume is the dry run that asks for a ceiling.
        self != Self::CreateVolume && !self.name().starts_with("Describe")
    }

    /// Whether the call goes on with waiting for what the action begins.
    #[must_use]
    pub fn begins_a_wait(self) -> bool {
        matches!(
            self,
            Self::CreateVolume
                | Self::CopyVolumes
                | Self::AttachVolume
                | Self::DetachVolume
                | Self::AttachClusterNodeVolume
                | Self::DetachClusterNodeVolume
                | Self::ModifyVolume
        )
    }

    /// Whether a second request does no harm when the first one may have taken effect.
    #[must_use]
    pub fn is_repeatable(self) -> bool {
        !matches!(
            self,
            Self::CreateSnapshot | Self::CreateSnapshots | Self::ModifyVolume
        )
    }
}

/// Why there is no answer of EC2 to go by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lost {
    /// No answer in time.
    Timeout,
    /// No connection, or one that broke.
    Connection,
    /// The name of the endpoint has no address.
    Dns,
    /// No credentials; nothing was sent.
    Credentials,
    /// Nothing was sent for another reason.
    NotSent,
    /// An answer that cannot be read.
    Malformed,
}

impl Lost {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Timeout,
        Self::Connection,
        Self::Malformed,
        Self::Dns,
        Self::Credentials,
        Self::NotSent,
    ];

    /// For people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Timeout => "no answer in time",
            Self::Connection => "no connection to EC2",
            Self::Dns => "the EC2 endpoint has no address",
            Self::Credentials => "no AWS credentials",
            Self::NotSent => "nothing was sent",
            Self::Malformed => "EC2's answer cannot be read",
        }
    }

    /// Value of the label `kind` of `slackwater_ec2_errors_total`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connect",
            Self::Dns => "dns",
            Self::Credentials => "credentials",
            Self::NotSent => "not_sent",
            Self::Malformed => "malformed",
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// EC2 answered with an error.
    Answer {
        /// HTTP status.
        status: u16,
        /// EC2's code.
        code: String,
        /// EC2's text, without what differs from call to call.
        message: String,
    },
    /// There is no answer to go by.
    Lost {
        /// Why.
        why: Lost,
        /// Details for the reader.
        detail: String,
    },
    /// It was not sent: EC2 takes no more for now, and the caller's time does not last.
    Waits {
        /// After this time it may go.
        after: Duration,
        /// For what, for the reader.
        what: String,
    },
}

/// A call that did not succeed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub struct Ec2Error {
    /// The action.
    pub action: Action,
    /// What went wrong.
    pub failure: Failure,
}

impl fmt::Display for Ec2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action.name(), self.cause())
    }
}

impl Ec2Error {
    /// An error without an answer.
    #[must_use]
    pub fn lost(action: Action, why: Lost, detail: impl Into<String>) -> Self {
        Self {
            action,
            failure: Failure::Lost {
                why,
                detail: detail.into(),
            },
        }
    }

    /// Not sent, since EC2 takes no more for now.
    #[must_use]
    pub fn waits(action: Action, after: Duration, what: impl Into<String>) -> Self {
        Self {
            action,
            failure: Failure::Waits {
                after,
                what: what.into(),
            },
        }
    }

    /// How long it has to wait, where that is all that is wrong.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        match self.failure {
            Failure::Waits { after, .. } => Some(after),
            _ => None,
        }
    }

    /// The code of EC2, if it gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.failure {
            Failure::Answer { code, .. } => Some(code),
            Failure::Lost { .. } | Failure::Waits { .. } => None,
        }
    }

    /// The text without the action.
    #[must_use]
    pub fn cause(&self) -> String {
        match &self.failure {
            Failure::Answer { code, message, .. } if message.is_empty() => code.clone(),
            Failure::Answer { code, message, .. } => format!("{code}: {message}"),
            Failure::Lost { why, detail } if detail.is_empty() => why.text().to_owned(),
            Failure::Lost { why, detail } => format!("{}: {detail}", why.text()),
            Failure::Waits { what, .. } => format!("waits for {what}"),
        }
    }

    /// The text of EC2, or our own.
    #[must_use]
    pub fn message(&self) -> &str {
        match &self.failure {
            Failure::Answer { message, .. } => message,
            Failure::Lost { detail, .. } => detail,
            Failure::Waits { what, .. } => what,
        }
    }

    /// What it says about the call.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        codes::meaning(&self.failure)
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_worth_repeating(&self) -> bool {
        match self.meaning() {
            Meaning::Throttled => true,
            Meaning::Unclear | Meaning::NotSent => {
                self.action.is_repeatable()
                    && !matches!(
                        self.failure,
                        Failure::Lost {
                            why: Lost::Malformed | Lost::NotSent | Lost::Credentials,
                            ..
                        }
                    )
            }
            _ => false,
        }
    }

    /// The IDs with this prefix that the text names.
    #[must_use]
    pub fn named_ids(&self, prefix: &str) -> Vec<String> {
        self.message()
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .filter(|word| word.len() > prefix.len() && word.starts_with(prefix))
            .map(str::to_owned)
            .collect()
    }
}

/// Where the encoded part of an authorization failure begins.
const ENCODED: &str = "Encoded authorization failure message";

/// EC2's text without what differs from call to call, so that equal errors read equal: the encoded part of an
/// authorization failure, which an event would otherwise repeat in a new form each time.
#[must_use]
pub fn stable_message(message: &str) -> String {
    let cut = message.find(ENCODED).unwrap_or(message.len());
    message[..cut].trim().to_owned()
}

/// What [`stable_message`] leaves out, without its heading.
#[must_use]
pub fn encoded_part(message: &str) -> Option<&str> {
    let (_, encoded) = message.split_once(ENCODED)?;
    Some(encoded.trim_start_matches(':').trim()).filter(|encoded| !encoded.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(action: Action, status: u16, code: &str, message: &str) -> Ec2Error {
        Ec2Error {
            action,
            failure: Failure::Answer {
                status,
                code: code.into(),
                message: message.into(),
            },
        }
    }

    #[test]
    fn only_what_may_help_and_cannot_harm_is_repeated() {
        let throttled = |action| answer(action, 503, "RequestLimitExceeded", "");
        let broken = |action| answer(action, 500, "InternalError", "");
        assert!(throttled(Action::CreateSnapshot).is_worth_repeating());
        assert!(!broken(Action::CreateSnapshot).is_worth_repeating());
        assert!(!broken(Action::ModifyVolume).is_worth_repeating());
        assert!(
            broken(Action::CreateVolume).is_worth_repeating(),
            "it has a client token"
        );
        assert!(!answer(Action::CreateVolume, 403, "UnauthorizedOperation", "").is_worth_repeating());
        assert!(!Ec2Error::lost(Action::DescribeVolumes, Lost::Malformed, "").is_worth_repeating());
        assert!(Ec2Error::lost(Action::DescribeVolumes, Lost::Connection, "").is_worth_repeating());
    }

    #[test]
    fn ids_are_found_in_texts() {
        let error = answer(
            Action::DescribeSnapshots,
            400,
            "InvalidSnapshot.NotFound",
            "The snapshots 'snap-0a, snap-0b' do not exist: snap-.",
        );
        assert_eq!(error.named_ids("snap-"), ["snap-0a", "snap-0b"]);
        assert!(error.named_ids("vol-").is_empty());
    }

    #[test]
    fn texts_are_stable() {
        let text = "You are not authorized. Encoded authorization failure message: abc123";
        assert_eq!(stable_message(text), "You are not authorized.");
        assert_eq!(encoded_part(text), Some("abc123"));
        assert_eq!(encoded_part("You are not authorized."), None);
        assert_eq!(
            answer(Action::DeleteVolume, 400, "VolumeInUse", "vol-1 is attached").to_string(),
            "DeleteVolume: VolumeInUse: vol-1 is attached"
        );
        assert_eq!(
            Ec2Error::lost(Action::CreateSnapshot, Lost::Timeout, "").to_string(),
            "CreateSnapshot: no answer in time"
        );
    }
}
