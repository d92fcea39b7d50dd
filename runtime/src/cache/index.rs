//! Secondary indexes: values computed from an object, to the places of the objects that have them.

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use base::Panics;

use super::kept::Place;

/// An index of this name is there with another function: what it finds would not be what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index {name:?} of {kind} is there already with another function: give one of them another name")]
pub struct IndexTaken {
    /// The name.
    pub name: &'static str,
    /// The kind of the objects.
    pub kind: String,
}

type Values<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

pub(super) struct Index<K> {
    name: &'static str,
    /// The type of the function. It captures nothing, so the type is the function.
    function: TypeId,
    values: Values<K>,
    places: BTreeMap<Box<str>, Places>,
    panics: Panics,
}

/// Where the objects of a value are. Most values have one.
enum Places {
    One(Place),
    Many(BTreeSet<Place>),
}

impl Places {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(places) => places.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Place> {
        let (one, many) = match self {
            Self::One(place) => (Some(place), None),
            Self::Many(places) => (None, Some(places)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn insert(&mut self, place: Place) {
        match self {
            Self::One(one) if *one == place => {}
            Self::One(one) => *self = Self::Many(BTreeSet::from([one.clone(), place])),
            Self::Many(places) => drop(places.insert(place)),
        }
    }

    /// False when none is left.
    fn remove(&mut self, place: &Place) -> bool {
        match self {
            Self::One(one) => one != place,
            Self::Many(places) => {
                places.remove(place);
                !places.is_empty()
            }
        }
    }
}

impl<K: 'static> Index<K> {
    pub(super) fn new<F>(name: &'static str, values: F, panics: Panics) -> Self
    where
        F: Fn(&K) -> Vec<String> + Send + Sync + 'static,
    {
        Self {
            name,
            function: TypeId::of::<F>(),
            values: Box::new(values),
            places: BTreeMap::new(),
            panics,
        }
    }

    pub(super) fn function(&self) -> TypeId {
        self.function
    }

    /// Moves a place from the values of `old` to those of `new`.
    pub(super) fn update(&mut self, place: &Place, old: Option<&K>, new: Option<&K>) {
        let (before, after) = (self.values_of(old), self.values_of(new));
        for value in before.iter().filter(|value| !after.contains(value)) {
            let value = value.as_str();
            if self
                .places
                .get_mut(value)
                .is_some_and(|places| !places.remove(place))
            {
                self.places.remove(value);
            }
        }
        for value in after {
            let value = value.into_boxed_str();
            match self.places.get_mut(&value) {
                Some(places) => places.insert(place.clone()),
                None => drop(self.places.insert(value, Places::One(place.clone()))),
            }
        }
    }

    pub(super) fn places(&self, value: &str) -> impl Iterator<Item = &Place> {
        self.places.get(value).into_iter().flat_map(Places::iter)
    }

    pub(super) fn count(&self, value: &str) -> usize {
        self.places.get(value).map_or(0, Places::len)
    }

    /// None for an object that the function panics on. The index is not true from then on, and who asks it decides
    /// wrongly: the process ends.
    fn values_of(&self, object: Option<&K>) -> Vec<String> {
        let Some(object) = object else {
            return Vec::new();
        };
        catch_unwind(AssertUnwindSafe(|| (self.values)(object))).unwrap_or_else(|caught| {
            let task = format!("index {:?} of {}", self.name, type_name::<K>());
            self.panics.tell(&task, caught.as_ref());
            Vec::new()
        })
    }
}
