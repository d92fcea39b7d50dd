//! The Container Storage Interface 1.13: messages, client and server, error classes.
//!
//! Both ends speak gRPC. A client does not know whether the driver is behind a Unix socket or in the same
//! process: [`Channel`] is the transport of the generated clients either way.
//!
//! ```text
//! controller ── v1::controller_client ── Channel ──┬── Unix socket or TCP, reconnecting ── serve ──┬── driver
//!                                                  └── in process ────────────────────────────────┘
//! ```
//!
//! | Module | Subject |
//! |---|---|
//! | [`v1`] | generated from `proto/csi.proto` |
//! | [`address`] | where a driver listens |
//! | [`channel`] | the client's transport, with the state of the connection |
//! | [`class`] | what an error says about the operation |
//! | [`given_up`] | calls that go on when their caller gives them up |
//! | [`hints`] | what our callers tell our driver beside a message |
//! | [`identity`] | the calls of a sidecar's start |
//! | [`inventory`] | what a driver in this process tells beside CSI |
//! | [`mask`] | equality of errors that differ only in IDs and times |
//! | [`metrics`] | `csi_sidecar_operations_seconds` |
//! | [`modify`] | the service before attributes classes, generated from `proto/modify.proto` |
//! | [`panics`] | a panicking RPC answers Aborted |
//! | [`retry`] | `google.rpc.RetryInfo` |
//! | [`server`] | serving a driver |
//! | [`status`] | texts and names of gRPC statuses as users know them |
//! | [`traces`] | calls as spans of a trace |

pub mod address;
mod answer;
pub mod channel;
pub mod class;
pub mod codec;
mod connection;
pub mod given_up;
pub mod hints;
pub mod identity;
pub mod inventory;
pub mod mask;
pub mod metrics;
pub mod modify;
pub mod panics;
pub mod retry;
mod secret;
pub mod server;
pub mod status;
pub mod traces;

/// Messages, clients and servers of the `csi.v1` package, generated from `proto/csi.proto`.
///
/// Maps are ordered. The `Debug` of a message with fields marked `csi_secret` shows `***stripped***` for them.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::too_many_lines,
    unused_qualifications
)]
pub mod v1 {
    tonic::include_proto!("csi.v1");
    include!(concat!(env!("OUT_DIR"), "/secrets.rs"));
}

/// The compiled `csi.proto` as an encoded `google.protobuf.FileDescriptorSet`, with its imports and options.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/csi.bin"));

pub use address::Address;
pub use channel::{Channel, ConnectOptions, State};
pub use class::{Class, Operation, classify, classify_status};
pub use hints::CreateSnapshotHint;
pub use inventory::Inventory;
pub use metrics::Metrics;
pub use server::{Listener, serve};
