//! What becomes of a change of a volume: decisions without I/O. Source: spec 2.5, 3.5, Q15-Q18; decisions 21, 23.

use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use crate::ec2::types::{Modification, ModificationState, Volume, VolumeChange};
use crate::names::{TAG_AUTO_IOPS, TAG_IOPS_PER_GIB};
use crate::parameters::ChangeParameters;
use crate::tags::TagChange;

/// What is asked of a volume; unset fields stay as they are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Change {
    /// GiB; never taken down.
    pub size_gib: Option<i64>,
    /// Volume type.
    pub volume_type: Option<String>,
    /// IOPS.
    pub iops: Option<i32>,
    /// MiB/s.
    pub throughput: Option<i32>,
    /// IOPS for each GiB; not beside `iops`.
    pub iops_per_gib: Option<i32>,
    /// Whether IOPS follow the size.
    pub auto_iops: Option<bool>,
    /// Tags to set and to remove.
    pub tags: TagChange,
}

/// Two changes of one volume that exclude each other. Aborted: the newcomer may ask again later.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("another change of this volume with a different {0} is pending")]
pub struct Conflict(pub &'static str);

impl Change {
    /// What an attributes class asks for.
    #[must_use]
    pub fn of_attributes(parameters: ChangeParameters, tags: TagChange) -> Self {
        let mutable = parameters.mutable;
        Self {
            size_gib: None,
            volume_type: mutable.volume_type,
            iops: mutable.iops,
            throughput: mutable.throughput,
            iops_per_gib: mutable.iops_per_gib,
            auto_iops: mutable.auto_iops_on_modify,
            tags,
        }
    }

    /// The size alone.
    #[must_use]
    pub fn only_size(&self) -> Self {
        Self {
            size_gib: self.size_gib,
            ..Self::default()
        }
    }

    /// All but the size.
    #[must_use]
    pub fn without_size(&self) -> Self {
        Self {
            size_gib: None,
            ..self.clone()
        }
    }

    /// Whether there are both a size and something else.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        self.size_gib.is_some() && self.without_size() != Self::default()
    }

    /// Whether nothing but tags is asked for.
    #[must_use]
    pub fn is_of_tags_only(&self) -> bool {
        let without_tags = Self {
            tags: TagChange::default(),
            ..self.clone()
        };
        without_tags == Self::default()
    }

    /// Both changes in one.
    ///
    /// # Errors
    /// When a field is set to different values.
    pub fn merged(&self, other: &Self) -> Result<Self, Conflict> {
        let tags = |change: &Self| Some(change.tags.clone()).filter(|tags| !tags.is_empty());
        let both = Self {
            size_gib: either(self.size_gib, other.size_gib, "size")?,
            volume_type: either(self.volume_type.clone(), other.volume_type.clone(), "type")?,
            iops: either(self.iops, other.iops, IOPS)?,
            throughput: either(self.throughput, other.throughput, "throughput")?,
            iops_per_gib: either(self.iops_per_gib, other.iops_per_gib, IOPS)?,
            auto_iops: either(
                self.auto_iops,
                other.auto_iops,
                "rule for IOPS that follow the size",
            )?,
            tags: either(tags(self), tags(other), "set of tags")?.unwrap_or_default(),
        };
        if both.iops.is_some() && both.iops_per_gib.is_some() {
            return Err(Conflict(IOPS));
        }
        Ok(both)
    }
}

/// What two changes differ in.
const IOPS: &str = "number of IOPS";

fn either<T: PartialEq>(
    left: Option<T>,
    right: Option<T>,
    name: &'static str,
) -> Result<Option<T>, Conflict> {
    match (left, right) {
        (Some(left), Some(right)) if left != right => Err(Conflict(name)),
        (left, right) => Ok(left.or(right)),
    }
}

/// What to do next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// The volume is as asked.
    Done,
    /// A modification is under way: poll until it is in effect.
    Wait,
    /// EC2 allows no further modification yet.
    Optimizing,
    /// Ask for this.
    Modify(VolumeChange),
}

/// A ratio of IOPS to GiB that changes nothing, since neither the class nor the volume lets IOPS follow the size (Q17).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "parameter \"iopspergb\" has no effect unless \"allowautoiopsincreaseonmodify\" is \"true\" in the same class or the \
     volume has the tag ebs.csi.aws.com/AllowAutoIOPSIncreaseOnModify=true; add it to the class"
)]
pub struct RatioNotAllowed;

/// IOPS to ask for, before they are fitted to the type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestedIops {
    /// The number.
    pub iops: i64,
    /// Never fewer than the volume has: they only follow the size.
    pub only_more: bool,
}

/// The IOPS that a change asks for: its number, or a ratio of the class or of the volume's tags where IOPS may follow the
/// size; none when they stay as they are.
///
/// # Errors
/// The class has a ratio and nothing allows it.
pub fn requested_iops(volume: &Volume, change: &Change) -> Result<Option<RequestedIops>, RatioNotAllowed> {
    if let Some(iops) = change.iops {
        return Ok(Some(RequestedIops {
            iops: iops.into(),
            only_more: false,
        }));
    }
    let tag = |key: &str| volume.tags.get(key);
    let is_allowed = change
        .auto_iops
        .unwrap_or_else(|| tag(TAG_AUTO_IOPS).is_some_and(|value| value.eq_ignore_ascii_case("true")));
    if !is_allowed {
        return change.iops_per_gib.map_or(Ok(None), |_| Err(RatioNotAllowed));
    }
    let of_tags = || tag(TAG_IOPS_PER_GIB)?.parse().ok();
    let ratio = change.iops_per_gib.map(i64::from).or_else(of_tags);
    let size_gib = change.size_gib.unwrap_or_default().max(volume.size_gib);
    let asks_for_it = change.iops_per_gib.is_some() || change.auto_iops == Some(true);
    let concerned = asks_for_it || size_gib > volume.size_gib || change.volume_type.is_some();
    Ok(ratio
        .filter(|ratio: &i64| *ratio > 0 && concerned)
        .map(|ratio| RequestedIops {
            iops: ratio.saturating_mul(size_gib),
            only_more: change.iops_per_gib.is_none() && change.volume_type.is_none(),
        }))
}

/// The number of IOPS for EC2, from one that was fitted to the type. `is_supposed` says that EC2 named no ceiling: then what the
/// volume has as one of its type is allowed too, whatever the driver supposes.
#[must_use]
pub fn settled_iops(volume: &Volume, requested: RequestedIops, fitted: i64, is_supposed: bool) -> i32 {
    let fitted = i32::try_from(fitted).unwrap_or(i32::MAX);
    let asked = i32::try_from(requested.iops).unwrap_or(i32::MAX);
    match volume.iops {
        Some(has) if requested.only_more => fitted.max(has),
        Some(has) if is_supposed => fitted.max(has.min(asked)),
        _ => fitted,
    }
}

/// Compares a volume with what is asked of it. `change.iops` already holds what is asked for in whatever form.
#[must_use]
pub fn plan(volume: &Volume, modification: Option<&Modification>, change: &Change) -> Step {
    let state = modification.map(|modification| modification.state);
    if state == Some(ModificationState::Modifying) {
        return Step::Wait;
    }
    let volume_type = change
        .volume_type
        .clone()
        .filter(|wanted| !wanted.eq_ignore_ascii_case(&volume.volume_type));
    // With another type EC2 falls back to the defaults of that type for what it is not told, though the volume has it now.
    let is_told = |asked: &i32, has: Option<i32>| volume_type.is_some() || Some(*asked) != has;
    let needed = VolumeChange {
        volume_id: volume.id.clone(),
        size_gib: change.size_gib.filter(|size| *size > volume.size_gib),
        iops: change.iops.filter(|asked| is_told(asked, volume.iops)),
        throughput: change
            .throughput
            .filter(|asked| is_told(asked, volume.throughput)),
        volume_type,
    };
    let is_nothing = needed
        == VolumeChange {
            volume_id: volume.id.clone(),
            ..VolumeChange::default()
        };
    match (is_nothing, state) {
        (true, _) => Step::Done,
        (false, Some(ModificationState::Optimizing)) => Step::Optimizing,
        (false, _) => Step::Modify(needed),
    }
}

/// What a modification says while it is waited for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// In effect.
    InEffect,
    /// Ask again.
    NotYet,
    /// Without effect, for this reason.
    Failed(String),
}

/// Judges a poll of a modification that began then, as far as it is known. No row, or that of an earlier one, may mean that EC2
/// does not show the new one yet.
#[must_use]
pub fn progress(modification: Option<&Modification>, begun: Option<Timestamp>) -> Progress {
    let is_of_now = |row: &&Modification| row.started.is_none() || begun.is_none() || row.started >= begun;
    match modification.filter(is_of_now) {
        Some(modification) => match modification.state {
            ModificationState::Completed | ModificationState::Optimizing => Progress::InEffect,
            ModificationState::Failed => Progress::Failed(
                modification
                    .message
                    .clone()
                    .unwrap_or_else(|| "EC2 gives no reason".to_owned()),
            ),
            ModificationState::Modifying | ModificationState::Other => Progress::NotYet,
        },
        None => Progress::NotYet,
    }
}

/// The pauses before the polls for a modification: 1 s growing by 1.7 each time, about 168 s in all; the caller's
/// deadline usually ends them before. ModifyVolume's own answer was the first poll.
pub fn modification_pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(Duration::from_secs(1)), |pause| Some(pause.mul_f64(1.7))).take(9)
}

/// Whether a volume, as it is after a modification, has what was asked.
#[must_use]
pub fn is_met(volume: &Volume, change: &Change) -> bool {
    plan(volume, None, change) == Step::Done
}

/// Whether a volume is shown as it was before a modification that has brought what is asked for: EC2's two lists do not
/// change at one moment.
#[must_use]
pub fn is_behind(volume: &Volume, modification: Option<&Modification>, change: &Change) -> bool {
    modification.is_some_and(|modification| {
        progress(Some(modification), None) == Progress::InEffect
            && !is_met(volume, change)
            && is_met(&after(volume, modification), change)
    })
}

/// The volume as a modification that is in effect leaves it.
#[must_use]
pub fn after(volume: &Volume, modification: &Modification) -> Volume {
    Volume {
        size_gib: modification.target_size_gib.unwrap_or(volume.size_gib),
        volume_type: modification
            .target_type
            .clone()
            .unwrap_or_else(|| volume.volume_type.clone()),
        iops: modification.target_iops.or(volume.iops),
        throughput: modification.target_throughput.or(volume.throughput),
        ..volume.clone()
    }
}

/// EC2 allows so many modifications of a volume in a rolling window.
const MOST_MODIFICATIONS: usize = 4;
/// That window.
const MODIFICATION_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Leaves those of the moments at which modifications of a volume began that still count; false when none does.
pub fn keep_counted(begun: &mut Vec<Timestamp>, now: Timestamp) -> bool {
    begun.retain(|at| now.duration_since(*at).unsigned_abs() < MODIFICATION_WINDOW);
    !begun.is_empty()
}

/// When EC2 takes another modification, if all are known that count: these began here, the oldest first.
#[must_use]
pub fn free_again(begun: &[Timestamp]) -> Option<Timestamp> {
    let oldest = begun.len().checked_sub(MOST_MODIFICATIONS)?;
    begun.get(oldest)?.checked_add(MODIFICATION_WINDOW).ok()
}

/// The moment that EC2 names in a refusal, if it names one: no further modification before then.
#[must_use]
pub fn refused_until(message: &str) -> Option<Timestamp> {
    message
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
        .find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ec2::types::VolumeState;
    use crate::topology::Place;

    fn volume(size_gib: i64) -> Volume {
        Volume {
            id: "vol-1".into(),
            state: VolumeState::InUse,
            size_gib,
            volume_type: "gp3".into(),
            place: Place::default(),
            is_encrypted: false,
            kms_key_id: None,
            iops: Some(3000),
            throughput: Some(125),
            snapshot_id: None,
            source_volume_id: None,
            made_at: None,
            attachments: Vec::new(),
            is_multi_attach: false,
            tags: BTreeMap::new(),
        }
    }

    fn modification(state: ModificationState) -> Modification {
        Modification {
            volume_id: "vol-1".into(),
            state,
            message: None,
            target_size_gib: Some(20),
            target_iops: None,
            target_type: None,
            target_throughput: None,
            started: None,
            progress: None,
        }
    }

    fn size(size_gib: i64) -> Change {
        Change {
            size_gib: Some(size_gib),
            ..Change::default()
        }
    }

    #[test]
    fn ebs_case_73_74_the_next_step() {
        use ModificationState::{Completed, Failed, Modifying, Optimizing};
        let grow = Step::Modify(VolumeChange {
            volume_id: "vol-1".into(),
            size_gib: Some(30),
            ..VolumeChange::default()
        });
        let rows = [
            (20, None, 30, grow.clone()),
            (20, Some(Completed), 30, grow.clone()),
            (20, Some(Failed), 30, grow),
            (20, Some(Optimizing), 30, Step::Optimizing),
            (20, Some(Modifying), 30, Step::Wait),
            (20, Some(Modifying), 10, Step::Wait),
            (20, Some(Optimizing), 20, Step::Done),
            (20, Some(Failed), 20, Step::Done),
            (20, None, 10, Step::Done),
        ];
        for (current, state, wanted, expected) in rows {
            let modification = state.map(modification);
            assert_eq!(
                plan(&volume(current), modification.as_ref(), &size(wanted)),
                expected,
                "{current} {state:?} {wanted}"
            );
        }
    }

    #[test]
    fn ebs_case_174_a_volume_may_be_shown_as_it_was_before() {
        use ModificationState::{Completed, Failed, Modifying, Optimizing};
        // The modification is to 20 GiB.
        for (shown, state, asked, expected) in [
            (10, Some(Optimizing), 20, true),
            (10, Some(Completed), 15, true),
            (10, Some(Optimizing), 30, false),
            (20, Some(Optimizing), 20, false),
            (10, Some(Modifying), 20, false),
            (10, Some(Failed), 20, false),
            (10, None, 20, false),
        ] {
            let row = state.map(modification);
            let found = is_behind(&volume(shown), row.as_ref(), &size(asked));
            assert_eq!(found, expected, "{shown} {state:?} {asked}");
        }
    }

    #[test]
    fn ebs_case_160_another_type_is_told_what_the_volume_has_already() {
        let fast = Volume {
            volume_type: "io1".into(),
            iops: Some(10_000),
            throughput: Some(250),
            ..volume(500)
        };
        let change = Change {
            volume_type: Some("gp3".into()),
            iops: Some(10_000),
            throughput: Some(250),
            ..Change::default()
        };
        let Step::Modify(sent) = plan(&fast, None, &change) else {
            panic!("a new type is a change");
        };
        assert_eq!((sent.iops, sent.throughput), (Some(10_000), Some(250)));
        let same_type = Change {
            volume_type: None,
            ..change
        };
        assert_eq!(plan(&fast, None, &same_type), Step::Done);
    }

    #[test]
    fn a_smaller_size_is_never_sent() {
        let change = Change {
            size_gib: Some(10),
            volume_type: Some("io2".into()),
            ..Change::default()
        };
        let Step::Modify(sent) = plan(&volume(20), None, &change) else {
            panic!("a new type is a change");
        };
        assert_eq!((sent.size_gib, sent.volume_type.as_deref()), (None, Some("io2")));
        let same_type = Change {
            volume_type: Some("GP3".into()),
            ..Change::default()
        };
        assert_eq!(plan(&volume(20), None, &same_type), Step::Done);
    }

    #[test]
    fn changes_merge_unless_they_contradict() {
        let iops = Change {
            iops: Some(4000),
            ..Change::default()
        };
        let both = size(20).merged(&iops).unwrap();
        assert_eq!((both.size_gib, both.iops), (Some(20), Some(4000)));
        assert_eq!(both.merged(&size(20)), Ok(both.clone()));
        assert_eq!(both.merged(&size(21)), Err(Conflict("size")));
        let ratio = Change {
            iops_per_gib: Some(5),
            ..Change::default()
        };
        assert_eq!(both.merged(&ratio), Err(Conflict("number of IOPS")));
        let tagged = |value: &str| Change {
            tags: TagChange {
                set: [("team".to_owned(), value.to_owned())].into(),
                ..TagChange::default()
            },
            ..Change::default()
        };
        let both = both.merged(&tagged("a")).unwrap();
        assert_eq!(both.merged(&tagged("a")), Ok(both.clone()));
        assert_eq!(both.merged(&tagged("b")), Err(Conflict("set of tags")));
        assert!(both.is_mixed() && !both.only_size().is_mixed() && !both.without_size().is_mixed());
        assert!(tagged("a").is_of_tags_only() && !both.is_of_tags_only());
    }

    fn tagged(ratio: &str, auto: &str) -> Volume {
        Volume {
            tags: [(TAG_IOPS_PER_GIB, ratio), (TAG_AUTO_IOPS, auto)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..volume(20)
        }
    }

    #[test]
    fn ebs_case_78_99_the_ratio_counts_only_with_its_switch() {
        let of_class = |ratio, auto| Change {
            iops_per_gib: ratio,
            auto_iops: auto,
            ..Change::default()
        };
        let rows = [
            // tags, change, expected
            (tagged("10", "true"), size(30), Ok(Some((300, true)))),
            (tagged("10", "true"), size(20), Ok(None)),
            (tagged("10", "false"), size(30), Ok(None)),
            (tagged("ten", "true"), size(30), Ok(None)),
            (volume(20), size(30), Ok(None)),
            (volume(20), of_class(Some(10), None), Err(RatioNotAllowed)),
            (volume(20), of_class(Some(10), Some(true)), Ok(Some((200, false)))),
            (
                tagged("5", "true"),
                of_class(Some(10), None),
                Ok(Some((200, false))),
            ),
            (
                tagged("5", "true"),
                of_class(Some(10), Some(false)),
                Err(RatioNotAllowed),
            ),
            (
                tagged("5", "false"),
                of_class(None, Some(true)),
                Ok(Some((100, true))),
            ),
            (tagged("5", "true"), of_class(None, Some(false)), Ok(None)),
        ];
        for (volume, change, expected) in rows {
            let found = requested_iops(&volume, &change);
            let found = found.map(|found| found.map(|found| (found.iops, found.only_more)));
            assert_eq!(found, expected, "{:?} {change:?}", volume.tags);
        }
    }

    #[test]
    fn growth_takes_no_iops_away() {
        let fast = Volume {
            iops: Some(40_000),
            ..volume(400)
        };
        let requested = |only_more| RequestedIops { iops: 1, only_more };
        assert_eq!(settled_iops(&fast, requested(true), 16_000, false), 40_000);
        assert_eq!(settled_iops(&fast, requested(true), 50_000, false), 50_000);
        assert_eq!(settled_iops(&fast, requested(false), 16_000, false), 16_000);
        // What it has it may have, where EC2 says nothing of a ceiling.
        for (asked, settled) in [(50_000, 40_000), (20_000, 20_000), (1, 16_000)] {
            let requested = RequestedIops {
                iops: asked,
                only_more: false,
            };
            assert_eq!(settled_iops(&fast, requested, 16_000, true), settled);
        }
    }

    #[test]
    fn ebs_case_122_the_oldest_of_four_modifications_leaves_the_day_first() {
        let at = |text: &str| -> Timestamp { format!("2026-01-0{text}:00Z").parse().unwrap() };
        let day = [at("1T00:00"), at("1T03:00"), at("1T06:00"), at("1T09:00")];
        assert_eq!(free_again(&day), Some(at("2T00:00")));
        assert_eq!(free_again(&day[1..]), None, "one of them is not known");
        let mut begun = day.to_vec();
        assert!(keep_counted(&mut begun, at("2T00:00")));
        begun.push(at("2T00:00"));
        assert_eq!(free_again(&begun), Some(at("2T03:00")));
        assert!(!keep_counted(&mut begun, at("3T00:00")));
    }

    #[test]
    fn a_stated_date_is_found() {
        let until = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(refused_until("Wait until 2026-01-02T03:04:05Z."), Some(until));
        assert_eq!(
            refused_until("Wait at least 6 hours between modifications per EBS volume."),
            None
        );
    }
}
