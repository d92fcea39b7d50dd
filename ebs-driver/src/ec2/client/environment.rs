//! What environment and profile say of the way to AWS: region, addresses, certificates, proxies, credentials.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::{ProvideRegion, RegionProviderChain};
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::TlsContext;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_types::service_config::ServiceConfigKey;

use super::Endpoint;
use super::proxies::{ByHost, NoProxy};
use super::setup::Service;
use super::trust::{self, TrustError};
use crate::tokenless;

/// Connections to EC2 that nobody used for so long are closed: each has some 60 kB of buffers.
const IDLE_CONNECTION: Duration = Duration::from_secs(15);

/// What a pod is told whose service account has a role (IRSA).
const WEB_IDENTITY: [&str; 2] = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"];

/// All of it, with the connections that go by it.
pub(super) async fn loaded(endpoint: &Endpoint) -> Result<(SdkConfig, SharedHttpClient), TrustError> {
    let config = unconnected(endpoint).await;
    let http = http_client(&trust::context(&config).await?);
    let credentials = credentials(&config, &http).await;
    let config = config
        .into_builder()
        .http_client(http.clone())
        .credentials_provider(credentials)
        .build();
    Ok((config, http))
}

/// What can be known without a connection: neither credentials nor a region that only the instance could tell.
pub(super) async fn unconnected(endpoint: &Endpoint) -> SdkConfig {
    let named = endpoint.region.clone().or_else(region_of_environment);
    let region =
        RegionProviderChain::first_try(named.map(Region::new)).or_else(ProfileFileRegionProvider::new());
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(region)
        .no_credentials();
    if let Ok(name) = AppName::new(endpoint.user_agent.clone()) {
        loader = loader.app_name(name);
    }
    loader.load().await
}

/// Where credentials come from, as Go's SDK looks for them: keys of the environment, then web identity of the environment, then
/// the rest. Amazon's chain has the profile before web identity, so that the file of keys that a role of the service account
/// takes the place of would win while it stays mounted.
async fn credentials(config: &SdkConfig, http: &SharedHttpClient) -> SharedCredentialsProvider {
    let told = provider_config(config, http).await;
    let chain = DefaultCredentialsChain::builder()
        .configure(told.clone())
        .region(config.region().cloned())
        .imds_client(tokenless::client(told.clone()).build())
        .build()
        .await;
    if WEB_IDENTITY.into_iter().any(|name| variable(name).is_none()) {
        return SharedCredentialsProvider::new(chain);
    }
    let web_identity = WebIdentityTokenCredentialsProvider::builder()
        .configure(&told)
        .build();
    let keys = EnvironmentVariableCredentialsProvider::new();
    SharedCredentialsProvider::new(
        CredentialsProviderChain::first_try("Environment", keys)
            .or_else("WebIdentityToken", web_identity)
            .or_else("Default", chain),
    )
}

/// The same settings for those who ask for credentials.
async fn provider_config(config: &SdkConfig, http: &SharedHttpClient) -> ProviderConfig {
    let mut told = ProviderConfig::without_region()
        .with_http_client(http.clone())
        .with_region(config.region().cloned())
        .with_use_fips(config.use_fips())
        .with_use_dual_stack(config.use_dual_stack())
        .with_behavior_version(Some(BehaviorVersion::v2026_01_12()));
    if let Some(retries) = config.retry_config() {
        told = told.with_retry_config(retries.clone());
    }
    if let Some(timeouts) = config.timeout_config() {
        told = told.with_timeout_config(timeouts.clone());
    }
    // The address of STS that the profile names is known to who asks once the profile has been read.
    let profile = ProfileFileRegionProvider::builder().configure(&told).build();
    let _ = ProvideRegion::region(&profile).await;
    told
}

fn region_of_environment() -> Option<String> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(variable)
}

/// A variable that says something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What a variable says, that of the service before that of all, or else the profile.
pub(super) fn configured(
    config: &SdkConfig,
    service: Service,
    variable: &str,
    of_profile: &str,
) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service.id)
        .env(variable)
        .profile(of_profile)
        .build()
        .ok()?;
    config.service_config().and_then(|of| of.load_config(key))
}

/// Connections as Amazon's crates make them, and through the proxies that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`,
/// `NO_PROXY`), which they leave out of themselves.
fn http_client(trusted: &TlsContext) -> SharedHttpClient {
    let through_proxies = connections(trusted, ProxyConfig::from_env());
    match NoProxy::of_environment() {
        None => through_proxies,
        Some(no_proxy) => SharedHttpClient::new(ByHost {
            through_proxies,
            direct: connections(trusted, ProxyConfig::disabled()),
            no_proxy,
        }),
    }
}

fn connections(trusted: &TlsContext, proxies: ProxyConfig) -> SharedHttpClient {
    let trusted = trusted.clone();
    let connector = move |settings: Option<&HttpConnectorSettings>,
                          components: Option<&RuntimeComponents>| {
        let mut builder = Connector::builder()
            .pool_idle_timeout(IDLE_CONNECTION)
            .proxy_config(proxies.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .tls_context(trusted.clone())
            .build()
    };
    aws_smithy_http_client::Builder::new().build_with_connector_fn(connector)
}
