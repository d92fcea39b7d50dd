//! NodeGetInfo: topology and the attachment limit. Source: spec 4.6, 4.7.

use csi::v1::{NodeGetInfoResponse, Topology};
use tonic::Status;

use super::Core;
use super::limit::attachment_limit;
use super::metadata::InstanceInfo;
use crate::names::{TOPOLOGY_LEGACY_ZONE, TOPOLOGY_OS};
use crate::topology::{Segments, segments_of};

/// The segments by which Kubernetes places volumes.
#[must_use]
pub fn segments(instance: &InstanceInfo) -> Segments {
    let mut segments = segments_of(&instance.zone, instance.outpost_arn.as_deref());
    segments.insert(TOPOLOGY_LEGACY_ZONE.to_owned(), instance.zone.clone());
    segments.insert(TOPOLOGY_OS.to_owned(), "linux".to_owned());
    segments
}

pub(super) async fn info(core: &Core) -> Result<NodeGetInfoResponse, Status> {
    let instance = core.metadata.instance().await;
    let instance = instance.map_err(|error| Status::internal(error.to_string()))?;
    Ok(NodeGetInfoResponse {
        max_volumes_per_node: attachment_limit(&core.config.limits, &instance),
        accessible_topology: Some(Topology {
            segments: segments(&instance),
        }),
        node_id: instance.instance_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_zone_keys_are_reported() {
        let instance = InstanceInfo {
            zone: "us-east-1a".into(),
            ..InstanceInfo::default()
        };
        let segments = segments(&instance);
        for key in ["topology.kubernetes.io/zone", "topology.ebs.csi.aws.com/zone"] {
            assert_eq!(segments[key], "us-east-1a");
        }
        assert_eq!(segments["kubernetes.io/os"], "linux");
        assert_eq!(segments.len(), 3);
    }
}
