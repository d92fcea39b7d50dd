//! What becomes of a CreateVolumeGroupSnapshot: decisions without I/O. Source: decisions 22, 80.
//!
//! CreateSnapshots makes all snapshots of a group or none, has no client token, and DescribeSnapshots may lag behind it.
//! So the rules of [`crate::snapshot`] hold for the group as a whole: its snapshots bear the moment of the call that made
//! them and a sign of the volumes that were asked for, and what bears the same is one set. By the sign it is told what was
//! made beside the group, since a volume came to the instance meanwhile, from a group of other volumes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::ec2::types::{Attachment, AttachmentState, Instance, NewSnapshotSet, Snapshot, Volume};
use crate::names::TAG_GROUP_ATTEMPT;
use crate::snapshot::{self, Memory};

/// What to do after a lookup by the name of a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Plan {
    /// Nothing of this name exists: create it.
    Create,
    /// The lookup was too early to tell: look again at this moment, by which these sets have been seen for long enough.
    LookAgain {
        /// When.
        at: Instant,
        /// The sets beside a whole one, or the one of which a part is missing.
        sets: Vec<String>,
    },
    /// This is it, in the order of the sources.
    Adopt(Vec<Snapshot>),
    /// There is more than the group, and has been for a consistency delay: delete that, adopt the first set.
    DeleteDuplicates {
        /// The earliest whole one.
        adopt: Vec<Snapshot>,
        /// The snapshots of the others, and those of other volumes in it.
        duplicates: Vec<String>,
    },
    /// A part is missing, and EC2 has had time to show it.
    Incomplete {
        /// The snapshots that are there.
        present: Vec<String>,
        /// The volumes without one.
        missing: Vec<String>,
    },
    /// The name belongs to a group of other volumes.
    Conflict(Vec<String>),
}

/// Decides what a lookup by name, begun at `looked_at`, means. Total. In `memory` the duplicates are sets.
#[must_use]
pub fn plan(found: &[Snapshot], sources: &[String], looked_at: Instant, memory: &Memory<'_>) -> Plan {
    if let Some(at) = snapshot::shows_removals_at(looked_at, memory) {
        return Plan::LookAgain { at, sets: Vec::new() };
    }
    let of_others = of_other_groups(found, sources);
    if !of_others.is_empty() {
        return Plan::Conflict(of_others.into_iter().map(str::to_owned).collect());
    }
    let sets = sets(found);
    let Some(first) = sets.first() else {
        return match snapshot::plan(&[], "", looked_at, memory) {
            snapshot::Plan::LookAgain(at) => Plan::LookAgain { at, sets: Vec::new() },
            _ => Plan::Create,
        };
    };
    let whole = sets
        .iter()
        .find(|(_, snapshots)| missing(snapshots, sources).is_empty());
    let adopt = whole.map(|(_, snapshots)| in_order(snapshots, sources));
    let is_adopted = |snapshot: &Snapshot| adopt.iter().flatten().any(|one| one.id == snapshot.id);
    // The sets of which not all is adopted.
    let others: Vec<&(&str, Vec<&Snapshot>)> = sets
        .iter()
        .filter(|(_, snapshots)| !snapshots.iter().all(|snapshot| is_adopted(snapshot)))
        .collect();
    let names = || others.iter().map(|(attempt, _)| (*attempt).to_owned()).collect();
    let settled = settled(&others, looked_at, memory.duplicates, memory.consistency_delay);
    let surplus = found.iter().filter(|snapshot| !is_adopted(snapshot));
    let surplus: Vec<String> = surplus.map(|snapshot| snapshot.id.clone()).collect();
    match adopt {
        Some(adopt) if others.is_empty() => Plan::Adopt(adopt),
        _ if looked_at < settled => Plan::LookAgain {
            at: settled,
            sets: names(),
        },
        Some(adopt) => Plan::DeleteDuplicates {
            adopt,
            duplicates: surplus,
        },
        None => Plan::Incomplete {
            present: surplus,
            missing: missing(&first.1, sources),
        },
    }
}

/// The volumes that the group does not have, of snapshots that were not taken for a group of just these sources.
fn of_other_groups<'a>(found: &'a [Snapshot], sources: &[String]) -> BTreeSet<&'a str> {
    let sign = sign(sources);
    let is_of_other = |snapshot: &&Snapshot| {
        let of_ours = attempt_of(snapshot).split_once(SEPARATOR);
        !sources.contains(&snapshot.volume_id) && of_ours.is_none_or(|(_, of_set)| of_set != sign)
    };
    let others = found.iter().filter(is_of_other);
    others.map(|snapshot| snapshot.volume_id.as_str()).collect()
}

/// Between the moment of a call and the sign of its sources.
const SEPARATOR: char = '/';
/// So many digits of the digest are the sign: enough to tell groups of one name apart.
const SIGN: usize = 16;

/// What tells one CreateSnapshots from another, and what it was sent for.
#[must_use]
pub fn attempt(now: Timestamp, sources: &[String]) -> String {
    format!("{now}{SEPARATOR}{}", sign(sources))
}

/// Stands for the sources, in whatever order.
fn sign(sources: &[String]) -> String {
    let sorted: BTreeSet<&str> = sources.iter().map(String::as_str).collect();
    let sorted: Vec<&str> = sorted.into_iter().collect();
    let mut sign = hex::encode(Sha256::digest(sorted.join(" ").as_bytes()));
    sign.truncate(SIGN);
    sign
}

/// The call that took a snapshot.
fn attempt_of(snapshot: &Snapshot) -> &str {
    snapshot.tags.get(TAG_GROUP_ATTEMPT).map_or("", String::as_str)
}

/// The sets that were found, the earliest first, by the moment of the call that made them.
fn sets(found: &[Snapshot]) -> Vec<(&str, Vec<&Snapshot>)> {
    let mut sets: BTreeMap<&str, Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in found {
        sets.entry(attempt_of(snapshot)).or_default().push(snapshot);
    }
    let mut sets: Vec<_> = sets.into_iter().collect();
    sets.sort_by_key(|(attempt, snapshots)| {
        let started = snapshots.iter().filter_map(|snapshot| snapshot.started).min();
        (started, *attempt)
    });
    sets
}

/// When all of these sets will have been seen for a consistency delay.
fn settled(
    sets: &[&(&str, Vec<&Snapshot>)],
    looked_at: Instant,
    seen: &BTreeMap<String, Instant>,
    delay: Duration,
) -> Instant {
    let latest = sets
        .iter()
        .map(|(attempt, _)| seen.get(*attempt).copied().unwrap_or(looked_at))
        .max();
    latest.unwrap_or(looked_at) + delay
}

/// The volumes of which there is no snapshot.
#[must_use]
pub fn missing(snapshots: &[&Snapshot], sources: &[String]) -> Vec<String> {
    let has = |volume: &&String| !snapshots.iter().any(|snapshot| snapshot.volume_id == **volume);
    sources.iter().filter(has).cloned().collect()
}

/// One snapshot a source, in their order.
#[must_use]
pub fn in_order(snapshots: &[&Snapshot], sources: &[String]) -> Vec<Snapshot> {
    let of = |volume: &String| {
        let mut snapshots = snapshots.iter();
        snapshots.find(|snapshot| snapshot.volume_id == *volume)
    };
    sources
        .iter()
        .filter_map(of)
        .map(|snapshot| (*snapshot).clone())
        .collect()
}

/// The instance to which all volumes are attached; of several the one of the lowest ID.
///
/// # Errors
/// Where each of the volumes is.
pub fn common_instance(volumes: &[Volume]) -> Result<String, String> {
    let at = |volume: &Volume| -> BTreeSet<String> {
        let attached = |one: &&Attachment| one.state == AttachmentState::Attached;
        let attachments = volume.attachments.iter().filter(attached);
        attachments.map(|one| one.instance_id.clone()).collect()
    };
    let common = volumes
        .iter()
        .map(at)
        .reduce(|common, other| common.intersection(&other).cloned().collect());
    if let Some(instance) = common.unwrap_or_default().into_iter().next() {
        return Ok(instance);
    }
    let places: Vec<String> = volumes
        .iter()
        .map(|volume| match at(volume) {
            instances if instances.is_empty() => format!("{} is not attached", volume.id),
            instances => {
                let instances: Vec<String> = instances.into_iter().collect();
                format!("{} is attached to {}", volume.id, instances.join(" and "))
            }
        })
        .collect();
    Err(places.join(", "))
}

/// Leaves out what is attached to the instance beside the sources.
#[must_use]
pub fn excluding(instance: &Instance, sources: &[String]) -> NewSnapshotSet {
    let mut set = NewSnapshotSet {
        instance_id: instance.id.clone(),
        ..NewSnapshotSet::default()
    };
    for mapping in &instance.mappings {
        let is_boot = instance.root_device.as_ref() == Some(&mapping.device);
        match &mapping.volume_id {
            Some(volume) if !sources.contains(volume) && is_boot => set.excludes_boot_volume = true,
            Some(volume) if !sources.contains(volume) => set.excluded_volume_ids.push(volume.clone()),
            _ => {}
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec2::types::{Mapping, SnapshotState, VolumeState};
    use crate::topology::Place;

    const DELAY: Duration = Duration::from_secs(5);

    fn snapshot(id: &str, volume: &str, attempt: &str) -> Snapshot {
        Snapshot {
            id: id.into(),
            volume_id: volume.into(),
            state: SnapshotState::Pending,
            message: None,
            started: attempt.parse().ok(),
            size_gib: 1,
            tags: BTreeMap::from([(TAG_GROUP_ATTEMPT.to_owned(), attempt.to_owned())]),
        }
    }

    const FIRST: &str = "2026-01-01T00:00:01Z";
    const SECOND: &str = "2026-01-01T00:00:02Z";

    fn sources() -> Vec<String> {
        vec!["vol-b".into(), "vol-a".into()]
    }

    fn whole(attempt: &str, name: &str) -> [Snapshot; 2] {
        ["a", "b"].map(|volume| snapshot(&format!("snap-{name}{volume}"), &format!("vol-{volume}"), attempt))
    }

    fn planned(found: &[Snapshot], seen: &[(&str, u64)], looked_at: u64) -> Plan {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let duplicates = seen
            .iter()
            .map(|(set, seconds)| ((*set).to_owned(), at(*seconds)))
            .collect();
        let memory = Memory {
            process_started: start,
            unclear_since: None,
            is_first_attempt: false,
            duplicates: &duplicates,
            is_removing: false,
            consistency_delay: DELAY,
        };
        plan(found, &sources(), at(looked_at), &memory)
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_set_is_adopted_in_the_order_of_the_sources() {
        let [a, b] = whole(FIRST, "1");
        assert_eq!(planned(&[a.clone(), b.clone()], &[], 0), Plan::Adopt(vec![b, a]));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_found_counts_only_after_the_consistency_delay() {
        assert!(matches!(planned(&[], &[], 4), Plan::LookAgain { .. }));
        assert_eq!(planned(&[], &[], 5), Plan::Create);
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_that_lacks_a_part_is_never_adopted() {
        let [a, b] = whole(FIRST, "1");
        let start = Instant::now();
        let early = planned(std::slice::from_ref(&a), &[], 10);
        assert_eq!(
            early,
            Plan::LookAgain {
                at: start + Duration::from_secs(15),
                sets: vec![FIRST.into()]
            }
        );
        assert_eq!(
            planned(std::slice::from_ref(&a), &[(FIRST, 10)], 15),
            Plan::Incomplete {
                present: vec!["snap-1a".into()],
                missing: vec!["vol-b".into()]
            }
        );
        assert_eq!(
            planned(&[a.clone(), b.clone()], &[(FIRST, 10)], 15),
            Plan::Adopt(vec![b, a])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_sets_the_earliest_whole_one_stays() {
        let (first, second) = (whole(FIRST, "1"), whole(SECOND, "2"));
        let found: Vec<Snapshot> = second.iter().chain(&first).cloned().collect();
        assert!(matches!(planned(&found, &[], 10), Plan::LookAgain { sets, .. } if sets == [SECOND]));
        let [a, b] = first.clone();
        assert_eq!(
            planned(&found, &[(SECOND, 10)], 15),
            Plan::DeleteDuplicates {
                adopt: vec![b, a],
                duplicates: vec!["snap-2a".into(), "snap-2b".into()]
            }
        );
        // Half of the first is there: the second is the whole one.
        let found = [first[0].clone(), second[0].clone(), second[1].clone()];
        let [a, b] = second;
        assert_eq!(
            planned(&found, &[(FIRST, 10)], 15),
            Plan::DeleteDuplicates {
                adopt: vec![b, a],
                duplicates: vec!["snap-1a".into()]
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_of_other_volumes_is_a_conflict() {
        let [a, b] = whole(FIRST, "1");
        let other = snapshot("snap-c", "vol-c", FIRST);
        assert_eq!(
            planned(&[a, b, other], &[], 0),
            Plan::Conflict(vec!["vol-c".into()])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn ebs_case_169_what_was_taken_beside_the_group_is_surplus() {
        let now = FIRST.parse().unwrap();
        let taken_for = |sources: &[String]| {
            let attempt = attempt(now, sources);
            let mut found: Vec<Snapshot> = whole(&attempt, "1").into();
            found.push(snapshot("snap-c", "vol-c", &attempt));
            found
        };
        let ours = taken_for(&["vol-a".into(), "vol-b".into()]);
        let sets = vec![attempt(now, &sources())];
        assert!(matches!(planned(&ours, &[], 10), Plan::LookAgain { sets: seen, .. } if seen == sets));
        assert_eq!(
            planned(&ours, &[(&sets[0], 10)], 15),
            Plan::DeleteDuplicates {
                adopt: vec![ours[1].clone(), ours[0].clone()],
                duplicates: vec!["snap-c".into()]
            }
        );
        let of_others = taken_for(&["vol-a".into(), "vol-b".into(), "vol-c".into()]);
        assert_eq!(planned(&of_others, &[], 15), Plan::Conflict(vec!["vol-c".into()]));
        // Without a source it is no group, whatever else was taken.
        let part = [ours[0].clone(), ours[2].clone()];
        assert!(matches!(
            planned(&part, &[(&sets[0], 10)], 15),
            Plan::Incomplete { missing, .. } if missing == ["vol-b"]
        ));
    }

    fn volume(id: &str, instances: &[&str]) -> Volume {
        let attachment = |instance: &&str| Attachment {
            instance_id: (*instance).to_owned(),
            device: "/dev/xvdaa".into(),
            state: AttachmentState::Attached,
            card: None,
            is_of_service: false,
        };
        Volume {
            id: id.into(),
            state: VolumeState::InUse,
            size_gib: 1,
            volume_type: "gp3".into(),
            place: Place::default(),
            is_encrypted: false,
            kms_key_id: None,
            iops: None,
            throughput: None,
            snapshot_id: None,
            source_volume_id: None,
            made_at: None,
            attachments: instances.iter().map(attachment).collect(),
            is_multi_attach: false,
            tags: BTreeMap::new(),
        }
    }

    #[test]
    fn the_volumes_of_a_group_are_at_one_instance() {
        let at = |rows: &[(&str, &[&str])]| {
            let volumes: Vec<Volume> = rows.iter().map(|(id, instances)| volume(id, instances)).collect();
            common_instance(&volumes)
        };
        assert_eq!(at(&[("vol-a", &["i-1"]), ("vol-b", &["i-1"])]), Ok("i-1".into()));
        assert_eq!(
            at(&[("vol-a", &["i-1", "i-2"]), ("vol-b", &["i-2"])]),
            Ok("i-2".into())
        );
        assert_eq!(
            at(&[("vol-a", &["i-1"]), ("vol-b", &["i-2"]), ("vol-c", &[])]),
            Err("vol-a is attached to i-1, vol-b is attached to i-2, vol-c is not attached".into())
        );
        let mut going = volume("vol-a", &["i-1"]);
        going.attachments[0].state = AttachmentState::Detaching;
        assert_eq!(common_instance(&[going]), Err("vol-a is not attached".into()));
    }

    #[test]
    fn what_else_is_at_the_instance_is_left_out() {
        let mapping = |device: &str, volume: Option<&str>| Mapping {
            device: device.into(),
            volume_id: volume.map(str::to_owned),
            state: AttachmentState::Attached,
            card: None,
        };
        let instance = Instance {
            id: "i-1".into(),
            instance_type: "m5.large".into(),
            interfaces: 1,
            root_device: Some("/dev/xvda".into()),
            mappings: vec![
                mapping("/dev/xvda", Some("vol-root")),
                mapping("/dev/xvdb", None),
                mapping("/dev/xvdaa", Some("vol-a")),
                mapping("/dev/xvdab", Some("vol-b")),
                mapping("/dev/xvdac", Some("vol-c")),
            ],
        };
        let set = excluding(&instance, &sources());
        assert!(set.excludes_boot_volume);
        assert_eq!(set.excluded_volume_ids, ["vol-c"]);
        let with_boot = excluding(&instance, &["vol-root".to_owned()]);
        assert!(!with_boot.excludes_boot_volume);
        assert_eq!(with_boot.excluded_volume_ids, ["vol-a", "vol-b", "vol-c"]);
    }
}
