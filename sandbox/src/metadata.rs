//! The metadata service of one EC2 instance on loopback, for node services that run as processes.
//!
//! Answers the instance identity document, MAC addresses, the block device mapping, the Outpost and the role's
//! credentials; a token must be fetched first (IMDSv2), unless its owner wants it otherwise, who also changes the instance and
//! takes the service down.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Scope;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::listener;

/// The name of the instance's role.
const ROLE: &str = "sandbox-role";
const TOKEN: &str = "sandbox-token";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// What the service says of its instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Instance {
    /// ID.
    pub id: String,
    /// Instance type.
    pub instance_type: String,
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// Attached network interfaces.
    pub interfaces: usize,
    /// Volumes attached at the start, besides the root volume.
    pub extra_volumes: usize,
    /// ARN of the Outpost it is on.
    pub outpost_arn: Option<String>,
    /// The access key that the instance's role has, if it has a role.
    pub access_key: Option<String>,
}

impl Default for Instance {
    fn default() -> Self {
        Self {
            id: "i-0123456789abcdef0".to_owned(),
            instance_type: "m5.large".to_owned(),
            region: "us-east-1".to_owned(),
            zone: "us-east-1a".to_owned(),
            interfaces: 1,
            extra_volumes: 0,
            outpost_arn: None,
            access_key: None,
        }
    }
}

/// What the service does about tokens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Tokens {
    /// It gives them and wants them.
    #[default]
    Wanted,
    /// It refuses them with this status, and answers without.
    Refused(StatusCode),
    /// They never arrive, as beyond a hop limit of 1, and it answers without.
    Lost,
    /// They never arrive, and it wants them.
    WantedAndLost,
}

/// The service. Clones are handles of the same one.
#[derive(Clone, Debug, Default)]
pub struct MetadataService {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    instance: Instance,
    is_down: bool,
    tokens: Tokens,
    asked: Vec<String>,
}

impl MetadataService {
    /// The service of this instance.
    #[must_use]
    pub fn new(instance: Instance) -> Self {
        let service = Self::default();
        service.state().instance = instance;
        service
    }

    /// Changes the instance.
    pub fn change(&self, change: impl FnOnce(&mut Instance)) {
        change(&mut self.state().instance);
    }

    /// Answers everything with 500 from now on, or no longer.
    pub fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Does so about tokens from now on.
    pub fn set_tokens(&self, tokens: Tokens) {
        self.state().tokens = tokens;
    }

    /// The paths that were asked for so far, tokens left out.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// Serves on a loopback listener until the scope stops or ends. Returns at once with the endpoint's URL.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn serve(&self, listener: TcpListener, scope: &Scope) -> std::io::Result<String> {
        let address: SocketAddr = listener.local_addr()?;
        let (service, stopping, connections) = (self.clone(), scope.stopping_token(), scope.child());
        scope.spawn(listener::accept(listener, stopping, move |stream| {
            connections.spawn(service.clone().connection(stream));
        }));
        Ok(format!("http://{address}"))
    }

    async fn connection(self, stream: TcpStream) {
        let service = service_fn(move |request| {
            let answer = self.answer(&request);
            async move {
                match answer {
                    Some(answer) => Ok::<_, Infallible>(answer),
                    None => std::future::pending().await,
                }
            }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to the metadata service ended");
        }
    }

    /// None where nothing ever arrives.
    fn answer(&self, request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
        let mut state = self.state();
        let path = request.uri().path();
        if state.is_down {
            return Some(empty(StatusCode::INTERNAL_SERVER_ERROR));
        }
        if request.method() == Method::PUT && path == "/latest/api/token" {
            return match state.tokens {
                Tokens::Wanted => Some(token(request)),
                Tokens::Refused(status) => Some(empty(status)),
                Tokens::Lost | Tokens::WantedAndLost => None,
            };
        }
        let sent = request.headers().get(TOKEN_HEADER);
        let is_wanted = matches!(state.tokens, Tokens::Wanted | Tokens::WantedAndLost);
        // The real service refuses a wrong one, whether it wants any or not.
        if sent.map_or(is_wanted, |token| token != TOKEN) {
            return Some(empty(StatusCode::UNAUTHORIZED));
        }
        state.asked.push(path.to_owned());
        Some(match body(&state.instance, path) {
            Some(body) => response(StatusCode::OK, body),
            None => empty(StatusCode::NOT_FOUND),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn token(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = response(StatusCode::OK, TOKEN.to_owned());
    if let Some(ttl) = request.headers().get(TTL_HEADER) {
        response.headers_mut().insert(TTL_HEADER, ttl.clone());
    }
    response
}

fn body(instance: &Instance, path: &str) -> Option<String> {
    match path {
        "/latest/dynamic/instance-identity/document" => Some(
            json!({
                "instanceId": instance.id,
                "instanceType": instance.instance_type,
                "region": instance.region,
                "availabilityZone": instance.zone,
                "accountId": "123456789012",
            })
            .to_string(),
        ),
        "/latest/meta-data/" => Some("block-device-mapping/\ninstance-id\nnetwork/".to_owned()),
        "/latest/meta-data/network/interfaces/macs" => {
            let lines = (0..instance.interfaces).map(|number| format!("02:00:00:00:00:{number:02x}/"));
            Some(lines.collect::<Vec<_>>().join("\n"))
        }
        "/latest/meta-data/block-device-mapping" => {
            let volumes = (1..=instance.extra_volumes).map(|number| format!("ebs{number}"));
            let lines = std::iter::once("ami".to_owned()).chain(volumes);
            Some(lines.chain(["root".to_owned()]).collect::<Vec<_>>().join("\n"))
        }
        "/latest/meta-data/outpost-arn" => instance.outpost_arn.clone(),
        "/latest/meta-data/iam/security-credentials/" => {
            instance.access_key.as_ref().map(|_| ROLE.to_owned())
        }
        path if path.strip_prefix("/latest/meta-data/iam/security-credentials/") == Some(ROLE) => {
            let credentials = |key: &String| {
                json!({
                    "Code": "Success",
                    "Type": "AWS-HMAC",
                    "LastUpdated": "2026-01-01T00:00:00Z",
                    "Expiration": "2099-01-01T00:00:00Z",
                    "AccessKeyId": key,
                    "SecretAccessKey": "sandbox",
                    "Token": "sandbox",
                })
            };
            instance
                .access_key
                .as_ref()
                .map(|key| credentials(key).to_string())
        }
        _ => None,
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    response(status, String::new())
}

fn response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
