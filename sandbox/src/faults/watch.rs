//! A watch whose events arrive late, or whose connection breaks.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::Sleep;
use tower::BoxError;

use super::Fault;

/// The body of a watch under a fault; other faults leave it as it is.
pub struct WatchBody<B> {
    inner: Pin<Box<B>>,
    cut: Option<Pin<Box<Sleep>>>,
    lag: Duration,
    held: Option<(Frame<Bytes>, Pin<Box<Sleep>>)>,
}

impl<B> WatchBody<B> {
    /// Wraps the body of an answer.
    #[must_use]
    pub fn new(body: B, fault: &Fault) -> Self {
        let cut = match fault {
            Fault::CutWatch(after) => Some(Box::pin(tokio::time::sleep(*after))),
            _ => None,
        };
        let lag = match fault {
            Fault::LagWatch(lag) => *lag,
            _ => Duration::ZERO,
        };
        Self {
            inner: Box::pin(body),
            cut,
            lag,
            held: None,
        }
    }
}

impl<B> Body for WatchBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(cut) = &mut self.cut
            && cut.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        loop {
            if let Some((_, due)) = &mut self.held {
                std::task::ready!(due.as_mut().poll(context));
                return Poll::Ready(self.held.take().map(|(frame, _)| Ok(frame)));
            }
            match std::task::ready!(self.inner.as_mut().poll_frame(context)) {
                Some(Ok(frame)) if self.lag.is_zero() => return Poll::Ready(Some(Ok(frame))),
                Some(Ok(frame)) => {
                    let due = Box::pin(tokio::time::sleep(self.lag));
                    self.held = Some((frame, due));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::Instant;

    use super::*;

    fn events() -> impl Body<Data = Bytes, Error = std::io::Error> {
        let frames = (0..3).map(|number| Ok(Frame::data(Bytes::from(vec![number]))));
        StreamBody::new(futures::stream::iter(frames).chain(futures::stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn events_lag_and_connections_break() {
        let begun = Instant::now();
        let mut lagging = WatchBody::new(events(), &Fault::LagWatch(Duration::from_secs(2)));
        assert!(lagging.frame().await.unwrap().is_ok());
        assert_eq!(begun.elapsed().as_secs(), 2);

        let begun = Instant::now();
        let mut cut = WatchBody::new(events(), &Fault::CutWatch(Duration::from_secs(9)));
        for _ in 0..3 {
            assert!(cut.frame().await.unwrap().is_ok());
        }
        assert!(cut.frame().await.is_none());
        assert_eq!(begun.elapsed().as_secs(), 9);
    }
}
