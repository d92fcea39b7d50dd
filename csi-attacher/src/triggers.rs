//! Which changes concern which attachments and volumes. Source: sidecars.md 3.3; Q34, Q36, Q38.

use controller::Difference;
use runtime::objects::{Attachment, CsiNode, Volume};
use runtime::{Cache, ObjectKey};

use crate::observe::Settings;
use crate::plan::volume::is_due;

/// Index of attachments by node.
pub(crate) const BY_NODE: &str = "csi-attacher-node";

/// The node of an attachment, for the index.
pub(crate) fn node_of(attachment: &Attachment) -> Vec<String> {
    vec![attachment.node.clone()]
}

/// Whether a change of an attachment is worth a look. What our own writes lead to is in the plan that made them.
pub(crate) fn of_attachment(change: Difference<'_, Attachment>, driver: &str) -> bool {
    let (Some(old), Some(new)) = (change.old, change.new) else {
        // What is remembered of one that went goes with it.
        return change.sides().any(|attachment| attachment.attacher == driver);
    };
    new.attacher == driver
        && (old.metadata.uid != new.metadata.uid
            || old.is_terminating() != new.is_terminating()
            || old.is_attached() && !new.is_attached())
}

/// The volume of an attachment that went, where it may have to be let go.
pub(crate) fn freed(
    change: Difference<'_, Attachment>,
    volumes: &Cache<Volume>,
    settings: &Settings,
) -> Option<ObjectKey> {
    let (Some(old), None) = (change.old, change.new) else {
        return None;
    };
    let volume = old.volume.as_deref().map(ObjectKey::cluster)?;
    volumes
        .get(&volume)
        .is_some_and(|volume| may_be_due(&volume, settings))
        .then_some(volume)
}

/// Whether a volume may have to be let go.
pub(crate) fn of_volume(change: Difference<'_, Volume>, settings: &Settings) -> bool {
    change.new.is_some_and(|volume| may_be_due(volume, settings))
}

fn may_be_due(volume: &Volume, settings: &Settings) -> bool {
    is_due(volume, &settings.driver, &settings.finalizer)
}

/// The attachments that may wait for a volume which has come, or of which what a call is made from has changed.
pub(crate) fn waiting_for_volume(
    change: Difference<'_, Volume>,
    attachments: &Cache<Attachment>,
    driver: &str,
) -> Vec<ObjectKey> {
    let Some(new) = change.new else {
        return Vec::new();
    };
    let concerned = change.old.is_none_or(|old| {
        old.metadata.uid != new.metadata.uid
            || old.csi != new.csi
            || old.in_tree != new.in_tree
            || old.access_modes != new.access_modes
            || old.mode != new.mode
            || old.mount_options != new.mount_options
    });
    if !concerned {
        return Vec::new();
    }
    waiting(attachments.of_volume(&change.key.name).iter(), driver)
}

/// The attachments that may wait for the driver on a node.
pub(crate) fn waiting_for_node(
    change: Difference<'_, CsiNode>,
    attachments: &Cache<Attachment>,
    driver: &str,
) -> Vec<ObjectKey> {
    let id = |node: Option<&CsiNode>| Some(node?.driver(driver)?.node_id.clone());
    let now = id(change.new);
    if now.is_none() || now == id(change.old) {
        return Vec::new();
    }
    waiting(attachments.indexed(BY_NODE, &change.key.name).iter(), driver)
}

fn waiting<'a>(
    attachments: impl Iterator<Item = &'a std::sync::Arc<Attachment>>,
    driver: &str,
) -> Vec<ObjectKey> {
    let waits = |attachment: &&std::sync::Arc<Attachment>| {
        attachment.attacher == driver && (!attachment.is_attached() || attachment.is_terminating())
    };
    attachments
        .filter(waits)
        .map(|attachment| ObjectKey::of(&**attachment))
        .collect()
}
