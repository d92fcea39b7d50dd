//! The port over `aws-sdk-ec2`. The SDK sends and reads; retries, limits, metrics and time are ours.
//! Source: spec 3.1, 3.8; decision 30.

mod instances;
mod port;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{Builder, IdentityCache, StalledStreamProtectionConfig};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::dns::ResolveDnsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::DispatchFailure;
use base::Clock;
use bytes::Bytes;
use tokio::sync::OnceCell;
use tower::BoxError;
use tower::util::BoxCloneSyncService;

use super::connector::{ClockSource, InProcess};
use super::errors::{Action, Ec2Error, Failure, Lost, stable_message};
use super::retry::Caller;
use crate::deadline::Deadline;

/// Connections to EC2 that nobody used for so long are closed: each has some 60 kB of buffers.
const IDLE_CONNECTION: Duration = Duration::from_secs(15);

/// EC2 as a service in this process: the sandbox.
pub type InProcessService = BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>;

/// How EC2 is reached.
#[derive(Clone)]
pub enum Ec2Transport {
    /// Over the network, with the credentials of the default chain: environment, profile, web identity (IRSA),
    /// container (Pod Identity, ECS), IMDS. Nothing is asked before the first EC2 call.
    Sdk,
    /// A service in this process, with fixed credentials.
    InProcess(InProcessService),
}

impl fmt::Debug for Ec2Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sdk => "Sdk",
            Self::InProcess(_) => "InProcess",
        })
    }
}

/// What the flags and the environment say of EC2.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Endpoint {
    /// Overrides the address of EC2 (`AWS_EC2_ENDPOINT`).
    pub url: Option<String>,
    /// Overrides the region (`AWS_REGION`).
    pub region: Option<String>,
    /// Names us in the user agent.
    pub user_agent: String,
}

/// The port over the SDK.
pub struct SdkEc2 {
    transport: Ec2Transport,
    endpoint: Endpoint,
    clock: Clock,
    caller: Caller,
    client: OnceCell<Client>,
}

impl fmt::Debug for SdkEc2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdkEc2")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl SdkEc2 {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(transport: Ec2Transport, endpoint: Endpoint, clock: Clock, caller: Caller) -> Self {
        Self {
            transport,
            endpoint,
            clock,
            caller,
            client: OnceCell::new(),
        }
    }

    async fn client(&self, action: Action, deadline: Deadline) -> Result<&Client, Ec2Error> {
        let client = self.client.get_or_init(async || {
            let config = match &self.transport {
                Ec2Transport::Sdk => self.network_config().await,
                Ec2Transport::InProcess(service) => self.in_process_config(service),
            };
            Client::from_conf(config.build())
        });
        deadline
            .limit(client)
            .await
            .ok_or_else(|| Ec2Error::lost(action, Lost::Credentials, "the AWS configuration took too long"))
    }

    async fn network_config(&self) -> Builder {
        let http = aws_smithy_http_client::Builder::new()
            .pool_idle_timeout(IDLE_CONNECTION)
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
        if let Some(region) = &self.endpoint.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Ok(name) = AppName::new(self.endpoint.user_agent.clone()) {
            loader = loader.app_name(name);
        }
        let mut builder = ours(Builder::from(&loader.load().await));
        builder.set_endpoint_url(self.endpoint.url.clone());
        builder
    }

    fn in_process_config(&self, service: &InProcessService) -> Builder {
        let region = self
            .endpoint
            .region
            .clone()
            .unwrap_or_else(|| "us-east-1".to_owned());
        ours(Builder::new())
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(InProcess(service.clone()))
            .time_source(ClockSource(self.clock.clone()))
            .credentials_provider(Credentials::from_keys("sandbox", "sandbox", None))
            .identity_cache(IdentityCache::no_cache())
            .region(Region::new(region))
            .endpoint_url("http://ec2.sandbox")
    }

    /// One page after the other.
    async fn pages<A, T, F>(
        &self,
        action: Action,
        deadline: Deadline,
        send: impl Fn(Option<String>) -> F,
        split: impl Fn(A) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>, Ec2Error>
    where
        F: Future<Output = Result<A, Ec2Error>>,
    {
        let mut all = Vec::new();
        let mut token = None;
        loop {
            let answer = self.caller.call(action, deadline, || send(token.clone())).await?;
            let (page, next) = split(answer);
            all.extend(page);
            let next = next.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(all);
            }
            if next == token {
                return Err(Ec2Error::lost(
                    action,
                    Lost::Malformed,
                    "the same page token came twice",
                ));
            }
            token = next;
        }
    }
}

/// What holds for every transport.
fn ours(builder: Builder) -> Builder {
    builder
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(4))
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .sleep_impl(TokioSleep::new())
}

/// The SDK's error as ours.
fn failure<E>(action: Action, error: SdkError<E, HttpResponse>) -> Ec2Error
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let metadata = answer.err().meta();
            match metadata.code() {
                Some(code) => Ec2Error {
                    action,
                    failure: Failure::Answer {
                        status,
                        code: code.to_owned(),
                        message: stable_message(metadata.message().unwrap_or_default()),
                    },
                },
                None => Ec2Error::lost(
                    action,
                    Lost::Malformed,
                    format!("HTTP status {status} without an error code"),
                ),
            }
        }
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            let detail = format!("HTTP status {status}: {}", root_cause(&error));
            Ec2Error::lost(action, Lost::Malformed, detail)
        }
        SdkError::TimeoutError(_) => Ec2Error::lost(action, Lost::Timeout, ""),
        SdkError::DispatchFailure(dispatch) => {
            Ec2Error::lost(action, lost(dispatch, &error), root_cause(&error))
        }
        _ => Ec2Error::lost(action, Lost::NotSent, root_cause(&error)),
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
