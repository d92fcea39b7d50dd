//! GetPluginInfo, GetPluginCapabilities, Probe, and the capabilities of the other services.

use csi::v1::controller_service_capability::{Rpc as ControllerRpc, Type as ControllerType};
use csi::v1::group_controller_service_capability::{Rpc as GroupRpc, Type as GroupType};
use csi::v1::plugin_capability::{Service, Type as PluginType, VolumeExpansion};
use csi::v1::{
    ControllerServiceCapability, GetPluginInfoResponse, GroupControllerServiceCapability, PluginCapability,
    ProbeResponse,
};
use tonic::Status;

use crate::capability::{Capabilities, Told};
use crate::driver::Core;

pub(super) fn info(core: &Core) -> GetPluginInfoResponse {
    GetPluginInfoResponse {
        name: core.config.name.clone(),
        vendor_version: concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
        ..GetPluginInfoResponse::default()
    }
}

/// Ready while the folder can be read.
pub(super) async fn probe(core: &Core) -> Result<ProbeResponse, Status> {
    let read = core.in_folder(|folder| Ok(folder.disk()?)).await;
    read.map_err(|status| Status::failed_precondition(status.message().to_owned()))?;
    Ok(ProbeResponse { ready: Some(true) })
}

pub(super) fn of_plugin(capabilities: &Capabilities) -> Vec<PluginCapability> {
    let told = capabilities.told().filter_map(|told| match told {
        Told::Service(service) => Some(PluginType::Service(Service {
            r#type: service.into(),
        })),
        Told::Expansion(way) => Some(PluginType::VolumeExpansion(VolumeExpansion {
            r#type: way.into(),
        })),
        _ => None,
    });
    told.map(|told| PluginCapability { r#type: Some(told) }).collect()
}

pub(super) fn of_controller(capabilities: &Capabilities) -> Vec<ControllerServiceCapability> {
    let told = capabilities.told().filter_map(|told| match told {
        Told::Controller(rpc) => Some(ControllerType::Rpc(ControllerRpc { r#type: rpc.into() })),
        _ => None,
    });
    told.map(|told| ControllerServiceCapability { r#type: Some(told) })
        .collect()
}

pub(super) fn of_groups(capabilities: &Capabilities) -> Vec<GroupControllerServiceCapability> {
    let told = capabilities.told().filter_map(|told| match told {
        Told::Group(rpc) => Some(GroupType::Rpc(GroupRpc { r#type: rpc.into() })),
        _ => None,
    });
    told.map(|told| GroupControllerServiceCapability { r#type: Some(told) })
        .collect()
}
