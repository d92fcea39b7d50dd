//! DescribeVolumes and DeleteVolume.

use super::super::errors::Ec2Error;
use super::super::filters::{Filters, Page, chosen, one};
use super::super::model::after;
use super::super::model::volume::{Attachment, Volume};
use super::super::query::Form;
use super::super::state::{Answer, Call, State, check_ids};
use super::super::xml::{Xml, time};

const FILTERS: &[&str] = &[
    "attachment.attach-time",
    "attachment.delete-on-termination",
    "attachment.device",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "create-time",
    "encrypted",
    "multi-attach-enabled",
    "outpost-arn",
    "size",
    "snapshot-id",
    "source-volume-id",
    "status",
    "throughput",
    "volume-id",
    "volume-type",
];
const MOST_ROWS: usize = 1000;

/// Carries out DescribeVolumes.
pub(in crate::ec2) fn describe(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let now = call.now;
    let ids = form.list("VolumeId");
    let filters = Filters::take(&mut form, FILTERS, true)?;
    let page = Page::take(&mut form, MOST_ROWS, ids_name(&ids), &call.options.rules)?;
    let dry_run = form.dry_run()?;
    form.boolean("IncludeManagedResources")?;
    form.finish()?;
    check_seen(state, &ids, call)?;
    call.rehearsal(dry_run)?;
    let wanted = chosen(&state.volumes, &ids)
        .filter(|volume| volume.seen(now))
        .filter(|volume| filters.pass(&volume.tags, now, |name| field(volume, name, call)));
    let (rows, next) = page.cut(wanted.map(|volume| (volume.id.clone(), volume)));
    let mut xml = Xml::new();
    xml.list("volumeSet", rows, |xml, volume| volume.write(xml, now));
    xml.optional("nextToken", next);
    Ok(xml)
}

/// The name of the ID list, if it is given, for [`Page::take`].
pub(super) fn ids_name(ids: &[String]) -> Option<&'static str> {
    (!ids.is_empty()).then_some("volumeIds")
}

/// Refuses IDs that the Describe actions do not see.
pub(super) fn check_seen(state: &State, ids: &[String], call: &Call<'_>) -> Result<(), Ec2Error> {
    check_ids(
        ids,
        ("volumes", "vol-"),
        ("InvalidVolume.NotFound", "volume"),
        |id| state.volumes.get(id).is_some_and(|volume| volume.seen(call.now)),
    )
}

fn field(volume: &Volume, name: &str, call: &Call<'_>) -> Vec<String> {
    let now = call.now;
    let of_attachments = |value: fn(&Attachment) -> String| volume.attachments.iter().map(value).collect();
    match name {
        "attachment.attach-time" => of_attachments(|attachment| time(attachment.begun_at)),
        "attachment.delete-on-termination" => {
            of_attachments(|attachment| attachment.delete_on_termination.to_string())
        }
        "attachment.device" => of_attachments(|attachment| attachment.device.clone()),
        "attachment.instance-id" => of_attachments(|attachment| attachment.instance_id.clone()),
        "attachment.status" => volume
            .attachments
            .iter()
            .map(|attachment| attachment.status(now).to_owned())
            .collect(),
        "availability-zone" => one(Some(&volume.zone.name)),
        "availability-zone-id" => one(Some(&volume.zone.id)),
        "create-time" => one(Some(time(volume.created_at))),
        "encrypted" => one(Some(volume.encrypted)),
        "multi-attach-enabled" => one(Some(volume.multi_attach)),
        "outpost-arn" => one(volume.outpost_arn.as_ref()),
        "size" => one(Some(volume.shape.size_gib)),
        "snapshot-id" => one(volume.snapshot_id.as_ref()),
        "source-volume-id" => one(volume.source_volume_id.as_ref()),
        "status" => one(Some(volume.status(now))),
        "throughput" => one(volume.shape.throughput),
        "volume-id" => one(Some(&volume.id)),
        "volume-type" => one(Some(volume.shape.limits.name)),
        _ => Vec::new(),
    }
}

/// Carries out DeleteVolume.
pub(in crate::ec2) fn delete(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let id = form.required("VolumeId")?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    let volume = state.volume_mut(&id)?;
    if let Some(attachment) = volume.attachments.first() {
        return Err(Ec2Error::new(
            "VolumeInUse",
            format!("Volume {id} is currently attached to {}", attachment.instance_id),
        ));
    }
    if volume.status(call.now) == "creating" {
        return Err(Ec2Error::state(format!(
            "The volume '{id}' is in the state 'creating'."
        )));
    }
    call.rehearsal(dry_run)?;
    volume.deleted_until = Some(after(call.now, call.options.timing.volume_deletion));
    Ok(Xml::success())
}
