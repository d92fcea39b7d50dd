//! The classes and places that capacity is published for, looked at anew when nodes or classes change: once for many changes.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use controller::{Failure, Past, Plan, Run};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use runtime::objects::NodeLabels;
use runtime::{Cache, ObjectKey};

use super::ledger::Refresh;
use super::segments::{self, Segment};
use crate::events;

/// The one key of the queue.
pub(crate) const ALL: &str = "all";

/// Where the driver is.
#[derive(Clone)]
pub(crate) enum Whereabouts {
    /// On the nodes of the cluster.
    Cluster {
        labels: Cache<NodeLabels>,
        drivers: Cache<CSINode>,
    },
    /// On one node, which has these labels.
    Node(Segment),
}

/// Keeps what is wanted up to date.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) classes: Cache<StorageClass>,
    pub(crate) whereabouts: Whereabouts,
    pub(crate) driver: String,
    /// `--capacity-for-immediate-binding`.
    pub(crate) immediate: bool,
    pub(crate) refresh: Refresh,
}

/// What is wanted now.
pub(crate) struct Seen(BTreeMap<ObjectKey, Segment>);

impl Places {
    /// What is wanted now.
    pub(crate) fn wanted(&self) -> BTreeMap<ObjectKey, Segment> {
        let segments = match &self.whereabouts {
            Whereabouts::Node(segment) => BTreeSet::from([segment.clone()]),
            Whereabouts::Cluster { labels, drivers } => {
                let (labels, drivers) = (labels.all(), drivers.all());
                let nodes = labels
                    .iter()
                    .filter_map(|node| Some((node.metadata.name.as_deref()?, &node.labels)))
                    .collect();
                segments::segments(&self.driver, drivers.iter().map(|node| &**node), &nodes)
            }
        };
        let classes = self.classes.all();
        let classes = classes.iter().map(|class| &**class);
        segments::wanted(classes, &segments, &self.driver, self.immediate)
    }
}

#[async_trait]
impl controller::Controller for Places {
    type Seen = Seen;
    type Memory = ();
    type Step = ();
    type Answer = ();

    fn observe(&self, _: &ObjectKey) -> Option<Seen> {
        Some(Seen(self.wanted()))
    }

    fn uid<'a>(&self, _: &'a Seen) -> &'a str {
        ""
    }

    fn reference(&self, _: &Seen) -> ObjectReference {
        ObjectReference::default()
    }

    fn plan(&self, _: &Seen, _: &Past<()>, _: &Run<()>, _: Timestamp) -> Plan<(), ()> {
        Plan::resting(()).step(())
    }

    async fn take(&self, seen: &Seen, (): &(), _: &Run<()>) -> Result<Option<()>, Failure> {
        let changed = self.refresh.ledger.want(seen.0.clone());
        self.refresh.enqueue(changed);
        Ok(None)
    }

    fn refusal_reason(&self, (): &()) -> &'static str {
        events::NOT_PUBLISHED
    }
}
