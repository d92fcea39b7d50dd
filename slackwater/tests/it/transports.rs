//! The three transports of a controller process, in process and under faults.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use sandbox::ec2::Ec2;
use sandbox::faults::{Faults, Transport, WatchBody};
use sandbox::kube::ApiServer;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt};

type ApiBody = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// A client of the sandbox's API whose requests meet faults.
pub fn kubernetes(api: &ApiServer, user: &str, faults: &Faults) -> kube::Client {
    let (api, faults) = (api.service(user), faults.clone());
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (api, faults) = (api.clone(), faults.clone());
        async move {
            let (parts, body) = request.into_parts();
            let request = Request::from_parts(parts, body.collect().await?.to_bytes());
            let send = |request: Request<Bytes>| {
                let answer = api.clone().oneshot(request.map(Full::new));
                async move {
                    Ok(answer
                        .await?
                        .map(|body| body.map_err(BoxError::from).boxed_unsync()))
                }
            };
            let refused = |answer: Response<Bytes>| {
                answer.map(|bytes| -> ApiBody {
                    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
                })
            };
            let (response, fault) = faults
                .carry(Transport::Kubernetes, request, send, refused)
                .await?;
            Ok::<_, BoxError>(response.map(|body| WatchBody::new(body, &fault)))
        }
    });
    kube::Client::new(service, "default")
}

/// EC2 as the driver reaches it, under faults.
pub fn ec2(ec2: &Ec2, faults: &Faults) -> ebs_driver::Ec2Transport {
    let (ec2, faults) = (ec2.clone(), faults.clone());
    let service = tower::service_fn(move |request: Request<Bytes>| {
        let (ec2, faults) = (ec2.clone(), faults.clone());
        async move {
            let send = |request| ec2.clone().call(request);
            let (response, _) = faults
                .carry(Transport::Ec2, request, send, |refused| refused)
                .await?;
            Ok::<_, BoxError>(response)
        }
    });
    ebs_driver::Ec2Transport::InProcess(BoxCloneSyncService::new(service))
}

/// The driver's services as the sidecars reach them, under faults.
pub fn csi(routes: tonic::service::Routes, faults: &Faults) -> csi::Channel {
    let faults = faults.clone();
    let inner = csi::Channel::in_process(routes);
    let service = tower::service_fn(move |request: Request<tonic::body::Body>| {
        let (inner, faults) = (inner.clone(), faults.clone());
        async move {
            let (parts, body) = request.into_parts();
            let request = Request::from_parts(parts, body.collect().await?.to_bytes());
            let send = |request: Request<Bytes>| {
                let request = request.map(|bytes| tonic::body::Body::new(Full::new(bytes)));
                inner.clone().oneshot(request)
            };
            let refused =
                |answer: Response<Bytes>| answer.map(|bytes| tonic::body::Body::new(Full::new(bytes)));
            let (response, _) = faults.carry(Transport::Csi, request, send, refused).await?;
            Ok::<_, BoxError>(response)
        }
    });
    csi::Channel::from_service(BoxCloneSyncService::new(service))
}
