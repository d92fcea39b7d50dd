//! DescribeVolumeStatus.

use super::super::filters::{Filters, Page, chosen, one};
use super::super::model::volume::Volume;
use super::super::query::Form;
use super::super::state::{Answer, Call, State};
use super::super::xml::Xml;
use super::volumes::{check_seen, ids_name};

const FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "volume-status.status",
];
const MOST_ROWS: usize = 1000;

/// Carries out DescribeVolumeStatus: health is always `ok`, and the filling from a snapshot takes its time.
pub(in crate::ec2) fn describe(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let ids = form.list("VolumeId");
    let filters = Filters::take(&mut form, FILTERS, false)?;
    let page = Page::take(&mut form, MOST_ROWS, ids_name(&ids), &call.options.rules)?;
    let dry_run = form.dry_run()?;
    form.boolean("IncludeManagedResources")?;
    form.finish()?;
    check_seen(state, &ids, call)?;
    call.rehearsal(dry_run)?;
    let wanted = chosen(&state.volumes, &ids)
        .filter(|volume| volume.seen(call.now))
        .filter(|volume| filters.pass(&volume.tags, call.now, |name| field(volume, name)));
    let (rows, next) = page.cut(wanted.map(|volume| (volume.id.clone(), volume)));
    let mut xml = Xml::new();
    xml.list("volumeStatusSet", rows, |xml, volume| write(xml, volume, call));
    xml.optional("nextToken", next);
    Ok(xml)
}

fn field(volume: &Volume, name: &str) -> Vec<String> {
    match name {
        "availability-zone" => one(Some(&volume.zone.name)),
        "availability-zone-id" => one(Some(&volume.zone.id)),
        "volume-status.status" => one(Some("ok")),
        _ => Vec::new(),
    }
}

fn write(xml: &mut Xml, volume: &Volume, call: &Call<'_>) {
    let percent = volume.initialized_percent(call.now);
    let initialization = if percent < 100 {
        "initializing"
    } else {
        "completed"
    };
    xml.field("volumeId", &volume.id);
    xml.field("availabilityZone", &volume.zone.name);
    xml.field("availabilityZoneId", &volume.zone.id);
    xml.optional("outpostArn", volume.outpost_arn.as_ref());
    xml.element("volumeStatus", |xml| {
        xml.field("status", "ok");
        let details = [
            ("io-enabled", "passed"),
            ("io-performance", "not-applicable"),
            ("initialization-state", initialization),
        ];
        xml.list("details", details, |xml, (name, status)| {
            xml.field("name", name);
            xml.field("status", status);
        });
    });
    if percent < 100 {
        xml.element("initializationStatusDetails", |xml| {
            let asked = volume.initialization_rate.is_some();
            xml.field(
                "initializationType",
                if asked { "provisioned-rate" } else { "default" },
            );
            xml.field("progress", percent);
            // EC2 gives an estimate only for a rate that was asked for.
            let left = asked.then(|| volume.initialization_left(call.now).as_secs());
            xml.optional("estimatedTimeToCompleteInSeconds", left);
        });
    }
}
