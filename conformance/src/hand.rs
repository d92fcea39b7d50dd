//! Requests to the API server as one user, with nothing in between.

use std::path::Path;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use crate::Error;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One user's hand.
#[derive(Clone)]
pub struct Hand {
    client: kube::Client,
}

/// The form of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
    /// The one of Kubernetes, for its own kinds.
    Strategic,
    /// Server-side apply; the path must name the field manager.
    Apply,
}

impl Patch {
    /// Its content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// What the API server answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; a string where it is not JSON, null where it is empty.
    pub body: Value,
}

impl Answer {
    /// The body of a success.
    ///
    /// # Errors
    /// [`Error::Refused`] with `what` and the message of the answer.
    pub fn ok(self, what: &str) -> Result<Value, Error> {
        if StatusCode::from_u16(self.status).is_ok_and(|status| status.is_success()) {
            return Ok(self.body);
        }
        Err(Error::Refused {
            what: what.to_owned(),
            answer: format!("{} {}", self.status, self.message()),
        })
    }

    /// The message of a refusal.
    #[must_use]
    pub fn message(&self) -> String {
        match self.body["message"].as_str() {
            Some(message) => message.to_owned(),
            None => self.body.to_string(),
        }
    }
}

impl Hand {
    /// The hand of a kubeconfig's user.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub async fn new(kubeconfig: &Path) -> Result<Self, Error> {
        Ok(Self {
            client: client(kubeconfig).await?,
        })
    }

    /// A hand for an HTTP server on loopback that asks for no user.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn plain(url: &str) -> Result<Self, Error> {
        let url = url.parse().map_err(said)?;
        let client = kube::Client::try_from(kube::Config::new(url)).map_err(said)?;
        Ok(Self { client })
    }

    /// The client, for typed calls.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.send(Method::GET, path, None, None).await
    }

    /// The object at a path; none where it is not.
    ///
    /// # Errors
    /// When there is no answer, or another refusal than NotFound.
    pub async fn find(&self, path: &str) -> Result<Option<Value>, Error> {
        let answer = self.get(path).await?;
        match answer.status {
            404 => Ok(None),
            _ => answer.ok(path).map(Some),
        }
    }

    /// POST.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn create(&self, path: &str, value: &Value) -> Result<Answer, Error> {
        self.send(Method::POST, path, Some("application/json"), Some(value))
            .await
    }

    /// PUT.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn replace(&self, path: &str, value: &Value) -> Result<Answer, Error> {
        self.send(Method::PUT, path, Some("application/json"), Some(value))
            .await
    }

    /// PATCH.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn patch(&self, path: &str, kind: Patch, value: &Value) -> Result<Answer, Error> {
        self.send(Method::PATCH, path, Some(kind.content_type()), Some(value))
            .await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn delete(&self, path: &str) -> Result<Answer, Error> {
        self.send(Method::DELETE, path, None, None).await
    }

    /// Any request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(ACCEPT, "application/json");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let request = request.body(Body::from(bytes)).map_err(said)?;
        let exchange = async {
            let response = self.client.send(request).await.map_err(said)?;
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.map_err(said)?.to_bytes();
            Ok(Answer {
                status,
                body: value_of(&bytes),
            })
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        answer.unwrap_or_else(|_| {
            Err(Error::Late {
                what: format!("an answer to {path}"),
                patience: PATIENCE,
            })
        })
    }
}

fn value_of(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}

async fn client(kubeconfig: &Path) -> Result<kube::Client, Error> {
    // One provider for the whole process; a second call only says that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = Kubeconfig::read_from(kubeconfig).map_err(said)?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(said)?;
    config.default_retry = false;
    kube::Client::try_from(config).map_err(said)
}

fn said(error: impl std::fmt::Display) -> Error {
    Error::Client(error.to_string())
}
