//! The attachments of the scripted driver.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use csi::v1::*;
use tonic::{Request, Response, Status};

use super::driver::Driver;

/// What the driver holds of attachments, and how it behaves.
#[derive(Default)]
pub struct Attaching {
    /// What was asked for by ControllerPublishVolume.
    pub published: Vec<ControllerPublishVolumeRequest>,
    /// What was asked for by ControllerUnpublishVolume.
    pub unpublished: Vec<ControllerUnpublishVolumeRequest>,
    /// What was asked for by ListVolumes.
    pub listed: Vec<ListVolumesRequest>,
    /// Refusals of the next ControllerPublishVolume calls; `None` means "as usual".
    pub publish: VecDeque<Option<Status>>,
    /// Refusals of the next ControllerUnpublishVolume calls.
    pub unpublish: VecDeque<Option<Status>>,
    /// Refusals of the next ListVolumes calls.
    pub list: VecDeque<Option<Status>>,
    /// How long an attachment takes.
    pub takes: Duration,
    /// How long a page of the list takes.
    pub list_takes: Duration,
    /// Volumes a page of the list; all without.
    pub page: Option<usize>,
    /// What the node service is told of each attachment.
    pub context: BTreeMap<String, String>,
    /// Nodes by volume.
    pub nodes: BTreeMap<String, BTreeSet<String>>,
}

impl Attaching {
    /// Attachments, as volume and node.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        let all = self.nodes.iter();
        all.flat_map(|(volume, nodes)| nodes.iter().map(|node| (volume.clone(), node.clone())))
            .collect()
    }

    /// The page of the list that begins at this place.
    fn page_from(&self, start: usize) -> ListVolumesResponse {
        let length = self.page.unwrap_or(usize::MAX);
        let entry = |(volume, nodes): (&String, &BTreeSet<String>)| list_volumes_response::Entry {
            volume: Some(Volume {
                volume_id: volume.clone(),
                ..Volume::default()
            }),
            status: Some(list_volumes_response::VolumeStatus {
                published_node_ids: nodes.iter().cloned().collect(),
            }),
        };
        let entries: Vec<_> = self.nodes.iter().skip(start).take(length).map(entry).collect();
        let end = start + entries.len();
        let next_token = if end < self.nodes.len() {
            end.to_string()
        } else {
            String::new()
        };
        ListVolumesResponse { entries, next_token }
    }
}

impl Driver {
    pub(super) async fn publish(
        &self,
        request: Request<ControllerPublishVolumeRequest>,
    ) -> Result<Response<ControllerPublishVolumeResponse>, Status> {
        let request = request.into_inner();
        let (takes, refusal) = {
            let mut state = self.state();
            state.note(format!(
                "ControllerPublishVolume {} {}",
                request.volume_id, request.node_id
            ));
            let attaching = &mut state.attaching;
            attaching.published.push(request.clone());
            (attaching.takes, attaching.publish.pop_front().flatten())
        };
        tokio::time::sleep(takes).await;
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let attaching = &mut self.state().attaching;
        let nodes = attaching.nodes.entry(request.volume_id).or_default();
        nodes.insert(request.node_id);
        Ok(Response::new(ControllerPublishVolumeResponse {
            publish_context: attaching.context.clone(),
        }))
    }

    pub(super) async fn unpublish(
        &self,
        request: Request<ControllerUnpublishVolumeRequest>,
    ) -> Result<Response<ControllerUnpublishVolumeResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.note(format!(
            "ControllerUnpublishVolume {} {}",
            request.volume_id, request.node_id
        ));
        let attaching = &mut state.attaching;
        attaching.unpublished.push(request.clone());
        if let Some(refusal) = attaching.unpublish.pop_front().flatten() {
            return Err(refusal);
        }
        if let Some(nodes) = attaching.nodes.get_mut(&request.volume_id) {
            nodes.remove(&request.node_id);
        }
        Ok(Response::new(ControllerUnpublishVolumeResponse {}))
    }

    pub(super) async fn list(
        &self,
        request: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        let request = request.into_inner();
        let start = request.starting_token.parse().unwrap_or(0);
        let (takes, refusal, page) = {
            let mut state = self.state();
            state.note("ListVolumes".to_owned());
            let attaching = &mut state.attaching;
            attaching.listed.push(request);
            let refusal = attaching.list.pop_front().flatten();
            (attaching.list_takes, refusal, attaching.page_from(start))
        };
        tokio::time::sleep(takes).await;
        refusal.map_or_else(|| Ok(Response::new(page)), Err)
    }
}
