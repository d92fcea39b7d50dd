//! Parameters of a VolumeAttributesClass at creation. Source: spec 2.2, Q24.

use std::collections::BTreeMap;

use super::{CLAIM_NAME, CLAIM_NAMESPACE, ParameterError, TAG_PREFIX, VOLUME_OBJECT, boolean, integer, text};

/// Prefix of the keys that remove tags from an existing volume.
const TAG_DELETION_PREFIX: &str = "tagDeletion";

/// What an attributes class says of a new volume. Keys are case-sensitive.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MutableParameters {
    /// EC2 volume type, of `type` or the deprecated `volumeType`.
    pub volume_type: Option<String>,
    /// IOPS.
    pub iops: Option<i32>,
    /// MiB/s.
    pub throughput: Option<i32>,
    /// IOPS for each GiB.
    pub iops_per_gib: Option<i32>,
    /// Recompute IOPS on later resizes.
    pub auto_iops_on_modify: Option<bool>,
    /// `key=value` tags in the order of their parameters.
    pub tag_specifications: Vec<String>,
}

impl MutableParameters {
    /// Reads the mutable parameters of CreateVolume: all that a later change accepts, so that one class serves
    /// both (Q24). Tags to remove mean nothing for a new volume; who it is made for stands in `parameters`.
    ///
    /// # Errors
    /// Unknown keys and values that cannot be read.
    pub fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        let mut parsed = Self::default();
        let mut deprecated_type = None;
        for (key, value) in parameters {
            match key.as_str() {
                "type" => parsed.volume_type = text(value),
                "volumeType" => deprecated_type = text(value),
                "iops" => parsed.iops = Some(integer(key, value)?),
                "throughput" => parsed.throughput = Some(integer(key, value)?),
                "iopspergb" => parsed.iops_per_gib = Some(integer(key, value)?),
                "allowautoiopsincreaseonmodify" => parsed.auto_iops_on_modify = Some(boolean(key, value)?),
                CLAIM_NAME | CLAIM_NAMESPACE | VOLUME_OBJECT => {}
                _ if key.starts_with(TAG_PREFIX) => parsed.tag_specifications.push(value.clone()),
                _ if key.starts_with(TAG_DELETION_PREFIX) => {}
                _ => return Err(ParameterError::Unknown { key: key.clone() }),
            }
        }
        parsed.volume_type = parsed.volume_type.or(deprecated_type);
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<MutableParameters, ParameterError> {
        MutableParameters::parse(
            &pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn ebs_case_21_keys_are_case_sensitive() {
        for key in ["IOPS", "Type", "colour", "iopsPerGB"] {
            assert_eq!(
                parse(&[(key, "500")]),
                Err(ParameterError::Unknown { key: key.into() })
            );
        }
    }

    #[test]
    fn what_a_change_accepts_is_accepted_at_creation() {
        let parsed = parse(&[
            ("allowautoiopsincreaseonmodify", "true"),
            ("iopspergb", "5"),
            ("tagDeletion_1", "old"),
            ("tagSpecification_1", "a=b"),
            ("volumeType", "io2"),
            ("csi.storage.k8s.io/pvc/name", "claim"),
        ])
        .unwrap();
        assert_eq!(parsed.auto_iops_on_modify, Some(true));
        assert_eq!(parsed.iops_per_gib, Some(5));
        assert_eq!(parsed.tag_specifications, ["a=b"]);
        assert_eq!(parsed.volume_type.as_deref(), Some("io2"));
    }
}
