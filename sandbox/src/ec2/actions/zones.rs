//! DescribeAvailabilityZones.

use super::super::errors::Ec2Error;
use super::super::filters::{Filters, one};
use super::super::options::Zone;
use super::super::query::Form;
use super::super::state::{Answer, Call, State};
use super::super::tags::Tags;
use super::super::xml::Xml;

const FILTERS: &[&str] = &[
    "opt-in-status",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
];

/// Carries out DescribeAvailabilityZones.
pub(in crate::ec2) fn describe(_: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let names = form.list("ZoneName");
    let ids = form.list("ZoneId");
    form.boolean("AllAvailabilityZones")?;
    let filters = Filters::take(&mut form, FILTERS, false)?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    let zones = &call.options.zones;
    let unknown_name = names
        .iter()
        .find(|name| zones.iter().all(|zone| zone.name != **name));
    let unknown_id = ids.iter().find(|id| zones.iter().all(|zone| zone.id != **id));
    if let Some(unknown) = unknown_name.or(unknown_id) {
        return Err(Ec2Error::invalid(format!(
            "Invalid availability zone: [{unknown}]"
        )));
    }
    call.rehearsal(dry_run)?;
    let region = &call.options.region;
    let wanted = zones
        .iter()
        .filter(|zone| names.is_empty() || names.contains(&zone.name))
        .filter(|zone| ids.is_empty() || ids.contains(&zone.id))
        .filter(|zone| filters.pass(&Tags::default(), call.now, |name| field(zone, region, name)));
    let mut xml = Xml::new();
    xml.list("availabilityZoneInfo", wanted, |xml, zone| {
        xml.field("zoneName", &zone.name);
        xml.field("zoneId", &zone.id);
        xml.field("zoneState", "available");
        xml.field("regionName", region);
        xml.field("groupName", format_args!("{region}-zg-1"));
        xml.field("networkBorderGroup", region);
        xml.field("optInStatus", "opt-in-not-required");
        xml.field("zoneType", "availability-zone");
    });
    Ok(xml)
}

fn field(zone: &Zone, region: &str, name: &str) -> Vec<String> {
    match name {
        "opt-in-status" => one(Some("opt-in-not-required")),
        "region-name" => one(Some(region)),
        "state" => one(Some("available")),
        "zone-id" => one(Some(&zone.id)),
        "zone-name" => one(Some(&zone.name)),
        "zone-type" => one(Some("availability-zone")),
        _ => Vec::new(),
    }
}
