//! The metadata labeler: keeps on each Node how many network interfaces its instance has, and how many volumes besides the
//! root that no PersistentVolume stands for. Node services that cannot ask the metadata service go by these labels.
//! Source: spec 4.9, Q35; cases 149, 150.
//!
//! ```text
//! every hour all nodes, new ones at once -> DescribeInstances by filter -> labels that differ: one merge patch each
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use kube::Client;
use runtime::objects::Volume;
use runtime::{Cache, ObjectKey, Selection as Watched, Watches, Writer, migration};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::objects::NodeView;
use crate::deadline::Deadline;
use crate::ec2::Instances;
use crate::ec2::errors::Ec2Error;
use crate::ec2::lookups::MAX_FILTER_VALUES;
use crate::ec2::types::{Instance, Selection};
use crate::names::DRIVER;
use crate::node::metadata::kubernetes::{LABELER_INTERFACES, LABELER_VOLUMES, instance_id};

/// Upstream's lease.
pub const LEASE: &str = "metadata-labeler-ebs-csi-aws-com";
/// How often all nodes are looked at.
const PERIOD: Duration = Duration::from_secs(3600);
/// When what failed is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// New nodes of this time are looked up together.
const GATHER: Duration = Duration::from_secs(1);
/// Patches under way at once.
const WORKERS: usize = 10;
/// How long a lookup may take.
const LOOKUP: Duration = Duration::from_secs(60);

/// What the labels say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counts {
    /// Network interfaces.
    pub interfaces: usize,
    /// Volumes besides the root that are none of Kubernetes'.
    pub volumes: usize,
}

impl Counts {
    /// Of an instance; `managed` are the volumes that a PersistentVolume stands for.
    #[must_use]
    pub fn of(instance: &Instance, managed: &BTreeSet<String>) -> Self {
        let volumes = instance
            .mappings
            .iter()
            .filter_map(|mapping| mapping.volume_id.as_ref());
        let others = volumes.filter(|id| !managed.contains(*id)).count();
        Self {
            interfaces: instance.interfaces,
            volumes: others.saturating_sub(1),
        }
    }

    fn labels(self) -> [(&'static str, String); 2] {
        [
            (LABELER_INTERFACES, self.interfaces.to_string()),
            (LABELER_VOLUMES, self.volumes.to_string()),
        ]
    }

    /// Whether a node has these labels.
    fn stand_on(self, node: &NodeView) -> bool {
        let labels = node.metadata.labels.as_ref();
        self.labels()
            .iter()
            .all(|(key, value)| labels.and_then(|labels| labels.get(*key)) == Some(value))
    }
}

/// The instance of a node, where it is one of EC2's own.
fn instance_of(node: &NodeView) -> Option<String> {
    instance_id(node.provider_id.as_deref()?).filter(|id| id.starts_with("i-"))
}

fn uid(node: &NodeView) -> String {
    node.metadata.uid.clone().unwrap_or_default()
}

/// Labels the nodes of a cluster.
pub struct Labeler {
    client: Client,
    ec2: Arc<dyn Instances>,
    nodes: Cache<NodeView>,
    volumes: Cache<Volume>,
    added: Arc<Notify>,
    _subscription: runtime::Subscription,
    /// The caches are followed while it lives.
    _watches: Watches,
}

impl Labeler {
    /// Over these caches. Asks nothing yet.
    #[must_use]
    pub fn new(client: Client, ec2: Arc<dyn Instances>, watches: Watches) -> Self {
        let nodes: Cache<NodeView> = watches.cache(Watched::default());
        let is_of_ebs = |volume: &Volume| migration::driver_of(volume) == Some(DRIVER);
        let added = Arc::new(Notify::new());
        let told = added.clone();
        Self {
            client,
            ec2,
            volumes: watches.cache_keeping("of EBS", is_of_ebs),
            _subscription: nodes.subscribe(move |change| {
                if change.old.is_none() {
                    told.notify_one();
                }
            }),
            nodes,
            added,
            _watches: watches,
        }
    }

    /// Labels until it is dropped.
    pub async fn run(&self) {
        self.nodes.synced().await;
        self.volumes.synced().await;
        let mut done: BTreeSet<String> = BTreeSet::new();
        let mut next = Instant::now();
        loop {
            if Instant::now() >= next {
                done.clear();
                next = Instant::now() + PERIOD;
            }
            let nodes = self.nodes.all();
            let there: BTreeSet<String> = nodes.iter().map(|node| uid(node)).collect();
            done.retain(|uid| there.contains(uid));
            let todo: Vec<Arc<NodeView>> = nodes
                .into_iter()
                .filter(|node| !done.contains(&uid(node)))
                .collect();
            let asked = todo.len();
            let labelled = self.label(todo).await;
            let has_failed = labelled.len() < asked;
            done.extend(labelled);
            let again = if has_failed {
                next.min(Instant::now() + RETRY)
            } else {
                next
            };
            self.wait(&there, again).await;
        }
    }

    /// Until there is a node besides those that were looked at, or it is time.
    async fn wait(&self, looked_at: &BTreeSet<String>, until: Instant) {
        let is_new = |node: &Arc<NodeView>| !looked_at.contains(&uid(node));
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(until) => return,
                () = self.added.notified() => {}
            }
            if self.nodes.all().iter().any(is_new) {
                tokio::time::sleep(GATHER).await;
                return;
            }
        }
    }

    /// Labels these nodes; the UIDs of those with which there is nothing left to do.
    async fn label(&self, nodes: Vec<Arc<NodeView>>) -> Vec<String> {
        let handles = self.volumes.all().into_iter();
        let managed =
            handles.filter_map(|volume| Some(migration::source_of(&volume).ok()?.volume_handle.clone()));
        let managed: BTreeSet<String> = managed.collect();
        let mut done = Vec::new();
        let mut of_ec2 = Vec::new();
        for node in nodes {
            match instance_of(&node) {
                Some(instance) => of_ec2.push((instance, uid(&node), node)),
                // Not told yet: looked at again after a minute.
                None if node.provider_id.is_none() => {}
                // A machine of another cloud, or none that EC2 knows by its ID.
                None => done.push(uid(&node)),
            }
        }
        for chunk in of_ec2.chunks(MAX_FILTER_VALUES) {
            let ids = chunk.iter().map(|(instance, ..)| instance.clone()).collect();
            match self.instances(ids).await {
                Ok(found) => done.extend(self.write(chunk, &found, &managed).await),
                Err(error) => {
                    tracing::warn!(%error, "the instances of nodes cannot be looked up; trying again")
                }
            }
        }
        done
    }

    async fn instances(&self, ids: Vec<String>) -> Result<Vec<Instance>, Ec2Error> {
        // By filter, which leaves out what EC2 does not know: one odd node concerns no other (Q35).
        let selection = Selection::FilteredIds(ids);
        self.ec2
            .describe_instances(&selection, Deadline::within(LOOKUP))
            .await
    }

    /// The UIDs of the nodes that have their labels now.
    async fn write(
        &self,
        nodes: &[(String, String, Arc<NodeView>)],
        found: &[Instance],
        managed: &BTreeSet<String>,
    ) -> Vec<String> {
        let mut done = Vec::new();
        let mut patches: Vec<BoxFuture<'_, Option<String>>> = Vec::new();
        for (id, uid, node) in nodes {
            let instance = found.iter().find(|instance| instance.id == *id);
            match instance.map(|instance| Counts::of(instance, managed)) {
                None => {
                    tracing::info!(
                        instance = id,
                        "EC2 does not know the instance of a node; it gets no labels"
                    );
                    done.push(uid.clone());
                }
                Some(counts) if counts.stand_on(node) => done.push(uid.clone()),
                Some(counts) => patches.push(self.patch(node, uid, counts).boxed()),
            }
        }
        let written: Vec<Option<String>> = stream::iter(patches).buffer_unordered(WORKERS).collect().await;
        done.extend(written.into_iter().flatten());
        done
    }

    async fn patch(&self, node: &NodeView, uid: &str, counts: Counts) -> Option<String> {
        let writer: Writer<NodeView> = Writer::new(&self.client, DRIVER);
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let labels = counts.labels().map(|(key, value)| (key.to_owned(), json!(value)));
        let labels: serde_json::Map<_, _> = labels.into_iter().collect();
        let patch = json!({"metadata": {"uid": uid, "labels": labels}});
        match writer.patch_merge(&ObjectKey::cluster(name), &patch).await {
            Ok(written) => {
                self.nodes.record(written);
                Some(uid.to_owned())
            }
            Err(error) => {
                tracing::warn!(node = name, %error, "a node cannot be labelled; trying again");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec2::types::{AttachmentState, Mapping};

    #[test]
    fn ebs_case_149_what_kubernetes_does_not_know_is_counted_but_for_the_root() {
        let managed = BTreeSet::from(["vol-pv".to_owned(), "vol-elsewhere".to_owned()]);
        let counts = |volumes: &[Option<&str>]| {
            let mapping = |id: &Option<&str>| Mapping {
                device: "/dev/xvda".to_owned(),
                volume_id: id.map(str::to_owned),
                state: AttachmentState::Attached,
                card: None,
            };
            let instance = Instance {
                interfaces: 3,
                mappings: volumes.iter().map(mapping).collect(),
                ..Instance::default()
            };
            Counts::of(&instance, &managed)
        };
        for (volumes, expected) in [
            (&[][..], 0),
            (&[Some("vol-root")], 0),
            (&[Some("vol-root"), Some("vol-pv"), None], 0),
            (&[Some("vol-root"), Some("vol-pv"), Some("vol-by-hand")], 1),
        ] {
            assert_eq!(
                counts(volumes),
                Counts {
                    interfaces: 3,
                    volumes: expected
                },
                "{volumes:?}"
            );
        }
    }

    #[test]
    fn only_instances_of_ec2_are_looked_up() {
        let of = |provider: &str| {
            instance_of(&NodeView {
                provider_id: Some(provider.to_owned()),
                ..NodeView::default()
            })
        };
        assert_eq!(of("aws:///us-east-1a/i-01").as_deref(), Some("i-01"));
        assert_eq!(of("aws:///us-east-1a/hyperpod-a-i-01"), None);
        assert_eq!(of("gce://project/zone/name"), None);
        assert_eq!(instance_of(&NodeView::default()), None);
    }
}
