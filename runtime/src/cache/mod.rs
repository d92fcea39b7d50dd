//! Watch caches with an overlay of our own writes.
//!
//! ```text
//! API server --LIST, WATCH--> watch task --> store <-- record(answer of an own write)
//!                                              |
//!                        get, all, indexed, passes, subscribed handlers
//! ```
//!
//! One cache a kind and selection, shared by all who ask [`Watches`] for it. The list and watch loop is our own
//! because the overlay needs the list's resourceVersion, which the watcher of `kube-runtime` hides.
//!
//! **Overlay**: an object that came from an own write stays until the watch (or a relist at least as new)
//! passes its resourceVersion; a recorded deletion leaves a tombstone by UID with the same rule. So a reader sees
//! its own writes at once, and neither a late event nor a late relist undoes them (decision 17, spec snapshot
//! Q4, Q7, Q21).
//!
//! | File | Subject |
//! |---|---|
//! | `asks.rs` | who waits for a cache to be fresh |
//! | `cache.rs` | [`Cache`], [`Selection`], [`Cached`] |
//! | `contact.rs` | whether a cache is known to be stale |
//! | `decode.rs` | pages and watch lines; broken objects are skipped |
//! | `hub.rs` | the store, those who wait for it and those who are told of changes |
//! | `index.rs` | secondary indexes and their counts |
//! | `initial.rs` | lists into the store: as a stream or in pages |
//! | `kept.rs` | how objects lie in the store: most claims and volumes as some hundred bytes |
//! | `list.rs` | paged LIST, and the version of now |
//! | `metrics.rs` | `slackwater_informer_*` |
//! | `silence.rs` | how long a watch may say nothing |
//! | `store.rs` | objects, overlay and tombstones; no I/O |
//! | `stream.rs` | one open watch: lines and time limits |
//! | `subscription.rs` | changes, handlers and resync |
//! | `version.rs` | comparing resourceVersions |
//! | `watcher.rs` | the loop: list, watch, resume, catch up, relist, back off |
//! | `watches.rs` | [`Watches`]: all caches of the process |

mod asks;
#[allow(
    clippy::module_inception,
    reason = "the type named like the module has its own file"
)]
mod cache;
mod contact;
mod decode;
mod hub;
mod index;
mod initial;
mod kept;
mod list;
mod metrics;
mod silence;
mod store;
#[cfg(test)]
mod store_tests;
mod stream;
mod subscription;
mod version;
mod watcher;
mod watches;

pub use cache::{Cache, Cached, Selection};
pub use index::IndexTaken;
pub(crate) use list::list_all;
pub use subscription::{Change, Source, Subscription};
pub use version::Version;
pub use watches::{Listing, Watches};
