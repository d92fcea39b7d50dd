//! Names and parameters of CreateSnapshot. Source: snapshot.md 3.7.

use std::collections::BTreeMap;

use crds::names::parameters;
use crds::v1::VolumeSnapshotClass;

use crate::observe::{ClassLookup, ContentExt as _, Observed, Settings};

/// The CSI name of a snapshot, which makes CreateSnapshot repeatable: prefix, dash, and the UID of the
/// VolumeSnapshot, whole or its first characters without dashes.
#[must_use]
pub fn snapshot_name(settings: &Settings, uid: &str) -> String {
    let uid = match settings.name_uid_length {
        None => uid.to_string(),
        Some(length) => uid
            .chars()
            .filter(|character| *character != '-')
            .take(length)
            .collect(),
    };
    format!("{}-{uid}", settings.name_prefix)
}

/// Why the class cannot be used, if it is of another driver: it was named so, or deleted and made anew.
pub(super) fn of_another_driver(observed: &Observed<'_>, class: &VolumeSnapshotClass) -> Option<String> {
    let driver = &observed.settings.driver;
    (class.driver != *driver).then(|| {
        let name = class.metadata.name.as_deref().unwrap_or_default();
        format!(
            "snapshot class {name} is of driver {}, but content {} is of driver {driver}; name a class of that driver",
            class.driver,
            observed.content.name()
        )
    })
}

/// The parameters of the class without those that name Secrets, and with the names of the objects where asked for.
///
/// # Errors
/// No class, one of another driver, or a key under the reserved prefix that nobody knows.
pub fn of_class(observed: &Observed<'_>) -> Result<BTreeMap<String, String>, String> {
    let content = observed.content;
    let class = match observed.class {
        ClassLookup::Found(class) => match of_another_driver(observed, class) {
            None => class,
            Some(reason) => return Err(reason),
        },
        ClassLookup::Absent(name) => {
            return Err(format!("failed to get snapshot class {name}: it does not exist"));
        }
        ClassLookup::NotNamed => {
            return Err(format!(
                "failed to get snapshot class: content {} names none",
                content.name()
            ));
        }
    };
    let mut passed = BTreeMap::new();
    for (key, value) in &class.parameters {
        if parameters::SECRET_KEYS.contains(&key.as_str()) {
            continue;
        }
        if key.starts_with(parameters::RESERVED_PREFIX) {
            let prefix = parameters::RESERVED_PREFIX;
            return Err(format!(
                "failed to remove CSI Parameters of prefixed keys: found unknown parameter key {key:?} with \
                 reserved namespace {prefix}"
            ));
        }
        passed.insert(key.clone(), value.clone());
    }
    if observed.settings.extra_create_metadata {
        let snapshot = &content.spec.volume_snapshot_ref;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        passed.insert(parameters::SNAPSHOT_NAME.into(), text(&snapshot.name));
        passed.insert(parameters::SNAPSHOT_NAMESPACE.into(), text(&snapshot.namespace));
        passed.insert(parameters::CONTENT_NAME.into(), content.name().into());
    }
    Ok(passed)
}
