//! The API as a tower service.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tower::{BoxError, Service};

use super::body::Body;
use super::error::ApiError;
use super::request::{self, ApiRequest};
use super::server::Inner;

/// The longest request body, in bytes.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The API as one user reaches it. A request takes effect when its future has read the body, in one step:
/// a future that is dropped before has done nothing, one that is dropped later has done all.
#[derive(Clone)]
pub struct ApiService {
    inner: Arc<Inner>,
    user: Arc<str>,
}

impl ApiService {
    pub(crate) fn new(inner: Arc<Inner>, user: &str) -> Self {
        Self {
            inner,
            user: user.into(),
        }
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (inner, user) = (self.inner.clone(), self.user.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            Ok(match read(body).await {
                Ok(body) => {
                    let _turn = inner.turn.lock().await;
                    request::answer(&inner, &ApiRequest::new(&parts, &user, body))
                }
                Err(error) => request::refuse(&error),
            })
        })
    }
}

async fn read<B>(body: B) -> Result<Bytes, ApiError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let error: BoxError = error.into();
            ApiError::bad_request(format!("cannot read the request body: {error}"))
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > BODY_LIMIT {
            return Err(ApiError::too_large(BODY_LIMIT));
        }
        // Mostly there is one piece, which need not be copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
