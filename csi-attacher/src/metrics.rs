//! Metrics of attachments that are under way (journeys 7.3).

use base::Clock;
use controller::Difference;
use controller::stages::{Gauges, Stages, StagesTerm};
use prometheus::Registry;
use runtime::objects::Attachment;

const GAUGES: Gauges = Gauges {
    label: "phase",
    count: [
        "slackwater_volumeattachments",
        "VolumeAttachments whose volume is on its way, by phase: attaching or detaching.",
    ],
    oldest: Some([
        "slackwater_volumeattachment_oldest_seconds",
        "For how long a VolumeAttachment has been in this phase: attaching, as this process has seen it; detaching, since its deletion.",
    ]),
};

/// Attachments whose volume is on its way.
#[derive(Clone)]
pub(crate) struct Metrics(Stages);

impl Metrics {
    pub(crate) fn new(registry: &Registry, clock: &Clock, driver: &str) -> Result<Self, prometheus::Error> {
        Ok(Self(Stages::new(registry, clock, driver, &GAUGES)?))
    }

    /// Counts an attachment as it is now, if it is of this driver.
    pub(crate) fn count(&self, change: Difference<'_, Attachment>, driver: &str) {
        let attachment = change.new.filter(|attachment| attachment.attacher == driver);
        let stage = attachment.and_then(|attachment| {
            let deleted = attachment.metadata.deletion_timestamp.as_ref();
            match deleted {
                Some(deleted) => Some(("detaching", Some(deleted.0))),
                None if attachment.is_attached() => None,
                None => Some(("attaching", None)),
            }
        });
        self.0.set(change.key, stage);
    }

    /// Counts for one term of leadership.
    pub(crate) fn term(&self) -> StagesTerm {
        self.0.term()
    }
}
