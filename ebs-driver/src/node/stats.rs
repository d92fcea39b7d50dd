//! NodeGetVolumeStats. Source: spec 4.1; case 87.

use std::path::Path;

use ::node::{PathKind, Usage};
use csi::v1::volume_usage::Unit;
use csi::v1::{NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse, VolumeUsage};
use tonic::Status;

use super::{Core, status};
use crate::rpc::required;

pub(super) async fn stats(
    core: &Core,
    request: &NodeGetVolumeStatsRequest,
) -> Result<NodeGetVolumeStatsResponse, Status> {
    required(&request.volume_id, "volume_id")?;
    let path = Path::new(required(&request.volume_path, "volume_path")?);
    let host = core.host.as_ref();
    let kind = host.kind(path).await.map_err(|error| status::of(&error))?;
    let missing = || Status::not_found(format!("nothing is at {}", path.display()));
    let usage = match kind {
        None => return Err(missing()),
        Some(PathKind::Corrupted) => {
            return Err(Status::internal(format!(
                "the file system at {} does not answer",
                path.display()
            )));
        }
        Some(PathKind::BlockDevice) => {
            let device = host
                .block_device(path)
                .await
                .map_err(|error| status::of(&error))?;
            let total = device.ok_or_else(missing)?.size;
            let only = Usage {
                total,
                ..Usage::default()
            };
            vec![entry(Unit::Bytes, only)]
        }
        Some(PathKind::Directory | PathKind::File | PathKind::Other) => {
            let statistics = host.statistics(path).await.map_err(|error| status::of(&error))?;
            let inodes = statistics.inodes.map(|inodes| entry(Unit::Inodes, inodes));
            [entry(Unit::Bytes, statistics.bytes)]
                .into_iter()
                .chain(inodes)
                .collect()
        }
    };
    Ok(NodeGetVolumeStatsResponse { usage })
}

fn entry(unit: Unit, usage: Usage) -> VolumeUsage {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    VolumeUsage {
        unit: unit.into(),
        total: number(usage.total),
        used: number(usage.used),
        available: number(usage.available),
    }
}
