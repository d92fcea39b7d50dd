//! One object from one version to another. Source: snapshot.md 1.2, 1.4, Q1.
//!
//! `v1` and `v1beta2` have the same fields. `v1beta1` has of the members of a content only their handles: the rest travels
//! in an annotation, so that the way there and back changes nothing.

use crds::names::group::{GROUP, INFO_LIST_ANNOTATION};
use serde_json::{Map, Value, json};

const CONTENT: &str = "VolumeGroupSnapshotContent";
const KINDS: [&str; 3] = ["VolumeGroupSnapshot", "VolumeGroupSnapshotClass", CONTENT];
/// The members in the status of a content, and what `v1beta1` has of them.
const INFO_LIST: &str = "volumeSnapshotInfoList";
const PAIR_LIST: &str = "volumeSnapshotHandlePairList";
const HANDLES: [&str; 2] = ["volumeHandle", "snapshotHandle"];

/// Why an object cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// It is no object.
    #[error("what is to be converted is no object")]
    NoObject,
    /// The API version is none that this webhook knows.
    #[error("{0:?} is no API version that is converted here; those are {GROUP}/v1, v1beta2 and v1beta1")]
    Version(String),
    /// The kind is none of the group kinds.
    #[error("kind {0:?} is not converted here; remove the webhook from its definition")]
    Kind(String),
    /// A member is not of the type that it must have.
    #[error("{0} is not what the definition says; it must be {1}")]
    Shape(&'static str, &'static str),
    /// The annotation that holds the members was altered.
    #[error(
        "the annotation {INFO_LIST_ANNOTATION} cannot be used: {0}; remove it, or put back what stood in it"
    )]
    Annotation(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1beta1,
    /// `v1beta2`, or `v1`, which has the same fields.
    Later,
}

impl Version {
    fn of(api_version: &str) -> Result<Self, ConversionError> {
        let version = api_version
            .strip_prefix(GROUP)
            .and_then(|rest| rest.strip_prefix('/'));
        match version {
            Some("v1beta1") => Ok(Self::V1beta1),
            Some("v1beta2" | "v1") => Ok(Self::Later),
            _ => Err(ConversionError::Version(api_version.to_owned())),
        }
    }
}

/// The object in the desired API version, such as `groupsnapshot.storage.k8s.io/v1`. Of the metadata only one annotation
/// may change, as the API server wants it.
///
/// # Errors
/// [`ConversionError`].
pub fn convert(object: Value, desired: &str) -> Result<Value, ConversionError> {
    let Value::Object(mut object) = object else {
        return Err(ConversionError::NoObject);
    };
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (from, to) = (Version::of(text("apiVersion"))?, Version::of(desired)?);
    let kind = text("kind");
    if !KINDS.contains(&kind) {
        return Err(ConversionError::Kind(kind.to_owned()));
    }
    if kind == CONTENT {
        match (from, to) {
            (Version::V1beta1, Version::Later) => from_v1beta1(&mut object)?,
            (Version::Later, Version::V1beta1) => to_v1beta1(&mut object)?,
            (Version::V1beta1, Version::V1beta1) | (Version::Later, Version::Later) => {}
        }
    }
    object.insert("apiVersion".to_owned(), json!(desired));
    Ok(Value::Object(object))
}

/// The annotation replaces the list where it is there; else the handles are all that is known.
fn from_v1beta1(object: &mut Map<String, Value>) -> Result<(), ConversionError> {
    let kept = take_annotation(object)?;
    let pairs = match members(object, "status")? {
        Some(status) => list(status.remove(PAIR_LIST), "status.volumeSnapshotHandlePairList")?,
        None => None,
    };
    let all = match kept {
        Some(text) => Some(parsed(&text)?),
        None => pairs,
    };
    if let Some(all) = all {
        let status = object.entry("status").or_insert_with(|| json!({}));
        if let Value::Object(status) = status {
            status.insert(INFO_LIST.to_owned(), Value::Array(all));
        }
    }
    Ok(())
}

fn to_v1beta1(object: &mut Map<String, Value>) -> Result<(), ConversionError> {
    let infos = match members(object, "status")? {
        Some(status) => list(status.remove(INFO_LIST), "status.volumeSnapshotInfoList")?,
        None => None,
    };
    // One that is left from before would come back as members that nobody has.
    take_annotation(object)?;
    let Some(infos) = infos else {
        return Ok(());
    };
    let mut pairs = Vec::new();
    for info in &infos {
        let Value::Object(info) = info else {
            return Err(ConversionError::Shape(
                "an entry of status.volumeSnapshotInfoList",
                "an object",
            ));
        };
        // Both handles are required in this version.
        let handle = |name: &&str| {
            let handle = info.get(*name).cloned().unwrap_or_else(|| json!(""));
            ((*name).to_owned(), handle)
        };
        pairs.push(Value::Object(HANDLES.iter().map(handle).collect()));
    }
    let metadata = child(object, "metadata")?;
    let annotations = child(metadata, "annotations")?;
    let text = Value::Array(infos).to_string();
    annotations.insert(INFO_LIST_ANNOTATION.to_owned(), Value::String(text));
    child(object, "status")?.insert(PAIR_LIST.to_owned(), Value::Array(pairs));
    Ok(())
}

fn parsed(text: &str) -> Result<Vec<Value>, ConversionError> {
    let malformed = |reason: String| ConversionError::Annotation(reason);
    match serde_json::from_str(text) {
        Ok(Value::Array(all)) if all.iter().all(Value::is_object) => Ok(all),
        Ok(_) => Err(malformed("it is no list of objects".to_owned())),
        Err(error) => Err(malformed(error.to_string())),
    }
}

fn take_annotation(object: &mut Map<String, Value>) -> Result<Option<String>, ConversionError> {
    let Some(metadata) = members(object, "metadata")? else {
        return Ok(None);
    };
    let Some(annotations) = members(metadata, "annotations")? else {
        return Ok(None);
    };
    let taken = annotations.remove(INFO_LIST_ANNOTATION);
    if taken.is_some() && annotations.is_empty() {
        metadata.remove("annotations");
    }
    match taken {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ConversionError::Annotation("it is no text".to_owned())),
    }
}

/// The members of an object in an object. Null counts as absent.
fn members<'a>(
    object: &'a mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a mut Map<String, Value>>, ConversionError> {
    match object.get_mut(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(ConversionError::Shape(name, "an object")),
    }
}

/// The same, made where there are none.
fn child<'a>(
    object: &'a mut Map<String, Value>,
    name: &'static str,
) -> Result<&'a mut Map<String, Value>, ConversionError> {
    let child = object.entry(name).or_insert(Value::Null);
    if child.is_null() {
        *child = json!({});
    }
    match child {
        Value::Object(members) => Ok(members),
        _ => Err(ConversionError::Shape(name, "an object")),
    }
}

fn list(value: Option<Value>, name: &'static str) -> Result<Option<Vec<Value>>, ConversionError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(all)) => Ok(Some(all)),
        Some(_) => Err(ConversionError::Shape(name, "a list")),
    }
}
