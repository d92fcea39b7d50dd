//! Steps to requests. This is the only file with clients, and it knows no rule.

use std::sync::Arc;

use controller::{Failure, Known, Objects, Part};
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use kube::ResourceExt;
use runtime::{ApiErrorClass, ObjectKey};

use crate::claims::ClaimWriter;
use crate::events;
use crate::observe::Names;
use crate::plan::{ContentIntent, Step};

/// The function's name.
pub(crate) const NAME: &str = "snapshot-controller";

/// What the API server has under the name of a content's snapshot; none if nothing.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotRead(pub(crate) Option<Arc<VolumeSnapshot>>);

/// The clients.
pub(crate) struct Executor {
    pub(crate) snapshots: Objects<VolumeSnapshot>,
    pub(crate) contents: Objects<VolumeSnapshotContent>,
    pub(crate) claims: ClaimWriter,
    pub(crate) unclear: Arc<Names>,
    pub(crate) refused: Arc<Names>,
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
    ) -> Result<Option<SnapshotRead>, Failure> {
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
                let read = self.snapshots.read(&key).await.map_err(Failure::Refused)?;
                return Ok(Some(SnapshotRead(read)));
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
        self.refused.clear(&name);
        let Err(error) = self.contents.create(content).await else {
            return Ok(());
        };
        match error.class() {
            ApiErrorClass::AlreadyExists => {
                self.unclear.add(&name);
                self.read_content(&name).await?;
                return Err(Failure::outdated(error));
            }
            ApiErrorClass::Transient => self.unclear.add(&name),
            ApiErrorClass::Forbidden | ApiErrorClass::Invalid => self.refused.add(&name),
            ApiErrorClass::NotFound | ApiErrorClass::Conflict | ApiErrorClass::Gone => {}
        }
        Err(Failure::Refused(error))
    }

    async fn read_content(&self, name: &str) -> Result<(), Failure> {
        let read = self.contents.read(&ObjectKey::cluster(name)).await;
        read.map_err(Failure::Refused)?;
        self.unclear.clear(name);
        Ok(())
    }
}

/// Under which reason a refusal of a step is told.
pub(crate) fn refusal_reason(step: &Step) -> &'static str {
    match step {
        Step::PatchSnapshot(_) | Step::ReadSnapshot { .. } => events::SNAPSHOT_FINALIZER_ERROR,
        Step::PatchSnapshotStatus(_) => events::SNAPSHOT_STATUS_UPDATE_FAILED,
        Step::ChangeClaim(_) => events::ERROR_PVC_FINALIZER,
        Step::CreateContent(_) | Step::ReadContent { .. } => events::CREATE_SNAPSHOT_CONTENT_FAILED,
        Step::PatchContent { intent, .. } => match intent {
            ContentIntent::Bind | ContentIntent::Protect => events::SNAPSHOT_BIND_FAILED,
            ContentIntent::Mark | ContentIntent::Release => events::SNAPSHOT_CONTENT_OBJECT_DELETE_ERROR,
        },
        Step::DeleteContent { .. } => events::SNAPSHOT_CONTENT_OBJECT_DELETE_ERROR,
    }
}
