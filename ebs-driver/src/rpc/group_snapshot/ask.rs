//! What a CreateVolumeGroupSnapshot asks for, checked without asking EC2.

use std::collections::{BTreeMap, BTreeSet};

use csi::v1::CreateVolumeGroupSnapshotRequest;
use tonic::Status;

use crate::driver::Core;
use crate::group;
use crate::names::NODE_LOCAL_PREFIX;
use crate::parameters::SnapshotParameters;
use crate::rpc::{required, status};
use crate::tags;

/// EC2 allows so many characters in the value of a tag, which is what the name becomes.
const LONGEST_NAME: usize = 256;

pub(super) struct Ask {
    pub(super) name: String,
    pub(super) sources: Vec<String>,
    pub(super) parameters: SnapshotParameters,
    /// Why no group is taken as the class asks. One that was taken before the class was changed is answered all the same.
    pub(super) refusal: Option<Status>,
}

impl Ask {
    pub(super) fn parse(core: &Core, request: &CreateVolumeGroupSnapshotRequest) -> Result<Self, Status> {
        let name = required(&request.name, "name")?.to_owned();
        if name.chars().count() > LONGEST_NAME {
            return Err(Status::invalid_argument(format!(
                "the name has more than {LONGEST_NAME} characters"
            )));
        }
        let sources = request.source_volume_ids.clone();
        if sources.is_empty() {
            return Err(Status::invalid_argument("source_volume_ids is missing"));
        }
        let mut seen = BTreeSet::new();
        for source in &sources {
            required(source, "an entry of source_volume_ids")?;
            if source.starts_with(NODE_LOCAL_PREFIX) {
                return Err(Status::invalid_argument("a node-local volume has no snapshots"));
            }
            if !seen.insert(source) {
                return Err(Status::invalid_argument(format!(
                    "source_volume_ids names {source} twice"
                )));
            }
        }
        let (parameters, refusal) = match wanted(core, &name, &request.parameters) {
            Ok(parameters) => (parameters, None),
            Err(refusal) => (SnapshotParameters::default(), Some(refusal)),
        };
        Ok(Self {
            name,
            sources,
            parameters,
            refusal,
        })
    }

    /// The tags of each snapshot of one CreateSnapshots, sent now.
    pub(super) fn tags(&self, core: &Core) -> Result<BTreeMap<String, String>, Status> {
        let attempt = group::attempt(core.clock.now(), &self.sources);
        let tags = tags::of_group(&core.config.tags, &self.name, &attempt, &self.parameters);
        Ok(tags.map_err(status::bad)?.tags)
    }
}

/// What is wrong with parameters and tags is known before anything is asked for.
fn wanted(
    core: &Core,
    name: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<SnapshotParameters, Status> {
    let parameters = SnapshotParameters::parse(parameters).map_err(status::bad)?;
    let tags = tags::of_group(&core.config.tags, name, "", &parameters).map_err(status::bad)?;
    for dropped in &tags.dropped {
        tracing::warn!(group = name, "tag dropped: {dropped}");
    }
    Ok(parameters)
}
