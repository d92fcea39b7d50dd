//! What environment and profile say of the way to AWS: region, addresses, certificates, proxies, credentials.

use std::time::Duration;

use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
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

/// Connections to EC2 that nobody used for so long are closed: each has some 60 kB of buffers.
const IDLE_CONNECTION: Duration = Duration::from_secs(15);

/// All of it, with the connections that go by it.
pub(super) async fn loaded(endpoint: &Endpoint) -> Result<(SdkConfig, SharedHttpClient), TrustError> {
    let http = http_client(&trust::context(&unconnected(endpoint).await).await?);
    let config = loader(endpoint).http_client(http.clone()).load().await;
    Ok((config, http))
}

/// What can be known without a connection: neither credentials nor a region that only the instance could tell.
pub(super) async fn unconnected(endpoint: &Endpoint) -> SdkConfig {
    loader(endpoint).no_credentials().load().await
}

fn loader(endpoint: &Endpoint) -> aws_config::ConfigLoader {
    let named = endpoint.region.clone().or_else(region_of_environment);
    let region =
        RegionProviderChain::first_try(named.map(Region::new)).or_else(ProfileFileRegionProvider::new());
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).region(region);
    match AppName::new(endpoint.user_agent.clone()) {
        Ok(name) => loader.app_name(name),
        Err(_) => loader,
    }
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
