//! The instance metadata service where it gives no token: version 1 of it, as Go's SDK falls back to it. Amazon's client knows
//! version 2 alone, so that here, below it, a token is made up and left out of the requests.
//!
//! ```text
//! PUT token ──> answered ──────────────────────────────────> version 2
//!     │ no answer in time (a hop limit of 1), 403, 404, 405
//! GET without a token ──> 200 ─────────────────────────────> version 1, until a 401
//!     │ otherwise
//!     └────────────────────────────────────────────────────> what PUT came to
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_config::imds::Client;
use aws_config::imds::client::Builder;
use aws_config::provider_config::ProviderConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

/// Where tokens are given.
const TOKENS: &str = "/latest/api/token";
/// What each instance answers, to whom it answers at all.
const SOMETHING: &str = "/latest/meta-data/";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const LIFETIME: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Forbids version 1.
const DISABLED: &str = "AWS_EC2_METADATA_V1_DISABLED";
const UNAUTHORIZED: u16 = 401;

/// A client of the service with the settings of `config` but for its connections: they go through no proxy.
pub(crate) fn client(config: ProviderConfig) -> Builder {
    let plain = aws_smithy_http_client::Builder::new().build_http();
    let is_disabled = std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let http = if is_disabled {
        plain
    } else {
        SharedHttpClient::new(Tokenless::over(plain))
    };
    Client::builder().configure(&config.with_http_client(http))
}

/// What was found out of the service.
#[derive(Debug, Default)]
struct Known {
    /// It gives no tokens and wants none.
    is_version_1: AtomicBool,
    /// It was told that it can neither be asked with tokens nor without.
    is_told: AtomicBool,
}

#[derive(Debug)]
struct Tokenless {
    inner: SharedHttpClient,
    known: Arc<Known>,
}

impl Tokenless {
    fn over(inner: SharedHttpClient) -> Self {
        Self {
            inner,
            known: Arc::default(),
        }
    }
}

impl HttpClient for Tokenless {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            inner: self.inner.http_connector(settings, components),
            known: self.known.clone(),
        })
    }
}

#[derive(Clone, Debug)]
struct Connector {
    inner: SharedHttpConnector,
    known: Arc<Known>,
}

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        if request.method() == "PUT" && request.uri().ends_with(TOKENS) {
            return HttpConnectorFuture::new(async move { connector.token(request).await });
        }
        if !self.known.is_version_1.load(Ordering::Relaxed) {
            return self.inner.call(request);
        }
        request.headers_mut().remove(TOKEN);
        HttpConnectorFuture::new(async move {
            let answer = connector.inner.call(request).await?;
            if answer.status().as_u16() == UNAUTHORIZED {
                // Tokens are wanted by now. Amazon's client tries again, with one.
                connector.known.is_version_1.store(false, Ordering::Relaxed);
            }
            Ok(answer)
        })
    }
}

impl Connector {
    async fn token(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        if self.known.is_version_1.load(Ordering::Relaxed) {
            return made_up();
        }
        let something = request.uri().replace(TOKENS, SOMETHING);
        let answer = self.inner.call(request).await;
        let Some(reason) = none_given(&answer) else {
            return answer;
        };
        match self.status_of(&something).await {
            Some(200) => {
                self.known.is_version_1.store(true, Ordering::Relaxed);
                tracing::warn!(
                    "the instance metadata service gives no token ({reason}) and is asked without one (IMDSv1); set \
                     HttpPutResponseHopLimit of the instance to 2, or AWS_EC2_METADATA_V1_DISABLED=true"
                );
                made_up()
            }
            Some(UNAUTHORIZED) if !self.known.is_told.swap(true, Ordering::Relaxed) => {
                tracing::warn!(
                    "the instance metadata service wants a token and gives none ({reason}): set HttpPutResponseHopLimit of the \
                     instance to 2"
                );
                answer
            }
            _ => answer,
        }
    }

    /// The status of a GET without a token.
    async fn status_of(&self, url: &str) -> Option<u16> {
        let request = HttpRequest::get(url).ok()?;
        let answer = self.inner.call(request).await.ok()?;
        Some(answer.status().as_u16())
    }
}

/// Why there is no token, where that may be for good.
fn none_given(answer: &Result<HttpResponse, ConnectorError>) -> Option<String> {
    match answer {
        Ok(answer) => {
            let status = answer.status().as_u16();
            [403, 404, 405]
                .contains(&status)
                .then(|| format!("HTTP status {status}"))
        }
        Err(error) => error.is_timeout().then(|| "no answer in time".to_owned()),
    }
}

/// A token that is never sent. It ends at once, so that the next request asks for one again, here.
fn made_up() -> Result<HttpResponse, ConnectorError> {
    let answer = http::Response::builder()
        .header(LIFETIME, "0")
        .body(SdkBody::from("none"))
        .map_err(|error| ConnectorError::other(error.into(), None))?;
    HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
}
