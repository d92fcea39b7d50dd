//! What a plan is made from: objects from the caches, what this run has brought, and what is remembered.

use std::collections::BTreeMap;

use controller::{CallFailure, Retries, SecretRead};
use jiff::Timestamp;
use runtime::objects::{Attachment, CsiNode, SecretName, Volume};

use crate::plan::Unpublish;
use crate::source::Source;

/// Everything that [`crate::plan::plan`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The newest known of the attachment.
    pub attachment: &'a Attachment,
    /// The newest known of the volume that it names.
    pub volume: Option<&'a Volume>,
    /// The newest known of what the drivers of its node say.
    pub node: Option<&'a CsiNode>,
    /// The comparison with what the driver lists that found it different, by its number.
    pub differs_since: Option<u64>,
    /// What the call of the latest round answered.
    pub answer: Option<&'a Answer>,
    /// What reading a Secret answered in this run.
    pub secret: Option<&'a SecretRead>,
    /// What is remembered of this very attachment.
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
    /// The finalizer on attachments and volumes: `external-attacher/ebs-csi-aws-com`.
    pub finalizer: String,
    /// The driver has PUBLISH_UNPUBLISH_VOLUME.
    pub publishes: bool,
    /// The driver has PUBLISH_READONLY.
    pub publishes_read_only: bool,
    /// The driver has SINGLE_NODE_MULTI_WRITER.
    pub single_node_multi_writer: bool,
    /// `--default-fstype`.
    pub default_fs_type: String,
    /// Gate MutableCSINodeAllocatableCount.
    pub error_codes: bool,
}

/// What a call brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// ControllerPublishVolume: what the node service is to know.
    Published(Result<BTreeMap<String, String>, CallFailure>),
    /// ControllerUnpublishVolume.
    Unpublished(Result<(), CallFailure>),
}

/// What is remembered of an attachment between runs. Empty after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its volume, where its annotation does not tell all (Q33).
    pub volume: Option<Box<Published>>,
    /// Since when something that it names is not known.
    pub missing_since: Option<Timestamp>,
    /// What the driver asked not to be called for before that time.
    pub not_before: Option<(String, Timestamp)>,
    /// The last difference to what the driver lists that was looked into.
    pub settled_difference: Option<u64>,
    /// What was undone of what is noted, where a Secret must be read before it is done anew.
    pub left: Option<Box<Unpublish>>,
    /// The node that the driver did not know when it was last asked to detach from it, by the driver's name for it.
    pub unknown_node: Option<String>,
    /// How often in a row it has refused to detach under the name that is tried.
    pub refusals: u32,
}

/// What a volume is detached by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// What the driver calls it.
    pub handle: String,
    /// It is only translated that it is a CSI volume.
    pub migrated: bool,
    /// The Secret of the call.
    pub secret: Option<SecretName>,
}

impl Published {
    /// Of a volume that is known.
    #[must_use]
    pub fn of(source: &Source<'_>) -> Self {
        Self {
            handle: source.csi.volume_handle.clone(),
            migrated: source.migrated,
            secret: source.secret().cloned(),
        }
    }

    /// What the annotation of an attachment tells.
    #[must_use]
    pub fn noted(attachment: &Attachment) -> Option<Self> {
        Some(Self {
            handle: attachment.volume_handle.as_deref()?.to_owned(),
            ..Self::default()
        })
    }
}
