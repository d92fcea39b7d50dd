//! An API server that answers what a test wrote down, in order. A request beyond the script waits until the
//! test goes on writing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Notify;

type Part = Result<Frame<Bytes>, std::io::Error>;

#[derive(Clone, Default)]
pub struct Script {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<Sent>>,
    written: Notify,
}

enum Answer {
    Given(http::response::Builder, UnboundedReceiver<Part>),
    NoConnection,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: String,
    pub path: String,
    pub query: String,
    pub content_type: String,
    pub body: Value,
}

/// The server's end of a watch; dropping it ends the watch.
pub struct Watch {
    lines: UnboundedSender<Part>,
}

impl Watch {
    pub fn event(&self, kind: &str, object: &Value) {
        self.raw(&format!("{}\n", json!({"type": kind, "object": object})));
    }

    pub fn bookmark(&self, version: &str) {
        self.event("BOOKMARK", &json!({"metadata": {"resourceVersion": version}}));
    }

    pub fn initial_events_end(&self, version: &str) {
        let annotations = json!({"k8s.io/initial-events-end": "true"});
        let mark = json!({"metadata": {"resourceVersion": version, "annotations": annotations}});
        self.event("BOOKMARK", &mark);
    }

    pub fn raw(&self, text: &str) {
        let frame = Frame::data(Bytes::copy_from_slice(text.as_bytes()));
        let _ = self.lines.unbounded_send(Ok(frame));
    }

    pub fn cut(self) {
        let _ = self.lines.unbounded_send(Err(std::io::Error::other("cut")));
    }

    /// True while the client still reads.
    pub fn is_read(&self) -> bool {
        !self.lines.is_closed()
    }
}

impl Script {
    /// A client of this server.
    pub fn client(&self) -> kube::Client {
        let script = self.clone();
        let service = tower::service_fn(move |request| script.clone().answer(request));
        kube::Client::new(service, "default")
    }

    pub fn requests(&self) -> Vec<Sent> {
        self.inner.requests.lock().unwrap().clone()
    }

    /// The requests since the last call, as `GET /path?query`.
    pub fn take_requests(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.inner.requests.lock().unwrap());
        let line = |sent: &Sent| format!("{} {}?{}", sent.method, sent.path, sent.query);
        requests.iter().map(line).collect()
    }

    pub fn json(&self, code: u16, body: &Value) {
        self.body(Response::builder().status(code), &body.to_string());
    }

    pub fn body(&self, head: http::response::Builder, body: &str) {
        let (sender, parts) = unbounded();
        let _ = sender.unbounded_send(Ok(Frame::data(Bytes::copy_from_slice(body.as_bytes()))));
        self.push(Answer::Given(head, parts));
    }

    pub fn status(&self, code: u16, reason: &str) {
        self.json(code, &status(code, reason));
    }

    pub fn list(&self, version: &str, items: &[Value]) {
        self.json(
            200,
            &json!({"metadata": {"resourceVersion": version}, "items": items}),
        );
    }

    pub fn page(&self, version: &str, items: &[Value], next: &str) {
        let metadata = json!({"resourceVersion": version, "continue": next});
        self.json(200, &json!({"metadata": metadata, "items": items}));
    }

    pub fn watch(&self) -> Watch {
        let (lines, parts) = unbounded();
        self.push(Answer::Given(Response::builder(), parts));
        Watch { lines }
    }

    pub fn no_connection(&self) {
        self.push(Answer::NoConnection);
    }

    fn push(&self, answer: Answer) {
        self.inner.answers.lock().unwrap().push_back(answer);
        self.inner.written.notify_one();
    }

    async fn answer(
        self,
        request: Request<Body>,
    ) -> Result<Response<StreamBody<UnboundedReceiver<Part>>>, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        self.inner.requests.lock().unwrap().push(Sent {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head
                .uri
                .query()
                .unwrap_or_default()
                .trim_start_matches('&')
                .to_owned(),
            content_type: head
                .headers
                .get(http::header::CONTENT_TYPE)
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        });
        loop {
            let next = self.inner.answers.lock().unwrap().pop_front();
            match next {
                Some(Answer::Given(head, parts)) => return Ok(head.body(StreamBody::new(parts))?),
                Some(Answer::NoConnection) => {
                    return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
                }
                None => self.inner.written.notified().await,
            }
        }
    }
}

pub fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "said the server",
        "reason": reason, "code": code})
}

/// A claim `shop/<name>` as the API server shows it.
pub fn claim(name: &str, uid: &str, version: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata":
        {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": version}})
}

/// Lets every task run until it waits.
pub async fn settle() {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}
