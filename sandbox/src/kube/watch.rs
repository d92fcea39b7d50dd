//! Watches: the changes after a resourceVersion, as they come.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{self, Stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::collection::{Change, ChangeKind, Collection, Signal};
use super::error::ApiError;
use super::format::{Format, Shape, convert};
use super::object::{Object, metadata_mut, serialise};

use super::query::Query;
use super::resource::ResourceType;
use super::selector::Selector;
use super::server::Inner;
use super::state::State;
use super::write::Target;

const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);
/// A bookmark comes so long before the end of a watch, so that the next one begins close to it.
const LAST_BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// A watch without timeoutSeconds lasts from this to twice this.
const SHORTEST_DEFAULT: Duration = Duration::from_secs(30 * 60);
/// A piece of the body ends with the line that makes it so long.
const PIECE_BYTES: usize = 64 * 1024;

/// One running watch.
pub(crate) struct Watcher {
    inner: Arc<Inner>,
    group: String,
    plural: String,
    view: View,
    /// All changes up to this revision were sent.
    cursor: u64,
    /// Sent first: the objects that are there.
    initial: Option<Bytes>,
    wake: watch::Receiver<Signal>,
    stopping: CancellationToken,
    bookmarks: bool,
    /// The revision from which the watch began, which may lie ahead: nothing up to it is told.
    origin: u64,
    next_bookmark: Instant,
    end: Instant,
    ended: bool,
}

/// Which objects a watch shows, and how.
struct View {
    version: String,
    namespace: Option<String>,
    selector: Selector,
    format: Format,
    /// A table of this stream has named its columns.
    named: bool,
}

/// Begins a watch. `name` is set for a watch of one object.
///
/// # Errors
/// BadRequest, Invalid. A resourceVersion that is too old is an ERROR event of the stream, and so is one that lies
/// ahead where the objects that are there are asked for.
pub(crate) fn begin(
    inner: &Arc<Inner>,
    state: &State,
    target: &Target<'_>,
    namespace: Option<&str>,
    query: &Query,
    format: Format,
) -> Result<Watcher, ApiError> {
    query.check_list()?;
    let resource = &target.resource;
    let selector = Selector::parse(
        resource,
        target.version,
        &query.label_selector,
        &query.field_selector,
    )?;
    let mut view = View {
        version: target.version.to_owned(),
        namespace: namespace.map(str::to_owned),
        selector,
        format,
        named: false,
    };
    let asked = query.revision()?.unwrap_or(0);
    let wants_initial = query.send_initial_events.unwrap_or(asked == 0);
    let collection = state
        .collection(resource.id())
        .ok_or_else(ApiError::no_such_resource)?;
    let lies_ahead = wants_initial && asked > state.revision;
    let initial = if lies_ahead {
        Some(error_line(&ApiError::version_too_large(asked, state.revision)))
    } else {
        wants_initial.then(|| view.initial(collection, state, query))
    };
    let now = Instant::now();
    let timeout = query
        .timeout
        .unwrap_or_else(|| state.random.jittered(SHORTEST_DEFAULT, 1.0));
    let end = now + timeout;
    let cursor = if wants_initial || asked == 0 {
        state.revision
    } else {
        asked
    };
    let mut watcher = Watcher {
        inner: inner.clone(),
        group: resource.group.clone(),
        plural: resource.plural.clone(),
        view,
        cursor,
        initial: initial.filter(|bytes| !bytes.is_empty()),
        wake: collection.wake(),
        stopping: inner.stopping.clone(),
        bookmarks: query.bookmarks,
        origin: cursor,
        next_bookmark: now,
        end,
        ended: lies_ahead,
    };
    watcher.plan_bookmark(now);
    Ok(watcher)
}

/// The lines of a watch.
pub(crate) fn lines(watcher: Watcher) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(watcher, Watcher::next)
}

impl Watcher {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if let Some(initial) = self.initial.take() {
            return Some((initial, self));
        }
        let mut bookmark_due = false;
        loop {
            if self.ended || self.stopping.is_cancelled() {
                return None;
            }
            self.wake.borrow_and_update();
            if let Some(lines) = self.collect() {
                return Some((lines, self));
            }
            if self.ended {
                return None;
            }
            if std::mem::take(&mut bookmark_due) {
                // All changes up to now were looked at: a quiet type's watch moves on with the others.
                if let Some(line) = self.bookmark() {
                    return Some((line, self));
                }
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                changed = self.wake.changed() => if changed.is_err() {
                    return None;
                },
                () = sleep_until(self.end) => return None,
                () = sleep_until(self.next_bookmark), if self.bookmarks => bookmark_due = true,
            }
        }
    }

    /// The lines that are due now; none when there are none.
    fn collect(&mut self) -> Option<Bytes> {
        let inner = self.inner.clone();
        let state = inner.lock();
        let now = state.clock.now();
        // Under the lock, within which it is set: of a type that was made again another collection is there.
        let remains = self.wake.borrow().clone();
        let id = super::GroupResource::new(&self.group, &self.plural);
        let (resource, history) = match (&remains, state.collection(id)) {
            (Some(remains), _) => (&remains.resource, &remains.history),
            (None, Some(collection)) => (&collection.resource, collection.history()),
            (None, None) => {
                self.ended = true;
                return None;
            }
        };
        let Ok(changes) = history.after(self.cursor) else {
            self.ended = true;
            let message = format!("too old resource version: {} ({})", self.cursor, state.revision);
            return Some(error_line(&ApiError::expired(message, None)));
        };
        let mut lines = BytesMut::new();
        for change in changes {
            self.cursor = change.revision();
            self.view.write(resource, change, now, &mut lines);
            if lines.len() >= PIECE_BYTES {
                break;
            }
        }
        if lines.len() < PIECE_BYTES {
            self.cursor = self.cursor.max(state.revision);
            self.ended = remains.is_some();
        }
        (!lines.is_empty()).then(|| lines.freeze())
    }

    /// The bookmark that is due; none in a watch from a version that lies ahead.
    fn bookmark(&mut self) -> Option<Bytes> {
        self.plan_bookmark(Instant::now());
        let inner = self.inner.clone();
        let state = inner.lock();
        if state.revision < self.origin {
            return None;
        }
        let collection = state.collection(super::GroupResource::new(&self.group, &self.plural))?;
        let now = state.clock.now();
        Some(self.view.bookmark(&collection.resource, self.cursor, now, false))
    }

    fn plan_bookmark(&mut self, now: Instant) {
        let last = self.end - LAST_BOOKMARK_BEFORE_END.min(self.end.saturating_duration_since(now));
        let next = now + BOOKMARK_PERIOD;
        self.next_bookmark = if next < last {
            next
        } else if now < last {
            last
        } else {
            // The end comes first.
            self.end + BOOKMARK_PERIOD
        };
    }
}

impl View {
    /// The objects that are there, as ADDED, and for a streaming list the bookmark that ends them.
    fn initial(&mut self, collection: &Collection, state: &State, query: &Query) -> Bytes {
        let mut lines = BytesMut::new();
        let (resource, now) = (&collection.resource, state.clock.now());
        for object in collection.range(self.namespace.as_deref(), None) {
            if self.selector.matches(object.value()) {
                line(&mut lines, "ADDED", &self.object(resource, object, now));
            }
        }
        if query.send_initial_events == Some(true) && query.bookmarks {
            lines.put(self.bookmark(resource, state.revision, now, true));
        }
        lines.freeze()
    }

    fn shows(&self, object: &Object) -> bool {
        let here = self
            .namespace
            .as_deref()
            .is_none_or(|namespace| object.namespace() == namespace);
        here && self.selector.matches(object.value())
    }

    /// Writes the line of a change. An object that moves in or out of the selection is added or deleted.
    fn write(&mut self, resource: &ResourceType, change: &Change, now: Timestamp, lines: &mut BytesMut) {
        let before = change.previous.as_ref().filter(|object| self.shows(object));
        let after = change.kind != ChangeKind::Deleted && self.shows(&change.object);
        let object = &change.object;
        match (before, after) {
            (None, false) => {}
            (None, true) => line(lines, "ADDED", &self.object(resource, object, now)),
            (Some(_), true) => line(lines, "MODIFIED", &self.object(resource, object, now)),
            (Some(_), false) if change.kind == ChangeKind::Deleted => {
                line(lines, "DELETED", &self.object(resource, object, now));
            }
            (Some(before), false) => {
                let mut value = convert(resource, &self.version, before.value()).into_owned();
                let revision = json!(change.revision().to_string());
                metadata_mut(&mut value).insert("resourceVersion".to_owned(), revision);
                line(lines, "DELETED", &self.value(resource, &value, now));
            }
        }
    }

    fn object(&mut self, resource: &ResourceType, object: &Object, now: Timestamp) -> Bytes {
        let headers = !std::mem::replace(&mut self.named, true);
        self.shape(resource, now).streamed(object, headers)
    }

    fn value(&mut self, resource: &ResourceType, value: &Value, now: Timestamp) -> Bytes {
        let headers = !std::mem::replace(&mut self.named, true);
        self.shape(resource, now).value(value, headers)
    }

    fn shape<'a>(&'a self, resource: &'a ResourceType, now: Timestamp) -> Shape<'a> {
        Shape {
            resource,
            version: &self.version,
            format: self.format,
            now,
        }
    }

    fn bookmark(
        &mut self,
        resource: &ResourceType,
        revision: u64,
        now: Timestamp,
        ends_initial: bool,
    ) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let api_version = resource.api_version(&self.version);
        let bookmark = json!({"kind": resource.kind, "apiVersion": api_version, "metadata": metadata});
        let bookmark = self.value(resource, &bookmark, now);
        let mut text = BytesMut::new();
        line(&mut text, "BOOKMARK", &bookmark);
        text.freeze()
    }
}

fn line(lines: &mut BytesMut, kind: &str, object: &[u8]) {
    lines.reserve(object.len() + 40);
    lines.put_slice(b"{\"type\":\"");
    lines.put_slice(kind.as_bytes());
    lines.put_slice(b"\",\"object\":");
    lines.put_slice(object);
    lines.put_slice(b"}\n");
}

fn error_line(error: &ApiError) -> Bytes {
    let mut text = BytesMut::new();
    line(&mut text, "ERROR", &serialise(&error.status()));
    text.freeze()
}
