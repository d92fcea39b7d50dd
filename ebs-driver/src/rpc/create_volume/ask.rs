//! What a CreateVolume asks for, checked without asking EC2.

use std::collections::BTreeMap;

use csi::v1::volume_content_source::Type;
use csi::v1::{CreateVolumeRequest, Topology};
use tonic::Status;

use crate::driver::Core;
use crate::parameters::format::Target;
use crate::parameters::{MutableParameters, VolumeParameters};
use crate::rpc::{capability, required, status};
use crate::size;
use crate::tags;
use crate::topology::Requirement;

const DEFAULT_TYPE: &str = "gp3";

/// What is checked before the in-flight key is taken.
pub(super) struct Basics {
    pub(super) name: String,
    pub(super) size_gib: i64,
    pub(super) limit_bytes: i64,
}

/// Where the content comes from.
pub(super) enum Source {
    Nothing,
    Snapshot(String),
    Volume(String),
}

/// The whole request.
pub(super) struct Ask {
    pub(super) name: String,
    pub(super) size_gib: i64,
    pub(super) limit_bytes: i64,
    pub(super) is_multi_attach: bool,
    pub(super) volume_type: String,
    pub(super) parameters: VolumeParameters,
    /// Before they are fitted to the type.
    pub(super) requested_iops: Option<i64>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) source: Source,
    pub(super) requirement: Requirement,
}

impl Basics {
    pub(super) fn parse(request: &CreateVolumeRequest) -> Result<Self, Status> {
        let name = required(&request.name, "name")?.to_owned();
        if request.volume_capabilities.is_empty() {
            return Err(Status::invalid_argument("volume_capabilities is empty"));
        }
        if !request.volume_capabilities.iter().all(capability::is_supported) {
            return Err(Status::invalid_argument(
                "the access mode is not supported: EBS has SINGLE_NODE_WRITER, and MULTI_NODE_MULTI_WRITER for block volumes",
            ));
        }
        let (size_gib, limit_bytes) = match &request.capacity_range {
            None => (size::DEFAULT_GIB, 0),
            Some(range) => {
                let gib = size::required_gib(range.required_bytes, range.limit_bytes).map_err(status::bad)?;
                (gib, range.limit_bytes)
            }
        };
        Ok(Self {
            name,
            size_gib,
            limit_bytes,
        })
    }
}

impl Ask {
    pub(super) fn parse(core: &Core, basics: Basics, request: &CreateVolumeRequest) -> Result<Self, Status> {
        let mutable = MutableParameters::parse(&request.mutable_parameters).map_err(status::bad)?;
        let parameters = VolumeParameters::parse(&request.parameters)
            .map_err(status::bad)?
            .overridden_by(mutable);
        let tags = tags::of_volume(&core.config.tags, &basics.name, &parameters).map_err(status::bad)?;
        for dropped in &tags.dropped {
            tracing::warn!(volume = basics.name, "tag dropped: {dropped}");
        }
        for capability in &request.volume_capabilities {
            let target = if capability::is_block(capability) {
                Target::Block
            } else {
                Target::FileSystem(capability::fs_type(capability))
            };
            parameters.format.check(target).map_err(status::bad)?;
        }
        let source = source(request, &parameters)?;
        let volume_type = parameters
            .volume_type
            .clone()
            .unwrap_or_else(|| DEFAULT_TYPE.to_owned());
        let is_multi_attach = request
            .volume_capabilities
            .iter()
            .any(capability::is_multi_attach);
        if is_multi_attach && !volume_type.eq_ignore_ascii_case("io2") {
            return Err(Status::invalid_argument(format!(
                "MULTI_NODE_MULTI_WRITER needs the volume type io2, not {volume_type}"
            )));
        }
        Ok(Self {
            requested_iops: parameters.requested_iops(basics.size_gib).map_err(status::bad)?,
            name: basics.name,
            size_gib: basics.size_gib,
            limit_bytes: basics.limit_bytes,
            is_multi_attach,
            volume_type,
            parameters,
            tags: tags.tags,
            source,
            requirement: requirement(request),
        })
    }

    /// Sent when it is above 0.
    pub(super) fn throughput(&self) -> Option<i32> {
        self.parameters.throughput.filter(|throughput| *throughput > 0)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.parameters.encrypted == Some(true) || self.parameters.kms_key_id.is_some()
    }
}

fn source(request: &CreateVolumeRequest, parameters: &VolumeParameters) -> Result<Source, Status> {
    let Some(source) = &request.volume_content_source else {
        return Ok(Source::Nothing);
    };
    match &source.r#type {
        Some(Type::Snapshot(snapshot)) => {
            let id = required(
                &snapshot.snapshot_id,
                "volume_content_source.snapshot.snapshot_id",
            )?;
            Ok(Source::Snapshot(id.to_owned()))
        }
        Some(Type::Volume(volume)) => {
            let id = required(&volume.volume_id, "volume_content_source.volume.volume_id")?;
            if parameters.encrypted == Some(false) {
                return Err(Status::invalid_argument(
                    "a copy of a volume is encrypted as its source is; encrypted=false cannot be met",
                ));
            }
            Ok(Source::Volume(id.to_owned()))
        }
        None => Err(Status::invalid_argument(
            "volume_content_source names neither a snapshot nor a volume",
        )),
    }
}

fn requirement(request: &CreateVolumeRequest) -> Requirement {
    let Some(requirement) = &request.accessibility_requirements else {
        return Requirement::default();
    };
    let segments = |entries: &[Topology]| entries.iter().map(|entry| entry.segments.clone()).collect();
    Requirement {
        preferred: segments(&requirement.preferred),
        requisite: segments(&requirement.requisite),
    }
}
