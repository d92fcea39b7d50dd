//! The calls that a sidecar makes at its start (snapshot.md 3.1, sidecars.md 1.3).

use std::collections::BTreeSet;
use std::time::Duration;

use tonic::{Code, Status};

use crate::channel::{Channel, request};
use crate::status::error_text;
use crate::v1;

pub use v1::controller_service_capability::rpc::Type as ControllerCapability;
pub use v1::group_controller_service_capability::rpc::Type as GroupControllerCapability;
pub use v1::node_service_capability::rpc::Type as NodeCapability;
pub use v1::plugin_capability::service::Type as PluginService;
pub use v1::plugin_capability::volume_expansion::Type as PluginExpansion;

/// How long to wait between two Probes.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Why a driver cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The call failed.
    #[error("the CSI driver failed {rpc}: {}", error_text(status))]
    Call {
        /// The RPC, such as `Probe`.
        rpc: &'static str,
        /// Its answer.
        status: Box<Status>,
    },
    /// The driver has no name.
    #[error("the CSI driver answered GetPluginInfo with an empty name")]
    NoName,
}

impl IdentityError {
    fn call(rpc: &'static str) -> impl FnOnce(Status) -> Self {
        move |status| Self::Call {
            rpc,
            status: Box::new(status),
        }
    }

    /// True when the driver was away rather than at odds with us: worth waiting for.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Call { status, .. }
            if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled))
    }
}

/// Who the driver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginInfo {
    /// Such as `ebs.csi.aws.com`. Never empty.
    pub name: String,
    /// The driver's own version.
    pub version: String,
}

/// What the driver as a whole can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginCapabilities {
    /// Services it offers.
    pub services: BTreeSet<PluginService>,
    /// How volumes can be expanded.
    pub expansion: BTreeSet<PluginExpansion>,
}

/// Asks for the driver's name.
///
/// # Errors
/// A failing call or an empty name.
pub async fn plugin_info(channel: &Channel, timeout: Duration) -> Result<PluginInfo, IdentityError> {
    let asked = request(v1::GetPluginInfoRequest {}, timeout);
    let answer = channel.identity().get_plugin_info(asked).await;
    let answer = answer.map_err(IdentityError::call("GetPluginInfo"))?.into_inner();
    if answer.name.is_empty() {
        return Err(IdentityError::NoName);
    }
    Ok(PluginInfo {
        name: answer.name,
        version: answer.vendor_version,
    })
}

/// Probes once a second until the driver is ready. "Not ready" and DeadlineExceeded repeat without limit.
///
/// # Errors
/// Any other error of the driver.
pub async fn wait_until_ready(channel: &Channel, timeout: Duration) -> Result<(), IdentityError> {
    loop {
        let asked = request(v1::ProbeRequest {}, timeout);
        match channel.identity().probe(asked).await {
            // Absent means ready.
            Ok(answer) if answer.get_ref().ready.unwrap_or(true) => return Ok(()),
            Ok(_) => tracing::warn!("the CSI driver is not ready yet"),
            Err(status) if status.code() == Code::DeadlineExceeded => {
                tracing::warn!("the CSI driver did not answer Probe in time");
            }
            Err(status) => return Err(IdentityError::call("Probe")(status)),
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
}

/// Asks what the driver as a whole can do. Unknown entries are skipped.
///
/// # Errors
/// A failing call.
pub async fn plugin_capabilities(
    channel: &Channel,
    timeout: Duration,
) -> Result<PluginCapabilities, IdentityError> {
    use v1::plugin_capability::Type;

    let asked = request(v1::GetPluginCapabilitiesRequest {}, timeout);
    let answer = channel.identity().get_plugin_capabilities(asked).await;
    let answer = answer
        .map_err(IdentityError::call("GetPluginCapabilities"))?
        .into_inner();
    let mut found = PluginCapabilities::default();
    for capability in answer
        .capabilities
        .into_iter()
        .filter_map(|capability| capability.r#type)
    {
        match capability {
            Type::Service(service) => found.services.extend(PluginService::try_from(service.r#type)),
            Type::VolumeExpansion(way) => found.expansion.extend(PluginExpansion::try_from(way.r#type)),
        }
    }
    found.services.remove(&PluginService::Unknown);
    found.expansion.remove(&PluginExpansion::Unknown);
    Ok(found)
}

/// Asks what the controller service can do. Unknown entries are skipped.
///
/// # Errors
/// A failing call.
pub async fn controller_capabilities(
    channel: &Channel,
    timeout: Duration,
) -> Result<BTreeSet<ControllerCapability>, IdentityError> {
    use v1::controller_service_capability::Type;

    let asked = request(v1::ControllerGetCapabilitiesRequest {}, timeout);
    let answer = channel.controller().controller_get_capabilities(asked).await;
    let answer = answer
        .map_err(IdentityError::call("ControllerGetCapabilities"))?
        .into_inner();
    let entries = answer
        .capabilities
        .into_iter()
        .filter_map(|capability| capability.r#type);
    let known = entries.filter_map(|Type::Rpc(rpc)| ControllerCapability::try_from(rpc.r#type).ok());
    Ok(known
        .filter(|capability| *capability != ControllerCapability::Unknown)
        .collect())
}

/// Asks what the node service can do. Unknown entries are skipped.
///
/// # Errors
/// A failing call, which for a driver without this service is Unimplemented.
pub async fn node_capabilities(
    channel: &Channel,
    timeout: Duration,
) -> Result<BTreeSet<NodeCapability>, IdentityError> {
    use v1::node_service_capability::Type;

    let asked = request(v1::NodeGetCapabilitiesRequest {}, timeout);
    let answer = channel.node().node_get_capabilities(asked).await;
    let answer = answer
        .map_err(IdentityError::call("NodeGetCapabilities"))?
        .into_inner();
    let entries = answer
        .capabilities
        .into_iter()
        .filter_map(|capability| capability.r#type);
    let known = entries.filter_map(|Type::Rpc(rpc)| NodeCapability::try_from(rpc.r#type).ok());
    Ok(known
        .filter(|capability| *capability != NodeCapability::Unknown)
        .collect())
}

/// Asks what the group controller service can do. Unknown entries are skipped.
///
/// # Errors
/// A failing call, which for a driver without this service is Unimplemented.
pub async fn group_controller_capabilities(
    channel: &Channel,
    timeout: Duration,
) -> Result<BTreeSet<GroupControllerCapability>, IdentityError> {
    use v1::group_controller_service_capability::Type;

    let asked = request(v1::GroupControllerGetCapabilitiesRequest {}, timeout);
    let answer = channel
        .group_controller()
        .group_controller_get_capabilities(asked)
        .await;
    let answer = answer
        .map_err(IdentityError::call("GroupControllerGetCapabilities"))?
        .into_inner();
    let entries = answer
        .capabilities
        .into_iter()
        .filter_map(|capability| capability.r#type);
    let known = entries.filter_map(|Type::Rpc(rpc)| GroupControllerCapability::try_from(rpc.r#type).ok());
    Ok(known
        .filter(|capability| *capability != GroupControllerCapability::Unknown)
        .collect())
}
