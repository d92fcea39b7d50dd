//! What becomes of a CreateVolume: decisions without I/O. Source: spec 1.5, 3.3, Q1, Q2.

use std::time::Duration;

use crate::ec2::types::{Volume, VolumeState};
use crate::topology::Place;

/// The pauses before the polls for a new volume: 1.25 s, then 0.5 s growing by half each time, 11 polls in
/// about 58 s.
pub fn ready_pauses() -> impl Iterator<Item = Duration> {
    let growing = std::iter::successors(Some(Duration::from_millis(500)), |pause| Some(pause.mul_f64(1.5)));
    std::iter::once(Duration::from_millis(1250)).chain(growing.take(10))
}

/// What a poll for a new volume says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Readiness {
    /// It can be used.
    Ready,
    /// Ask again.
    NotYet,
    /// It will never be usable: delete it, give up its token.
    Failed,
}

/// Judges a poll; a volume that is not shown yet may still be hidden by EC2's lag.
#[must_use]
pub fn readiness(state: Option<VolumeState>) -> Readiness {
    match state {
        Some(VolumeState::Available | VolumeState::InUse) => Readiness::Ready,
        Some(VolumeState::Error | VolumeState::Deleting) => Readiness::Failed,
        Some(VolumeState::Creating | VolumeState::Other) | None => Readiness::NotYet,
    }
}

/// What a request asks of a volume, for the judgement whether one that exists already fits.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    /// Least size in GiB.
    pub min_gib: i64,
    /// Greatest size in bytes; 0 means none.
    pub limit_bytes: i64,
    /// Volume type.
    pub volume_type: String,
    /// Whether it must be encrypted; where nothing was asked the account may still have encrypted it.
    pub must_be_encrypted: bool,
    /// Whether several instances must be able to have it at once.
    pub must_be_multi_attach: bool,
    /// Where it must be; what is unset does not matter.
    pub place: Place,
    /// The snapshot it is made from.
    pub snapshot_id: Option<String>,
    /// The volume it is copied from.
    pub source_volume_id: Option<String>,
}

impl Wanted {
    /// Whether this volume is what was asked for.
    #[must_use]
    pub fn is_met_by(&self, volume: &Volume) -> bool {
        let is_same = |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
        self.is_served_by(volume)
            && volume.volume_type.eq_ignore_ascii_case(&self.volume_type)
            && is_same(&self.place.zone, &volume.place.zone)
            && is_same(&self.place.zone_id, &volume.place.zone_id)
            && is_same(&self.place.outpost_arn, &volume.place.outpost_arn)
    }

    /// Whether this volume can serve who asks, though another place or type was asked for when it was made: it is large
    /// enough, holds what it is to be made from and nothing else, and is no less protected.
    #[must_use]
    pub fn is_served_by(&self, volume: &Volume) -> bool {
        volume.size_gib >= self.min_gib
            && (self.limit_bytes == 0 || crate::size::bytes(volume.size_gib) <= self.limit_bytes)
            && (volume.is_encrypted || !self.must_be_encrypted)
            && (volume.is_multi_attach || !self.must_be_multi_attach)
            && self.snapshot_id == volume.snapshot_id
            && self.source_volume_id == volume.source_volume_id
    }
}

/// What to do when EC2 says that the token was used for another request, or that a quota is full.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Existing {
    /// This volume of the name fits the request.
    Adopt(Box<Volume>),
    /// This volume of the name is alive and does not fit.
    Taken(String),
    /// No live volume bears the name; these failed.
    None {
        /// Volumes of the name that will never be usable.
        failed: Vec<String>,
    },
}

/// Judges the volumes that bear the name.
#[must_use]
pub fn existing(found: &[Volume], wanted: &Wanted) -> Existing {
    let (failed, alive): (Vec<&Volume>, Vec<&Volume>) = found
        .iter()
        .partition(|volume| readiness(Some(volume.state)) == Readiness::Failed);
    if let Some(volume) = alive.iter().find(|volume| wanted.is_met_by(volume)) {
        return Existing::Adopt(Box::new((*volume).clone()));
    }
    match alive.first() {
        Some(volume) => Existing::Taken(volume.id.clone()),
        None => Existing::None {
            failed: failed
                .iter()
                .filter(|volume| volume.state == VolumeState::Error)
                .map(|volume| volume.id.clone())
                .collect(),
        },
    }
}

/// Of the volumes that bear a name, the one that a process before had made and that can serve this request; first one that is
/// all that was asked for.
#[must_use]
pub fn serving<'a>(found: &'a [Volume], wanted: &Wanted) -> Option<&'a Volume> {
    let usable =
        |volume: &&Volume| readiness(Some(volume.state)) != Readiness::Failed && wanted.is_served_by(volume);
    let serving = found.iter().filter(usable);
    serving.min_by_key(|volume| (!wanted.is_met_by(volume), &volume.id))
}

/// What a copy is told of its encryption: whether it is asked for, and by which key. Told nothing, EC2 takes the key of an
/// encrypted source; told to encrypt without a key, it takes the account's default key instead.
#[must_use]
pub fn copy_encryption<'a>(source: &Volume, is_asked: bool, key: Option<&'a str>) -> (bool, Option<&'a str>) {
    let key = key.filter(|key| source.kms_key_id.as_deref() != Some(*key));
    (is_asked && (key.is_some() || !source.is_encrypted), key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn volume(id: &str, size_gib: i64, state: VolumeState) -> Volume {
        Volume {
            id: id.into(),
            state,
            size_gib,
            volume_type: "gp3".into(),
            place: Place {
                zone: Some("a".into()),
                ..Place::default()
            },
            is_encrypted: false,
            kms_key_id: None,
            iops: None,
            throughput: None,
            snapshot_id: None,
            source_volume_id: None,
            made_at: None,
            attachments: Vec::new(),
            is_multi_attach: false,
            tags: BTreeMap::new(),
        }
    }

    fn wanted(min_gib: i64) -> Wanted {
        Wanted {
            min_gib,
            volume_type: "gp3".into(),
            ..Wanted::default()
        }
    }

    #[test]
    fn the_polls_take_about_58_seconds() {
        assert_eq!(ready_pauses().count(), 11);
        let total: Duration = ready_pauses().sum();
        assert_eq!(total.as_secs(), 57);
    }

    #[test]
    fn ebs_case_35_a_live_volume_that_does_not_fit_takes_the_name() {
        let small = volume("vol-1", 1, VolumeState::Available);
        assert_eq!(
            existing(std::slice::from_ref(&small), &wanted(2)),
            Existing::Taken("vol-1".into())
        );
        assert_eq!(
            existing(std::slice::from_ref(&small), &wanted(1)),
            Existing::Adopt(Box::new(small))
        );
    }

    #[test]
    fn failed_volumes_do_not_take_the_name() {
        let found = [
            volume("vol-1", 1, VolumeState::Error),
            volume("vol-2", 1, VolumeState::Deleting),
        ];
        assert_eq!(
            existing(&found, &wanted(1)),
            Existing::None {
                failed: vec!["vol-1".into()]
            }
        );
        assert_eq!(existing(&[], &wanted(1)), Existing::None { failed: vec![] });
    }

    #[test]
    fn sidecars_case_160_161_what_was_made_otherwise_serves_where_nothing_is_lost() {
        let wanted = Wanted {
            place: Place {
                zone: Some("b".into()),
                ..Place::default()
            },
            volume_type: "io2".into(),
            ..wanted(4)
        };
        let made = |id: &str, change: fn(&mut Volume)| {
            let mut volume = volume(id, 4, VolumeState::Available);
            change(&mut volume);
            volume
        };
        let elsewhere = made("vol-2", |_| {});
        let serves =
            |wanted: &Wanted, volume: &Volume| serving(std::slice::from_ref(volume), wanted).is_some();
        assert!(serves(&wanted, &elsewhere));
        let changes: [fn(&mut Volume); 5] = [
            |volume| volume.size_gib = 3,
            |volume| volume.snapshot_id = Some("snap-1".into()),
            |volume| volume.source_volume_id = Some("vol-9".into()),
            |volume| volume.state = VolumeState::Error,
            |volume| volume.state = VolumeState::Deleting,
        ];
        for change in changes {
            let volume = made("vol-1", change);
            assert!(!serves(&wanted, &volume), "{volume:?}");
        }
        let protected = Wanted {
            must_be_encrypted: true,
            ..wanted.clone()
        };
        let shared = Wanted {
            must_be_multi_attach: true,
            ..wanted.clone()
        };
        assert!(!serves(&protected, &elsewhere) && !serves(&shared, &elsewhere));
        assert!(serves(
            &protected,
            &made("vol-1", |volume| volume.is_encrypted = true)
        ));
        // One that is all that was asked for comes first, else the first of those that serve.
        let whole = made("vol-3", |volume| {
            volume.place.zone = Some("b".into());
            volume.volume_type = "io2".into();
        });
        let found = [whole.clone(), elsewhere.clone(), made("vol-1", |_| {})];
        assert_eq!(serving(&found, &wanted), Some(&whole));
        assert_eq!(serving(&found[1..], &wanted).unwrap().id, "vol-1");
    }

    #[test]
    fn what_was_asked_must_fit() {
        let volume = volume("vol-1", 5, VolumeState::Available);
        let rows = [
            (
                Wanted {
                    limit_bytes: 5 << 30,
                    ..wanted(1)
                },
                true,
            ),
            (
                Wanted {
                    limit_bytes: 4 << 30,
                    ..wanted(1)
                },
                false,
            ),
            (
                Wanted {
                    volume_type: "io2".into(),
                    ..wanted(1)
                },
                false,
            ),
            (
                Wanted {
                    must_be_encrypted: true,
                    ..wanted(1)
                },
                false,
            ),
            (
                Wanted {
                    snapshot_id: Some("snap-1".into()),
                    ..wanted(1)
                },
                false,
            ),
            (
                Wanted {
                    place: Place {
                        zone: Some("b".into()),
                        ..Place::default()
                    },
                    ..wanted(1)
                },
                false,
            ),
        ];
        for (wanted, fits) in rows {
            assert_eq!(wanted.is_met_by(&volume), fits, "{wanted:?}");
        }
    }
}
