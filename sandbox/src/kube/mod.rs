//! An in-memory Kubernetes API server.
//!
//! Objects are JSON values in one store with one resourceVersion counter. Every request is one step under one
//! lock, so that a dropped future leaves no half-done work, and everything that differs between runs (time,
//! names, UIDs) comes from the given clock and random numbers: the same seed gives the same answers.
//!
//! | Layer | Modules |
//! |---|---|
//! | HTTP | `serve` (sockets), `certificate`, `service` (in process), `request`, `route`, `query`, `body` |
//! | Forms | `format`, [`protobuf`], `table`, `discovery`, `openapi` |
//! | Resource types | `resource`, `builtin`, `custom` |
//! | Verbs | `verbs`, `intake`, `read`, `watch`, `write`, `delete`, `patch`, `strategic`, `scale`, `reviews` |
//! | Rules | `metadata`, `checks`, `admit`, `quota`, `fields`, `decode`, `access`, `selector`; [`schema`], [`validation`], [`apply`] |
//! | Store | `state`, `collection`, `object`, `audit`; `store` for actors |

mod access;
mod admit;
pub mod apply;
mod audit;
mod body;
mod builtin;
mod certificate;
mod checks;
mod collection;
mod custom;
mod decode;
mod delete;
pub(crate) mod discovery;
mod error;
mod fields;
mod format;
mod intake;
mod metadata;
mod object;
mod openapi;
mod patch;
pub mod protobuf;
mod query;
mod quota;
mod read;
mod request;
mod resource;
mod reviews;
mod route;
mod scale;
pub mod schema;
mod selector;
mod serve;
mod server;
mod service;
mod state;
mod store;
mod strategic;
mod table;
pub mod validation;
mod verbs;
mod watch;
mod write;

pub use access::Denial;
pub use audit::AuditRecord;
pub use body::Body;
pub use certificate::CertificateError;
pub use collection::{Change, ChangeKind};
pub use error::{ApiError, Cause};
pub use object::Object;
pub(crate) use object::has_ended;
pub(crate) use quota::{Amounts, QUOTAS, amounts, json_of};
pub use resource::GroupResource;
pub use server::ApiServer;
pub use service::ApiService;
pub use store::{Store, Subscription};
