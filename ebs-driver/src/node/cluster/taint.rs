//! Takes the taint away that keeps pods off a node until its node service is registered. Source: spec 4.10; case 91.
//!
//! ```text
//! watch of the own Node ──> tainted? ── no ──> wait for a change
//!                              │ yes
//!                       GET CSINode: allocatable known? ── no ──> look again in 5 s
//!                              │ yes
//!                       JSON patch: test of the old list, replace by the new one
//! ```

use std::time::Duration;

use base::Random;
use k8s_openapi::api::storage::v1::CSINode;
use kube::Client;
use runtime::access::{Permission, may};
use runtime::json_patch::{Patch, PatchOperation, ReplaceOperation, TestOperation};
use runtime::{ApiError, ApiErrorClass, Cache, ObjectKey, Selection, Watches, Writer};
use serde_json::Value;
use tokio::time::Instant;

use super::objects::{NodeView, has_key};
use crate::names::DRIVER;

/// The key of the taint; its effect does not matter.
pub const AGENT_NOT_READY: &str = "ebs.csi.aws.com/agent-not-ready";

/// For how long after the start the taint is looked for.
const WATCHED: Duration = Duration::from_secs(600);
/// How often a tainted node is looked at while nothing is told of it.
const RESYNC: Duration = Duration::from_secs(5);
/// Pauses after a failed patch: 2 s, 3 s, 4.5 s ...
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const TRIES: u32 = 5;

/// Without the rights to read and change nodes there is nothing to do.
const NODES: [Permission; 3] = [
    Permission {
        verb: "list",
        group: "",
        resource: "nodes",
    },
    Permission {
        verb: "watch",
        group: "",
        resource: "nodes",
    },
    Permission {
        verb: "patch",
        group: "",
        resource: "nodes",
    },
];

/// Removes the start-up taint of one node.
pub struct TaintRemover {
    client: Client,
    random: Random,
    node: ObjectKey,
}

/// Why a round has not removed the taint.
enum Kept {
    /// Another look may help.
    ForNow,
    /// We are not allowed to.
    ForGood,
}

impl TaintRemover {
    /// For the node of this name. Asks nothing yet.
    #[must_use]
    pub fn new(client: Client, random: Random, node: &str) -> Self {
        Self {
            client,
            random,
            node: ObjectKey::cluster(node),
        }
    }

    /// Watches the node for ten minutes and takes the taint away whenever it is there and the driver is registered.
    /// Where the role does not allow it this ends without a word, as upstream does.
    pub async fn run(self, watches: Watches) {
        for permission in NODES {
            if !may(&self.client, &self.random, permission).await {
                tracing::info!("the role does not allow to take the start-up taint away; it is left alone");
                return;
            }
        }
        let selection = Selection::fields(format!("metadata.name={}", self.node.name));
        let cache: Cache<NodeView> = watches.cache(selection);
        let changed = std::sync::Arc::new(tokio::sync::Notify::new());
        let told = changed.clone();
        let _subscription = cache.subscribe(move |_| told.notify_one());
        cache.synced().await;
        let end = Instant::now() + WATCHED;
        loop {
            let node = cache.get(&self.node);
            let tainted = node.is_some_and(|node| node.is_tainted(&[AGENT_NOT_READY]));
            if tainted {
                match self.remove(&cache).await {
                    Ok(()) => continue,
                    Err(Kept::ForNow) => {}
                    Err(Kept::ForGood) => return,
                }
            }
            if Instant::now() >= end {
                return;
            }
            let next = if tainted {
                (Instant::now() + RESYNC).min(end)
            } else {
                end
            };
            tokio::select! {
                biased;
                () = changed.notified(), if !tainted => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Takes the taint away if the driver is registered.
    async fn remove(&self, cache: &Cache<NodeView>) -> Result<(), Kept> {
        if !self.is_registered().await? {
            return Err(Kept::ForNow);
        }
        let nodes: Writer<NodeView> = Writer::new(&self.client, DRIVER);
        let mut known = cache.get(&self.node).ok_or(Kept::ForNow)?.as_ref().clone();
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES {
            let Some(patch) = removal(&known.taints) else {
                return Ok(());
            };
            match nodes.patch_json(&self.node, patch).await {
                Ok(written) => {
                    cache.record(written);
                    tracing::info!(node = self.node.name, "took the start-up taint away");
                    return Ok(());
                }
                Err(error) => {
                    refused(&error)?;
                    tracing::warn!(%error, "the start-up taint could not be taken away; trying again");
                }
            }
            tokio::time::sleep(self.random.jittered(pause, 0.1)).await;
            pause = pause * 3 / 2;
            match nodes.get(&self.node).await {
                Ok(fresh) => known = cache.record(fresh).as_ref().clone(),
                Err(error) => refused(&error)?,
            }
        }
        Err(Kept::ForNow)
    }

    /// Whether the scheduler knows how many volumes the driver allows here.
    async fn is_registered(&self) -> Result<bool, Kept> {
        let nodes: Writer<CSINode> = Writer::new(&self.client, DRIVER);
        match nodes.get(&self.node).await {
            Ok(node) => Ok(node.spec.drivers.iter().any(|driver| {
                let allocatable = driver.allocatable.as_ref();
                driver.name == DRIVER && allocatable.is_some_and(|allocatable| allocatable.count.is_some())
            })),
            Err(error) => {
                refused(&error)?;
                if error.class() != ApiErrorClass::NotFound {
                    tracing::warn!(%error, "cannot read whether the driver is registered; looking again");
                }
                Ok(false)
            }
        }
    }
}

/// Ends everything when we are not allowed to.
fn refused(error: &ApiError) -> Result<(), Kept> {
    if error.class() == ApiErrorClass::Forbidden {
        tracing::info!(%error, "the role does not allow to take the start-up taint away; it is left alone");
        return Err(Kept::ForGood);
    }
    Ok(())
}

/// The patch that takes the taint away and nothing else; none when it is not there.
fn removal(taints: &[Value]) -> Option<Patch> {
    let kept: Vec<Value> = taints
        .iter()
        .filter(|taint| !has_key(taint, &[AGENT_NOT_READY]))
        .cloned()
        .collect();
    if kept.len() == taints.len() {
        return None;
    }
    let path = runtime::json_patch::jsonptr::PointerBuf::from_tokens(["spec", "taints"]);
    Some(Patch(vec![
        PatchOperation::Test(TestOperation {
            path: path.clone(),
            value: Value::from(taints.to_vec()),
        }),
        PatchOperation::Replace(ReplaceOperation {
            path,
            value: Value::from(kept),
        }),
    ]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_start_up_taint_is_removed() {
        let other = json!({"key": "dedicated", "value": "db", "effect": "NoSchedule"});
        let ours = json!({"key": AGENT_NOT_READY, "effect": "NoExecute"});
        let patch = removal(&[other.clone(), ours.clone()]).unwrap();
        assert_eq!(
            serde_json::to_value(&patch).unwrap(),
            json!([
                {"op": "test", "path": "/spec/taints", "value": [other, ours]},
                {"op": "replace", "path": "/spec/taints", "value": [other]},
            ])
        );
        assert_eq!(removal(&[other]), None);
        assert_eq!(removal(&[]), None);
    }
}
