//! ModifyVolume and DescribeVolumesModifications. Source: spec ebs-driver 3.5, decision 23.

use std::time::Duration;

use jiff::Timestamp;

use super::super::errors::Ec2Error;
use super::super::filters::{Filters, Page, chosen, one};
use super::super::limits;
use super::super::model::after;
use super::super::model::volume::{Modification, Shape, Volume};
use super::super::options::ModificationRate;
use super::super::query::Form;
use super::super::state::{Answer, Call, State};
use super::super::xml::{Xml, time};
use super::volumes::check_seen;

const FILTERS: &[&str] = &[
    "modification-state",
    "original-iops",
    "original-size",
    "original-volume-type",
    "start-time",
    "target-iops",
    "target-size",
    "target-volume-type",
    "volume-id",
];
const MOST_ROWS: usize = 500;
const HOUR: Duration = Duration::from_secs(3600);
/// For how long the beginning of a modification may still count.
const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 3600);

struct Wish {
    size_gib: Option<u32>,
    volume_type: Option<String>,
    iops: Option<u32>,
    throughput: Option<u32>,
    multi_attach: Option<bool>,
}

/// Carries out ModifyVolume. A request for what the volume already is begins a modification like any other.
pub(in crate::ec2) fn modify(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let id = form.required("VolumeId")?;
    let wish = Wish::take(&mut form)?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    let volume = state.volume_mut(&id)?;
    if !volume.usable(call.now) {
        return Err(Ec2Error::state(format!(
            "The volume '{id}' is in the state '{}' and cannot be modified.",
            volume.status(call.now)
        )));
    }
    let target = wish.target(volume)?;
    let target_multi_attach = wish.multi_attach(volume, &target)?;
    check_previous(volume, call)?;
    check_rate(volume, call)?;
    check_amount(state, &target, call)?;
    call.rehearsal(dry_run)?;
    let volume = state.volume_mut(&id)?;
    let modification = begin(volume, target, target_multi_attach, call);
    let mut xml = Xml::new();
    xml.element("volumeModification", |xml| modification.write(xml, &id, call.now));
    volume
        .modified_at
        .retain(|begun| call.now < after(*begun, LONGEST_WINDOW));
    volume.modified_at.push(call.now);
    volume.former_modification = volume.modification.replace(modification);
    volume.settle(call.now);
    Ok(xml)
}

impl Wish {
    fn take(form: &mut Form) -> Result<Self, Ec2Error> {
        let wish = Self {
            size_gib: form.count("Size")?,
            volume_type: form.text("VolumeType"),
            iops: form.count("Iops")?,
            throughput: form.count("Throughput")?,
            multi_attach: form.boolean("MultiAttachEnabled")?,
        };
        let given = [wish.size_gib, wish.iops, wish.throughput];
        if given.iter().all(Option::is_none) && wish.volume_type.is_none() && wish.multi_attach.is_none() {
            return Err(Ec2Error::missing(
                "Size, VolumeType, Iops, Throughput or MultiAttachEnabled",
            ));
        }
        Ok(wish)
    }

    /// What the volume will be. Without a new type, performance that is not asked for stays as it is.
    fn target(&self, volume: &Volume) -> Result<Shape, Ec2Error> {
        let current = &volume.shape;
        let limits = match &self.volume_type {
            Some(name) => limits::volume_type(name)?,
            None => current.limits,
        };
        let size_gib = self.size_gib.unwrap_or(current.size_gib);
        if size_gib < current.size_gib {
            return Err(Ec2Error::invalid("New size cannot be smaller than existing size"));
        }
        limits.check_size(size_gib)?;
        let same_type = limits == current.limits;
        let kept = |value: Option<u32>, changeable: bool| value.filter(|_| same_type && changeable);
        let provisioned = matches!(limits.iops, limits::Iops::Provisioned { .. });
        let iops = self.iops.or(kept(current.iops, provisioned));
        let iops = limits.iops(size_gib, iops)?;
        let throughput = self
            .throughput
            .or(kept(current.throughput, limits.throughput.is_some()));
        Ok(Shape {
            size_gib,
            limits,
            iops,
            throughput: limits.throughput(iops, throughput)?,
        })
    }

    fn multi_attach(&self, volume: &Volume, target: &Shape) -> Result<bool, Ec2Error> {
        let wanted = self.multi_attach.unwrap_or(volume.multi_attach);
        target.limits.check_multi_attach(wanted)?;
        if wanted != volume.multi_attach && !volume.attachments.is_empty() {
            return Err(Ec2Error::state(format!(
                "The volume '{}' must be detached to change MultiAttachEnabled.",
                volume.id
            )));
        }
        Ok(wanted)
    }
}

fn check_previous(volume: &Volume, call: &Call<'_>) -> Result<(), Ec2Error> {
    match &volume.modification {
        Some(previous) if previous.runs(call.now) => Err(Ec2Error::new(
            "IncorrectModificationState",
            format!(
                "Volume {} cannot be modified in modification state {}",
                volume.id,
                previous.state(call.now).to_uppercase()
            ),
        )),
        _ => Ok(()),
    }
}

fn check_rate(volume: &Volume, call: &Call<'_>) -> Result<(), Ec2Error> {
    let (most, window) = match call.options.rules.modification_rate {
        ModificationRate::Unlimited => return Ok(()),
        ModificationRate::FourInADay => (4, HOUR * 24),
        ModificationRate::OnceInSixHours => (1, HOUR * 6),
    };
    let recent: Vec<Timestamp> = volume
        .modified_at
        .iter()
        .map(|begun| after(*begun, window))
        .filter(|counted_until| call.now < *counted_until)
        .collect();
    if recent.len() < most {
        return Ok(());
    }
    let hours = window.as_secs() / 3600;
    let mut message = format!(
        "You've reached the maximum modification rate per volume limit: {most} in {hours} hours per EBS volume."
    );
    let free_at = recent.get(recent.len() - most).copied();
    if let Some(free_at) = free_at.filter(|_| call.options.rules.modification_rate_names_time) {
        message.push_str(&format!(
            " The volume can be modified again at {}.",
            time(free_at)
        ));
    }
    Err(Ec2Error::new("VolumeModificationRateExceeded", message))
}

fn check_amount(state: &State, target: &Shape, call: &Call<'_>) -> Result<(), Ec2Error> {
    let Some(most) = call.options.rules.modification_gib else {
        return Ok(());
    };
    let running: u64 = state
        .volumes
        .values()
        .filter_map(|volume| volume.modification.as_ref())
        .filter(|modification| modification.runs(call.now))
        .map(|modification| u64::from(modification.target.size_gib))
        .sum();
    if running + u64::from(target.size_gib) <= most {
        return Ok(());
    }
    Err(Ec2Error::new(
        "VolumeModificationSizeLimitExceeded",
        format!("You have exceeded your maximum of {most} GiB under modification in this region."),
    ))
}

fn begin(volume: &Volume, target: Shape, target_multi_attach: bool, call: &Call<'_>) -> Modification {
    let timing = &call.options.timing;
    let effective_at = after(call.now, timing.modifying);
    let optimizing = timing.optimizing + timing.optimizing_per_gib.saturating_mul(target.size_gib);
    Modification {
        original: volume.shape,
        target,
        original_multi_attach: volume.multi_attach,
        target_multi_attach,
        started_at: call.now,
        effective_at,
        completed_at: after(effective_at, optimizing),
        seen_from: after(call.now, call.options.lag.modification),
        fails: call.fails_later,
        applied: false,
    }
}

/// Carries out DescribeVolumesModifications: the latest modification of each volume. A volume asked for by ID that
/// never was modified is an error.
pub(in crate::ec2) fn describe(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let now = call.now;
    let ids = form.list("VolumeId");
    let filters = Filters::take(&mut form, FILTERS, false)?;
    let page = Page::take(&mut form, MOST_ROWS, None, &call.options.rules)?;
    let dry_run = form.dry_run()?;
    form.boolean("IncludeManagedResources")?;
    form.finish()?;
    check_seen(state, &ids, call)?;
    let seen = |volume: &Volume| volume.shown_modification(now).is_some();
    if let Some(id) = ids.iter().find(|id| !state.volumes.get(*id).is_some_and(seen)) {
        return Err(Ec2Error::new(
            "InvalidVolumeModification.NotFound",
            format!("Modification for volume '{id}' does not exist."),
        ));
    }
    call.rehearsal(dry_run)?;
    let wanted = chosen(&state.volumes, &ids)
        .filter_map(|volume| Some((volume, volume.shown_modification(now)?)))
        .filter(|(volume, modification)| {
            filters.pass(&volume.tags, now, |name| {
                field(&volume.id, modification, name, now)
            })
        });
    let (rows, next) = page.cut(wanted.map(|row| (row.0.id.clone(), row)));
    let mut xml = Xml::new();
    xml.list("volumeModificationSet", rows, |xml, (volume, modification)| {
        modification.write(xml, &volume.id, now);
    });
    xml.optional("nextToken", next);
    Ok(xml)
}

fn field(id: &str, modification: &Modification, name: &str, now: Timestamp) -> Vec<String> {
    let (original, target) = (&modification.original, &modification.target);
    match name {
        "modification-state" => one(Some(modification.state(now))),
        "original-iops" => one(original.iops),
        "original-size" => one(Some(original.size_gib)),
        "original-volume-type" => one(Some(original.limits.name)),
        "start-time" => one(Some(time(modification.started_at))),
        "target-iops" => one(target.iops),
        "target-size" => one(Some(target.size_gib)),
        "target-volume-type" => one(Some(target.limits.name)),
        "volume-id" => one(Some(id)),
        _ => Vec::new(),
    }
}
