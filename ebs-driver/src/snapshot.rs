//! What becomes of a CreateSnapshot: decisions without I/O. Source: spec 1.7, Q12-Q14; decisions 14, 22.
//!
//! CreateSnapshot has no client token, and DescribeSnapshots may lag behind it by the consistency delay. So that
//! nothing found means that there is nothing, the lookup must have begun that delay after the last moment at
//! which a CreateSnapshot of this name may have taken effect. That moment is
//!
//! - the end of our own attempt whose outcome is unclear (no answer, a 5xx, a dropped call);
//! - else the start of this process: the one before may have created the snapshot and died before it told anyone.
//!   A leader elsewhere needs no more care: its lease outlives it by longer than the delay, and it is released
//!   only after all calls have ended;
//! - else none, when the caller says that it has never asked before ([`csi::CreateSnapshotHint`]) or this
//!   process is older than the delay.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::ec2::types::{Snapshot, SnapshotState};

/// What is known of a name beside what EC2 shows.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// When this process began.
    pub process_started: Instant,
    /// The end of the last attempt whose outcome is unclear.
    pub unclear_since: Option<Instant>,
    /// The caller has never asked for this name before.
    pub is_first_attempt: bool,
    /// Later ones of this name and volume, and when each was seen first.
    pub duplicates: &'a BTreeMap<String, Instant>,
    /// What the unclear attempt left was to be deleted again: it may be shown although it is gone.
    pub is_removing: bool,
    /// How far DescribeSnapshots may lag.
    pub consistency_delay: Duration,
}

/// What to do after a lookup by name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Plan {
    /// Nothing of this name exists: create it.
    Create,
    /// Nothing was found, but the lookup was too early to tell: look again at this moment.
    LookAgain(Instant),
    /// This is it.
    Adopt(Snapshot),
    /// There are several. Look again at this moment before the later ones are deleted.
    Settle {
        /// When they will have been there for a consistency delay.
        at: Instant,
        /// The later ones.
        duplicates: Vec<String>,
    },
    /// There are several, and have been for a consistency delay: delete the later ones, adopt the first.
    DeleteDuplicates {
        /// The earliest.
        adopt: Snapshot,
        /// The later ones.
        duplicates: Vec<String>,
    },
    /// The name belongs to a snapshot of another volume.
    Conflict(Snapshot),
}

/// Decides what a lookup by name, begun at `looked_at`, means. Total.
#[must_use]
pub fn plan(found: &[Snapshot], source_volume_id: &str, looked_at: Instant, memory: &Memory<'_>) -> Plan {
    if let Some(at) = shows_removals_at(looked_at, memory) {
        return Plan::LookAgain(at);
    }
    let mut same: Vec<&Snapshot> = found
        .iter()
        .filter(|snapshot| snapshot.volume_id == source_volume_id)
        .collect();
    same.sort_by_key(|snapshot| (snapshot.started, snapshot.id.as_str()));
    match (same.split_first(), found.first()) {
        (Some((first, [])), _) => Plan::Adopt((*first).clone()),
        (Some((first, later)), _) => several(first, later, looked_at, memory),
        (None, Some(other)) => Plan::Conflict(other.clone()),
        (None, None) => {
            let counts_from = counts_from(memory);
            if counts_from.is_none_or(|from| looked_at >= from) {
                Plan::Create
            } else {
                Plan::LookAgain(counts_from.unwrap_or(looked_at))
            }
        }
    }
}

/// Whether a lookup begun at `looked_at` shows all that may have come of an unclear attempt.
#[must_use]
pub fn shows_all(unclear_since: Instant, looked_at: Instant, consistency_delay: Duration) -> bool {
    unclear_since
        .checked_add(consistency_delay)
        .is_some_and(|from| looked_at >= from)
}

/// When to look again where this lookup may still show what was deleted.
pub(crate) fn shows_removals_at(looked_at: Instant, memory: &Memory<'_>) -> Option<Instant> {
    let since = memory.unclear_since.filter(|_| memory.is_removing)?;
    let at = since.checked_add(memory.consistency_delay)?;
    (looked_at < at).then_some(at)
}

/// What EC2's NotFound for a snapshot means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Absence {
    /// It is gone.
    Gone,
    /// It may have been taken so short a while ago that EC2 does not know it yet.
    TooEarly,
}

/// Whether EC2's NotFound says that a snapshot is gone: not while one that was taken here is new, nor while one of the process
/// before may be. Total.
#[must_use]
pub fn absence(is_new: bool, process_age: Duration, consistency_delay: Duration) -> Absence {
    if is_new || process_age < consistency_delay {
        Absence::TooEarly
    } else {
        Absence::Gone
    }
}

/// From when on a lookup that finds nothing means that there is nothing.
fn counts_from(memory: &Memory<'_>) -> Option<Instant> {
    let process = (!memory.is_first_attempt).then_some(memory.process_started);
    let last_effect = memory.unclear_since.or(process)?;
    last_effect.checked_add(memory.consistency_delay)
}

fn several(first: &Snapshot, later: &[&Snapshot], looked_at: Instant, memory: &Memory<'_>) -> Plan {
    let seen_first = later
        .iter()
        .map(|snapshot| memory.duplicates.get(&snapshot.id).copied().unwrap_or(looked_at))
        .max();
    let settled = seen_first.unwrap_or(looked_at) + memory.consistency_delay;
    let duplicates = later.iter().map(|snapshot| snapshot.id.clone()).collect();
    if looked_at >= settled {
        let adopt = first.clone();
        Plan::DeleteDuplicates { adopt, duplicates }
    } else {
        Plan::Settle {
            at: settled,
            duplicates,
        }
    }
}

/// What EC2 says of a failed snapshot, if it failed. It will never be ready (Q12).
#[must_use]
pub fn failure(snapshot: &Snapshot) -> Option<String> {
    (snapshot.state == SnapshotState::Error).then(|| {
        let message = snapshot.message.as_deref().unwrap_or("EC2 gives no reason");
        format!("snapshot {} is in the state error: {message}", snapshot.id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(5);

    fn snapshot(id: &str, volume: &str, started: &str) -> Snapshot {
        Snapshot {
            id: id.into(),
            volume_id: volume.into(),
            state: SnapshotState::Pending,
            message: None,
            started: Some(format!("2026-01-01T00:00:{started}Z").parse().unwrap()),
            size_gib: 1,
            tags: BTreeMap::new(),
        }
    }

    fn seconds(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_found_counts_only_after_the_consistency_delay() {
        let start = Instant::now();
        let at = |count| seconds(start, count);
        let none = BTreeMap::new();
        // looked at, unclear since, first attempt, expected
        let rows = [
            (0, None, false, Plan::LookAgain(at(5))),
            (4, None, false, Plan::LookAgain(at(5))),
            (5, None, false, Plan::Create),
            (0, None, true, Plan::Create),
            (100, Some(98), false, Plan::LookAgain(at(103))),
            (100, Some(98), true, Plan::LookAgain(at(103))),
            (103, Some(98), false, Plan::Create),
        ];
        for (looked_at, unclear, is_first_attempt, expected) in rows {
            let memory = Memory {
                process_started: start,
                unclear_since: unclear.map(at),
                is_first_attempt,
                duplicates: &none,
                is_removing: false,
                consistency_delay: DELAY,
            };
            assert_eq!(
                plan(&[], "vol-1", at(looked_at), &memory),
                expected,
                "{looked_at} {unclear:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn several_of_one_name_are_settled() {
        let start = Instant::now();
        let at = |count| seconds(start, count);
        let found = [
            snapshot("snap-c", "vol-1", "02"),
            snapshot("snap-b", "vol-1", "01"),
            snapshot("snap-a", "vol-1", "02"),
            snapshot("snap-x", "vol-2", "00"),
        ];
        let plan_with = |duplicates: &BTreeMap<String, Instant>, looked_at| {
            let memory = Memory {
                process_started: start,
                unclear_since: None,
                is_first_attempt: false,
                duplicates,
                is_removing: false,
                consistency_delay: DELAY,
            };
            plan(&found, "vol-1", looked_at, &memory)
        };
        let later = vec!["snap-a".to_owned(), "snap-c".to_owned()];
        let settle = |at| Plan::Settle {
            at,
            duplicates: later.clone(),
        };
        assert_eq!(plan_with(&BTreeMap::new(), at(10)), settle(at(15)));
        let seen = BTreeMap::from([("snap-a".to_owned(), at(10)), ("snap-c".to_owned(), at(11))]);
        assert_eq!(plan_with(&seen, at(15)), settle(at(16)));
        assert_eq!(
            plan_with(&seen, at(16)),
            Plan::DeleteDuplicates {
                adopt: found[1].clone(),
                duplicates: later.clone()
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_the_volume_is_adopted_and_one_of_another_is_a_conflict() {
        let memory = Memory {
            process_started: Instant::now(),
            unclear_since: None,
            is_first_attempt: false,
            duplicates: &BTreeMap::new(),
            is_removing: false,
            consistency_delay: DELAY,
        };
        let (mine, other) = (
            snapshot("snap-a", "vol-1", "02"),
            snapshot("snap-b", "vol-2", "01"),
        );
        let now = Instant::now();
        let found = [other.clone(), mine.clone()];
        assert_eq!(plan(&found, "vol-1", now, &memory), Plan::Adopt(mine));
        assert_eq!(plan(&found[..1], "vol-1", now, &memory), Plan::Conflict(other));
    }

    #[tokio::test(start_paused = true)]
    async fn ebs_case_178_what_was_to_be_deleted_is_adopted_only_when_it_is_surely_there() {
        let start = Instant::now();
        let at = |count| seconds(start, count);
        let none = BTreeMap::new();
        let shown = snapshot("snap-a", "vol-1", "02");
        let planned = |found: &[Snapshot], looked_at, is_removing| {
            let memory = Memory {
                process_started: start,
                unclear_since: Some(at(98)),
                is_first_attempt: false,
                duplicates: &none,
                is_removing,
                consistency_delay: DELAY,
            };
            plan(found, "vol-1", at(looked_at), &memory)
        };
        let found = std::slice::from_ref(&shown);
        assert_eq!(planned(found, 100, true), Plan::LookAgain(at(103)));
        assert_eq!(planned(found, 103, true), Plan::Adopt(shown.clone()));
        assert_eq!(planned(&[], 103, true), Plan::Create);
        assert_eq!(planned(found, 100, false), Plan::Adopt(shown.clone()));
    }

    #[test]
    fn ebs_case_177_what_was_just_taken_is_not_gone() {
        let rows = [
            (false, 5, Absence::Gone),
            (false, 4, Absence::TooEarly),
            (true, 100, Absence::TooEarly),
        ];
        for (is_new, seconds, expected) in rows {
            let age = Duration::from_secs(seconds);
            assert_eq!(absence(is_new, age, DELAY), expected, "{is_new} {seconds}");
        }
    }

    #[test]
    fn a_failed_snapshot_is_named() {
        let mut failed = snapshot("snap-a", "vol-1", "02");
        assert_eq!(failure(&failed), None);
        failed.state = SnapshotState::Error;
        failed.message = Some("no key".into());
        assert_eq!(
            failure(&failed).as_deref(),
            Some("snapshot snap-a is in the state error: no key")
        );
    }
}
