//! PersistentVolumeClaim, trimmed.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// A PersistentVolumeClaim with the fields that our controllers read (spec snapshot Q44).
///
/// It cannot be sent back with PUT: use a patch, or [`crate::Writer::get_raw`] and
/// [`crate::Writer::replace_raw`] where the role grants no patch (decision 7).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Name, namespace, UID, version, deletion and finalizers; everything else is left out.
    pub metadata: ObjectMeta,
    /// `spec.volumeName`: the bound volume.
    pub volume_name: Option<String>,
    /// `spec.storageClassName`.
    pub storage_class_name: Option<String>,
    /// `spec.dataSource`.
    pub data_source: Option<DataSource>,
    /// `spec.dataSourceRef`.
    pub data_source_ref: Option<DataSource>,
    /// `status.phase`.
    pub phase: ClaimPhase,
}

/// `status.phase` of a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum ClaimPhase {
    /// Bound to a volume.
    Bound,
    /// The bound volume is gone.
    Lost,
    /// Not bound yet; also when there is no status or an unknown phase.
    #[default]
    #[serde(other)]
    Pending,
}

/// What a claim is filled from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataSource {
    /// API group; empty or absent for core kinds.
    pub api_group: Option<String>,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace where it is not the claim's own (`dataSourceRef` only).
    pub namespace: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(deserialize_with = "super::metadata::trimmed")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<WireSpec>,
    #[serde(default)]
    status: Option<WireStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    volume_name: Option<String>,
    storage_class_name: Option<String>,
    data_source: Option<DataSource>,
    data_source_ref: Option<DataSource>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    phase: Option<ClaimPhase>,
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let spec = wire.spec.unwrap_or_default();
        Ok(Self {
            metadata: wire.metadata,
            volume_name: spec.volume_name.filter(|name| !name.is_empty()),
            storage_class_name: spec.storage_class_name,
            data_source: spec.data_source,
            data_source_ref: spec.data_source_ref,
            phase: wire.status.unwrap_or_default().phase.unwrap_or_default(),
        })
    }
}

impl Resource for Claim {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        PersistentVolumeClaim::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        PersistentVolumeClaim::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        PersistentVolumeClaim::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        PersistentVolumeClaim::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_keeps_the_fields_that_are_read() {
        let claim: Claim = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "data", "namespace": "shop", "uid": "u-1", "resourceVersion": "7",
                "labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["x/y"],
                "managedFields": [{"manager": "m"}],
            },
            "spec": {
                "volumeName": "pv-1", "storageClassName": "gp3", "accessModes": ["ReadWriteOnce"],
                "dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"},
            },
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        }))
        .unwrap();
        assert_eq!(claim.metadata.labels, None);
        assert_eq!(claim.metadata.managed_fields, None);
        assert_eq!(claim.metadata.finalizers, Some(vec!["x/y".to_owned()]));
        assert_eq!(claim.volume_name.as_deref(), Some("pv-1"));
        assert_eq!(claim.phase, ClaimPhase::Bound);
        assert_eq!(claim.data_source_ref.unwrap().name, "s");
    }

    #[test]
    fn a_claim_without_spec_and_status_is_pending() {
        for status in [json!(null), json!({}), json!({"phase": "Strange"})] {
            let claim: Claim =
                serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).unwrap();
            assert_eq!((claim.phase, claim.volume_name), (ClaimPhase::Pending, None));
        }
    }

    #[test]
    fn a_claim_is_found_where_the_full_type_is() {
        assert_eq!(
            Claim::url_path(&(), Some("shop")),
            "/api/v1/namespaces/shop/persistentvolumeclaims"
        );
    }
}
