//! What a CreateSnapshot asks for, checked without asking EC2.

use std::collections::BTreeMap;

use csi::v1::CreateSnapshotRequest;
use tonic::Status;

use crate::driver::Core;
use crate::names::NODE_LOCAL_PREFIX;
use crate::parameters::SnapshotParameters;
use crate::rpc::{required, status};
use crate::tags;

/// Parameters and tags.
type Wanted = (SnapshotParameters, BTreeMap<String, String>);

pub(super) struct Ask {
    pub(super) name: String,
    pub(super) source_volume_id: String,
    pub(super) parameters: SnapshotParameters,
    pub(super) tags: BTreeMap<String, String>,
    /// Why no snapshot is taken as the class asks. One that was taken before the class was changed is answered all the same.
    pub(super) refusal: Option<Status>,
}

impl Ask {
    pub(super) fn parse(core: &Core, request: &CreateSnapshotRequest) -> Result<Self, Status> {
        let name = required(&request.name, "name")?.to_owned();
        let source_volume_id = required(&request.source_volume_id, "source_volume_id")?.to_owned();
        if source_volume_id.starts_with(NODE_LOCAL_PREFIX) {
            return Err(Status::invalid_argument("a node-local volume has no snapshots"));
        }
        let ((parameters, tags), refusal) = match wanted(core, &name, &request.parameters) {
            Ok(wanted) => (wanted, None),
            Err(refusal) => (Wanted::default(), Some(refusal)),
        };
        Ok(Self {
            name,
            source_volume_id,
            parameters,
            tags,
            refusal,
        })
    }
}

fn wanted(core: &Core, name: &str, parameters: &BTreeMap<String, String>) -> Result<Wanted, Status> {
    let parameters = SnapshotParameters::parse(parameters).map_err(status::bad)?;
    let tags = tags::of_snapshot(&core.config.tags, name, &parameters).map_err(status::bad)?;
    for dropped in &tags.dropped {
        tracing::warn!(snapshot = name, "tag dropped: {dropped}");
    }
    Ok((parameters, tags.tags))
}
