//! ControllerUnpublishVolume. Source: spec 1.6, 1.8, 3.6, 3.9, 3.10, Q3, Q4; cases 55, 60-63, 156.

use csi::v1::{ControllerUnpublishVolumeRequest, ControllerUnpublishVolumeResponse};
use tonic::Status;

use super::publish_volume::cluster_node;
use super::{Call, required};
use crate::attach;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::ec2::errors::Ec2Error;
use crate::ec2::types::AttachmentState;
use crate::hyperpod::ClusterNode;
use crate::in_flight::Key;
use crate::names::NODE_LOCAL_PREFIX;

pub(super) async fn call(
    core: &Core,
    request: &ControllerUnpublishVolumeRequest,
    call: Call,
) -> Result<ControllerUnpublishVolumeResponse, Status> {
    let volume_id = required(&request.volume_id, "volume_id")?;
    let node_id = required(&request.node_id, "node_id")?;
    if volume_id.starts_with(NODE_LOCAL_PREFIX) {
        return Ok(ControllerUnpublishVolumeResponse {});
    }
    let cluster_node = cluster_node(node_id)?;
    let key = Key::Attachment {
        volume_id: volume_id.to_owned(),
        node_id: node_id.to_owned(),
    };
    let _guard = core.in_flight.begin(key)?;
    let asked = match &cluster_node {
        Some(node) => core.ec2.detach_from_cluster(node, volume_id, call.deadline).await,
        None => core.ec2.detach_volume(volume_id, node_id, call.deadline).await,
    };
    match asked {
        Ok(answer) if answer.state != AttachmentState::Detached => {
            core.attachments.detaching(volume_id, node_id, answer.state);
            let instance_id = cluster_node.as_ref().map_or(node_id, |node| &node.instance_id);
            wait(core, volume_id, (node_id, instance_id), call).await?;
        }
        Err(error) if !Purpose::Detach.is_done(&error) => {
            let is_away = match &cluster_node {
                Some(node) => is_away(core, volume_id, node, &error, call).await,
                None => false,
            };
            if !is_away {
                return Err(Purpose::Detach.status(&error));
            }
        }
        _ => {}
    }
    core.attachments.detached(volume_id, node_id);
    Ok(ControllerUnpublishVolumeResponse {})
}

/// Whether the volume is not at the node of a cluster that SageMaker refuses to take it from. Nodes and clusters come and go,
/// and SageMaker has no code of its own for a volume that is not attached.
async fn is_away(core: &Core, volume_id: &str, node: &ClusterNode, refusal: &Ec2Error, call: Call) -> bool {
    if refusal.meaning().is_transient() {
        return false;
    }
    let shown = core.lookups.volumes.get(volume_id, call.deadline).await;
    shown.is_ok_and(|volume| attach::is_away(volume.as_ref(), &node.instance_id))
}

/// Polls until nothing of the volume is left at the instance. Errors of single polls are passed over.
async fn wait(
    core: &Core,
    volume_id: &str,
    (node_id, instance_id): (&str, &str),
    call: Call,
) -> Result<(), Status> {
    let not_yet = |why: &str| {
        Status::internal(format!(
            "volume {volume_id} is not detached from instance {node_id} yet: {why}"
        ))
    };
    for pause in attach::pauses() {
        if let Err(interrupted) = core.waits.poll(pause, call.deadline).await {
            return Err(not_yet(&interrupted.to_string()));
        }
        let Ok(volume) = core.lookups.volumes.get(volume_id, call.deadline).await else {
            continue;
        };
        if attach::is_away(volume.as_ref(), instance_id) {
            return Ok(());
        }
        let state = volume
            .as_ref()
            .and_then(|volume| attach::state_at(volume, instance_id));
        let state = state.unwrap_or(AttachmentState::Other);
        core.attachments.detaching(volume_id, node_id, state);
    }
    Err(not_yet("it took too long"))
}
