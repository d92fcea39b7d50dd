//! Upstream's counts of the objects, kept at each change: to count anew each time would take a time that grows with the square of
//! the objects. Pure.

use std::collections::BTreeMap;

use runtime::ObjectKey;

/// How many objects are wanted, and how many are there for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// How many objects are about each class and place.
    objects: BTreeMap<ObjectKey, usize>,
    /// Classes and places that are wanted and have an object.
    pub(super) current: usize,
    /// Objects that nobody wants.
    pub(super) obsolete: usize,
}

impl Counts {
    /// An object came, changed or went: what it was and is about.
    pub(super) fn change(
        &mut self,
        former: Option<&ObjectKey>,
        now: Option<&ObjectKey>,
        is_wanted: impl Fn(&ObjectKey) -> bool,
    ) {
        if former == now {
            return;
        }
        if let Some(about) = former
            && let Some(number) = self.objects.get_mut(about)
        {
            *number -= 1;
            let is_last = *number == 0;
            if is_last {
                self.objects.remove(about);
            }
            match is_wanted(about) {
                true => self.current -= usize::from(is_last),
                false => self.obsolete -= 1,
            }
        }
        if let Some(about) = now {
            let number = self.objects.entry(about.clone()).or_default();
            *number += 1;
            match is_wanted(about) {
                true => self.current += usize::from(*number == 1),
                false => self.obsolete += 1,
            }
        }
    }

    /// Others are wanted from now on.
    pub(super) fn anew(&mut self, is_wanted: impl Fn(&ObjectKey) -> bool) {
        (self.current, self.obsolete) = (0, 0);
        for (about, number) in &self.objects {
            match is_wanted(about) {
                true => self.current += 1,
                false => self.obsolete += number,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use base::Random;

    use super::*;

    fn about(number: u64) -> ObjectKey {
        ObjectKey::new("class", number.to_string())
    }

    /// Counted from the beginning.
    fn recounted(present: &BTreeMap<u64, ObjectKey>, wanted: &BTreeSet<ObjectKey>) -> (usize, usize) {
        let places: BTreeSet<&ObjectKey> = present.values().collect();
        let current = places.iter().filter(|about| wanted.contains(**about)).count();
        let obsolete = present.values().filter(|about| !wanted.contains(about));
        (current, obsolete.count())
    }

    #[test]
    fn sidecars_case_218_counts_are_those_of_a_recount_after_any_change() {
        let random = Random::seeded(7);
        let (mut counts, mut present) = (Counts::default(), BTreeMap::new());
        let mut wanted: BTreeSet<ObjectKey> = (0..10).map(about).collect();
        for _ in 0..5_000 {
            let name = random.below(40);
            match random.below(20) {
                0 => {
                    wanted = (0..20).filter(|_| random.below(2) == 0).map(about).collect();
                    counts.anew(|about| wanted.contains(about));
                }
                1..8 => {
                    let former = present.remove(&name);
                    counts.change(former.as_ref(), None, |about| wanted.contains(about));
                }
                _ => {
                    let now = about(random.below(20));
                    let former = present.insert(name, now.clone());
                    counts.change(former.as_ref(), Some(&now), |about| wanted.contains(about));
                }
            }
            let kept = (counts.current, counts.obsolete);
            assert_eq!(kept, recounted(&present, &wanted));
        }
    }

    #[test]
    fn sidecars_case_218_a_change_looks_at_its_object_alone() {
        let (mut counts, looks) = (Counts::default(), Cell::new(0_u64));
        let is_wanted = |_: &ObjectKey| {
            looks.set(looks.get() + 1);
            true
        };
        for number in 0..5_000 {
            counts.change(None, Some(&about(number)), is_wanted);
        }
        for number in 0..5_000 {
            counts.change(Some(&about(number)), Some(&about(number + 5_000)), is_wanted);
        }
        assert_eq!((looks.get(), counts.current), (15_000, 5_000));
    }
}
