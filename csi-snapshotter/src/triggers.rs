//! Which changes concern a content. Source: snapshot.md 3.2, Q34.

use controller::Difference;
use crds::names;
use runtime::{Cache, ObjectKey};

use crate::contents::Kind;

/// Index of contents by class.
pub(crate) const BY_CLASS: &str = "class";

/// The class of a content, for the index.
pub(crate) fn class_of<K: Kind>(content: &K) -> Vec<String> {
    content.class_name().map(str::to_owned).into_iter().collect()
}

/// Whether the change is worth a look. What comes, goes or is looked at anew always is; an update is when readiness
/// was reached, or when anything differs that a plan reads, besides status, finalizers and the being-created mark: what
/// those lead to is in the plan that wrote them. So neither our own writes nor labels and annotations of others are.
pub(crate) fn concerns<K: Kind>(change: Difference<'_, K>, driver: &str) -> bool {
    change.sides().any(|content| content.driver() == driver)
        && match (change.old, change.new) {
            (Some(old), Some(new)) => (!old.is_ready() && new.is_ready()) || differ(old, new),
            _ => true,
        }
}

/// Contents that may wait for this class: those that are not ready, or are to go.
pub(crate) fn of_class<K: Kind>(
    change: Difference<'_, K::Class>,
    contents: &Cache<K>,
    driver: &str,
) -> Vec<ObjectKey> {
    contents
        .indexed(BY_CLASS, &change.key.name)
        .into_iter()
        .filter(|content| content.driver() == driver && (!content.is_ready() || content.is_terminating()))
        .map(|content| ObjectKey::of(&*content))
        .collect()
}

/// Of the annotations those that plans read count, without those that they write.
fn differ<K: Kind>(old: &K, new: &K) -> bool {
    let words = K::WORDS;
    let read = [
        words.being_deleted,
        words.secret_name,
        words.secret_namespace,
        names::GROUP_HANDLE_ANNOTATION,
    ];
    !old.same_spec(new)
        || old.metadata().uid != new.metadata().uid
        || old.is_terminating() != new.is_terminating()
        || read.iter().any(|key| old.annotation(key) != new.annotation(key))
}
