//! The external-attacher of one driver: serves VolumeAttachments by ControllerPublishVolume and
//! ControllerUnpublishVolume (spec sidecars 3.4, 3.5, 3.7).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::queue::{Backoff, QueueKey};
use base::{Clock, Random, Scope};
use csi::Channel;
use csi::v1::{ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest};
use serde_json::{Value, json};

use super::csi_volume::{CsiVolume, secret};
use super::worker::{self, Patience, Worker};
use super::{
    ATTACHMENTS, DRIVER_NODES, VOLUMES, attempt, has_finalizer, is_deleting, is_gone, items,
    remove_finalizer, set, text,
};
use crate::kube::{Change, GroupResource, Store};

const NODE_ID: &str = "csi.alpha.kubernetes.io/node-id";
/// `--timeout` of the chart.
const TIMEOUT: Duration = Duration::from_secs(360);
/// How long to wait for something that no change tells.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the attacher looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    Attachment(String),
    Volume(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attachment(name) | Self::Volume(name) => f.write_str(name),
        }
    }
}

impl QueueKey for Key {
    fn fairness_key(&self) -> String {
        String::new()
    }
}

/// Why an attachment failed.
struct Failure {
    message: String,
    code: Option<i32>,
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self { message, code: None }
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        Self {
            message: csi::status::error_text(&status),
            code: Some(status.code().into()),
        }
    }
}

/// The external-attacher.
pub(super) struct Attacher {
    store: Store,
    driver: String,
    channel: Channel,
    clock: Clock,
    random: Random,
    patience: Mutex<BTreeMap<String, Patience>>,
}

impl Attacher {
    pub(super) fn start(
        store: Store,
        driver: String,
        channel: Channel,
        scope: &Scope,
        clock: Clock,
        random: Random,
    ) {
        let name = format!("attacher-{driver}");
        let attacher = Self {
            store,
            driver,
            channel,
            clock: clock.clone(),
            random: random.fork(),
            patience: Mutex::default(),
        };
        worker::start(Arc::new(attacher), &name, scope, clock, random);
    }

    /// `external-attacher/ebs-csi-aws-com`, on volumes and attachments.
    fn finalizer(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        format!(
            "external-attacher/{}",
            self.driver.chars().map(plain).collect::<String>()
        )
    }

    fn with_patience<T>(&self, name: &str, act: impl FnOnce(&mut Patience) -> T) -> T {
        let mut all = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        act(all.entry(name.to_owned()).or_default())
    }

    async fn attachment(&self, name: &str) -> Option<Duration> {
        let Some(attachment) = self.store.get(ATTACHMENTS, "", name) else {
            let mut all = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
            all.remove(name);
            return None;
        };
        let attachment = attachment.value();
        let deleting = is_deleting(attachment);
        let idle = if deleting {
            !has_finalizer(attachment, &self.finalizer())
        } else {
            attachment["status"]["attached"] == true
        };
        if text(attachment, "/spec/attacher") != self.driver || idle {
            return None;
        }
        if let Some(left) = self.with_patience(name, |patience| patience.left()) {
            return Some(left);
        }
        let outcome = if deleting {
            self.detach(attachment).await
        } else {
            self.attach(attachment).await
        };
        match outcome {
            Ok(()) => {
                self.with_patience(name, Patience::succeeded);
                None
            }
            Err(failure) => {
                let field = if deleting { "detachError" } else { "attachError" };
                self.note(name, field, failure);
                let backoff = Backoff::default();
                Some(self.with_patience(name, |patience| patience.failed(&backoff, &self.random)))
            }
        }
    }

    fn note(&self, name: &str, field: &str, failure: Failure) {
        let now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut error = json!({"message": failure.message, "time": now});
        if let Some(code) = failure.code.filter(|_| field == "attachError") {
            error["errorCode"] = json!(code);
        }
        attempt(self.store.update_status(ATTACHMENTS, "", name, |attachment| {
            if attachment["status"].get("attached").is_none() {
                set(attachment, "/status", "attached", json!(false));
            }
            set(attachment, "/status", field, error);
        }));
    }

    fn source(&self, attachment: &Value) -> Result<(Value, CsiVolume), Failure> {
        let name = text(attachment, "/spec/source/persistentVolumeName");
        let volume = self.store.get(VOLUMES, "", name);
        let volume = volume.ok_or_else(|| format!("persistentvolume \"{name}\" not found"))?;
        let source = CsiVolume::of(volume.value());
        let source = source.ok_or_else(|| "cannot find NodeID or CSI volume source".to_owned())?;
        Ok((volume.value().clone(), source))
    }

    /// The driver's ID of a node, from its CSINode.
    fn node_id(&self, node: &str) -> Option<String> {
        let node = self.store.get(DRIVER_NODES, "", node)?;
        let mut drivers = items(node.value(), "/spec/drivers").iter();
        let own = drivers.find(|driver| text(driver, "/name") == self.driver)?;
        Some(text(own, "/nodeID").to_owned())
    }

    async fn attach(&self, attachment: &Value) -> Result<(), Failure> {
        let (name, node) = (
            text(attachment, "/metadata/name"),
            text(attachment, "/spec/nodeName"),
        );
        let (volume, source) = self.source(attachment)?;
        if is_deleting(&volume) {
            return Err(format!("PersistentVolume \"{}\" is marked for deletion", source.name).into());
        }
        self.keep(VOLUMES, &source.name, None);
        let secrets = secret(&self.store, &volume, "controllerPublishSecretRef")?;
        let missing = || format!("CSINode {node} does not contain driver {}", self.driver);
        let node_id = self.node_id(node).ok_or_else(missing)?;
        self.keep(ATTACHMENTS, name, Some(&node_id));
        let request = ControllerPublishVolumeRequest {
            volume_id: source.handle.clone(),
            node_id,
            volume_capability: Some(source.capability(false)),
            readonly: false,
            secrets,
            volume_context: source.attributes.clone(),
        };
        let request = csi::channel::request(request, TIMEOUT);
        let answer = self
            .channel
            .controller()
            .controller_publish_volume(request)
            .await?;
        let context = answer.into_inner().publish_context;
        attempt(self.store.update_status(ATTACHMENTS, "", name, |attachment| {
            attachment["status"] = json!({"attached": true});
            if !context.is_empty() {
                attachment["status"]["attachmentMetadata"] = json!(context);
            }
        }));
        Ok(())
    }

    /// Adds the finalizer and, on attachments, the node ID.
    fn keep(&self, resource: GroupResource<'_>, name: &str, node_id: Option<&str>) {
        let finalizer = self.finalizer();
        attempt(self.store.update(resource, "", name, |object| {
            if !has_finalizer(object, &finalizer) && !is_deleting(object) {
                let mut finalizers = items(object, "/metadata/finalizers").to_vec();
                finalizers.push(json!(finalizer));
                set(object, "/metadata", "finalizers", Value::Array(finalizers));
            }
            if let Some(node_id) = node_id {
                set(object, "/metadata/annotations", NODE_ID, json!(node_id));
            }
        }));
    }

    async fn detach(&self, attachment: &Value) -> Result<(), Failure> {
        let (name, node) = (
            text(attachment, "/metadata/name"),
            text(attachment, "/spec/nodeName"),
        );
        let (volume, source) = self.source(attachment)?;
        let secrets = secret(&self.store, &volume, "controllerPublishSecretRef")?;
        let noted = attachment["metadata"]["annotations"][NODE_ID].as_str();
        let node_id = self.node_id(node).or_else(|| noted.map(str::to_owned));
        let request = ControllerUnpublishVolumeRequest {
            volume_id: source.handle,
            node_id: node_id.ok_or_else(|| format!("cannot find the node ID of {node}"))?,
            secrets,
        };
        let request = csi::channel::request(request, TIMEOUT);
        self.channel
            .controller()
            .controller_unpublish_volume(request)
            .await?;
        let finalizer = self.finalizer();
        attempt(self.store.update(ATTACHMENTS, "", name, |attachment| {
            remove_finalizer(attachment, &finalizer);
        }));
        if self.store.get(ATTACHMENTS, "", name).is_some() {
            let detached = |attachment: &mut Value| attachment["status"] = json!({"attached": false});
            attempt(self.store.update_status(ATTACHMENTS, "", name, detached));
        }
        Ok(())
    }

    /// A volume that is being deleted is let go once nothing has it attached.
    fn volume(&self, name: &str) -> Option<Duration> {
        let volume = self.store.get(VOLUMES, "", name)?;
        let finalizer = self.finalizer();
        if !is_deleting(volume.value()) || !has_finalizer(volume.value(), &finalizer) {
            return None;
        }
        let attachments = self.store.list(ATTACHMENTS, None);
        let of_volume = |attachment: &Value| text(attachment, "/spec/source/persistentVolumeName") == name;
        if attachments.iter().any(|attachment| of_volume(attachment.value())) {
            return Some(LOOK_AGAIN);
        }
        attempt(self.store.update(VOLUMES, "", name, |volume| {
            remove_finalizer(volume, &finalizer);
        }));
        None
    }
}

#[async_trait]
impl Worker for Attacher {
    type Key = Key;

    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![DRIVER_NODES, VOLUMES, ATTACHMENTS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&self, change: &Change) -> Vec<Key> {
        let object = change.object.value();
        let name = change.object.name().to_owned();
        match text(object, "/kind") {
            "VolumeAttachment" => {
                let volume = text(object, "/spec/source/persistentVolumeName").to_owned();
                let of_volume = is_gone(change).then_some(Key::Volume(volume));
                [Key::Attachment(name)].into_iter().chain(of_volume).collect()
            }
            "PersistentVolume" => vec![Key::Volume(name)],
            _ => Vec::new(),
        }
    }

    async fn work(&self, key: &Key) -> Option<Duration> {
        match key {
            Key::Attachment(name) => self.attachment(name).await,
            Key::Volume(name) => self.volume(name),
        }
    }
}
