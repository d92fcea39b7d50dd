//! Checks of a custom resource definition around its schemas: names, scope, versions, approval.

use std::collections::BTreeSet;

use serde_json::Value;

const APPROVAL: &str = "api-approved.kubernetes.io";
const APPROVAL_HELP: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// Everything wrong outside of the schemas, one text `field: message` each.
pub(super) fn faults(definition: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    names(definition, &mut errors);
    approval(definition, &mut errors);
    scope(definition, &mut errors);
    versions(definition, &mut errors);
    errors
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn names(definition: &Value, errors: &mut Vec<String>) {
    let spec = &definition["spec"];
    for field in ["plural", "singular", "kind", "listKind"] {
        // The API server fills in the singular and the list kind where they are missing.
        if text(&spec["names"], field).is_empty() && matches!(field, "plural" | "kind") {
            errors.push(format!("spec.names.{field}: Required value"));
        }
    }
    if text(spec, "group").is_empty() {
        errors.push("spec.group: Required value".to_owned());
    } else if !text(spec, "group").contains('.') {
        errors.push(format!(
            "spec.group: Invalid value: {:?}: should be a domain with at least one dot",
            text(spec, "group")
        ));
    }
    let expected = format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"));
    let name = text(&definition["metadata"], "name");
    if name != expected {
        errors.push(format!(
            "metadata.name: Invalid value: {name:?}: must be spec.names.plural+\".\"+spec.group"
        ));
    }
}

/// Groups of the Kubernetes project need an annotation that says who approved the API.
fn approval(definition: &Value, errors: &mut Vec<String>) {
    let group = text(&definition["spec"], "group");
    let protected = |domain: &str| group == domain || group.ends_with(&format!(".{domain}"));
    if !protected("k8s.io") && !protected("kubernetes.io") {
        return;
    }
    let field = format!("metadata.annotations[{APPROVAL}]");
    match text(&definition["metadata"]["annotations"], APPROVAL) {
        "" => errors.push(format!(
            "{field}: Required value: protected groups must have approval annotation \"{APPROVAL}\", \
             {APPROVAL_HELP}"
        )),
        approved if approved.starts_with("unapproved") || is_address(approved) => {}
        other => errors.push(format!(
            "{field}: Invalid value: {other:?}: protected groups must have approval annotation \"{APPROVAL}\" \
             with either a URL or a reason starting with \"unapproved\", {APPROVAL_HELP}"
        )),
    }
}

fn is_address(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
}

fn scope(definition: &Value, errors: &mut Vec<String>) {
    match text(&definition["spec"], "scope") {
        "Cluster" | "Namespaced" => {}
        "" => errors.push("spec.scope: Required value".to_owned()),
        other => errors.push(format!(
            "spec.scope: Unsupported value: {other:?}: supported values: \"Cluster\", \"Namespaced\""
        )),
    }
}

fn versions(definition: &Value, errors: &mut Vec<String>) {
    let listed = definition["spec"]["versions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if listed.is_empty() {
        errors.push("spec.versions: Required value: must have at least one version".to_owned());
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, version) in listed.iter().enumerate() {
        match text(version, "name") {
            "" => errors.push(format!("spec.versions[{index}].name: Required value")),
            name if !seen.insert(name) => errors.push(format!(
                "spec.versions[{index}].name: Invalid value: {name:?}: must not have duplicate version names"
            )),
            _ => {}
        }
    }
    let stored = listed.iter().filter(|version| version["storage"] == true).count();
    if stored != 1 {
        errors.push(
            "spec.versions: Invalid value: must have exactly one version marked as storage version"
                .to_owned(),
        );
    }
}
