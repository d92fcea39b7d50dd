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

/// Who writes, how and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    manager: String,
    operation: Operation,
    version: String,
    subresource: String,
    time: String,
}

impl Writer {
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

    /// Whether an entry is this writer's, whenever it wrote.
    fn wrote(&self, entry: &Value) -> bool {
        text(entry, "manager") == self.manager
            && operation(entry) == self.operation
            && text(entry, "subresource") == self.subresource
            && text(entry, "apiVersion") == self.version
    }

    fn entry(self, fields: &Fields) -> Value {
        let mut entry = json!({
            "manager": self.manager,
            "operation": self.operation.name(),
            "apiVersion": self.version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.encode(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = Value::from(self.subresource);
        }
        entry
    }
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn operation(entry: &Value) -> Operation {
    match text(entry, "operation") {
        "Apply" => Operation::Apply,
        _ => Operation::Update,
    }
}

/// What the text of a conflict says beside the manager.
fn how(entry: &Value) -> String {
    let (subresource, version) = (text(entry, "subresource"), text(entry, "apiVersion"));
    let mut how = String::new();
    if !subresource.is_empty() {
        how = format!(" with subresource \"{subresource}\"");
    }
    if operation(entry) == Operation::Update {
        how.push_str(&format!(" using {version}"));
    }
    how
}

/// All entries of an object, as they lie in it: most writes concern one of them, the others are never decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    entries: Vec<Value>,
}

impl Record {
    pub(super) fn read(object: &Value) -> Self {
        let listed = object["metadata"]["managedFields"].as_array();
        Self::of(listed.cloned().unwrap_or_default())
    }

    /// Takes the record out of an object that has one.
    pub(super) fn take(object: &mut Value) -> Option<Self> {
        match object.get_mut("metadata")?.get_mut("managedFields")?.take() {
            Value::Array(entries) => Some(Self::of(entries)),
            _ => None,
        }
    }

    fn of(mut entries: Vec<Value>) -> Self {
        entries.retain(|entry| !text(entry, "manager").is_empty());
        Self { entries }
    }

    pub(super) fn fields_of(&self, own: &Writer) -> Fields {
        let entry = self.entries.iter().find(|entry| own.wrote(entry));
        entry.map(fields).unwrap_or_default()
    }

    pub(super) fn fields_of_others(&self, own: &Writer) -> Fields {
        let others = self.entries.iter().filter(|entry| !own.wrote(entry));
        others.fold(Fields::default(), |all, entry| all.union(fields(entry)))
    }

    /// Fields of others among those that `own` changes.
    pub(super) fn conflicts(&self, own: &Writer, changed: &Fields) -> Vec<Conflict> {
        let mut conflicts: Vec<Conflict> = self
            .entries
            .iter()
            .filter(|entry| text(entry, "manager") != own.manager || operation(entry) == Operation::Update)
            .filter(|entry| !own.wrote(entry))
            .flat_map(|entry| {
                let paths = fields(entry).intersection(changed).paths();
                paths.into_iter().map(|field| Conflict {
                    manager: text(entry, "manager").to_owned(),
                    how: how(entry),
                    field,
                })
            })
            .collect();
        conflicts.sort_by(|left, right| (&left.manager, &left.field).cmp(&(&right.manager, &right.field)));
        conflicts
    }

    /// What `own` changed belongs to no one else any more.
    pub(super) fn take_from_others(&mut self, own: &Writer, changed: &Fields) {
        self.entries.retain_mut(|entry| {
            if own.wrote(entry) || !changed.touches(&entry["fieldsV1"]) {
                return true;
            }
            let left = fields(entry).difference(changed);
            entry["fieldsV1"] = left.encode();
            !left.is_empty()
        });
    }

    /// Gives `own` these fields. The time moves only when they differ.
    pub(super) fn set(&mut self, own: Writer, wanted: &Fields) {
        if let Some(place) = self.entries.iter().position(|entry| own.wrote(entry)) {
            if fields(&self.entries[place]) == *wanted {
                return;
            }
            self.entries.remove(place);
        }
        if !wanted.is_empty() {
            self.entries.push(own.entry(wanted));
        }
    }

    /// Puts the entries into the object: applies first, then by time and name.
    pub(super) fn write(mut self, object: &mut Value) {
        self.entries.sort_by(|left, right| order(left).cmp(&order(right)));
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            return;
        };
        if self.entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(self.entries));
        }
    }
}

fn fields(entry: &Value) -> Fields {
    Fields::decode(&entry["fieldsV1"])
}

fn order(entry: &Value) -> (Operation, &str, &str, &str) {
    let text = |field| text(entry, field);
    (
        operation(entry),
        text("time"),
        text("manager"),
        text("subresource"),
    )
}
