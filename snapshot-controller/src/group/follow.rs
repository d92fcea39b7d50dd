//! Whether there are group kinds, and the work on them once there are (spec snapshot 2.1, Q2).

use std::sync::Arc;
use std::time::Duration;

use base::{Queue, Scope};
use controller::{Error, Function, serve_by_namespace};
use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent};
use kube::core::ApiResource;
use runtime::ObjectKey;
use runtime::crds::until_served;

use super::caches::GroupCaches;
use super::controllers::{GroupContents, GroupSnapshots, Shared};
use super::execute::Executor;
use super::triggers::{Concerned, enqueue};
use crate::metrics::Metrics;
use crate::observe::{BY_GROUP, BY_GROUP_HANDLE, Caches, reference_key};

/// The queues of the group kinds.
#[derive(Clone)]
pub(crate) struct Queues {
    pub(super) groups: Queue<ObjectKey>,
    pub(super) contents: Queue<ObjectKey>,
}

impl Queues {
    pub(crate) fn new(queue: impl Fn(&str) -> Result<Queue<ObjectKey>, Error>) -> Result<Self, Error> {
        Ok(Self {
            groups: queue("group-snapshot")?,
            contents: queue("group-content")?,
        })
    }
}

/// The work on groups in one term of leadership.
pub(crate) struct Groups<'a> {
    pub(crate) function: &'a Function,
    pub(crate) queues: &'a Queues,
    pub(crate) caches: Caches,
    pub(crate) metrics: Arc<Metrics>,
    /// Those of single snapshots.
    pub(crate) snapshots: Queue<ObjectKey>,
    pub(crate) resync: Duration,
}

impl Groups<'_> {
    /// Waits until there are group kinds, without holding up anything else, and works on them until the scope is stopping.
    /// When their definitions go again, so do the objects, and what is left finds its groups gone.
    pub(crate) async fn work(&self, scope: &Scope) -> Result<(), Error> {
        let _terms = (self.queues.groups.term(), self.queues.contents.term());
        tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            () = self.served() => {}
        }
        let context = self.function.context();
        let groups = GroupCaches::start(&context.watches, &self.caches)?;
        tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            () = groups.caught_up() => {}
        }
        self.caches.groups.on(&groups);
        self.wake_members();
        let concerned = Arc::new(Concerned {
            caches: self.caches.clone(),
            groups: groups.clone(),
            queues: self.queues.clone(),
            snapshots: self.snapshots.clone(),
        });
        serve_by_namespace(&self.queues.contents, &groups.contents, |content| {
            content.spec.volume_group_snapshot_ref.namespace.clone()
        });
        let enqueue = enqueue(&concerned, &self.metrics, self.resync, scope);
        let shared = Shared {
            executor: Arc::new(Executor::new(&context.client, &self.caches, &groups)),
            caches: self.caches.clone(),
            groups,
        };
        let snapshots = GroupSnapshots {
            shared: shared.clone(),
            metrics: self.metrics.clone(),
            clock: context.clock.clone(),
        };
        let function = self.function;
        tokio::join!(
            self.queues
                .groups
                .run(scope, Arc::new(function.reconciler(snapshots))),
            self.queues
                .contents
                .run(scope, Arc::new(function.reconciler(GroupContents(shared)))),
        );
        drop(enqueue);
        Ok(())
    }

    /// Groups are not for this process: members are snapshots like any other.
    pub(crate) fn switch_off(&self) {
        self.caches.groups.off();
    }

    /// Resolves once all group kinds can be listed. That one is missing, or may not be listed, is told once.
    async fn served(&self) {
        let kinds = [
            ApiResource::erase::<VolumeGroupSnapshot>(&()),
            ApiResource::erase::<VolumeGroupSnapshotContent>(&()),
            ApiResource::erase::<VolumeGroupSnapshotClass>(&()),
        ];
        until_served(&self.function.context().client, &kinds, |missing| {
            tracing::warn!("group snapshots are off: {missing}");
            self.caches.groups.off();
            self.wake_members();
        })
        .await;
    }

    /// Members that are being deleted wait until it is known whether their groups are there, also those of which only the
    /// contents tell that they are some.
    fn wake_members(&self) {
        for member in self.caches.snapshots.indexed(BY_GROUP, "") {
            self.snapshots.add(ObjectKey::of(&*member));
        }
        for content in self.caches.contents.indexed(BY_GROUP_HANDLE, "") {
            if let Some(member) = reference_key(&content) {
                self.snapshots.add(member);
            }
        }
    }
}
