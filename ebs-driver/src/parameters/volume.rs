//! Parameters of a StorageClass. Source: spec 2.1.

use std::collections::BTreeMap;

use super::known::{Known, set_lower};
use super::{
    CLAIM_NAME, CLAIM_NAMESPACE, ClaimMetadata, FormatOptions, MutableParameters, ParameterError,
    VOLUME_OBJECT, boolean, integer, lower_cased, text,
};
use crate::names::BLOCK_ATTACH;

const NUMBER: &str = "a number";
const LETTERS: &str = "letters and digits";
const SWITCH: &str = "`true` or `false`";
const GIVEN: &str = "given by csi-provisioner";

/// The parameters of a StorageClass. Keys may be spelled in any case, but for those of tags.
pub const PARAMETERS: &[Known<VolumeParameters>] = &[
    Known::new(
        "type",
        "`gp3`, `gp2`, `io1`, `io2`, `st1`, `sc1`, `standard`",
        "the type of the volume; `gp3` unless given",
        |to, _, value| {
            to.volume_type = text(value);
            Ok(())
        },
    ),
    Known::new("iops", NUMBER, "IOPS; not with `iopsPerGB`", |to, key, value| {
        to.iops = Some(integer(key, value)?);
        Ok(())
    }),
    Known::new(
        "iopsPerGB",
        NUMBER,
        "IOPS for each GiB, at most what the type allows; also a tag of the volume, for later growth",
        |to, key, value| {
            to.iops_per_gib = Some(integer(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "allowAutoIOPSPerGBIncrease",
        SWITCH,
        "IOPS that come out below the least of the type are raised to it",
        |to, key, value| {
            to.raise_iops = boolean(key, value)?;
            Ok(())
        },
    ),
    Known::new(
        "allowAutoIOPSIncreaseOnModify",
        SWITCH,
        "IOPS by ratio follow later growth; a tag of the volume",
        |to, key, value| {
            to.auto_iops_on_modify = Some(boolean(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "throughput",
        NUMBER,
        "MiB/s; of EC2's own choice unless given",
        |to, key, value| {
            to.throughput = Some(integer(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "encrypted",
        SWITCH,
        "encryption; without it the account's default holds",
        |to, key, value| {
            to.encrypted = Some(boolean(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "kmsKeyId",
        "ID, alias or ARN of a key",
        "the key of an encrypted volume; it encrypts in any case",
        |to, _, value| {
            to.kms_key_id = text(value);
            Ok(())
        },
    ),
    Known::new(
        "volumeInitializationRate",
        "a number, for EC2 100 to 300",
        "MiB/s at which a volume is filled from its snapshot; ignored for clones",
        |to, key, value| {
            to.initialization_rate = Some(integer(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "blockAttachUntilInitialized",
        SWITCH,
        "pods wait until the volume is filled from its snapshot",
        |to, key, value| {
            to.block_attach = Some(boolean(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "blockSize",
        LETTERS,
        "bytes of a block of the file system",
        |to, key, value| to.format.insert("blocksize", key, value),
    ),
    Known::new("inodeSize", LETTERS, "bytes of an inode", |to, key, value| {
        to.format.insert("inodesize", key, value)
    }),
    Known::new(
        "bytesPerInode",
        LETTERS,
        "bytes of the file system for each inode",
        |to, key, value| to.format.insert("bytesperinode", key, value),
    ),
    Known::new(
        "numberOfInodes",
        LETTERS,
        "how many inodes there are",
        |to, key, value| to.format.insert("numberofinodes", key, value),
    ),
    Known::new(
        "ext4BigAlloc",
        SWITCH,
        "blocks are allocated in clusters",
        |to, key, value| to.format.insert("ext4bigalloc", key, value),
    ),
    Known::new(
        "ext4ClusterSize",
        LETTERS,
        "bytes of a cluster; needs `ext4BigAlloc`",
        |to, key, value| to.format.insert("ext4clustersize", key, value),
    ),
    Known::new(
        "ext4EncryptionSupport",
        SWITCH,
        "the file system can encrypt folders",
        |to, key, value| to.format.insert("ext4encryptionsupport", key, value),
    ),
    Known::new(
        "tagSpecification*",
        "`key=value`",
        "a tag of the volume; the value is a template. This key is spelled exactly so, with anything behind it",
        |to, _, value| {
            to.tag_specifications.push(value.to_owned());
            Ok(())
        },
    ),
    Known::new(CLAIM_NAME, GIVEN, "tag and input of templates", |to, _, value| {
        to.metadata.claim_name = Some(value.to_owned());
        Ok(())
    }),
    Known::new(
        CLAIM_NAMESPACE,
        GIVEN,
        "tag and input of templates",
        |to, _, value| {
            to.metadata.claim_namespace = Some(value.to_owned());
            Ok(())
        },
    ),
    Known::new(
        VOLUME_OBJECT,
        GIVEN,
        "tag and input of templates",
        |to, _, value| {
            to.metadata.volume_name = Some(value.to_owned());
            Ok(())
        },
    ),
    Known::new(
        "fsType",
        "anything",
        "none: use `csi.storage.k8s.io/fstype`",
        |_, _, _| Ok(()),
    ),
    Known::new(
        "blockExpress",
        "anything",
        "none: every io2 volume is one of Block Express",
        |_, _, _| Ok(()),
    ),
];

/// What a class says of the volumes made from it. Unset fields were not given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VolumeParameters {
    /// EC2 volume type, unchecked.
    pub volume_type: Option<String>,
    /// IOPS.
    pub iops: Option<i32>,
    /// IOPS for each GiB.
    pub iops_per_gib: Option<i32>,
    /// Raise computed IOPS to the minimum of the type at creation.
    pub raise_iops: bool,
    /// Recompute IOPS on later resizes.
    pub auto_iops_on_modify: Option<bool>,
    /// MiB/s.
    pub throughput: Option<i32>,
    /// Encryption asked for or declined.
    pub encrypted: Option<bool>,
    /// KMS key; forces encryption.
    pub kms_key_id: Option<String>,
    /// MiB/s, for snapshot sources.
    pub initialization_rate: Option<i32>,
    /// Publish only when initialised.
    pub block_attach: Option<bool>,
    /// For the node.
    pub format: FormatOptions,
    /// Who the volume is made for.
    pub metadata: ClaimMetadata,
    /// `key=value` tags of the class in the order of their parameters, then those of the attributes class.
    pub tag_specifications: Vec<String>,
}

impl VolumeParameters {
    /// Reads the parameters of CreateVolume.
    ///
    /// # Errors
    /// Unknown or repeated keys and values that cannot be read.
    pub fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        let mut parsed = Self::default();
        for (lower, (key, value)) in lower_cased(parameters)? {
            set_lower(PARAMETERS, &mut parsed, &lower, key, value)?;
        }
        Ok(parsed)
    }

    /// Lays the parameters of a VolumeAttributesClass over those of the class.
    #[must_use]
    pub fn overridden_by(mut self, mutable: MutableParameters) -> Self {
        self.volume_type = mutable.volume_type.or(self.volume_type);
        self.iops = mutable.iops.or(self.iops);
        self.throughput = mutable.throughput.or(self.throughput);
        self.iops_per_gib = mutable.iops_per_gib.or(self.iops_per_gib);
        self.auto_iops_on_modify = mutable.auto_iops_on_modify.or(self.auto_iops_on_modify);
        self.tag_specifications.extend(mutable.tag_specifications);
        self
    }

    /// The IOPS asked for at this size, before they are fitted to the type; none when EC2's default holds.
    ///
    /// # Errors
    /// Both a number and a ratio.
    pub fn requested_iops(&self, size_gib: i64) -> Result<Option<i64>, ParameterError> {
        let positive = |value: Option<i32>| value.map(i64::from).filter(|value| *value > 0);
        match (positive(self.iops), positive(self.iops_per_gib)) {
            (Some(_), Some(_)) => Err(ParameterError::Exclusive("iops", "iopsPerGB")),
            (Some(iops), None) => Ok(Some(iops)),
            (None, Some(ratio)) => Ok(Some(ratio.saturating_mul(size_gib))),
            (None, None) => Ok(None),
        }
    }

    /// What the node learns of the volume: formatting options and the wait before publishing.
    #[must_use]
    pub fn context(&self) -> BTreeMap<String, String> {
        let mut context: BTreeMap<String, String> = self
            .format
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        if self.block_attach == Some(true) {
            context.insert(BLOCK_ATTACH.to_owned(), "true".to_owned());
        }
        context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<VolumeParameters, ParameterError> {
        VolumeParameters::parse(
            &pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn ebs_case_15_19_unknown_keys_are_named() {
        for key in ["colour", "tagspecification_1", "csi.storage.k8s.io/fstype", ""] {
            let error = parse(&[(key, "a=b")]).unwrap_err();
            assert_eq!(error, ParameterError::Unknown { key: key.into() });
            assert!(error.to_string().contains(&format!("{key:?}")));
        }
        assert_eq!(
            parse(&[("fsType", "ext4"), ("blockExpress", "true")]),
            Ok(VolumeParameters::default())
        );
    }

    #[test]
    fn ebs_case_16_keys_are_matched_in_any_case() {
        let parsed = parse(&[
            ("KMSKEYID", "arn"),
            ("TYPE", "io2"),
            ("tagSpecification_1", "a=b"),
        ])
        .unwrap();
        assert_eq!(parsed.kms_key_id.as_deref(), Some("arn"));
        assert_eq!(parsed.volume_type.as_deref(), Some("io2"));
        assert_eq!(parsed.tag_specifications, ["a=b"]);
        assert!(matches!(
            parse(&[("iops", "1"), ("IOPS", "2")]),
            Err(ParameterError::Repeated { .. })
        ));
    }

    #[test]
    fn ebs_case_17_booleans_are_true_or_false() {
        assert_eq!(parse(&[("encrypted", "True")]).unwrap().encrypted, Some(true));
        assert_eq!(parse(&[("encrypted", "false")]).unwrap().encrypted, Some(false));
        for value in ["yes", "1", ""] {
            assert!(parse(&[("encrypted", value)]).is_err(), "{value}");
        }
    }

    #[test]
    fn ebs_case_18_integers_are_decimal_and_32_bit() {
        for value in ["fast", "0x10", "", "2147483648", " 5"] {
            assert!(parse(&[("throughput", value)]).is_err(), "{value}");
        }
        assert_eq!(parse(&[("throughput", "250")]).unwrap().throughput, Some(250));
    }

    #[test]
    fn ebs_case_20_the_attributes_class_overrides() {
        let mutable = MutableParameters::parse(
            &[("type", "io2"), ("volumeType", "gp3"), ("iops", "500")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        )
        .unwrap();
        let parsed = parse(&[("type", "gp2")]).unwrap().overridden_by(mutable);
        assert_eq!(parsed.volume_type.as_deref(), Some("io2"));
        assert_eq!(parsed.requested_iops(10), Ok(Some(500)));
    }

    #[test]
    fn ebs_case_42_the_ratio_counts_in_64_bits() {
        assert_eq!(
            parse(&[("iopsPerGB", "10")]).unwrap().requested_iops(1000),
            Ok(Some(10_000))
        );
        let wide = parse(&[("iopsPerGB", "2147483647")]).unwrap();
        assert_eq!(wide.requested_iops(65_536), Ok(Some(2_147_483_647 * 65_536)));
        let both = parse(&[("iopsPerGB", "1"), ("iops", "1")]).unwrap();
        assert!(both.requested_iops(1).is_err());
        assert_eq!(parse(&[("iops", "0")]).unwrap().requested_iops(1), Ok(None));
    }

    #[test]
    fn ebs_case_24_formatting_goes_into_the_context() {
        let parsed = parse(&[("BlockSize", "4096"), ("blockAttachUntilInitialized", "TRUE")]).unwrap();
        let expected = [("blockattachuntilinitialized", "true"), ("blocksize", "4096")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(parsed.context(), expected.into());
    }
}
