//! What an attachment needs now. Pure: all the rules of sidecars.md 3 that are about attachments; those about the finalizer of
//! volumes are in [`volume`].

mod attach;
mod detach;
mod problem;
pub mod volume;

use std::collections::BTreeMap;

use csi::v1::VolumeCapability;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use runtime::objects::AttachmentError;

use crate::observe::{Memory, Observed, Published};
use crate::source::Source;

/// What is decided.
pub type Plan = controller::Plan<Step, Memory>;

/// One request or one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// PATCH of the volume: our finalizer.
    Keep,
    /// PATCH of the attachment: our finalizer, and what is called with.
    Mark(Mark),
    /// ControllerPublishVolume.
    Publish(Publish),
    /// PATCH of the status of the attachment.
    Status(Status),
    /// ControllerUnpublishVolume.
    Unpublish(Unpublish),
    /// PATCH of the attachment: our finalizer away.
    Release,
}

/// What is written down before the call: whoever detaches must find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What the driver calls the node.
    pub node_id: String,
    /// What the driver calls the volume; none where the attachment itself tells it.
    pub volume_handle: Option<String>,
}

/// A ControllerPublishVolume.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// What the driver calls the volume.
    pub handle: String,
    /// What the driver calls the node.
    pub node_id: String,
    /// How it is to be accessed.
    pub capability: VolumeCapability,
    /// Nobody may write.
    pub read_only: bool,
    /// What the driver wants to know of its volume.
    pub attributes: BTreeMap<String, String>,
    /// The volume is one of an in-tree plugin, for metrics.
    pub migrated: bool,
}

/// A ControllerUnpublishVolume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpublish {
    /// What the driver calls the volume.
    pub handle: String,
    /// What the driver calls the node.
    pub node_id: String,
    /// The volume is one of an in-tree plugin, for metrics.
    pub migrated: bool,
}

/// What is written to a status.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Attached, with what the node service is to know. No error is left.
    Attached(BTreeMap<String, String>),
    /// Not attached any more.
    Detached,
    /// An attachment failed.
    AttachError(AttachmentError),
    /// A detachment failed.
    DetachError(AttachmentError),
}

/// Decides what the attachment needs now.
#[must_use]
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let attachment = observed.attachment;
    if !observed.settings.publishes {
        return without_calls(observed);
    }
    if attachment.is_terminating() {
        detach::plan(observed, now)
    } else {
        attach::plan(observed, now)
    }
}

/// The driver attaches nothing: its volumes count as attached at once, and nothing holds them (sidecars.md 3.2).
fn without_calls(observed: &Observed<'_>) -> Plan {
    let (attachment, plan) = (observed.attachment, Plan::resting(Memory::default()));
    if attachment.is_attached() || attachment.is_terminating() {
        return plan;
    }
    plan.step(Step::Status(Status::Attached(BTreeMap::new())))
}

/// What is to be remembered whatever comes of this plan.
fn memory(observed: &Observed<'_>) -> Memory {
    Memory {
        volume: remembered(observed),
        ..observed.memory.clone()
    }
}

/// The volume of an attachment that the driver may know of, unless its annotation tells as much.
fn remembered(observed: &Observed<'_>) -> Option<Box<Published>> {
    let attachment = observed.attachment;
    if attachment.volume.is_none() || !is_held(observed) {
        return None;
    }
    let noted = Published::noted(attachment);
    let present = Source::of(attachment, observed.volume).map(|source| Published::of(&source));
    let known = match present {
        Ok(present) if noted.as_ref().is_none_or(|noted| noted.handle == present.handle) => {
            Some(Box::new(present))
        }
        _ => observed.memory.volume.clone(),
    };
    known.filter(|known| noted.as_ref() != Some(&**known))
}

/// Whether our finalizer is there: the driver may have been called.
fn is_held(observed: &Observed<'_>) -> bool {
    let metadata = &observed.attachment.metadata;
    controller::patch::has_finalizer(metadata, &observed.settings.finalizer)
}

/// Whether the driver lists the volume differently, and nobody has looked into that yet.
fn differs(observed: &Observed<'_>) -> bool {
    observed.differs_since.is_some() && observed.differs_since != observed.memory.settled_difference
}

/// What the driver calls the node, as it says there.
fn node_id<'a>(observed: &Observed<'a>) -> Option<&'a str> {
    let driver = observed.node?.driver(&observed.settings.driver)?;
    Some(&driver.node_id)
}

/// A time as it is written, in whole seconds.
fn moment(now: Timestamp) -> Option<Time> {
    Timestamp::from_second(now.as_second()).ok().map(Time)
}
