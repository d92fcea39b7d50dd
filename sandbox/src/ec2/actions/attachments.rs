//! AttachVolume and DetachVolume. Source: spec ebs-driver 3.6.

use super::super::errors::Ec2Error;
use super::super::model::after;
use super::super::model::instance::{Instance, InstanceState};
use super::super::model::volume::{Attachment, Volume};
use super::super::query::Form;
use super::super::state::{Answer, Call, State};
use super::super::xml::Xml;

/// Carries out AttachVolume.
pub(in crate::ec2) fn attach(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let volume_id = form.required("VolumeId")?;
    let instance_id = form.required("InstanceId")?;
    let device = form.required("Device")?;
    let card = form.count("EbsCardIndex")?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    let volume = state.volume_mut(&volume_id)?.clone();
    let instance = instance(state, &instance_id)?;
    check_instance(instance, &volume, card)?;
    check_volume(&volume, &instance_id, call)?;
    check_room(state, instance, &device)?;
    call.rehearsal(dry_run)?;
    let several_cards = instance.kind.ebs_cards > 1;
    let attachment = Attachment {
        cluster: None,
        instance_id,
        device,
        card: card.or(several_cards.then_some(0)),
        delete_on_termination: false,
        begun_at: call.now,
        attached_at: after(call.now, call.options.timing.attaching),
        gone_at: None,
        is_forced: false,
    };
    let mut xml = Xml::new();
    attachment.write(&mut xml, &volume_id, call.now);
    state.volume_mut(&volume_id)?.attachments.push(attachment);
    Ok(xml)
}

/// The instance of this ID.
pub(super) fn instance<'a>(state: &'a State, id: &str) -> Result<&'a Instance, Ec2Error> {
    if !id.starts_with("i-") {
        return Err(Ec2Error::new(
            "InvalidInstanceID.Malformed",
            format!("Invalid id: \"{id}\""),
        ));
    }
    state.instances.get(id).ok_or_else(|| Ec2Error::no_instance(id))
}

fn check_instance(instance: &Instance, volume: &Volume, card: Option<u32>) -> Result<(), Ec2Error> {
    if instance.state == InstanceState::Terminated {
        return Err(Ec2Error::state(format!(
            "Instance '{}' is not 'running'.",
            instance.id
        )));
    }
    if instance.zone != volume.zone {
        return Err(Ec2Error::new(
            "InvalidVolume.ZoneMismatch",
            format!(
                "The volume '{}' is not in the same availability zone as instance '{}'",
                volume.id, instance.id
            ),
        ));
    }
    match card {
        Some(card) if card >= instance.kind.ebs_cards => Err(Ec2Error::invalid_value(
            "ebsCardIndex",
            &card.to_string(),
            "The instance has no such EBS card.",
        )),
        _ => Ok(()),
    }
}

/// Whether a volume may be attached to another instance.
pub(super) fn check_volume(volume: &Volume, instance_id: &str, call: &Call<'_>) -> Result<(), Ec2Error> {
    if !volume.usable(call.now) {
        return Err(Ec2Error::state(format!("'{}' is not 'available'.", volume.id)));
    }
    let here = volume
        .attachments
        .iter()
        .any(|one| one.instance_id == instance_id);
    if here || (!volume.attachments.is_empty() && !volume.multi_attach) {
        return Err(Ec2Error::new(
            "VolumeInUse",
            format!("{} is already attached to an instance", volume.id),
        ));
    }
    Ok(())
}

fn check_room(state: &State, instance: &Instance, device: &str) -> Result<(), Ec2Error> {
    let mut number = 0;
    let at_instance = state.volumes.values().flat_map(|volume| &volume.attachments);
    for attachment in at_instance.filter(|one| one.instance_id == instance.id) {
        number += 1;
        if attachment.device == device {
            return Err(Ec2Error::invalid(format!(
                "Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
            )));
        }
    }
    if number >= instance.kind.attachments {
        return Err(Ec2Error::new(
            "AttachmentLimitExceeded",
            format!(
                "Attachment limit exceeded for instance '{}': at most {} volumes.",
                instance.id, instance.kind.attachments
            ),
        ));
    }
    Ok(())
}

/// Carries out DetachVolume.
pub(in crate::ec2) fn detach(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let volume_id = form.required("VolumeId")?;
    let instance_id = form.text("InstanceId");
    let device = form.text("Device");
    let is_forced = form.boolean("Force")?.unwrap_or_default();
    let dry_run = form.dry_run()?;
    form.finish()?;
    if let Some(id) = &instance_id {
        instance(state, id)?;
    }
    let gone_at = after(call.now, call.options.timing.detaching);
    let volume = state.volume_mut(&volume_id)?;
    let fits = |one: &&mut Attachment| {
        instance_id.as_ref().is_none_or(|id| one.instance_id == *id)
            && device.as_ref().is_none_or(|device| one.device == *device)
    };
    if volume.attachments.is_empty() {
        return Err(Ec2Error::state(format!(
            "Volume '{volume_id}' is in the 'available' state."
        )));
    }
    let Some(attachment) = volume.attachments.iter_mut().find(fits) else {
        return Err(Ec2Error::new(
            "InvalidAttachment.NotFound",
            format!(
                "The volume '{volume_id}' is not attached to instance '{}'.",
                instance_id.unwrap_or_default()
            ),
        ));
    };
    call.rehearsal(dry_run)?;
    attachment.gone_at.get_or_insert(gone_at);
    attachment.is_forced |= is_forced;
    let mut xml = Xml::new();
    attachment.write(&mut xml, &volume_id, call.now);
    volume.settle(call.now);
    Ok(xml)
}
