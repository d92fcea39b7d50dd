//! CreateSnapshots: a snapshot of each volume of an instance, all at one moment.

use super::super::errors::Ec2Error;
use super::super::model::volume::Volume;
use super::super::query::Form;
use super::super::state::{Answer, Call, State};
use super::super::tags::take_specification;
use super::super::xml::Xml;
use super::attachments::instance;
use super::snapshots::{check_description, check_quotas, check_source, new_snapshot};

/// Which volumes of an instance are left out.
struct Excluded {
    boot: bool,
    data: Vec<String>,
}

/// Carries out CreateSnapshots: all of the set or nothing. There is no client token.
pub(in crate::ec2) fn create(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let instance_id = form.required("InstanceSpecification.InstanceId")?;
    let excluded = Excluded {
        boot: form
            .boolean("InstanceSpecification.ExcludeBootVolume")?
            .unwrap_or_default(),
        data: form.list("InstanceSpecification.ExcludeDataVolumeId"),
    };
    let description = form.text("Description").unwrap_or_default();
    let outpost_arn = form.text("OutpostArn");
    form.text("Location");
    let copies_tags = copies_tags(&mut form)?;
    let tags = take_specification(&mut form, "snapshot")?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    check_description(&description)?;
    let volumes = chosen(state, &instance_id, &excluded, call)?;
    for (others, volume) in volumes.iter().enumerate() {
        check_source(volume, outpost_arn.as_deref(), call)?;
        check_quotas(state, volume, others, call)?;
    }
    call.rehearsal(dry_run)?;
    let mut xml = Xml::new();
    let mut made = Vec::new();
    for volume in volumes {
        state.volume_mut(&volume.id)?.snapshot_at = Some(call.now);
        let mut tags = tags.clone();
        if copies_tags {
            let copied = volume.tags.all().into_iter();
            tags.extend(copied.filter(|(key, _)| !key.starts_with("aws:")));
        }
        let snapshot = new_snapshot(call, &volume, description.clone(), outpost_arn.clone(), tags);
        made.push(snapshot.id.clone());
        state.snapshots.insert(snapshot.id.clone(), snapshot);
    }
    let rows = made.iter().filter_map(|id| state.snapshots.get(id));
    xml.list("snapshotSet", rows, |xml, snapshot| {
        snapshot.write_of_set(xml, call.now)
    });
    Ok(xml)
}

fn copies_tags(form: &mut Form) -> Result<bool, Ec2Error> {
    match form.text("CopyTagsFromSource").as_deref() {
        None => Ok(false),
        Some("volume") => Ok(true),
        Some(other) => Err(Ec2Error::invalid_value(
            "CopyTagsFromSource",
            other,
            "It may be volume.",
        )),
    }
}

/// The volumes at the instance but those that are left out, in the order of their IDs.
fn chosen(
    state: &State,
    instance_id: &str,
    excluded: &Excluded,
    call: &Call<'_>,
) -> Result<Vec<Volume>, Ec2Error> {
    let instance = instance(state, instance_id)?;
    let at = |volume: &&Volume| {
        let mut attachments = volume.attachments.iter();
        attachments.any(|one| one.instance_id == instance_id && one.status(call.now) != "detached")
    };
    let is_boot = |volume: &Volume| {
        let mut attachments = volume.attachments.iter();
        attachments.any(|one| one.instance_id == instance_id && one.device == instance.root_device)
    };
    let attached: Vec<&Volume> = state.volumes.values().filter(at).collect();
    for id in &excluded.data {
        match attached.iter().find(|volume| volume.id == *id) {
            None => {
                return Err(Ec2Error::invalid_value(
                    "excludeDataVolumeId",
                    id,
                    "The volume is not attached to the instance.",
                ));
            }
            Some(volume) if is_boot(volume) => {
                return Err(Ec2Error::invalid_value(
                    "excludeDataVolumeId",
                    id,
                    "The root volume is left out by ExcludeBootVolume.",
                ));
            }
            Some(_) => {}
        }
    }
    let chosen: Vec<Volume> = attached
        .into_iter()
        .filter(|volume| !(excluded.data.contains(&volume.id) || excluded.boot && is_boot(volume)))
        .cloned()
        .collect();
    if chosen.is_empty() {
        return Err(Ec2Error::combination(format!(
            "No volume of the instance '{instance_id}' is left to be snapshotted."
        )));
    }
    Ok(chosen)
}
