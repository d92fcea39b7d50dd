//! Two halves of one process, each on a thread of its own: who asks does not do the work.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc;
use http::Response;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use tokio::runtime::{Builder, Handle, Runtime};
use tower::{BoxError, Service};

/// Pieces of a stream that may wait for their reader.
const PIECES: usize = 16;

/// A service that works on its home's thread, whoever calls it.
#[derive(Clone)]
pub struct Apart<S> {
    service: S,
    home: Handle,
}

impl<S> Apart<S> {
    /// At home on the runtime of the caller.
    pub fn here(service: S) -> Self {
        Self {
            service,
            home: Handle::current(),
        }
    }
}

impl<S, R> Service<R> for Apart<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError> + Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let answer = self.home.spawn(self.service.call(request));
        Box::pin(async move { answer.await?.map_err(Into::into) })
    }
}

/// An answer whose body, where it is a stream, is read on this thread, whoever takes its pieces: that of a watch looks
/// at what the server holds.
pub fn read_here<B>(answer: Response<B>) -> Response<UnsyncBoxBody<Bytes, BoxError>>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
{
    answer.map(|body| {
        if body.size_hint().exact().is_some() {
            return body.map_err(Into::into).boxed_unsync();
        }
        let (sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, BoxError>>(PIECES);
        let pieces = BodyStream::new(body.map_err(Into::into));
        // It ends with the stream, or when nobody reads.
        tokio::spawn(pieces.map(Ok).forward(sender));
        StreamBody::new(receiver).boxed_unsync()
    })
}

/// A thread with a runtime, as `slackwater` has it. Its tasks end with it.
pub struct Thread(Option<Runtime>);

impl Thread {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(name: &str) -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name(name).enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs a task on it, to its end.
    ///
    /// # Errors
    /// When the task panics.
    pub async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> anyhow::Result<T> {
        match &self.0 {
            Some(runtime) => Ok(runtime.spawn(task).await?),
            None => anyhow::bail!("the thread has ended"),
        }
    }
}

impl Drop for Thread {
    /// A runtime that is dropped within another one must not wait.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
