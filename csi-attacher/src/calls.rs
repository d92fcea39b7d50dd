//! Calls of the driver. Knows no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controller::CallFailure;
use csi::v1::{ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest, ListVolumesRequest};
use csi::{Channel, Operation};
use tonic::Status;

use crate::plan::{Publish, Unpublish};

/// The way to the driver.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) channel: Channel,
    /// Longest time of one call.
    pub(crate) timeout: Duration,
}

impl Calls {
    /// What the node service is to know.
    pub(crate) async fn publish(
        &self,
        call: &Publish,
        secrets: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, CallFailure> {
        let asked = ControllerPublishVolumeRequest {
            volume_id: call.handle.clone(),
            node_id: call.node_id.clone(),
            volume_capability: Some(call.capability.clone()),
            readonly: call.read_only,
            secrets: secrets.clone(),
            volume_context: call.attributes.clone(),
        };
        let request = self.request(asked, call.migrated);
        let answered = self.channel.controller().controller_publish_volume(request).await;
        answered
            .map(|answer| answer.into_inner().publish_context)
            .map_err(|status| CallFailure::of(Operation::PublishVolume, &status, &secrets))
    }

    pub(crate) async fn unpublish(
        &self,
        call: &Unpublish,
        secrets: BTreeMap<String, String>,
    ) -> Result<(), CallFailure> {
        let asked = ControllerUnpublishVolumeRequest {
            volume_id: call.handle.clone(),
            node_id: call.node_id.clone(),
            secrets: secrets.clone(),
        };
        let request = self.request(asked, call.migrated);
        let answered = self
            .channel
            .controller()
            .controller_unpublish_volume(request)
            .await;
        answered
            .map(drop)
            .map_err(|status| CallFailure::of(Operation::UnpublishVolume, &status, &secrets))
    }

    /// The nodes of every volume, by what the driver calls both. All pages together may take the time of one call.
    pub(crate) async fn list(&self, max_entries: i32) -> Result<BTreeMap<String, BTreeSet<String>>, Status> {
        tokio::time::timeout(self.timeout, self.pages(max_entries))
            .await
            .unwrap_or_else(|_| {
                Err(Status::deadline_exceeded(
                    "the pages of ListVolumes took too long",
                ))
            })
    }

    async fn pages(&self, max_entries: i32) -> Result<BTreeMap<String, BTreeSet<String>>, Status> {
        let mut found = BTreeMap::new();
        let mut starting_token = String::new();
        loop {
            let asked = ListVolumesRequest {
                max_entries,
                starting_token,
            };
            let request = self.request(asked, false);
            let page = self
                .channel
                .controller()
                .list_volumes(request)
                .await?
                .into_inner();
            for entry in page.entries {
                // One without either says nothing.
                if let (Some(volume), Some(status)) = (entry.volume, entry.status) {
                    let nodes: &mut BTreeSet<String> = found.entry(volume.volume_id).or_default();
                    nodes.extend(status.published_node_ids);
                }
            }
            if page.next_token.is_empty() {
                return Ok(found);
            }
            starting_token = page.next_token;
        }
    }

    fn request<T>(&self, asked: T, migrated: bool) -> tonic::Request<T> {
        let mut request = csi::channel::request(asked, self.timeout);
        if migrated {
            request.extensions_mut().insert(csi::metrics::Migrated);
        }
        request
    }
}
