//! The finalizer of volumes as the frame runs its rule.

use std::sync::Arc;

use async_trait::async_trait;
use controller::{Failure, Known, Objects, Part, Past, Run};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::objects::{Attachment, Volume};
use runtime::{Cache, ObjectKey};

use crate::observe::Settings;
use crate::plan::volume::{Plan, Release, plan};
use crate::{events, patch};

/// Works on volumes.
pub(crate) struct Volumes {
    pub(crate) volumes: Objects<Volume>,
    /// Whoever's they are.
    pub(crate) attachments: Cache<Attachment>,
    pub(crate) settings: Settings,
}

/// The objects of one round.
pub(crate) struct Seen {
    volume: Arc<Volume>,
    is_attached: bool,
}

#[async_trait]
impl controller::Controller for Volumes {
    type Seen = Seen;
    type Memory = ();
    type Step = Release;
    type Answer = ();

    fn observe(&self, key: &ObjectKey) -> Option<Seen> {
        Some(Seen {
            volume: self.volumes.cache().get(key)?,
            is_attached: self.attachments.attaches(&key.name),
        })
    }

    fn uid<'a>(&self, seen: &'a Seen) -> &'a str {
        seen.volume.metadata.uid.as_deref().unwrap_or_default()
    }

    fn reference(&self, seen: &Seen) -> ObjectReference {
        let metadata = &seen.volume.metadata;
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("PersistentVolume".to_owned()),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            ..ObjectReference::default()
        }
    }

    fn plan(&self, seen: &Seen, _: &Past<()>, _: &Run<()>, _: Timestamp) -> Plan {
        let Settings {
            driver, finalizer, ..
        } = &self.settings;
        plan(&seen.volume, seen.is_attached, driver, finalizer)
    }

    async fn take(&self, seen: &Seen, Release: &Release, _: &Run<()>) -> Result<Option<()>, Failure> {
        let change = patch::let_go(&seen.volume, &self.settings.finalizer);
        let known = Known::of(&*seen.volume);
        self.volumes.patch(&known, Part::Main, &change).await?;
        Ok(None)
    }

    fn refusal_reason(&self, Release: &Release) -> &'static str {
        events::RELEASE_FAILED
    }

    fn driver<'a>(&'a self, _: &'a Seen) -> &'a str {
        &self.settings.driver
    }
}
