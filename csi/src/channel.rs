//! The transport of the generated clients.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::{Random, Scope};
use http::{Request, Response};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::address::Address;
use crate::connection::Connection;
use crate::inventory::Inventory;
use crate::metrics::{Measured, Metrics};
use crate::{answer, v1};

/// What a failed call fails with before it becomes a status.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A service that answers gRPC requests, such as a driver's [`Routes`] or a fault-injecting layer around one.
pub type BoxService = BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;

/// The largest answer that is accepted, in bytes. gRPC's usual 4 MiB end at some 20,000 snapshots in one list.
pub const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Whether the driver can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Connected; `connection` counts the connections made so far, so a quick reconnection shows too.
    Connected {
        /// 1 for the first connection.
        connection: u64,
    },
    /// Not connected since then (or not yet). New attempts are under way.
    Lost {
        /// When the connection was lost, or when the channel was made.
        since: Instant,
    },
}

/// What a reconnecting channel needs.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Owns the connection: it ends with the scope.
    pub scope: Scope,
    /// For the jitter between attempts.
    pub random: Random,
}

/// The way to a CSI driver, for the generated clients. Clones share the connection.
///
/// - The `grpc-timeout` of a request ([`request`]) is enforced here too: a silent driver gives DeadlineExceeded.
/// - A transport that fails gives Unavailable, never Unknown.
/// - An answer that breaks the protocol gives one clear error, marked [`crate::status::Malformed`].
#[derive(Clone, Debug)]
pub struct Channel {
    transport: Transport,
    metrics: Option<Metrics>,
    inventory: Option<Arc<dyn Inventory>>,
}

#[derive(Clone, Debug)]
enum Transport {
    Remote(Connection),
    Local(BoxService, Arc<watch::Sender<State>>),
}

/// A request that ends within `timeout`, on both sides.
#[must_use]
pub fn request<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}

impl Channel {
    /// A channel to a driver that listens at `address`. Does not wait: the first attempt begins at once, later
    /// ones follow 100 ms to 1 s apart until the scope ends or the last clone is gone. A call made while there is
    /// no connection fails with Unavailable and the reason of the last attempt.
    #[must_use]
    pub fn connect(address: &Address, options: ConnectOptions) -> Self {
        Self {
            transport: Transport::Remote(Connection::open(address.clone(), options)),
            metrics: None,
            inventory: None,
        }
    }

    /// A channel to a driver in this process. Always connected.
    #[must_use]
    pub fn in_process(routes: Routes) -> Self {
        let service = ServiceExt::<Request<Body>>::map_err(routes.prepare(), |never| match never {});
        Self::from_service(BoxCloneSyncService::new(service))
    }

    /// A channel over any service: the seam at which tests inject faults.
    #[must_use]
    pub fn from_service(service: BoxService) -> Self {
        let state = watch::Sender::new(State::Connected { connection: 1 });
        Self {
            transport: Transport::Local(service, Arc::new(state)),
            metrics: None,
            inventory: None,
        }
    }

    /// The same channel with its calls measured.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// The same channel to a driver in this process that tells of its volumes too.
    #[must_use]
    pub fn with_inventory(self, inventory: Arc<dyn Inventory>) -> Self {
        Self {
            inventory: Some(inventory),
            ..self
        }
    }

    /// What the driver tells beside CSI; nothing where it runs elsewhere, or has no such thing.
    #[must_use]
    pub fn inventory(&self) -> Option<&Arc<dyn Inventory>> {
        self.inventory.as_ref()
    }

    /// The state of the connection, now and as it changes. The sender lives as long as the channel.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        match &self.transport {
            Transport::Remote(connection) => connection.state(),
            Transport::Local(_, state) => state.subscribe(),
        }
    }

    /// Resolves once the driver is connected. Never, if the channel's scope has ended before.
    pub async fn connected(&self) {
        let mut state = self.state();
        if state
            .wait_for(|state| matches!(state, State::Connected { .. }))
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// Why the driver cannot be reached, as a call would fail now: Unavailable with the reason of the last attempt.
    /// Nothing where it is connected or the first attempt runs, and never in process.
    #[must_use]
    pub fn failure(&self) -> Option<Status> {
        match &self.transport {
            Transport::Remote(connection) => connection.failure(),
            Transport::Local(..) => None,
        }
    }

    /// Resolves once the driver was away for `duration` without a break (decision 3). Never in process.
    pub async fn lost_for(&self, duration: Duration) {
        let mut state = self.state();
        loop {
            let now = *state.borrow_and_update();
            let changed = async {
                if state.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            match now {
                State::Connected { .. } => changed.await,
                State::Lost { since } => tokio::select! {
                    biased;
                    () = changed => {}
                    () = tokio::time::sleep_until(since + duration) => return,
                },
            }
        }
    }

    /// Where the driver is, for messages.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.transport {
            Transport::Remote(connection) => connection.address().to_string(),
            Transport::Local(..) => "in process".to_string(),
        }
    }

    /// A client of the Identity service.
    #[must_use]
    pub fn identity(&self) -> v1::identity_client::IdentityClient<Self> {
        v1::identity_client::IdentityClient::new(self.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// A client of the Controller service that accepts long lists ([`MAX_ANSWER_BYTES`]).
    #[must_use]
    pub fn controller(&self) -> v1::controller_client::ControllerClient<Self> {
        v1::controller_client::ControllerClient::new(self.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// A client of the GroupController service.
    #[must_use]
    pub fn group_controller(&self) -> v1::group_controller_client::GroupControllerClient<Self> {
        v1::group_controller_client::GroupControllerClient::new(self.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// A client of the SnapshotMetadata service.
    #[must_use]
    pub fn snapshot_metadata(&self) -> v1::snapshot_metadata_client::SnapshotMetadataClient<Self> {
        v1::snapshot_metadata_client::SnapshotMetadataClient::new(self.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// A client of the Node service.
    #[must_use]
    pub fn node(&self) -> v1::node_client::NodeClient<Self> {
        v1::node_client::NodeClient::new(self.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }
}

impl Transport {
    async fn send(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        match self {
            Self::Remote(connection) => connection.send(request).await,
            Self::Local(service, _) => {
                service
                    .oneshot(request)
                    .await
                    .map_err(|error| match error.downcast::<Status>() {
                        Ok(status) => *status,
                        Err(error) => {
                            Status::unavailable(format!("the CSI driver cannot be reached: {error}"))
                        }
                    })
            }
        }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut measured = Measured::start(self.metrics.as_ref(), &mut request);
        let deadline = answer::deadline(request.headers());
        let sent = self.transport.clone().send(request);
        Box::pin(async move {
            let answered = match deadline {
                None => sent.await,
                Some(at) => match tokio::time::timeout_at(at, sent).await {
                    // tonic keeps time too, and calls the end of it a transport error.
                    Ok(Err(_)) if Instant::now() >= at => Err(answer::deadline_exceeded(measured.method())),
                    Ok(answered) => answered,
                    Err(_) => Err(answer::deadline_exceeded(measured.method())),
                },
            };
            match answered {
                Ok(response) => answer::check(response, measured, deadline).map_err(BoxError::from),
                Err(status) => {
                    measured.end(status.code());
                    Err(status.into())
                }
            }
        })
    }
}

/// Says that a transport error is no verdict of the driver.
pub(crate) fn unreachable(address: &Address, reason: &dyn std::fmt::Display) -> Status {
    Status::new(
        Code::Unavailable,
        format!("the CSI driver at {address} cannot be reached: {reason}"),
    )
}
