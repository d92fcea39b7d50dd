//! Custom resource types: what a CustomResourceDefinition says.

use serde_json::{Value, json};

use super::error::Cause;
use super::object::{metadata_mut, metadata_str};
use super::resource::{
    Generation, InitialStatus, NameStyle, ResourceType, Rules, SelectableField, ServedVersion,
};
use super::schema::CompiledCrd;
use super::table;
use super::validation::FieldError;

/// The finalizer that keeps a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Schemas and rules of a custom type.
#[derive(Debug)]
pub(crate) struct CustomType {
    schemas: CompiledCrd,
}

impl CustomType {
    fn compile(definition: &Value) -> Result<Self, Vec<Cause>> {
        match CompiledCrd::compile(definition) {
            Ok(schemas) => Ok(Self { schemas }),
            Err(faults) => Err(faults.iter().map(|fault| cause(fault)).collect()),
        }
    }

    /// Prunes unknown fields and sets defaults.
    pub fn prepare(&self, version: &str, object: &mut Value) {
        self.schemas.prepare(version, object);
    }

    /// Adds the paths of unknown fields.
    pub fn unknown(&self, version: &str, object: &Value, found: &mut Vec<String>) {
        self.schemas.unknown(version, object, found);
    }

    /// What is wrong with `new`, given the stored object for an update.
    pub fn validate(&self, version: &str, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        self.schemas.validate(version, new, old)
    }
}

/// The cause in a text `field: message`.
fn cause(fault: &str) -> Cause {
    let (field, message) = fault.split_once(": ").unwrap_or(("", fault));
    let reasons = [
        ("Required value", "FieldValueRequired"),
        ("Forbidden", "FieldValueForbidden"),
        ("Unsupported value", "FieldValueNotSupported"),
        ("Internal error", "InternalError"),
    ];
    let reason = reasons.iter().find(|(start, _)| message.starts_with(start));
    Cause::new(
        reason.map_or("FieldValueInvalid", |(_, reason)| *reason),
        field,
        message.to_owned(),
    )
}

/// The type that a definition describes.
///
/// # Errors
/// What is wrong with the definition.
pub(crate) fn resource_type(definition: &Value) -> Result<ResourceType, Vec<Cause>> {
    let spec = &definition["spec"];
    let (group, names) = (text(&spec["group"]), &spec["names"]);
    let (plural, kind) = (text(&names["plural"]), text(&names["kind"]));
    let mut causes = Vec::new();
    for (field, value) in [
        ("spec.group", group),
        ("spec.names.plural", plural),
        ("spec.names.kind", kind),
    ] {
        if value.is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    let name = metadata_str(definition, "name");
    if name != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &json!(name), detail));
    }
    let scope = text(&spec["scope"]);
    if !matches!(scope, "Namespaced" | "Cluster") {
        let message =
            format!("Unsupported value: \"{scope}\": supported values: \"Cluster\", \"Namespaced\"");
        causes.push(Cause::new("FieldValueNotSupported", "spec.scope", message));
    }
    let versions = versions(spec);
    if versions.iter().filter(|version| version.storage).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &spec["versions"], detail));
    }
    if !causes.is_empty() {
        return Err(causes);
    }
    let custom = CustomType::compile(definition)?;
    Ok(ResourceType {
        group: group.to_owned(),
        plural: plural.to_owned(),
        singular: or(text(&names["singular"]), || kind.to_lowercase()),
        kind: kind.to_owned(),
        list_kind: or(text(&names["listKind"]), || format!("{kind}List")),
        namespaced: scope == "Namespaced",
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        versions,
        rules: CUSTOM_RULES,
        custom: Some(std::sync::Arc::new(custom)),
    })
}

const CUSTOM_RULES: Rules = Rules {
    generation: Generation::Content,
    initial_status: InitialStatus::Dropped,
    status_keeps_metadata: true,
    unconditional_update: false,
    create_on_update: false,
    returns_deleted: false,
    graceful: false,
    review_only: false,
    names: NameStyle::Subdomain,
};

/// The versions of a definition, most preferred first.
fn versions(spec: &Value) -> Vec<ServedVersion> {
    let mut versions: Vec<ServedVersion> = items(&spec["versions"])
        .map(|version| ServedVersion {
            name: text(&version["name"]).to_owned(),
            served: version["served"] == true,
            storage: version["storage"] == true,
            status: version["subresources"]["status"].is_object(),
            fields: items(&version["selectableFields"]).map(selectable).collect(),
            columns: table::custom::columns(version),
            scale: false,
        })
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(priority(&version.name)));
    versions
}

/// Orders versions as discovery does: v2, v1, v2beta1, v1beta2, v1alpha1, then others by name, backwards.
pub(crate) fn priority(version: &str) -> (u8, u64, u64, std::cmp::Reverse<String>) {
    let other = (0, 0, 0, std::cmp::Reverse(version.to_owned()));
    let Some(rest) = version.strip_prefix('v') else {
        return other;
    };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let Ok(major) = rest[..digits].parse() else {
        return other;
    };
    let tail = &rest[digits..];
    let (rank, minor) = if tail.is_empty() {
        (3, Some(0))
    } else if let Some(minor) = tail.strip_prefix("beta") {
        (2, minor.parse().ok())
    } else if let Some(minor) = tail.strip_prefix("alpha") {
        (1, minor.parse().ok())
    } else {
        (0, None)
    };
    match minor {
        Some(minor) => (rank, major, minor, std::cmp::Reverse(String::new())),
        None => other,
    }
}

fn selectable(field: &Value) -> SelectableField {
    let label = text(&field["jsonPath"]).trim_start_matches('.').to_owned();
    SelectableField {
        path: label.split('.').map(str::to_owned).collect(),
        label,
        missing: "",
    }
}

/// Fills in what the controllers of the real server would: names, conditions, stored versions, finalizer.
/// Here a definition is established by the write that makes it.
pub(crate) fn establish(definition: &mut Value, resource: &ResourceType, now: &str) {
    let names = json!({
        "plural": resource.plural, "singular": resource.singular,
        "kind": resource.kind, "listKind": resource.list_kind,
    });
    if let Some(spec_names) = definition["spec"]["names"].as_object_mut() {
        spec_names.insert("singular".to_owned(), json!(resource.singular));
        spec_names.insert("listKind".to_owned(), json!(resource.list_kind));
    }
    if definition["spec"]["conversion"].is_null() {
        definition["spec"]["conversion"] = json!({"strategy": "None"});
    }
    if !definition["status"].is_object() {
        definition["status"] = json!({});
    }
    let mut accepted = names;
    for (field, values) in [
        ("shortNames", &resource.short_names),
        ("categories", &resource.categories),
    ] {
        if !values.is_empty() {
            accepted[field] = json!(values);
        }
    }
    let mut stored = texts(&definition["status"]["storedVersions"]);
    if !stored.iter().any(|version| version == resource.storage()) {
        stored.push(resource.storage().to_owned());
    }
    if definition["status"]["conditions"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        definition["status"]["conditions"] = json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
            condition(
                "Established",
                "InitialNamesAccepted",
                "the initial names have been accepted",
                now
            ),
        ]);
    }
    definition["status"]["acceptedNames"] = accepted;
    definition["status"]["storedVersions"] = json!(stored);
}

/// Adds the finalizer that keeps a new definition until its objects are gone.
pub(crate) fn add_cleanup(definition: &mut Value) {
    let metadata = metadata_mut(definition);
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|name| name == CLEANUP)
    {
        finalizers.push(json!(CLEANUP));
    }
}

/// Marks a definition that waits for its objects to go.
pub(crate) fn mark_terminating(definition: &mut Value, now: &str) {
    let message = "CustomResource deletion is in progress";
    let terminating = condition("Terminating", "InstanceDeletionInProgress", message, now);
    if let Some(conditions) = definition["status"]["conditions"].as_array_mut() {
        conditions.push(terminating);
    }
}

fn condition(kind: &str, reason: &str, message: &str, now: &str) -> Value {
    json!({
        "type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now,
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> Vec<String> {
    items(value)
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn or(given: &str, default: impl FnOnce() -> String) -> String {
    if given.is_empty() {
        default()
    } else {
        given.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::priority;

    #[test]
    fn versions_are_preferred_as_discovery_does() {
        let mut versions = vec![
            "v1alpha1", "foo", "v1", "v2beta1", "v10", "v1beta2", "bar", "v1beta10",
        ];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(
            versions,
            [
                "v10", "v1", "v2beta1", "v1beta10", "v1beta2", "v1alpha1", "bar", "foo"
            ]
        );
    }
}
