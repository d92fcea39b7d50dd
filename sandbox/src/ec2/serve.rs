//! The service over HTTP on loopback.

use std::net::{IpAddr, SocketAddr};

use base::Scope;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tower::Service;

use super::Ec2;
use crate::listener;

const LARGEST_BODY: usize = 1 << 20;

/// Why the service is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener is reachable from elsewhere.
    #[error("the simulated EC2 listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The listener has no address.
    #[error("the listener of the simulated EC2 has no address")]
    NoAddress(#[source] std::io::Error),
}

/// No answer is to be given; hyper then closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(tower::BoxError);

impl Ec2 {
    /// Serves on a loopback listener until the scope stops or ends. Returns at once with the endpoint's URL.
    ///
    /// Requests whose Host is not loopback, or that come from a web page (they have an Origin), are refused.
    ///
    /// # Errors
    /// When the listener is not on loopback.
    pub fn serve(&self, listener: TcpListener, scope: &Scope) -> Result<String, ServeError> {
        let address = listener.local_addr().map_err(ServeError::NoAddress)?;
        if !address.ip().is_loopback() {
            return Err(ServeError::NotLoopback(address));
        }
        Ok(self.serve_anywhere(listener, address, scope))
    }

    /// The same on any address: for a network namespace of its own, whose pods are to reach it.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn serve_to_pods(&self, listener: TcpListener, scope: &Scope) -> Result<String, ServeError> {
        let address = listener.local_addr().map_err(ServeError::NoAddress)?;
        Ok(self.serve_anywhere(listener, address, scope))
    }

    fn serve_anywhere(&self, listener: TcpListener, address: SocketAddr, scope: &Scope) -> String {
        let ec2 = self.clone();
        let stopping = scope.stopping_token();
        let connections = scope.child();
        scope.spawn(listener::accept(listener, stopping, move |stream| {
            connections.spawn(ec2.clone().connection(stream, address.ip()));
        }));
        format!("http://{address}")
    }

    async fn connection(self, stream: TcpStream, own: IpAddr) {
        let service = service_fn(move |request| {
            let ec2 = self.clone();
            async move { ec2.exchange(request, own).await }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to the simulated EC2 ended");
        }
    }

    async fn exchange(
        mut self,
        request: Request<Incoming>,
        own: IpAddr,
    ) -> Result<Response<Full<Bytes>>, Broken> {
        if foreign(&request, own) {
            return Ok(plain(StatusCode::FORBIDDEN));
        }
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE));
        };
        let answer = self.call(Request::from_parts(head, body.to_bytes())).await;
        answer.map(|answer| answer.map(Full::new)).map_err(Broken)
    }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Whether a request comes from a web page, or by a name that is neither this machine's nor its own address.
fn foreign<B>(request: &Request<B>, own: IpAddr) -> bool {
    if request.headers().contains_key(header::ORIGIN) {
        return true;
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.parse::<http::uri::Authority>().ok());
    let Some(host) = host else {
        return true;
    };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let is_own = |address: IpAddr| address.is_loopback() || address == own;
    name != "localhost" && !name.parse::<IpAddr>().is_ok_and(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_requests_are_known() {
        for (host, origin, expected) in [
            (Some("127.0.0.1:4566"), None, false),
            (Some("localhost:4566"), None, false),
            (Some("[::1]:4566"), None, false),
            (Some("example.com:4566"), None, true),
            (Some("127.0.0.1.example.com"), None, true),
            (Some("10.0.0.1:4566"), None, false),
            (Some("10.0.0.2:4566"), None, true),
            (None, None, true),
            (Some("localhost"), Some("https://example.com"), true),
        ] {
            let mut request = Request::builder();
            if let Some(host) = host {
                request = request.header(header::HOST, host);
            }
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            assert_eq!(
                foreign(&request.body(()).unwrap(), IpAddr::from([10, 0, 0, 1])),
                expected,
                "{host:?} {origin:?}"
            );
        }
    }
}
