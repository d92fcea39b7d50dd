//! Rules for `metadata` that hold for all types.
//!
//! Source: `apimachinery pkg/api/validation/objectmeta.go`, `pkg/util/validation`.

use serde_json::{Value, json};

use super::error::Cause;
use super::object::{finalizers, is_deleting, metadata_mut, metadata_str};
use super::resource::{NameStyle, ResourceType};

/// Fields that only the server sets, kept from the stored object by every update.
const SYSTEM_FIELDS: [&str; 6] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
];
const ANNOTATIONS_LIMIT_BYTES: usize = 256 * 1024;
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SERVICE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and \
    end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const MANY_PARTS: &str = "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and \
    end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Puts the system fields of the stored object into an update that lacks them, and refuses changes to them.
pub(crate) fn keep_system_fields(old: &Value, new: &mut Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (old, new) = (&old["metadata"], metadata_mut(new));
    for field in SYSTEM_FIELDS {
        let stored = old.get(field);
        let sent = new.get(field).filter(|value| !value.is_null());
        if is_refused(field, stored.is_some()) && sent.is_some() && sent != stored {
            let shown = sent.cloned().unwrap_or_default();
            causes.push(Cause::invalid(
                format!("metadata.{field}"),
                &shown,
                "field is immutable",
            ));
        }
        match stored {
            Some(value) => new.insert(field.to_owned(), value.clone()),
            None => new.remove(field),
        };
    }
    causes
}

/// Whether another value than the stored one is refused; else the stored one stands.
fn is_refused(field: &str, is_stored: bool) -> bool {
    match field {
        "generation" | "creationTimestamp" | "selfLink" => false,
        "deletionTimestamp" => !is_stored,
        _ => true,
    }
}

/// Checks name, labels, annotations and owners of a new or changed object.
pub(crate) fn validate(resource: &ResourceType, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = metadata_str(object, "name");
    if name.is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else {
        for detail in name_errors(resource.rules.names, name) {
            causes.push(Cause::invalid("metadata.name", &json!(name), &detail));
        }
    }
    let metadata = &object["metadata"];
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        for detail in qualified_name_errors(key) {
            causes.push(Cause::invalid("metadata.labels", &json!(key), &detail));
        }
        if value.len() > 63 {
            causes.push(Cause::invalid(
                "metadata.labels",
                &json!(value),
                "must be no more than 63 bytes",
            ));
        }
        if !value.is_empty() && !is_name_part(value) {
            causes.push(Cause::invalid("metadata.labels", &json!(value), LABEL_VALUE));
        }
    }
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        for detail in qualified_name_errors(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), &detail));
        }
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > ANNOTATIONS_LIMIT_BYTES {
        let message = format!("Too long: may not be more than {ANNOTATIONS_LIMIT_BYTES} bytes");
        causes.push(Cause::new("FieldValueTooLong", "metadata.annotations", message));
    }
    causes.extend(owner_errors(metadata));
    for finalizer in finalizers(object) {
        for detail in qualified_name_errors(finalizer) {
            causes.push(Cause::invalid("metadata.finalizers", &json!(finalizer), &detail));
        }
    }
    causes.extend(finalizer_errors(resource, object));
    causes
}

/// Finalizers that the server itself knows have no domain.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

fn finalizer_errors(resource: &ResourceType, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let has = |name: &str| finalizers(object).any(|finalizer| finalizer == name);
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        let all = &object["metadata"]["finalizers"];
        causes.push(Cause::invalid("metadata.finalizers", all, detail));
    }
    if resource.is_custom() || resource.group == "apiextensions.k8s.io" {
        // The user is warned: see `finalizer_warnings`.
        return causes;
    }
    for (index, finalizer) in finalizers(object).enumerate() {
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            let path = format!("metadata.finalizers[{index}]");
            causes.push(Cause::invalid(path, &json!(finalizer), detail));
        }
    }
    causes
}

/// What the writer of a custom object is told of the finalizers that are new.
pub(crate) fn finalizer_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let had = |name: &str| old.is_some_and(|old| finalizers(old).any(|finalizer| finalizer == name));
    let mut added: Vec<&str> = finalizers(new)
        .filter(|name| !name.contains('/') && !STANDARD_FINALIZERS.contains(name) && !had(name))
        .collect();
    added.sort_unstable();
    added.dedup();
    let texts = added.iter().map(|name| {
        format!(
            "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name to avoid accidental conflicts \
             with other finalizer writers"
        )
    });
    texts.collect()
}

fn owner_errors(metadata: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let owners = &metadata["ownerReferences"];
    let mut controller = None;
    for (index, owner) in owners.as_array().into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                causes.push(Cause::required(path, "must not be empty"));
            }
        }
        if owner["controller"] == true {
            let text = |field: &str| owner[field].as_str().unwrap_or_default();
            let name = format!("{}/{}", text("kind"), text("name"));
            match &controller {
                None => controller = Some(name),
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                    );
                    causes.push(Cause::invalid("metadata.ownerReferences", owners, &detail));
                }
            }
        }
    }
    causes
}

/// Checks what an update must not change beside the system fields.
pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<Cause> {
    if !is_deleting(old) {
        return Vec::new();
    }
    let added: Vec<&str> = finalizers(new)
        .filter(|name| !finalizers(old).any(|other| other == *name))
        .collect();
    if added.is_empty() {
        return Vec::new();
    }
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added
            .iter()
            .map(|name| format!("{name:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    vec![Cause::forbidden("metadata.finalizers", &detail)]
}

/// What is wrong with the value of a label.
pub(crate) fn label_value_error(value: &str) -> Option<&'static str> {
    (!value.is_empty() && !is_name_part(value)).then_some(LABEL_VALUE)
}

/// The same as a list.
pub(crate) fn label_value_errors(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push("must be no more than 63 bytes".to_owned());
    }
    errors.extend(label_value_error(value).map(str::to_owned));
    errors
}

/// What is wrong with a name that must be a label.
pub(crate) fn label_errors(name: &str) -> Vec<String> {
    bounded(name, 63, is_label(name), LABEL)
}

/// What is wrong with a name that must be a label which begins with a letter.
pub(crate) fn service_label_errors(name: &str) -> Vec<String> {
    bounded(name, 63, is_service_label(name), SERVICE)
}

/// What is wrong with a name that must be a subdomain.
pub(crate) fn subdomain_errors(name: &str) -> Vec<String> {
    name_errors(NameStyle::Subdomain, name)
}

/// What is wrong with a name, nothing when it is good.
fn name_errors(style: NameStyle, name: &str) -> Vec<String> {
    if style == NameStyle::Label && name.contains('.') {
        return vec!["must not contain dots".to_owned()];
    }
    match style {
        NameStyle::Subdomain => bounded(name, 253, name.split('.').all(is_label), SUBDOMAIN),
        NameStyle::Label => label_errors(name),
        NameStyle::ServiceLabel => service_label_errors(name),
        NameStyle::PathSegment => path_segment_errors(name),
    }
}

fn bounded(name: &str, limit: usize, is_good: bool, detail: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.len() > limit {
        errors.push(format!("must be no more than {limit} bytes"));
    }
    if !is_good {
        errors.push(detail.to_owned());
    }
    errors
}

fn path_segment_errors(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if matches!(name, "." | "..") {
        errors.push(format!("may not be '{name}'"));
    }
    for part in ["/", "%"] {
        if name.contains(part) {
            errors.push(format!("may not contain '{part}'"));
        }
    }
    errors
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_service_label(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_name_part(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.bytes().all(inner) && edge(text.chars().next()) && edge(text.chars().next_back())
}

/// What is wrong with the key of a label or annotation.
pub(crate) fn qualified_name_errors(key: &str) -> Vec<String> {
    if key.matches('/').count() > 1 {
        return vec![MANY_PARTS.to_owned()];
    }
    let mut errors = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, name)) => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                let found = name_errors(NameStyle::Subdomain, prefix);
                errors.extend(found.into_iter().map(|error| format!("prefix part {error}")));
            }
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_name_part(name) {
        errors.push(QUALIFIED_NAME.to_owned());
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "a".repeat(254);
        for (style, name, good) in [
            (NameStyle::Subdomain, "a.b-c.1", true),
            (NameStyle::Subdomain, "A", false),
            (NameStyle::Subdomain, "a..b", false),
            (NameStyle::Subdomain, "-a", false),
            (NameStyle::Subdomain, &long, false),
            (NameStyle::Label, "a.b", false),
            (NameStyle::ServiceLabel, "1a", false),
            (NameStyle::ServiceLabel, "a1", true),
            (NameStyle::PathSegment, "system:x", true),
            (NameStyle::PathSegment, "a/b", false),
        ] {
            assert_eq!(name_errors(style, name).is_empty(), good, "{name}");
        }
    }

    #[test]
    fn label_keys() {
        for (key, good) in [
            ("app", true),
            ("a.b/C_d", true),
            ("/x", false),
            ("a/", false),
            ("a/b/c", false),
            ("-", false),
        ] {
            assert_eq!(qualified_name_errors(key).is_empty(), good, "{key}");
        }
    }
}
