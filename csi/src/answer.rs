//! The answer to one call as its client sees it: within its deadline, with a status in any case, measured.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::metrics::Measured;
use crate::status::malformed;

const GRPC_STATUS: &str = "grpc-status";
const OK_WITHOUT_MESSAGE: &str = "status OK without a message";

/// The deadline that the request's `grpc-timeout` header asks for, counted from now.
pub(crate) fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(number.checked_mul(3600)?),
        "M" => Duration::from_secs(number.checked_mul(60)?),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Instant::now().checked_add(timeout)
}

/// The status of a call whose time is over.
pub(crate) fn deadline_exceeded(method: &str) -> Status {
    Status::deadline_exceeded(format!(
        "context deadline exceeded: no answer to {method} in time"
    ))
}

/// Lets a well-formed answer through, watched to its end; anything else becomes one clear status.
pub(crate) fn check(
    response: Response<Body>,
    mut measured: Measured,
    deadline: Option<Instant>,
) -> Result<Response<Body>, Status> {
    match code_of(response.headers()) {
        None => {}
        Some(Code::Ok) => {
            let status = malformed(OK_WITHOUT_MESSAGE);
            measured.end(status.code());
            return Err(status);
        }
        Some(code) => {
            measured.end(code);
            return Ok(response);
        }
    }
    let content_type = response.headers().get(http::header::CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if response.status() != http::StatusCode::OK || !is_grpc {
        let status = malformed(&format!(
            "HTTP status {} with content type {} and no gRPC status; is this the socket of a CSI driver?",
            response.status().as_u16(),
            content_type
                .and_then(|value| value.to_str().ok())
                .unwrap_or("(none)"),
        ));
        measured.end(status.code());
        return Err(status);
    }
    Ok(response.map(|inner| {
        Body::new(Answer {
            inner,
            measured,
            deadline: deadline.map(|at| Box::pin(tokio::time::sleep_until(at))),
            begun: false,
            ended: false,
        })
    }))
}

/// The code in the head of an answer or in its trailers.
pub(crate) fn code_of(headers: &HeaderMap) -> Option<Code> {
    let value = headers.get(GRPC_STATUS)?;
    Some(Code::from_bytes(value.as_bytes()))
}

/// The body of an answer. Ends with trailers that hold a gRPC status, or with an error that says what is wrong.
struct Answer {
    inner: Body,
    measured: Measured,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Data was seen.
    begun: bool,
    ended: bool,
}

impl Answer {
    fn fail(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        self.measured.end(status.code());
        Poll::Ready(Some(Err(status)))
    }

    fn frame(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(data) = frame.data_ref() {
            // We never accept compression, so each message starts with flag 0.
            let bad_flag = !self.begun && data.first().is_some_and(|flag| *flag != 0);
            self.begun |= !data.is_empty();
            if bad_flag {
                return self.fail(malformed("the message is not framed as gRPC wants it"));
            }
        }
        if let Some(trailers) = frame.trailers_ref() {
            match code_of(trailers) {
                None => return self.fail(malformed("the trailers hold no gRPC status")),
                Some(Code::Ok) if !self.begun => return self.fail(malformed(OK_WITHOUT_MESSAGE)),
                Some(code) => self.measured.end(code),
            }
            self.ended = true;
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            if let Some(deadline) = &mut this.deadline {
                ready!(deadline.as_mut().poll(context));
                let status = deadline_exceeded(this.measured.method());
                return this.fail(status);
            }
            return Poll::Pending;
        };
        match frame {
            Some(Ok(frame)) => this.frame(frame),
            Some(Err(error)) => {
                let text =
                    format!("the connection to the CSI driver broke in the middle of an answer: {error}");
                this.fail(Status::unavailable(text))
            }
            None => this.fail(malformed("it ends without a gRPC status")),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn timeouts_are_read() {
        let now = Instant::now();
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("60S", Some(Duration::from_secs(60))),
            ("60000000u", Some(Duration::from_secs(60))),
            ("5m", Some(Duration::from_millis(5))),
            ("7n", Some(Duration::from_nanos(7))),
            ("", None),
            ("S", None),
            ("5x", None),
            ("99999999999999999999S", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(deadline(&headers).map(|at| at - now), expected, "{text}");
        }
    }
}
