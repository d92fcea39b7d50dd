//! What the kubelet is answered.

use base::http::ReadyHandle;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use crate::v1::registration_server::Registration;
use crate::v1::{InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse};

/// The type of a plugin that is a CSI driver.
const CSI_PLUGIN: &str = "CSIPlugin";
/// Versions of the protocol that the driver speaks to the kubelet.
const VERSIONS: [&str; 1] = ["1.0.0"];

/// The service. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Registrar {
    /// The driver's name.
    pub(crate) driver: String,
    /// The driver's socket as the kubelet sees it.
    pub(crate) kubelet_path: String,
    /// Ready once the kubelet has registered the driver.
    pub(crate) registered: ReadyHandle,
    /// Takes the text with which the kubelet refuses.
    pub(crate) refused: mpsc::UnboundedSender<String>,
}

#[tonic::async_trait]
impl Registration for Registrar {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        tracing::debug!("received GetInfo call");
        Ok(Response::new(PluginInfo {
            r#type: CSI_PLUGIN.to_owned(),
            name: self.driver.clone(),
            endpoint: self.kubelet_path.clone(),
            supported_versions: VERSIONS.map(str::to_owned).to_vec(),
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let status = request.into_inner();
        tracing::info!(
            registered = status.plugin_registered,
            error = status.error,
            "received NotifyRegistrationStatus call"
        );
        if !status.plugin_registered {
            // The process ends before it answers, so that the kubelet tries again with the one that follows.
            let _ = self.refused.send(status.error);
            std::future::pending::<()>().await;
        }
        self.registered.ready();
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
