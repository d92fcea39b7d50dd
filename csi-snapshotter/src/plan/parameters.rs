//! Names and parameters of CreateSnapshot and CreateVolumeGroupSnapshot. Source: snapshot.md 3.7.

use std::collections::BTreeMap;

use crds::names::parameters;

use crate::content::Class;
use crate::observe::{ClassLookup, Observed, Settings};

/// The CSI name of a snapshot or a group, which makes the call repeatable: prefix, dash, and the UID of what asks for it,
/// whole or its first characters without dashes.
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
pub(super) fn of_another_driver(observed: &Observed<'_>, class: &dyn Class) -> Option<String> {
    let driver = &observed.settings.driver;
    (class.driver() != driver).then(|| {
        format!(
            "{} class {} is of driver {}, but content {} is of driver {driver}; name a class of that driver",
            observed.content.words().noun,
            class.name(),
            class.driver(),
            observed.content.name()
        )
    })
}

/// Why the class cannot be used that does not exist.
pub(super) fn absent(observed: &Observed<'_>, name: &str) -> String {
    let noun = observed.content.words().noun;
    format!("failed to get {noun} class {name}: it does not exist")
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
            return Err(absent(observed, name));
        }
        ClassLookup::NotNamed => {
            return Err(format!(
                "failed to get {} class: content {} names none",
                content.words().noun,
                content.name()
            ));
        }
    };
    let mut passed = BTreeMap::new();
    for (key, value) in class.parameters() {
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
        let asker = content.reference();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let values = [
            text(&asker.name),
            text(&asker.namespace),
            content.name().to_owned(),
        ];
        let keys = content.words().metadata_parameters.map(str::to_owned);
        passed.extend(keys.into_iter().zip(values));
    }
    Ok(passed)
}
