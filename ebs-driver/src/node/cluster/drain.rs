//! The pre-stop hook: a node that is drained keeps its node service until its volumes are detached. Source: spec 4.10,
//! Q29; case 92.

use std::sync::Arc;

use base::Random;
use kube::Client;
use runtime::{ApiErrorClass, ObjectKey, Watches, Writer};
use tokio::sync::Notify;

use super::objects::{AttachmentView, NodeView};
use crate::names::DRIVER;

/// Taints of nodes that are going away.
const DRAINED: [&str; 4] = [
    "node.kubernetes.io/unschedulable",
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
];

/// First pause after the Node could not be read, and the longest.
const PAUSES: [std::time::Duration; 2] = [
    std::time::Duration::from_millis(500),
    std::time::Duration::from_secs(10),
];

/// Returns when no volume of the driver is attached to the node of this name; at once unless the node is drained or
/// gone. While the API server does not answer it is asked again: the pod's grace period is the limit.
pub async fn wait_until_detached(client: &Client, random: &Random, watches: &Watches, node: &str) {
    if !is_drained(client, random, node).await {
        tracing::info!(node, "the node is not drained; nothing to wait for");
        return;
    }
    let changed = Arc::new(Notify::new());
    let told = changed.clone();
    let cache = watches.cache::<AttachmentView>(runtime::Selection::default());
    let _subscription = cache.subscribe(move |_| told.notify_one());
    cache.synced().await;
    loop {
        let attached = cache.all();
        let left = attached
            .iter()
            .filter(|attachment| attachment.node == node && attachment.attacher == DRIVER)
            .count();
        if left == 0 {
            tracing::info!(node, "no volume is attached any more");
            return;
        }
        tracing::info!(node, left, "waiting for volumes to be detached");
        changed.notified().await;
    }
}

async fn is_drained(client: &Client, random: &Random, node: &str) -> bool {
    let nodes: Writer<NodeView> = Writer::new(client, DRIVER);
    let mut pause = PAUSES[0];
    loop {
        match nodes.get(&ObjectKey::cluster(node)).await {
            Ok(node) => return node.is_tainted(&DRAINED),
            Err(error) if error.class() == ApiErrorClass::NotFound => return true,
            Err(error) if error.class() == ApiErrorClass::Transient => {
                tracing::warn!(%error, "cannot read the node; trying again");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the node; not waiting");
                return false;
            }
        }
        tokio::time::sleep(random.jittered(pause, 0.2)).await;
        pause = (pause * 2).min(PAUSES[1]);
    }
}
