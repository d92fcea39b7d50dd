//! Objects of a model, changed as an API server changes them.

use json_patch::{PatchOperation, merge};
use serde_json::{Value, json};

use crate::patch::Change;

/// The API server refuses the patch: a test failed, or it names another object or another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Applies a patch and gives the object this version.
///
/// # Errors
/// [`Refused`]; the object is as before.
pub fn change(object: &mut Value, change: &Change, version: &str) -> Result<(), Refused> {
    let mut changed = object.clone();
    match change {
        Change::Json(patch) => {
            for operation in patch.iter().filter(|one| !tests_absence(object, one)) {
                json_patch::patch(&mut changed, std::slice::from_ref(operation)).map_err(|_| Refused)?;
            }
        }
        Change::Merge(body) => {
            let (wanted, seen) = (&body["metadata"], &object["metadata"]);
            let version = &wanted["resourceVersion"];
            if wanted["uid"] != seen["uid"] || !(version.is_null() || *version == seen["resourceVersion"]) {
                return Err(Refused);
            }
            merge(&mut changed, body);
        }
    }
    changed["metadata"]["resourceVersion"] = json!(version);
    if let (true, Some(metadata)) = (
        finalizers(&changed).is_empty(),
        changed["metadata"].as_object_mut(),
    ) {
        // An API server keeps no empty list.
        metadata.remove("finalizers");
    }
    *object = changed;
    Ok(())
}

/// The object was deleted, and nothing holds it any longer.
#[must_use]
pub fn is_gone(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null() && finalizers(object).is_empty()
}

/// The finalizers of an object.
#[must_use]
pub fn finalizers(object: &Value) -> &[Value] {
    object["metadata"]["finalizers"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

/// A test for null of a member that is not there passes, as in the API server.
fn tests_absence(object: &Value, operation: &PatchOperation) -> bool {
    matches!(operation, PatchOperation::Test(test)
        if test.value.is_null() && test.path.resolve(object).is_err())
}
