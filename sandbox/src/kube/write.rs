//! Creating and updating: the way of every write, whoever asks.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};

use super::admit;
use super::checks;
use super::custom;
use super::delete;
use super::error::{ApiError, Cause};
use super::format::convert;
use super::metadata;
use super::object::{
    Object, drop_empty_metadata, finalizers, is_deleting, key_of, metadata_mut, metadata_str,
};
use super::quota;
use super::resource::{Generation, GroupResource, InitialStatus, ResourceType};
use super::state::State;

pub(crate) const NAMESPACES: GroupResource<'static> = GroupResource::new("", "namespaces");
pub(crate) const DEFINITIONS: GroupResource<'static> =
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");

/// What a write is aimed at, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Target<'a> {
    pub resource: Arc<ResourceType>,
    /// The version that the client speaks.
    pub version: &'a str,
    /// Empty for objects of the cluster.
    pub namespace: &'a str,
    /// Empty for a create.
    pub name: &'a str,
    pub subresource: &'a str,
    /// Owner of the written fields in `managedFields`.
    pub manager: &'a str,
    pub dry_run: bool,
}

/// How the fields of a write are owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Update,
    /// Server-side apply: `managedFields` come with the object.
    Apply,
}

impl Target<'_> {
    fn id(&self) -> GroupResource<'_> {
        self.resource.id()
    }

    pub fn invalid(&self, name: &str, causes: Vec<Cause>) -> ApiError {
        ApiError::invalid(&self.resource.kind, &self.resource.group, name, causes)
    }

    fn has_status(&self) -> bool {
        self.resource
            .version(self.version)
            .is_some_and(|version| version.status)
    }

    /// The stored object.
    pub fn stored(&self, state: &State) -> Result<Arc<Object>, ApiError> {
        let stored = state.object(self.id(), self.namespace, self.name);
        stored
            .cloned()
            .ok_or_else(|| ApiError::not_found(&self.resource, self.name))
    }

    /// `value` as it is stored.
    fn to_storage(&self, value: &mut Value) {
        if self.version != self.resource.storage() {
            value["apiVersion"] = json!(self.resource.api_version(self.resource.storage()));
        }
    }
}

/// Creates an object.
///
/// # Errors
/// BadRequest, NotFound (namespace), Forbidden (it is terminating, a quota), AlreadyExists, Invalid.
pub(crate) fn create(
    state: &mut State,
    target: &Target<'_>,
    mut value: Value,
    operation: Operation,
) -> Result<Arc<Object>, ApiError> {
    let resource = &target.resource;
    checks::check_type(target, &mut value)?;
    checks::check_place(state, target, &mut value)?;
    if !matches!(metadata_str(&value, "resourceVersion"), "" | "0") {
        return Err(ApiError::version_set_on_create());
    }
    let name = choose_name(state, target, &mut value);
    if !target.name.is_empty() && name != target.name {
        return Err(checks::wrong_name(target, &name));
    }
    // What the server fills in from here on has no owner.
    let managed = match operation {
        Operation::Update => admit::fields_of_new(state, target, &mut value),
        Operation::Apply => value["metadata"]["managedFields"].clone(),
    };
    begin_life(state, target, &mut value);
    admit::prepare(target, &mut value);
    admit::begin_life(state, target, &mut value);
    admit::admit(state, target, &mut value, None)?;
    let mut causes = metadata::validate(resource, &value);
    causes.extend(admit::validate(state, target, &value, None));
    if !causes.is_empty() {
        return Err(target.invalid(&name, causes));
    }
    let bookings = quota::admit(state, target, &value, None)?;
    if let Some(there) = state.object(target.id(), target.namespace, &name) {
        return Err(ApiError::already_exists(
            resource,
            &name,
            is_deleting(there.value()),
        ));
    }
    let definition = admit_definition(state, target, &mut value, true)?;
    if managed.is_array() {
        metadata_mut(&mut value).insert("managedFields".to_owned(), managed);
    } else {
        metadata_mut(&mut value).remove("managedFields");
    }
    target.to_storage(&mut value);
    drop_empty_metadata(&mut value);
    let key = key_of(target.namespace, &name);
    if target.dry_run {
        return Ok(Arc::new(Object::new(key, 0, value)));
    }
    if let Some(definition) = definition {
        state.register(definition);
    }
    quota::book(state, target, bookings);
    Ok(state.put(resource.id(), key, value))
}

/// The name of a new object, generated where only a prefix was sent.
fn choose_name(state: &State, target: &Target<'_>, value: &mut Value) -> String {
    const LONGEST_PREFIX: usize = 58;
    const TRIES: usize = 8;
    let sent = metadata_str(value, "name").to_owned();
    let prefix = metadata_str(value, "generateName");
    if !sent.is_empty() || prefix.is_empty() {
        return sent;
    }
    let prefix: String = prefix.chars().take(LONGEST_PREFIX).collect();
    let mut name = String::new();
    for _ in 0..TRIES {
        name = format!("{prefix}{}", state.random.name_suffix(5));
        if state.object(target.id(), target.namespace, &name).is_none() {
            break;
        }
    }
    metadata_mut(value).insert("name".to_owned(), json!(name));
    name
}

/// Sets what the server alone sets on a new object.
fn begin_life(state: &State, target: &Target<'_>, value: &mut Value) {
    let rules = &target.resource.rules;
    let metadata = metadata_mut(value);
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "resourceVersion",
    ] {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), json!(state.random.uuid()));
    metadata.insert("creationTimestamp".to_owned(), json!(state.now()));
    if matches!(rules.generation, Generation::Spec | Generation::Content) {
        metadata.insert("generation".to_owned(), json!(1));
    }
    if !target.has_status() {
        return;
    }
    match rules.initial_status {
        InitialStatus::AsSent => {}
        InitialStatus::Dropped => remove_field(value, "status"),
        InitialStatus::Set(status) => value["status"] = serde_json::from_str(status).unwrap_or_default(),
    }
}

fn remove_field(value: &mut Value, field: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(field);
    }
}

/// For a CustomResourceDefinition: completes it and answers the type that it describes.
fn admit_definition(
    state: &State,
    target: &Target<'_>,
    value: &mut Value,
    new: bool,
) -> Result<Option<ResourceType>, ApiError> {
    if target.id() != DEFINITIONS {
        return Ok(None);
    }
    let name = metadata_str(value, "name").to_owned();
    let described = custom::resource_type(value).map_err(|causes| target.invalid(&name, causes))?;
    if new {
        custom::add_cleanup(value);
    }
    custom::establish(value, &described, &state.now());
    Ok(Some(described))
}

/// Writes `new` over `stored`. Both `old` (the stored object) and `new` are in the client's version.
///
/// # Errors
/// BadRequest, Conflict (resourceVersion, UID), Invalid, Forbidden.
pub(crate) fn update(
    state: &mut State,
    target: &Target<'_>,
    stored: &Arc<Object>,
    old: &Value,
    mut new: Value,
    operation: Operation,
) -> Result<Arc<Object>, ApiError> {
    checks::check_type(target, &mut new)?;
    checks::check_namespace(target, &mut new)?;
    checks::check_identity(target, stored, &mut new)?;
    let mut causes = separate(target, old, &mut new);
    admit::prepare(target, &mut new);
    admit::prepare_update(target, &mut new, old);
    let definition = admit_definition(state, target, &mut new, false)?;
    drop_empty_metadata(&mut new);
    causes.extend(metadata::validate_update(old, &new));
    if old["metadata"] != new["metadata"] {
        causes.extend(metadata::validate(&target.resource, &new));
    }
    if causes.is_empty() && *old == new {
        return Ok(stored.clone());
    }
    admit::note_phase(state, target, old, &mut new);
    causes.extend(admit::validate(state, target, &new, Some(old)));
    if !causes.is_empty() {
        return Err(target.invalid(target.name, causes));
    }
    admit::admit(state, target, &mut new, Some(old))?;
    let bookings = quota::admit(state, target, &new, Some(old))?;
    if generation_moves(target, old, &new) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        metadata_mut(&mut new).insert("generation".to_owned(), json!(generation));
    }
    if operation == Operation::Update {
        admit::track(state, target, Some(old), &mut new);
    }
    if *old == new {
        return Ok(stored.clone());
    }
    target.to_storage(&mut new);
    if target.dry_run {
        return Ok(Arc::new(Object::new(
            stored.key().to_owned(),
            stored.revision(),
            new,
        )));
    }
    if let Some(definition) = definition {
        state.register(definition);
    }
    quota::book(state, target, bookings);
    Ok(commit(state, target, stored, new))
}

/// Stores an update, or removes the object when it took the last thing that kept it.
fn commit(state: &mut State, target: &Target<'_>, stored: &Arc<Object>, new: Value) -> Arc<Object> {
    let no_grace = stored.value()["metadata"]["deletionGracePeriodSeconds"] == 0;
    if no_grace && is_deleting(&new) && finalizers(&new).next().is_none() {
        let gone = state.remove_as(target.id(), stored, new);
        delete::after_removal(state, target.id(), &gone);
        return gone;
    }
    state.put(target.id(), stored.key().to_owned(), new)
}

/// Takes from the stored object what this write may not change: system metadata, and status or all but status.
fn separate(target: &Target<'_>, old: &Value, new: &mut Value) -> Vec<Cause> {
    let managed = metadata_mut(new).remove("managedFields");
    let is_status = target.subresource == "status";
    if is_status || target.has_status() {
        keep(old, new, |field| (field == "status") != is_status);
    }
    if is_status && target.resource.rules.status_keeps_metadata {
        new["metadata"] = old["metadata"].clone();
    }
    let causes = metadata::keep_system_fields(old, new);
    // A sent empty list resets the ownership of fields, else the stored one goes on (apply brings its own).
    let metadata = metadata_mut(new);
    match (managed, old["metadata"].get("managedFields")) {
        (Some(Value::Array(sent)), _) if sent.is_empty() || sent == [json!({})] => {
            metadata.remove("managedFields");
        }
        (Some(sent), _) => {
            metadata.insert("managedFields".to_owned(), sent);
        }
        (None, Some(stored)) => {
            metadata.insert("managedFields".to_owned(), stored.clone());
        }
        (None, None) => {}
    }
    causes
}

/// Makes those members of `new` that `of_stored` names those of the stored object.
fn keep(old: &Value, new: &mut Value, of_stored: impl Fn(&str) -> bool) {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object_mut()) else {
        return;
    };
    let is_kept = |field: &str| field != "metadata" && of_stored(field);
    new.retain(|field, _| !is_kept(field) || old.contains_key(field));
    for (field, stored) in old.iter().filter(|(field, _)| is_kept(field)) {
        if new.get(field) != Some(stored) {
            new.insert(field.clone(), stored.clone());
        }
    }
}

fn generation_moves(target: &Target<'_>, old: &Value, new: &Value) -> bool {
    match target.resource.rules.generation {
        Generation::None => false,
        Generation::Spec | Generation::OnceChanged => old.get("spec") != new.get("spec"),
        Generation::Content => {
            let counts = |field: &str| field != "metadata" && !(field == "status" && target.has_status());
            let all_in = |one: &Value, other: &Value| {
                let mut fields = one.as_object().into_iter().flatten();
                fields.all(|(field, value)| !counts(field) || other.get(field) == Some(value))
            };
            target.subresource != "status" && !(all_in(old, new) && all_in(new, old))
        }
    }
}

/// The stored object as the client of `target` sees it.
pub(crate) fn seen<'a>(target: &Target<'_>, stored: &'a Object) -> Cow<'a, Value> {
    convert(&target.resource, target.version, stored.value())
}
