//! A watch, decoded to what the user looks at.

use anyhow::Context as _;
use base::Scope;
use futures::{TryStreamExt as _, pin_mut};
use http::Request;
use kube::core::WatchEvent;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

/// An object as far as the user looks at it.
#[derive(Clone, Debug, Deserialize)]
pub struct Partial {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: Spec,
    #[serde(default)]
    pub status: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Of a volume.
    pub claim_ref: ClaimRef,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClaimRef {
    pub name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    #[serde(default)]
    pub name: String,
    pub resource_version: String,
}

/// A change of an object.
#[derive(Clone, Debug)]
pub struct Seen {
    pub object: Partial,
    pub gone: bool,
}

impl Seen {
    /// The number at the end of its name.
    pub fn index(&self) -> Option<usize> {
        number(&self.object.metadata.name)
    }

    /// The number of the claim of this volume.
    pub fn claim_index(&self) -> Option<usize> {
        number(&self.object.spec.claim_ref.name)
    }

    /// A text in its status; empty where there is none.
    pub fn status(&self, pointer: &str) -> &str {
        let value = self.object.status.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether a condition of this type is there.
    pub fn has_condition(&self, name: &str) -> bool {
        let conditions = self
            .object
            .status
            .pointer("/conditions")
            .and_then(Value::as_array);
        conditions.is_some_and(|all| all.iter().any(|condition| condition["type"] == name))
    }
}

/// The number at the end of a name.
fn number(name: &str) -> Option<usize> {
    name.rsplit_once('-')?.1.parse().ok()
}

/// The changes of the objects at a path, from a moment on.
pub struct Changes {
    receiver: mpsc::UnboundedReceiver<anyhow::Result<Seen>>,
    _scope: Scope,
}

impl Changes {
    /// Begins to follow; ends when dropped.
    pub async fn follow(client: &kube::Client, path: &'static str, scope: &Scope) -> anyhow::Result<Self> {
        let newest = Request::get(format!("{path}?limit=1")).body(Vec::new())?;
        let list: Partial = client
            .request(newest)
            .await
            .with_context(|| format!("listing {path}"))?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let (scope, client) = (scope.child(), client.clone());
        scope.spawn(async move {
            let mut version = list.metadata.resource_version;
            while !sender.is_closed() {
                if let Err(error) = watch(&client, path, &mut version, &sender).await {
                    let _ = sender.send(Err(error));
                    return;
                }
            }
        });
        Ok(Self {
            receiver,
            _scope: scope,
        })
    }

    /// The next change.
    pub async fn next(&mut self) -> anyhow::Result<Seen> {
        self.receiver.recv().await.context("the watch has ended")?
    }
}

/// One watch, until the server ends it.
async fn watch(
    client: &kube::Client,
    path: &str,
    version: &mut String,
    sender: &mpsc::UnboundedSender<anyhow::Result<Seen>>,
) -> anyhow::Result<()> {
    let uri = format!("{path}?watch=1&allowWatchBookmarks=true&resourceVersion={version}");
    let events = client
        .request_events::<Partial>(Request::get(uri).body(Vec::new())?)
        .await?;
    pin_mut!(events);
    while let Some(event) = events.try_next().await? {
        let (object, gone) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                continue;
            }
            WatchEvent::Error(status) => anyhow::bail!("watching {path}: {}", status.message),
        };
        version.clone_from(&object.metadata.resource_version);
        if sender.send(Ok(Seen { object, gone })).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
