//! The API over HTTPS on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Service as _;

use super::body::Body;
use super::certificate::CertificateError;
use super::error::ApiError;
use super::request;
use super::server::ApiServer;
use super::service::ApiService;
use crate::listener;

/// The user of everybody who has the token.
const USER: &str = "kubernetes-admin";
/// How long a client may take to agree on encryption.
const HANDSHAKE: Duration = Duration::from_secs(10);

impl ApiServer {
    /// Serves the API over HTTPS to those who have `token`, until the server's scope stops.
    /// Running watches end then, other requests are answered first.
    ///
    /// The certificate is made by the server itself and stands in the kubeconfig; `kubectl` sends no bearer
    /// token over plain HTTP. Requests are refused unless they name a loopback host, come from no foreign
    /// web page (Origin) and carry the bearer token.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn serve(&self, listener: TcpListener, token: &str) -> Result<(), CertificateError> {
        let (service, scope) = (self.service(USER), self.inner.scope.child());
        let acceptor = self.inner.identity()?.acceptor()?;
        let (stopping, token) = (self.inner.stopping.clone(), Arc::<str>::from(token));
        self.inner.scope.spawn(async move {
            let serve = |stream| {
                let (service, token) = (service.clone(), token.clone());
                let (acceptor, stopping) = (acceptor.clone(), stopping.clone());
                scope.spawn(async move {
                    if let Some(stream) = handshake(stream, acceptor).await {
                        connection(stream, service, token, stopping.cancelled()).await;
                    }
                });
            };
            listener::accept(listener, stopping.clone(), serve).await;
            scope.finished().await;
        });
        Ok(())
    }

    /// The kubeconfig of a server at `address`, as YAML: its certificate, the token.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn kubeconfig(&self, address: SocketAddr, token: &str) -> Result<String, CertificateError> {
        let authority = STANDARD.encode(self.inner.identity()?.pem());
        Ok(format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: sandbox\n  cluster:\n    \
             server: https://{address}\n    certificate-authority-data: {authority}\nusers:\n- name: sandbox\n  user:\n    token: {token}\ncontexts:\n\
             - name: sandbox\n  context:\n    cluster: sandbox\n    user: sandbox\n    namespace: default\n\
             current-context: sandbox\n"
        ))
    }
}

/// The encrypted stream of a connection; none when the client does not agree.
async fn handshake(stream: TcpStream, acceptor: TlsAcceptor) -> Option<TlsStream<TcpStream>> {
    // Answers are small and each is waited for.
    let _ = stream.set_nodelay(true);
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no agreement on encryption");
            None
        }
        Err(_) => None,
    }
}

async fn connection(
    stream: TlsStream<TcpStream>,
    service: ApiService,
    token: Arc<str>,
    stopping: impl Future<Output = ()>,
) {
    let serve = service_fn(move |request| answer(request, service.clone(), token.clone()));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    let connection = builder.serve_connection(TokioIo::new(stream), serve);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stopping => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients drop watches without a word: nothing is wrong.
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer(
    request: Request<Incoming>,
    mut service: ApiService,
    token: Arc<str>,
) -> Result<Response<Body>, Infallible> {
    let allowed = check_origin(&request).and_then(|()| check_token(request.headers(), &token));
    if let Err(error) = allowed {
        return Ok(request::refuse(&error));
    }
    service.call(request).await
}

/// Refuses requests that a web page made, by another name of this host or from another origin.
fn check_origin<B>(request: &Request<B>) -> Result<(), ApiError> {
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    // HTTP/2 has the host in its URI.
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str().to_owned());
    let mut hosts = request
        .headers()
        .get(HOST)
        .map(text)
        .into_iter()
        .chain(authority)
        .peekable();
    if hosts.peek().is_none() || !hosts.all(|host| is_loopback(&host)) {
        return Err(ApiError::refused(
            "the Host header must name this machine's loopback",
        ));
    }
    let origin = request.headers().get(ORIGIN).map(text);
    let foreign = |origin: &String| {
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        !is_loopback(authority)
    };
    if origin.as_ref().is_some_and(foreign) {
        return Err(ApiError::refused("requests of foreign origin are refused"));
    }
    Ok(())
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(host, _)| host),
        None => authority.split(':').next().unwrap_or_default(),
    };
    matches!(host, "127.0.0.1" | "localhost" | "::1")
}

/// Checks the bearer token.
fn check_token(headers: &HeaderMap, token: &str) -> Result<(), ApiError> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = header.and_then(|value| value.strip_prefix("Bearer "));
    if sent.is_some_and(|sent| equal(sent.trim().as_bytes(), token.as_bytes())) {
        Ok(())
    } else {
        Err(ApiError::unauthorized())
    }
}

/// Compares in a time that does not tell where the difference is.
fn equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |found, (a, b)| found | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names() {
        for (authority, good) in [
            ("127.0.0.1:80", true),
            ("localhost", true),
            ("[::1]:6443", true),
            ("127.0.0.1.example.com", false),
            ("example.com:80", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(authority), good, "{authority}");
        }
    }
}
