//! Which volumes suit a claim.

use std::sync::Arc;

use serde_json::Value;

use crate::actors::{is_deleting, items, text};
use crate::kube::Object;
use crate::kube::validation::class_of;
use crate::kube::validation::quantity::Quantity;

/// What a claim asks for.
pub(super) struct Wish<'a> {
    class: &'a str,
    size: Option<Quantity>,
    modes: &'a [Value],
    volume_mode: &'a str,
    attributes: &'a str,
    labels: Vec<(&'a str, &'a Value)>,
}

impl<'a> Wish<'a> {
    pub(super) fn of(claim: &'a Value) -> Self {
        let labels = claim
            .pointer("/spec/selector/matchLabels")
            .and_then(Value::as_object);
        Self {
            class: class_of(claim).unwrap_or_default(),
            size: claim
                .pointer("/spec/resources/requests/storage")
                .and_then(Quantity::read),
            modes: items(claim, "/spec/accessModes"),
            volume_mode: text(claim, "/spec/volumeMode"),
            attributes: text(claim, "/spec/volumeAttributesClassName"),
            labels: labels
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.as_str(), value))
                .collect(),
        }
    }
}

/// True where the reference of a volume is to this claim; one without a UID is to any claim of the name.
pub(super) fn is_claimed_by(about: &Value, claim: &Value) -> bool {
    let uid = text(about, "/uid");
    text(about, "/name") == text(claim, "/metadata/name")
        && text(about, "/namespace") == text(claim, "/metadata/namespace")
        && (uid.is_empty() || uid == text(claim, "/metadata/uid"))
}

fn capacity(volume: &Value) -> Option<Quantity> {
    volume.pointer("/spec/capacity/storage").and_then(Quantity::read)
}

/// True where the volume can be what is asked for. That is enough of one which is kept for the claim: whoever keeps it has
/// chosen it, whatever its class and labels.
pub(super) fn can_be(volume: &Value, wish: &Wish<'_>) -> bool {
    let modes = items(volume, "/spec/accessModes");
    !is_deleting(volume)
        && text(volume, "/spec/volumeMode") == wish.volume_mode
        && text(volume, "/spec/volumeAttributesClassName") == wish.attributes
        && capacity(volume) >= wish.size
        && wish.modes.iter().all(|mode| modes.contains(mode))
}

/// True where the volume offers all that is asked for.
pub(super) fn satisfies(volume: &Value, wish: &Wish<'_>) -> bool {
    let labels = &volume["metadata"]["labels"];
    can_be(volume, wish)
        && text(volume, "/spec/storageClassName") == wish.class
        && wish
            .labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether a volume is kept for this claim.
pub(in crate::actors) fn is_reserved_for(volume: &Value, claim: &Value) -> bool {
    let about = volume["spec"].get("claimRef");
    about.is_some_and(|about| is_claimed_by(about, claim))
}

/// The smallest free volume that suits a claim; of equal ones the first by name.
pub(in crate::actors) fn smallest<'a>(volumes: &'a [Arc<Object>], claim: &Value) -> Option<&'a Arc<Object>> {
    let wish = &Wish::of(claim);
    let free = volumes.iter().filter(|volume| {
        let volume = volume.value();
        volume["spec"].get("claimRef").is_none() && satisfies(volume, wish)
    });
    free.min_by(|left, right| {
        capacity(left.value())
            .cmp(&capacity(right.value()))
            .then_with(|| left.name().cmp(right.name()))
    })
}
