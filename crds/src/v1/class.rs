//! `VolumeSnapshotClass`: how snapshots of a driver are made. It has no `spec`, so the derive of the other
//! kinds does not fit and the resource is written by hand.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DeletionPolicy;
use crate::names::GROUP;
use crate::schemas;

/// How snapshots of a driver are made.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotClass {
    /// `snapshot.storage.k8s.io/v1`; absent in lists.
    #[serde(default = "api_version")]
    #[schemars(skip)]
    pub api_version: String,
    /// `VolumeSnapshotClass`; absent in lists.
    #[serde(default = "kind")]
    #[schemars(skip)]
    pub kind: String,
    /// Name, labels, annotations.
    #[serde(default)]
    #[schemars(skip)]
    pub metadata: ObjectMeta,
    /// What becomes of snapshots of the class when their `VolumeSnapshot` is deleted.
    #[schemars(schema_with = "schemas::deletion_policy")]
    pub deletion_policy: DeletionPolicy,
    /// The CSI driver that handles the class.
    pub driver: String,
    /// Passed to the driver, except the keys that name Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

fn api_version() -> String {
    format!("{GROUP}/v1")
}

fn kind() -> String {
    "VolumeSnapshotClass".to_owned()
}

impl VolumeSnapshotClass {
    /// A class without parameters.
    #[must_use]
    pub fn new(name: &str, driver: &str, deletion_policy: DeletionPolicy) -> Self {
        Self {
            api_version: api_version(),
            kind: kind(),
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            driver: driver.to_owned(),
            deletion_policy,
            parameters: BTreeMap::new(),
        }
    }
}

impl kube::Resource for VolumeSnapshotClass {
    type DynamicType = ();
    type Scope = k8s_openapi::ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "VolumeSnapshotClass".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "volumesnapshotclasses".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
