//! How a request gets to EC2, and to SageMaker: credentials, signature, address, connection. All of it is Amazon's.

use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::service_clock_skew::ServiceClockSkewInterceptor;
use aws_runtime::user_agent::{ApiMetadata, UserAgentInterceptor};
use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::{SharedIdentityCache, SharedIdentityResolver};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use base::Clock;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use thiserror::Error;

use super::connector::{ClockSource, InProcess};
use super::environment::{configured, loaded};
use super::sagemaker::SageMaker;
use super::trust::TrustError;
use super::{Endpoint, InProcessService, root_cause};
use crate::hyperpod::Caller;
use crate::names::VERSION;

/// The account of what runs in this process.
const ACCOUNT_IN_PROCESS: &str = "111122223333";

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(4);

/// What EC2 answered, whatever it means.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// All of it.
    pub(super) body: Bytes,
}

/// Sends an encoded form, once.
pub(super) type Operation = operation::Operation<String, Answer, Infallible>;

/// A request of the JSON protocol.
#[derive(Debug)]
pub(super) struct JsonRequest {
    /// Service and action, as `SageMaker.AttachClusterNodeVolume`.
    pub(super) target: String,
    /// The body.
    pub(super) body: String,
}

/// Sends such a request, once.
pub(super) type JsonOperation = operation::Operation<JsonRequest, Answer, Infallible>;

/// A service of AWS: its name in messages, and that by which requests are signed and variables are named.
#[derive(Clone, Copy)]
pub(super) struct Service {
    pub(super) id: &'static str,
    name: &'static str,
}

pub(super) const EC2: Service = Service {
    id: "EC2",
    name: "ec2",
};
const SAGEMAKER: Service = Service {
    id: "SageMaker",
    name: "sagemaker",
};

/// Why nothing can be sent.
#[derive(Debug, Error)]
pub(super) enum SetupError {
    /// No flag, variable and profile names one.
    #[error("no AWS region is known: set AWS_REGION")]
    NoRegion,
    /// Who asks is not known, and so the account of the cluster.
    #[error("STS does not tell the account: {0}")]
    Account(String),
    /// The certificates that are to be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There is no such region.
    #[error("EC2 has no address in the region {region:?}: {source}; check AWS_REGION")]
    Address {
        /// The region.
        region: String,
        /// Why.
        source: BoxError,
    },
}

/// What differs from transport to transport.
struct Way {
    region: Region,
    url: String,
    http: SharedHttpClient,
    credentials: Option<SharedCredentialsProvider>,
    identities: Option<SharedIdentityCache>,
    time: Option<SharedTimeSource>,
    name: Option<AppName>,
}

/// Over the network, as the environment says.
pub(super) async fn over_network(endpoint: &Endpoint) -> Result<Operation, SetupError> {
    let (config, http) = loaded(endpoint).await?;
    let region = config.region().cloned().ok_or(SetupError::NoRegion)?;
    let url = match endpoint.url.clone().or_else(|| configured_url(&config, EC2)) {
        Some(url) => url,
        None => own_url(&region, &config).await?,
    };
    Ok(operation(EC2, Way::of(&config, http, region, url), request))
}

/// The same to SageMaker, in the name that STS tells.
pub(super) async fn sagemaker_over_network(endpoint: &Endpoint) -> Result<SageMaker, SetupError> {
    let (config, http) = loaded(endpoint).await?;
    let region = config.region().cloned().ok_or(SetupError::NoRegion)?;
    let given = endpoint.sagemaker_url.clone();
    let url = match given.or_else(|| configured_url(&config, SAGEMAKER)) {
        Some(url) => url,
        None => {
            let sts = sts_url(&region, is_fips(&config), is_dual_stack(&config)).await?;
            of_sagemaker(&sts, is_fips(&config), is_dual_stack(&config))
        }
    };
    let asked = aws_sdk_sts::Client::new(&config).get_caller_identity().send();
    let known = asked
        .await
        .map_err(|error| SetupError::Account(root_cause(&error)))?;
    let account = known.account().unwrap_or_default();
    if account.is_empty() {
        return Err(SetupError::Account("it names none".to_owned()));
    }
    Ok(SageMaker {
        caller: Caller::of(known.arn().unwrap_or_default(), account),
        region: region.to_string(),
        operation: operation(SAGEMAKER, Way::of(&config, http, region, url), json_request),
    })
}

fn is_fips(config: &SdkConfig) -> bool {
    config.use_fips().unwrap_or_default()
}

fn is_dual_stack(config: &SdkConfig) -> bool {
    config.use_dual_stack().unwrap_or_default()
}

impl Way {
    fn of(config: &SdkConfig, http: SharedHttpClient, region: Region, url: String) -> Self {
        Self {
            region,
            url,
            http,
            credentials: config.credentials_provider(),
            identities: config.identity_cache(),
            time: config.time_source(),
            name: config.app_name().cloned(),
        }
    }

    /// To a service in this process.
    fn in_process(endpoint: &Endpoint, service: &InProcessService, clock: &Clock, to: Service) -> Self {
        Self {
            region: Region::new(region_in_process(endpoint)),
            url: format!("http://{}.sandbox", to.name),
            http: SharedHttpClient::new(InProcess(service.clone())),
            credentials: Some(SharedCredentialsProvider::new(Credentials::from_keys(
                "sandbox", "sandbox", None,
            ))),
            identities: Some(IdentityCache::no_cache()),
            time: Some(SharedTimeSource::new(ClockSource(clock.clone()))),
            name: None,
        }
    }
}

fn region_in_process(endpoint: &Endpoint) -> String {
    endpoint.region.clone().unwrap_or_else(|| "us-east-1".to_owned())
}

/// To a service in this process.
pub(super) fn in_process(endpoint: &Endpoint, service: &InProcessService, clock: &Clock) -> Operation {
    operation(EC2, Way::in_process(endpoint, service, clock, EC2), request)
}

/// The same to SageMaker. There is one account.
pub(super) fn sagemaker_in_process(
    endpoint: &Endpoint,
    service: &InProcessService,
    clock: &Clock,
) -> SageMaker {
    let way = Way::in_process(endpoint, service, clock, SAGEMAKER);
    SageMaker {
        operation: operation(SAGEMAKER, way, json_request),
        caller: Caller::of("", ACCOUNT_IN_PROCESS),
        region: region_in_process(endpoint),
    }
}

/// `AWS_ENDPOINT_URL_EC2` or its like in the profile, then `AWS_ENDPOINT_URL`: as every SDK of Amazon does.
fn configured_url(config: &SdkConfig, service: Service) -> Option<String> {
    let of_service = configured(config, service, "AWS_ENDPOINT_URL", "endpoint_url");
    of_service.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// EC2's own address in a region. It is named as that of STS, whose rules come with the credentials: so partitions, FIPS
/// and dual stack are kept by Amazon and not here.
async fn own_url(region: &Region, config: &SdkConfig) -> Result<String, SetupError> {
    let sts = sts_url(region, is_fips(config), is_dual_stack(config)).await?;
    Ok(of_ec2(&sts))
}

fn of_ec2(sts: &str) -> String {
    sts.replacen("://sts", "://ec2", 1)
}

async fn sts_url(region: &Region, is_fips: bool, is_dual_stack: bool) -> Result<String, SetupError> {
    let no_address = |source: BoxError| SetupError::Address {
        region: region.to_string(),
        source,
    };
    let params = Params::builder()
        .region(region.as_ref())
        .use_fips(is_fips)
        .use_dual_stack(is_dual_stack)
        .use_global_endpoint(false)
        .build()
        .map_err(|error| no_address(error.into()))?;
    let sts = DefaultResolver::new()
        .resolve_endpoint(&params)
        .await
        .map_err(no_address)?;
    Ok(sts.url().to_owned())
}

/// SageMaker's address beside that of STS: of the same domain, and with names of its own for FIPS.
fn of_sagemaker(sts: &str, is_fips: bool, is_dual_stack: bool) -> String {
    let domain = sts.split_once('.').map_or(sts, |(_, domain)| domain);
    let name = match is_fips {
        false => "api.sagemaker",
        true if !is_dual_stack && domain.ends_with(".amazonaws.com") => "api-fips.sagemaker",
        true => "api.sagemaker-fips",
    };
    format!("https://{name}.{domain}")
}

fn operation<I: Debug + Send + Sync + 'static>(
    service: Service,
    way: Way,
    serialize: fn(I) -> Result<HttpRequest, BoxError>,
) -> operation::Operation<I, Answer, Infallible> {
    let mut config = Layer::new(service.id);
    config.store_put(AuthSchemeOptionResolverParams::new(()));
    config.store_put(SigV4OperationSigningConfig {
        region: Some(SigningRegion::from(way.region)),
        name: Some(SigningName::from_static(service.name)),
        ..SigV4OperationSigningConfig::default()
    });
    config.store_put(ApiMetadata::new(service.name, VERSION));
    config.store_or_unset(way.name);
    let mut components = RuntimeComponentsBuilder::new(service.id)
        .with_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(
            StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]),
        )))
        .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
        .with_http_client(Some(way.http))
        .with_identity_cache(way.identities)
        .with_time_source(way.time);
    if let Some(credentials) = way.credentials {
        components.set_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(credentials));
    }
    let plugin = StaticRuntimePlugin::new()
        .with_config(config.freeze())
        .with_runtime_components(components);
    operation::Operation::builder()
        .service_name(service.id)
        .operation_name(service.name)
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(&way.url)
        .no_retry()
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .sleep_impl(TokioSleep::new())
        .interceptor(UserAgentInterceptor::new())
        .interceptor(ServiceClockSkewInterceptor::new())
        .with_connection_poisoning()
        .runtime_plugin(plugin)
        .serializer(serialize)
        .deserializer(|answer: &HttpResponse| {
            Ok(Answer {
                status: answer.status().as_u16(),
                body: answer
                    .body()
                    .bytes()
                    .map(Bytes::copy_from_slice)
                    .unwrap_or_default(),
            })
        })
        .build()
}

/// The request that carries a form.
fn request(form: String) -> Result<HttpRequest, BoxError> {
    let request = http::Request::post("/")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(CONTENT_LENGTH, form.len())
        .body(SdkBody::from(form))?;
    Ok(HttpRequest::try_from(request)?)
}

/// The request that carries JSON.
fn json_request(request: JsonRequest) -> Result<HttpRequest, BoxError> {
    let request = http::Request::post("/")
        .header(CONTENT_TYPE, "application/x-amz-json-1.1")
        .header(CONTENT_LENGTH, request.body.len())
        .header("x-amz-target", request.target)
        .body(SdkBody::from(request.body))?;
    Ok(HttpRequest::try_from(request)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rules of botocore say of SageMaker.
    #[tokio::test]
    async fn ebs_case_158_sagemaker_has_an_address_in_each_partition() {
        for (region, is_fips, is_dual_stack, url) in [
            (
                "us-east-1",
                false,
                false,
                "https://api.sagemaker.us-east-1.amazonaws.com",
            ),
            (
                "us-east-1",
                false,
                true,
                "https://api.sagemaker.us-east-1.api.aws",
            ),
            (
                "us-west-2",
                true,
                false,
                "https://api-fips.sagemaker.us-west-2.amazonaws.com",
            ),
            (
                "us-west-2",
                true,
                true,
                "https://api.sagemaker-fips.us-west-2.api.aws",
            ),
            (
                "us-gov-west-1",
                true,
                false,
                "https://api-fips.sagemaker.us-gov-west-1.amazonaws.com",
            ),
            (
                "cn-north-1",
                false,
                false,
                "https://api.sagemaker.cn-north-1.amazonaws.com.cn",
            ),
        ] {
            let sts = sts_url(&Region::new(region), is_fips, is_dual_stack)
                .await
                .unwrap();
            assert_eq!(of_sagemaker(&sts, is_fips, is_dual_stack), url);
        }
    }

    /// What Amazon's reference of EC2 and of its partitions says.
    #[tokio::test]
    async fn ec2_has_an_address_in_each_partition() {
        let rows = [
            ("us-east-1", false, false, "https://ec2.us-east-1.amazonaws.com"),
            ("eu-central-1", false, true, "https://ec2.eu-central-1.api.aws"),
            (
                "us-west-2",
                true,
                false,
                "https://ec2-fips.us-west-2.amazonaws.com",
            ),
            ("us-west-2", true, true, "https://ec2-fips.us-west-2.api.aws"),
            (
                "us-gov-west-1",
                false,
                false,
                "https://ec2.us-gov-west-1.amazonaws.com",
            ),
            (
                "us-gov-west-1",
                true,
                false,
                "https://ec2.us-gov-west-1.amazonaws.com",
            ),
            (
                "cn-north-1",
                false,
                false,
                "https://ec2.cn-north-1.amazonaws.com.cn",
            ),
            (
                "cn-north-1",
                false,
                true,
                "https://ec2.cn-north-1.api.amazonwebservices.com.cn",
            ),
            (
                "us-iso-east-1",
                false,
                false,
                "https://ec2.us-iso-east-1.c2s.ic.gov",
            ),
            (
                "eusc-de-east-1",
                false,
                false,
                "https://ec2.eusc-de-east-1.amazonaws.eu",
            ),
        ];
        for (region, is_fips, is_dual_stack, url) in rows {
            let found = sts_url(&Region::new(region), is_fips, is_dual_stack).await;
            assert_eq!(of_ec2(&found.unwrap()), url, "{region} {is_fips} {is_dual_stack}");
        }
        let error = sts_url(&Region::new("no region"), false, false)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("check AWS_REGION"), "{error}");
    }
}
