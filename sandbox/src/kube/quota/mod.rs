//! ResourceQuota: admission by what the quotas of a namespace say is used, and what is used in truth.
//!
//! As in the real API server a write is held against `status.hard` and `status.used`, and what is taken is booked into
//! `status.used` with it. Deletions free nothing here: [`crate::actors`] plays the controller, which counts anew.
//!
//! Source: `apiserver pkg/admission/plugin/resourcequota`.

mod usage;

use std::fmt::Write as _;

use serde_json::{Map, Value};

use self::usage::{CLAIMS, SERVICES, counts_in, is_counted, usage};
use super::error::ApiError;
use super::object::metadata_str;
use super::resource::GroupResource;
use super::state::State;
use super::validation::quantity::Quantity;
use super::write::{self, Operation, Target};

pub(crate) use self::usage::Amounts;

pub(crate) const QUOTAS: GroupResource<'static> = GroupResource::new("", "resourcequotas");
/// Who books, as `managedFields` name it.
const MANAGER: &str = "kube-apiserver";

/// What a quota says after a write: its name and all that is used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Booking {
    quota: String,
    used: Amounts,
}

/// A write of an object, as quotas see it.
#[derive(Clone, Copy)]
struct Charge<'a> {
    id: GroupResource<'a>,
    new: &'a Value,
    /// The object before an update.
    old: Option<&'a Value>,
    /// What a controller writes into a status is booked, and never refused.
    is_refusable: bool,
}

/// Holds a write against the quotas of its namespace. Returns what to [`book`] once it is stored.
///
/// # Errors
/// Forbidden.
pub(crate) fn admit(
    state: &State,
    target: &Target<'_>,
    new: &Value,
    old: Option<&Value>,
) -> Result<Vec<Booking>, ApiError> {
    let (resource, id) = (&target.resource, target.resource.id());
    let is_charged = match (old, target.subresource) {
        (None, "") => resource.namespaced && is_counted(id),
        (Some(_), "") => id == CLAIMS || id == SERVICES,
        (_, subresource) => id == CLAIMS && subresource == "status",
    };
    if !is_charged {
        return Ok(Vec::new());
    }
    let charge = Charge {
        id,
        new,
        old,
        is_refusable: target.subresource.is_empty(),
    };
    let quotas = state.collection(QUOTAS).into_iter();
    let quotas = quotas.flat_map(|collection| collection.range(Some(target.namespace), None));
    let quotas: Vec<&Value> = quotas.map(|quota| quota.value()).collect();
    bookings(&quotas, charge).map_err(|why| ApiError::forbidden(resource, metadata_str(new, "name"), &why))
}

/// Writes what a stored object took.
pub(crate) fn book(state: &mut State, target: &Target<'_>, bookings: Vec<Booking>) {
    for Booking { quota, used } in bookings {
        let Some(resource) = state.collection(QUOTAS).map(|quotas| quotas.resource.clone()) else {
            return;
        };
        let status = Target {
            resource,
            version: "v1",
            name: &quota,
            subresource: "status",
            manager: MANAGER,
            ..target.clone()
        };
        if let Ok(stored) = status.stored(state) {
            let mut new = stored.value().clone();
            new["status"]["used"] = json_of(&used);
            // More of what was good before: there is nothing to refuse.
            let _ = write::update(state, &status, &stored, stored.value(), new, Operation::Update);
        }
    }
}

/// What the objects of a namespace take of the named limits. Names that no served kind counts in are left out.
pub(crate) fn used<'a>(
    state: &State,
    namespace: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Amounts {
    let mut used = Amounts::new();
    let namespaced = state
        .collections()
        .filter(|collection| collection.resource.namespaced);
    for collection in namespaced {
        let id = collection.resource.id();
        let counted: Vec<&str> = names.clone().filter(|name| counts_in(id, name)).collect();
        if counted.is_empty() {
            continue;
        }
        let mut sums: Amounts = counted
            .iter()
            .map(|name| ((*name).to_owned(), Quantity::whole(0)))
            .collect();
        for object in collection.range(Some(namespace), None) {
            add(&mut sums, &usage(id, object.value()));
        }
        used.extend(sums);
    }
    used
}

/// The amounts at a pointer of a quota.
pub(crate) fn amounts(quota: &Value, pointer: &str) -> Amounts {
    let members = quota.pointer(pointer).and_then(Value::as_object);
    let read = |(name, value): (&String, &Value)| Some((name.clone(), Quantity::read(value)?));
    members.into_iter().flatten().filter_map(read).collect()
}

/// Amounts as they stand in a quota.
pub(crate) fn json_of(amounts: &Amounts) -> Value {
    let members = amounts.iter();
    let members = members.map(|(name, amount)| (name.clone(), Value::from(amount.to_string())));
    Value::Object(members.collect::<Map<_, _>>())
}

/// Adds to those amounts that are there.
fn add(sums: &mut Amounts, more: &Amounts) {
    for (name, sum) in sums {
        if let Some(amount) = more.get(name) {
            *sum = sum.plus(amount);
        }
    }
}

/// What the quotas of a namespace say after a write; those that it does not touch are left out.
///
/// # Errors
/// Why it is forbidden.
fn bookings(quotas: &[&Value], charge: Charge<'_>) -> Result<Vec<Booking>, String> {
    let mut concerned = Vec::new();
    for quota in quotas {
        let (name, hard, used) = (
            metadata_str(quota, "name"),
            amounts(quota, "/status/hard"),
            amounts(quota, "/status/used"),
        );
        let counted: Vec<&str> = hard
            .keys()
            .map(String::as_str)
            .filter(|name| counts_in(charge.id, name))
            .collect();
        if counted.is_empty() {
            continue;
        }
        if counted.iter().any(|name| !used.contains_key(*name)) {
            let counted = counted.join(",");
            return Err(format!("status unknown for quota: {name}, resources: {counted}"));
        }
        concerned.push((name, hard, used));
    }
    let asked = charge.asked();
    let mut bookings = Vec::new();
    for (name, hard, used) in concerned {
        let mut asked = asked.clone();
        asked.retain(|name, _| hard.contains_key(name));
        if asked.is_empty() {
            continue;
        }
        let mut booked = used.clone();
        add(&mut booked, &asked);
        if charge.is_refusable {
            refuse_excess(name, &hard, &used, &asked, &booked)?;
        }
        bookings.push(Booking {
            quota: name.to_owned(),
            used: booked,
        });
    }
    Ok(bookings)
}

impl Charge<'_> {
    /// What the write takes more than the object before it; nothing is given back.
    fn asked(&self) -> Amounts {
        let mut asked = usage(self.id, self.new);
        let before = self.old.map(|old| usage(self.id, old)).unwrap_or_default();
        for (name, amount) in &mut asked {
            if let Some(before) = before.get(name) {
                *amount = amount.plus(&before.negated());
            }
        }
        asked.retain(|_, amount| amount.is_positive());
        asked
    }
}

fn refuse_excess(
    quota: &str,
    hard: &Amounts,
    used: &Amounts,
    asked: &Amounts,
    booked: &Amounts,
) -> Result<(), String> {
    let is_exceeded = |name: &&String| booked.get(*name) > hard.get(*name);
    let exceeded: Vec<&String> = asked.keys().filter(is_exceeded).collect();
    if exceeded.is_empty() {
        return Ok(());
    }
    let shown = |amounts: &Amounts| {
        let mut text = String::new();
        for name in &exceeded {
            if let Some(amount) = amounts.get(*name) {
                let comma = if text.is_empty() { "" } else { "," };
                // A text takes everything.
                let _ = write!(text, "{comma}{name}={amount}");
            }
        }
        text
    };
    Err(format!(
        "exceeded quota: {quota}, requested: {}, used: {}, limited: {}",
        shown(asked),
        shown(used),
        shown(hard)
    ))
}

#[cfg(test)]
mod tests;
