//! What exists, for assertions and for showing it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::model::snapshot::Snapshot;
use super::model::volume::Volume;
use super::state::State;

/// All volumes and snapshots at one moment, by ID, whether the Describe actions see them or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ec2State {
    /// Volumes.
    pub volumes: BTreeMap<String, VolumeView>,
    /// Snapshots of all accounts.
    pub snapshots: BTreeMap<String, SnapshotView>,
}

/// A volume at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeView {
    /// ID.
    pub id: String,
    /// Size in GiB.
    pub size_gib: u32,
    /// Type, as `gp3`.
    pub volume_type: String,
    /// IOPS, where the type has them.
    pub iops: Option<u32>,
    /// Throughput in MiB/s, where the type has it.
    pub throughput: Option<u32>,
    /// Name of the zone.
    pub zone: String,
    /// `creating`, `available`, `in-use`, `deleting` or `error`.
    pub status: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The key it is encrypted with.
    pub kms_key_id: Option<String>,
    /// The snapshot it was made of.
    pub snapshot_id: Option<String>,
    /// The volume it was copied from.
    pub source_volume_id: Option<String>,
    /// Whether several instances may attach it.
    pub multi_attach: bool,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// State of each attachment, by instance ID.
    pub attachments: BTreeMap<String, String>,
    /// State of the latest modification.
    pub modification: Option<String>,
    /// How far it is, in percent of all of it, optimizing included.
    pub modification_progress: Option<u32>,
}

/// A snapshot at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotView {
    /// ID.
    pub id: String,
    /// The volume it is of.
    pub volume_id: String,
    /// Size of the volume in GiB.
    pub size_gib: u32,
    /// Account it belongs to.
    pub owner_id: String,
    /// Description.
    pub description: String,
    /// `pending`, `completed` or `error`.
    pub status: String,
    /// Percent copied.
    pub progress: u32,
    /// When it was begun.
    pub started_at: Timestamp,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// State of its lock.
    pub lock: Option<String>,
    /// State of each fast restore, by zone.
    pub fast_restores: BTreeMap<String, String>,
}

impl Ec2State {
    /// Reads the (settled) state.
    pub(super) fn of(state: &State, now: Timestamp) -> Self {
        let volumes = state.volumes.iter();
        let snapshots = state.snapshots.iter();
        Self {
            volumes: volumes
                .map(|(id, volume)| (id.clone(), of_volume(volume, now)))
                .collect(),
            snapshots: snapshots
                .map(|(id, snapshot)| (id.clone(), of_snapshot(snapshot, now)))
                .collect(),
        }
    }

    /// The snapshots with this tag, in the order of their IDs.
    pub fn snapshots_tagged<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
    ) -> impl Iterator<Item = &'a SnapshotView> {
        self.snapshots
            .values()
            .filter(move |snapshot| snapshot.tags.get(key).is_some_and(|found| found == value))
    }

    /// The volumes with this tag, in the order of their IDs.
    pub fn volumes_tagged<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
    ) -> impl Iterator<Item = &'a VolumeView> {
        self.volumes
            .values()
            .filter(move |volume| volume.tags.get(key).is_some_and(|found| found == value))
    }
}

fn of_volume(volume: &Volume, now: Timestamp) -> VolumeView {
    let attachments = volume.attachments.iter();
    VolumeView {
        id: volume.id.clone(),
        size_gib: volume.shape.size_gib,
        volume_type: volume.shape.limits.name.to_owned(),
        iops: volume.shape.iops,
        throughput: volume.shape.throughput,
        zone: volume.zone.name.clone(),
        status: volume.status(now).to_owned(),
        encrypted: volume.encrypted,
        kms_key_id: volume.kms_key_id.clone(),
        snapshot_id: volume.snapshot_id.clone(),
        source_volume_id: volume.source_volume_id.clone(),
        multi_attach: volume.multi_attach,
        tags: volume.tags.all(),
        attachments: attachments
            .map(|one| (one.instance_id.clone(), one.status(now).to_owned()))
            .collect(),
        modification: volume
            .modification
            .as_ref()
            .map(|modification| modification.state(now).to_owned()),
        modification_progress: volume
            .modification
            .as_ref()
            .map(|modification| modification.progress(now)),
    }
}

fn of_snapshot(snapshot: &Snapshot, now: Timestamp) -> SnapshotView {
    let restores = snapshot.fast_restores.iter();
    SnapshotView {
        id: snapshot.id.clone(),
        volume_id: snapshot.volume_id.clone(),
        size_gib: snapshot.size_gib,
        owner_id: snapshot.owner_id.clone(),
        description: snapshot.description.clone(),
        status: snapshot.status(now).to_owned(),
        progress: snapshot.percent(now),
        started_at: snapshot.started_at,
        encrypted: snapshot.encrypted,
        tags: snapshot.tags.all(),
        lock: snapshot.lock.as_ref().map(|lock| lock.state(now).to_owned()),
        fast_restores: restores
            .map(|(zone, restore)| (zone.clone(), restore.state(now).to_owned()))
            .collect(),
    }
}
