//! What a plan is made from: objects from the caches, what this run has read, and what is remembered.

use std::time::Duration;

use controller::{CallFailure, Retries, SecretRead};
use jiff::Timestamp;
use runtime::objects::{Claim, Quantity, Volume};

/// Everything that [`crate::plan::plan`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The newest known of the claim.
    pub claim: &'a Claim,
    /// The newest known of the volume that it names.
    pub volume: Option<&'a Volume>,
    /// What reading a Secret answered in this run.
    pub secret: Option<&'a SecretRead>,
    /// The attributes class whose change begins together with the expansion, if one does.
    pub begins_class: Option<&'a str>,
    /// Whether the volume is in use, as far as it is watched.
    pub usage: Usage,
    /// What is remembered of this very claim.
    pub memory: &'a Memory,
    /// Failures in a row, and the back-off that they led to.
    pub retries: &'a Retries,
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
    /// Whether attributes classes are applied.
    pub modifying: Modifying,
    /// `--extra-modify-metadata`.
    pub extra_modify_metadata: bool,
}

/// Whether attributes classes are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Modifying {
    /// By ControllerModifyVolume.
    On,
    /// Not at all: why, and what helps. It is told on each claim that names a class.
    Off(String),
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
    pub outcome: Result<Grown, CallFailure>,
}

/// A good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grown {
    /// The size of the volume now.
    pub capacity: Quantity,
    /// The node has work to do.
    pub node_stage: bool,
}

/// What is remembered of a claim between runs. Empty after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What the last attempt brought, while it is not written (Q4).
    pub attempt: Option<Attempt>,
    /// The target for which surely no call is running: none was made, or the last one failed finally.
    pub settled: Option<Quantity>,
    /// An infeasible target is not tried again before.
    pub slow_until: Option<Timestamp>,
    /// The driver refused because the volume is in use, at this time.
    pub in_use_since: Option<Timestamp>,
    /// Since then it was seen in use: when it no longer is, nothing else is waited for.
    pub was_in_use: bool,
    /// No attempt before, whatever the back-off says.
    pub hold: Option<Hold>,
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
