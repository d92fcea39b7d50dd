//! EnableFastSnapshotRestores and DescribeFastSnapshotRestores.

use super::super::errors::Ec2Error;
use super::super::filters::{Filters, Page, one};
use super::super::model::after;
use super::super::model::snapshot::FastRestore;
use super::super::options::Zone;
use super::super::query::Form;
use super::super::state::{Answer, Call, State};
use super::super::xml::Xml;

const FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "owner-id",
    "snapshot-id",
    "state",
];
const MOST_ROWS: usize = 200;

type Refusals = Vec<(String, Zone, Ec2Error)>;

/// Carries out EnableFastSnapshotRestores. What cannot be enabled is listed as unsuccessful; the rest is enabled. An
/// injected later failure makes all of it unsuccessful.
pub(in crate::ec2) fn enable(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let names = form.list("AvailabilityZone");
    let zone_ids = form.list("AvailabilityZoneId");
    let ids = form.list("SourceSnapshotId");
    let dry_run = form.dry_run()?;
    form.finish()?;
    if names.is_empty() && zone_ids.is_empty() {
        return Err(Ec2Error::missing("AvailabilityZone"));
    }
    if ids.is_empty() {
        return Err(Ec2Error::missing("SourceSnapshotId"));
    }
    let zones = zones(&names, &zone_ids, call)?;
    call.rehearsal(dry_run)?;
    let mut done = Vec::new();
    let mut refused = Refusals::new();
    for id in &ids {
        for zone in &zones {
            match enable_one(state, id, zone, call) {
                Ok(()) => done.push((id.clone(), zone.name.clone())),
                Err(error) => refused.push((id.clone(), zone.clone(), error)),
            }
        }
    }
    let mut xml = Xml::new();
    xml.list("successful", &done, |xml, (id, zone)| {
        if let Some(snapshot) = state.snapshots.get(id)
            && let Some(restore) = snapshot.fast_restores.get(zone)
        {
            restore.write(xml, snapshot, zone, call.now);
        }
    });
    write_refusals(&mut xml, &refused);
    Ok(xml)
}

fn zones(names: &[String], ids: &[String], call: &Call<'_>) -> Result<Vec<Zone>, Ec2Error> {
    let all = &call.options.zones;
    let by_name = names
        .iter()
        .map(|name| (name, all.iter().find(|zone| zone.name == *name)));
    let by_id = ids.iter().map(|id| (id, all.iter().find(|zone| zone.id == *id)));
    by_name
        .chain(by_id)
        .map(|(wanted, zone)| {
            zone.cloned()
                .ok_or_else(|| Ec2Error::invalid(format!("Invalid availability zone: [{wanted}]")))
        })
        .collect()
}

fn enable_one(state: &mut State, id: &str, zone: &Zone, call: &Call<'_>) -> Result<(), Ec2Error> {
    let snapshot = state.own_snapshot_mut(id, call)?;
    if call.fails_later {
        return Err(Ec2Error::new(
            "InternalError",
            "Fast snapshot restore could not be enabled.",
        ));
    }
    let pause = call.options.timing.fast_restore;
    snapshot
        .fast_restores
        .entry(zone.name.clone())
        .or_insert_with(|| FastRestore {
            zone_id: zone.id.clone(),
            enabling_at: call.now,
            optimizing_at: after(call.now, pause),
            enabled_at: after(call.now, pause * 2),
        });
    Ok(())
}

fn write_refusals(xml: &mut Xml, refused: &Refusals) {
    xml.list("unsuccessful", refused, |xml, (id, zone, error)| {
        xml.field("snapshotId", id);
        xml.list("fastSnapshotRestoreStateErrorSet", [()], |xml, ()| {
            xml.field("availabilityZone", &zone.name);
            xml.field("availabilityZoneId", &zone.id);
            xml.element("error", |xml| {
                xml.field("code", &error.code);
                xml.field("message", &error.message);
            });
        });
    });
}

/// Carries out DescribeFastSnapshotRestores.
pub(in crate::ec2) fn describe(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let filters = Filters::take(&mut form, FILTERS, false)?;
    let page = Page::take(&mut form, MOST_ROWS, None, &call.options.rules)?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    call.rehearsal(dry_run)?;
    let now = call.now;
    let rows = state.snapshots.values().flat_map(|snapshot| {
        snapshot
            .fast_restores
            .iter()
            .map(move |(zone, restore)| (snapshot, zone, restore))
    });
    let wanted = rows.filter(|(snapshot, zone, restore)| {
        filters.pass(&snapshot.tags, now, |name| match name {
            "availability-zone" => one(Some(zone)),
            "availability-zone-id" => one(Some(&restore.zone_id)),
            "owner-id" => one(Some(&snapshot.owner_id)),
            "snapshot-id" => one(Some(&snapshot.id)),
            "state" => one(Some(restore.state(now))),
            _ => Vec::new(),
        })
    });
    let (rows, next) = page.cut(wanted.map(|row| (format!("{}/{}", row.0.id, row.1), row)));
    let mut xml = Xml::new();
    xml.list(
        "fastSnapshotRestoreSet",
        rows,
        |xml, (snapshot, zone, restore)| {
            restore.write(xml, snapshot, zone, now);
        },
    );
    xml.optional("nextToken", next);
    Ok(xml)
}
