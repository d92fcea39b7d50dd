//! The probe before drivers on real sockets, asked over HTTP.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod driver;
mod probing;
