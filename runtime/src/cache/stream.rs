//! One open watch: lines, and limits in time.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube::api::WatchParams;
use kube::client::Body;
use kube::core::Request;
use kube::{Client, Resource};
use memchr::memchr;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Selection;
use super::decode::{Event, event};
use super::list::url;
use crate::error::ApiError;
use crate::request::{built, open};

/// Longest wait for the headers of a watch.
const OPENED_WITHIN: Duration = Duration::from_secs(30);
/// A server that does not end the watch at its time limit is given this much longer.
const GRACE: Duration = Duration::from_secs(30);

/// How a watch begins.
#[derive(Clone, Copy)]
pub(super) enum From<'a> {
    /// After this version.
    Version(&'a str),
    /// With the present state as events, ended by a bookmark.
    InitialEvents,
}

pub(super) struct Stream<K> {
    body: Body,
    buffer: BytesMut,
    searched: usize,
    until: Instant,
    kind: PhantomData<fn() -> K>,
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned> Stream<K> {
    /// Sends: WATCH. `lasting` is the time after which the server is to end it.
    pub(super) async fn open(
        client: &Client,
        selection: &Selection,
        from: From<'_>,
        lasting: Duration,
    ) -> Result<Self, ApiError> {
        let params = WatchParams {
            label_selector: selection.labels.clone(),
            field_selector: selection.fields.clone(),
            timeout: u32::try_from(lasting.as_secs()).ok(),
            bookmarks: true,
            send_initial_events: matches!(from, From::InitialEvents),
        };
        let version = match from {
            From::Version(version) => version,
            From::InitialEvents => "",
        };
        let request = built(Request::new(url::<K>(selection)).watch(&params, version))?;
        let answer = tokio::time::timeout(OPENED_WITHIN, open(client, identity(request)))
            .await
            .map_err(|_| ApiError::no_answer("the API server does not answer the watch"))??;
        Ok(Self {
            body: answer.into_body(),
            buffer: BytesMut::new(),
            searched: 0,
            until: Instant::now() + lasting + GRACE,
            kind: PhantomData,
        })
    }

    /// The next event, in order; `None` when the watch has ended.
    pub(super) async fn next(&mut self) -> Result<Option<Event<K>>, ApiError> {
        loop {
            if let Some(line) = self.line() {
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return event(&line).map(Some);
            }
            let Ok(frame) = tokio::time::timeout_at(self.until, self.body.frame()).await else {
                return Err(ApiError::no_answer("the watch is silent beyond its time limit"));
            };
            match frame {
                // An unfinished line is lost with the connection; the next watch shows it again.
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn line(&mut self) -> Option<Bytes> {
        let found = memchr(b'\n', &self.buffer[self.searched..]);
        let Some(end) = found.map(|offset| self.searched + offset) else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let line = self.buffer.split_to(end + 1).freeze();
        Some(line.slice(..end))
    }
}

/// Compressed watches are buffered by some layers, which would hold events back.
fn identity(mut request: http::Request<Vec<u8>>) -> http::Request<Vec<u8>> {
    let value = http::HeaderValue::from_static("identity");
    request.headers_mut().insert(http::header::ACCEPT_ENCODING, value);
    request
}
