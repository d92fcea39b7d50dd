//! The three transports of a process, in process and under faults: what its Kubernetes client, its EC2 client and
//! its CSI channel are made over.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tower::util::{BoxCloneService, BoxCloneSyncService};
use tower::{BoxError, Service, ServiceExt};

use super::{Faults, Transport, WatchBody};
use crate::ec2::Ec2;
use crate::kube::ApiServer;

/// Answers of the Kubernetes API, watches included.
pub type Answer = Response<WatchBody<UnsyncBoxBody<Bytes, BoxError>>>;

/// The Kubernetes API as `user` reaches it: give it to `kube::Client::new`.
#[must_use]
pub fn kubernetes<B>(
    api: &ApiServer,
    user: &str,
    faults: &Faults,
) -> BoxCloneService<Request<B>, Answer, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (api, faults) = (api.service(user), faults.clone());
    BoxCloneService::new(tower::service_fn(move |request: Request<B>| {
        let (api, faults) = (api.clone(), faults.clone());
        async move {
            let request = collected(request).await?;
            let send = |request: Request<Bytes>| {
                let answer = api.clone().oneshot(request.map(Full::new));
                async move { Ok(answer.await?.map(boxed)) }
            };
            let refused = |answer: Response<Bytes>| answer.map(|bytes| boxed(Full::new(bytes)));
            let (response, fault) = faults
                .carry(Transport::Kubernetes, request, send, refused)
                .await?;
            Ok(response.map(|body| WatchBody::new(body, &fault)))
        }
    }))
}

/// The EC2 Query API as the driver reaches it.
#[must_use]
pub fn ec2(ec2: &Ec2, faults: &Faults) -> BoxCloneSyncService<Request<Bytes>, Response<Bytes>, BoxError> {
    let (ec2, faults) = (ec2.clone(), faults.clone());
    BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
        let (ec2, faults) = (ec2.clone(), faults.clone());
        async move {
            let send = |request| ec2.clone().call(request);
            let (response, _) = faults
                .carry(Transport::Ec2, request, send, |refused| refused)
                .await?;
            Ok(response)
        }
    }))
}

/// A driver's services as the sidecars reach them.
#[must_use]
pub fn csi(routes: tonic::service::Routes, faults: &Faults) -> csi::Channel {
    let (inner, faults) = (csi::Channel::in_process(routes), faults.clone());
    let service = tower::service_fn(move |request: Request<tonic::body::Body>| {
        let (inner, faults) = (inner.clone(), faults.clone());
        async move {
            let request = collected(request).await?;
            let send = |request: Request<Bytes>| {
                let request = request.map(|bytes| tonic::body::Body::new(Full::new(bytes)));
                inner.clone().oneshot(request)
            };
            let refused =
                |answer: Response<Bytes>| answer.map(|bytes| tonic::body::Body::new(Full::new(bytes)));
            let (response, _) = faults.carry(Transport::Csi, request, send, refused).await?;
            Ok(response)
        }
    });
    csi::Channel::from_service(BoxCloneSyncService::new(service))
}

/// A request is sent twice or never, so it has to be there as a whole.
async fn collected<B>(request: Request<B>) -> Result<Request<Bytes>, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    Ok(Request::from_parts(parts, body))
}

fn boxed<B>(body: B) -> UnsyncBoxBody<Bytes, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    body.map_err(Into::into).boxed_unsync()
}
