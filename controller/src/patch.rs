//! Patches that change single keys, so that nothing another writer did in between is lost (snapshot.md Q15).

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, TestOperation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

/// The body of a PATCH.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A JSON patch (RFC 6902).
    Json(Patch),
    /// A merge patch (RFC 7386).
    Merge(Value),
}

impl Change {
    /// A JSON patch of these operations.
    #[must_use]
    pub fn json(operations: Vec<PatchOperation>) -> Self {
        Self::Json(Patch(operations))
    }
}

/// Adds or replaces a member, or inserts into a list.
#[must_use]
pub fn add(path: &[&str], value: impl Into<Value>) -> PatchOperation {
    PatchOperation::Add(AddOperation {
        path: PointerBuf::from_tokens(path.iter().copied()),
        value: value.into(),
    })
}

/// Fails the whole patch when the member has another value. Null passes where there is no such member.
#[must_use]
pub fn test(path: &[&str], value: impl Into<Value>) -> PatchOperation {
    PatchOperation::Test(TestOperation {
        path: PointerBuf::from_tokens(path.iter().copied()),
        value: value.into(),
    })
}

/// Removes a member.
#[must_use]
pub fn remove(path: &[&str]) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation {
        path: PointerBuf::from_tokens(path.iter().copied()),
    })
}

/// Fails the patch when the object is another one of the same name.
#[must_use]
pub fn same_object(uid: Option<&str>) -> PatchOperation {
    test(&["metadata", "uid"], uid.unwrap_or_default())
}

/// Members of a status by name; none removes one.
pub type Members = Vec<(&'static str, Option<Value>)>;

/// Operations that write these members of the status. They test the UID, so that a new object of the same name is not
/// told about its predecessor, and where there is no status yet that too: another writer's first one must not be
/// replaced whole.
#[must_use]
pub fn status(metadata: &ObjectMeta, has_status: bool, members: Members) -> Vec<PatchOperation> {
    let mut operations = vec![same_object(metadata.uid.as_deref())];
    if has_status {
        operations.extend(members.into_iter().map(|(name, value)| match value {
            Some(value) => add(&["status", name], value),
            None => remove(&["status", name]),
        }));
    } else {
        let present = |(name, value): (&'static str, Option<Value>)| Some((name.to_owned(), value?));
        let first: Map<String, Value> = members.into_iter().filter_map(present).collect();
        operations.push(test(&["status"], Value::Null));
        operations.push(add(&["status"], Value::Object(first)));
    }
    operations
}

/// Operations that add what is missing of `wanted`, nothing when all is there. They test the list that was
/// seen: another writer may have made it longer, and a repeated write would append twice.
#[must_use]
pub fn add_finalizers(present: Option<&[String]>, wanted: &[&str]) -> Vec<PatchOperation> {
    let seen = present.unwrap_or_default();
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|name| !seen.iter().any(|other| other == *name))
        .copied()
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let mut operations = vec![test(&["metadata", "finalizers"], json!(present))];
    if present.is_none() {
        operations.push(add(&["metadata", "finalizers"], missing));
    } else {
        operations.extend(
            missing
                .into_iter()
                .map(|name| add(&["metadata", "finalizers", "-"], name)),
        );
    }
    operations
}

/// Operations that remove what is there of `unwanted`, each with a test of its position, last first.
#[must_use]
pub fn remove_finalizers(present: &[String], unwanted: &[&str]) -> Vec<PatchOperation> {
    let mut operations = Vec::new();
    for (position, name) in present.iter().enumerate().rev() {
        if unwanted.contains(&name.as_str()) {
            let position = position.to_string();
            let path = ["metadata", "finalizers", position.as_str()];
            operations.push(test(&path, name.as_str()));
            operations.push(remove(&path));
        }
    }
    operations
}

/// Sets one annotation. A merge patch, since the map may or may not exist; the UID in it makes the API server
/// refuse another object of the same name.
#[must_use]
pub fn annotate(metadata: &ObjectMeta, key: &str, value: &str) -> Change {
    let mut annotations = Map::new();
    annotations.insert(key.to_owned(), json!(value));
    Change::Merge(json!({"metadata": {"uid": metadata.uid, "annotations": annotations}}))
}

/// True when the object has this annotation, whatever its value.
#[must_use]
pub fn has_annotation(metadata: &ObjectMeta, key: &str) -> bool {
    metadata
        .annotations
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key(key))
}

/// True when the object has this finalizer.
#[must_use]
pub fn has_finalizer(metadata: &ObjectMeta, name: &str) -> bool {
    finalizers(metadata).iter().any(|other| other == name)
}

/// The finalizers of an object, in order.
#[must_use]
pub fn finalizers(metadata: &ObjectMeta) -> &[String] {
    metadata.finalizers.as_deref().unwrap_or_default()
}
