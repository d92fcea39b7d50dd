//! What a plan for a claim is made from: objects from the caches, what this run has read, and what is remembered.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use controller::{CallFailure, Retries, SecretRead};
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use csi::v1::{self, CreateVolumeRequest, TopologyRequirement};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::objects::{AttributesClass, Claim, Volume};

use crate::args::UidLength;
use crate::driver::Driver;
use crate::local::LocalNode;
use crate::plan::source::SourceKey;
use crate::topology::Trouble;

/// Everything that [`crate::plan::plan`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The newest known of the claim.
    pub claim: &'a Claim,
    /// It is still there. One that is not is looked at while its CreateVolume has no final answer.
    pub is_present: bool,
    /// Its class.
    pub class: Option<&'a StorageClass>,
    /// A volume of the name that is to be made exists.
    pub has_volume: bool,
    /// Somebody may have had a volume of that name made before by a request that is not known here.
    pub may_be_made: bool,
    /// The snapshot that it is to be restored from.
    pub snapshot: Lookup<'a, VolumeSnapshot>,
    /// The content that the snapshot names.
    pub content: Lookup<'a, VolumeSnapshotContent>,
    /// The claim that it is to be a clone of.
    pub origin: Lookup<'a, Claim>,
    /// That claim's volume.
    pub origin_volume: Lookup<'a, Volume>,
    /// A ReferenceGrant allows the source of another namespace.
    pub is_granted: bool,
    /// The protection of the source is being taken away.
    pub is_let_go: bool,
    /// The attributes class that it names.
    pub attributes: Lookup<'a, AttributesClass>,
    /// Where the volume should be.
    pub topology: &'a Result<Option<TopologyRequirement>, Trouble>,
    /// What reading a Secret answered in this run.
    pub secret: Option<&'a SecretRead>,
    /// What the latest call brought.
    pub answer: Option<&'a Answer>,
    /// A PersistentVolume that has the volume which is not what was asked for.
    pub owner: Option<&'a str>,
    /// What is remembered of this very claim.
    pub memory: &'a Memory,
    /// Failures in a row, and the back-off that they led to.
    pub retries: &'a Retries,
    /// How the function is set up.
    pub settings: &'a Settings,
}

/// An object that another one names.
#[derive(Debug)]
pub enum Lookup<'a, K> {
    /// It must be asked for: our role does not let us follow the kind, or it is none of those that are kept.
    Unread,
    /// The API server does not have the kind.
    Unserved,
    /// There is none.
    Absent,
    /// It is there.
    Found(&'a K),
}

impl<K> Clone for Lookup<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Lookup<'_, K> {}

/// What does not change while the function runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who the driver is, and what it can do.
    pub driver: Driver,
    /// The in-tree plugin that the driver took over.
    pub in_tree: Option<&'static str>,
    /// Beginning of the names of volumes.
    pub name_prefix: String,
    /// How much of the claim's UID follows.
    pub uid_length: UidLength,
    /// Pass the names of claim and volume to CreateVolume.
    pub extra_create_metadata: bool,
    /// File system of volumes whose class names none; may be empty.
    pub default_fs_type: String,
    /// Volumes of claims that only read are attached for reading.
    pub publish_read_only: bool,
    /// Restore a snapshot in another volume mode only where its content allows it.
    pub prevent_mode_conversion: bool,
    /// Gate VolumeAttributesClass, and the API server serves the kind, or a flag demands it.
    pub attributes_classes: bool,
    /// The API server has said that it does not serve the kind.
    pub lacks_attributes: bool,
    /// Gate CrossNamespaceVolumeDataSource.
    pub cross_namespace: bool,
    /// The driver tells where its volumes are, and the gate Topology is on.
    pub topology: bool,
    /// Says in volumes which process made them.
    pub identity: String,
    /// Longest time of one CSI call.
    pub timeout: Duration,
    /// `--retry-interval-max`.
    pub retry_interval_max: Duration,
    /// The node that this process serves alone.
    pub local: Option<LocalNode>,
}

/// What a step brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// CreateVolume has not answered yet; it goes on.
    Running,
    /// CreateVolume has answered, after so long.
    Created(Result<v1::Volume, CallFailure>, Duration),
    /// The volume that was made under the name before, if there is one, and how long it took to find out.
    Looked(Result<Option<v1::Volume>, CallFailure>, Duration),
    /// Whether there is room for the volume on this node.
    Room(bool),
    /// DeleteVolume of a volume that is not what was asked for.
    Discarded(Result<(), CallFailure>),
    /// The API server forbids to protect the snapshot.
    Unprotected,
}

/// What is remembered of a claim between runs. Empty after a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// How far its volume is.
    pub stage: Stage,
    /// What the driver refused for its content, or asked to be left for a while, is not asked again before.
    pub slow: Option<Slow>,
    /// Its selected node is not to be found.
    pub node_gone: Option<NodeGone>,
    /// There was no room on this node, or it is gone: the scheduler is to choose another one.
    pub to_unselect: Option<String>,
    /// It was told that somebody else makes its volume.
    pub left_to_populator: bool,
    /// Other nodes may take it too.
    pub race: Option<Race>,
}

/// A selected node that is not to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeGone {
    /// Its name.
    pub node: String,
    /// Since then.
    pub since: Timestamp,
}

/// A claim that the provisioner of any node may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Race {
    /// Until then it is left to others.
    pub until: Timestamp,
    /// How often somebody else was faster.
    pub lost: u32,
}

/// How far the volume of a claim is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Stage {
    /// No call is running.
    #[default]
    Idle,
    /// CreateVolume was sent and has no final answer: the same request is sent until there is one, or for some tries where the
    /// class was made anew meanwhile (Q27).
    Begun(Arc<Begun>),
    /// The driver has made it; the API server does not have it yet.
    Made(Arc<Made>),
    /// The driver has made something else, which is to go.
    Unwanted(Arc<Unwanted>),
}

/// A request that has no final answer, and what becomes of its volume.
#[derive(Clone, PartialEq)]
pub struct Begun {
    /// What is asked for, without Secrets.
    pub request: CreateVolumeRequest,
    /// The Secret that it goes with; read again for each call, this one where that fails.
    pub secret: Option<SecretRead>,
    /// The volume but for what the driver answers.
    pub volume: PersistentVolume,
    /// The node that was selected.
    pub node: Option<String>,
    /// What the volume is made from.
    pub source: Option<SourceKey>,
    /// The volume is to be one of the in-tree plugin.
    pub is_migrated: bool,
    /// What it was made from: another one of these is another try.
    pub of: String,
    /// UID of the class.
    pub class: Option<String>,
    /// The labels `class` and `source` of the metrics.
    pub labels: [String; 2],
}

impl fmt::Debug for Begun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parameters and volumes are long, and what the test reads is the name.
        formatter
            .debug_struct("Begun")
            .field("name", &self.request.name)
            .field("of", &self.of)
            .finish_non_exhaustive()
    }
}

/// A volume that the driver has made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// The whole object.
    pub volume: PersistentVolume,
    /// The labels `class` and `source` of the metrics.
    pub labels: [String; 2],
    /// How long the call took.
    pub took: Duration,
}

/// A volume that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwanted {
    /// Its handle.
    pub handle: String,
    /// What is wrong with it.
    pub why: String,
    /// What the request was made from: however many volumes it brings, it is one try.
    pub of: String,
    /// The Secret of the calls.
    pub secret: Option<SecretRead>,
    /// It was made for the in-tree plugin.
    pub is_migrated: bool,
}

/// A request that the driver refused for its content, or asked to be left for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// When it is asked for again.
    pub until: Timestamp,
    /// What it was made from: another one is asked for at once (Q8).
    pub of: String,
}

impl Memory {
    /// The request that has no final answer.
    #[must_use]
    pub fn begun(&self) -> Option<&Arc<Begun>> {
        match &self.stage {
            Stage::Begun(begun) => Some(begun),
            Stage::Idle | Stage::Made(_) | Stage::Unwanted(_) => None,
        }
    }

    /// Something is under way that must go on, whatever becomes of the claim (Q28).
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.stage != Stage::Idle
    }
}

/// Parameters of a class, or annotations.
pub type Parameters = BTreeMap<String, String>;
