//! Parameters of a VolumeAttributesClass, at creation and for a volume that exists. Source: spec 2.2, Q24.

use std::collections::BTreeMap;

use super::known::{Known, set};
use super::{
    CLAIM_NAME, CLAIM_NAMESPACE, ClaimMetadata, ParameterError, VOLUME_OBJECT, boolean, integer, refused,
    text,
};

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
        Ok(ChangeParameters::read(parameters)?.mutable)
    }
}

/// What an attributes class asks of a volume that exists.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChangeParameters {
    /// What it shares with creation. Numbers that are given are at least 1.
    pub mutable: MutableParameters,
    /// Keys of tags to remove.
    pub tag_deletions: Vec<String>,
    /// Inputs of templates.
    pub metadata: ClaimMetadata,
}

impl ChangeParameters {
    /// Reads the parameters of ControllerModifyVolume.
    ///
    /// # Errors
    /// Unknown keys, values that cannot be read or mean nothing, and what excludes each other.
    pub fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        let parsed = Self::read(parameters)?;
        let mutable = &parsed.mutable;
        let numbers = [
            ("iops", mutable.iops),
            ("throughput", mutable.throughput),
            ("iopspergb", mutable.iops_per_gib),
        ];
        for (key, number) in numbers {
            if let Some(number) = number.filter(|number| *number < 1) {
                return Err(refused(key, &number.to_string(), "a number of at least 1"));
            }
        }
        if mutable.iops.is_some() && mutable.iops_per_gib.is_some() {
            return Err(ParameterError::Exclusive("iops", "iopspergb"));
        }
        Ok(parsed)
    }

    fn read(parameters: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        let mut reading = Reading::default();
        for (key, value) in parameters {
            set(PARAMETERS, &mut reading, key, value)?;
        }
        let Reading {
            mut parsed,
            deprecated_type,
        } = reading;
        parsed.mutable.volume_type = parsed.mutable.volume_type.or(deprecated_type);
        Ok(parsed)
    }
}

/// What is read so far.
#[derive(Debug, Default)]
pub struct Reading {
    parsed: ChangeParameters,
    deprecated_type: Option<String>,
}

const GIVEN: &str = "given by csi-resizer";

/// The parameters of a VolumeAttributesClass. Keys are spelled exactly so.
pub const PARAMETERS: &[Known<Reading>] = &[
    Known::new(
        "type",
        "`gp3`, `gp2`, `io1`, `io2`, `st1`, `sc1`, `standard`",
        "the type of the volume",
        |to, _, value| {
            to.parsed.mutable.volume_type = text(value);
            Ok(())
        },
    ),
    Known::new(
        "volumeType",
        "as `type`",
        "the same under its former name; `type` goes before it",
        |to, _, value| {
            to.deprecated_type = text(value);
            Ok(())
        },
    ),
    Known::new(
        "iops",
        "a number of at least 1",
        "IOPS; not with `iopspergb`",
        |to, key, value| {
            to.parsed.mutable.iops = Some(integer(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "throughput",
        "a number of at least 1",
        "MiB/s",
        |to, key, value| {
            to.parsed.mutable.throughput = Some(integer(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "iopspergb",
        "a number of at least 1",
        "IOPS for each GiB; needs the next one, here or on the volume",
        |to, key, value| {
            to.parsed.mutable.iops_per_gib = Some(integer(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "allowautoiopsincreaseonmodify",
        "`true` or `false`",
        "IOPS by ratio follow this and later changes of the size",
        |to, key, value| {
            to.parsed.mutable.auto_iops_on_modify = Some(boolean(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "tagSpecification*",
        "`key=value`",
        "a tag to be set; the value is a template",
        |to, _, value| {
            to.parsed.mutable.tag_specifications.push(value.to_owned());
            Ok(())
        },
    ),
    Known::new(
        "tagDeletion*",
        "the key of a tag",
        "a tag to be removed; means nothing for a new volume",
        |to, _, value| {
            to.parsed.tag_deletions.push(value.to_owned());
            Ok(())
        },
    ),
    Known::new(CLAIM_NAME, GIVEN, "input of templates", |to, _, value| {
        to.parsed.metadata.claim_name = Some(value.to_owned());
        Ok(())
    }),
    Known::new(CLAIM_NAMESPACE, GIVEN, "input of templates", |to, _, value| {
        to.parsed.metadata.claim_namespace = Some(value.to_owned());
        Ok(())
    }),
    Known::new(VOLUME_OBJECT, GIVEN, "input of templates", |to, _, value| {
        to.parsed.metadata.volume_name = Some(value.to_owned());
        Ok(())
    }),
];

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

    #[test]
    fn ebs_case_97_wrong_values_of_a_change_are_refused_by_their_key() {
        let change = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            ChangeParameters::parse(&owned.collect())
        };
        for (pairs, named) in [
            (vec![("Iops", "4000")], "\"Iops\""),
            (vec![("iops", "0")], "\"iops\""),
            (vec![("throughput", "-5")], "\"throughput\""),
            (vec![("iopspergb", "0")], "\"iopspergb\""),
            (vec![("iops", "fast")], "\"iops\""),
            (
                vec![("allowautoiopsincreaseonmodify", "maybe")],
                "\"allowautoiopsincreaseonmodify\"",
            ),
            (
                vec![("iops", "3000"), ("iopspergb", "5")],
                "\"iops\" and \"iopspergb\"",
            ),
        ] {
            let error = change(&pairs).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let parsed = change(&[("tagDeletion_1", "old"), ("csi.storage.k8s.io/pv/name", "pv")]).unwrap();
        assert_eq!(parsed.tag_deletions, ["old"]);
        assert_eq!(parsed.metadata.volume_name.as_deref(), Some("pv"));
    }
}
