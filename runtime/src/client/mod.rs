//! Clients of the API server, with the layers that every function wants.
//!
//! One [`Connection`] a process; from it each function gets its own client, which counts its requests in
//! its own registry under its own name and has its own rate limit if one is asked for. They share the
//! connections. Retries are not hidden in here: a 429 or 5xx reaches the caller, whose queue backs off.
//! In tests and in the sandbox [`Connection::over`] puts the same layers over any client.

mod explain;
mod kubeconfig;
mod layers;
mod metrics;
mod rest_client;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use base::RateLimit;
use http::HeaderValue;
use kube::Config;
use prometheus::Registry;
use tokio::sync::Semaphore;

pub(crate) use self::explain::chain;
pub use self::explain::{ClientError, explain};
pub use self::kubeconfig::proxy_remark;
pub use self::metrics::RequestKind;
use self::rest_client::RestClientMetrics;
use self::transport::Transport;

use crate::args::KubeArgs;

/// Limit for the beginning of an answer; watches begin at once and then stay open. Source: the API server's
/// own limit of a request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests of one function that wait for the beginning of their answer at the same time. The API server answers no
/// faster when more are open, and a connection carries only so many (by default 100).
const IN_FLIGHT: usize = 32;
/// What client-go calls the host of a client without an address.
const UNKNOWN_HOST: &str = "none";

/// The way to the API server.
#[derive(Clone)]
pub struct Connection {
    base: Transport,
    /// Where objects without a namespace are.
    namespace: String,
    server: String,
    /// Host and port of the API server, for metrics.
    host: String,
    limit: Option<RateLimit>,
    agent: Option<HeaderValue>,
}

impl Connection {
    /// Reads the kubeconfig, or the pod's service account when neither a file nor an address is named. Sends nothing.
    ///
    /// # Errors
    /// One line that says what to do.
    pub async fn from_args(args: &KubeArgs, user_agent: &str) -> Result<Self, ClientError> {
        let config = match (args.kubeconfig(), args.master()) {
            (Some(path), master) => kubeconfig::read(path, master).await?,
            (None, Some(master)) => kubeconfig::without_file(master)?,
            (None, None) => Config::incluster().map_err(ClientError::not_in_a_cluster)?,
        };
        let agent = agent(user_agent)?;
        let server = config.cluster_url.to_string();
        let host = config.cluster_url.authority().map(ToString::to_string);
        let namespace = config.default_namespace.clone();
        let base = transport::client(&config).map_err(|error| ClientError::setup(&server, &error))?;
        Ok(Self {
            base,
            namespace,
            server,
            host: host.unwrap_or_else(|| UNKNOWN_HOST.to_owned()),
            limit: args.rate_limit(),
            agent: Some(agent),
        })
    }

    /// A connection over an existing client, without limit unless one is given.
    #[must_use]
    pub fn over(base: kube::Client, limit: Option<RateLimit>) -> Self {
        Self {
            namespace: base.default_namespace().to_owned(),
            base: transport::of_client(base),
            server: "the API server given".to_owned(),
            host: UNKNOWN_HOST.to_owned(),
            limit,
            agent: None,
        }
    }

    /// The same connection for what the functions of a process share: without limit, so that the one of one function
    /// does not slow down the others, and under a name of its own.
    ///
    /// # Errors
    /// The user agent is no header value.
    pub fn shared(&self, user_agent: &str) -> Result<Self, ClientError> {
        Ok(Self {
            limit: None,
            agent: Some(agent(user_agent)?),
            ..self.clone()
        })
    }

    /// The clients of one function, counted in `registry` as `component`.
    ///
    /// # Errors
    /// When `registry` has clients already.
    pub fn clients(&self, component: &str, registry: &Registry) -> Result<Clients, prometheus::Error> {
        let rest_client = RestClientMetrics::new(&self.host, registry)?;
        self.counted(component, registry, rest_client)
    }

    /// Clients for what the functions share, counted in `registry` as `component`, and in `rest_client_*`, which know of no
    /// components, together with those of one function.
    ///
    /// # Errors
    /// As [`Connection::clients`].
    pub fn clients_beside(
        &self,
        function: &Clients,
        component: &str,
        registry: &Registry,
    ) -> Result<Clients, prometheus::Error> {
        self.counted(component, registry, function.rest_client.clone())
    }

    fn counted(
        &self,
        component: &str,
        registry: &Registry,
        rest_client: RestClientMetrics,
    ) -> Result<Clients, prometheus::Error> {
        let metrics = metrics::RequestMetrics::new(component, registry)?;
        Ok(Clients {
            work: self.layered(&metrics, &rest_client, self.limit, Some(IN_FLIGHT)),
            leases: self.layered(&metrics, &rest_client, None, None),
            rest_client,
        })
    }

    fn layered(
        &self,
        metrics: &metrics::RequestMetrics,
        rest_client: &RestClientMetrics,
        limit: Option<RateLimit>,
        in_flight: Option<usize>,
    ) -> kube::Client {
        let service = layers::Layered {
            base: self.base.clone(),
            agent: self.agent.clone(),
            metrics: metrics.clone(),
            rest_client: rest_client.clone(),
            bucket: limit.map(base::Bucket::new),
            places: in_flight.map(|places| Arc::new(Semaphore::new(places))),
            answer_timeout: ANSWER_TIMEOUT,
        };
        kube::Client::new(service, self.namespace.clone())
    }

    /// URL of the API server, for messages.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration holds credentials.
        f.debug_struct("Connection")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// The clients of one function.
#[derive(Clone)]
pub struct Clients {
    /// For everything but leases; limited as the flags ask, and in the number of open requests.
    pub work: kube::Client,
    /// For leases: never limited, so that load cannot starve renewals (snapshot 5.2).
    pub leases: kube::Client,
    rest_client: RestClientMetrics,
}

fn agent(user_agent: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(user_agent).map_err(|_| ClientError::UserAgent)
}
