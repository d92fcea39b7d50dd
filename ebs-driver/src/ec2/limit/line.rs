//! Who is next. Pure: time is given. Source: spec 3.8; decision 122.
//!
//! Places go round robin over the owners of the requests: the first of each, then the second of each, and so on; equals in
//! the order in which they came. What has no owner is of one, so that it holds up nobody who has. Who cannot wait keeps the
//! place while away, for as long as was told and a while more.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// For how long after its turn a place is kept for somebody who is away.
const GRACE: Duration = Duration::from_secs(15);

/// Who asks for what.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Asks {
    /// Equal when it is the same work again.
    pub work: String,
    /// Places go round robin over these; all that have none are of one.
    pub owner: String,
    /// How much it needs, at least 1.
    pub needs: usize,
}

/// A place in a line; a lesser one is served earlier.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    round: u64,
    arrival: u64,
}

#[derive(Clone, Debug)]
struct Entry<W> {
    work: String,
    owner: String,
    needs: usize,
    presence: Presence<W>,
}

#[derive(Clone, Debug)]
enum Presence<W> {
    /// Waits, and is woken by this.
    Here(W),
    /// Was told to come back; the place is kept until then.
    Away(Instant),
}

/// A line. `W` is what wakes those that wait in it.
#[derive(Clone, Debug)]
pub struct Line<W> {
    entries: BTreeMap<Place, Entry<W>>,
    /// The places of those that are away, by their work.
    away: BTreeMap<String, Place>,
    /// The last round in which each owner has a place.
    rounds: BTreeMap<String, u64>,
    /// The round in which each owner was served, from this one on.
    served: BTreeMap<String, u64>,
    round: u64,
    arrivals: u64,
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            away: BTreeMap::new(),
            rounds: BTreeMap::new(),
            served: BTreeMap::new(),
            round: 0,
            arrivals: 0,
        }
    }
}

impl<W> Line<W> {
    /// Takes the place that was kept for this work, or the last one of its owner.
    pub fn join(&mut self, asks: &Asks, waker: W, now: Instant) -> Place {
        self.forget(now);
        let place = match self.away.remove(&asks.work) {
            Some(place) => place,
            None => self.last(&asks.owner),
        };
        self.put(place, asks, waker);
        place
    }

    /// Takes the place again from which it was served.
    pub fn rejoin(&mut self, place: Place, asks: &Asks, waker: W) {
        self.put(place, asks, waker);
    }

    fn put(&mut self, place: Place, asks: &Asks, waker: W) {
        let entry = Entry {
            work: asks.work.clone(),
            owner: asks.owner.clone(),
            needs: asks.needs.max(1),
            presence: Presence::Here(waker),
        };
        self.entries.insert(place, entry);
    }

    fn last(&mut self, owner: &str) -> Place {
        let after = self.rounds.get(owner).map_or(0, |round| round + 1);
        let round = after.max(self.round);
        self.rounds.insert(owner.to_owned(), round);
        self.arrivals += 1;
        Place {
            round,
            arrival: self.arrivals,
        }
    }

    /// How much those before a place need.
    #[must_use]
    pub fn ahead(&self, place: Place) -> usize {
        self.entries.range(..place).map(|(_, entry)| entry.needs).sum()
    }

    /// The first of those that are here.
    #[must_use]
    pub fn first_here(&self) -> Option<(Place, &W)> {
        self.entries
            .iter()
            .find_map(|(place, entry)| match &entry.presence {
                Presence::Here(waker) => Some((*place, waker)),
                Presence::Away(_) => None,
            })
    }

    /// The place is served.
    pub fn serve(&mut self, place: Place) {
        let entry = self.take(place);
        self.round = self.round.max(place.round);
        let round = self.round;
        self.served.retain(|_, last| *last >= round);
        self.rounds.retain(|_, last| *last >= round);
        if let Some(entry) = entry {
            let served = self.served.entry(entry.owner).or_default();
            *served = place.round.max(*served);
        }
    }

    /// The place is given up.
    pub fn leave(&mut self, place: Place) {
        if let Some(entry) = self.take(place) {
            self.give_back(&entry.owner, place.round);
        }
    }

    fn take(&mut self, place: Place) -> Option<Entry<W>> {
        let entry = self.entries.remove(&place)?;
        if self.away.get(&entry.work) == Some(&place) {
            self.away.remove(&entry.work);
        }
        Some(entry)
    }

    /// The last round of an owner was not used: who comes next need not wait until after it.
    fn give_back(&mut self, owner: &str, given_up: u64) {
        if self.rounds.get(owner) != Some(&given_up) {
            return;
        }
        let mut others = self.entries.iter().rev();
        let waits = others.find(|(_, entry)| entry.owner == owner);
        let last = waits
            .map(|(place, _)| place.round)
            .max(self.served.get(owner).copied());
        match last {
            Some(last) => self.rounds.insert(owner.to_owned(), last),
            None => self.rounds.remove(owner),
        };
    }

    /// The place is kept for somebody who comes back after this time.
    pub fn go_away(&mut self, place: Place, back_after: Duration, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&place) {
            entry.presence = Presence::Away(now + back_after + GRACE);
            self.away.insert(entry.work.clone(), place);
        }
    }

    /// How many there are, those that are away among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives up the places of those that did not come back.
    pub fn forget(&mut self, now: Instant) {
        let is_kept = |entry: &Entry<W>| match entry.presence {
            Presence::Here(_) => true,
            Presence::Away(until) => now < until,
        };
        if self.entries.values().all(is_kept) {
            return;
        }
        let mut given_up = BTreeMap::new();
        self.entries.retain(|place, entry| {
            let keeps = is_kept(entry);
            if !keeps {
                // In the order of the places: the last one stays.
                given_up.insert(std::mem::take(&mut entry.owner), place.round);
            }
            keeps
        });
        for (owner, round) in given_up {
            self.give_back(&owner, round);
        }
        let entries = &self.entries;
        self.away.retain(|_, place| entries.contains_key(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(work: &str, owner: &str) -> Asks {
        Asks {
            work: work.to_owned(),
            owner: owner.to_owned(),
            needs: 1,
        }
    }

    /// Serves all that are here, by the names by which they are woken.
    fn served(line: &mut Line<&'static str>) -> Vec<&'static str> {
        let mut order = Vec::new();
        while let Some((place, name)) = line.first_here() {
            order.push(*name);
            line.serve(place);
        }
        order
    }

    #[test]
    fn ebs_case_117_owners_are_served_round_robin_and_others_as_one_owner() {
        let now = Instant::now();
        type Row = (&'static [(&'static str, &'static str)], &'static [&'static str]);
        let rows: [Row; 4] = [
            (&[("1", ""), ("2", ""), ("3", "")], &["1", "2", "3"]),
            (
                &[("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")],
                &["a1", "b1", "a2", "a3"],
            ),
            (
                &[("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")],
                &["a1", "b1", "c1", "a2", "b2"],
            ),
            (
                &[("1", ""), ("2", ""), ("3", ""), ("a1", "a"), ("a2", "a")],
                &["1", "a1", "2", "a2", "3"],
            ),
        ];
        for (came, expected) in rows {
            let mut line = Line::default();
            for (work, owner) in came {
                line.join(&asks(work, owner), *work, now);
            }
            assert_eq!(served(&mut line), expected);
            assert!(line.is_empty());
        }
    }

    #[test]
    fn ebs_case_117_who_comes_late_waits_for_one_round_only() {
        let now = Instant::now();
        let mut line = Line::default();
        for work in ["a1", "a2", "a3", "a4"] {
            line.join(&asks(work, "a"), work, now);
        }
        for _ in 0..2 {
            let (place, _) = line.first_here().unwrap();
            line.serve(place);
        }
        let late = line.join(&asks("b1", "b"), "b1", now);
        assert_eq!(line.ahead(late), 0, "a has had its turns");
        assert_eq!(served(&mut line), ["b1", "a3", "a4"]);
    }

    #[test]
    fn ebs_case_180_many_without_an_owner_hold_no_owner_up() {
        let now = Instant::now();
        let mut line = Line::default();
        for number in 0..1000 {
            line.join(&asks(&number.to_string(), ""), "delete", now);
        }
        for number in 0..10 {
            line.join(&asks(&format!("a{number}"), "a"), "a", now);
        }
        let order = served(&mut line);
        let last = order.iter().rposition(|name| *name == "a");
        assert_eq!(last, Some(19), "each other turn");
    }

    #[test]
    fn ebs_case_180_who_gave_many_places_up_is_not_behind_for_them() {
        let now = Instant::now();
        for goes_away in [false, true] {
            let mut line = Line::default();
            for number in 0..1000 {
                let place = line.join(&asks(&number.to_string(), ""), "1", now);
                if goes_away {
                    line.go_away(place, Duration::ZERO, now);
                } else {
                    line.leave(place);
                }
            }
            let later = now + GRACE;
            line.forget(later);
            for work in ["a1", "a2", "a3"] {
                line.join(&asks(work, "a"), work, later);
            }
            line.join(&asks("b", ""), "b", later);
            assert_eq!(served(&mut line), ["a1", "b", "a2", "a3"], "{goes_away}");
        }
    }

    #[test]
    fn ebs_case_118_a_place_is_kept_for_who_was_told_to_come_back() {
        let now = Instant::now();
        let mut line = Line::default();
        let first = line.join(&asks("1", ""), "1", now);
        let second = line.join(&asks("2", ""), "2", now);
        line.go_away(first, Duration::from_secs(10), now);
        assert_eq!(line.first_here().map(|(place, _)| place), Some(second));
        assert_eq!(line.ahead(second), 1);
        let back = line.join(&asks("1", ""), "1", now + Duration::from_secs(24));
        assert_eq!(back, first);
        line.go_away(first, Duration::from_secs(10), now);
        let late = line.join(&asks("1", ""), "1", now + Duration::from_secs(26));
        assert!(late > second, "the place was given up");
        assert_eq!(line.len(), 2);
    }

    #[test]
    fn equal_work_that_waits_twice_has_two_places() {
        let now = Instant::now();
        let mut line = Line::default();
        let first = line.join(&asks("1", ""), "a", now);
        line.join(&asks("1", ""), "b", now);
        line.serve(first);
        line.rejoin(first, &asks("1", ""), "a");
        assert_eq!(served(&mut line), ["a", "b"]);
    }

    #[test]
    fn who_needs_more_counts_for_more() {
        let now = Instant::now();
        let mut line = Line::default();
        let group = Asks {
            needs: 3,
            ..asks("g", "")
        };
        line.join(&group, "g", now);
        let after = line.join(&asks("1", ""), "1", now);
        assert_eq!(line.ahead(after), 3);
    }
}
