//! The rules for contents of one kind as the frame runs them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use controller::{CallFailure, Failure, Known, Objects, Past, Run, SecretRead};
use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent};
use crds::v1::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use csi::Operation;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::{Cache, Cached, ObjectKey};

use crate::askers::{Asker, Askers};
use crate::calls::Calls;
use crate::content::{Class, Content, Words};
use crate::observe::{ClassLookup, Memory, Observed, Reply, Settings};
use crate::patch;
use crate::plan::{Plan, Step, plan};

/// A kind of contents, with the kinds that belong to it.
pub(crate) trait Kind: Content + Cached + fmt::Debug {
    type Class: Class + Cached;
    type Asker: Asker;
    const WORDS: &'static Words;

    /// Both ask for the same.
    fn same_spec(&self, other: &Self) -> bool;
}

impl Kind for VolumeSnapshotContent {
    type Class = VolumeSnapshotClass;
    type Asker = VolumeSnapshot;
    const WORDS: &'static Words = &Words::SNAPSHOT;

    fn same_spec(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Kind for VolumeGroupSnapshotContent {
    type Class = VolumeGroupSnapshotClass;
    type Asker = VolumeGroupSnapshot;
    const WORDS: &'static Words = &Words::GROUP;

    fn same_spec(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

/// Works on contents.
pub(crate) struct Contents<K: Kind> {
    pub(crate) contents: Objects<K>,
    /// None where the driver takes nothing of the kind, and no class is asked for.
    pub(crate) classes: Option<Cache<K::Class>>,
    pub(crate) askers: Askers<K::Asker>,
    /// The contents of the members of groups.
    pub(crate) members: Option<Cache<VolumeSnapshotContent>>,
    pub(crate) calls: Calls,
    pub(crate) settings: Settings,
}

/// Index of contents by the group that they belong to.
pub(crate) const BY_GROUP: &str = "group that it belongs to";

/// The group that a content belongs to, for the index.
pub(crate) fn group_of(content: &VolumeSnapshotContent) -> Vec<String> {
    content.group_handle().map(str::to_owned).into_iter().collect()
}

/// The objects of one round.
pub(crate) struct Seen<K: Kind> {
    content: Arc<K>,
    class: NamedClass<K::Class>,
    members: Vec<String>,
    is_live: bool,
}

/// The class that a content names.
enum NamedClass<C> {
    NotNamed,
    Absent(String),
    Found(Arc<C>),
}

impl<C: Class> NamedClass<C> {
    fn lookup(&self) -> ClassLookup<'_> {
        match self {
            Self::NotNamed => ClassLookup::NotNamed,
            Self::Absent(name) => ClassLookup::Absent(name),
            Self::Found(class) => ClassLookup::Found(&**class),
        }
    }
}

impl<K: Kind> Contents<K> {
    /// The snapshots of a group that is to go and names none: those whose contents say that they are of it (Q35).
    fn members_of(&self, content: &K) -> Vec<String> {
        let (Some(members), Some(group)) = (&self.members, content.stored_handle()) else {
            return Vec::new();
        };
        if !content.is_terminating() || !content.member_handles().is_empty() {
            return Vec::new();
        }
        let of_group = members.indexed(BY_GROUP, group).into_iter();
        let ours = of_group.filter(|member| member.spec.driver == content.driver());
        ours.filter_map(|member| member.stored_handle().map(str::to_owned))
            .collect()
    }
}

#[async_trait]
impl<K: Kind> controller::Controller for Contents<K> {
    type Seen = Seen<K>;
    type Memory = Memory;
    type Step = Step;
    type Answer = Reply;

    fn observe(&self, key: &ObjectKey) -> Option<Seen<K>> {
        let content = self.contents.cache().get(key)?;
        let class = match (content.class_name(), &self.classes) {
            (None, _) | (_, None) => NamedClass::NotNamed,
            (Some(name), Some(classes)) => match classes.get(&ObjectKey::cluster(name)) {
                Some(class) => NamedClass::Found(class),
                None => NamedClass::Absent(name.to_owned()),
            },
        };
        let classes_are_followed = self.classes.as_ref().is_none_or(Cache::is_followed);
        let is_live = self.contents.cache().is_followed() && classes_are_followed;
        Some(Seen {
            members: self.members_of(&content),
            content,
            class,
            is_live,
        })
    }

    fn uid<'a>(&self, seen: &'a Seen<K>) -> &'a str {
        seen.content.metadata().uid.as_deref().unwrap_or_default()
    }

    fn reference(&self, seen: &Seen<K>) -> ObjectReference {
        let metadata = seen.content.metadata();
        ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            ..ObjectReference::default()
        }
    }

    fn plan(&self, seen: &Seen<K>, past: &Past<Memory>, run: &Run<Reply>, now: Timestamp) -> Plan {
        let observed = Observed {
            content: &*seen.content,
            class: seen.class.lookup(),
            members: &seen.members,
            is_live: seen.is_live,
            secret: run.secret.as_ref(),
            reply: run.answers.last(),
            memory: &past.memory,
            settings: &self.settings,
        };
        plan(&observed, now)
    }

    async fn take(&self, seen: &Seen<K>, step: &Step, run: &Run<Reply>) -> Result<Option<Reply>, Failure> {
        if let Step::Call(call) = step {
            let secrets = SecretRead::data(run.secret.as_ref());
            return Ok(Some(self.calls.call(&*seen.content, call, secrets).await));
        }
        if let Step::ReadAsker { namespace, name } = step {
            let behind = self.askers.read(namespace, name).await;
            return Ok(Some(Reply::Behind(behind.map_err(Failure::Refused)?)));
        }
        if let Some((part, change)) = patch::of(&*seen.content, step) {
            self.contents
                .patch(&Known::of(&*seen.content), part, &change)
                .await?;
        }
        Ok(None)
    }

    fn refusal_reason(&self, step: &Step) -> &'static str {
        let words = K::WORDS;
        match step {
            Step::Mark | Step::Call(_) | Step::ReadAsker { .. } => words.creation_failed,
            Step::Unmark | Step::Settle | Step::Status(_) => words.check_failed,
            Step::RemoveFinalizer { .. } => words.delete_error,
        }
    }

    fn driver<'a>(&'a self, seen: &'a Seen<K>) -> &'a str {
        seen.content.driver()
    }

    fn failed_call<'a>(&self, answer: &'a Reply) -> Option<(Operation, &'a CallFailure)> {
        let [create, look, delete] = match K::WORDS.is_group {
            false => [
                Operation::CreateSnapshot,
                Operation::ListSnapshots,
                Operation::DeleteSnapshot,
            ],
            true => [
                Operation::CreateGroupSnapshot,
                Operation::GetGroupSnapshot,
                Operation::DeleteGroupSnapshot,
            ],
        };
        match answer {
            Reply::Created(Err(failure)) => Some((create, failure)),
            Reply::Listed(Err(failure)) => Some((look, failure)),
            Reply::Deleted {
                outcome: Err(failure),
                ..
            } => Some((delete, failure)),
            Reply::Created(Ok(_)) | Reply::Listed(Ok(_)) | Reply::Deleted { .. } | Reply::Behind(_) => None,
        }
    }
}
