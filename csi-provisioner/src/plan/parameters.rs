//! The class of a claim, and what of its parameters the driver is given. Source: sidecars.md 2.3 step 7, 2.4.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::TopologySelectorTerm;
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::migration;

use super::secrets;
use crate::observe::{Parameters, Settings};

/// Keys that begin so are for us, never for the driver.
const RESERVED: &str = "csi.storage.k8s.io/";
const FS_TYPE: &str = "csi.storage.k8s.io/fstype";
/// The same in classes from before there were prefixes; the driver is given it too.
const OLD_FS_TYPE: &str = "fstype";
/// What `--extra-create-metadata` adds.
const CLAIM_NAME: &str = "csi.storage.k8s.io/pvc/name";
const CLAIM_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";
const VOLUME_NAME: &str = "csi.storage.k8s.io/pv/name";

/// A class as the CSI driver sees it.
#[derive(Clone, Debug)]
pub struct Class<'a> {
    /// The object.
    pub object: &'a StorageClass,
    /// The driver: that of the class, or the one that took over its in-tree plugin.
    pub driver: &'a str,
    /// It is one of the in-tree plugin.
    pub is_migrated: bool,
    /// Its parameters, translated.
    pub parameters: Cow<'a, Parameters>,
    /// Its `allowedTopologies`, translated.
    pub allowed: Cow<'a, [TopologySelectorTerm]>,
}

/// The class as the driver sees it; none for one of another provisioner.
///
/// # Errors
/// One of the in-tree plugin that says two things.
pub fn class<'a>(object: &'a StorageClass, settings: &'a Settings) -> Option<Result<Class<'a>, String>> {
    let driver = settings.driver.name.as_str();
    if object.provisioner == driver {
        static NONE: Parameters = Parameters::new();
        return Some(Ok(Class {
            object,
            driver,
            is_migrated: false,
            parameters: Cow::Borrowed(object.parameters.as_ref().unwrap_or(&NONE)),
            allowed: Cow::Borrowed(object.allowed_topologies.as_deref().unwrap_or_default()),
        }));
    }
    if Some(object.provisioner.as_str()) != settings.in_tree {
        return None;
    }
    Some(match migration::translate_class(object) {
        Ok(translated) => Ok(Class {
            object,
            driver,
            is_migrated: true,
            parameters: Cow::Owned(translated.parameters),
            allowed: Cow::Owned(translated.allowed),
        }),
        Err(error) => Err(format!(
            "class {}: {error}",
            object.metadata.name.as_deref().unwrap_or_default()
        )),
    })
}

/// The file system of a volume of the class; empty where nobody names one.
///
/// # Errors
/// More than one key names it.
pub fn fs_type(parameters: &Parameters, settings: &Settings) -> Result<String, String> {
    let names = |key: &str| key == FS_TYPE || key.eq_ignore_ascii_case(OLD_FS_TYPE);
    let mut named = parameters.iter().filter(|(key, _)| names(key));
    match (named.next(), named.next()) {
        (Some((first, _)), Some((second, _))) => Err(format!(
            "the class names a file system twice, by {first:?} and {second:?}; keep {FS_TYPE:?}"
        )),
        (Some((_, value)), None) if !value.is_empty() => Ok(value.clone()),
        _ => Ok(settings.default_fs_type.clone()),
    }
}

/// What is reserved is left out: it is for us.
///
/// # Errors
/// A reserved key that nobody knows.
pub fn passed(parameters: &Parameters) -> Result<Parameters, String> {
    let mut passed = BTreeMap::new();
    for (key, value) in parameters {
        if !key.starts_with(RESERVED) {
            passed.insert(key.clone(), value.clone());
        } else if key != FS_TYPE && !secrets::is_key(key) {
            return Err(format!(
                "failed to strip CSI Parameters of prefixed keys: found unknown parameter key {key:?} with reserved namespace \
                 csi.storage.k8s.io"
            ));
        }
    }
    Ok(passed)
}

/// What `--extra-create-metadata` adds.
#[must_use]
pub fn metadata(claim: (&str, &str), volume: &str) -> Parameters {
    let (namespace, name) = claim;
    let pairs = [
        (CLAIM_NAME, name),
        (CLAIM_NAMESPACE, namespace),
        (VOLUME_NAME, volume),
    ];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    pairs.into_iter().map(owned).collect()
}
