//! Slackwater before judges that nobody here wrote. One module a layer of `docs/conformance.md`.

// Helpers of tests are tests too; Clippy only knows functions with the attribute.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod capacity;
mod chart;
mod corpus;
mod definitions;
mod drop_in;
mod dynamic;
mod everyday;
mod expansion;
mod faults;
mod group_by_hand;
mod journey;
mod kubectl_sandbox;
mod kustomized;
mod manifests;
mod mixed;
mod moto;
mod one_node;
mod pairs;
mod pods;
mod processes;
mod replicas;
mod requests;
mod resizing;
mod sanity;
mod scheduled;
mod shared;
mod stored;
mod volumes;
mod watching;
