//! CreateSnapshot, DeleteSnapshot, ListSnapshots, GetSnapshot.

use csi::v1::list_snapshots_response::Entry;
use csi::v1::{
    CreateSnapshotRequest, CreateSnapshotResponse, DeleteSnapshotRequest, GetSnapshotRequest,
    GetSnapshotResponse, ListSnapshotsRequest, ListSnapshotsResponse, Snapshot as SnapshotMessage,
};
use jiff::{SignedDuration, Timestamp};
use tonic::Status;

use super::{number, volume_in};
use crate::capability::Capability;
use crate::driver::{Core, Failure};
use crate::folder::{Folder, Id, Kind, NewData, Snapshot, SnapshotRecord, Volume};
use crate::plan::page::page;
use crate::plan::volume::check_room;
use crate::plan::{Refusal, parameters, required, snapshot, topology};

impl Core {
    /// Whether what was taken then is ready now.
    pub(super) fn is_ready(&self, created: Timestamp) -> bool {
        let after = SignedDuration::try_from(self.config.ready_after).unwrap_or(SignedDuration::MAX);
        let ready = created.checked_add(after).unwrap_or(Timestamp::MAX);
        self.clock.now() >= ready
    }

    /// A snapshot as CSI describes it.
    pub(super) fn snapshot(&self, snapshot: &Snapshot) -> SnapshotMessage {
        let place = self
            .has(Capability::SnapshotAccessibilityConstraints)
            .then(|| self.here.clone());
        SnapshotMessage {
            size_bytes: number(snapshot.bytes),
            snapshot_id: snapshot.id.to_string(),
            source_volume_id: snapshot.record.source_volume.to_string(),
            creation_time: Some(moment(snapshot.record.created)),
            ready_to_use: self.is_ready(snapshot.record.created),
            group_snapshot_id: snapshot.group.as_ref().map(Id::to_string).unwrap_or_default(),
            accessible_topology: place.into_iter().collect(),
        }
    }
}

/// A time as CSI has it.
pub(super) fn moment(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// What a snapshot of this volume is made of, where there is room for it.
pub(super) fn data_of(volume: &Volume, free: u64) -> Result<NewData<'_>, Refusal> {
    let bytes = volume.bytes;
    let bytes = bytes.ok_or_else(|| Refusal::Precondition(format!("the data of {} are gone", volume.id)))?;
    check_room(bytes, free)?;
    Ok(NewData {
        bytes,
        from: Some(&volume.data),
        is_allocated: false,
    })
}

pub(super) async fn create(
    core: &Core,
    request: CreateSnapshotRequest,
) -> Result<CreateSnapshotResponse, Status> {
    core.need(Capability::CreateDeleteSnapshot)?;
    required(&request.name, "name")?;
    required(&request.source_volume_id, "source_volume_id")?;
    parameters::check(&request.parameters)?;
    topology::check(&core.here, request.accessibility_requirements.as_ref())?;
    let (capacity, now) = (core.config.capacity_bytes, core.clock.now());
    let taken = core
        .in_folder(move |folder| take(folder, request, capacity, now))
        .await?;
    Ok(CreateSnapshotResponse {
        snapshot: Some(core.snapshot(&taken)),
    })
}

fn take(
    folder: &Folder,
    request: CreateSnapshotRequest,
    capacity: u64,
    now: Timestamp,
) -> Result<Snapshot, Failure> {
    let id = Id::named(Kind::Snapshot, &request.name);
    let source = Id::parse(Kind::Volume, &request.source_volume_id);
    let source = source.ok_or_else(|| Refusal::not_found("volume", &request.source_volume_id))?;
    let existing = folder.snapshot(&id)?;
    // One that is there outlives its volume.
    if !snapshot::is_taken(existing.as_ref(), &request.name, &source)? {
        let volume = volume_in(folder, source.as_str(), "source_volume_id")?;
        let data = data_of(&volume, capacity.saturating_sub(folder.used_bytes()?))?;
        let record = SnapshotRecord {
            name: request.name,
            source_volume: source,
            created: now,
        };
        folder.create_snapshot(&id, &record, data)?;
    }
    find(folder, id.as_str())
}

fn find(folder: &Folder, text: &str) -> Result<Snapshot, Failure> {
    let id = Id::parse(Kind::Snapshot, required(text, "snapshot_id")?);
    let found = match id {
        Some(id) => folder.snapshot(&id)?,
        None => None,
    };
    Ok(found.ok_or_else(|| Refusal::not_found("snapshot", text))?)
}

pub(super) async fn delete(core: &Core, request: DeleteSnapshotRequest) -> Result<(), Status> {
    core.need(Capability::CreateDeleteSnapshot)?;
    required(&request.snapshot_id, "snapshot_id")?;
    core.in_folder(move |folder| {
        let Some(id) = Id::parse(Kind::Snapshot, &request.snapshot_id) else {
            return Ok(());
        };
        if let Some(found) = folder.snapshot(&id)? {
            snapshot::delete(&found)?;
            folder.delete_snapshot(&id)?;
        }
        Ok(())
    })
    .await
}

pub(super) async fn list(
    core: &Core,
    request: ListSnapshotsRequest,
) -> Result<ListSnapshotsResponse, Status> {
    core.need(Capability::ListSnapshots)?;
    let (id, volume) = (request.snapshot_id, request.source_volume_id);
    let mut all = core.in_folder(|folder| Ok(folder.snapshots()?)).await?;
    all.retain(|snapshot| {
        (id.is_empty() || snapshot.id.as_str() == id)
            && (volume.is_empty() || snapshot.record.source_volume.as_str() == volume)
    });
    let (token, most) = (&request.starting_token, request.max_entries);
    let (page, next_token) = page(all, |snapshot| &snapshot.id, Kind::Snapshot, token, most)?;
    let entry = |snapshot: &Snapshot| Entry {
        snapshot: Some(core.snapshot(snapshot)),
    };
    Ok(ListSnapshotsResponse {
        entries: page.iter().map(entry).collect(),
        next_token,
    })
}

pub(super) async fn get(core: &Core, request: GetSnapshotRequest) -> Result<GetSnapshotResponse, Status> {
    core.need(Capability::GetSnapshot)?;
    let found = core
        .in_folder(move |folder| find(folder, &request.snapshot_id))
        .await?;
    Ok(GetSnapshotResponse {
        snapshot: Some(core.snapshot(&found)),
    })
}
