//! A driver whose behaviour is chosen by the names it is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use csi::v1::identity_server::{Identity, IdentityServer};
use csi::v1::snapshot_metadata_server::{SnapshotMetadata, SnapshotMetadataServer};
use csi::v1::*;
use tokio::sync::Notify;
use tonic::codegen::BoxStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
pub struct Driver {
    /// Probes that are still to be answered "not ready".
    pub not_ready: Arc<AtomicUsize>,
    /// What Probe answers once ready.
    pub probe_error: Option<Status>,
    pub name: &'static str,
    /// Told when a call has come that sleeps.
    pub entered: Arc<Notify>,
}

#[tonic::async_trait]
impl Identity for Driver {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        match self.name {
            "panics" => panic!("as the test wants it"),
            "hangs" => std::future::pending::<()>().await,
            "sleeps" => {
                self.entered.notify_one();
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            "fails" => {
                return Err(csi::retry::status_with_delay(
                    tonic::Code::Internal,
                    "no",
                    Duration::from_secs(7),
                ));
            }
            "tells much" => return Err(Status::invalid_argument("x".repeat(100_000))),
            _ => {}
        }
        Ok(Response::new(GetPluginInfoResponse {
            name: self.name.to_string(),
            vendor_version: "v1".into(),
            ..Default::default()
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        use plugin_capability::{Service, Type, service};
        let known = Type::Service(Service {
            r#type: service::Type::ControllerService.into(),
        });
        let unknown = Type::Service(Service { r#type: 99 });
        let capabilities = [Some(known), Some(unknown), None].map(|r#type| PluginCapability { r#type });
        Ok(Response::new(GetPluginCapabilitiesResponse {
            capabilities: capabilities.into(),
        }))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let left = self
            .not_ready
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match (left, &self.probe_error) {
            (Ok(_), _) => Ok(Response::new(ProbeResponse { ready: Some(false) })),
            (Err(_), Some(error)) => Err(error.clone()),
            (Err(_), None) => Ok(Response::new(ProbeResponse { ready: None })),
        }
    }
}

#[tonic::async_trait]
impl SnapshotMetadata for Driver {
    async fn get_metadata_allocated(
        &self,
        request: Request<GetMetadataAllocatedRequest>,
    ) -> Result<Response<BoxStream<GetMetadataAllocatedResponse>>, Status> {
        let blocks = request.get_ref().max_results;
        let answer = move |_| {
            Ok(GetMetadataAllocatedResponse {
                block_metadata: vec![BlockMetadata::default(); 4096],
                volume_capacity_bytes: 1,
                ..Default::default()
            })
        };
        let first: Vec<_> = (0..blocks).map(answer).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(first))))
    }

    async fn get_metadata_delta(
        &self,
        _: Request<GetMetadataDeltaRequest>,
    ) -> Result<Response<BoxStream<GetMetadataDeltaResponse>>, Status> {
        // One answer above gRPC's usual 4 MiB.
        let block = BlockMetadata {
            byte_offset: i64::MAX,
            size_bytes: i64::MAX,
        };
        let answer = GetMetadataDeltaResponse {
            block_metadata: vec![block; 300_000],
            ..Default::default()
        };
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(answer)]))))
    }
}

impl Driver {
    pub fn named(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    pub fn routes(&self) -> Routes {
        Routes::new(IdentityServer::new(self.clone())).add_service(SnapshotMetadataServer::new(self.clone()))
    }
}
