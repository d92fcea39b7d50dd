//! VolumeAttributesClass, trimmed.

use std::collections::BTreeMap;

use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// A VolumeAttributesClass with the fields that our controllers read, which are the same in all of [`AttributesClass::VERSIONS`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(from = "Wire")]
pub struct AttributesClass {
    /// Name, UID, version and deletion; everything else is left out.
    pub metadata: ObjectMeta,
    /// `driverName`; immutable.
    pub driver: String,
    /// `parameters`; immutable.
    pub parameters: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    metadata: ObjectMeta,
    driver_name: String,
    #[serde(default)]
    parameters: Option<BTreeMap<String, String>>,
}

impl AttributesClass {
    /// The versions of the API that have the kind, the one that is preferred first. Kubernetes serves `v1` since 1.34, and
    /// `v1beta1` before where it is switched on.
    pub const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

    /// Those that may be asked for: the preferred one alone, or where `falls_back` the others behind it.
    #[must_use]
    pub fn versions(falls_back: bool) -> &'static [&'static str] {
        match falls_back {
            true => &Self::VERSIONS,
            false => &Self::VERSIONS[..1],
        }
    }
}

impl From<Wire> for AttributesClass {
    fn from(class: Wire) -> Self {
        let metadata = class.metadata;
        Self {
            metadata: ObjectMeta {
                name: metadata.name,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                deletion_timestamp: metadata.deletion_timestamp,
                ..ObjectMeta::default()
            },
            driver: class.driver_name,
            parameters: class.parameters.unwrap_or_default(),
        }
    }
}

crate::part_of!(AttributesClass, VolumeAttributesClass);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_keeps_the_fields_that_are_read_in_each_version() {
        for version in AttributesClass::VERSIONS {
            let class: AttributesClass = serde_json::from_value(json!({
                "apiVersion": format!("storage.k8s.io/{version}"), "kind": "VolumeAttributesClass",
                "metadata": {"name": "gold", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}},
                "driverName": "ebs.csi.aws.com", "parameters": {"iops": "4000"},
            }))
            .unwrap();
            assert_eq!(
                (class.driver.as_str(), class.parameters["iops"].as_str()),
                ("ebs.csi.aws.com", "4000")
            );
            assert_eq!(class.metadata.labels, None);
        }
    }
}
