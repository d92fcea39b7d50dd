//! Steps for groups to requests. It knows no rule.

use std::sync::Arc;

use controller::{Failure, Known, Objects, Part};
use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotContent};
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use kube::{Client, Resource, ResourceExt};
use runtime::objects::Claim;
use runtime::{ApiErrorClass, Cached, ObjectKey, Selection, Writer};
use serde::Serialize;

use super::caches::{GroupCaches, with_volumes};
use crate::events::group as events;
use crate::execute::NAME;
use crate::observe::{Caches, Names};
use crate::plan::ContentIntent;
use crate::plan::group::{SelectedClaim, Step};

/// What a step brings that is in no cache.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The claims that a selector selects.
    Selected(Vec<SelectedClaim>),
    /// What the API server has under the name of a content's group; none if nothing.
    Group(Option<Arc<VolumeGroupSnapshot>>),
}

/// The clients.
pub(super) struct Executor {
    groups: Objects<VolumeGroupSnapshot>,
    contents: Objects<VolumeGroupSnapshotContent>,
    snapshots: Objects<VolumeSnapshot>,
    member_contents: Objects<VolumeSnapshotContent>,
    claims: Writer<Claim>,
    caches: Caches,
    unclear: Arc<Names>,
}

/// What a plan was made from, as far as its steps write it.
pub(super) struct Around<'a> {
    pub(super) group: Option<&'a VolumeGroupSnapshot>,
    pub(super) content: Option<&'a VolumeGroupSnapshotContent>,
}

impl Executor {
    pub(super) fn new(client: &Client, caches: &Caches, groups: &GroupCaches) -> Self {
        Self {
            groups: Objects::new(groups.groups.clone(), client, NAME),
            contents: Objects::new(groups.contents.clone(), client, NAME),
            snapshots: Objects::new(caches.snapshots.clone(), client, NAME),
            member_contents: Objects::new(caches.contents.clone(), client, NAME),
            claims: Writer::new(client, NAME),
            caches: caches.clone(),
            unclear: groups.unclear.clone(),
        }
    }

    /// Takes one step. Writes to an object that was not observed are none: no plan makes them.
    pub(super) async fn take(&self, around: &Around<'_>, step: &Step) -> Result<Option<Answer>, Failure> {
        let group = around.group.map(Known::of);
        let content = around.content.map(Known::of);
        match step {
            Step::PatchGroup(change) => {
                if let Some(known) = group {
                    self.groups.patch(&known, Part::Main, change).await?;
                }
            }
            Step::PatchGroupStatus(change) => {
                if let Some(known) = group {
                    self.groups.patch(&known, Part::Status, change).await?;
                }
            }
            Step::PatchContent { change, .. } => {
                if let Some(known) = content {
                    self.contents.patch(&known, Part::Main, change).await?;
                }
            }
            Step::DeleteContent => {
                if let Some(known) = content {
                    self.contents.delete(&known).await?;
                }
            }
            Step::PatchMemberContentStatus { content, change } => {
                let known = Known::of(&**content);
                self.member_contents.patch(&known, Part::Status, change).await?;
            }
            Step::DeleteMember(member) => self.snapshots.delete(&Known::of(&**member)).await?,
            Step::DeleteMemberContent(content) => {
                self.member_contents.delete(&Known::of(&**content)).await?;
            }
            Step::CreateContent(_)
            | Step::CreateMember(_)
            | Step::CreateMemberContent(_)
            | Step::ListClaims { .. }
            | Step::ReadContent { .. }
            | Step::ReadMemberContent { .. }
            | Step::ReadGroup { .. } => return self.create_or_read(step).await,
        }
        Ok(None)
    }

    async fn create_or_read(&self, step: &Step) -> Result<Option<Answer>, Failure> {
        let unclear = &self.caches.unclear;
        match step {
            Step::CreateContent(content) => create(&self.contents, content, Some(&*self.unclear)).await?,
            Step::CreateMember(member) => create(&self.snapshots, member, None).await?,
            Step::CreateMemberContent(content) => {
                create(&self.member_contents, content, Some(&**unclear)).await?;
            }
            Step::ReadContent { name } => read(&self.contents, name, &self.unclear).await?,
            Step::ReadMemberContent { name } => read(&self.member_contents, name, unclear).await?,
            Step::ListClaims { namespace, selector } => {
                let selection = Selection::labels(selector.as_str()).within(namespace.as_str());
                let claims = self.claims.list(&selection).await.map_err(Failure::Refused)?;
                return Ok(Some(Answer::Selected(with_volumes(&self.caches, claims))));
            }
            Step::ReadGroup { namespace, name } => {
                let key = ObjectKey::new(namespace.as_str(), name.as_str());
                let group = self.groups.read(&key).await.map_err(Failure::Refused)?;
                return Ok(Some(Answer::Group(group)));
            }
            _ => {}
        }
        Ok(None)
    }
}

/// An unclear outcome is remembered until a read has told; "already exists" is followed by a read at once, so that the
/// next plan can check whose object it is.
async fn create<K>(objects: &Objects<K>, object: &K, unclear: Option<&Names>) -> Result<(), Failure>
where
    K: Cached + Resource<DynamicType = ()> + Serialize,
{
    let name = object.name_any();
    match objects.create(object).await {
        Ok(()) => Ok(()),
        Err(error) if error.class() == ApiErrorClass::AlreadyExists => {
            if let Some(unclear) = unclear {
                unclear.add(&name);
            }
            let read = objects.read(&ObjectKey::of(object)).await;
            read.map_err(Failure::Refused)?;
            if let Some(unclear) = unclear {
                unclear.clear(&name);
            }
            Err(Failure::outdated(error))
        }
        Err(error) => {
            if let Some(unclear) = unclear.filter(|_| error.class() == ApiErrorClass::Transient) {
                unclear.add(&name);
            }
            Err(Failure::Refused(error))
        }
    }
}

async fn read<K: Cached>(objects: &Objects<K>, name: &str, unclear: &Names) -> Result<(), Failure> {
    let read = objects.read(&ObjectKey::cluster(name)).await;
    read.map_err(Failure::Refused)?;
    unclear.clear(name);
    Ok(())
}

/// Under which reason a refusal of a step is told.
pub(super) fn refusal_reason(step: &Step) -> &'static str {
    match step {
        Step::PatchGroup(_) | Step::ReadGroup { .. } => events::FINALIZER_ERROR,
        Step::PatchGroupStatus(_) => events::STATUS_UPDATE_FAILED,
        Step::ListClaims { .. } | Step::CreateContent(_) | Step::ReadContent { .. } => {
            events::CREATE_CONTENT_FAILED
        }
        Step::PatchContent { intent, .. } => match intent {
            ContentIntent::Bind | ContentIntent::Protect => events::BIND_FAILED,
            ContentIntent::Mark | ContentIntent::Release => events::CONTENT_OBJECT_DELETE_ERROR,
        },
        Step::DeleteContent => events::CONTENT_OBJECT_DELETE_ERROR,
        Step::CreateMember(_)
        | Step::CreateMemberContent(_)
        | Step::ReadMemberContent { .. }
        | Step::PatchMemberContentStatus { .. } => events::CONTENT_CREATION_FAILED,
        Step::DeleteMember(_) | Step::DeleteMemberContent(_) => events::MEMBER_DELETE_ERROR,
    }
}
