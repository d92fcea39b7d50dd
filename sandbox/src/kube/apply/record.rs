//! The entries of `metadata.managedFields`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Conflict;
use super::fields::Fields;

/// How a manager wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By an apply patch.
    Apply,
    /// By create, update or any other patch.
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who wrote, how and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    manager: String,
    operation: Operation,
    version: String,
    subresource: String,
    time: String,
}

impl Entry {
    pub(super) fn new(
        manager: &str,
        operation: Operation,
        object: &Value,
        subresource: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            manager: manager.to_owned(),
            operation,
            version: object["apiVersion"].as_str().unwrap_or_default().to_owned(),
            subresource: subresource.to_owned(),
            time: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }

    fn read(value: &Value) -> Self {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        Self {
            manager: text("manager"),
            operation: if value["operation"] == "Apply" {
                Operation::Apply
            } else {
                Operation::Update
            },
            version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
        }
    }

    /// The same writer, whenever it wrote.
    fn is(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && self.version == other.version
    }

    /// What the text of a conflict says beside the manager.
    fn how(&self) -> String {
        let mut how = String::new();
        if !self.subresource.is_empty() {
            how = format!(" with subresource \"{}\"", self.subresource);
        }
        if self.operation == Operation::Update {
            how.push_str(&format!(" using {}", self.version));
        }
        how
    }

    fn write(&self, fields: &Fields) -> Value {
        let mut entry = json!({
            "manager": self.manager,
            "operation": self.operation.name(),
            "apiVersion": self.version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.encode(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = Value::from(self.subresource.clone());
        }
        entry
    }
}

/// All entries of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    entries: Vec<(Entry, Fields)>,
}

impl Record {
    pub(super) fn read(object: &Value) -> Self {
        let listed = object["metadata"]["managedFields"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let read = listed
            .iter()
            .map(|value| (Entry::read(value), Fields::decode(&value["fieldsV1"])));
        Self {
            entries: read.filter(|(entry, _)| !entry.manager.is_empty()).collect(),
        }
    }

    pub(super) fn fields_of(&self, own: &Entry) -> Fields {
        self.entries
            .iter()
            .find(|(entry, _)| entry.is(own))
            .map(|(_, fields)| fields.clone())
            .unwrap_or_default()
    }

    pub(super) fn fields_of_others(&self, own: &Entry) -> Fields {
        let others = self.entries.iter().filter(|(entry, _)| !entry.is(own));
        others.fold(Fields::default(), |all, (_, fields)| all.union(fields))
    }

    /// Fields of others among those that `own` changes.
    pub(super) fn conflicts(&self, own: &Entry, changed: &Fields) -> Vec<Conflict> {
        let mut conflicts: Vec<Conflict> = self
            .entries
            .iter()
            .filter(|(entry, _)| entry.manager != own.manager || entry.operation == Operation::Update)
            .filter(|(entry, _)| !entry.is(own))
            .flat_map(|(entry, fields)| {
                fields
                    .intersection(changed)
                    .paths()
                    .into_iter()
                    .map(|field| Conflict {
                        manager: entry.manager.clone(),
                        how: entry.how(),
                        field,
                    })
            })
            .collect();
        conflicts.sort_by(|left, right| (&left.manager, &left.field).cmp(&(&right.manager, &right.field)));
        conflicts
    }

    /// What `own` changed belongs to no one else any more.
    pub(super) fn take_from_others(&mut self, own: &Entry, changed: &Fields) {
        for (entry, fields) in &mut self.entries {
            if !entry.is(own) {
                *fields = fields.difference(changed);
            }
        }
        self.entries.retain(|(_, fields)| !fields.is_empty());
    }

    /// Gives `own` these fields. The time moves only when they differ.
    pub(super) fn set(&mut self, own: Entry, fields: Fields) {
        if let Some(place) = self.entries.iter().position(|(entry, _)| entry.is(&own)) {
            if self.entries[place].1 == fields {
                return;
            }
            self.entries.remove(place);
        }
        if !fields.is_empty() {
            self.entries.push((own, fields));
        }
    }

    /// Puts the entries into the object: applies first, then by time and name.
    pub(super) fn write(mut self, object: &mut Value) {
        self.entries.sort_by(|(left, _), (right, _)| {
            (left.operation, &left.time, &left.manager, &left.subresource).cmp(&(
                right.operation,
                &right.time,
                &right.manager,
                &right.subresource,
            ))
        });
        let entries: Vec<Value> = self
            .entries
            .iter()
            .map(|(entry, fields)| entry.write(fields))
            .collect();
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            return;
        };
        if entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(entries));
        }
    }
}
