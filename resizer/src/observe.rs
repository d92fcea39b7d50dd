//! What a plan is made from: objects from the caches, what this run has read, and what is remembered.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use csi::Class;
use jiff::Timestamp;
use runtime::objects::{Claim, Quantity, SecretName, Volume};
use tonic::Code;

/// Everything that [`crate::plan::plan`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The newest known of the claim.
    pub claim: &'a Claim,
    /// The newest known of the volume that it names.
    pub volume: Option<&'a Volume>,
    /// What reading a Secret answered in this run.
    pub secret: Option<&'a SecretRead>,
    /// Whether the volume is in use, as far as it is watched.
    pub usage: Usage,
    /// What is remembered of this very claim.
    pub memory: &'a Memory,
    /// How the function is set up.
    pub settings: &'a Settings,
}

/// What does not change while the function runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The driver's name from GetPluginInfo.
    pub driver: String,
    /// The driver grows volumes by ControllerExpandVolume; else only its nodes do (resize.md 3.8).
    pub controller_expands: bool,
    /// The driver has SINGLE_NODE_MULTI_WRITER.
    pub single_node_multi_writer: bool,
    /// `--handle-volume-inuse-error`.
    pub handle_in_use: bool,
    /// Gate AnnotateFsResize.
    pub annotate: bool,
    /// Gate RecoverVolumeExpansionFailure.
    pub recover: bool,
    /// `--retry-interval-start`.
    pub retry_interval_start: Duration,
    /// `--retry-interval-max`.
    pub retry_interval_max: Duration,
}

/// Whether a volume is in use (resize.md section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    /// Not known yet; whoever finds out wakes the claim.
    #[default]
    Unknown,
    /// Attached, or used by a running pod.
    InUse,
    /// Not in use.
    Free,
    /// It cannot be found out: our role does not allow it.
    Hidden,
}

/// A Secret that was read, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRead {
    /// Which one.
    pub secret: SecretName,
    /// What the API server answered.
    pub answer: SecretAnswer,
}

/// What came of reading a Secret.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretAnswer {
    /// Its data as text.
    Found(BTreeMap<String, String>),
    /// It cannot be read, in one line.
    Refused(String),
}

impl fmt::Debug for SecretAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(_) => formatter.write_str("Found(***stripped***)"),
            Self::Refused(text) => write!(formatter, "Refused({text:?})"),
        }
    }
}

/// What came of an attempt, kept until it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The size that was asked for.
    pub target: Quantity,
    /// UID of the volume that it was asked for.
    pub volume_uid: String,
    /// The claim's size before.
    pub before: Option<Quantity>,
    /// The answer.
    pub outcome: Result<Grown, Failure>,
}

/// A good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grown {
    /// The size of the volume now.
    pub capacity: Quantity,
    /// The node has work to do.
    pub node_stage: bool,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it says about the operation.
    pub class: Class,
    /// The driver's code; none when it failed before the call.
    pub code: Option<Code>,
    /// `rpc error: code = ... desc = ...`, without secrets; or what went wrong before the call.
    pub text: String,
    /// The driver asked to wait this long.
    pub retry_after: Option<Duration>,
}

/// What is remembered of a claim between runs. Empty after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What the last attempt brought, while it is not written (Q4).
    pub attempt: Option<Attempt>,
    /// No call for the recorded target can be running: none was made, or the last one failed finally.
    pub settled: bool,
    /// An infeasible target is not tried again before.
    pub slow_until: Option<Timestamp>,
    /// The driver refused because the volume is in use, at this time.
    pub in_use_since: Option<Timestamp>,
    /// No attempt before.
    pub hold: Option<Hold>,
    /// Failures in a row of the same target.
    pub failures: u32,
    /// Rounds in a row that ended with NodeResizeInfeasible.
    pub node_rounds: u32,
    /// When the text of an error was last written.
    pub error_written: Option<Timestamp>,
}

/// A wait before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its end.
    pub until: Timestamp,
    /// Only for this target; none for all.
    pub target: Option<Quantity>,
}
