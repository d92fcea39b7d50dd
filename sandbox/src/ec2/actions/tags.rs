//! CreateTags, DeleteTags and DescribeTags.

use super::super::errors::Ec2Error;
use super::super::filters::{Filters, Page, one};
use super::super::model::after;
use super::super::query::Form;
use super::super::state::{Answer, Call, State};
use super::super::tags::{Tags, take_tags};
use super::super::xml::Xml;

const FILTERS: &[&str] = &["key", "resource-id", "resource-type", "value"];
const MOST_ROWS: usize = 1000;
const MOST_RESOURCES: usize = 1000;

/// Carries out CreateTags: all resources get all tags, or none any.
pub(in crate::ec2) fn create(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let ids = resources(&mut form)?;
    let tags = take_tags(&mut form)?;
    if tags.is_empty() {
        return Err(Ec2Error::missing("tagSet"));
    }
    let dry_run = form.dry_run()?;
    form.finish()?;
    let seen_from = after(call.now, call.options.lag.tag);
    for id in &ids {
        let mut rehearsed = tags_of(state, id, call)?.clone();
        rehearsed.set(&tags, call.now, seen_from)?;
    }
    call.rehearsal(dry_run)?;
    for id in &ids {
        tags_of(state, id, call)?.set(&tags, call.now, seen_from)?;
    }
    Ok(Xml::success())
}

/// Carries out DeleteTags. A key with a value is removed only where it has that value; without keys all tags are.
pub(in crate::ec2) fn delete(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let ids = resources(&mut form)?;
    let mut wanted = Vec::new();
    for mut record in form.records("Tag") {
        wanted.push((record.required("Key")?, record.text("Value")));
        record.finish()?;
    }
    let dry_run = form.dry_run()?;
    form.finish()?;
    for id in &ids {
        tags_of(state, id, call)?;
    }
    call.rehearsal(dry_run)?;
    for id in &ids {
        let tags = tags_of(state, id, call)?;
        if wanted.is_empty() {
            *tags = Tags::default();
        }
        for (key, value) in &wanted {
            tags.remove(key, value.as_deref());
        }
    }
    Ok(Xml::success())
}

fn resources(form: &mut Form) -> Result<Vec<String>, Ec2Error> {
    let ids = form.list("ResourceId");
    if ids.is_empty() {
        return Err(Ec2Error::missing("resourceIdSet"));
    }
    if ids.len() > MOST_RESOURCES {
        return Err(Ec2Error::invalid(format!(
            "The maximum number of resources in one request is {MOST_RESOURCES}"
        )));
    }
    Ok(ids)
}

fn tags_of<'a>(state: &'a mut State, id: &str, call: &Call<'_>) -> Result<&'a mut Tags, Ec2Error> {
    match id.split_once('-').map(|(prefix, _)| prefix) {
        Some("vol") => state.volume_mut(id).map(|volume| &mut volume.tags),
        Some("snap") => state
            .own_snapshot_mut(id, call)
            .map(|snapshot| &mut snapshot.tags),
        Some("i") => state
            .instances
            .get_mut(id)
            .map(|instance| &mut instance.tags)
            .ok_or_else(|| Ec2Error::no_instance(id)),
        _ => Err(Ec2Error::new("InvalidID", format!("The ID '{id}' is not valid"))),
    }
}

struct Row<'a> {
    key: &'a str,
    value: &'a str,
    resource_id: &'a str,
    resource_type: &'a str,
    tags: &'a Tags,
}

/// Carries out DescribeTags.
pub(in crate::ec2) fn describe(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let filters = Filters::take(&mut form, FILTERS, true)?;
    let page = Page::take(&mut form, MOST_ROWS, None, &call.options.rules)?;
    let dry_run = form.dry_run()?;
    form.finish()?;
    call.rehearsal(dry_run)?;
    let now = call.now;
    let volumes = state.volumes.values().filter(|volume| volume.seen(now));
    let snapshots = state.snapshots.values().filter(|snapshot| snapshot.seen(now));
    let mut resources: Vec<(&str, &str, &Tags)> = Vec::new();
    resources.extend(
        state
            .instances
            .values()
            .map(|one| (one.id.as_str(), "instance", &one.tags)),
    );
    resources.extend(snapshots.map(|one| (one.id.as_str(), "snapshot", &one.tags)));
    resources.extend(volumes.map(|one| (one.id.as_str(), "volume", &one.tags)));
    let rows = resources
        .into_iter()
        .flat_map(|(resource_id, resource_type, tags)| {
            tags.visible(now).map(move |(key, value)| Row {
                key,
                value,
                resource_id,
                resource_type,
                tags,
            })
        });
    let wanted = rows.filter(|row| filters.pass(row.tags, now, |name| field(row, name)));
    let (rows, next) = page.cut(wanted.map(|row| (format!("{}/{}", row.resource_id, row.key), row)));
    let mut xml = Xml::new();
    xml.list("tagSet", rows, |xml, row| {
        xml.field("resourceId", row.resource_id);
        xml.field("resourceType", row.resource_type);
        xml.field("key", row.key);
        xml.field("value", row.value);
    });
    xml.optional("nextToken", next);
    Ok(xml)
}

fn field(row: &Row<'_>, name: &str) -> Vec<String> {
    match name {
        "key" => one(Some(row.key)),
        "resource-id" => one(Some(row.resource_id)),
        "resource-type" => one(Some(row.resource_type)),
        "value" => one(Some(row.value)),
        _ => Vec::new(),
    }
}
