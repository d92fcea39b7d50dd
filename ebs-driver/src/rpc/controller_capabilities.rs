//! ControllerGetCapabilities: what this version does. Source: spec 1.3.

use csi::v1::controller_service_capability::rpc::Type as Rpc;
use csi::v1::controller_service_capability::{Rpc as RpcMessage, Type};
use csi::v1::{ControllerGetCapabilitiesResponse, ControllerServiceCapability};

/// Upstream's list.
const ALL: [Rpc; 7] = [
    Rpc::CreateDeleteVolume,
    Rpc::CloneVolume,
    Rpc::PublishUnpublishVolume,
    Rpc::CreateDeleteSnapshot,
    Rpc::ListSnapshots,
    Rpc::ExpandVolume,
    Rpc::ModifyVolume,
];

pub(super) fn all() -> ControllerGetCapabilitiesResponse {
    let capability = |rpc: Rpc| ControllerServiceCapability {
        r#type: Some(Type::Rpc(RpcMessage { r#type: rpc.into() })),
    };
    ControllerGetCapabilitiesResponse {
        capabilities: ALL.into_iter().map(capability).collect(),
    }
}
