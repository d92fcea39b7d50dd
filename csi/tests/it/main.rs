//! The client and the server together, over a Unix socket and in process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authority;
mod connection;
mod driver;
mod identity;
mod malformed;
mod traces;
mod transports;
