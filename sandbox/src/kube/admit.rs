//! What schemas, rules of the kinds, admission and field ownership add to a write.

use serde_json::Value;

use super::apply;
use super::error::{ApiError, Cause};
use super::metadata;
use super::object::metadata_str;
use super::resource::GroupResource;
use super::state::State;
use super::validation::{self, FieldError, Lookup};
use super::write::Target;

impl Lookup for State {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.object(GroupResource::new(group, resource), namespace, name)
            .map(|object| object.value().clone())
    }

    fn list(&self, group: &str, resource: &str) -> Vec<Value> {
        let collection = self.collection(GroupResource::new(group, resource));
        let objects = collection
            .into_iter()
            .flat_map(|collection| collection.range(None, None));
        objects.map(|object| object.value().clone()).collect()
    }
}

/// Prunes and sets defaults.
pub(crate) fn prepare(target: &Target<'_>, value: &mut Value) {
    match &target.resource.custom {
        Some(custom) => custom.prepare(target.version, value),
        None => validation::default(&target.resource.group, &target.resource.kind, value),
    }
}

/// What the server sets on a changed object of a built-in kind, beside defaults.
pub(crate) fn prepare_update(target: &Target<'_>, new: &mut Value, old: &Value) {
    if !target.resource.is_custom() {
        validation::prepare_update(&target.resource.group, &target.resource.kind, new, old);
    }
}

/// What the writer is told of an object that was taken; `old` is the one before an update.
pub(crate) fn warnings(target: &Target<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
    if target.resource.is_custom() {
        metadata::finalizer_warnings(new, old)
    } else {
        validation::warnings(&target.resource.group, &target.resource.kind, new)
    }
}

/// Runs the admission plugins, which may add to a new object.
///
/// # Errors
/// Forbidden.
pub(crate) fn admit(
    state: &State,
    target: &Target<'_>,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let resource = &target.resource;
    if resource.is_custom() || !target.subresource.is_empty() {
        return Ok(());
    }
    let admitted = validation::admit(&resource.group, &resource.kind, new, old, state);
    admitted.map_err(|why| ApiError::forbidden(resource, metadata_str(new, "name"), why))
}

/// What is wrong with a new object, or with an update of `old`.
pub(crate) fn validate(state: &State, target: &Target<'_>, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let errors = match &target.resource.custom {
        Some(custom) => custom.validate(target.version, new, old),
        None => validation::validate(&target.resource.group, &target.resource.kind, new, old, state),
    };
    let mut causes: Vec<Cause> = errors.into_iter().map(cause).collect();
    if target.resource.is_custom() && target.subresource == "status" {
        // Only the status is looked at, so its fields are named from there.
        for cause in &mut causes {
            if let Some((start, path)) = cause.message.split_once(" in status.")
                && start.contains("Checked value must be")
            {
                cause.message = format!("{start} in {path}");
                "status".clone_into(&mut cause.field);
            }
            let relative = cause.field.strip_prefix("status.").map(str::to_owned);
            if let Some(relative) = relative {
                let whole = format!("{} in body", cause.field);
                cause.message = cause.message.replace(&whole, &format!("{relative} in body"));
            }
        }
    }
    causes
}

fn cause(error: FieldError) -> Cause {
    Cause::new(error.kind.reason(), error.field, error.message)
}

/// The `managedFields` of a new object as it was sent, with its defaults; null where there are none.
pub(crate) fn fields_of_new(state: &State, target: &Target<'_>, sent: &mut Value) -> Value {
    prepare(target, sent);
    let has_status = target
        .resource
        .version(target.version)
        .is_some_and(|version| version.status);
    // A status that is sent with a new object is nobody's.
    let members = sent.as_object_mut().filter(|_| has_status);
    let status = members.and_then(|members| members.remove("status"));
    track(state, target, None, sent);
    if let Some(status) = status {
        sent["status"] = status;
    }
    sent["metadata"]["managedFields"].take()
}

/// What the server sets beside defaults on a new object of a built-in kind, and nobody owns.
pub(crate) fn begin_life(state: &State, target: &Target<'_>, value: &mut Value) {
    if !target.resource.is_custom() {
        let (group, kind) = (&target.resource.group, &target.resource.kind);
        validation::begin_life(group, kind, value, state.sources_may_cross);
    }
    note_phase(state, target, &Value::Null, value);
}

/// Notes when a volume changed its phase.
pub(crate) fn note_phase(state: &State, target: &Target<'_>, old: &Value, new: &mut Value) {
    let is_volume = target.resource.group.is_empty() && target.resource.kind == "PersistentVolume";
    if is_volume && old["status"]["phase"] != new["status"]["phase"] && new["status"].is_object() {
        new["status"]["lastPhaseTransitionTime"] = state.now().into();
    }
}

/// Notes the owner of the changed fields in `managedFields`.
pub(crate) fn track(state: &State, target: &Target<'_>, old: Option<&Value>, new: &mut Value) {
    let (manager, now) = (target.manager, state.clock.now());
    let is_tracked = old.is_none_or(|old| old["metadata"]["managedFields"].is_array())
        || new["metadata"]["managedFields"].is_array();
    if !is_tracked {
        // Only an apply begins to track what nobody owns.
        return;
    }
    apply::track(
        old,
        new,
        manager,
        apply::Operation::Update,
        target.subresource,
        now,
    );
}

/// Merges an applied configuration into the stored object.
///
/// # Errors
/// Conflict, with a cause for each field that another manager owns.
pub(crate) fn apply(
    state: &State,
    target: &Target<'_>,
    live: Option<&Value>,
    applied: &Value,
    force: bool,
) -> Result<Value, ApiError> {
    let now = state.clock.now();
    let merged = apply::apply_subresource(live, applied, target.manager, target.subresource, force, now);
    merged.map_err(|refused| {
        let causes = refused.conflicts.iter().map(|conflict| {
            Cause::new(
                "FieldManagerConflict",
                conflict.field.clone(),
                conflict.to_string(),
            )
        });
        ApiError::apply_conflict(&refused.to_string(), causes.collect())
    })
}
