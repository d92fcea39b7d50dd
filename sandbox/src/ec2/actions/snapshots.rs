//! CreateSnapshot, DeleteSnapshot and DescribeSnapshots.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::errors::Ec2Error;
use super::super::filters::{Filters, Page, chosen, one};
use super::super::model::after;
use super::super::model::snapshot::Snapshot;
use super::super::model::volume::Volume;
use super::super::query::Form;
use super::super::state::{Answer, Call, State, check_ids};
use super::super::tags::{Tags, take_specification};
use super::super::xml::{Xml, time};

const FILTERS: &[&str] = &[
    "description",
    "encrypted",
    "owner-id",
    "progress",
    "snapshot-id",
    "start-time",
    "status",
    "storage-tier",
    "volume-id",
    "volume-size",
];
const MOST_ROWS: usize = 1000;
const LONGEST_DESCRIPTION: usize = 255;

/// Carries out CreateSnapshot. There is no client token: two calls make two snapshots.
pub(in crate::ec2) fn create(state: &mut State, form: Form, call: &Call<'_>) -> Answer {
    let snapshot = created(state, form, call)?;
    let mut xml = Xml::new();
    snapshot.write(&mut xml, call.now);
    Ok(xml)
}

/// The snapshot that CreateSnapshot makes.
pub(in crate::ec2) fn created<'a>(
    state: &'a mut State,
    mut form: Form,
    call: &Call<'_>,
) -> Result<&'a Snapshot, Ec2Error> {
    let volume_id = form.required("VolumeId")?;
    let description = form.text("Description").unwrap_or_default();
    let outpost_arn = form.text("OutpostArn");
    form.text("Location");
    let tags = take_specification(&mut form, "snapshot")?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    check_description(&description)?;
    let volume = state.volume_mut(&volume_id)?.clone();
    check_source(&volume, outpost_arn.as_deref(), call)?;
    check_quotas(state, &volume, 0, call)?;
    call.rehearsal(dry_run)?;
    state.volume_mut(&volume_id)?.snapshot_at = Some(call.now);
    let snapshot = new_snapshot(call, &volume, description, outpost_arn, tags);
    let entry = state.snapshots.entry(snapshot.id.clone());
    Ok(entry.insert_entry(snapshot).into_mut())
}

pub(super) fn check_description(description: &str) -> Result<(), Ec2Error> {
    if description.chars().count() > LONGEST_DESCRIPTION {
        return Err(Ec2Error::invalid_value(
            "description",
            description,
            &format!("It must have at most {LONGEST_DESCRIPTION} characters."),
        ));
    }
    Ok(())
}

pub(super) fn check_source(
    volume: &Volume,
    outpost_arn: Option<&str>,
    call: &Call<'_>,
) -> Result<(), Ec2Error> {
    if !volume.usable(call.now) {
        return Err(Ec2Error::state(format!(
            "The volume '{}' is in the state '{}' and cannot be snapshotted.",
            volume.id,
            volume.status(call.now)
        )));
    }
    match outpost_arn {
        Some(arn) if volume.outpost_arn.as_deref() != Some(arn) => Err(Ec2Error::invalid_value(
            "outpostArn",
            arn,
            "The volume is not on that Outpost.",
        )),
        _ => Ok(()),
    }
}

/// Refuses a snapshot of this volume for a quota; `others` are taken by the same request.
pub(super) fn check_quotas(
    state: &State,
    volume: &Volume,
    others: usize,
    call: &Call<'_>,
) -> Result<(), Ec2Error> {
    let (rules, now) = (&call.options.rules, call.now);
    let own = || {
        state
            .snapshots
            .values()
            .filter(|snapshot| snapshot.owner_id == call.options.account_id)
    };
    if let Some(most) = rules.snapshots.filter(|most| own().count() + others >= *most) {
        return Err(Ec2Error::new(
            "SnapshotLimitExceeded",
            format!("You have exceeded your maximum of {most} snapshots in this region."),
        ));
    }
    let pending = || own().filter(|snapshot| snapshot.status(now) == "pending");
    if let Some(most) = rules
        .pending_in_account
        .filter(|most| pending().count() + others >= *most)
    {
        return Err(Ec2Error::new(
            "PendingSnapshotLimitExceeded",
            format!("You have reached the maximum of {most} snapshots in the pending state."),
        ));
    }
    let of_volume = || pending().filter(|snapshot| snapshot.volume_id == volume.id);
    if rules.pending_snapshots && of_volume().count() >= volume.shape.limits.pending_snapshots {
        return Err(Ec2Error::new(
            "ConcurrentSnapshotLimitExceeded",
            "Maximum allowed in-progress snapshots for a single volume exceeded.",
        ));
    }
    let too_soon = |interval| volume.snapshot_at.is_some_and(|last| now < after(last, interval));
    if rules.snapshot_interval.is_some_and(too_soon) {
        return Err(Ec2Error::new(
            "SnapshotCreationPerVolumeRateExceeded",
            "The maximum per volume CreateSnapshot request rate has been exceeded. Use an increasing or variable \
             sleep interval between requests.",
        ));
    }
    Ok(())
}

pub(super) fn new_snapshot(
    call: &Call<'_>,
    volume: &Volume,
    description: String,
    outpost_arn: Option<String>,
    tags: BTreeMap<String, String>,
) -> Snapshot {
    let (now, options) = (call.now, call.options);
    let timing = &options.timing;
    let copying = timing.snapshot + timing.snapshot_per_gib.saturating_mul(volume.shape.size_gib);
    Snapshot {
        id: call.new_id("snap"),
        volume_id: volume.id.clone(),
        size_gib: volume.shape.size_gib,
        owner_id: options.account_id.clone(),
        public: false,
        description,
        encrypted: volume.encrypted,
        kms_key_id: volume.kms_key_id.clone(),
        outpost_arn,
        tags: Tags::at_birth(tags, after(now, options.lag.tag)),
        started_at: now,
        completed_at: after(now, copying.min(timing.snapshot_at_most)),
        fails: call.fails_later,
        seen_from: after(now, options.lag.snapshot),
        seen_until: Timestamp::MAX,
        lock: None,
        fast_restores: BTreeMap::new(),
        images: BTreeSet::new(),
        disk: volume.disk.clone(),
    }
}

/// Carries out DeleteSnapshot. A pending snapshot may be deleted too.
pub(in crate::ec2) fn delete(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let id = form.required("SnapshotId")?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    let snapshot = state.own_snapshot_mut(&id, call)?;
    if let Some(image) = snapshot.images.first() {
        return Err(Ec2Error::new(
            "InvalidSnapshot.InUse",
            format!("The snapshot {id} is currently in use by {image}"),
        ));
    }
    if snapshot.locked(call.now) {
        return Err(Ec2Error::new(
            "SnapshotLocked",
            format!("The snapshot {id} is locked and cannot be deleted"),
        ));
    }
    call.rehearsal(dry_run)?;
    if let Some(mut snapshot) = state.snapshots.remove(&id) {
        snapshot.seen_until = after(call.now, call.options.lag.deletion);
        state.deleted_snapshots.insert(id, snapshot);
    }
    Ok(Xml::success())
}

/// Carries out DescribeSnapshots.
pub(in crate::ec2) fn describe(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let now = call.now;
    let ids = form.list("SnapshotId");
    let owners = form.list("Owner");
    let restorable_by = form.list("RestorableBy");
    let filters = Filters::take(&mut form, FILTERS, true)?;
    let ids_name = (!ids.is_empty()).then_some("snapshotSet");
    let page = Page::take(&mut form, MOST_ROWS, ids_name, &call.options.rules)?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    let may_see = |snapshot: &Snapshot| {
        snapshot.seen(now) && (snapshot.public || snapshot.owner_id == call.options.account_id)
    };
    check_ids(
        &ids,
        ("snapshotId", "snap-"),
        ("InvalidSnapshot.NotFound", "snapshot"),
        |id| {
            let known = state.snapshots.get(id).or(state.deleted_snapshots.get(id));
            known.is_some_and(may_see)
        },
    )?;
    call.rehearsal(dry_run)?;
    let deleted = chosen(&state.deleted_snapshots, &ids);
    let mut shown: Vec<&Snapshot> = chosen(&state.snapshots, &ids).chain(deleted).collect();
    shown.sort_by(|one, other| one.id.cmp(&other.id));
    let wanted = shown
        .into_iter()
        .filter(|snapshot| may_see(snapshot))
        .filter(|snapshot| owned(snapshot, &owners, call) && restorable(snapshot, &restorable_by, call))
        .filter(|snapshot| filters.pass(&snapshot.tags, now, |name| field(snapshot, name, call)));
    let (rows, next) = page.cut(wanted.map(|snapshot| (snapshot.id.clone(), snapshot)));
    let mut xml = Xml::new();
    xml.list("snapshotSet", rows, |xml, snapshot| snapshot.write(xml, now));
    xml.optional("nextToken", next);
    Ok(xml)
}

fn owned(snapshot: &Snapshot, owners: &[String], call: &Call<'_>) -> bool {
    owners.is_empty()
        || owners.iter().any(|owner| match owner.as_str() {
            "self" => snapshot.owner_id == call.options.account_id,
            owner => snapshot.owner_id == owner,
        })
}

fn restorable(snapshot: &Snapshot, accounts: &[String], call: &Call<'_>) -> bool {
    let by = |account: &str| match account {
        "all" => snapshot.public,
        "self" => snapshot.owner_id == call.options.account_id,
        account => snapshot.owner_id == account,
    };
    accounts.is_empty() || accounts.iter().any(|account| by(account))
}

/// The values of a snapshot that a filter name speaks of.
pub(super) fn field(snapshot: &Snapshot, name: &str, call: &Call<'_>) -> Vec<String> {
    match name {
        "description" => one(Some(&snapshot.description)),
        "encrypted" => one(Some(snapshot.encrypted)),
        "owner-id" => one(Some(&snapshot.owner_id)),
        "progress" => one(Some(format!("{}%", snapshot.percent(call.now)))),
        "snapshot-id" => one(Some(&snapshot.id)),
        "start-time" => one(Some(time(snapshot.started_at))),
        "status" => one(Some(snapshot.status(call.now))),
        "storage-tier" => one(Some("standard")),
        "volume-id" => one(Some(&snapshot.volume_id)),
        "volume-size" => one(Some(snapshot.size_gib)),
        _ => Vec::new(),
    }
}
