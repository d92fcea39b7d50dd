//! An in-memory Kubernetes API and EC2, with faults and simulated time.

pub mod actors;
pub mod ec2;
pub mod faults;
pub mod kube;
mod listener;
pub mod metadata;
pub mod node;
mod ports;

pub use kube::Body;
pub use ports::free_port;
