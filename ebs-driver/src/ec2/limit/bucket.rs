//! The buckets from which EC2 takes a token a request, and how full the driver supposes them to be. Pure: time is given.
//! Source: spec 3.8; EC2's developer guide, "Request throttling"; decisions 64, 122.

use std::time::Duration;

use tokio::time::Instant;

use crate::ec2::errors::Action;

/// So much of a bucket is left to others of the account, and to requests that overtake each other on their way.
const RESERVE: f64 = 0.1;
/// What a refusal leaves of the rate.
const CUT: f64 = 0.8;
/// What each good answer brings back of the published rate, until that is reached.
const RECOVERY: f64 = 0.01;
/// So many good answers of an empty bucket in a row say that the account may have more than what is published.
const QUIET: u32 = 200;
/// What each further good answer then adds to the rate.
const GROWTH: f64 = 0.005;
/// The rate never falls below this part of the published one.
const FLOOR: f64 = 0.05;
/// A token that is this close counts as there.
const CLOSE: f64 = 1e-6;

/// A bucket of an account in a Region. The actions of one share its tokens.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Bucket {
    /// Snapshots are taken and deleted.
    Snapshots,
    /// Volumes are made and deleted.
    Volumes,
    /// Tags are set and removed.
    Tags,
    /// All other changes.
    Changes,
    /// Describe actions with a filter or a page size.
    Describe,
    /// Describe actions with neither.
    DescribeWhole,
}

/// What EC2 publishes of a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Tokens of a full one.
    pub capacity: f64,
    /// Tokens a second.
    pub refill: f64,
}

impl Bucket {
    /// Every bucket.
    pub const ALL: [Self; 6] = [
        Self::Snapshots,
        Self::Volumes,
        Self::Tags,
        Self::Changes,
        Self::Describe,
        Self::DescribeWhole,
    ];

    /// The bucket of a request; `is_narrow` says that it has a filter or a page size.
    #[must_use]
    pub fn of(action: Action, is_narrow: bool) -> Self {
        match action {
            Action::CreateSnapshot | Action::CreateSnapshots | Action::DeleteSnapshot => Self::Snapshots,
            Action::CreateVolume | Action::CopyVolumes | Action::DeleteVolume => Self::Volumes,
            Action::CreateTags | Action::DeleteTags => Self::Tags,
            Action::AttachVolume
            | Action::DetachVolume
            // SageMaker publishes no limits; what it does for them takes from these.
            | Action::AttachClusterNodeVolume
            | Action::DetachClusterNodeVolume
            | Action::ModifyVolume
            | Action::EnableFastSnapshotRestores
            | Action::LockSnapshot => Self::Changes,
            Action::DescribeVolumes
            | Action::DescribeVolumesModifications
            | Action::DescribeSnapshots
            | Action::DescribeAvailabilityZones
            | Action::DescribeInstances
            | Action::DescribeInstanceTypes
            | Action::DescribeVolumeStatus => {
                if is_narrow {
                    Self::Describe
                } else {
                    Self::DescribeWhole
                }
            }
        }
    }

    /// What EC2 publishes of it.
    #[must_use]
    pub fn published(self) -> Published {
        let (capacity, refill) = match self {
            Self::Snapshots | Self::Volumes => (100.0, 5.0),
            Self::Tags => (100.0, 10.0),
            Self::Changes => (50.0, 5.0),
            Self::Describe => (100.0, 20.0),
            Self::DescribeWhole => (50.0, 10.0),
        };
        Published { capacity, refill }
    }

    /// Value of the label `bucket`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Snapshots => "snapshots",
            Self::Volumes => "volumes",
            Self::Tags => "tags",
            Self::Changes => "changes",
            Self::Describe => "describe",
            Self::DescribeWhole => "describe_whole",
        }
    }
}

/// From what the driver starts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Assume {
    /// From what EC2 publishes.
    #[default]
    Published,
    /// From nothing: the first refusal shows that there is a bucket. For endpoints that are not EC2.
    Nothing,
}

/// How full a bucket is.
#[derive(Clone, Debug)]
pub struct Level {
    published: Published,
    /// None while no limit is known.
    rate: Option<f64>,
    tokens: f64,
    at: Instant,
    /// The last refusal that counted.
    cut: Option<Instant>,
    /// Good answers of the empty bucket since then.
    quiet: u32,
}

impl Level {
    /// A full bucket.
    #[must_use]
    pub fn new(published: Published, assume: Assume, now: Instant) -> Self {
        Self {
            published,
            rate: (assume == Assume::Published).then_some(published.refill),
            tokens: published.capacity * (1.0 - RESERVE),
            at: now,
            cut: None,
            quiet: 0,
        }
    }

    fn fill(&mut self, now: Instant) -> Option<f64> {
        let rate = self.rate?;
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(self.published.capacity * (1.0 - RESERVE));
        self.at = now;
        Some(rate)
    }

    /// How long until a request can go before which so many others do.
    pub fn due(&mut self, ahead: usize, now: Instant) -> Duration {
        let Some(rate) = self.fill(now) else {
            return Duration::ZERO;
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "a line has at most some thousand places"
        )]
        let lacking = ahead as f64 + 1.0 - self.tokens;
        if lacking <= CLOSE {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(lacking / rate)
        }
    }

    /// Takes a token; false if there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.fill(now).is_none() {
            return true;
        }
        let is_there = self.tokens >= 1.0 - CLOSE;
        if is_there {
            self.tokens = (self.tokens - 1.0).max(0.0);
        }
        is_there
    }

    /// Learns that EC2 refused a request that was sent at this moment: its bucket is empty. Those that were under way when
    /// the last refusal came say nothing new of the rate.
    pub fn refused(&mut self, sent: Instant, now: Instant) {
        self.fill(now);
        self.tokens = 0.0;
        self.at = now;
        if self.cut.is_some_and(|cut| sent <= cut) {
            return;
        }
        let refill = self.published.refill;
        let rate = self.rate.map_or(refill, |rate| (rate * CUT).max(refill * FLOOR));
        self.rate = Some(rate);
        self.cut = Some(now);
        self.quiet = 0;
    }

    /// Learns from an answer that was no refusal. Only those of an empty bucket show that the rate is not too high.
    pub fn accepted(&mut self, now: Instant) {
        let Some(rate) = self.fill(now) else {
            return;
        };
        if self.tokens >= 1.0 {
            return;
        }
        let refill = self.published.refill;
        self.quiet = self.quiet.saturating_add(1);
        if rate < refill {
            self.rate = Some((rate + refill * RECOVERY).min(refill));
        } else if self.quiet > QUIET {
            self.rate = Some(rate * (1.0 + GROWTH));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Published = Published {
        capacity: 10.0,
        refill: 2.0,
    };

    fn later(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn ebs_case_115_a_bucket_is_spent_and_then_taken_from_at_the_rate_at_which_it_fills() {
        let start = Instant::now();
        let mut level = Level::new(SMALL, Assume::Published, start);
        let at_once = (0..20).filter(|_| level.take(start)).count();
        assert_eq!(at_once, 9, "a tenth is left to others");
        let waits: Vec<u128> = (0..3).map(|ahead| level.due(ahead, start).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 1500]);
        assert!(!level.take(later(start, 499)));
        assert!(level.take(later(start, 500)));
        assert!(!level.take(later(start, 500)));
        assert_eq!(level.due(0, later(start, 60_000)), Duration::ZERO);
        assert_eq!(
            (0..20).filter(|_| level.take(later(start, 60_000))).count(),
            9,
            "it is never fuller"
        );
    }

    #[test]
    fn ebs_case_116_a_refusal_empties_the_bucket_and_slows_it_down_once() {
        let start = Instant::now();
        let mut level = Level::new(SMALL, Assume::Published, start);
        level.take(start);
        let now = later(start, 100);
        level.refused(start, now);
        assert_eq!(level.due(0, now).as_millis(), 625, "2 a second less a fifth");
        level.refused(later(start, 50), later(start, 110));
        assert_eq!(
            level.due(0, later(start, 110)).as_millis(),
            625,
            "it was under way"
        );
        level.refused(later(start, 120), later(start, 130));
        assert_eq!(
            level.due(0, later(start, 130)).as_millis(),
            781,
            "and another fifth"
        );
        for number in 0..100 {
            let sent = later(start, 1000 + number);
            level.refused(sent, sent);
        }
        assert_eq!(
            level.due(0, later(start, 1099)).as_millis(),
            10_000,
            "no slower than this"
        );
    }

    #[test]
    fn ebs_case_116_good_answers_of_an_empty_bucket_bring_the_rate_back_and_after_long_beyond() {
        let start = Instant::now();
        let mut level = Level::new(SMALL, Assume::Published, start);
        level.refused(start, start);
        let mut now = start;
        let mut answered = |level: &mut Level, count: u32| {
            for _ in 0..count {
                now += level.due(0, now);
                assert!(level.take(now));
                level.accepted(now);
            }
            level.due(0, now).as_millis()
        };
        assert_eq!(answered(&mut level, 20), 500, "the published rate");
        assert_eq!(answered(&mut level, 180), 500, "for long");
        let raised = answered(&mut level, 500);
        assert!(raised < 50, "an account with more gets more: {raised} ms");
        let mut full = Level::new(SMALL, Assume::Published, start);
        for _ in 0..1000 {
            full.accepted(start);
        }
        assert!((0..9).all(|_| full.take(start)));
        assert_eq!(full.due(0, start).as_millis(), 500, "a full bucket shows nothing");
    }

    #[test]
    fn ebs_case_116_without_a_published_limit_the_first_refusal_shows_it() {
        let start = Instant::now();
        let mut level = Level::new(SMALL, Assume::Nothing, start);
        assert!((0..1000).all(|_| level.take(start)));
        assert_eq!(level.due(1000, start), Duration::ZERO);
        level.refused(start, start);
        assert_eq!(level.due(0, start).as_millis(), 500);
    }
}
