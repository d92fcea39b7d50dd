//! GetPluginInfo, GetPluginCapabilities, Probe. Source: spec 1.2.

use std::sync::PoisonError;
use std::time::Duration;

use csi::v1::plugin_capability::service::Type as ServiceType;
use csi::v1::plugin_capability::{Service, Type};
use csi::v1::{GetPluginCapabilitiesResponse, GetPluginInfoResponse, PluginCapability, ProbeResponse};
use tokio::time::Instant;
use tonic::Status;

use super::Call;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::names::{DRIVER, VERSION};

/// How long EC2's word that it would have let us counts.
const ACCESS: Duration = Duration::from_secs(3 * 3600);

pub(crate) fn plugin_info() -> GetPluginInfoResponse {
    GetPluginInfoResponse {
        name: DRIVER.to_owned(),
        vendor_version: VERSION.to_owned(),
        ..GetPluginInfoResponse::default()
    }
}

pub(crate) fn plugin_capabilities() -> GetPluginCapabilitiesResponse {
    let capability = |service: ServiceType| PluginCapability {
        r#type: Some(Type::Service(Service {
            r#type: service.into(),
        })),
    };
    GetPluginCapabilitiesResponse {
        capabilities: vec![
            capability(ServiceType::ControllerService),
            capability(ServiceType::VolumeAccessibilityConstraints),
            capability(ServiceType::GroupControllerService),
        ],
    }
}

/// Healthy when EC2 said within three hours that it would have let us; else it is asked once.
pub(super) async fn probe(core: &Core, call: Call) -> Result<ProbeResponse, Status> {
    let is_known = {
        let checked = core.access_checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.is_some_and(|at| at.elapsed() < ACCESS)
    };
    if is_known {
        return Ok(ProbeResponse::default());
    }
    match core.ec2.check_access(call.deadline).await {
        Err(error) if !Purpose::Probe.is_done(&error) => Err(Purpose::Probe.status(&error)),
        // Upstream wants the refusal of a dry run; an answer without it is a success all the more.
        _ => {
            let mut checked = core.access_checked.lock().unwrap_or_else(PoisonError::into_inner);
            *checked = Some(Instant::now());
            Ok(ProbeResponse::default())
        }
    }
}
