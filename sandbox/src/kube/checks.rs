//! Whether an object fits the request that it came with: type, place, identity.

use serde_json::{Value, json};

use super::error::{ApiError, Cause};
use super::object::{Object, is_deleting, key_of, metadata_mut, metadata_str};
use super::state::State;
use super::write::{DEFINITIONS, NAMESPACES, Target};

/// Fills in or checks apiVersion and kind.
pub(crate) fn check_type(target: &Target<'_>, value: &mut Value) -> Result<(), ApiError> {
    let resource = &target.resource;
    let expected = resource.api_version(target.version);
    let Some(object) = value.as_object_mut() else {
        return Err(ApiError::bad_request(
            "the object provided is unrecognized: it is no JSON object",
        ));
    };
    let text = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (version, kind) = (text("apiVersion"), text("kind"));
    if resource.is_custom() && kind.is_empty() {
        return Err(ApiError::bad_request("Object 'Kind' is missing"));
    }
    if resource.is_custom() && version.is_empty() || !version.is_empty() && version != expected {
        let message = format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        );
        return Err(ApiError::bad_request(message));
    }
    if !kind.is_empty() && kind != resource.kind {
        let message = format!(
            "{kind} in version \"{expected}\" cannot be handled as a {}",
            resource.kind
        );
        return Err(ApiError::bad_request(message));
    }
    object.insert("apiVersion".to_owned(), json!(expected));
    object.insert("kind".to_owned(), json!(resource.kind));
    Ok(())
}

/// Checks the namespace of a new object and that it takes new content.
pub(crate) fn check_place(state: &State, target: &Target<'_>, value: &mut Value) -> Result<(), ApiError> {
    let resource = &target.resource;
    check_namespace(target, value)?;
    if resource.namespaced {
        let Some(namespace) = state.object(NAMESPACES, "", target.namespace) else {
            let namespaces = state
                .collection(NAMESPACES)
                .map(|collection| collection.resource.clone());
            let namespaces = namespaces.unwrap_or_else(|| resource.clone());
            return Err(ApiError::not_found(&namespaces, target.namespace));
        };
        if is_deleting(namespace.value()) {
            let name = target.namespace;
            let why =
                format!("unable to create new content in namespace {name} because it is being terminated");
            let message = format!("namespace {name} is being terminated");
            let cause = Cause::new("NamespaceTerminating", "metadata.namespace", message);
            return Err(ApiError::forbidden(resource, metadata_str(value, "name"), &why).with_cause(cause));
        }
    }
    let definition = resource
        .is_custom()
        .then(|| state.object(DEFINITIONS, "", &resource.qualified()))
        .flatten();
    if definition.is_some_and(|definition| is_deleting(definition.value())) {
        let message = "create not allowed while custom resource definition is terminating";
        return Err(ApiError::method_not_allowed(message));
    }
    Ok(())
}

/// Checks the namespace in the object against that of the path, and fills it in.
pub(crate) fn check_namespace(target: &Target<'_>, value: &mut Value) -> Result<(), ApiError> {
    if !target.resource.namespaced {
        // Whatever it says.
        metadata_mut(value).remove("namespace");
        return Ok(());
    }
    let sent = metadata_str(value, "namespace");
    if sent != target.namespace && !sent.is_empty() {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(ApiError::bad_request(message));
    }
    metadata_mut(value).insert("namespace".to_owned(), json!(target.namespace));
    Ok(())
}

/// Checks the UID in what a patch made of the stored object.
///
/// On the status of a custom kind the API server drops the metadata before it looks at them, so that a UID there
/// guards nothing.
pub(crate) fn check_patched_uid(
    target: &Target<'_>,
    stored: &Object,
    new: &mut Value,
) -> Result<(), ApiError> {
    let uid = metadata_str(new, "uid");
    if uid.is_empty() || uid == stored.uid() {
        return Ok(());
    }
    if target.resource.is_custom() && target.subresource == "status" {
        metadata_mut(new).insert("uid".to_owned(), json!(stored.uid()));
        return Ok(());
    }
    let cause = Cause::invalid("metadata.uid", &json!(uid), "field is immutable");
    Err(target.invalid(target.name, vec![cause]))
}

/// Checks an applied configuration of an object that is not there.
pub(crate) fn check_applied_to_none(target: &Target<'_>, applied: &Value) -> Result<(), ApiError> {
    if !target.subresource.is_empty() {
        return Err(ApiError::not_found(&target.resource, target.name));
    }
    let uid = metadata_str(applied, "uid");
    if uid.is_empty() {
        return Ok(());
    }
    let why =
        format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
    Err(ApiError::conflict(&target.resource, target.name, &why))
}

/// Checks name, UID and resourceVersion of an update against the stored object.
pub(crate) fn check_identity(target: &Target<'_>, stored: &Object, new: &mut Value) -> Result<(), ApiError> {
    let resource = &target.resource;
    let name = metadata_str(new, "name");
    if name.is_empty() {
        return Err(ApiError::bad_request("name must be provided"));
    }
    if name != target.name {
        return Err(wrong_name(target, name));
    }
    let uid = metadata_str(new, "uid");
    if !uid.is_empty() && uid != stored.uid() {
        return Err(wrong_uid(target, uid, stored.uid()));
    }
    match metadata_str(new, "resourceVersion") {
        "" | "0" if resource.rules.unconditional_update => {}
        "" | "0" => {
            let cause = Cause::new(
                "FieldValueInvalid",
                "metadata.resourceVersion",
                "Invalid value: 0: must be specified for an update".to_owned(),
            );
            return Err(ApiError::invalid(
                &resource.plural,
                &resource.group,
                target.name,
                vec![cause],
            ));
        }
        version if version == stored.revision().to_string() => {}
        _ => return Err(ApiError::modified(resource, target.name)),
    }
    let revision = stored.revision().to_string();
    metadata_mut(new).insert("resourceVersion".to_owned(), json!(revision));
    Ok(())
}

/// The name in the object is not that of the path.
pub(crate) fn wrong_name(target: &Target<'_>, name: &str) -> ApiError {
    ApiError::bad_request(format!(
        "the name of the object ({name}) does not match the name on the URL ({})",
        target.name
    ))
}

/// The UID in the object is not that of the stored one, which is empty where there is none.
pub(crate) fn wrong_uid(target: &Target<'_>, sent: &str, stored: &str) -> ApiError {
    let (key, resource) = (key_of(target.namespace, target.name), &target.resource);
    let group = if resource.is_custom() {
        format!("{}/", resource.group)
    } else {
        String::new()
    };
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{group}{}/{key}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {sent}, UID in object meta: {stored}",
        resource.plural
    );
    ApiError::conflict(&target.resource, target.name, &why)
}
