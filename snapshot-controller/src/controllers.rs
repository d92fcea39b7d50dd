//! The rules for snapshots, contents and claims as the frame runs them.

use std::sync::Arc;

use async_trait::async_trait;
use base::Clock;
use controller::failures::UNKNOWN_DRIVER;
use controller::{Controller, Failure, Past, Run};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use runtime::ObjectKey;

use crate::execute::{Around, Executor, SnapshotRead, refusal_reason};
use crate::metrics::Metrics;
use crate::observe::Caches;
use crate::plan::content::ObservedContent;
use crate::plan::protect::ObservedClaim;
use crate::plan::{self, Lookup, Observed, Plan, Step};
use crate::triggers::Concerned;

/// What the three share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) caches: Caches,
    pub(crate) executor: Arc<Executor>,
}

/// Works on VolumeSnapshots.
pub(crate) struct Snapshots {
    pub(crate) shared: Shared,
    pub(crate) concerned: Concerned,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

/// Works on VolumeSnapshotContents.
pub(crate) struct Contents(pub(crate) Shared);

/// Works on claims that carry our finalizer.
pub(crate) struct Claims(pub(crate) Shared);

#[async_trait]
impl Controller for Snapshots {
    type Seen = Observed;
    type Memory = ();
    type Step = Step;
    type Answer = SnapshotRead;

    fn observe(&self, key: &ObjectKey) -> Option<Observed> {
        let observed = self.shared.caches.snapshot(key)?;
        self.metrics.see(&observed, self.clock.now());
        Some(observed)
    }

    fn uid<'a>(&self, seen: &'a Observed) -> &'a str {
        uid(&*seen.snapshot)
    }

    fn reference(&self, seen: &Observed) -> ObjectReference {
        seen.snapshot.object_ref(&())
    }

    fn plan(&self, seen: &Observed, _past: &Past<()>, _run: &Run<SnapshotRead>, now: Timestamp) -> Plan {
        plan::plan(seen, now)
    }

    async fn take(
        &self,
        seen: &Observed,
        step: &Step,
        _run: &Run<SnapshotRead>,
    ) -> Result<Option<SnapshotRead>, Failure> {
        let around = Around {
            snapshot: Some(&seen.snapshot),
            content: seen.content.found().map(AsRef::as_ref),
        };
        let taken = self.shared.executor.take(&around, step).await;
        if taken.is_err() && matches!(step, Step::CreateContent(_)) {
            // No object tells of it.
            self.concerned.going_claim(&ObjectKey::of(&*seen.snapshot));
        }
        taken
    }

    fn refusal_reason(&self, step: &Step) -> &'static str {
        refusal_reason(step)
    }

    fn driver<'a>(&'a self, seen: &'a Observed) -> &'a str {
        let of_content = seen.content.found().map(|content| content.spec.driver.as_str());
        let of_class = || seen.class.found().map(|class| class.driver.as_str());
        of_content.or_else(of_class).unwrap_or(UNKNOWN_DRIVER)
    }
}

#[async_trait]
impl Controller for Contents {
    type Seen = ObservedContent;
    type Memory = ();
    type Step = Step;
    type Answer = SnapshotRead;

    fn observe(&self, key: &ObjectKey) -> Option<ObservedContent> {
        self.0.caches.content(key)
    }

    fn uid<'a>(&self, seen: &'a ObservedContent) -> &'a str {
        uid(&*seen.content)
    }

    fn reference(&self, seen: &ObservedContent) -> ObjectReference {
        seen.content.object_ref(&())
    }

    fn plan(
        &self,
        seen: &ObservedContent,
        _past: &Past<()>,
        run: &Run<SnapshotRead>,
        _now: Timestamp,
    ) -> Plan {
        let Some(SnapshotRead(read)) = run.answers.last() else {
            return plan::content::plan(seen);
        };
        plan::content::plan(&ObservedContent {
            snapshot: read.clone().map_or(Lookup::Absent, Lookup::Found),
            is_read: true,
            ..seen.clone()
        })
    }

    async fn take(
        &self,
        seen: &ObservedContent,
        step: &Step,
        _run: &Run<SnapshotRead>,
    ) -> Result<Option<SnapshotRead>, Failure> {
        let around = Around {
            content: Some(&seen.content),
            ..Around::default()
        };
        self.0.executor.take(&around, step).await
    }

    fn refusal_reason(&self, step: &Step) -> &'static str {
        refusal_reason(step)
    }

    fn driver<'a>(&'a self, seen: &'a ObservedContent) -> &'a str {
        &seen.content.spec.driver
    }
}

#[async_trait]
impl Controller for Claims {
    type Seen = ObservedClaim;
    type Memory = ();
    type Step = Step;
    type Answer = SnapshotRead;

    fn observe(&self, key: &ObjectKey) -> Option<ObservedClaim> {
        let observed = self.0.caches.claim(key);
        if observed.is_none() {
            self.0.executor.claims.forget(key);
        }
        observed
    }

    fn uid<'a>(&self, seen: &'a ObservedClaim) -> &'a str {
        uid(&*seen.claim)
    }

    fn reference(&self, seen: &ObservedClaim) -> ObjectReference {
        let claim = &*seen.claim;
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("PersistentVolumeClaim".to_owned()),
            namespace: claim.metadata.namespace.clone(),
            name: claim.metadata.name.clone(),
            uid: claim.metadata.uid.clone(),
            resource_version: claim.metadata.resource_version.clone(),
            ..ObjectReference::default()
        }
    }

    fn plan(
        &self,
        seen: &ObservedClaim,
        _past: &Past<()>,
        _run: &Run<SnapshotRead>,
        _now: Timestamp,
    ) -> Plan {
        plan::protect::plan(seen)
    }

    async fn take(
        &self,
        _seen: &ObservedClaim,
        step: &Step,
        _run: &Run<SnapshotRead>,
    ) -> Result<Option<SnapshotRead>, Failure> {
        self.0.executor.take(&Around::default(), step).await
    }

    fn refusal_reason(&self, step: &Step) -> &'static str {
        refusal_reason(step)
    }
}

fn uid<K: Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}
