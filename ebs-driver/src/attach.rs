//! Attaching: decisions without I/O. Source: spec 3.3, 3.6, Q19, Q20.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ec2::types::{Attachment, AttachmentState, Instance, Mapping, Volume};

/// Seen in state `attaching` for longer, an attachment will never be usable.
const STUCK: Duration = Duration::from_secs(90);

/// The device names in the order in which they are tried: 127 of them.
pub fn device_names() -> impl Iterator<Item = String> {
    let row = |prefix: &'static str, letters: std::ops::RangeInclusive<char>| {
        letters.map(move |letter| format!("/dev/{prefix}{letter}"))
    };
    row("xvda", 'a'..='z')
        .chain(row("xvdb", 'a'..='z'))
        .chain(row("xvdd", 'a'..='x'))
        .chain(row("xvd", 'b'..='z'))
        .chain(row("sd", 'b'..='z'))
        .chain(["/dev/sda2".to_owned()])
}

/// The first free name; one that EC2 lately said to be in use only when there is no other.
#[must_use]
pub fn pick_device(taken: &BTreeSet<String>, bad: &BTreeSet<String>) -> Option<String> {
    let free: Vec<String> = device_names().filter(|name| !taken.contains(name)).collect();
    free.iter()
        .find(|name| !bad.contains(*name))
        .or(free.first())
        .cloned()
}

/// The card with the fewest volumes, the lowest of equals; none where there is only one card.
#[must_use]
pub fn pick_card(cards: u32, used: impl IntoIterator<Item = Option<i32>>) -> Option<i32> {
    if cards < 2 {
        return None;
    }
    let cards = i32::try_from(cards).unwrap_or(i32::MAX);
    let mut counts: BTreeMap<i32, usize> = (0..cards).map(|card| (card, 0)).collect();
    for card in used {
        *counts.entry(card.unwrap_or(0)).or_default() += 1;
    }
    counts
        .into_iter()
        .min_by_key(|(card, count)| (*count, *card))
        .map(|(card, _)| card)
}

/// The device by which an instance already has a volume.
#[must_use]
pub fn mapped<'a>(instance: &'a Instance, volume_id: &str) -> Option<&'a Mapping> {
    let mut mappings = instance.mappings.iter();
    mappings.find(|mapping| mapping.volume_id.as_deref() == Some(volume_id))
}

/// What was asked of EC2, where it was asked in this process.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expected {
    /// The device name, if one was chosen.
    pub device: Option<String>,
    /// The card, if one was chosen.
    pub card: Option<i32>,
}

/// What a description of a volume says of its way to an instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seen {
    /// It is there, by this device.
    Attached(String),
    /// On its way, or on its way back.
    NotYet,
    /// In state `attaching` for too long.
    Stuck,
    /// Neither here nor elsewhere.
    Detached,
    /// At this other instance, and it can be at one only.
    Elsewhere(String),
    /// There is no such volume.
    Gone,
}

/// Judges a description of a volume, which has been seen in state `attaching` for so long. A device or card that is not the
/// expected one is not there yet.
#[must_use]
pub fn seen(
    volume: Option<&Volume>,
    instance_id: &str,
    expected: &Expected,
    attaching_for: Duration,
) -> Seen {
    let Some(volume) = volume else {
        return Seen::Gone;
    };
    let alive = |one: &&Attachment| one.state != AttachmentState::Detached;
    let other = volume
        .attachments
        .iter()
        .filter(alive)
        .find(|one| one.instance_id != instance_id);
    if let Some(other) = other.filter(|_| !volume.is_multi_attach) {
        return Seen::Elsewhere(other.instance_id.clone());
    }
    let here = volume
        .attachments
        .iter()
        .filter(alive)
        .find(|one| one.instance_id == instance_id);
    let Some(here) = here else {
        return Seen::Detached;
    };
    let is_expected = expected
        .device
        .as_ref()
        .is_none_or(|device| *device == here.device)
        && (expected.card.is_none() || expected.card == here.card);
    match here.state {
        AttachmentState::Attached if is_expected => Seen::Attached(here.device.clone()),
        AttachmentState::Attaching if attaching_for > STUCK => Seen::Stuck,
        _ => Seen::NotYet,
    }
}

/// Whether nothing of a volume is left at an instance.
#[must_use]
pub fn is_away(volume: Option<&Volume>, instance_id: &str) -> bool {
    volume.is_none_or(|volume| state_at(volume, instance_id).is_none())
}

/// The state of a volume's attachment to an instance; none where there is none.
#[must_use]
pub fn state_at(volume: &Volume, instance_id: &str) -> Option<AttachmentState> {
    let mut here = volume.attachments.iter();
    here.find(|one| one.instance_id == instance_id)
        .map(|one| one.state)
        .filter(|state| *state != AttachmentState::Detached)
}

/// Whether a volume is on its way to an instance, so that it may hang there.
#[must_use]
pub fn is_attaching(volume: Option<&Volume>, instance_id: &str) -> bool {
    volume.is_some_and(|volume| {
        let mut attachments = volume.attachments.iter();
        attachments.any(|one| {
            one.instance_id == instance_id && one.state == AttachmentState::Attaching && !one.is_of_service
        })
    })
}

/// The pauses between the polls: 1 s growing by 1.8 each time, about 24 minutes in all; the caller's deadline
/// usually ends them before. EC2's answer to the request was the first poll.
pub fn pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(Duration::from_secs(1)), |pause| Some(pause.mul_f64(1.8))).take(12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec2::types::VolumeState;
    use crate::topology::Place;

    fn volume(attachments: Vec<Attachment>, is_multi_attach: bool) -> Volume {
        Volume {
            id: "vol-1".into(),
            state: VolumeState::InUse,
            size_gib: 1,
            volume_type: "io2".into(),
            place: Place::default(),
            is_encrypted: false,
            kms_key_id: None,
            iops: None,
            throughput: None,
            snapshot_id: None,
            source_volume_id: None,
            made_at: None,
            attachments,
            is_multi_attach,
            tags: BTreeMap::new(),
        }
    }

    fn at(instance: &str, state: AttachmentState) -> Attachment {
        Attachment {
            instance_id: instance.into(),
            device: "/dev/xvdaa".into(),
            state,
            card: Some(1),
            is_of_service: false,
        }
    }

    #[test]
    fn ebs_case_51_names_come_in_a_fixed_order() {
        let names: Vec<String> = device_names().collect();
        assert_eq!(names.len(), 127);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 127);
        assert_eq!(
            (names[0].as_str(), names[126].as_str()),
            ("/dev/xvdaa", "/dev/sda2")
        );
        let set = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>()
        };
        let taken = set(&["/dev/xvdaa", "/dev/xvdac"]);
        assert_eq!(pick_device(&taken, &set(&["/dev/xvdab"])).unwrap(), "/dev/xvdad");
        let all_but_one: BTreeSet<String> = device_names().skip(1).collect();
        assert_eq!(
            pick_device(&all_but_one, &set(&["/dev/xvdaa"])).unwrap(),
            "/dev/xvdaa"
        );
        assert_eq!(pick_device(&device_names().collect(), &BTreeSet::new()), None);
    }

    #[test]
    fn the_emptiest_card_is_taken() {
        assert_eq!(pick_card(1, [None]), None);
        assert_eq!(pick_card(2, []), Some(0));
        assert_eq!(pick_card(2, [None, Some(1), Some(0)]), Some(1));
    }

    #[test]
    fn a_description_says_how_far_it_is() {
        use AttachmentState::{Attached, Attaching, Detached, Detaching, Other};
        let (now, late) = (Duration::from_secs(80), Duration::from_secs(100));
        let any = Expected::default();
        let there = Seen::Attached("/dev/xvdaa".into());
        let rows = [
            (vec![at("i-1", Attached)], false, any.clone(), now, there.clone()),
            (vec![at("i-1", Attaching)], false, any.clone(), now, Seen::NotYet),
            (vec![at("i-1", Attaching)], false, any.clone(), late, Seen::Stuck),
            (vec![at("i-1", Detaching)], false, any.clone(), now, Seen::NotYet),
            (vec![at("i-1", Other)], false, any.clone(), now, Seen::NotYet),
            (vec![at("i-1", Detached)], false, any.clone(), now, Seen::Detached),
            (vec![], false, any.clone(), now, Seen::Detached),
            (
                vec![at("i-2", Attached)],
                false,
                any.clone(),
                now,
                Seen::Elsewhere("i-2".into()),
            ),
            (
                vec![at("i-1", Attached), at("i-2", Attached)],
                false,
                any.clone(),
                now,
                Seen::Elsewhere("i-2".into()),
            ),
            (
                vec![at("i-2", Attached), at("i-1", Attached)],
                true,
                any.clone(),
                now,
                there,
            ),
            (vec![at("i-2", Attached)], true, any, now, Seen::Detached),
            (
                vec![at("i-1", Attached)],
                false,
                Expected {
                    device: Some("/dev/xvdab".into()),
                    card: None,
                },
                now,
                Seen::NotYet,
            ),
            (
                vec![at("i-1", Attached)],
                false,
                Expected {
                    device: None,
                    card: Some(0),
                },
                now,
                Seen::NotYet,
            ),
        ];
        for (attachments, multi, expected, now, outcome) in rows {
            let volume = volume(attachments, multi);
            assert_eq!(seen(Some(&volume), "i-1", &expected, now), outcome, "{volume:?}");
        }
        assert_eq!(seen(None, "i-1", &Expected::default(), now), Seen::Gone);
    }

    #[test]
    fn ebs_case_172_what_a_service_attaches_is_not_ours_to_detach() {
        let mut one = at("i-1", AttachmentState::Attaching);
        assert!(is_attaching(Some(&volume(vec![one.clone()], false)), "i-1"));
        assert!(!is_attaching(Some(&volume(vec![one.clone()], false)), "i-2"));
        one.is_of_service = true;
        assert!(!is_attaching(Some(&volume(vec![one], false)), "i-1"));
        assert!(!is_attaching(None, "i-1"));
    }

    #[test]
    fn the_polls_take_about_24_minutes() {
        let total: Duration = pauses().sum();
        assert!((1440..1450).contains(&total.as_secs()), "{total:?}");
    }
}
