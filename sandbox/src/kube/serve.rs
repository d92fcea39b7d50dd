//! The API over HTTP on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;

use super::body::Body;
use super::error::ApiError;
use super::request;
use super::server::ApiServer;
use super::service::ApiService;

/// The user of everybody who has the token.
const USER: &str = "kubernetes-admin";

impl ApiServer {
    /// Serves the API over HTTP to those who have `token`, until the server's scope stops.
    /// Running watches end then, other requests are answered first.
    ///
    /// Requests are refused unless they name a loopback host, come from no foreign web page (Origin) and
    /// carry the token: as bearer token, or as the first part of the path, since `kubectl` sends no bearer
    /// token over plain HTTP.
    pub fn serve(&self, listener: TcpListener, token: &str) {
        let (service, scope) = (self.service(USER), self.inner.scope.child());
        let (stopping, token) = (self.inner.stopping.clone(), Arc::<str>::from(token));
        self.inner.scope.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = stopping.cancelled() => break,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, _)) => {
                        let (service, token) = (service.clone(), token.clone());
                        let stopping = stopping.clone();
                        scope.spawn(
                            async move { connection(stream, service, token, stopping.cancelled()).await },
                        );
                    }
                    Err(error) => {
                        // Out of file descriptors, mostly: others may be given back soon.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                }
            }
            scope.finished().await;
        });
    }

    /// The kubeconfig of a server at `address`, as YAML.
    #[must_use]
    pub fn kubeconfig(&self, address: SocketAddr, token: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: sandbox\n  cluster:\n    \
             server: http://{address}/{token}\nusers:\n- name: sandbox\n  user:\n    token: {token}\ncontexts:\n\
             - name: sandbox\n  context:\n    cluster: sandbox\n    user: sandbox\n    namespace: default\n\
             current-context: sandbox\n"
        )
    }
}

async fn connection(
    stream: TcpStream,
    service: ApiService,
    token: Arc<str>,
    stopping: impl Future<Output = ()>,
) {
    // Answers are small and each is waited for.
    let _ = stream.set_nodelay(true);
    let serve = service_fn(move |request| answer(request, service.clone(), token.clone()));
    let mut builder = hyper::server::conn::http1::Builder::new();
    let connection = builder
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), serve);
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
    mut request: Request<Incoming>,
    mut service: ApiService,
    token: Arc<str>,
) -> Result<Response<Body>, Infallible> {
    if let Err(error) = check_origin(request.headers()).and_then(|()| check_token(&mut request, &token)) {
        return Ok(request::refuse(&error));
    }
    service.call(request).await
}

/// Refuses requests that a web page made, by another name of this host or from another origin.
fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let host = headers.get(HOST).map(text).unwrap_or_default();
    if !is_loopback(&host) {
        return Err(ApiError::refused(
            "the Host header must name this machine's loopback",
        ));
    }
    let origin = headers.get(ORIGIN).map(text);
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

/// Checks the token; one in the path is taken off it.
fn check_token(request: &mut Request<Incoming>, token: &str) -> Result<(), ApiError> {
    let uri = request.uri();
    let text = uri.path_and_query().map_or("/", |text| text.as_str());
    if let Some(rest) = text.strip_prefix('/').and_then(|text| split_token(text, token)) {
        let rest = if rest.starts_with('/') {
            rest.to_owned()
        } else {
            format!("/{rest}")
        };
        *request.uri_mut() = rest
            .parse::<Uri>()
            .map_err(|_| ApiError::bad_request("the path is malformed"))?;
        return Ok(());
    }
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let sent = header.and_then(|value| value.strip_prefix("Bearer "));
    if sent.is_some_and(|sent| equal(sent.trim().as_bytes(), token.as_bytes())) {
        Ok(())
    } else {
        Err(ApiError::unauthorized())
    }
}

/// What follows the token at the start of a path.
fn split_token<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    let (sent, rest) = (text.as_bytes().get(..token.len())?, text.get(token.len()..)?);
    let ended = rest.is_empty() || rest.starts_with(['/', '?']);
    (ended && !token.is_empty() && equal(sent, token.as_bytes())).then_some(rest)
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

    #[test]
    fn tokens_in_paths() {
        assert_eq!(split_token("abc/api?x=1", "abc"), Some("/api?x=1"));
        assert_eq!(split_token("abc?x=1", "abc"), Some("?x=1"));
        assert_eq!(split_token("abcd/api", "abc"), None);
        assert_eq!(split_token("api", "abc"), None);
        assert_eq!(split_token("/api", ""), None);
    }
}
