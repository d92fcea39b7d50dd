//! Between the SDK's types and ours. What the driver cannot do without and EC2 leaves out is a malformed answer.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::types as sdk;
use jiff::Timestamp;

use super::errors::{Action, Ec2Error, Lost};
use super::types::{
    Attachment, AttachmentState, Initialization, Instance, Mapping, Modification, ModificationState,
    Selection, Snapshot, SnapshotState, Volume, VolumeState,
};
use crate::topology::Place;

fn required<T>(value: Option<T>, action: Action, field: &str) -> Result<T, Ec2Error> {
    value.ok_or_else(|| Ec2Error::lost(action, Lost::Malformed, format!("{field} is missing")))
}

pub(super) fn volume(action: Action, answer: sdk::Volume) -> Result<Volume, Ec2Error> {
    Ok(Volume {
        state: volume_state(answer.state()),
        size_gib: required(answer.size, action, "size")?.into(),
        tags: tags(answer.tags()),
        volume_type: answer
            .volume_type()
            .map(|volume_type| volume_type.as_str().to_owned())
            .unwrap_or_default(),
        is_encrypted: answer.encrypted.unwrap_or_default(),
        iops: answer.iops,
        throughput: answer.throughput,
        id: required(answer.volume_id, action, "volumeId")?,
        place: Place {
            zone: answer.availability_zone,
            zone_id: answer.availability_zone_id,
            outpost_arn: answer.outpost_arn.filter(|arn| !arn.is_empty()),
        },
        kms_key_id: answer.kms_key_id,
        snapshot_id: answer.snapshot_id.filter(|id| !id.is_empty()),
        source_volume_id: answer.source_volume_id.filter(|id| !id.is_empty()),
        is_multi_attach: answer.multi_attach_enabled.unwrap_or_default(),
        attachments: answer
            .attachments
            .unwrap_or_default()
            .into_iter()
            .map(attachment)
            .collect(),
    })
}

/// The answer of CreateVolume has the same content in a type of its own.
pub(super) fn created_volume(
    answer: aws_sdk_ec2::operation::create_volume::CreateVolumeOutput,
) -> Result<Volume, Ec2Error> {
    let action = Action::CreateVolume;
    Ok(Volume {
        state: volume_state(answer.state()),
        size_gib: required(answer.size, action, "size")?.into(),
        tags: tags(answer.tags()),
        volume_type: answer
            .volume_type()
            .map(|volume_type| volume_type.as_str().to_owned())
            .unwrap_or_default(),
        is_encrypted: answer.encrypted.unwrap_or_default(),
        iops: answer.iops,
        throughput: answer.throughput,
        id: required(answer.volume_id, action, "volumeId")?,
        place: Place {
            zone: answer.availability_zone,
            zone_id: answer.availability_zone_id,
            outpost_arn: answer.outpost_arn.filter(|arn| !arn.is_empty()),
        },
        kms_key_id: answer.kms_key_id,
        snapshot_id: answer.snapshot_id.filter(|id| !id.is_empty()),
        source_volume_id: answer.source_volume_id.filter(|id| !id.is_empty()),
        is_multi_attach: answer.multi_attach_enabled.unwrap_or_default(),
        attachments: answer
            .attachments
            .unwrap_or_default()
            .into_iter()
            .map(attachment)
            .collect(),
    })
}

pub(super) fn attachment(answer: sdk::VolumeAttachment) -> Attachment {
    Attachment {
        state: match answer.state() {
            Some(sdk::VolumeAttachmentState::Attaching) => AttachmentState::Attaching,
            Some(sdk::VolumeAttachmentState::Attached) => AttachmentState::Attached,
            Some(sdk::VolumeAttachmentState::Detaching) => AttachmentState::Detaching,
            Some(sdk::VolumeAttachmentState::Detached) => AttachmentState::Detached,
            _ => AttachmentState::Other,
        },
        begun: timestamp(answer.attach_time()),
        card: answer.ebs_card_index,
        instance_id: answer.instance_id.unwrap_or_default(),
        device: answer.device.unwrap_or_default(),
    }
}

pub(super) fn instance(answer: sdk::Instance) -> Result<Instance, Ec2Error> {
    let instance_type = answer.instance_type().map(|kind| kind.as_str().to_owned());
    let mappings = answer.block_device_mappings.unwrap_or_default();
    Ok(Instance {
        id: required(answer.instance_id, Action::DescribeInstances, "instanceId")?,
        instance_type: instance_type.unwrap_or_default(),
        root_device: answer.root_device_name.filter(|name| !name.is_empty()),
        mappings: mappings.into_iter().map(mapping).collect(),
    })
}

fn mapping(answer: sdk::InstanceBlockDeviceMapping) -> Mapping {
    let status = answer.ebs().and_then(|ebs| ebs.status());
    let state = match status {
        Some(sdk::AttachmentStatus::Attaching) => AttachmentState::Attaching,
        Some(sdk::AttachmentStatus::Attached) => AttachmentState::Attached,
        Some(sdk::AttachmentStatus::Detaching) => AttachmentState::Detaching,
        Some(sdk::AttachmentStatus::Detached) => AttachmentState::Detached,
        _ => AttachmentState::Other,
    };
    Mapping {
        state,
        card: answer.ebs().and_then(|ebs| ebs.ebs_card_index),
        volume_id: answer.ebs.and_then(|ebs| ebs.volume_id),
        device: answer.device_name.unwrap_or_default(),
    }
}

/// The ID and how far the volume is filled. No such detail means that nothing is to be filled.
pub(super) fn initialization(answer: sdk::VolumeStatusItem) -> Result<(String, Initialization), Ec2Error> {
    let action = Action::DescribeVolumeStatus;
    let status = required(answer.volume_status, action, "volumeStatus")?;
    let details = required(status.details, action, "details of volumeStatus")?;
    let is_running = details.iter().any(|detail| {
        let name = detail.name().map(sdk::VolumeStatusName::as_str);
        name == Some("initialization-state") && detail.status() == Some("initializing")
    });
    let seconds = answer
        .initialization_status_details
        .and_then(|details| details.estimated_time_to_complete_in_seconds);
    let left = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let id = required(answer.volume_id, action, "volumeId")?;
    Ok((
        id,
        if is_running {
            Initialization::Running(left.map(Duration::from_secs))
        } else {
            Initialization::Done
        },
    ))
}

fn volume_state(state: Option<&sdk::VolumeState>) -> VolumeState {
    match state {
        Some(sdk::VolumeState::Creating) => VolumeState::Creating,
        Some(sdk::VolumeState::Available) => VolumeState::Available,
        Some(sdk::VolumeState::InUse) => VolumeState::InUse,
        Some(sdk::VolumeState::Deleting | sdk::VolumeState::Deleted) => VolumeState::Deleting,
        Some(sdk::VolumeState::Error) => VolumeState::Error,
        _ => VolumeState::Other,
    }
}

pub(super) fn snapshot(answer: sdk::Snapshot) -> Result<Snapshot, Ec2Error> {
    let action = Action::DescribeSnapshots;
    Ok(Snapshot {
        state: snapshot_state(answer.state()),
        started: timestamp(answer.start_time()),
        tags: tags(answer.tags()),
        id: required(answer.snapshot_id, action, "snapshotId")?,
        volume_id: answer.volume_id.unwrap_or_default(),
        message: answer.state_message.filter(|text| !text.is_empty()),
        size_gib: answer.volume_size.unwrap_or_default().into(),
    })
}

/// The answer of CreateSnapshot has the same content in a type of its own.
pub(super) fn created_snapshot(
    answer: aws_sdk_ec2::operation::create_snapshot::CreateSnapshotOutput,
) -> Result<Snapshot, Ec2Error> {
    let action = Action::CreateSnapshot;
    Ok(Snapshot {
        state: snapshot_state(answer.state()),
        started: timestamp(answer.start_time()),
        tags: tags(answer.tags()),
        id: required(answer.snapshot_id, action, "snapshotId")?,
        volume_id: answer.volume_id.unwrap_or_default(),
        message: answer.state_message.filter(|text| !text.is_empty()),
        size_gib: answer.volume_size.unwrap_or_default().into(),
    })
}

fn snapshot_state(state: Option<&sdk::SnapshotState>) -> SnapshotState {
    match state {
        Some(sdk::SnapshotState::Pending) => SnapshotState::Pending,
        Some(sdk::SnapshotState::Completed) => SnapshotState::Completed,
        Some(sdk::SnapshotState::Error) => SnapshotState::Error,
        other => SnapshotState::Other(other.map_or("unknown", sdk::SnapshotState::as_str).to_owned()),
    }
}

pub(super) fn modification(
    action: Action,
    answer: sdk::VolumeModification,
) -> Result<Modification, Ec2Error> {
    let state = match answer.modification_state() {
        Some(sdk::VolumeModificationState::Modifying) => ModificationState::Modifying,
        Some(sdk::VolumeModificationState::Optimizing) => ModificationState::Optimizing,
        Some(sdk::VolumeModificationState::Completed) => ModificationState::Completed,
        Some(sdk::VolumeModificationState::Failed) => ModificationState::Failed,
        _ => ModificationState::Other,
    };
    Ok(Modification {
        state,
        started: timestamp(answer.start_time()),
        target_type: answer
            .target_volume_type()
            .map(|volume_type| volume_type.as_str().to_owned()),
        target_size_gib: answer.target_size.map(i64::from),
        target_iops: answer.target_iops,
        target_throughput: answer.target_throughput,
        progress: answer.progress,
        volume_id: required(answer.volume_id, action, "volumeId")?,
        message: answer.status_message.filter(|text| !text.is_empty()),
    })
}

pub(super) fn timestamp(time: Option<&aws_smithy_types::DateTime>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.secs(), time.subsec_nanos().try_into().ok()?).ok()
}

fn tags(tags: &[sdk::Tag]) -> BTreeMap<String, String> {
    tags.iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect()
}

pub(super) fn tag_specification(
    resource: sdk::ResourceType,
    tags: &BTreeMap<String, String>,
) -> sdk::TagSpecification {
    let tags = tags
        .iter()
        .map(|(key, value)| sdk::Tag::builder().key(key).value(value).build())
        .collect();
    sdk::TagSpecification::builder()
        .resource_type(resource)
        .set_tags(Some(tags))
        .build()
}

pub(super) fn filter(name: impl Into<String>, values: Vec<String>) -> sdk::Filter {
    sdk::Filter::builder().name(name).set_values(Some(values)).build()
}

/// The ID list and the filters of a selection; `id_filter` is the filter that means the same as an ID list.
pub(super) fn selection_parts(
    selection: &Selection,
    id_filter: &str,
) -> (Option<Vec<String>>, Option<Vec<sdk::Filter>>) {
    match selection {
        Selection::Ids(ids) => (Some(ids.clone()), None),
        Selection::FilteredIds(ids) => (None, Some(vec![filter(id_filter, ids.clone())])),
        Selection::Tag { key, values } => (None, Some(vec![filter(format!("tag:{key}"), values.clone())])),
    }
}
