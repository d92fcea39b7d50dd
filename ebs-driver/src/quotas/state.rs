//! What is decided about a snapshot that may meet a quota, without I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::ec2::errors::{Action, Ec2Error};
use crate::ec2::limit::line::{Asks, Line};
use crate::ec2::types::Snapshot;

/// EC2's codes for them.
const ACCOUNT_FULL: &str = "PendingSnapshotLimitExceeded";
const VOLUME_FULL: &str = "ConcurrentSnapshotLimitExceeded";
const TOO_SOON: &str = "SnapshotCreationPerVolumeRateExceeded";

/// So many may be pending in an account, and of a volume, unless EC2 allows more, or fewer of a type.
const PUBLISHED_ACCOUNT: usize = 100;
const PUBLISHED_VOLUME: usize = 5;
/// The time between two snapshots of a volume.
const SPACING: Duration = Duration::from_secs(15);
/// A look at what is pending counts for this long.
const FRESH: Duration = Duration::from_secs(1);
/// How long a new snapshot may be missing in such a look.
const LAG: Duration = Duration::from_secs(5);
/// After a refusal at fewer than what is published: what counts besides is not seen, and may be gone after this time.
const SUSPICION: Duration = Duration::from_secs(30);
/// A volume for which nobody asks is forgotten after this time.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// So many that wait come back in a second.
const RETURNS: usize = 50;
/// The shortest and the longest time after which one comes back for whom there is no room yet.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);
/// When one comes back that waits for another snapshot of its volume.
const OF_VOLUME: Duration = Duration::from_secs(5);

const ROOM: &str =
    "a pending snapshot of the account to complete: EC2 takes no more of them at the same time";
const ROOM_OF_VOLUME: &str =
    "a pending snapshot of the volume to complete: EC2 takes no more of them at the same time";
const SPACE: &str = "EC2's time between two snapshots of a volume";

/// Why a snapshot is not taken now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wait {
    /// When to ask again.
    pub after: Duration,
    /// For what, for the reader.
    pub what: &'static str,
}

impl Wait {
    /// As the outcome of a request that was not sent.
    #[must_use]
    pub fn error(self) -> Ec2Error {
        Ec2Error::waits(Action::CreateSnapshot, self.after, self.what)
    }
}

/// What is to be done about a snapshot that is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Decision {
    /// There is room.
    Go,
    /// What is pending must be known first.
    Look,
    /// EC2 may refuse it, and all that are sent with it: one at a time.
    Alone,
    Wait(Wait),
}

/// How many snapshots EC2 lets be pending.
#[derive(Clone, Copy, Debug)]
struct Limit {
    /// None until it is known how many there were when EC2 refused.
    most: Option<usize>,
    refused: Instant,
}

impl Limit {
    fn since(now: Instant) -> Self {
        Self {
            most: None,
            refused: now,
        }
    }

    fn learn(&mut self, count: usize) {
        self.most.get_or_insert(count.max(1));
    }

    fn most(&self, published: usize, now: Instant) -> usize {
        let most = self.most.unwrap_or(0);
        if now.duration_since(self.refused) < SUSPICION {
            most
        } else {
            most.max(published)
        }
    }
}

/// A volume of which EC2 has refused a snapshot.
#[derive(Clone, Copy, Debug)]
struct Volume {
    limit: Option<Limit>,
    /// When the last one was taken, where EC2 has said that they come too soon after each other.
    last: Option<Instant>,
    used: Instant,
}

/// What is known. Time is given.
#[derive(Debug, Default)]
pub(super) struct State {
    account: Option<Limit>,
    volumes: BTreeMap<String, Volume>,
    pub(super) line: Line<()>,
    /// What is pending, by ID, with its volume; as EC2 showed it then.
    listed: BTreeMap<String, String>,
    listed_at: Option<Instant>,
    /// What was taken here lately.
    recent: BTreeMap<String, (String, Instant)>,
    /// Requests that EC2 has not answered yet.
    pub(super) under_way: usize,
}

impl State {
    pub(super) fn decide(
        &mut self,
        asks: &Asks,
        volumes: &BTreeSet<String>,
        is_alone: bool,
        now: Instant,
    ) -> Decision {
        if let Some(wait) = self.spacing(volumes, now) {
            return Decision::Wait(wait);
        }
        if self.is_held(volumes) && !self.is_fresh(now) {
            return Decision::Look;
        }
        if self.is_volume_full(volumes, now) {
            return Decision::Wait(Wait {
                after: OF_VOLUME,
                what: ROOM_OF_VOLUME,
            });
        }
        if let Some(wait) = self.full(asks, now) {
            return Decision::Wait(wait);
        }
        let is_beyond = self.recent.len() + self.under_way >= PUBLISHED_ACCOUNT;
        if self.account.is_none() && is_beyond && !is_alone {
            return Decision::Alone;
        }
        self.under_way += asks.needs;
        for volume in volumes {
            // From here on the next one of it waits.
            if let Some(last) = self.volumes.get_mut(volume).and_then(|known| known.last.as_mut()) {
                *last = now;
            }
        }
        Decision::Go
    }

    fn spacing(&mut self, volumes: &BTreeSet<String>, now: Instant) -> Option<Wait> {
        self.volumes
            .retain(|_, known| now.duration_since(known.used) < FORGOTTEN);
        let mut longest = Duration::ZERO;
        for volume in volumes {
            if let Some(known) = self.volumes.get_mut(volume) {
                known.used = now;
                let until = known.last.map(|last| last + SPACING);
                longest =
                    longest.max(until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now)));
            }
        }
        (!longest.is_zero()).then_some(Wait {
            after: longest,
            what: SPACE,
        })
    }

    /// Whether it matters what is pending.
    fn is_held(&self, volumes: &BTreeSet<String>) -> bool {
        let is_limited = |volume| {
            self.volumes
                .get(volume)
                .is_some_and(|known: &Volume| known.limit.is_some())
        };
        self.account.is_some() || volumes.iter().any(is_limited)
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.listed_at.is_some_and(|at| now.duration_since(at) < FRESH)
    }

    fn is_volume_full(&self, volumes: &BTreeSet<String>, now: Instant) -> bool {
        volumes.iter().any(|volume| {
            let limit = self.volumes.get(volume).and_then(|known| known.limit);
            limit.is_some_and(|limit| self.pending_of(volume, now) >= limit.most(PUBLISHED_VOLUME, now))
        })
    }

    /// The place in line, while the account is full. What needs more than the account ever has is sent: EC2 refuses it.
    fn full(&mut self, asks: &Asks, now: Instant) -> Option<Wait> {
        let most = self.account?.most(PUBLISHED_ACCOUNT, now);
        let free = most.saturating_sub(self.pending(now) + self.under_way);
        let place = self.line.join(asks, (), now);
        let wanted = self.line.ahead(place) + asks.needs;
        if wanted <= free || asks.needs > most {
            self.line.serve(place);
            return None;
        }
        let after = come_back(wanted - free);
        self.line.go_away(place, after, now);
        Some(Wait { after, what: ROOM })
    }

    fn unseen(&self, now: Instant) -> impl Iterator<Item = &String> {
        let is_unseen = move |(id, (_, at)): &(&String, &(String, Instant))| {
            now.duration_since(*at) < LAG && !self.listed.contains_key(*id)
        };
        self.recent
            .iter()
            .filter(is_unseen)
            .map(|(_, (volume, _))| volume)
    }

    fn pending(&self, now: Instant) -> usize {
        self.listed.len() + self.unseen(now).count()
    }

    fn pending_of(&self, volume: &str, now: Instant) -> usize {
        let listed = self.listed.values().filter(|of| *of == volume).count();
        listed + self.unseen(now).filter(|of| *of == volume).count()
    }

    /// EC2 has shown what is pending.
    pub(super) fn look(&mut self, pending: Vec<Snapshot>, now: Instant) {
        let rows = pending
            .into_iter()
            .map(|snapshot| (snapshot.id, snapshot.volume_id));
        self.listed = rows.collect();
        self.listed_at = Some(now);
        let count = self.pending(now);
        if let Some(limit) = &mut self.account {
            limit.learn(count);
        }
        let of_volumes: Vec<(String, usize)> = self
            .volumes
            .keys()
            .map(|volume| (volume.clone(), self.pending_of(volume, now)))
            .collect();
        for (volume, count) in of_volumes {
            if let Some(limit) = self
                .volumes
                .get_mut(&volume)
                .and_then(|known| known.limit.as_mut())
            {
                limit.learn(count);
            }
        }
        // The rush is over.
        let is_half_full = |limit: &Limit| (count + self.under_way) * 2 < limit.most(PUBLISHED_ACCOUNT, now);
        self.line.forget(now);
        if self.line.is_empty() && self.account.as_ref().is_some_and(is_half_full) {
            self.account = None;
        }
    }

    /// EC2 has taken these.
    pub(super) fn taken(&mut self, snapshots: &[Snapshot], now: Instant) {
        self.recent.retain(|_, (_, at)| now.duration_since(*at) < SPACING);
        for snapshot in snapshots {
            let taken = (snapshot.volume_id.clone(), now);
            self.recent.insert(snapshot.id.clone(), taken);
        }
        let count = self.pending(now);
        if let Some(most) = self.account.as_mut().and_then(|limit| limit.most.as_mut()) {
            // The quota is larger than it seemed.
            *most = count.max(*most);
        }
    }

    /// EC2 has refused one: what it waits for, where that is a quota that gets free by itself.
    pub(super) fn refused(&mut self, code: &str, volumes: &BTreeSet<String>, now: Instant) -> Option<Wait> {
        let (after, what) = match code {
            ACCOUNT_FULL => {
                self.account = Some(Limit::since(now));
                self.listed_at = None;
                (SOONEST, ROOM)
            }
            VOLUME_FULL => {
                for volume in volumes {
                    self.volume(volume, now).limit = Some(Limit::since(now));
                }
                self.listed_at = None;
                (OF_VOLUME, ROOM_OF_VOLUME)
            }
            TOO_SOON => {
                for volume in volumes {
                    let ours = self.recent.values().filter(|(of, _)| of == volume);
                    let ours = ours.map(|(_, at)| *at).max();
                    // One that is older than this was not what EC2 means.
                    let ours = ours.filter(|at| now.duration_since(*at) < SPACING);
                    self.volume(volume, now).last = Some(ours.unwrap_or(now));
                }
                return self.spacing(volumes, now);
            }
            _ => return None,
        };
        Some(Wait { after, what })
    }

    fn volume(&mut self, id: &str, now: Instant) -> &mut Volume {
        self.volumes.entry(id.to_owned()).or_insert(Volume {
            limit: None,
            last: None,
            used: now,
        })
    }
}

/// When one comes back that lacks so much room, those before it counted.
fn come_back(lacking: usize) -> Duration {
    let lacking = u32::try_from(lacking).unwrap_or(u32::MAX);
    let returns = u32::try_from(RETURNS).unwrap_or(u32::MAX);
    (Duration::from_secs(1) * lacking / returns).clamp(SOONEST, LATEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec2::types::SnapshotState;

    fn asks(name: &str) -> Asks {
        Asks {
            work: name.to_owned(),
            owner: String::new(),
            needs: 1,
        }
    }

    impl State {
        fn ask(&mut self, name: &str, volume: &str, now: Instant) -> Decision {
            self.decide(&asks(name), &of(volume), false, now)
        }
    }

    fn of(volume: &str) -> BTreeSet<String> {
        BTreeSet::from([volume.to_owned()])
    }

    fn snapshots(numbers: std::ops::Range<usize>) -> Vec<Snapshot> {
        let one = |number| Snapshot {
            id: format!("snap-{number}"),
            volume_id: format!("vol-{number}"),
            state: SnapshotState::Pending,
            message: None,
            started: None,
            size_gib: 1,
            tags: BTreeMap::new(),
        };
        numbers.map(one).collect()
    }

    fn wait(decision: Decision) -> (u64, &'static str) {
        match decision {
            Decision::Wait(wait) => (wait.after.as_secs(), wait.what),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ebs_case_119_nothing_is_held_back_before_ec2_refuses() {
        let mut state = State::default();
        let now = Instant::now();
        for number in 0..100 {
            assert_eq!(state.ask(&number.to_string(), "v", now), Decision::Go);
        }
        assert_eq!(
            state.ask("a", "v", now),
            Decision::Alone,
            "as many as are published"
        );
        let alone = state.decide(&asks("a"), &of("v"), true, now);
        assert_eq!(alone, Decision::Go);
    }

    #[test]
    fn ebs_case_119_a_full_account_is_a_line_that_moves_as_snapshots_complete() {
        let mut state = State::default();
        let now = Instant::now();
        let refused = state.refused(ACCOUNT_FULL, &of("v"), now).unwrap();
        assert_eq!((refused.after, refused.what), (SOONEST, ROOM));
        assert_eq!(state.ask("a", "v", now), Decision::Look);
        state.look(snapshots(0..100), now);
        assert_eq!(wait(state.ask("a", "v", now)), (1, ROOM));
        for number in 0..199 {
            state.ask(&format!("b{number}"), "v", now);
        }
        assert_eq!(wait(state.ask("c", "v", now)), (4, ROOM), "200 before it");
        let later = now + Duration::from_millis(1100);
        assert_eq!(state.ask("c", "v", later), Decision::Look, "it is old");
        state.look(snapshots(0..98), later);
        assert_eq!(
            wait(state.ask("c", "v", later)),
            (3, ROOM),
            "others are before it"
        );
        assert_eq!(state.ask("a", "v", later), Decision::Go);
        assert_eq!(state.ask("b0", "v", later), Decision::Go);
        assert_eq!(wait(state.ask("b1", "v", later)), (1, ROOM), "both are under way");
    }

    #[test]
    fn ebs_case_119_a_larger_quota_is_found_and_the_line_ends() {
        let mut state = State::default();
        let now = Instant::now();
        state.refused(ACCOUNT_FULL, &of("v"), now);
        state.look(snapshots(0..500), now);
        assert_eq!(wait(state.ask("a", "v", now)).1, ROOM);
        let later = now + Duration::from_secs(2);
        state.look(snapshots(0..400), later);
        assert_eq!(state.ask("a", "v", later), Decision::Go);
        state.under_way = 0;
        state.look(snapshots(0..200), later);
        assert!(state.account.is_none(), "half of it is free");
    }

    #[test]
    fn ebs_case_119_what_is_not_seen_counts_for_a_while() {
        let mut state = State::default();
        let now = Instant::now();
        state.taken(&snapshots(0..3), now);
        state.refused(ACCOUNT_FULL, &of("v"), now);
        state.look(snapshots(0..40), now);
        assert_eq!(wait(state.ask("a", "v", now)).1, ROOM, "43 less those seen");
        let later = now + SUSPICION;
        state.look(snapshots(0..40), later);
        assert_eq!(state.ask("a", "v", later), Decision::Go, "100 are published");
    }

    #[test]
    fn ebs_case_120_snapshots_of_a_volume_keep_their_distance_once_ec2_asks_for_it() {
        let mut state = State::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let ours = Snapshot {
            volume_id: "v".to_owned(),
            ..snapshots(0..1).remove(0)
        };
        state.taken(&[ours], start);
        let refused = state.refused(TOO_SOON, &of("v"), at(5)).unwrap();
        assert_eq!(
            (refused.after.as_secs(), refused.what),
            (10, SPACE),
            "15 s after ours"
        );
        assert_eq!(wait(state.ask("a", "v", at(14))), (1, SPACE));
        assert_eq!(state.ask("a", "v", at(15)), Decision::Go);
        assert_eq!(wait(state.ask("b", "v", at(15))), (15, SPACE));
        assert_eq!(state.ask("c", "w", at(15)), Decision::Go, "another volume");
        let refused = state.refused(TOO_SOON, &of("w"), at(16)).unwrap();
        assert_eq!(refused.after.as_secs(), 15, "somebody else took one");
    }

    #[test]
    fn ebs_case_121_a_volume_that_is_full_holds_no_other_up() {
        let mut state = State::default();
        let now = Instant::now();
        let refused = state.refused(VOLUME_FULL, &of("vol-1"), now).unwrap();
        assert_eq!((refused.after, refused.what), (OF_VOLUME, ROOM_OF_VOLUME));
        assert_eq!(state.ask("a", "vol-1", now), Decision::Look);
        state.look(snapshots(0..3), now);
        assert_eq!(wait(state.ask("a", "vol-1", now)), (5, ROOM_OF_VOLUME));
        assert_eq!(state.ask("b", "vol-2", now), Decision::Go);
        let later = now + Duration::from_secs(5);
        state.look(snapshots(2..3), later);
        assert_eq!(state.ask("a", "vol-1", later), Decision::Go);
        assert!(
            state
                .refused("SnapshotLimitExceeded", &of("vol-1"), now)
                .is_none()
        );
    }

    #[test]
    fn a_group_waits_for_all_of_its_room_and_holds_its_place() {
        let mut state = State::default();
        let now = Instant::now();
        state.refused(ACCOUNT_FULL, &of("v"), now);
        state.look(snapshots(0..100), now);
        let group = |needs| Asks {
            needs,
            ..asks("group")
        };
        let volumes: BTreeSet<String> = ["v", "w", "x"].map(str::to_owned).into();
        assert_eq!(wait(state.decide(&group(3), &volumes, false, now)).1, ROOM);
        let later = now + Duration::from_secs(2);
        state.look(snapshots(0..98), later);
        assert_eq!(wait(state.ask("a", "v", later)).1, ROOM, "it is behind the group");
        state.look(snapshots(0..97), later);
        assert_eq!(state.decide(&group(3), &volumes, false, later), Decision::Go);
        assert_eq!(
            state.decide(&group(101), &volumes, false, later),
            Decision::Go,
            "never"
        );
    }
}
