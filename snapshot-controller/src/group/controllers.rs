//! The rules for groups and their contents as the frame runs them.

use std::sync::Arc;

use async_trait::async_trait;
use base::Clock;
use controller::failures::UNKNOWN_DRIVER;
use controller::{Controller, Failure, Past, Run};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use runtime::ObjectKey;

use super::caches::GroupCaches;
use super::execute::{Answer, Around, Executor, refusal_reason};
use crate::metrics::Metrics;
use crate::observe::Caches;
use crate::plan::Lookup;
use crate::plan::group::content::ObservedGroupContent;
use crate::plan::group::{self, ObservedGroup, Plan, Step, content};

/// What the two share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) caches: Caches,
    pub(super) groups: GroupCaches,
    pub(super) executor: Arc<Executor>,
}

/// Works on VolumeGroupSnapshots.
pub(super) struct GroupSnapshots {
    pub(super) shared: Shared,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
}

/// Works on VolumeGroupSnapshotContents.
pub(super) struct GroupContents(pub(super) Shared);

#[async_trait]
impl Controller for GroupSnapshots {
    type Seen = ObservedGroup;
    type Memory = ();
    type Step = Step;
    type Answer = Answer;

    fn observe(&self, key: &ObjectKey) -> Option<ObservedGroup> {
        let observed = self.shared.groups.group(&self.shared.caches, key)?;
        self.metrics.see_group(&observed, self.clock.now());
        Some(observed)
    }

    fn uid<'a>(&self, seen: &'a ObservedGroup) -> &'a str {
        uid(&*seen.group)
    }

    fn reference(&self, seen: &ObservedGroup) -> ObjectReference {
        seen.group.object_ref(&())
    }

    fn plan(&self, seen: &ObservedGroup, _past: &Past<()>, run: &Run<Answer>, now: Timestamp) -> Plan {
        let selected = run.answers.iter().find_map(|answer| match answer {
            Answer::Selected(claims) => Some(claims.as_slice()),
            Answer::Group(_) => None,
        });
        group::plan(seen, selected, now)
    }

    async fn take(
        &self,
        seen: &ObservedGroup,
        step: &Step,
        _run: &Run<Answer>,
    ) -> Result<Option<Answer>, Failure> {
        let around = Around {
            group: Some(&seen.group),
            content: seen.content.found().map(AsRef::as_ref),
        };
        self.shared.executor.take(&around, step).await
    }

    fn refusal_reason(&self, step: &Step) -> &'static str {
        refusal_reason(step)
    }

    fn driver<'a>(&'a self, seen: &'a ObservedGroup) -> &'a str {
        let of_content = seen.content.found().map(|content| content.spec.driver.as_str());
        let of_class = || seen.class.found().map(|class| class.driver.as_str());
        of_content.or_else(of_class).unwrap_or(UNKNOWN_DRIVER)
    }
}

#[async_trait]
impl Controller for GroupContents {
    type Seen = ObservedGroupContent;
    type Memory = ();
    type Step = Step;
    type Answer = Answer;

    fn observe(&self, key: &ObjectKey) -> Option<ObservedGroupContent> {
        self.0.groups.content(key)
    }

    fn uid<'a>(&self, seen: &'a ObservedGroupContent) -> &'a str {
        uid(&*seen.content)
    }

    fn reference(&self, seen: &ObservedGroupContent) -> ObjectReference {
        seen.content.object_ref(&())
    }

    fn plan(
        &self,
        seen: &ObservedGroupContent,
        _past: &Past<()>,
        run: &Run<Answer>,
        _now: Timestamp,
    ) -> Plan {
        let Some(Answer::Group(read)) = run.answers.last() else {
            return content::plan(seen);
        };
        content::plan(&ObservedGroupContent {
            group: read.clone().map_or(Lookup::Absent, Lookup::Found),
            is_read: true,
            ..seen.clone()
        })
    }

    async fn take(
        &self,
        seen: &ObservedGroupContent,
        step: &Step,
        _run: &Run<Answer>,
    ) -> Result<Option<Answer>, Failure> {
        let around = Around {
            group: None,
            content: Some(&seen.content),
        };
        self.0.executor.take(&around, step).await
    }

    fn refusal_reason(&self, step: &Step) -> &'static str {
        refusal_reason(step)
    }

    fn driver<'a>(&'a self, seen: &'a ObservedGroupContent) -> &'a str {
        &seen.content.spec.driver
    }
}

fn uid<K: Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}
