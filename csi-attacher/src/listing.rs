//! What the driver lists, compared with what attachments say. Source: sidecars.md 3.6; Q37.
//!
//! An attachment that differs is noted under the number of the comparison, and woken; its plan then calls the driver though
//! nothing else asks for it, once a comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Queue, Scope};
use runtime::objects::{Attachment, CsiNode, Volume};
use runtime::{Cache, ObjectKey};

use crate::calls::Calls;
use crate::source::Source;

/// The nodes of every volume, by what the driver calls both.
type Listed = BTreeMap<String, BTreeSet<String>>;

/// What the last comparison found. Sends nothing.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    number: u64,
    /// UIDs.
    different: BTreeSet<String>,
}

impl Listing {
    /// The number of the comparison that found this attachment different, if the last one did.
    pub(crate) fn differs_since(&self, attachment: &Attachment) -> Option<u64> {
        let state = self.lock();
        let uid = attachment.metadata.uid.as_ref()?;
        state.different.contains(uid).then_some(state.number)
    }

    /// Takes in what a comparison found; answers what was different before.
    fn note(&self, different: BTreeSet<String>) -> BTreeSet<String> {
        let mut state = self.lock();
        state.number += 1;
        std::mem::replace(&mut state.different, different)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares, in a term of leadership.
pub(crate) struct Comparison {
    pub(crate) listing: Arc<Listing>,
    pub(crate) attachments: Cache<Attachment>,
    pub(crate) volumes: Cache<Volume>,
    pub(crate) nodes: Cache<CsiNode>,
    pub(crate) queue: Queue<ObjectKey>,
    pub(crate) calls: Calls,
    pub(crate) driver: String,
    pub(crate) max_entries: i32,
}

impl Comparison {
    /// Compares each `period` until the scope stops; never where it is zero.
    pub(crate) async fn repeat(&self, period: Duration, scope: &Scope) {
        if period.is_zero() {
            return;
        }
        loop {
            tokio::select! {
                biased;
                () = scope.stopping() => return,
                () = tokio::time::sleep(period) => {}
            }
            tokio::select! {
                biased;
                () = scope.stopping() => return,
                () = self.compare() => {}
            }
        }
    }

    async fn compare(&self) {
        let before = self.at_rest();
        let listed = match self.calls.list(self.max_entries).await {
            Ok(listed) => listed,
            Err(status) => {
                let error = csi::status::error_text(&status);
                tracing::warn!("cannot compare attachments with what the driver lists: {error}");
                return;
            }
        };
        let mut different = BTreeSet::new();
        let (mut keys, mut others) = (Vec::new(), Vec::new());
        for attachment in self.own() {
            let key = ObjectKey::of(&*attachment);
            // What is worked on, or has changed while the driver listed, is neither wrong there nor here.
            let is_settled = before.get(&key) == attachment.metadata.resource_version.as_ref();
            if is_settled && !self.queue.runs(&key) && self.differs(&attachment, &listed) {
                different.extend(attachment.metadata.uid.clone());
                keys.push(key);
            } else {
                others.extend(attachment.metadata.uid.clone().map(|uid| (uid, key)));
            }
        }
        let former = self.listing.note(different);
        // What was told of a difference is so no more.
        let settled = others.into_iter().filter(|(uid, _)| former.contains(uid));
        settled.for_each(|(_, key)| self.queue.add(key));
        for key in keys {
            tracing::warn!(%key, "the driver does not list the volume as the VolumeAttachment says");
            self.queue.add(key);
        }
    }

    fn differs(&self, attachment: &Attachment, listed: &Listed) -> bool {
        let volume = attachment.volume.as_ref();
        let volume = volume.and_then(|name| self.volumes.get(&ObjectKey::cluster(name)));
        let node = self.nodes.get(&ObjectKey::cluster(&attachment.node));
        let is_listed = is_listed(
            attachment,
            volume.as_deref(),
            node.as_deref(),
            &self.driver,
            listed,
        );
        is_listed.is_some_and(|is_listed| is_listed != attachment.is_attached())
    }

    fn own(&self) -> impl Iterator<Item = Arc<Attachment>> {
        let all = self.attachments.all().into_iter();
        all.filter(|attachment| attachment.attacher == self.driver)
    }

    /// The versions of those that nobody works on.
    fn at_rest(&self) -> BTreeMap<ObjectKey, String> {
        self.own()
            .filter_map(|attachment| {
                let version = attachment.metadata.resource_version.clone()?;
                Some((ObjectKey::of(&*attachment), version))
            })
            .filter(|(key, _)| !self.queue.runs(key))
            .collect()
    }
}

/// Whether the driver lists the volume of an attachment at its node; none where it cannot be told what the driver calls them.
fn is_listed(
    attachment: &Attachment,
    volume: Option<&Volume>,
    node: Option<&CsiNode>,
    driver: &str,
    listed: &Listed,
) -> Option<bool> {
    let noted = attachment.volume_handle.as_deref().map(str::to_owned);
    let present = || {
        Source::of(attachment, volume)
            .ok()
            .map(|source| source.csi.volume_handle.clone())
    };
    let handle = noted.or_else(present)?;
    let own = || Some(&*node?.driver(driver)?.node_id);
    let node_id = attachment.node_id.as_deref().or_else(own)?;
    Some(listed.get(&handle).is_some_and(|nodes| nodes.contains(node_id)))
}
