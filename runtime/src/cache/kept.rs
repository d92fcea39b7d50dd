//! How objects and their keys lie in the store: claims and volumes in few bytes each, since there is one for every
//! volume of the cluster and most are never read.

use std::any::Any;
use std::sync::Arc;

use kube::Resource;

use super::version::Version;
use crate::objects::{Claim, ObjectKey, Volume};

/// A namespace and a name in the order of [`ObjectKey`], in half the room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(Box<str>);

/// In no name, and before all that is in one.
const SEPARATOR: char = '\0';

impl Place {
    pub(super) fn of(key: &ObjectKey) -> Self {
        let mut text = String::with_capacity(key.namespace.len() + 1 + key.name.len());
        text.push_str(&key.namespace);
        text.push(SEPARATOR);
        text.push_str(&key.name);
        Self(text.into_boxed_str())
    }

    pub(super) fn key(&self) -> ObjectKey {
        let (namespace, name) = self.0.split_once(SEPARATOR).unwrap_or(("", &self.0));
        ObjectKey::new(namespace, name)
    }

    /// Before all others.
    pub(super) fn first() -> Self {
        Self(Box::default())
    }
}

/// An object in the store.
pub(super) enum Kept<K> {
    Whole(Arc<K>),
    /// The bytes of [`Packing::pack`].
    Packed(Box<[u8]>),
}

/// How objects of a kind become bytes and back.
#[derive(Clone, Copy)]
pub(super) struct Packing<K> {
    pack: fn(&K) -> Box<[u8]>,
    unpack: fn(&ObjectKey, &[u8]) -> Option<K>,
    equal: fn(&K, &K) -> bool,
}

impl<K: 'static> Packing<K> {
    /// That of this kind; `None` for kinds of which there are few.
    pub(super) fn of_kind() -> Option<Self> {
        let known: [Box<dyn Any>; 2] = [
            Box::new(Packing::<Claim> {
                pack: Claim::packed,
                unpack: Claim::unpacked,
                equal: Claim::eq,
            }),
            Box::new(Packing::<Volume> {
                pack: Volume::packed,
                unpack: Volume::unpacked,
                equal: Volume::eq,
            }),
        ];
        let mut known = known.into_iter();
        known
            .find_map(|packing| packing.downcast().ok())
            .map(|packing| *packing)
    }
}

impl<K> Kept<K> {
    /// An object that would not come back as it is stays whole.
    pub(super) fn new(key: &ObjectKey, object: &Arc<K>, packing: Option<&Packing<K>>) -> Self {
        let packed = packing.and_then(|packing| {
            let bytes = (packing.pack)(object);
            let back = (packing.unpack)(key, &bytes)?;
            (packing.equal)(&back, object).then_some(bytes)
        });
        packed.map_or_else(|| Self::Whole(object.clone()), Self::Packed)
    }

    pub(super) fn object(&self, place: &Place, packing: Option<&Packing<K>>) -> Option<Arc<K>> {
        match self {
            Self::Whole(object) => Some(object.clone()),
            Self::Packed(bytes) => packing
                .and_then(|packing| (packing.unpack)(&place.key(), bytes))
                .map(Arc::new),
        }
    }
}

/// An object of a list, as it will lie in the store.
pub(crate) struct Item<K> {
    pub(super) place: Place,
    pub(super) kept: Kept<K>,
    pub(super) version: Version,
}

impl<K: Resource> Item<K> {
    pub(super) fn new(object: K, packing: Option<&Packing<K>>) -> Self {
        let (key, version) = (ObjectKey::of(&object), Version::of(&object));
        Self {
            place: Place::of(&key),
            kept: Kept::new(&key, &Arc::new(object), packing),
            version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ordered_as_keys() {
        let mut keys: Vec<ObjectKey> = ["", "a", "a-b", "a.b", "b"]
            .into_iter()
            .flat_map(|namespace| ["", "a", "a-b", "b"].map(|name| ObjectKey::new(namespace, name)))
            .collect();
        let mut places: Vec<Place> = keys.iter().rev().map(Place::of).collect();
        keys.sort();
        places.sort();
        assert_eq!(places.iter().map(Place::key).collect::<Vec<_>>(), keys);
        assert!(places.iter().all(|place| Place::first() < *place));
    }
}
