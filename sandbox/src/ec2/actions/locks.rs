//! LockSnapshot and DescribeLockedSnapshots. Source: spec ebs-driver 2.3.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;

use super::super::errors::Ec2Error;
use super::super::filters::{Filters, Page, chosen, one};
use super::super::model::after;
use super::super::model::snapshot::{Lock, Snapshot};
use super::super::query::Form;
use super::super::state::{Answer, Call, State};
use super::super::xml::Xml;

const DAYS: RangeInclusive<u32> = 1..=36_500;
const COOL_OFF_HOURS: RangeInclusive<u32> = 1..=72;
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
const FILTERS: &[&str] = &["lock-state"];
const MOST_ROWS: usize = 1000;

struct Wish {
    compliance: bool,
    cool_off_hours: Option<u32>,
    days: Option<u32>,
    expires_at: Option<Timestamp>,
}

/// Carries out LockSnapshot.
pub(in crate::ec2) fn lock(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let id = form.required("SnapshotId")?;
    let wish = Wish::take(&mut form)?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    let snapshot = state.own_snapshot_mut(&id, call)?;
    if snapshot.status(call.now) == "error" {
        return Err(Ec2Error::state(format!(
            "The snapshot '{id}' is in the state 'error'."
        )));
    }
    let lock = wish.lock(snapshot, call)?;
    check_change(snapshot.lock.as_ref(), &lock, call)?;
    call.rehearsal(dry_run)?;
    let mut xml = Xml::new();
    xml.field("snapshotId", &id);
    lock.write(&mut xml, call.now);
    snapshot.lock = Some(lock);
    Ok(xml)
}

impl Wish {
    fn take(form: &mut Form) -> Result<Self, Ec2Error> {
        let mode = form.required("LockMode")?;
        let compliance = match mode.as_str() {
            "compliance" => true,
            "governance" => false,
            _ => {
                return Err(Ec2Error::invalid_value(
                    "lockMode",
                    &mode,
                    "Expected: governance or compliance.",
                ));
            }
        };
        let wish = Self {
            compliance,
            cool_off_hours: form.count("CoolOffPeriod")?,
            days: form.count("LockDuration")?,
            expires_at: form.time("ExpirationDate")?,
        };
        wish.check()?;
        Ok(wish)
    }

    fn check(&self) -> Result<(), Ec2Error> {
        match (self.days, self.expires_at) {
            (None, None) => return Err(Ec2Error::missing("LockDuration or ExpirationDate")),
            (Some(_), Some(_)) => {
                return Err(Ec2Error::combination(
                    "The parameter LockDuration cannot be used with the parameter ExpirationDate",
                ));
            }
            _ => {}
        }
        if let Some(days) = self.days.filter(|days| !DAYS.contains(days)) {
            return Err(Ec2Error::invalid_value(
                "lockDuration",
                &days.to_string(),
                "It must be from 1 to 36500 days.",
            ));
        }
        match self.cool_off_hours {
            Some(_) if !self.compliance => Err(Ec2Error::combination(
                "The parameter CoolOffPeriod can be used only with the lock mode compliance",
            )),
            Some(hours) if !COOL_OFF_HOURS.contains(&hours) => Err(Ec2Error::invalid_value(
                "coolOffPeriod",
                &hours.to_string(),
                "It must be from 1 to 72 hours.",
            )),
            _ => Ok(()),
        }
    }

    fn lock(&self, snapshot: &Snapshot, call: &Call<'_>) -> Result<Lock, Ec2Error> {
        let cool_off_ends = self.cool_off_hours.map(|hours| after(call.now, HOUR * hours));
        // A duration counts from the end of the snapshot if that is still to come.
        let counted_from = call.now.max(snapshot.completed_at);
        let (days, expires_at) = match (self.days, self.expires_at) {
            (Some(days), _) => (days, after(counted_from, DAY * days)),
            (None, Some(expires_at)) => (whole_days(counted_from, expires_at), expires_at),
            (None, None) => (0, counted_from),
        };
        if expires_at < after(call.now, DAY) {
            return Err(Ec2Error::invalid_value(
                "expirationDate",
                &expires_at.to_string(),
                "It must be at least a day from now.",
            ));
        }
        Ok(Lock {
            compliance: self.compliance,
            days,
            cool_off_hours: self.cool_off_hours,
            cool_off_ends,
            created_at: call.now,
            counted_from,
            expires_at,
        })
    }
}

fn whole_days(from: Timestamp, to: Timestamp) -> u32 {
    u32::try_from(to.duration_since(from).as_secs() / (24 * 3600)).unwrap_or_default()
}

/// Once a compliance lock has cooled off, it can only be made longer.
fn check_change(old: Option<&Lock>, new: &Lock, call: &Call<'_>) -> Result<(), Ec2Error> {
    let Some(old) = old.filter(|old| old.state(call.now) == "compliance") else {
        return Ok(());
    };
    if new.compliance && new.cool_off_hours.is_none() && new.expires_at >= old.expires_at {
        return Ok(());
    }
    Err(Ec2Error::new(
        "SnapshotLocked",
        "The snapshot is locked in compliance mode; the lock can only be extended.",
    ))
}

/// Carries out DescribeLockedSnapshots.
pub(in crate::ec2) fn describe(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let ids = form.list("SnapshotId");
    let filters = Filters::take(&mut form, FILTERS, false)?;
    let page = Page::take(&mut form, MOST_ROWS, None, &call.options.rules)?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    call.rehearsal(dry_run)?;
    let wanted = chosen(&state.snapshots, &ids)
        .filter(|snapshot| snapshot.owner_id == call.options.account_id)
        .filter_map(|snapshot| Some((snapshot, snapshot.lock.as_ref()?)))
        .filter(|(snapshot, lock)| {
            filters.pass(&snapshot.tags, call.now, |_| one(Some(lock.state(call.now))))
        });
    let (rows, next) = page.cut(wanted.map(|row| (row.0.id.clone(), row)));
    let mut xml = Xml::new();
    xml.list("snapshotSet", rows, |xml, (snapshot, lock)| {
        xml.field("snapshotId", &snapshot.id);
        xml.field("ownerId", &snapshot.owner_id);
        lock.write(xml, call.now);
    });
    xml.optional("nextToken", next);
    Ok(xml)
}
