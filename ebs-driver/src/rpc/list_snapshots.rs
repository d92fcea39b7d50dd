//! ListSnapshots. Source: spec 1.6, 1.8, Q3, Q11.

use csi::v1::list_snapshots_response::Entry;
use csi::v1::{ListSnapshotsRequest, ListSnapshotsResponse, Snapshot as CsiSnapshot};
use tonic::Status;

use super::Call;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::ec2::types::{Snapshot, SnapshotList, SnapshotState};
use crate::names::TAG_GROUP_NAME;
use crate::size;

/// EC2 allows at most so many results in a page.
const MAX_RESULTS: i32 = 1000;

pub(super) async fn call(
    core: &Core,
    request: &ListSnapshotsRequest,
    call: Call,
) -> Result<ListSnapshotsResponse, Status> {
    let max_results = max_results(request.max_entries)?;
    if !request.snapshot_id.is_empty() {
        return by_id(core, request, call).await;
    }
    let list = SnapshotList {
        volume_id: Some(request.source_volume_id.clone()).filter(|id| !id.is_empty()),
        max_results,
        next_token: Some(request.starting_token.clone()).filter(|token| !token.is_empty()),
    };
    let page = core
        .ec2
        .list_snapshots(&list, call.deadline)
        .await
        .map_err(|error| {
            let purpose = if list.next_token.is_some() {
                Purpose::ListPage
            } else {
                Purpose::ListSnapshots
            };
            purpose.status(&error)
        })?;
    Ok(ListSnapshotsResponse {
        entries: page.snapshots.iter().map(entry).collect(),
        next_token: page.next_token.unwrap_or_default(),
    })
}

fn max_results(max_entries: i32) -> Result<Option<i32>, Status> {
    match max_entries {
        0 => Ok(None),
        ..5 => Err(Status::invalid_argument(format!(
            "max_entries is {max_entries}; EC2 allows 5 to {MAX_RESULTS}, and 0 means no limit"
        ))),
        _ => Ok(Some(max_entries.min(MAX_RESULTS))),
    }
}

async fn by_id(
    core: &Core,
    request: &ListSnapshotsRequest,
    call: Call,
) -> Result<ListSnapshotsResponse, Status> {
    let found = core
        .lookups
        .snapshots
        .get(&request.snapshot_id, call.deadline)
        .await
        .map_err(|error| Purpose::ListSnapshots.status(&error))?;
    let source = &request.source_volume_id;
    let found = found.filter(|snapshot| source.is_empty() || snapshot.volume_id == *source);
    Ok(ListSnapshotsResponse {
        entries: found.iter().map(entry).collect(),
        next_token: String::new(),
    })
}

fn entry(snapshot: &Snapshot) -> Entry {
    Entry {
        snapshot: Some(message(snapshot)),
    }
}

/// A snapshot as CSI describes it.
pub(super) fn message(snapshot: &Snapshot) -> CsiSnapshot {
    CsiSnapshot {
        snapshot_id: snapshot.id.clone(),
        source_volume_id: snapshot.volume_id.clone(),
        size_bytes: size::bytes(snapshot.size_gib),
        creation_time: snapshot.started.map(|started| prost_types::Timestamp {
            seconds: started.as_second(),
            nanos: started.subsec_nanosecond(),
        }),
        ready_to_use: snapshot.state == SnapshotState::Completed,
        group_snapshot_id: snapshot.tags.get(TAG_GROUP_NAME).cloned().unwrap_or_default(),
        ..CsiSnapshot::default()
    }
}
