//! Volumes by the names that they were asked for: what EBS knows and CSI has no call for. Source: sidecars.md Q4, Q5.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use csi::inventory::{Inventory, Named, Page};
use csi::v1;
use tonic::Status;

use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::ec2::types::{Volume, VolumeList, VolumeState};
use crate::names::TAG_VOLUME_NAME;
use crate::rpc::create_volume;

/// How long one page may take: it waits for its turn at EC2 behind what users wait for.
const PAGE: Duration = Duration::from_secs(300);

/// The volumes of one driver.
#[derive(Debug)]
pub(crate) struct Volumes(pub(crate) Arc<Core>);

#[async_trait]
impl Inventory for Volumes {
    async fn made(
        &self,
        request: v1::CreateVolumeRequest,
        timeout: Duration,
    ) -> Result<Option<v1::Volume>, Status> {
        create_volume::made(&self.0, &request, Deadline::within(timeout)).await
    }

    /// Without `--k8s-tag-cluster-id` volumes are marked as made by a driver, not by which.
    fn knows_its_cluster(&self) -> bool {
        self.0.config.tags.cluster_id.is_some()
    }

    async fn page(&self, token: Option<String>) -> Result<Page, Status> {
        let Some(cluster_id) = self.0.config.tags.cluster_id.clone() else {
            return Err(Status::failed_precondition(
                "--k8s-tag-cluster-id is not set: the volumes of this cluster cannot be told from others",
            ));
        };
        let list = VolumeList {
            cluster_id,
            next_token: token,
        };
        let listed = self.0.ec2.list_volumes(&list, Deadline::within(PAGE)).await;
        let page = listed.map_err(|error| Purpose::CreateVolumeRead.status(&error))?;
        Ok(Page {
            volumes: page.volumes.into_iter().filter_map(named).collect(),
            next: page.next_token,
        })
    }
}

/// None for one that is going.
fn named(mut volume: Volume) -> Option<Named> {
    let is_there = volume.state != VolumeState::Deleting;
    Some(Named {
        name: volume.tags.remove(TAG_VOLUME_NAME).filter(|_| is_there)?,
        id: volume.id,
        made_at: volume.made_at,
    })
}
