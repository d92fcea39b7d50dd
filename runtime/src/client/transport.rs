//! What carries the requests to the API server: one HTTP/2 connection for all of them, as other clients do. kube's own
//! client opens a connection for each open request, with some 64 kB of buffers each.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::Config;
use kube::client::{Body, ConfigExt as _, RustlsTlsError};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt as _, service_fn};

/// Limit for opening a connection: an API server that does not answer is noticed within one try of a lease.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing came for so long is asked whether it still works. Source: client-go, as the next one.
const PING_AFTER: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(15);
/// Connections on which nothing was asked for so long are not used again; of a server that speaks HTTP/1.1 only they are closed.
/// Longer than a watch: that of all requests is in use though only answers come.
const IDLE: Duration = Duration::from_secs(300);
/// So that a firewall does not forget a connection that is idle, and one that it has forgotten is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Sends requests. Clones share the connections.
pub(super) type Transport = BoxCloneSyncService<Request<Body>, Response<Answer>, BoxError>;
/// The body of an answer.
pub(super) type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// Sends by a client that is there already.
pub(super) fn of_client(client: kube::Client) -> Transport {
    of_service(service_fn(move |request| {
        let client = client.clone();
        async move { client.send(request).await }
    }))
}

fn of_service<S, B>(service: S) -> Transport
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let erased = |answer: Response<B>| answer.map(|body| body.map_err(Into::into).boxed_unsync());
    BoxCloneSyncService::new(service.map_response(erased).map_err(Into::into))
}

/// The way to the configured server, without kube's own client, which adds a queue between its users and the connection.
/// HTTP/1.1 where the server, or a proxy before it, speaks nothing newer.
///
/// # Errors
/// When certificates, keys or credentials cannot be used.
pub(super) fn client(config: &Config) -> Result<Transport, kube::Error> {
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PONG_WITHIN)
        .http2_keep_alive_while_idle(true)
        .build::<_, Body>(connector(config)?);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(of_service(service))
}

fn connector(config: &Config) -> Result<TimeoutConnector<HttpsConnector<HttpConnector>>, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // Each request is waited for: none may lie around until there are more.
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    let mut tls = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    if let Some(name) = config.tls_server_name.clone() {
        let name = name
            .try_into()
            .map_err(|error| kube::Error::RustlsTls(RustlsTlsError::InvalidServerName(error)))?;
        tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut connector = TimeoutConnector::new(tls.enable_all_versions().wrap_connector(tcp));
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Ok(connector)
}
