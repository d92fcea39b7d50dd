//! Which changes concern a claim. Source: resize.md 3.1, 3.6, 5.1.

use controller::Difference;
use runtime::objects::{AttributesClass, Claim, Volume};
use runtime::{Cache, ObjectKey};

use crate::observe::Settings;
use crate::plan::{is_due, modify};

/// Whether a change of a claim is worth a look. What is remembered of a claim that went goes with it.
pub(crate) fn of_claim(change: Difference<'_, Claim>, volumes: &Cache<Volume>, settings: &Settings) -> bool {
    let Some(new) = change.new else {
        return true;
    };
    let concerned = match change.old {
        Some(old) if old.metadata.uid == new.metadata.uid => differ(old, new, settings),
        _ => true,
    };
    let volume = new.volume_name.as_deref().filter(|_| concerned);
    let volume = volume.and_then(|name| volumes.get(&ObjectKey::cluster(name)));
    is_due(new, volume.as_deref(), settings)
}

/// Only growth counts without recovery (resize.md 3.11).
fn differ(old: &Claim, new: &Claim, settings: &Settings) -> bool {
    let asked = if settings.recover {
        old.request != new.request
    } else {
        old.request < new.request
    };
    asked
        || old.capacity != new.capacity
        || old.resize != new.resize
        || old.allocated != new.allocated
        || old.phase != new.phase
        || old.volume_name != new.volume_name
        || old.storage_resizer != new.storage_resizer
        || old.conditions != new.conditions
}

/// The claim of a volume that has come, or of which what a call is made from has changed, if it needs something (Q30).
pub(crate) fn of_volume(
    change: Difference<'_, Volume>,
    claims: &Cache<Claim>,
    settings: &Settings,
) -> Option<ObjectKey> {
    let new = change.new?;
    let concerned = change.old.is_none_or(|old| {
        old.metadata.uid != new.metadata.uid
            || old.claim != new.claim
            || old.csi != new.csi
            || old.in_tree != new.in_tree
            || old.access_modes != new.access_modes
            || old.capacity != new.capacity
    });
    let reference = new.claim.as_ref().filter(|_| concerned)?;
    let key = ObjectKey::new(&reference.namespace, &reference.name);
    let claim = claims.get(&key)?;
    is_due(&claim, Some(new), settings).then_some(key)
}

/// Index of claims by the classes that they want or are changed to.
pub(crate) const BY_CLASS: &str = "csi-resizer-class";

/// The classes that a claim waits for.
pub(crate) fn classes_of(claim: &Claim) -> Vec<String> {
    let target = claim.modify().and_then(|modify| modify.target.clone());
    let wanted = claim.wanted_class().map(str::to_owned);
    let target = target.filter(|target| wanted.as_ref() != Some(target));
    wanted.into_iter().chain(target).collect()
}

/// Whether a change of a claim is worth a look at its class.
pub(crate) fn class_of_claim(
    change: Difference<'_, Claim>,
    volumes: &Cache<Volume>,
    settings: &Settings,
) -> bool {
    let Some(new) = change.new else {
        return true;
    };
    let concerned = match change.old {
        Some(old) if old.metadata.uid == new.metadata.uid => {
            old.attributes != new.attributes || old.phase != new.phase || old.volume_name != new.volume_name
        }
        _ => true,
    };
    let volume = new
        .volume_name
        .as_deref()
        .filter(|_| concerned && new.attributes.is_some());
    let volume = volume.and_then(|name| volumes.get(&ObjectKey::cluster(name)));
    modify::is_due(new, volume.as_deref(), settings)
}

/// The claim of a volume that has come, or of which what a call is made from has changed, if its class is due.
pub(crate) fn class_of_volume(
    change: Difference<'_, Volume>,
    claims: &Cache<Claim>,
    settings: &Settings,
) -> Option<ObjectKey> {
    let new = change.new?;
    let concerned = change.old.is_none_or(|old| {
        old.metadata.uid != new.metadata.uid
            || old.claim != new.claim
            || old.csi != new.csi
            || old.in_tree != new.in_tree
            || old.modify_secret != new.modify_secret
    });
    let reference = new.claim.as_ref().filter(|_| concerned)?;
    let key = ObjectKey::new(&reference.namespace, &reference.name);
    let claim = claims.get(&key)?;
    modify::is_due(&claim, Some(new), settings).then_some(key)
}

/// The claims that wait for a class that has come, or is another one now (Q19).
pub(crate) fn of_class(change: Difference<'_, AttributesClass>, claims: &Cache<Claim>) -> Vec<ObjectKey> {
    let Some(new) = change.new else {
        return Vec::new();
    };
    let is_another = change.old.is_none_or(|old| old.metadata.uid != new.metadata.uid);
    if !is_another {
        return Vec::new();
    }
    let waiting = claims.indexed(BY_CLASS, &change.key.name);
    waiting.iter().map(|claim| ObjectKey::of(&**claim)).collect()
}
