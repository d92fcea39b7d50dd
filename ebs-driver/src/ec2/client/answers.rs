//! The bodies of EC2's answers as it names their parts, and what the driver makes of them. An answer that lacks what the
//! driver cannot do without does not read. Source: EC2 API reference, the response elements of each action.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::super::types::{
    Attachment, AttachmentState, Initialization, Instance, InstanceType, Mapping, Modification,
    ModificationState, Snapshot, SnapshotState, Volume, VolumeState,
};
use crate::hyperpod::instance_of_resource;
use crate::topology::Place;

/// A list: elements `item` in an element of its own, which may be left out.
#[derive(Debug, Deserialize)]
pub(super) struct Items<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

impl<T> Items<T> {
    pub(super) fn into<U: From<T>>(self) -> Vec<U> {
        self.item.into_iter().map(U::from).collect()
    }

    pub(super) fn into_vec(self) -> Vec<T> {
        self.item
    }
}

/// An empty element says as little as none.
fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A time that cannot be read is left out: none of ours decides anything alone.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// For actions whose answer says nothing further.
#[derive(Debug, Deserialize)]
pub(super) struct Done {}

/// An error instead of an answer. EC2 lists one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Refusal {
    errors: Errors,
    #[serde(rename = "RequestID", default)]
    request_id: String,
}

impl Refusal {
    /// The errors, and the ID by which AWS finds the request.
    pub(super) fn into_parts(self) -> (Vec<Cause>, String) {
        (self.errors.error, self.request_id)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Errors {
    error: Vec<Cause>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cause {
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Debug, Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

fn tags(set: Items<Tag>) -> BTreeMap<String, String> {
    set.item.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

/// DescribeVolumes, CopyVolumes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volumes {
    #[serde(default)]
    pub(super) volume_set: Items<VolumeElement>,
    pub(super) next_token: Option<String>,
}

/// A volume, also as the answer of CreateVolume.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeElement {
    volume_id: String,
    size: i64,
    #[serde(default)]
    status: String,
    #[serde(default)]
    volume_type: String,
    availability_zone: Option<String>,
    availability_zone_id: Option<String>,
    outpost_arn: Option<String>,
    #[serde(default)]
    encrypted: bool,
    kms_key_id: Option<String>,
    iops: Option<i32>,
    throughput: Option<i32>,
    snapshot_id: Option<String>,
    source_volume_id: Option<String>,
    #[serde(default, deserialize_with = "time")]
    create_time: Option<Timestamp>,
    #[serde(default)]
    multi_attach_enabled: bool,
    #[serde(default)]
    attachment_set: Items<AttachmentElement>,
    #[serde(default)]
    tag_set: Items<Tag>,
}

impl From<VolumeElement> for Volume {
    fn from(volume: VolumeElement) -> Self {
        Self {
            id: volume.volume_id,
            state: match volume.status.as_str() {
                "creating" => VolumeState::Creating,
                "available" => VolumeState::Available,
                "in-use" => VolumeState::InUse,
                "deleting" | "deleted" => VolumeState::Deleting,
                "error" => VolumeState::Error,
                _ => VolumeState::Other,
            },
            size_gib: volume.size,
            volume_type: volume.volume_type,
            place: Place {
                zone: volume.availability_zone,
                zone_id: volume.availability_zone_id,
                outpost_arn: filled(volume.outpost_arn),
            },
            is_encrypted: volume.encrypted,
            kms_key_id: volume.kms_key_id,
            iops: volume.iops,
            throughput: volume.throughput,
            snapshot_id: filled(volume.snapshot_id),
            source_volume_id: filled(volume.source_volume_id),
            made_at: volume.create_time,
            attachments: volume.attachment_set.into(),
            is_multi_attach: volume.multi_attach_enabled,
            tags: tags(volume.tag_set),
        }
    }
}

/// An attachment, also as the answer of AttachVolume and DetachVolume.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachmentElement {
    #[serde(default)]
    instance_id: String,
    #[serde(default)]
    device: String,
    #[serde(default)]
    status: String,
    ebs_card_index: Option<i32>,
    /// What a service keeps the instance for.
    associated_resource: Option<String>,
}

impl From<AttachmentElement> for Attachment {
    fn from(attachment: AttachmentElement) -> Self {
        let resource = attachment.associated_resource.as_deref();
        let of_cluster = resource.and_then(instance_of_resource);
        Self {
            state: attachment_state(&attachment.status),
            device: attachment.device,
            card: attachment.ebs_card_index,
            is_of_service: of_cluster.is_some(),
            instance_id: of_cluster.map_or(attachment.instance_id, str::to_owned),
        }
    }
}

/// The state of an attachment by its name.
pub(super) fn attachment_state(status: &str) -> AttachmentState {
    match status {
        "attaching" => AttachmentState::Attaching,
        "attached" => AttachmentState::Attached,
        "detaching" => AttachmentState::Detaching,
        "detached" => AttachmentState::Detached,
        _ => AttachmentState::Other,
    }
}

/// DescribeVolumesModifications.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Modifications {
    #[serde(default)]
    pub(super) volume_modification_set: Items<ModificationElement>,
    pub(super) next_token: Option<String>,
}

/// ModifyVolume.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Modified {
    pub(super) volume_modification: ModificationElement,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModificationElement {
    volume_id: String,
    #[serde(default)]
    modification_state: String,
    status_message: Option<String>,
    target_size: Option<i64>,
    target_iops: Option<i32>,
    target_volume_type: Option<String>,
    target_throughput: Option<i32>,
    progress: Option<i64>,
    #[serde(default, deserialize_with = "time")]
    start_time: Option<Timestamp>,
}

impl From<ModificationElement> for Modification {
    fn from(modification: ModificationElement) -> Self {
        Self {
            volume_id: modification.volume_id,
            state: match modification.modification_state.as_str() {
                "modifying" => ModificationState::Modifying,
                "optimizing" => ModificationState::Optimizing,
                "completed" => ModificationState::Completed,
                "failed" => ModificationState::Failed,
                _ => ModificationState::Other,
            },
            message: filled(modification.status_message),
            target_size_gib: modification.target_size,
            target_iops: modification.target_iops,
            target_type: modification.target_volume_type,
            target_throughput: modification.target_throughput,
            started: modification.start_time,
            progress: modification.progress,
        }
    }
}

/// DescribeSnapshots.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshots {
    #[serde(default)]
    pub(super) snapshot_set: Items<SnapshotElement>,
    pub(super) next_token: Option<String>,
}

/// A snapshot, also as the answer of CreateSnapshot, and in that of CreateSnapshots.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SnapshotElement {
    snapshot_id: String,
    #[serde(default)]
    volume_id: String,
    /// CreateSnapshots calls it `state`.
    #[serde(default, alias = "state")]
    status: String,
    status_message: Option<String>,
    #[serde(default, deserialize_with = "time")]
    start_time: Option<Timestamp>,
    #[serde(default)]
    volume_size: i64,
    #[serde(default)]
    tag_set: Items<Tag>,
}

impl From<SnapshotElement> for Snapshot {
    fn from(snapshot: SnapshotElement) -> Self {
        Self {
            id: snapshot.snapshot_id,
            volume_id: snapshot.volume_id,
            state: match snapshot.status.as_str() {
                "pending" => SnapshotState::Pending,
                "completed" => SnapshotState::Completed,
                "error" => SnapshotState::Error,
                "" => SnapshotState::Other("unknown".to_owned()),
                other => SnapshotState::Other(other.to_owned()),
            },
            message: filled(snapshot.status_message),
            started: snapshot.start_time,
            size_gib: snapshot.volume_size,
            tags: tags(snapshot.tag_set),
        }
    }
}

/// CreateSnapshots.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SnapshotSet {
    #[serde(default)]
    pub(super) snapshot_set: Items<SnapshotElement>,
}

/// EnableFastSnapshotRestores.
#[derive(Debug, Deserialize)]
pub(super) struct FastRestores {
    #[serde(default)]
    pub(super) unsuccessful: Items<NotRestored>,
}

/// A snapshot for which a fast restore was not enabled.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotRestored {
    #[serde(default)]
    pub(super) fast_snapshot_restore_state_error_set: Items<NotRestoredIn>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotRestoredIn {
    #[serde(default)]
    pub(super) availability_zone: String,
    pub(super) error: Option<RestoreCause>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RestoreCause {
    pub(super) code: Option<String>,
    #[serde(default)]
    pub(super) message: String,
}

/// DescribeAvailabilityZones.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Zones {
    #[serde(default)]
    pub(super) availability_zone_info: Items<Zone>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Zone {
    pub(super) zone_name: Option<String>,
}

/// DescribeInstances.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reservations {
    #[serde(default)]
    pub(super) reservation_set: Items<Reservation>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reservation {
    #[serde(default)]
    pub(super) instances_set: Items<InstanceElement>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceElement {
    instance_id: String,
    #[serde(default)]
    instance_type: String,
    root_device_name: Option<String>,
    #[serde(default)]
    block_device_mapping: Items<MappingElement>,
    #[serde(default)]
    network_interface_set: Items<Done>,
}

impl From<InstanceElement> for Instance {
    fn from(instance: InstanceElement) -> Self {
        Self {
            id: instance.instance_id,
            instance_type: instance.instance_type,
            root_device: filled(instance.root_device_name),
            mappings: instance.block_device_mapping.into(),
            interfaces: instance.network_interface_set.into_vec().len(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MappingElement {
    #[serde(default)]
    device_name: String,
    ebs: Option<MappedVolume>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MappedVolume {
    volume_id: Option<String>,
    #[serde(default)]
    status: String,
    ebs_card_index: Option<i32>,
}

impl From<MappingElement> for Mapping {
    fn from(mapping: MappingElement) -> Self {
        let (device, ebs) = (mapping.device_name, mapping.ebs);
        match ebs {
            Some(ebs) => Self {
                device,
                state: attachment_state(&ebs.status),
                volume_id: ebs.volume_id,
                card: ebs.ebs_card_index,
            },
            None => Self {
                device,
                state: AttachmentState::Other,
                volume_id: None,
                card: None,
            },
        }
    }
}

/// DescribeInstanceTypes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceTypes {
    #[serde(default)]
    pub(super) instance_type_set: Items<InstanceTypeElement>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceTypeElement {
    pub(super) ebs_info: Option<EbsInfo>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EbsInfo {
    maximum_ebs_cards: Option<u32>,
    maximum_ebs_attachments: Option<u32>,
    #[serde(default)]
    attachment_limit_type: String,
}

/// A kind of limit that is neither of the two that are known is as none.
impl From<EbsInfo> for InstanceType {
    fn from(info: EbsInfo) -> Self {
        let is_shared = match info.attachment_limit_type.as_str() {
            "shared" => Some(true),
            "dedicated" => Some(false),
            _ => None,
        };
        Self {
            cards: info.maximum_ebs_cards.unwrap_or(1).max(1),
            attachments: info.maximum_ebs_attachments.zip(is_shared),
        }
    }
}

/// DescribeVolumeStatus.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeStatuses {
    #[serde(default)]
    pub(super) volume_status_set: Items<VolumeStatus>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeStatus {
    volume_id: String,
    volume_status: StatusInfo,
    initialization_status_details: Option<InitializationDetails>,
}

#[derive(Debug, Deserialize)]
struct StatusInfo {
    details: Items<StatusDetail>,
}

#[derive(Debug, Deserialize)]
struct StatusDetail {
    #[serde(default)]
    name: String,
    #[serde(default)]
    status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitializationDetails {
    estimated_time_to_complete_in_seconds: Option<u64>,
}

/// The ID, and how far the volume is filled. No such detail means that nothing is to be filled.
impl From<VolumeStatus> for (String, Initialization) {
    fn from(row: VolumeStatus) -> Self {
        let details = row.volume_status.details.into_vec();
        let is_running = details
            .iter()
            .any(|detail| detail.name == "initialization-state" && detail.status == "initializing");
        let seconds = row
            .initialization_status_details
            .and_then(|details| details.estimated_time_to_complete_in_seconds);
        let state = if is_running {
            Initialization::Running(seconds.map(Duration::from_secs))
        } else {
            Initialization::Done
        };
        (row.volume_id, state)
    }
}
