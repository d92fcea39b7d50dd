//! VolumeAttachment, trimmed.

use std::collections::BTreeMap;

use k8s_openapi::api::storage::v1::VolumeAttachment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::{Deserialize, Deserializer};

use super::Volume;
use super::metadata::{FromEntries, Metadata};
use super::volume::{WireSpec, or_default};

/// Annotation that holds what the driver calls the node: ControllerPublishVolume was called with it.
pub const NODE_ID: &str = "csi.alpha.kubernetes.io/node-id";
/// Annotation that holds what the driver calls the volume. Ours: a volume whose object is gone can be detached by it.
pub const VOLUME_HANDLE: &str = "slackwater.io/volume-handle";
/// Index of attachments by the name of their volume.
const BY_VOLUME: &str = "volume";

/// A VolumeAttachment with the fields that our controllers read. It exists until the driver has confirmed the detachment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attachment {
    /// Name, UID, version, deletion and finalizers; everything else is left out.
    pub metadata: ObjectMeta,
    /// `spec.attacher`: the driver.
    pub attacher: String,
    /// `spec.nodeName`.
    pub node: String,
    /// `spec.source.persistentVolumeName`.
    pub volume: Option<String>,
    /// `spec.source.inlineVolumeSpec`: the volume of a pod without a claim, as a volume without a name.
    pub inline: Option<Box<Volume>>,
    /// Annotation [`NODE_ID`].
    pub node_id: Option<Box<str>>,
    /// Annotation [`VOLUME_HANDLE`].
    pub volume_handle: Option<Box<str>>,
    /// `status`; none before the first one.
    pub status: Option<AttachmentStatus>,
}

/// `status` of a VolumeAttachment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttachmentStatus {
    /// The volume is attached.
    pub attached: bool,
    /// `attachmentMetadata`: what the driver wants its node service to know.
    #[serde(deserialize_with = "or_default")]
    pub attachment_metadata: BTreeMap<String, String>,
    /// The last error of an attachment.
    pub attach_error: Option<AttachmentError>,
    /// The last error of a detachment.
    pub detach_error: Option<AttachmentError>,
}

/// `attachError` and `detachError` of a status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttachmentError {
    /// For the user.
    #[serde(deserialize_with = "or_default")]
    pub message: String,
    /// When it was written.
    pub time: Option<Time>,
    /// The code of the driver.
    pub error_code: Option<i32>,
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata<Annotations>,
    spec: Spec,
    #[serde(default)]
    status: Option<AttachmentStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    attacher: String,
    node_name: String,
    source: Source,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    #[serde(default)]
    persistent_volume_name: Option<String>,
    #[serde(default)]
    inline_volume_spec: Option<WireSpec>,
}

#[derive(Default)]
struct Annotations {
    node_id: Option<Box<str>>,
    volume_handle: Option<Box<str>>,
}

impl FromEntries for Annotations {
    fn take(&mut self, key: &str, value: &str) {
        match key {
            NODE_ID => self.node_id = Some(value.into()),
            VOLUME_HANDLE => self.volume_handle = Some(value.into()),
            _ => {}
        }
    }
}

impl<'de> Deserialize<'de> for Attachment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let Metadata {
            metadata,
            annotations,
            ..
        } = wire.metadata;
        let source = wire.spec.source;
        Ok(Self {
            metadata,
            attacher: wire.spec.attacher,
            node: wire.spec.node_name,
            volume: source.persistent_volume_name,
            inline: source.inline_volume_spec.map(|spec| Box::new(Volume::of(spec))),
            node_id: annotations.node_id,
            volume_handle: annotations.volume_handle,
            status: wire.status,
        })
    }
}

impl Attachment {
    /// Whether the driver has confirmed the attachment.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.attached)
    }

    /// It was deleted, and waits until the driver has confirmed the detachment.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

crate::part_of!(Attachment, VolumeAttachment);

impl crate::Cache<Attachment> {
    /// Finds attachments by their volume from now on.
    ///
    /// # Errors
    /// Another index has that name.
    pub fn index_by_volume(&self) -> Result<(), crate::cache::IndexTaken> {
        self.index(BY_VOLUME, |attachment| {
            attachment.volume.iter().cloned().collect()
        })
    }

    /// The attachments of a volume, whoever's they are. Needs [`Self::index_by_volume`].
    #[must_use]
    pub fn of_volume(&self, volume: &str) -> Vec<std::sync::Arc<Attachment>> {
        self.indexed(BY_VOLUME, volume)
    }

    /// Whether a volume has any attachment, whoever's it is. Needs [`Self::index_by_volume`].
    #[must_use]
    pub fn attaches(&self, volume: &str) -> bool {
        self.has(BY_VOLUME, volume)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attachment_keeps_the_fields_that_are_read() {
        let attachment: Attachment = serde_json::from_value(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
            "metadata": {
                "name": "csi-1", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"},
                "annotations": {
                    "csi.alpha.kubernetes.io/node-id": "i-1", "slackwater.io/volume-handle": "vol-1", "c": "d",
                },
            },
            "spec": {
                "attacher": "ebs.csi.aws.com", "nodeName": "n", "source": {"persistentVolumeName": "pv-1"},
            },
            "status": {
                "attached": true, "attachmentMetadata": {"devicePath": "/dev/xvdaa"},
                "attachError": {"message": "no", "time": "2026-01-01T00:00:00Z", "errorCode": 8},
            },
        }))
        .unwrap();
        assert_eq!(attachment.attacher, "ebs.csi.aws.com");
        assert_eq!(
            (attachment.node.as_str(), attachment.volume.as_deref()),
            ("n", Some("pv-1"))
        );
        assert_eq!(attachment.node_id.as_deref(), Some("i-1"));
        assert_eq!(attachment.volume_handle.as_deref(), Some("vol-1"));
        assert!(attachment.is_attached() && !attachment.is_terminating());
        let status = attachment.status.unwrap();
        assert_eq!(status.attachment_metadata["devicePath"], "/dev/xvdaa");
        let error = status.attach_error.unwrap();
        assert_eq!((error.message.as_str(), error.error_code), ("no", Some(8)));
        assert_eq!(status.detach_error, None);
        assert_eq!(attachment.metadata.labels, None);
    }

    #[test]
    fn an_inline_volume_is_a_volume_without_a_name() {
        let attachment: Attachment = serde_json::from_value(json!({
            "metadata": {"name": "csi-1"},
            "spec": {
                "attacher": "d", "nodeName": "n",
                "source": {"inlineVolumeSpec": {
                    "csi": {"driver": "d", "volumeHandle": "vol-1"}, "accessModes": ["ReadWriteOnce"],
                }},
            },
            "status": {"attached": false, "attachmentMetadata": null},
        }))
        .unwrap();
        let inline = attachment.inline.clone().unwrap();
        assert_eq!(inline.csi.unwrap().volume_handle, "vol-1");
        assert!(inline.access_modes.read_write_once && inline.metadata.name.is_none());
        assert_eq!(attachment.status, Some(AttachmentStatus::default()));
    }
}
