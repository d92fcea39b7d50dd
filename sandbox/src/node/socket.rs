//! The place where a driver listens.

use std::sync::{Arc, Mutex, PoisonError};

use csi::Channel;
use csi::channel::BoxService;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

/// The place where a driver listens, for actors that are there before it and outlive it. While no driver is
/// plugged in, calls answer Unavailable. Clones share it.
#[derive(Clone, Default)]
pub struct Socket {
    driver: Arc<Mutex<Option<BoxService>>>,
}

impl Socket {
    /// A place where no driver listens yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a driver listen, in the place of the former one.
    pub fn plug(&self, routes: Routes) {
        let service = ServiceExt::<Request<Body>>::map_err(routes.prepare(), |never| match never {});
        self.plug_service(BoxCloneSyncService::new(service));
    }

    /// Lets any service listen, such as a driver behind a layer of faults.
    pub fn plug_service(&self, service: BoxService) {
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = Some(service);
    }

    /// The driver is gone.
    pub fn unplug(&self) {
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The way to whichever driver listens at the moment of a call.
    #[must_use]
    pub fn channel(&self) -> Channel {
        let socket = self.clone();
        Channel::from_service(BoxCloneSyncService::new(service_fn(move |request| {
            let driver = socket
                .driver
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            async move {
                match driver {
                    Some(driver) => driver.oneshot(request).await,
                    None => Ok(absent()),
                }
            }
        })))
    }
}

fn absent() -> Response<Body> {
    Status::unavailable("the CSI driver is not running").into_http()
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}
