//! Volumes that are made for claims, attached, detached and deleted. The user stands for the
//! attach-detach controller too, and for the volume controller where it is the binder.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use futures::stream;
use http::Method;
use serde_json::{Value, json};

use super::objects::{self, ATTACHMENTS, CLAIMS, VOLUMES};
use super::{Binder, Items, Load, Seen, Timing};

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

    /// `count` claims without a volume, until they are bound to one; until it is there, where the user binds.
    ///
    /// # Errors
    /// What the API server refuses, or nothing happening for two minutes.
    pub async fn dynamic_claims(&self, count: usize, binder: Binder) -> anyhow::Result<Timing> {
        let create = |index| async move {
            let claim = objects::dynamic_claim(index, self.block, binder == Binder::User);
            self.send(Method::POST, CLAIMS, &claim).await.map(drop)
        };
        if binder == Binder::Cluster {
            let is_bound = |seen: &Seen| seen.status("/phase") == "Bound";
            return self.drive("claims bound", CLAIMS, count, create, is_bound).await;
        }
        let items = Items {
            name: "volumes made",
            path: VOLUMES,
            count,
            index: &Seen::claim_index,
        };
        self.drive_items(&items, create, |_| true).await
    }

    /// Binds the volumes that were made, as a user does where nobody else binds.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn bind_all(&self) -> anyhow::Result<()> {
        let volumes = self.list(VOLUMES).await?;
        let made = |volume: &&Value| volume["spec"]["csi"]["driver"] == objects::DRIVER;
        let mut bindings = stream::iter(volumes.iter().filter(made))
            .map(|volume| self.bind_made(volume))
            .buffer_unordered(self.concurrency);
        while let Some(bound) = bindings.next().await {
            bound?;
        }
        Ok(())
    }

    /// Binds a volume to the claim that it was made for.
    async fn bind_made(&self, volume: &Value) -> anyhow::Result<()> {
        let claim = volume["spec"]["claimRef"]["name"].as_str().unwrap_or_default();
        let named = json!({"spec": {"volumeName": volume["metadata"]["name"]}});
        self.send(Method::PATCH, &format!("{CLAIMS}/{claim}"), &named)
            .await?;
        self.tell_bound(volume).await
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
    pub async fn volume_deletions(&self, count: usize, binder: Binder) -> anyhow::Result<Timing> {
        let volumes = &self.volumes(count).await?;
        let items = Items {
            name: "volumes gone",
            path: VOLUMES,
            count,
            index: &Seen::claim_index,
        };
        let delete = |index: usize| async move {
            let path = format!("{CLAIMS}/{}", objects::claim_name(index));
            self.send(Method::DELETE, &path, &Value::Null).await?;
            if binder == Binder::User {
                let released = json!({"status": {"phase": "Released"}});
                let path = format!("{VOLUMES}/{}/status", volumes[index]);
                self.send(Method::PATCH, &path, &released).await?;
            }
            Ok(())
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
