//! The rules for contents as the frame runs them.

use std::sync::Arc;

use async_trait::async_trait;
use controller::{Failure, Known, Objects, Past, Run, SecretRead};
use crds::names;
use crds::v1::{VolumeSnapshotClass, VolumeSnapshotContent};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::{Cache, ObjectKey};

use crate::askers::Askers;
use crate::calls::Calls;
use crate::observe::{ClassLookup, ContentExt as _, Memory, Observed, Reply, Settings};
use crate::plan::{Plan, Step, plan};
use crate::{events, patch};

/// Works on contents.
pub(crate) struct Contents {
    pub(crate) contents: Objects<VolumeSnapshotContent>,
    pub(crate) classes: Cache<VolumeSnapshotClass>,
    pub(crate) askers: Askers,
    pub(crate) calls: Calls,
    pub(crate) settings: Settings,
}

/// The objects of one round.
pub(crate) struct Seen {
    content: Arc<VolumeSnapshotContent>,
    class: NamedClass,
    is_live: bool,
}

/// The VolumeSnapshotClass that a content names.
enum NamedClass {
    NotNamed,
    Absent(String),
    Found(Arc<VolumeSnapshotClass>),
}

impl NamedClass {
    fn lookup(&self) -> ClassLookup<'_> {
        match self {
            Self::NotNamed => ClassLookup::NotNamed,
            Self::Absent(name) => ClassLookup::Absent(name),
            Self::Found(class) => ClassLookup::Found(class),
        }
    }
}

#[async_trait]
impl controller::Controller for Contents {
    type Seen = Seen;
    type Memory = Memory;
    type Step = Step;
    type Answer = Reply;

    fn observe(&self, key: &ObjectKey) -> Option<Seen> {
        let content = self.contents.cache().get(key)?;
        let name = content
            .spec
            .volume_snapshot_class_name
            .as_deref()
            .filter(|name| !name.is_empty());
        let class = match name {
            None => NamedClass::NotNamed,
            Some(name) => match self.classes.get(&ObjectKey::cluster(name)) {
                Some(class) => NamedClass::Found(class),
                None => NamedClass::Absent(name.to_owned()),
            },
        };
        let is_live = self.contents.cache().is_followed() && self.classes.is_followed();
        Some(Seen {
            content,
            class,
            is_live,
        })
    }

    fn uid<'a>(&self, seen: &'a Seen) -> &'a str {
        seen.content.metadata.uid.as_deref().unwrap_or_default()
    }

    fn reference(&self, seen: &Seen) -> ObjectReference {
        ObjectReference {
            api_version: Some(format!("{}/v1", names::GROUP)),
            kind: Some("VolumeSnapshotContent".to_string()),
            name: Some(seen.content.name().to_string()),
            uid: seen.content.metadata.uid.clone(),
            resource_version: seen.content.metadata.resource_version.clone(),
            ..ObjectReference::default()
        }
    }

    fn plan(&self, seen: &Seen, past: &Past<Memory>, run: &Run<Reply>, now: Timestamp) -> Plan {
        let observed = Observed {
            content: &seen.content,
            class: seen.class.lookup(),
            is_live: seen.is_live,
            secret: run.secret.as_ref(),
            reply: run.answers.last(),
            memory: &past.memory,
            settings: &self.settings,
        };
        plan(&observed, now)
    }

    async fn take(&self, seen: &Seen, step: &Step, run: &Run<Reply>) -> Result<Option<Reply>, Failure> {
        if let Step::Call(call) = step {
            let secrets = SecretRead::data(run.secret.as_ref());
            return Ok(Some(self.calls.call(&seen.content, call, secrets).await));
        }
        if let Step::ReadSnapshot { namespace, name } = step {
            let behind = self.askers.read(namespace, name).await;
            return Ok(Some(Reply::Behind(behind.map_err(Failure::Refused)?)));
        }
        if let Some((part, change)) = patch::of(&seen.content, step) {
            self.contents
                .patch(&Known::of(&*seen.content), part, &change)
                .await?;
        }
        Ok(None)
    }

    fn refusal_reason(&self, step: &Step) -> &'static str {
        match step {
            Step::Mark | Step::Call(_) | Step::ReadSnapshot { .. } => events::CREATION_FAILED,
            Step::Unmark | Step::Settle | Step::Status(_) => events::CHECK_FAILED,
            Step::RemoveFinalizer { .. } => events::DELETE_ERROR,
        }
    }
}
