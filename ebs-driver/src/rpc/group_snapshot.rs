//! The group controller service: snapshots of several volumes of one instance at one moment. The ID of a group is its
//! name, which each of its snapshots bears as a tag, so that it is found by any process. Source: CSI 1.13, decision 80.

mod ask;
mod create;
mod delete;
mod find;
mod get;

use csi::v1::group_controller_service_capability::rpc::Type as Rpc;
use csi::v1::group_controller_service_capability::{Rpc as RpcMessage, Type};
use csi::v1::{
    GroupControllerGetCapabilitiesResponse, GroupControllerServiceCapability, Snapshot as CsiSnapshot,
    VolumeGroupSnapshot,
};

use super::list_snapshots;
use crate::ec2::types::{Snapshot, SnapshotState};

pub(super) use create::call as create;
pub(super) use delete::call as delete;
pub(super) use get::call as get;

pub(super) fn capabilities() -> GroupControllerGetCapabilitiesResponse {
    let all = Rpc::CreateDeleteGetVolumeGroupSnapshot;
    GroupControllerGetCapabilitiesResponse {
        capabilities: vec![GroupControllerServiceCapability {
            r#type: Some(Type::Rpc(RpcMessage { r#type: all.into() })),
        }],
    }
}

/// A group as CSI describes it: as old as its first snapshot, and ready when all of them are.
fn message(name: &str, snapshots: &[Snapshot]) -> VolumeGroupSnapshot {
    let member = |snapshot: &Snapshot| CsiSnapshot {
        group_snapshot_id: name.to_owned(),
        ..list_snapshots::message(snapshot)
    };
    let first = snapshots.iter().min_by_key(|snapshot| snapshot.started);
    VolumeGroupSnapshot {
        group_snapshot_id: name.to_owned(),
        snapshots: snapshots.iter().map(member).collect(),
        creation_time: first.and_then(|first| list_snapshots::message(first).creation_time),
        ready_to_use: snapshots
            .iter()
            .all(|snapshot| snapshot.state == SnapshotState::Completed),
    }
}
