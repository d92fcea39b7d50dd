//! Tags as they are kept, with the time from which they are seen.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::errors::Ec2Error;
use super::query::Form;
use super::xml::Xml;

const MOST_TAGS: usize = 50;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// The tags of one resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Tags {
    entries: BTreeMap<String, Tag>,
}

#[derive(Clone, Debug)]
struct Tag {
    value: String,
    /// What is seen before `seen_from`.
    previous: Option<String>,
    /// From when on the value is shown.
    shown_from: Timestamp,
    /// From when on filters find it.
    found_from: Timestamp,
}

impl Tags {
    /// The tags that a resource is born with: shown with it, found by filters from `found_from` on.
    pub(super) fn at_birth(tags: BTreeMap<String, String>, found_from: Timestamp) -> Self {
        let born = |(key, value)| {
            let tag = Tag {
                value,
                previous: None,
                shown_from: Timestamp::MIN,
                found_from,
            };
            (key, tag)
        };
        Self {
            entries: tags.into_iter().map(born).collect(),
        }
    }

    /// Sets tags that are seen from `seen_from` on.
    ///
    /// # Errors
    /// `TagLimitExceeded`, with nothing set.
    pub(super) fn set(
        &mut self,
        tags: &BTreeMap<String, String>,
        now: Timestamp,
        seen_from: Timestamp,
    ) -> Result<(), Ec2Error> {
        let added = tags.keys().filter(|key| !self.entries.contains_key(*key)).count();
        check_number(self.entries.len() + added)?;
        for (key, value) in tags {
            let tag = Tag {
                value: value.clone(),
                previous: self.shown(key, now).map(str::to_owned),
                shown_from: seen_from,
                found_from: seen_from,
            };
            self.entries.insert(key.clone(), tag);
        }
        Ok(())
    }

    /// Removes a tag, if `value` is given only one with that value.
    pub(super) fn remove(&mut self, key: &str, value: Option<&str>) {
        if self
            .entries
            .get(key)
            .is_some_and(|tag| value.is_none_or(|value| tag.value == value))
        {
            self.entries.remove(key);
        }
    }

    /// The tags themselves, seen or not.
    pub(super) fn all(&self) -> BTreeMap<String, String> {
        self.entries
            .iter()
            .map(|(key, tag)| (key.clone(), tag.value.clone()))
            .collect()
    }

    /// The tags that are shown now.
    pub(super) fn visible(&self, now: Timestamp) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .keys()
            .filter_map(move |key| Some((key.as_str(), self.shown(key, now)?)))
    }

    /// The keys that filters find now.
    pub(super) fn found_keys(&self, now: Timestamp) -> Vec<String> {
        self.entries
            .keys()
            .filter(|key| self.found(key, now).is_some())
            .cloned()
            .collect()
    }

    /// The value of a tag that filters find now.
    pub(super) fn found(&self, key: &str, now: Timestamp) -> Option<&str> {
        self.entries.get(key)?.at(now, |tag| tag.found_from)
    }

    /// Writes `<tagSet>`, if there are any.
    pub(super) fn write(&self, xml: &mut Xml, now: Timestamp) {
        if self.visible(now).next().is_some() {
            xml.list("tagSet", self.visible(now), |xml, (key, value)| {
                xml.field("key", key);
                xml.field("value", value);
            });
        }
    }

    fn shown(&self, key: &str, now: Timestamp) -> Option<&str> {
        self.entries.get(key)?.at(now, |tag| tag.shown_from)
    }
}

impl Tag {
    fn at(&self, now: Timestamp, from: impl Fn(&Self) -> Timestamp) -> Option<&str> {
        if now >= from(self) {
            Some(&self.value)
        } else {
            self.previous.as_deref()
        }
    }
}

fn check_number(number: usize) -> Result<(), Ec2Error> {
    if number > MOST_TAGS {
        return Err(Ec2Error::new(
            "TagLimitExceeded",
            format!("The maximum number of Tags for a resource has been reached: {MOST_TAGS}."),
        ));
    }
    Ok(())
}

/// Takes out `Tag.N.Key` and `Tag.N.Value`.
///
/// # Errors
/// `InvalidParameterValue` for what EC2 refuses in tags, `TagLimitExceeded`.
pub(super) fn take_tags(form: &mut Form) -> Result<BTreeMap<String, String>, Ec2Error> {
    let mut tags = BTreeMap::new();
    for mut record in form.records("Tag") {
        let key = record.text("Key").unwrap_or_default();
        let value = record.text("Value").unwrap_or_default();
        record.finish()?;
        check_tag(&key, &value)?;
        if tags.insert(key.clone(), value).is_some() {
            return Err(Ec2Error::invalid(format!("Duplicate tag key '{key}' specified.")));
        }
    }
    check_number(tags.len())?;
    Ok(tags)
}

/// Takes out the tags of the `TagSpecification`s, all of which must be for `resource_type`.
///
/// # Errors
/// As [`take_tags`], and `InvalidParameterValue` for another resource type.
pub(super) fn take_specification(
    form: &mut Form,
    resource_type: &str,
) -> Result<BTreeMap<String, String>, Ec2Error> {
    let mut tags = BTreeMap::new();
    for mut record in form.records("TagSpecification") {
        let named = record.text("ResourceType").unwrap_or_default();
        if named != resource_type {
            return Err(Ec2Error::invalid(format!(
                "'{named}' is not a valid taggable resource type for this operation."
            )));
        }
        tags.append(&mut take_tags(&mut record)?);
        record.finish()?;
    }
    check_number(tags.len())?;
    Ok(tags)
}

fn check_tag(key: &str, value: &str) -> Result<(), Ec2Error> {
    if key.is_empty() || key.chars().count() > LONGEST_KEY {
        return Err(Ec2Error::invalid(format!(
            "Tag key '{key}' must have 1 to {LONGEST_KEY} characters."
        )));
    }
    if value.chars().count() > LONGEST_VALUE {
        return Err(Ec2Error::invalid(format!(
            "Tag value of key '{key}' exceeds the maximum length of {LONGEST_VALUE} characters."
        )));
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(Ec2Error::invalid(
            "Tag keys starting with 'aws:' are reserved for internal use",
        ));
    }
    Ok(())
}
