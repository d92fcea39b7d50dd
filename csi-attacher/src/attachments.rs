//! The rules for attachments as the frame runs them.

use std::sync::Arc;

use async_trait::async_trait;
use controller::{CallFailure, Failure, Known, Objects, Part, Past, Run, SecretRead};
use csi::Operation;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::objects::{Attachment, CsiNode, Volume};
use runtime::{Cache, ObjectKey};

use crate::calls::Calls;
use crate::listing::Listing;
use crate::observe::{Answer, Memory, Observed, Settings};
use crate::plan::{Plan, Status, Step, plan};
use crate::{events, patch};

/// Works on attachments.
pub(crate) struct Attachments {
    pub(crate) attachments: Objects<Attachment>,
    /// None for a driver that attaches nothing; as the next.
    pub(crate) volumes: Option<Objects<Volume>>,
    pub(crate) nodes: Option<Cache<CsiNode>>,
    pub(crate) listing: Arc<Listing>,
    pub(crate) calls: Calls,
    pub(crate) settings: Settings,
}

/// The objects of one round.
pub(crate) struct Seen {
    attachment: Arc<Attachment>,
    volume: Option<Arc<Volume>>,
    node: Option<Arc<CsiNode>>,
    differs_since: Option<u64>,
}

#[async_trait]
impl controller::Controller for Attachments {
    type Seen = Seen;
    type Memory = Memory;
    type Step = Step;
    type Answer = Answer;

    fn observe(&self, key: &ObjectKey) -> Option<Seen> {
        let attachment = self.attachments.cache().get(key)?;
        if attachment.attacher != self.settings.driver {
            return None;
        }
        let volume = attachment.volume.as_ref().zip(self.volumes.as_ref());
        let volume = volume.and_then(|(name, volumes)| volumes.cache().get(&ObjectKey::cluster(name)));
        let nodes = self.nodes.as_ref();
        Some(Seen {
            node: nodes.and_then(|nodes| nodes.get(&ObjectKey::cluster(&attachment.node))),
            differs_since: self.listing.differs_since(&attachment),
            attachment,
            volume,
        })
    }

    fn uid<'a>(&self, seen: &'a Seen) -> &'a str {
        seen.attachment.metadata.uid.as_deref().unwrap_or_default()
    }

    fn reference(&self, seen: &Seen) -> ObjectReference {
        let metadata = &seen.attachment.metadata;
        ObjectReference {
            api_version: Some("storage.k8s.io/v1".to_owned()),
            kind: Some("VolumeAttachment".to_owned()),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            ..ObjectReference::default()
        }
    }

    fn plan(&self, seen: &Seen, past: &Past<Memory>, run: &Run<Answer>, now: Timestamp) -> Plan {
        let observed = Observed {
            attachment: &seen.attachment,
            volume: seen.volume.as_deref(),
            node: seen.node.as_deref(),
            differs_since: seen.differs_since,
            answer: run.answers.last(),
            secret: run.secret.as_ref(),
            memory: &past.memory,
            retries: &past.retries,
            settings: &self.settings,
        };
        plan(&observed, now)
    }

    async fn take(&self, seen: &Seen, step: &Step, run: &Run<Answer>) -> Result<Option<Answer>, Failure> {
        let attachment = &seen.attachment;
        let (known, finalizer) = (Known::of(&**attachment), &self.settings.finalizer);
        let secrets = || SecretRead::data(run.secret.as_ref());
        match step {
            Step::Keep => {
                // A plan without the volume's object does not keep it.
                if let (Some(volumes), Some(volume)) = (&self.volumes, &seen.volume) {
                    let change = patch::keep(volume, finalizer);
                    volumes.patch(&Known::of(&**volume), Part::Main, &change).await?;
                }
            }
            Step::Mark(mark) => {
                let change = patch::mark(attachment, mark, finalizer);
                self.attachments.patch(&known, Part::Main, &change).await?;
            }
            Step::Publish(call) => {
                return Ok(Some(Answer::Published(self.calls.publish(call, secrets()).await)));
            }
            Step::Unpublish(call) => {
                return Ok(Some(Answer::Unpublished(
                    self.calls.unpublish(call, secrets()).await,
                )));
            }
            Step::Status(status) => {
                let change = patch::status(attachment, status);
                self.attachments.patch(&known, Part::Status, &change).await?;
            }
            Step::Release => {
                let change = patch::release(attachment, finalizer);
                self.attachments.patch(&known, Part::Main, &change).await?;
            }
        }
        Ok(None)
    }

    fn refusal_reason(&self, step: &Step) -> &'static str {
        match step {
            Step::Keep | Step::Mark(_) | Step::Publish(_) => events::ATTACH_FAILED,
            Step::Status(Status::Attached(_) | Status::AttachError(_)) => events::ATTACH_FAILED,
            Step::Status(Status::Detached | Status::DetachError(_)) => events::DETACH_FAILED,
            Step::Unpublish(_) | Step::Release => events::DETACH_FAILED,
        }
    }

    fn driver<'a>(&'a self, _seen: &'a Seen) -> &'a str {
        &self.settings.driver
    }

    fn failed_call<'a>(&self, answer: &'a Answer) -> Option<(Operation, &'a CallFailure)> {
        match answer {
            Answer::Published(outcome) => Some((Operation::PublishVolume, outcome.as_ref().err()?)),
            Answer::Unpublished(outcome) => Some((Operation::UnpublishVolume, outcome.as_ref().err()?)),
        }
    }
}
