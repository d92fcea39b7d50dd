//! Snapshots that are ready, as controllers have left them.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Load, SNAPSHOTS, objects, tell};

const CONTENTS: &str = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents";
const CUT_AT: &str = "2026-01-01T00:00:00Z";
const GIB: i64 = 1 << 30;

impl Load {
    /// So many snapshots of the first claims in turn, each ready and bound to its content: nobody has anything to do.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn settled(&self, count: usize, volumes: &[String]) -> anyhow::Result<()> {
        let (mut done, begun, mut told) = (0, Instant::now(), Instant::now());
        let mut creations = stream::iter(0..count)
            .map(|index| self.settle(index, index % volumes.len(), &volumes[index % volumes.len()]))
            .buffer_unordered(self.concurrency);
        while let Some(created) = creations.next().await {
            created?;
            done += 1;
            if told.elapsed() > Duration::from_secs(5) || done == count {
                let seconds = begun.elapsed().as_secs();
                tell(&format!("settled snapshots: {done} of {count} after {seconds} s"))?;
                told = Instant::now();
            }
        }
        Ok(())
    }

    async fn settle(&self, index: usize, claim: usize, volume: &str) -> anyhow::Result<()> {
        let snapshot = objects::settled_snapshot(index, claim);
        let created = self.send(Method::POST, SNAPSHOTS, &snapshot).await?;
        let created: Value = serde_json::from_str(&created)?;
        let metadata = &created["metadata"];
        let content = objects::settled_content(metadata, volume);
        let name = content["metadata"]["name"].as_str().unwrap_or_default();
        self.send(Method::POST, CONTENTS, &content).await?;
        let status = json!({"status": {
            "snapshotHandle": format!("snap-{index:017x}"),
            "creationTime": 1_767_225_600_000_000_000_i64,
            "restoreSize": GIB,
            "readyToUse": true,
        }});
        let path = format!("{CONTENTS}/{name}/status");
        self.send(Method::PATCH, &path, &status).await?;
        let status = json!({"status": {
            "boundVolumeSnapshotContentName": name,
            "creationTime": CUT_AT,
            "restoreSize": "1Gi",
            "readyToUse": true,
        }});
        let path = format!("{SNAPSHOTS}/{}/status", objects::snapshot_name(index));
        self.send(Method::PATCH, &path, &status).await.map(drop)
    }
}
