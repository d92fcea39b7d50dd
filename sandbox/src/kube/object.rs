//! Stored objects and access to their metadata.

use std::cell::RefCell;
use std::sync::OnceLock;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// A longer draft is not kept.
const LONGEST_DRAFT_BYTES: usize = 64 * 1024;

thread_local! {
    /// Where a text grows, so that it is allocated once, as long as it came out.
    static DRAFT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One stored state of an object. Never changes: a write stores another.
#[derive(Debug)]
pub struct Object {
    value: Value,
    key: String,
    revision: u64,
    json: OnceLock<Bytes>,
}

impl Object {
    /// Takes `value`, whose `metadata.resourceVersion` is `revision`, as the state of the object at `key`.
    pub(crate) fn new(key: String, revision: u64, value: Value) -> Self {
        Self {
            value,
            key,
            revision,
            json: OnceLock::new(),
        }
    }

    /// The object, in the storage version of its type.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The `metadata.resourceVersion` as a number.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The object's place in its collection: `namespace/name`, or the name alone.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The namespace, empty for objects of the cluster.
    #[must_use]
    pub fn namespace(&self) -> &str {
        metadata_str(&self.value, "namespace")
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        metadata_str(&self.value, "name")
    }

    /// The UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        metadata_str(&self.value, "uid")
    }

    /// The object as JSON text; serialised once however many watches send it.
    pub(crate) fn json(&self) -> Bytes {
        self.json.get_or_init(|| serialise(&self.value)).clone()
    }
}

/// JSON text of a value.
pub(crate) fn serialise(value: &Value) -> Bytes {
    DRAFT.with_borrow_mut(|draft| {
        draft.clear();
        // A `Value` has string keys and finite numbers only: serialising it cannot fail.
        let _ = serde_json::to_writer(&mut *draft, value);
        let text = Bytes::copy_from_slice(draft);
        draft.shrink_to(LONGEST_DRAFT_BYTES);
        text
    })
}

/// The key of an object in its collection; keys order as those of the real server's storage do.
pub(crate) fn key_of(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

/// A text field of the metadata, empty when missing.
pub(crate) fn metadata_str<'a>(value: &'a Value, field: &str) -> &'a str {
    value
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The metadata, put there when missing or no object.
pub(crate) fn metadata_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let metadata = &mut value["metadata"];
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    match metadata {
        Value::Object(map) => map,
        _ => unreachable!("made an object two lines above"),
    }
}

/// The finalizers of an object.
pub(crate) fn finalizers(value: &Value) -> impl Iterator<Item = &str> {
    value
        .get("metadata")
        .and_then(|metadata| metadata.get("finalizers"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// True once a deletion was asked for.
pub(crate) fn is_deleting(value: &Value) -> bool {
    !metadata_str(value, "deletionTimestamp").is_empty()
}

/// A moment as Kubernetes writes it: whole seconds, UTC.
pub(crate) fn time_text(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Removes empty and null metadata fields, which the typed API objects of the real server omit.
pub(crate) fn drop_empty_metadata(value: &mut Value) {
    metadata_mut(value).retain(|_, field| match field {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    });
}

/// True once the containers of a pod run no more.
pub(crate) fn has_ended(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}
