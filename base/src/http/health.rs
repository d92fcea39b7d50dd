//! What `/healthz` answers where that the process runs says too little.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Looks whether all is well. Looks for several requests may run at once.
#[async_trait::async_trait]
pub trait Health: std::fmt::Debug + Send + Sync {
    /// Says why not.
    async fn check(&self) -> Result<(), Unhealthy>;
}

/// What is not well.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unhealthy {
    /// What is looked at is not there: 404.
    Missing(String),
    /// It fails: 500.
    Failed(String),
}

impl IntoResponse for Unhealthy {
    fn into_response(self) -> Response {
        match self {
            Self::Missing(text) => (StatusCode::NOT_FOUND, text),
            Self::Failed(text) => (StatusCode::INTERNAL_SERVER_ERROR, text),
        }
        .into_response()
    }
}
