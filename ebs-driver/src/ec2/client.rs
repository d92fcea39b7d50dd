//! The port over EC2's Query protocol. Amazon's own crates sign, find credentials and connect; the requests are ours,
//! since the SDK of EC2 is too large to build beside them (decision 79), and so are retries, limits, metrics and time.
//! Source: spec 3.1, 3.8; decision 30.

mod answers;
mod connector;
mod environment;
mod form;
mod instances;
mod port;
mod proxies;
mod read;
mod sagemaker;
mod setup;
mod trust;

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::dns::ResolveDnsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use base::Clock;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use tower::BoxError;
use tower::util::BoxCloneSyncService;

use super::errors::{Action, Ec2Error, Lost};
use super::retry::Caller;
use crate::deadline::Deadline;
use form::Form;
use sagemaker::SageMaker;
use setup::{Answer, Operation};

pub use trust::TrustError;

/// EC2 as a service in this process: the sandbox.
pub type InProcessService = BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>;

/// How EC2 is reached.
#[derive(Clone)]
pub enum Ec2Transport {
    /// Over the network, with the credentials of Go's chain: environment, web identity (IRSA), profile, container (Pod
    /// Identity, ECS), IMDS. Nothing is asked before the first EC2 call.
    Network,
    /// A service in this process, with fixed credentials.
    InProcess(InProcessService),
}

impl fmt::Debug for Ec2Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "Network",
            Self::InProcess(_) => "InProcess",
        })
    }
}

/// What the flags and the environment say of EC2.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Endpoint {
    /// Overrides the address of EC2 (`AWS_EC2_ENDPOINT`). Without it that of `AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL`
    /// or the profile holds, then EC2's own in the region.
    pub url: Option<String>,
    /// Overrides the address of SageMaker (`AWS_SAGEMAKER_ENDPOINT`), which nodes of HyperPod need.
    pub sagemaker_url: Option<String>,
    /// Overrides the region (`AWS_REGION`). Without it `AWS_DEFAULT_REGION` and the profile are asked, but no instance.
    pub region: Option<String>,
    /// Names us in the user agent.
    pub user_agent: String,
    /// Whether the bodies of requests and answers are logged (`--aws-sdk-debug-log`). What signs them is in no body.
    pub logs_bodies: bool,
}

/// Looks, before anything is asked, at what would keep every request from being sent.
///
/// # Errors
/// When the certificates that environment or profile name cannot be used.
pub async fn check(endpoint: &Endpoint) -> Result<(), TrustError> {
    let config = environment::unconnected(endpoint).await;
    trust::context(&config).await.map(drop)
}

/// The region that endpoint, environment or profile name. No instance is asked.
pub async fn configured_region(endpoint: &Endpoint) -> Option<String> {
    let config = environment::unconnected(endpoint).await;
    config.region().map(ToString::to_string)
}

/// The port over the Query protocol.
pub struct QueryEc2 {
    transport: Ec2Transport,
    endpoint: Endpoint,
    clock: Clock,
    caller: Caller,
    operation: OnceCell<Operation>,
    sagemaker: OnceCell<SageMaker>,
}

impl fmt::Debug for QueryEc2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryEc2")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl QueryEc2 {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(transport: Ec2Transport, endpoint: Endpoint, clock: Clock, caller: Caller) -> Self {
        Self {
            transport,
            endpoint,
            clock,
            caller,
            operation: OnceCell::new(),
            sagemaker: OnceCell::new(),
        }
    }

    /// The configuration is read once; what cannot be used is looked for again at the next call.
    async fn operation(&self, action: Action, deadline: Deadline) -> Result<&Operation, Ec2Error> {
        let operation = self.operation.get_or_try_init(async || match &self.transport {
            Ec2Transport::Network => setup::over_network(&self.endpoint).await,
            Ec2Transport::InProcess(service) => Ok(setup::in_process(&self.endpoint, service, &self.clock)),
        });
        match deadline.limit(operation).await {
            Some(Ok(operation)) => Ok(operation),
            Some(Err(error)) => Err(Ec2Error::lost(action, Lost::NotSent, error.to_string())),
            None => Err(Ec2Error::lost(
                action,
                Lost::Credentials,
                "the AWS configuration took too long",
            )),
        }
    }

    /// Sends until there is an answer that repeating would not change.
    async fn call<A: DeserializeOwned>(&self, form: &Form, deadline: Deadline) -> Result<A, Ec2Error> {
        let operation = self.operation(form.action, deadline).await?;
        let attempt = || self.send(operation, form);
        self.caller.call(&form.request(), deadline, attempt).await
    }

    /// One attempt.
    async fn send<A: DeserializeOwned>(&self, operation: &Operation, form: &Form) -> Result<A, Ec2Error> {
        let request = form.encoded();
        if self.endpoint.logs_bodies {
            tracing::info!(request, "a request to EC2");
        }
        let answer = operation.invoke(request).await;
        let Answer { status, body } = answer.map_err(|error| failure(form.action, &error))?;
        if self.endpoint.logs_bodies {
            tracing::info!(status, answer = %String::from_utf8_lossy(&body), "an answer of EC2");
        }
        read::answer(form.action, status, &body)
    }

    /// Sends a dry run, of which nothing is recorded.
    async fn rehearse(&self, form: &Form, deadline: Deadline) -> Result<(), Ec2Error> {
        let operation = self.operation(form.action, deadline).await?;
        let attempt = || self.send(operation, form);
        let answer = self.caller.rehearse(&form.request(), deadline, attempt).await;
        answer.map(|answers::Done {}| ())
    }

    /// One page after the other.
    async fn pages<A: DeserializeOwned, T>(
        &self,
        form: &Form,
        deadline: Deadline,
        split: impl Fn(A) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>, Ec2Error> {
        let mut all = Vec::new();
        let mut token = None;
        loop {
            let form = form.clone().with_set("NextToken", token.as_deref());
            let (page, next) = split(self.call(&form, deadline).await?);
            all.extend(page);
            let next = next.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(all);
            }
            if next == token {
                return Err(Ec2Error::lost(
                    form.action,
                    Lost::Malformed,
                    "the same page token came twice",
                ));
            }
            token = next;
        }
    }
}

/// Why there is no answer.
fn failure<E: Error + 'static>(action: Action, error: &SdkError<E, HttpResponse>) -> Ec2Error {
    match error {
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            let detail = format!("HTTP status {status}: {}", root_cause(error));
            Ec2Error::lost(action, Lost::Malformed, detail)
        }
        SdkError::TimeoutError(_) => Ec2Error::lost(action, Lost::Timeout, ""),
        SdkError::DispatchFailure(dispatch) => {
            Ec2Error::lost(action, lost(dispatch, error), root_cause(error))
        }
        _ => Ec2Error::lost(action, Lost::NotSent, root_cause(error)),
    }
}

fn lost(dispatch: &DispatchFailure, error: &(dyn Error + 'static)) -> Lost {
    if chain(error).any(|cause| cause.is::<CredentialsError>()) {
        Lost::Credentials
    } else if chain(error).any(|cause| cause.is::<ResolveDnsError>()) {
        Lost::Dns
    } else if dispatch.is_timeout() {
        Lost::Timeout
    } else if dispatch.is_user() {
        Lost::NotSent
    } else {
        Lost::Connection
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}
