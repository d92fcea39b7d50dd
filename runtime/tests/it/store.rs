//! A small API server with a store, for what needs answers that depend on earlier requests: leases, events,
//! lists of one object. Faults and delays come from a closure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};

type Part = Result<Frame<Bytes>, std::io::Error>;
type Parts = futures::stream::BoxStream<'static, Part>;
type FaultOf = Box<dyn FnMut(&Sent) -> Fault + Send>;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Value,
}

impl Sent {
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What happens to one request.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    pub before: Duration,
    pub after: Duration,
    /// Answered instead of doing it.
    pub refuse: Option<u16>,
    /// Done, but the connection breaks before the answer.
    pub lose: bool,
}

#[derive(Clone, Default)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    version: u64,
    objects: BTreeMap<String, Value>,
    /// Collections that exist although they are empty.
    collections: BTreeSet<String>,
    sent: Vec<Sent>,
    watches: Vec<(String, UnboundedSender<Part>)>,
    fault: Option<FaultOf>,
}

impl Store {
    pub fn client(&self) -> kube::Client {
        let store = self.clone();
        let service = tower::service_fn(move |request| store.clone().answer(request));
        kube::Client::new(service, "default")
    }

    pub fn faults(&self, fault: impl FnMut(&Sent) -> Fault + Send + 'static) {
        self.inner.lock().unwrap().fault = Some(Box::new(fault));
    }

    pub fn no_faults(&self) {
        self.inner.lock().unwrap().fault = None;
    }

    pub fn collection(&self, path: &str) {
        self.inner.lock().unwrap().collections.insert(path.to_owned());
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.inner.lock().unwrap().sent.clone()
    }

    /// The requests since the last call, as `GET /path`.
    pub fn take_lines(&self) -> Vec<String> {
        let sent = std::mem::take(&mut self.inner.lock().unwrap().sent);
        sent.iter().map(Sent::line).collect()
    }

    pub fn object(&self, path: &str) -> Option<Value> {
        self.inner.lock().unwrap().objects.get(path).cloned()
    }

    pub fn objects(&self, under: &str) -> Vec<Value> {
        let inner = self.inner.lock().unwrap();
        let within = |(path, _): &(&String, &Value)| path.starts_with(under);
        inner
            .objects
            .iter()
            .filter(within)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Writes as another client would.
    pub fn put(&self, path: &str, object: Value) {
        self.inner.lock().unwrap().store(path, object, "MODIFIED");
    }

    pub fn remove(&self, path: &str) {
        self.inner.lock().unwrap().objects.remove(path);
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<StreamBody<Parts>>, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let sent = Sent {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let fault = {
            let mut inner = self.inner.lock().unwrap();
            inner.sent.push(sent.clone());
            inner.fault.as_mut().map(|fault| fault(&sent)).unwrap_or_default()
        };
        pause(fault.before).await;
        if let Some(code) = fault.refuse {
            return Ok(whole(code, &status(code, "Refused")));
        }
        let (code, answer) = {
            let mut inner = self.inner.lock().unwrap();
            if sent.query.contains("watch=true") {
                return Ok(inner.watch(&sent));
            }
            inner.act(&sent)
        };
        pause(fault.after).await;
        if fault.lose {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
        }
        Ok(whole(code, &answer))
    }
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

impl Inner {
    fn store(&mut self, path: &str, mut object: Value, kind: &str) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        let line = format!("{}\n", json!({ "type": kind, "object": object }));
        self.watches.retain(|(watched, lines)| {
            watched != path || lines.unbounded_send(Ok(Frame::data(line.clone().into()))).is_ok()
        });
        object
    }

    fn act(&mut self, sent: &Sent) -> (u16, Value) {
        let path = &sent.path;
        match sent.method.as_str() {
            "GET" if self.collections.contains(path) => (200, json!({ "metadata": {}, "items": [] })),
            "GET" => self
                .objects
                .get(path)
                .map_or((404, status(404, "NotFound")), |object| (200, object.clone())),
            "POST" => {
                let name = sent.body["metadata"]["name"]
                    .as_str()
                    .unwrap_or("review")
                    .to_owned();
                let path = format!("{path}/{name}");
                if self.objects.contains_key(&path) {
                    return (409, status(409, "AlreadyExists"));
                }
                let mut object = sent.body.clone();
                object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
                (201, self.store(&path, object, "ADDED"))
            }
            "PUT" | "PATCH" => {
                let Some(present) = self.objects.get(path).cloned() else {
                    return (404, status(404, "NotFound"));
                };
                let mut object = sent.body.clone();
                if sent.method == "PATCH" {
                    object = present;
                    json_patch::merge(&mut object, &sent.body);
                } else if object["metadata"]["resourceVersion"] != present["metadata"]["resourceVersion"] {
                    return (409, status(409, "Conflict"));
                }
                (200, self.store(path, object, "MODIFIED"))
            }
            _ => (405, status(405, "MethodNotAllowed")),
        }
    }

    /// Events of one object after the version asked for: of older changes only the last is told.
    fn watch(&mut self, sent: &Sent) -> Response<StreamBody<Parts>> {
        let query = sent.query.replace("%3D", "=");
        let part = |key: &str| {
            query
                .split('&')
                .find_map(|part| part.strip_prefix(key))
                .unwrap_or_default()
                .to_owned()
        };
        let path = format!("{}/{}", sent.path, part("fieldSelector=metadata.name="));
        let asked: u64 = part("resourceVersion=").parse().unwrap_or(0);
        let (lines, parts) = unbounded();
        if let Some(object) = self.objects.get(&path) {
            let version = object["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap();
            if version > asked {
                let line = format!("{}\n", json!({ "type": "MODIFIED", "object": object }));
                let _ = lines.unbounded_send(Ok(Frame::data(line.into())));
            }
        }
        self.watches.push((path, lines));
        Response::new(StreamBody::new(parts.boxed()))
    }
}

fn whole(code: u16, body: &Value) -> Response<StreamBody<Parts>> {
    let frame = Frame::data(Bytes::from(body.to_string()));
    let parts = futures::stream::once(async move { Ok(frame) }).boxed();
    Response::builder()
        .status(code)
        .body(StreamBody::new(parts))
        .unwrap()
}

pub fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "said the server",
        "reason": reason, "code": code})
}
