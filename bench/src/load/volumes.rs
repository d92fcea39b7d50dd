//! Volumes that are made for claims, attached, detached and deleted. The user stands for the scheduler and the attach-detach
//! controller too.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use http::Method;
use serde_json::Value;

use super::objects::{self, ATTACHMENTS, CLAIMS, VOLUMES};
use super::{Items, Load, Seen, Timing};

impl Load {
    /// A node for each of these instances.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn nodes(&self, instances: &[String]) -> anyhow::Result<()> {
        for (index, instance) in instances.iter().enumerate() {
            for (path, object) in objects::node(index, instance) {
                self.send(Method::POST, path, &object).await?;
            }
        }
        Ok(())
    }

    /// `count` claims without a volume, until they are bound to one.
    ///
    /// # Errors
    /// What the API server refuses, or nothing happening for two minutes.
    pub async fn dynamic_claims(&self, count: usize) -> anyhow::Result<Timing> {
        let create = |index| async move {
            let claim = objects::dynamic_claim(index, self.block);
            self.send(Method::POST, CLAIMS, &claim).await.map(drop)
        };
        self.drive("claims bound", CLAIMS, count, create, |seen| {
            seen.status("/phase") == "Bound"
        })
        .await
    }

    /// The volume of each of the first `count` claims to a node, until it is attached.
    ///
    /// # Errors
    /// As above.
    pub async fn attachments(&self, count: usize) -> anyhow::Result<Timing> {
        let volumes = &self.volumes(count).await?;
        let nodes = self.list(objects::NODES).await?.len();
        let create = |index: usize| async move {
            let attachment = objects::attachment(index, &volumes[index], index % nodes);
            self.send(Method::POST, ATTACHMENTS, &attachment).await.map(drop)
        };
        self.drive("volumes attached", ATTACHMENTS, count, create, |seen| {
            seen.object.status.pointer("/attached") == Some(&Value::Bool(true))
        })
        .await
    }

    /// The attachments go again.
    ///
    /// # Errors
    /// As above.
    pub async fn detachments(&self, count: usize) -> anyhow::Result<Timing> {
        let delete = |index| async move {
            let path = format!("{ATTACHMENTS}/{}", objects::attachment_name(index));
            self.send(Method::DELETE, &path, &Value::Null).await.map(drop)
        };
        self.drive("volumes detached", ATTACHMENTS, count, delete, |seen| seen.gone)
            .await
    }

    /// The claims go, until their volumes are gone too.
    ///
    /// # Errors
    /// As above.
    pub async fn volume_deletions(&self, count: usize) -> anyhow::Result<Timing> {
        let volumes = self.volumes(count).await?;
        let numbers: BTreeMap<String, usize> = volumes.into_iter().zip(0..).collect();
        let items = Items {
            name: "volumes gone",
            path: VOLUMES,
            count,
            index: &|seen: &Seen| numbers.get(&seen.object.metadata.name).copied(),
        };
        let delete = |index| async move {
            let path = format!("{CLAIMS}/{}", objects::claim_name(index));
            self.send(Method::DELETE, &path, &Value::Null).await.map(drop)
        };
        self.drive_items(&items, delete, |seen| seen.gone).await
    }

    /// The names of the volumes of the first `count` claims.
    async fn volumes(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let claims = self.list(CLAIMS).await?;
        let name = |claim: &Value| claim["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let by_name: BTreeMap<String, &Value> = claims.iter().map(|claim| (name(claim), claim)).collect();
        let volume = |index: usize| {
            let claim = by_name.get(&objects::claim_name(index));
            let volume = claim.and_then(|claim| claim["spec"]["volumeName"].as_str());
            volume.map(str::to_owned).context("a claim has no volume")
        };
        (0..count).map(volume).collect()
    }

    /// All objects of a collection.
    async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let list = self.send(Method::GET, path, &Value::Null).await?;
        let mut list: Value = serde_json::from_str(&list)?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => bail!("{path} is no collection"),
        }
    }
}
