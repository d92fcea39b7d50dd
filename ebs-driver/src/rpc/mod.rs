//! The CSI calls, one file each: parse, call, map. Source: spec 1.1-1.8.

mod by_name;
pub(crate) mod capability;
mod controller_capabilities;
mod create_snapshot;
pub(crate) mod create_volume;
mod delete_snapshot;
mod delete_volume;
pub(crate) mod expand_volume;
mod group_snapshot;
pub(crate) mod identity;
mod initialization;
mod list_snapshots;
mod modify_volume;
mod node_local;
mod publish_volume;
mod services;
mod snapshot_class;
mod status;
mod unpublish_volume;
mod validate_capabilities;

use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::deadline::Deadline;
use crate::quotas::Patience;

pub(crate) use services::{
    Answer, ControllerService, GroupControllerService, IdentityService, ModifyService, answer, unimplemented,
};

/// What a caller says beside the message.
#[derive(Clone, Copy, Debug)]
struct Call {
    deadline: Deadline,
    is_single_change: bool,
    patience: Patience,
}

/// The message of a request, and what stands beside it.
fn opened<T>(request: Request<T>) -> (T, Call) {
    let metadata = request.metadata();
    let call = Call {
        deadline: Deadline::from_grpc_timeout(text(metadata, "grpc-timeout")),
        is_single_change: csi::hints::is_single_change(metadata),
        patience: if csi::hints::comes_back(metadata) {
            Patience::ComesBack
        } else {
            Patience::Waits
        },
    };
    (request.into_inner(), call)
}

fn text<'a>(metadata: &'a MetadataMap, key: &str) -> Option<&'a str> {
    metadata.get(key)?.to_str().ok()
}

/// Refuses an empty field.
pub(crate) fn required<'a>(value: &'a str, field: &str) -> Result<&'a str, Status> {
    if value.is_empty() {
        return Err(Status::invalid_argument(format!("{field} is missing")));
    }
    Ok(value)
}
