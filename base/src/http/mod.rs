//! Metrics and health over HTTP.
//!
//! A combined process listens on each of upstream's ports and serves there only that function's series
//! (journeys 5.1); two functions with one address share the listener and their series are merged.
//!
//! | Path | Answer |
//! |---|---|
//! | the metrics path | Prometheus text; 429 beyond the rate of a [`Guard`] |
//! | `/healthz` | 200 `ok` while the process runs, or what a [`Health`] says |
//! | `/readyz` | 200 or 500; `?verbose` lists the conditions |
//! | `/healthz/leader-election` | 200 or 500 (sidecars 1.4); 404 without election |
//! | anything else | 404 |

mod exposition;
mod guard;
mod health;
mod leader;
mod readiness;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use prometheus::Registry;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use guard::Guard;
pub use health::{Health, Unhealthy};
pub use leader::{LeaderHealth, LeaseOverdue};
pub use readiness::{Readiness, ReadyHandle};
use tls::TlsListener;
pub use tls::{Tls, TlsError, serve_https};

use crate::args::HttpAddress;
use crate::{Bucket, Scope};

/// How many connections wait to be taken, as many as std and tokio let.
const BACKLOG: i32 = 1024;

/// The elections of one function, for `/healthz/leader-election`. Clones are the same. A function whose lease
/// is named after its driver joins when it knows the driver; until then it is a healthy candidate.
#[derive(Clone, Debug, Default)]
pub struct Elections {
    joined: Arc<Mutex<Vec<LeaderHealth>>>,
}

impl Elections {
    /// Adds an election.
    pub fn join(&self, health: LeaderHealth) {
        self.joined
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(health);
    }

    fn failures(&self) -> Vec<String> {
        let joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue = joined.iter().filter_map(|health| health.check().err());
        overdue.map(|overdue| overdue.to_string()).collect()
    }
}

impl From<LeaderHealth> for Elections {
    fn from(health: LeaderHealth) -> Self {
        let elections = Self::default();
        elections.join(health);
        elections
    }
}

/// What is served on one address.
#[derive(Clone, Debug, Default)]
struct Content {
    /// Registries by metrics path.
    metrics: BTreeMap<String, Vec<Registry>>,
    elections: Vec<Elections>,
    readiness: Readiness,
    /// With how often its files are looked at.
    tls: Option<(Tls, Duration)>,
    scrapes: Option<Bucket>,
    /// Held while metrics are gathered.
    gathering: Arc<tokio::sync::Mutex<()>>,
    health: Option<Arc<dyn Health>>,
}

/// The addresses of a process and what is served on each.
#[derive(Debug)]
pub struct Endpoints {
    readiness: Readiness,
    contents: BTreeMap<String, Content>,
}

/// A listener could not be had; the process ends with exit 1.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address:?} for metrics and health: {source}; choose another --http-endpoint")]
pub struct BindError {
    /// The address as it was given.
    pub address: String,
    /// What the operating system says.
    #[source]
    pub source: io::Error,
}

impl Endpoints {
    /// No address yet; all of them will answer `/readyz` by these conditions.
    #[must_use]
    pub fn new(readiness: Readiness) -> Self {
        Self {
            readiness,
            contents: BTreeMap::new(),
        }
    }

    /// Serves a function's metrics, and the health of its elections where it has any.
    pub fn add(&mut self, address: &HttpAddress, registry: &Registry, elections: Option<&Elections>) {
        let content = self.contents.entry(address.address.clone()).or_default();
        content.readiness = self.readiness.clone();
        content
            .metrics
            .entry(address.metrics_path.clone())
            .or_default()
            .push(registry.clone());
        if let Some(elections) = elections.filter(|_| address.election_health) {
            content.elections.push(elections.clone());
        }
    }

    /// What the listener of this address demands, with whoever shares it.
    pub fn guard(&mut self, address: &HttpAddress, guard: Guard) {
        let content = self.contents.entry(address.address.clone()).or_default();
        content.tls = guard.tls.map(|tls| (tls, guard.reload));
        content.scrapes = guard.scrapes.map(Bucket::new);
    }

    /// Serves a health of its own at `/healthz` of this address.
    pub fn health(&mut self, address: &str, health: Arc<dyn Health>) {
        let content = self.contents.entry(address.to_owned()).or_default();
        content.readiness = self.readiness.clone();
        content.health = Some(health);
    }

    /// Opens all the listeners.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub async fn bind(self) -> Result<Bound, BindError> {
        let mut listeners = Vec::new();
        for (address, content) in self.contents {
            match listen(&address).await {
                Ok(listener) => listeners.push((listener, content)),
                Err(source) => return Err(BindError { address, source }),
            }
        }
        Ok(Bound { listeners })
    }
}

/// Open listeners that do not answer yet.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<(TcpListener, Content)>,
}

impl Bound {
    /// Where the listeners are, in the order of the addresses as they were given.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|(listener, _)| listener.local_addr().ok())
            .collect()
    }

    /// Answers until the scope stops or ends. Give it a scope of its own that is stopped last: health is
    /// still asked for while the functions drain.
    pub fn serve(self, scope: &Scope) {
        for (listener, content) in self.listeners {
            let serving = serve(listener, content, scope.child());
            scope.spawn_named("server of metrics and health", serving);
        }
    }
}

async fn serve(listener: TcpListener, content: Content, scope: Scope) {
    let stopping = scope.stopping_token();
    match content.tls.clone() {
        Some((tls, period)) => {
            guard::follow(&tls, period, &scope);
            serve_on(TlsListener::new(listener, tls, scope), content, stopping).await;
        }
        None => serve_on(listener, content, stopping).await,
    }
}

async fn serve_on<L: Listener<Addr: std::fmt::Debug>>(
    listener: L,
    content: Content,
    stopping: CancellationToken,
) {
    let router = Router::new().fallback(answer).with_state(Arc::new(content));
    // The library's own tasks end with `_alive`, that is when this task is dropped in the middle.
    let (_alive, ended) = oneshot::channel::<()>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async {
        let _ = ended.await;
    });
    tokio::select! {
        biased;
        () = stopping.cancelled() => {}
        result = serving.into_future() => {
            if let Err(error) = result {
                tracing::error!(%error, "metrics and health server ended");
            }
        }
    }
}

/// As Go's `net.Listen("tcp", address)`: `:8080` and `0.0.0.0:8080` mean every address, IPv6 and IPv4 where there is IPv6,
/// and a name its first IPv4 address, or its first one where it has none.
///
/// # Errors
/// The address is taken, or is none.
pub async fn listen(address: &str) -> io::Result<TcpListener> {
    let port = ["", "0.0.0.0", "[::]"]
        .iter()
        .find_map(|every| address.strip_prefix(every)?.strip_prefix(':'));
    let Some(port) = port else {
        let found: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
        return TcpListener::bind(chosen(&found)?).await;
    };
    let port = port
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{port:?} is no port")))?;
    match every_address(port) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        result => result,
    }
}

/// IPv4 comes to it too, whatever the machine says of that (`net.ipv6.bindv6only`).
fn every_address(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The one of a name's addresses that is listened on.
fn chosen(addresses: &[SocketAddr]) -> io::Result<SocketAddr> {
    let old = addresses.iter().find(|address| address.is_ipv4());
    let none = || io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    old.or(addresses.first()).copied().ok_or_else(none)
}

async fn answer(State(content): State<Arc<Content>>, request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, "only GET\n").into_response();
    }
    let path = request.uri().path();
    if let Some(registries) = content.metrics.get(path) {
        if content
            .scrapes
            .as_ref()
            .is_some_and(|scrapes| !scrapes.try_take())
        {
            return (StatusCode::TOO_MANY_REQUESTS, "too many requests\n").into_response();
        }
        return metrics(&content.gathering, registries.clone()).await;
    }
    match path {
        "/healthz" => match &content.health {
            None => "ok".into_response(),
            Some(health) => match health.check().await {
                Ok(()) => "ok".into_response(),
                Err(unhealthy) => unhealthy.into_response(),
            },
        },
        "/healthz/leader-election" if !content.elections.is_empty() => election(&content.elections),
        "/readyz" => {
            let verbose = request.uri().query().is_some_and(|query| {
                query
                    .split('&')
                    .any(|part| part.split('=').next() == Some("verbose"))
            });
            readyz(&content.readiness, verbose)
        }
        _ => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    }
}

/// A collector may wait for a disk: all are asked beside the other tasks, and once at a time.
async fn metrics(gathering: &Arc<tokio::sync::Mutex<()>>, registries: Vec<Registry>) -> Response {
    let turn = gathering.clone().lock_owned().await;
    let gathered = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        exposition::exposition(&registries).map_err(|error| error.to_string())
    });
    let text = gathered.await.map_err(|error| error.to_string()).flatten();
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, exposition::MEDIA_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn readyz(readiness: &Readiness, verbose: bool) -> Response {
    let (ready, report) = readiness.report();
    match (ready, verbose) {
        (true, false) => "ok".into_response(),
        (true, true) => report.into_response(),
        (false, _) => (StatusCode::INTERNAL_SERVER_ERROR, report).into_response(),
    }
}

fn election(elections: &[Elections]) -> Response {
    let failures: BTreeSet<String> = elections.iter().flat_map(Elections::failures).collect();
    if failures.is_empty() {
        return "ok".into_response();
    }
    let text: Vec<String> = failures.into_iter().collect();
    let text = format!("internal server error: {}", text.join("; "));
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn sidecars_case_224_every_address_is_one_of_ipv6_too() {
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_err() {
            // A machine without IPv6: then it is every address of IPv4.
            let port = listen("0.0.0.0:0").await.unwrap().local_addr().unwrap().port();
            assert_ne!(port, 0);
            return;
        }
        assert!(listen(":http").await.is_err());
        for every in ["0.0.0.0:0", ":0", "[::]:0"] {
            let listener = listen(every).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.unwrap();
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        }
        let one = listen("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(one.ip(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn sidecars_case_225_a_name_means_its_ipv4_address_first() {
        let (new, old) = ("[::1]:80".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(chosen(&[new, old]).unwrap(), old);
        assert_eq!(chosen(&[new]).unwrap(), new);
        assert!(chosen(&[]).is_err());
    }
}
