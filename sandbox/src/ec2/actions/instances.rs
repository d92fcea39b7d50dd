//! DescribeInstances and DescribeInstanceTypes, as far as volumes need them.

use super::super::errors::Ec2Error;
use super::super::filters::{Filters, Page, chosen, one};
use super::super::model::instance::Instance;
use super::super::options::InstanceType;
use super::super::query::Form;
use super::super::state::{Answer, Call, State};
use super::super::tags::Tags;
use super::super::xml::{Xml, time};
use super::attachments::instance;

const FILTERS: &[&str] = &[
    "availability-zone",
    "block-device-mapping.volume-id",
    "instance-id",
    "instance-state-name",
    "instance-type",
    "launch-time",
];
const TYPE_FILTERS: &[&str] = &["instance-type"];
const MOST_ROWS: usize = 1000;
const MOST_TYPES: usize = 100;

/// Carries out DescribeInstances: one reservation an instance.
pub(in crate::ec2) fn describe(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let ids = form.list("InstanceId");
    let filters = Filters::take(&mut form, FILTERS, true)?;
    let ids_name = (!ids.is_empty()).then_some("instancesSet");
    let page = Page::take(&mut form, MOST_ROWS, ids_name, &call.options.rules)?;
    let dry_run = form.dry_run()?;
    form.boolean("IncludeManagedResources")?;
    form.finish()?;
    check_ids(state, &ids)?;
    call.rehearsal(dry_run)?;
    let wanted = chosen(&state.instances, &ids)
        .filter(|instance| filters.pass(&instance.tags, call.now, |name| field(state, instance, name)));
    let (rows, next) = page.cut(wanted.map(|instance| (instance.id.clone(), instance)));
    let mut xml = Xml::new();
    xml.list("reservationSet", rows, |xml, instance| {
        xml.field("reservationId", instance.id.replacen("i-", "r-", 1));
        xml.field("ownerId", &call.options.account_id);
        xml.list("instancesSet", [instance], |xml, instance| {
            write(xml, state, instance, call)
        });
    });
    xml.optional("nextToken", next);
    Ok(xml)
}

fn check_ids(state: &State, ids: &[String]) -> Result<(), Ec2Error> {
    let mut unknown = Vec::new();
    for id in ids {
        match instance(state, id) {
            Err(error) if error.code == "InvalidInstanceID.NotFound" => unknown.push(id.as_str()),
            other => {
                other?;
            }
        }
    }
    match unknown.as_slice() {
        [] => Ok(()),
        [id] => Err(Ec2Error::no_instance(id)),
        several => Err(Ec2Error::new(
            "InvalidInstanceID.NotFound",
            format!("The instance IDs '{}' do not exist", several.join(", ")),
        )),
    }
}

fn field(state: &State, instance: &Instance, name: &str) -> Vec<String> {
    match name {
        "availability-zone" => one(Some(&instance.zone.name)),
        "block-device-mapping.volume-id" => {
            let at = |id: &str| {
                let attachments = &state.volumes[id].attachments;
                attachments.iter().any(|one| one.instance_id == instance.id)
            };
            state.volumes.keys().filter(|id| at(id)).cloned().collect()
        }
        "instance-id" => one(Some(&instance.id)),
        "instance-state-name" => one(Some(instance.state.name())),
        "instance-type" => one(Some(&instance.kind.name)),
        "launch-time" => one(Some(time(instance.launched_at))),
        _ => Vec::new(),
    }
}

fn write(xml: &mut Xml, state: &State, instance: &Instance, call: &Call<'_>) {
    xml.field("instanceId", &instance.id);
    xml.field("instanceType", &instance.kind.name);
    xml.time("launchTime", instance.launched_at);
    xml.element("instanceState", |xml| {
        xml.field("code", instance.state.code());
        xml.field("name", instance.state.name());
    });
    xml.element("placement", |xml| {
        xml.field("availabilityZone", &instance.zone.name);
        xml.field("availabilityZoneId", &instance.zone.id);
    });
    xml.field("rootDeviceType", "ebs");
    xml.field("rootDeviceName", &instance.root_device);
    let attached = state.volumes.values().filter_map(|volume| {
        let (attachment, status) = volume.shown_at(&instance.id, call.now, call.options.lag.instance)?;
        Some((volume, attachment, status))
    });
    xml.list(
        "blockDeviceMapping",
        attached,
        |xml, (volume, attachment, status)| {
            xml.field("deviceName", &attachment.device);
            xml.element("ebs", |xml| {
                xml.field("volumeId", &volume.id);
                xml.field("status", status);
                xml.time("attachTime", attachment.begun_at);
                xml.field("deleteOnTermination", attachment.delete_on_termination);
                xml.optional("ebsCardIndex", attachment.card);
            });
        },
    );
    // Each has the one that it began with.
    xml.list("networkInterfaceSet", [&instance.id], |xml, id| {
        xml.field("networkInterfaceId", id.replace("i-", "eni-"));
        xml.field("status", "in-use");
    });
    instance.tags.write(xml, call.now);
}

/// Carries out DescribeInstanceTypes.
pub(in crate::ec2) fn describe_types(_: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let names = form.list("InstanceType");
    let filters = Filters::take(&mut form, TYPE_FILTERS, false)?;

    let page = Page::take(&mut form, MOST_TYPES, None, &call.options.rules)?;
    let dry_run = form.dry_run()?;
    form.boolean("IncludeUnsupportedInRegion")?;
    form.finish()?;
    let types = &call.options.instance_types;
    let unknown: Vec<&str> = names
        .iter()
        .filter(|name| types.iter().all(|kind| kind.name != **name))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        return Err(Ec2Error::new(
            "InvalidInstanceType",
            format!(
                "The following supplied instance types do not exist: [{}]",
                unknown.join(", ")
            ),
        ));
    }
    call.rehearsal(dry_run)?;
    let mut wanted: Vec<(String, &InstanceType)> = types
        .iter()
        .filter(|kind| names.is_empty() || names.contains(&kind.name))
        .filter(|kind| filters.pass(&Tags::default(), call.now, |_| one(Some(&kind.name))))
        .map(|kind| (kind.name.clone(), kind))
        .collect();
    wanted.sort_by(|left, right| left.0.cmp(&right.0));
    let (rows, next) = page.cut(wanted);
    let mut xml = Xml::new();
    xml.list("instanceTypeSet", rows, |xml, kind| {
        xml.field("instanceType", &kind.name);
        xml.element("ebsInfo", |xml| {
            xml.field("nvmeSupport", "required");
            xml.field("maximumEbsAttachments", kind.attachments);
            let limit = if kind.is_shared { "shared" } else { "dedicated" };
            xml.field("attachmentLimitType", limit);
            xml.field("maximumEbsCards", kind.ebs_cards);
        });
    });
    xml.optional("nextToken", next);
    Ok(xml)
}
