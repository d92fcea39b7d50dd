//! The registrar between a driver of ours and a fake kubelet, on real sockets.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kubelet;
mod registering;
