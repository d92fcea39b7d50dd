//! Parameters of classes: StorageClass, VolumeAttributesClass, VolumeSnapshotClass. Source: spec 1.4, 2.1-2.3.

pub mod format;
pub mod known;
pub mod mutable;
pub mod snapshot;
pub mod volume;

use std::collections::BTreeMap;

use thiserror::Error;

pub use format::FormatOptions;
pub use mutable::{ChangeParameters, MutableParameters};
pub use snapshot::SnapshotParameters;
pub use volume::VolumeParameters;

/// Prefix of the keys that hold tags. Case-sensitive everywhere.
const TAG_PREFIX: &str = "tagSpecification";
/// Key under which the provisioner passes the name of the claim.
const CLAIM_NAME: &str = "csi.storage.k8s.io/pvc/name";
/// Key under which the provisioner passes the namespace of the claim.
const CLAIM_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";
/// Key under which the provisioner passes the name of the persistent volume.
const VOLUME_OBJECT: &str = "csi.storage.k8s.io/pv/name";

/// Why a parameter is refused. All are InvalidArgument.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ParameterError {
    /// No such parameter.
    #[error("unknown parameter {key:?}")]
    Unknown {
        /// The key as it was given.
        key: String,
    },
    /// The same parameter twice, in different cases.
    #[error("parameter {key:?} is given more than once")]
    Repeated {
        /// The key as it was given the second time.
        key: String,
    },
    /// The value cannot be read.
    #[error("parameter {key:?} has the value {value:?}; expected {expected}")]
    Value {
        /// The key as it was given.
        key: String,
        /// The value as it was given.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Two parameters exclude each other.
    #[error("parameters {0:?} and {1:?} exclude each other")]
    Exclusive(&'static str, &'static str),
    /// A parameter needs another one.
    #[error("parameter {key:?} needs {needs}")]
    Needs {
        /// The parameter that is given.
        key: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// A formatting parameter that does nothing for this kind of volume.
    #[error("parameter {key:?} is not supported for {target}")]
    NotSupported {
        /// The formatting key.
        key: &'static str,
        /// The file system, or `block volumes`.
        target: String,
    },
}

/// Who a volume is made for: tags and inputs of templates. Unset is the empty text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClaimMetadata {
    /// Name of the claim.
    pub claim_name: Option<String>,
    /// Namespace of the claim.
    pub claim_namespace: Option<String>,
    /// Name of the persistent volume.
    pub volume_name: Option<String>,
}

/// Reads a boolean: `true` or `false` in any case (Q22).
fn boolean(key: &str, value: &str) -> Result<bool, ParameterError> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(refused(key, value, "true or false")),
    }
}

/// Reads a decimal, signed 32-bit integer.
fn integer(key: &str, value: &str) -> Result<i32, ParameterError> {
    value
        .parse()
        .map_err(|_| refused(key, value, "a decimal 32-bit integer"))
}

/// Text, where an empty one means that nothing is set.
fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn refused(key: &str, value: &str, expected: &'static str) -> ParameterError {
    ParameterError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        expected,
    }
}

/// Lower-cases the keys except those of tags, and refuses a key that comes twice.
fn lower_cased(
    parameters: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, (&str, &str)>, ParameterError> {
    let mut lower = BTreeMap::new();
    for (key, value) in parameters {
        let lowered = if key.starts_with(TAG_PREFIX) {
            key.clone()
        } else {
            key.to_lowercase()
        };
        if lower.insert(lowered, (key.as_str(), value.as_str())).is_some() {
            return Err(ParameterError::Repeated { key: key.clone() });
        }
    }
    Ok(lower)
}
