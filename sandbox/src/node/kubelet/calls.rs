//! The calls of a driver's node service, and where its volumes are mounted.

use std::time::Duration;

use csi::v1::{
    CapacityRange, NodeExpandVolumeRequest, NodePublishVolumeRequest, NodeStageVolumeRequest,
    NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest,
};
use csi::{Class, Operation};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::Kubelet;
use super::plan::{Mounted, PodMount};
use super::registration::Driver;
use crate::actors::ATTACHMENTS;
use crate::actors::csi_volume::{CsiVolume, secret, strings};

const TIMEOUT: Duration = Duration::from_secs(120);

/// Why a call did not work.
#[derive(Debug)]
pub(super) enum Failure {
    /// The driver's answer.
    Driver(Status),
    /// It was not called.
    Before(String),
}

impl Failure {
    /// Whether the driver surely did nothing.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Driver(status) => {
                csi::classify_status(Operation::ExpandVolume, status) != Class::InProgress
            }
            Self::Before(_) => false,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Driver(status) => csi::status::error_text(status),
            Self::Before(text) => text.clone(),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Driver(status)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Before(text)
    }
}

/// A volume's object beside what is read of it.
pub(super) struct Subject<'a> {
    pub(super) object: &'a Value,
    pub(super) source: &'a CsiVolume,
    pub(super) driver: &'a Driver,
}

impl Kubelet {
    /// Where a volume is staged.
    pub(super) fn staging_path(&self, name: &str, mounted: &Mounted) -> String {
        let plugins = format!("{}/plugins/kubernetes.io/csi", self.node.root);
        if mounted.block {
            format!("{plugins}/volumeDevices/staging/{name}")
        } else {
            let digest = hex::encode(Sha256::digest(&mounted.handle));
            format!("{plugins}/{}/{digest}/globalmount", mounted.driver)
        }
    }

    /// Where a volume is published for a pod.
    pub(super) fn target_path(&self, name: &str, block: bool, uid: &str) -> String {
        let root = &self.node.root;
        match block {
            true => format!("{root}/plugins/kubernetes.io/csi/volumeDevices/publish/{name}/{uid}"),
            false => self.node.mount_path(uid, name),
        }
    }

    fn client(&self, driver: &str) -> Result<csi::v1::node_client::NodeClient<csi::Channel>, Failure> {
        let absent = || format!("driver name {driver} not found in the list of registered CSI drivers");
        let channel = self.node.drivers.get(driver).ok_or_else(absent)?;
        Ok(channel.node())
    }

    /// What ControllerPublishVolume answered.
    fn publish_context(&self, source: &CsiVolume) -> std::collections::BTreeMap<String, String> {
        let attachment = self.object(ATTACHMENTS, "", &source.attachment_name(&self.node.name));
        attachment
            .map(|attachment| strings(&attachment["status"]["attachmentMetadata"]))
            .unwrap_or_default()
    }

    pub(super) async fn call_stage(&self, subject: &Subject<'_>, mounted: &Mounted) -> Result<(), Failure> {
        let source = subject.source;
        let request = NodeStageVolumeRequest {
            volume_id: source.handle.clone(),
            publish_context: self.publish_context(source),
            staging_target_path: self.staging_path(&source.name, mounted),
            volume_capability: Some(source.capability(subject.driver.fine)),
            secrets: secret(&self.store, subject.object, "nodeStageSecretRef")?,
            volume_context: source.attributes.clone(),
        };
        let request = csi::channel::request(request, TIMEOUT);
        self.client(&source.driver)?.node_stage_volume(request).await?;
        Ok(())
    }

    pub(super) async fn call_publish(
        &self,
        subject: &Subject<'_>,
        mounted: &Mounted,
        mount: &PodMount,
    ) -> Result<(), Failure> {
        let source = subject.source;
        let staging = self.staging_path(&source.name, mounted);
        let request = NodePublishVolumeRequest {
            volume_id: source.handle.clone(),
            publish_context: self.publish_context(source),
            staging_target_path: if subject.driver.stages {
                staging
            } else {
                String::new()
            },
            target_path: mount.target.clone(),
            volume_capability: Some(source.capability(subject.driver.fine)),
            readonly: mount.read_only,
            secrets: secret(&self.store, subject.object, "nodePublishSecretRef")?,
            volume_context: source.attributes.clone(),
        };
        let request = csi::channel::request(request, TIMEOUT);
        self.client(&source.driver)?.node_publish_volume(request).await?;
        Ok(())
    }

    pub(super) async fn call_unpublish(&self, mounted: &Mounted, target: &str) -> Result<(), Failure> {
        let request = NodeUnpublishVolumeRequest {
            volume_id: mounted.handle.clone(),
            target_path: target.to_owned(),
        };
        let request = csi::channel::request(request, TIMEOUT);
        self.client(&mounted.driver)?
            .node_unpublish_volume(request)
            .await?;
        Ok(())
    }

    pub(super) async fn call_unstage(&self, name: &str, mounted: &Mounted) -> Result<(), Failure> {
        let request = NodeUnstageVolumeRequest {
            volume_id: mounted.handle.clone(),
            staging_target_path: self.staging_path(name, mounted),
        };
        let request = csi::channel::request(request, TIMEOUT);
        self.client(&mounted.driver)?.node_unstage_volume(request).await?;
        Ok(())
    }

    pub(super) async fn call_expand(
        &self,
        subject: &Subject<'_>,
        mounted: &Mounted,
        target: &str,
        bytes: i64,
    ) -> Result<(), Failure> {
        let source = subject.source;
        let request = NodeExpandVolumeRequest {
            volume_id: source.handle.clone(),
            volume_path: target.to_owned(),
            capacity_range: Some(CapacityRange {
                required_bytes: bytes,
                limit_bytes: 0,
            }),
            staging_target_path: self.staging_path(&source.name, mounted),
            volume_capability: Some(source.capability(subject.driver.fine)),
            secrets: secret(&self.store, subject.object, "nodeExpandSecretRef")?,
        };
        let request = csi::channel::request(request, TIMEOUT);
        self.client(&source.driver)?.node_expand_volume(request).await?;
        Ok(())
    }
}
