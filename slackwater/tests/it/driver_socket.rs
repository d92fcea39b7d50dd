//! The driver as a process of its own: where it listens, and how its sidecars reach it under faults.

use std::sync::{Arc, Mutex};

use base::Scope;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use sandbox::faults::{Faults, Transport};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt};

/// The place where the driver listens when it is a process of its own.
#[derive(Clone, Default)]
pub struct DriverSocket {
    listening: Arc<Mutex<Option<Listening>>>,
}

#[derive(Clone)]
struct Listening {
    driver: csi::Channel,
    faults: Faults,
    /// A child of the driver's: it ends with that process.
    scope: Scope,
}

impl DriverSocket {
    /// A driver listens, in the place of the former one. What befalls the calls that arrive is up to its faults too.
    pub fn listen(&self, routes: tonic::service::Routes, faults: &Faults, scope: Scope) {
        *self.listening.lock().unwrap() = Some(Listening {
            driver: csi::Channel::in_process(routes),
            faults: faults.clone(),
            scope,
        });
    }

    /// No driver listens any more.
    pub fn close(&self) {
        *self.listening.lock().unwrap() = None;
    }

    /// How a sidecar reaches whichever driver listens.
    pub fn channel(&self, faults: &Faults) -> csi::Channel {
        let socket = self.clone();
        csi_over(faults, move |request| {
            let listening = socket.listening.lock().unwrap().clone();
            async move {
                match listening {
                    Some(listening) => listening.take(request).await,
                    None => Err(broken()),
                }
            }
        })
    }
}

impl Listening {
    /// The call ends with the driver. It does not end with its caller: a driver may be late to see that one is gone.
    async fn take(self, request: Request<Bytes>) -> Result<Response<tonic::body::Body>, BoxError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let Self {
            driver,
            faults,
            scope,
        } = self;
        scope.spawn(async move {
            let send = |request| driver.clone().oneshot(body_of(request));
            let carried = faults.carry(Transport::Csi, request, send, refused);
            let _ = answer.send(carried.await.map(|(response, _)| response));
        });
        answered.await.unwrap_or_else(|_| Err(broken()))
    }
}

fn broken() -> BoxError {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the driver is not there").into()
}

fn body_of(request: Request<Bytes>) -> Request<tonic::body::Body> {
    request.map(|bytes| tonic::body::Body::new(Full::new(bytes)))
}

fn refused(answer: Response<Bytes>) -> Response<tonic::body::Body> {
    answer.map(|bytes| tonic::body::Body::new(Full::new(bytes)))
}

/// A channel whose calls are sent so.
fn csi_over<Sent>(
    faults: &Faults,
    send: impl Fn(Request<Bytes>) -> Sent + Clone + Send + Sync + 'static,
) -> csi::Channel
where
    Sent: Future<Output = Result<Response<tonic::body::Body>, BoxError>> + Send + 'static,
{
    let faults = faults.clone();
    let service = tower::service_fn(move |request: Request<tonic::body::Body>| {
        let (send, faults) = (send.clone(), faults.clone());
        async move {
            let (parts, body) = request.into_parts();
            let request = Request::from_parts(parts, body.collect().await?.to_bytes());
            let (response, _) = faults.carry(Transport::Csi, request, send, refused).await?;
            Ok::<_, BoxError>(response)
        }
    });
    csi::Channel::from_service(BoxCloneSyncService::new(service))
}
