//! An API server as a watch sees it: claims, events, bookmarks as kube-apiserver sends them, and its bad days.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::script::{claim, status};

type Part = Result<Frame<Bytes>, std::io::Error>;
type Answer = Response<StreamBody<BoxStream<'static, Part>>>;

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);

/// How the server is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Well,
    /// Every connection breaks, and no new one can be had.
    Away,
    /// The kind is not there.
    Unknown,
    /// Nothing comes any more on the watches that are open then, not even their end.
    Mute,
    /// Watches bring no events; bookmarks come, at the version of this moment.
    Lagging,
    /// Watches bring events only, as without a watch cache.
    WithoutBookmarks,
}

#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    changed: watch::Sender<Mood>,
}

#[derive(Default)]
struct State {
    version: u64,
    /// Watches from before this version are told that it is expired.
    oldest: u64,
    /// What bookmarks of a lagging server say.
    lags_at: u64,
    items: BTreeMap<String, Value>,
    events: Vec<(u64, Value)>,
    requests: Vec<(Instant, String)>,
    /// How long the objects of a list are on their way.
    lists_take: Duration,
}

impl State {
    /// What a watch begins with.
    fn first_lines(&self, is_stream: bool, asked: u64) -> Vec<Value> {
        if is_stream {
            let added = self
                .items
                .values()
                .map(|item| json!({"type": "ADDED", "object": item}));
            let mut end = bookmark(self.version);
            end["object"]["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            return added.chain([end]).collect();
        }
        if asked < self.oldest {
            return vec![json!({"type": "ERROR", "object": status(410, "Expired")})];
        }
        Vec::new()
    }
}

impl Server {
    /// With claims `a-0` and so on, one a version.
    pub fn new(claims: usize) -> Self {
        let server = Self {
            inner: Arc::new(Inner {
                state: Mutex::default(),
                changed: watch::Sender::new(Mood::Well),
            }),
        };
        for number in 0..claims {
            server.write(&format!("a-{number:05}"));
        }
        server
    }

    pub fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request| {
            let answer = server.answer(&request);
            async { answer }
        });
        kube::Client::new(service, "default")
    }

    /// Somebody writes a claim.
    pub fn write(&self, name: &str) {
        let mut state = self.inner.state.lock().unwrap();
        state.version += 1;
        let object = claim(name, &format!("u-{name}"), &state.version.to_string());
        let (version, event) = (state.version, json!({"type": "MODIFIED", "object": object}));
        state.events.push((version, event));
        state.items.insert(name.to_owned(), object);
        drop(state);
        self.inner.changed.send_modify(|_| {});
    }

    /// Something of another kind is written.
    pub fn delete(&self, name: &str) {
        let mut state = self.inner.state.lock().unwrap();
        state.version += 1;
        let object = claim(name, &format!("u-{name}"), &state.version.to_string());
        let (version, event) = (state.version, json!({"type": "DELETED", "object": object}));
        state.events.push((version, event));
        state.items.remove(name);
        drop(state);
        self.inner.changed.send_modify(|_| {});
    }

    /// From now on the objects of a list, which are those of when it was asked for, are so long on their way.
    pub fn lists_take(&self, time: Duration) {
        self.inner.state.lock().unwrap().lists_take = time;
    }

    pub fn moves_on(&self, to: u64) {
        self.inner.state.lock().unwrap().version = to;
    }

    pub fn is(&self, mood: Mood) {
        {
            let mut state = self.inner.state.lock().unwrap();
            state.lags_at = state.version;
        }
        self.inner.changed.send_replace(mood);
    }

    /// What was before is no longer known.
    pub fn compact(&self) {
        let mut state = self.inner.state.lock().unwrap();
        state.oldest = state.version;
    }

    /// Goes back to this version, where these claims are the only ones.
    pub fn restore(&self, version: u64, names: &[&str]) {
        {
            let mut state = self.inner.state.lock().unwrap();
            state.events.clear();
            state.items.retain(|name, _| names.contains(&name.as_str()));
            state.version = version;
        }
        // Connections do not outlive it.
        self.is(Mood::Away);
    }

    /// The requests since the last call: `LIST`, `NEWEST`, `STREAM` (a list as a watch) or `WATCH`.
    pub fn take_requests(&self) -> Vec<String> {
        let requests = std::mem::take(&mut self.inner.state.lock().unwrap().requests);
        requests.into_iter().map(|(_, kind)| kind).collect()
    }

    /// When they were sent.
    pub fn times(&self) -> Vec<Instant> {
        let state = self.inner.state.lock().unwrap();
        state.requests.iter().map(|(at, _)| *at).collect()
    }

    fn answer(&self, request: &Request<Body>) -> Result<Answer, tower::BoxError> {
        let query: BTreeMap<String, String> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let (is_watch, is_stream) = (
            query.contains_key("watch"),
            query.contains_key("sendInitialEvents"),
        );
        let kind = match (is_watch, is_stream, query.contains_key("fieldSelector")) {
            (true, true, _) => "STREAM",
            (true, false, _) => "WATCH",
            (false, _, true) => "NEWEST",
            (false, _, false) => "LIST",
        };
        let mut state = self.inner.state.lock().unwrap();
        state.requests.push((Instant::now(), kind.to_owned()));
        match *self.inner.changed.borrow() {
            Mood::Away => return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()),
            // In plain text, as of a custom kind without a definition.
            Mood::Unknown => return Ok(whole(404, &"404 page not found".into())),
            _ => {}
        }
        if kind == "NEWEST" {
            assert_eq!(
                request.uri().path(),
                "/api/v1/namespaces/default/persistentvolumeclaims"
            );
            return Ok(whole(200, &list(state.version, &[])));
        }
        if kind == "LIST" {
            let items: Vec<Value> = state.items.values().cloned().collect();
            return Ok(whole_after(state.lists_take, 200, &list(state.version, &items)));
        }
        // Empty for a streaming list.
        let asked: u64 = query["resourceVersion"].parse().unwrap_or(0);
        let lines = state.first_lines(is_stream, asked);
        let seconds = query["timeoutSeconds"].parse().unwrap();
        let watching = Watching {
            server: self.clone(),
            changed: self.inner.changed.subscribe(),
            // Nothing is said to who asks for what is to come.
            cursor: if is_stream { state.version } else { asked },
            lines,
            from: Instant::now()
                + if is_stream {
                    state.lists_take
                } else {
                    Duration::ZERO
                },
            bookmark: Instant::now(),
            end: Instant::now() + Duration::from_secs(seconds),
            is_cut: false,
            is_mute: false,
        };
        drop(state);
        let parts = futures::stream::unfold(watching.planned(), Watching::next).boxed();
        Ok(Response::new(StreamBody::new(parts)))
    }
}

struct Watching {
    server: Server,
    changed: watch::Receiver<Mood>,
    cursor: u64,
    lines: Vec<Value>,
    /// Nothing is said before.
    from: Instant,
    bookmark: Instant,
    end: Instant,
    is_cut: bool,
    is_mute: bool,
}

impl Watching {
    fn planned(mut self) -> Self {
        let last = self.end - BOOKMARK_BEFORE_END;
        let next = Instant::now() + BOOKMARK_EVERY;
        self.bookmark = if next < last || Instant::now() >= last {
            next
        } else {
            last
        };
        self
    }

    async fn next(mut self) -> Option<(Part, Self)> {
        tokio::time::sleep_until(self.from).await;
        loop {
            let mood = *self.changed.borrow_and_update();
            if self.is_cut {
                return None;
            }
            if mood == Mood::Away {
                self.is_cut = true;
                return Some((Err(std::io::Error::other("cut")), self));
            }
            self.is_mute |= mood == Mood::Mute;
            if self.is_mute {
                if self.changed.changed().await.is_err() {
                    return None;
                }
                continue;
            }
            if !self.lines.is_empty() {
                let lines: String = std::mem::take(&mut self.lines)
                    .iter()
                    .map(|line| format!("{line}\n"))
                    .collect();
                return Some((Ok(Frame::data(lines.into())), self));
            }
            let said = {
                let state = self.server.inner.state.lock().unwrap();
                let due = Instant::now() >= self.bookmark && self.cursor <= state.version;
                let news = |(version, _): &&(u64, Value)| *version > self.cursor;
                let news: Vec<Value> = state
                    .events
                    .iter()
                    .filter(news)
                    .map(|(_, event)| event.clone())
                    .collect();
                match mood {
                    Mood::Lagging => due.then(|| (vec![bookmark(state.lags_at)], self.cursor)),
                    _ if !news.is_empty() => Some((news, self.cursor.max(state.version))),
                    Mood::WithoutBookmarks => None,
                    _ => due.then(|| (vec![bookmark(state.version)], self.cursor.max(state.version))),
                }
            };
            if let Some((lines, cursor)) = said {
                (self.lines, self.cursor) = (lines, cursor);
                self = self.planned();
                continue;
            }
            if Instant::now() >= self.bookmark {
                // One that is not sent.
                self.bookmark = Instant::now() + BOOKMARK_EVERY;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.end) => return None,
                changed = self.changed.changed() => if changed.is_err() { return None },
                () = tokio::time::sleep_until(self.bookmark) => {}
            }
        }
    }
}

fn bookmark(version: u64) -> Value {
    json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version.to_string()}}})
}

fn list(version: u64, items: &[Value]) -> Value {
    json!({"metadata": {"resourceVersion": version.to_string()}, "items": items})
}

fn whole(code: u16, body: &Value) -> Answer {
    whole_after(Duration::ZERO, code, body)
}

fn whole_after(time: Duration, code: u16, body: &Value) -> Answer {
    let frame = Frame::data(Bytes::from(body.to_string()));
    let part = async move {
        tokio::time::sleep(time).await;
        Ok(frame)
    };
    let parts = futures::stream::once(part).boxed();
    Response::builder()
        .status(code)
        .body(StreamBody::new(parts))
        .unwrap()
}
