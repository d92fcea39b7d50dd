//! The sandbox through the clients that its users have.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ec2_describe;
mod ec2_faults;
mod ec2_locks;
mod ec2_modifications;
mod ec2_protocol;
mod ec2_snapshots;
mod ec2_support;
mod ec2_tags;
mod ec2_volumes;
mod kube_access;
mod kube_create;
mod kube_custom;
mod kube_delete;
mod kube_http;
mod kube_kubectl;
mod kube_list;
mod kube_malformed;
mod kube_patch;
mod kube_quota;
mod kube_rules;
mod kube_schemas;
mod kube_sources;
mod kube_status;
mod kube_support;
mod kube_types;
mod kube_update;
mod kube_watch;
mod node_kubelet;
mod node_memory;
