//! VolumeAttributesClass, trimmed.

use std::collections::BTreeMap;

use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// A VolumeAttributesClass with the fields that our controllers read.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(from = "VolumeAttributesClass")]
pub struct AttributesClass {
    /// Name, UID, version and deletion; everything else is left out.
    pub metadata: ObjectMeta,
    /// `driverName`; immutable.
    pub driver: String,
    /// `parameters`; immutable.
    pub parameters: BTreeMap<String, String>,
}

impl From<VolumeAttributesClass> for AttributesClass {
    fn from(class: VolumeAttributesClass) -> Self {
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
    fn a_class_keeps_the_fields_that_are_read() {
        let class: AttributesClass = serde_json::from_value(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass",
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
