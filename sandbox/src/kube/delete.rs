//! Deleting: at once, or with finalizers and grace periods in between.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::custom;
use super::error::{ApiError, Cause};
use super::object::{Object, finalizers, has_ended, is_deleting, metadata_mut, metadata_str, time_text};
use super::protobuf;
use super::query::Query;
use super::resource::{GroupResource, ResourceType};
use super::state::State;
use super::write::{DEFINITIONS, NAMESPACES};

/// How long a node has to end a pod when nobody says otherwise.
const POD_GRACE_SECONDS: i64 = 30;

/// What the garbage collector takes off when it has done its part.
const OF_COLLECTOR: [&str; 2] = ["foregroundDeletion", "orphan"];

/// `meta/v1 DeleteOptions`.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub grace_seconds: Option<i64>,
    pub propagation: String,
    pub dry_run: bool,
}

/// What a deletion did.
#[derive(Clone, Debug)]
pub(crate) struct Deleted {
    pub object: Arc<Object>,
    /// False while finalizers or a grace period keep it.
    pub gone: bool,
}

/// The options as JSON, whatever they came as.
fn options_body(body: &[u8]) -> Result<Value, ApiError> {
    let wrong = |why: String| ApiError::bad_request(format!("couldn't parse delete options: {why}"));
    if let Ok(Some(options)) = protobuf::decode(body) {
        return Ok(options);
    }
    serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))
}

impl DeleteOptions {
    /// Reads the body of a DELETE, which wins over the query.
    ///
    /// # Errors
    /// BadRequest, Invalid.
    pub fn parse(mut query: Query, body: &[u8]) -> Result<Self, ApiError> {
        let mut options = Self {
            grace_seconds: query.grace_period_seconds,
            propagation: std::mem::take(&mut query.propagation_policy),
            ..Self::default()
        };
        if !body.is_empty() {
            let body = options_body(body)?;
            let text = |value: &Value| value.as_str().map(str::to_owned);
            options.uid = text(&body["preconditions"]["uid"]);
            options.resource_version = text(&body["preconditions"]["resourceVersion"]);
            options.grace_seconds = body["gracePeriodSeconds"].as_i64().or(options.grace_seconds);
            options.propagation = text(&body["propagationPolicy"]).unwrap_or(options.propagation);
            for value in body["dryRun"].as_array().into_iter().flatten() {
                query.set_dry_run(value.as_str().unwrap_or("?"))?;
            }
        }
        options.dry_run = query.dry_run;
        if !matches!(
            options.propagation.as_str(),
            "" | "Background" | "Foreground" | "Orphan"
        ) {
            let message = format!(
                "Unsupported value: \"{}\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
                options.propagation
            );
            let cause = Cause::new("FieldValueNotSupported", "propagationPolicy", message);
            return Err(ApiError::invalid("DeleteOptions", "meta.k8s.io", "", vec![cause]));
        }
        Ok(options)
    }

    fn check(&self, resource: &ResourceType, object: &Object) -> Result<(), ApiError> {
        if let Some(uid) = &self.uid
            && uid != object.uid()
        {
            let why = format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). \
                 The object might have been deleted and then recreated",
                object.uid()
            );
            return Err(ApiError::precondition(resource, object.name(), &why));
        }
        if let Some(version) = &self.resource_version
            && *version != object.revision().to_string()
        {
            let why = format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record \
                 ({}). The object might have been modified",
                object.revision()
            );
            return Err(ApiError::precondition(resource, object.name(), &why));
        }
        Ok(())
    }

    /// The finalizer of the propagation policy.
    fn finalizer(&self) -> Option<&'static str> {
        match self.propagation.as_str() {
            "Foreground" => Some("foregroundDeletion"),
            "Orphan" => Some("orphan"),
            _ => None,
        }
    }

    /// The finalizers of an object that is deleted so: a policy takes the place of the one that was there before.
    fn finalizers_of(&self, object: &Value) -> Vec<String> {
        let before: Vec<String> = finalizers(object).map(str::to_owned).collect();
        if self.propagation.is_empty() {
            return before;
        }
        let others = before
            .iter()
            .filter(|name| !OF_COLLECTOR.contains(&name.as_str()));
        let mut after: Vec<String> = others.cloned().collect();
        after.extend(self.finalizer().map(str::to_owned));
        let is_same = after.len() == before.len() && after.iter().all(|name| before.contains(name));
        if is_same { before } else { after }
    }
}

/// Deletes an object or begins to.
///
/// # Errors
/// Conflict when a precondition does not hold.
pub(crate) fn delete(
    state: &mut State,
    resource: &ResourceType,
    object: &Arc<Object>,
    options: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    options.check(resource, object)?;
    let grace = grace_seconds(resource, object.value(), options);
    let keeps = !options.finalizers_of(object.value()).is_empty();
    let id = resource.id();
    if !keeps && grace == 0 && id != NAMESPACES {
        if options.dry_run {
            return Ok(Deleted {
                object: object.clone(),
                gone: true,
            });
        }
        let gone = state.remove(id, object);
        after_removal(state, id, &gone);
        return Ok(Deleted {
            object: gone,
            gone: true,
        });
    }
    let marked = mark(state, object, options, grace);
    if marked == *object.value() {
        return Ok(Deleted {
            object: object.clone(),
            gone: false,
        });
    }
    if options.dry_run {
        let object = Object::new(object.key().to_owned(), object.revision(), marked);
        return Ok(Deleted {
            object: Arc::new(object),
            gone: false,
        });
    }
    let marked = mark_container(state, id, marked);
    let marked = state.put(id, object.key().to_owned(), marked);
    empty_container(state, id, marked.name());
    Ok(Deleted {
        object: marked,
        gone: false,
    })
}

/// How long the object stays after its finalizers are gone.
fn grace_seconds(resource: &ResourceType, object: &Value, options: &DeleteOptions) -> i64 {
    if !resource.rules.graceful {
        return 0;
    }
    let unscheduled = object["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
    if unscheduled || has_ended(object) {
        return 0;
    }
    let asked = options
        .grace_seconds
        .or(object["spec"]["terminationGracePeriodSeconds"].as_i64());
    let asked = asked.unwrap_or(POD_GRACE_SECONDS).max(0);
    match object["metadata"]["deletionGracePeriodSeconds"].as_i64() {
        // A running deletion can only be shortened.
        Some(running) => asked.min(running),
        None => asked,
    }
}

/// The object with the marks of a deletion that has begun.
fn mark(state: &State, object: &Object, options: &DeleteOptions, grace: i64) -> Value {
    let mut value = object.value().clone();
    let deleting = is_deleting(&value);
    let finalizers = options.finalizers_of(&value);
    let metadata = metadata_mut(&mut value);
    let runs_on = deleting && metadata.get("deletionGracePeriodSeconds") == Some(&json!(grace));
    // While a grace period runs on, nothing is changed.
    if !(runs_on && grace > 0) {
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), json!(finalizers));
        }
    }
    if !runs_on {
        let end = state.clock.now().checked_add(SignedDuration::from_secs(grace));
        let end = end.map_or_else(|_| state.now(), time_text);
        metadata.insert("deletionTimestamp".to_owned(), json!(end));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
        if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
            metadata.insert("generation".to_owned(), json!(generation + 1));
        }
    }
    value
}

/// Marks that only objects with content get.
fn mark_container(state: &State, id: GroupResource<'_>, mut value: Value) -> Value {
    if id == NAMESPACES {
        if !value["status"].is_object() {
            value["status"] = json!({});
        }
        value["status"]["phase"] = json!("Terminating");
    }
    if id == DEFINITIONS {
        custom::mark_terminating(&mut value, &state.now());
    }
    value
}

/// Deletes the content of a namespace or definition that is being deleted, and it with the last of it.
/// In a real cluster controllers do this a moment later.
fn empty_container(state: &mut State, id: GroupResource<'_>, name: &str) {
    let content = content(state, id, name);
    for (resource, object) in content {
        // Without preconditions nothing can be refused.
        let _ = delete(state, &resource, &object, &DeleteOptions::default());
    }
    if id == NAMESPACES || id == DEFINITIONS {
        finish_container(state, id, name);
    }
}

/// What a namespace or definition holds.
fn content(state: &State, id: GroupResource<'_>, name: &str) -> Vec<(Arc<ResourceType>, Arc<Object>)> {
    let inside = |resource: &ResourceType| {
        id == NAMESPACES && resource.namespaced || id == DEFINITIONS && resource.qualified() == name
    };
    let namespace = (id == NAMESPACES).then_some(name);
    let mut content = Vec::new();
    for collection in state
        .collections()
        .filter(|collection| inside(&collection.resource))
    {
        let resource = &collection.resource;
        content.extend(
            collection
                .range(namespace, None)
                .map(|object| (resource.clone(), object.clone())),
        );
    }
    content
}

/// Removes a namespace or definition that is being deleted once it is empty.
fn finish_container(state: &mut State, id: GroupResource<'_>, name: &str) {
    let Some(container) = state
        .object(id, "", name)
        .filter(|object| is_deleting(object.value()))
        .cloned()
    else {
        return;
    };
    if !content(state, id, name).is_empty() {
        return;
    }
    let mut value = container.value().clone();
    if id == DEFINITIONS
        && let Some(list) = value["metadata"]["finalizers"].as_array_mut()
    {
        list.retain(|finalizer| finalizer != custom::CLEANUP);
    }
    if finalizers(&value).next().is_none() {
        let gone = state.remove_as(id, &container, value);
        after_removal(state, id, &gone);
    } else if value != *container.value() {
        state.put(id, container.key().to_owned(), value);
    }
}

/// What follows the removal of an object: its type goes with its definition, and a namespace or definition
/// that waited for it goes too.
pub(crate) fn after_removal(state: &mut State, id: GroupResource<'_>, gone: &Object) {
    if id == DEFINITIONS {
        let spec = &gone.value()["spec"];
        let group = spec["group"].as_str().unwrap_or_default();
        let plural = spec["names"]["plural"].as_str().unwrap_or_default();
        state.unregister(GroupResource::new(group, plural));
        return;
    }
    let namespace = metadata_str(gone.value(), "namespace");
    if !namespace.is_empty() {
        finish_container(state, NAMESPACES, namespace);
    }
    let custom = state
        .collection(id)
        .filter(|collection| collection.resource.is_custom());
    if let Some(name) = custom.map(|collection| collection.resource.qualified()) {
        finish_container(state, DEFINITIONS, &name);
    }
}
