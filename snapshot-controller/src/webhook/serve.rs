//! `/convert` and `/readyz` over HTTPS.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use base::args::Environment;
use base::http::{Tls, TlsError, listen, serve_https};
use base::{Clock, Scope};
use prometheus::Registry;
use runtime::client::{ClientError, Connection, proxy_remark};
use tokio::net::TcpListener;

use super::args::{Args, TwoIssuers};
use super::certificate::keeper::Keeper;
use super::{NAME, review};

/// A review holds all objects of a list.
const LARGEST_REVIEW: usize = 256 << 20;
/// How long a review may take to arrive, as upstream.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How often the certificate is looked at. Kubelet takes a minute or more to bring a renewed one.
const RELOAD: Duration = Duration::from_secs(10);

/// Why the webhook ends. The process ends with exit 1.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The port cannot be had.
    #[error("cannot listen on port {port}: {source}; choose another --port")]
    Bind {
        /// The port.
        port: u16,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The flags contradict each other.
    #[error(transparent)]
    Flags(#[from] TwoIssuers),
    /// The API server cannot be reached as the flags say.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The metrics of the client cannot be registered.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The listener has ended.
    #[error("the listener ended: {0}")]
    Listener(#[from] io::Error),
}

/// Serves what the flags say until `scope` stops.
///
/// # Errors
/// [`ServeError`].
pub async fn run(
    args: &Args,
    environment: &Environment,
    agent: &str,
    scope: &Scope,
) -> Result<(), ServeError> {
    let Some((certificate, key)) = args.files()? else {
        return run_self_signed(args, environment, agent, scope).await;
    };
    let tls = Tls::from_files(&certificate, &key)?;
    let listener = bound(args.port).await?;
    tokio::select! {
        biased;
        ended = serve(listener, tls.clone(), scope) => ended,
        () = tls.reload_every(RELOAD) => Ok(()),
    }
}

async fn run_self_signed(
    args: &Args,
    environment: &Environment,
    agent: &str,
    scope: &Scope,
) -> Result<(), ServeError> {
    if let Some(remark) = proxy_remark(&args.kube, environment) {
        tracing::warn!("{remark}");
    }
    let connection = Connection::from_args(&args.kube, agent).await?;
    let clients = connection.clients(NAME, &Registry::new())?;
    let mut keeper = Keeper::new(&clients.work, args.own(environment), &Clock::system());
    let tls = tokio::select! {
        biased;
        () = scope.stopping() => return Ok(()),
        tls = keeper.first() => tls,
    };
    let listener = bound(args.port).await?;
    tokio::select! {
        biased;
        ended = serve(listener, tls.clone(), scope) => ended,
        () = keeper.keep(tls) => Ok(()),
    }
}

async fn bound(port: u16) -> Result<TcpListener, ServeError> {
    let listener = listen(&format!(":{port}")).await;
    let listener = listener.map_err(|source| ServeError::Bind { port, source })?;
    tracing::info!(port, "converting group snapshot objects");
    Ok(listener)
}

/// Serves on a listener until `scope` stops.
///
/// # Errors
/// The listener cannot be used any longer.
pub async fn serve(listener: TcpListener, tls: Tls, scope: &Scope) -> Result<(), ServeError> {
    let router = Router::new()
        .route("/readyz", any(|| async { "ok" }))
        .route("/convert", post(convert));
    Ok(serve_https(listener, tls, router, scope).await?)
}

async fn convert(request: Request) -> Response {
    if !is_json(&request) {
        // API servers send nothing else.
        return refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be application/json",
        );
    }
    let body = tokio::time::timeout(ARRIVAL, to_bytes(request.into_body(), LARGEST_REVIEW)).await;
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return refused(StatusCode::BAD_REQUEST, &format!("cannot read the body: {error}")),
        Err(_) => return refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
    };
    match review::answer(&body) {
        Ok(answer) => {
            if let Some(message) = answer["response"]["result"]["message"].as_str() {
                tracing::warn!("{message}");
            }
            ([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
        }
        Err(error) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default();
    media.trim().eq_ignore_ascii_case("application/json")
}

fn refused(code: StatusCode, text: &str) -> Response {
    tracing::warn!(code = code.as_u16(), "{text}");
    (code, format!("{text}\n")).into_response()
}
