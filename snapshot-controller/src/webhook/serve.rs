//! `/convert` and `/readyz` over HTTPS.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use base::Scope;
use base::http::{Tls, TlsError, listen, serve_https};
use tokio::net::TcpListener;

use super::args::Args;
use super::review;

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
    /// The listener has ended.
    #[error("the listener ended: {0}")]
    Listener(#[from] io::Error),
}

/// Serves what the flags say until `scope` stops.
///
/// # Errors
/// [`ServeError`].
pub async fn run(args: &Args, scope: &Scope) -> Result<(), ServeError> {
    let file = |file: &Option<PathBuf>| file.clone().unwrap_or_default();
    let tls = Tls::from_files(&file(&args.tls_cert_file), &file(&args.tls_private_key_file))?;
    let port = args.port;
    let listener = listen(&format!(":{port}")).await;
    let listener = listener.map_err(|source| ServeError::Bind { port, source })?;
    tracing::info!(port, "converting group snapshot objects");
    tokio::select! {
        biased;
        ended = serve(listener, tls.clone(), scope) => ended,
        () = tls.reload_every(RELOAD) => Ok(()),
    }
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
