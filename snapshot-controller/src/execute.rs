//! Steps to requests. This is the only file with clients, and it knows no rule.

use controller::patch::Change;
use controller::{Failure, Known, Objects, Part};
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use kube::ResourceExt;
use runtime::{ApiErrorClass, ObjectKey};

use crate::claims::ClaimWriter;
use crate::events;
use crate::observe::Unclear;
use crate::plan::Step;

/// The function's name.
pub(crate) const NAME: &str = "snapshot-controller";

/// The API server knows no snapshot of the UID that a content refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotIsGone;

/// The clients.
pub(crate) struct Executor {
    pub(crate) snapshots: Objects<VolumeSnapshot>,
    pub(crate) contents: Objects<VolumeSnapshotContent>,
    pub(crate) claims: ClaimWriter,
    pub(crate) unclear: std::sync::Arc<Unclear>,
}

/// What a plan was made from, as far as its steps write it.
#[derive(Default)]
pub(crate) struct Around<'a> {
    pub(crate) snapshot: Option<&'a VolumeSnapshot>,
    pub(crate) content: Option<&'a VolumeSnapshotContent>,
}

impl Executor {
    /// Takes one step. Writes to an object that was not observed are none: no plan makes them.
    pub(crate) async fn take(
        &self,
        around: &Around<'_>,
        step: &Step,
    ) -> Result<Option<SnapshotIsGone>, Failure> {
        let snapshot = around.snapshot.map(Known::of);
        let content = around.content.map(Known::of);
        match (step, snapshot, content) {
            (Step::PatchSnapshot(change), Some(known), _) => {
                self.snapshots.patch(&known, Part::Main, change).await?;
            }
            (Step::PatchSnapshotStatus(change), Some(known), _) => {
                self.snapshots.patch(&known, Part::Status, change).await?;
            }
            (Step::PatchContent { change, .. }, _, Some(known)) => {
                self.contents.patch(&known, Part::Main, change).await?;
            }
            (Step::DeleteContent { .. }, _, Some(known)) => self.contents.delete(&known).await?,
            (Step::ChangeClaim(change), _, _) => self.claims.change(change).await?,
            (Step::CreateContent(content), _, _) => self.create(content).await?,
            (Step::ReadContent { name }, _, _) => self.read_content(name).await?,
            (Step::ReadSnapshot { namespace, name }, _, _) => {
                let key = ObjectKey::new(namespace.as_str(), name.as_str());
                return self.read_snapshot(&key, around.content).await;
            }
            (
                Step::PatchSnapshot(_)
                | Step::PatchSnapshotStatus(_)
                | Step::PatchContent { .. }
                | Step::DeleteContent { .. },
                _,
                _,
            ) => {}
        }
        Ok(None)
    }

    /// An unclear outcome is remembered until a read has told; "already exists" is followed by a read at once, so
    /// that the next plan can check whose content it is.
    async fn create(&self, content: &VolumeSnapshotContent) -> Result<(), Failure> {
        let name = content.name_any();
        match self.contents.create(content).await {
            Ok(()) => Ok(()),
            Err(error) if error.class() == ApiErrorClass::AlreadyExists => {
                self.unclear.add(&name);
                self.read_content(&name).await?;
                Err(Failure::outdated(error))
            }
            Err(error) => {
                if error.class() == ApiErrorClass::Transient {
                    self.unclear.add(&name);
                }
                Err(Failure::Refused(error))
            }
        }
    }

    async fn read_content(&self, name: &str) -> Result<(), Failure> {
        let read = self.contents.read(&ObjectKey::cluster(name)).await;
        read.map_err(Failure::Refused)?;
        self.unclear.clear(name);
        Ok(())
    }

    async fn read_snapshot(
        &self,
        key: &ObjectKey,
        content: Option<&VolumeSnapshotContent>,
    ) -> Result<Option<SnapshotIsGone>, Failure> {
        let found = self.snapshots.read(key).await.map_err(Failure::Refused)?;
        let wanted = content.and_then(|content| content.spec.volume_snapshot_ref.uid.as_deref());
        let is_there = found.is_some_and(|snapshot| snapshot.metadata.uid.as_deref() == wanted);
        Ok((!is_there).then_some(SnapshotIsGone))
    }
}

/// Under which reason a refusal of a step is told.
pub(crate) fn refusal_reason(step: &Step) -> &'static str {
    match step {
        Step::PatchSnapshot(_) | Step::ReadSnapshot { .. } => events::SNAPSHOT_FINALIZER_ERROR,
        Step::PatchSnapshotStatus(_) => events::SNAPSHOT_STATUS_UPDATE_FAILED,
        Step::ChangeClaim(_) => events::ERROR_PVC_FINALIZER,
        Step::CreateContent(_) | Step::ReadContent { .. } => events::CREATE_SNAPSHOT_CONTENT_FAILED,
        Step::PatchContent {
            change: Change::Json(_),
            ..
        } => events::SNAPSHOT_BIND_FAILED,
        // The only merge patch of a content is the mark of its deletion.
        Step::PatchContent {
            change: Change::Merge(_),
            ..
        }
        | Step::DeleteContent { .. } => events::SNAPSHOT_CONTENT_OBJECT_DELETE_ERROR,
    }
}
