//! Schemas of fields whose Rust type does not say all that the definition says.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// The pattern that Kubernetes uses for every quantity.
const QUANTITY_PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// A quantity, given as text or as a number.
pub(crate) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": QUANTITY_PATTERN, "x-kubernetes-int-or-string": true })
}

/// Reads a quantity that may stand there as a number.
pub(crate) fn read_quantity<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Quantity>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum IntOrString {
        Int(i64),
        String(String),
    }
    Ok(
        Option::<IntOrString>::deserialize(source)?.map(|value| match value {
            IntOrString::Int(number) => Quantity(number.to_string()),
            IntOrString::String(text) => Quantity(text),
        }),
    )
}

/// An `ObjectReference` that is replaced as a whole.
pub(crate) fn object_reference(_: &mut SchemaGenerator) -> Schema {
    let text = || serde_json::json!({ "type": "string" });
    json_schema!({
        "type": "object",
        "properties": {
            "apiVersion": text(),
            "fieldPath": text(),
            "kind": text(),
            "name": text(),
            "namespace": text(),
            "resourceVersion": text(),
            "uid": text(),
        },
        "x-kubernetes-map-type": "atomic",
    })
}

/// A `LabelSelector` that is replaced as a whole.
pub(crate) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    let text = || serde_json::json!({ "type": "string" });
    let list =
        |items| serde_json::json!({ "type": "array", "items": items, "x-kubernetes-list-type": "atomic" });
    let expression = serde_json::json!({
        "type": "object",
        "properties": { "key": text(), "operator": text(), "values": list(text()) },
        "required": ["key", "operator"],
    });
    json_schema!({
        "type": "object",
        "properties": {
            "matchExpressions": list(expression),
            "matchLabels": { "type": "object", "additionalProperties": text() },
        },
        "x-kubernetes-map-type": "atomic",
    })
}

/// Bytes: a whole number that is not negative.
pub(crate) fn bytes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

/// What becomes of the snapshot when its `VolumeSnapshot` is deleted.
pub(crate) fn deletion_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Delete", "Retain"] })
}

#[cfg(test)]
mod tests {
    use crate::v1::VolumeSnapshotStatus;

    #[test]
    fn a_restore_size_may_be_a_number() {
        for (json, expected) in [
            (r#"{"restoreSize":1000}"#, "1000"),
            (r#"{"restoreSize":"4Gi"}"#, "4Gi"),
        ] {
            let status: VolumeSnapshotStatus = serde_json::from_str(json).unwrap();
            assert_eq!(status.restore_size.unwrap().0, expected);
        }
        assert_eq!(
            serde_json::from_str::<VolumeSnapshotStatus>("{}")
                .unwrap()
                .restore_size,
            None
        );
    }
}
