//! `VolumeGroupSnapshotClass`: how group snapshots of a driver are made. It has no `spec`, so the derive of the
//! other kinds does not fit and the resource is written by hand.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::names::group::GROUP;
use crate::schemas;
use crate::v1::DeletionPolicy;

/// How group snapshots of a driver are made. Nothing in it can change.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotClass {
    /// `groupsnapshot.storage.k8s.io/v1`; absent in lists.
    #[serde(default = "api_version")]
    #[schemars(skip)]
    pub api_version: String,
    /// `VolumeGroupSnapshotClass`; absent in lists.
    #[serde(default = "kind")]
    #[schemars(skip)]
    pub kind: String,
    /// Name, labels, annotations.
    #[serde(default)]
    #[schemars(skip)]
    pub metadata: ObjectMeta,
    /// What becomes of group snapshots of the class when their `VolumeGroupSnapshot` is deleted.
    #[schemars(schema_with = "schemas::deletion_policy")]
    #[x_kube(validation = ("self == oldSelf", "deletionPolicy is immutable once set"))]
    pub deletion_policy: DeletionPolicy,
    /// The CSI driver that handles the class.
    #[x_kube(validation = ("self == oldSelf", "driver is immutable once set"))]
    pub driver: String,
    /// Passed to the driver, except the keys that name Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = ("self == oldSelf", "parameters are immutable once set"))]
    pub parameters: BTreeMap<String, String>,
}

fn api_version() -> String {
    format!("{GROUP}/v1")
}

fn kind() -> String {
    "VolumeGroupSnapshotClass".to_owned()
}

impl VolumeGroupSnapshotClass {
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

impl kube::Resource for VolumeGroupSnapshotClass {
    type DynamicType = ();
    type Scope = k8s_openapi::ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "VolumeGroupSnapshotClass".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "volumegroupsnapshotclasses".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
