//! Answers that break the protocol end in one clear error that nobody takes for the driver's verdict.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use csi::channel::BoxService;
use csi::v1::GetPluginInfoRequest;
use csi::{Channel, Class, Operation, classify_status};
use http::{HeaderMap, Response};
use http_body::Frame;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::service_fn;

/// A body of these frames, then the end; or it never ends.
struct Frames(VecDeque<Frame<Bytes>>, bool);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.1 => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

fn trailers(status: &'static str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    if !status.is_empty() {
        trailers.insert("grpc-status", status.parse().unwrap());
    }
    Frame::trailers(trailers)
}

fn data(bytes: &'static [u8]) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(bytes))
}

async fn answer(
    http_status: u16,
    content_type: &'static str,
    frames: Vec<Frame<Bytes>>,
    endless: bool,
) -> Status {
    let frames = std::sync::Mutex::new(Some(frames));
    let frames = std::sync::Arc::new(frames);
    let service = service_fn(move |_: http::Request<Body>| {
        let frames = frames.lock().unwrap().take().unwrap();
        let body = Body::new(Frames(frames.into(), endless));
        let answer = Response::builder()
            .status(http_status)
            .header("content-type", content_type);
        std::future::ready(Ok(answer.body(body).unwrap()))
    });
    let channel = Channel::from_service(BoxService::new(service));
    let asked = csi::channel::request(GetPluginInfoRequest {}, Duration::from_secs(1));
    channel.identity().get_plugin_info(asked).await.unwrap_err()
}

const GRPC: &str = "application/grpc";

#[tokio::test(start_paused = true)]
async fn each_malformed_answer_is_one_clear_error() {
    let good = || data(b"\x00\x00\x00\x00\x03\x0a\x01x");
    for (text, http_status, content_type, frames) in [
        ("HTTP status 404", 404, "text/html", vec![data(b"<html>")]),
        ("content type text/plain", 200, "text/plain", vec![data(b"hello")]),
        ("ends without a gRPC status", 200, GRPC, vec![good()]),
        ("ends without a gRPC status", 200, GRPC, vec![]),
        (
            "trailers hold no gRPC status",
            200,
            GRPC,
            vec![good(), trailers("")],
        ),
        ("status OK without a message", 200, GRPC, vec![trailers("0")]),
        (
            "not framed",
            200,
            GRPC,
            vec![data(b"garbage garbage"), trailers("0")],
        ),
        (
            "decode",
            200,
            GRPC,
            vec![data(b"\x00\x00\x00\x00\x02\x0a\x7f"), trailers("0")],
        ),
    ] {
        let status = answer(http_status, content_type, frames, false).await;
        assert!(status.message().contains(text), "{text}: {status:?}");
        assert!(
            status.message().contains("malformed answer of the CSI driver"),
            "{status:?}"
        );
        assert_eq!(
            classify_status(Operation::CreateSnapshot, &status),
            Class::InProgress,
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_nothing_but_ok_is_nobodys_verdict() {
    let service = service_fn(|_: http::Request<Body>| {
        let answer = Response::builder()
            .header("content-type", GRPC)
            .header("grpc-status", "0");
        std::future::ready(Ok(answer.body(Body::empty()).unwrap()))
    });
    let channel = Channel::from_service(BoxService::new(service));
    let status = channel.identity().get_plugin_info(GetPluginInfoRequest {}).await;
    let status = status.unwrap_err();
    assert!(
        status.message().contains("status OK without a message"),
        "{status:?}"
    );
    assert_eq!(
        classify_status(Operation::CreateSnapshot, &status),
        Class::InProgress
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_ends_runs_into_the_deadline() {
    let status = answer(200, GRPC, vec![data(b"\x00\x00\x00\x00\x03\x0a\x01x")], true).await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failing_transport_is_unavailable() {
    let service =
        service_fn(|_: http::Request<Body>| std::future::ready(Err::<Response<Body>, _>("refused".into())));
    let channel = Channel::from_service(BoxService::new(service));
    let status = channel
        .identity()
        .get_plugin_info(GetPluginInfoRequest {})
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("refused"), "{status:?}");
    assert_eq!(
        classify_status(Operation::CreateSnapshot, &status),
        Class::InProgress
    );
}
