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
    let sent = metadata_str(value, "namespace");
    if sent != target.namespace && !sent.is_empty() {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(ApiError::bad_request(message));
    }
    if target.resource.namespaced {
        metadata_mut(value).insert("namespace".to_owned(), json!(target.namespace));
    }
    Ok(())
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
    let key = key_of(target.namespace, target.name);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{}/{key}, ResourceVersion: 0, AdditionalErrorMsg: \
         Precondition failed: UID in precondition: {sent}, UID in object meta: {stored}",
        target.resource.plural
    );
    ApiError::conflict(&target.resource, target.name, &why)
}
