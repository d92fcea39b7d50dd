//! ResourceQuota. What quotas count besides objects and storage, and scopes, are refused: they are not played.

use serde_json::Value;

use super::quantity::Quantity;
use super::{FieldError, items};
use crate::kube::metadata::qualified_name_errors;

/// What may be limited without a domain, and is a whole number.
const OBJECTS: [&str; 9] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];
/// What pods ask for, and the only size beside it.
const AMOUNTS: [&str; 10] = [
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
];
const NOT_COUNTED: &str = "the sandbox does not count what pods ask for";
const NO_SCOPES: &str = "quotas of the sandbox have no scopes";

pub(super) fn validate(new: &Value, errors: &mut Vec<FieldError>) {
    for list in ["spec.hard", "status.hard", "status.used"] {
        let pointer = format!("/{}", list.replace('.', "/"));
        let amounts = new.pointer(&pointer).and_then(Value::as_object);
        for (name, amount) in amounts.into_iter().flatten() {
            let path = format!("{list}[{name}]");
            names(&path, name, errors);
            quantities(&path, name, amount, errors);
        }
    }
    let spec = &new["spec"];
    if !items(spec, "scopes").is_empty() {
        errors.push(FieldError::forbidden("spec.scopes", NO_SCOPES));
    }
    if !items(&spec["scopeSelector"], "matchExpressions").is_empty() {
        errors.push(FieldError::forbidden("spec.scopeSelector", NO_SCOPES));
    }
}

fn names(path: &str, name: &str, errors: &mut Vec<FieldError>) {
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(path, &Value::from(name), detail));
    let details = qualified_name_errors(name);
    details.iter().for_each(|detail| refuse(detail));
    let is_known = OBJECTS.contains(&name) || AMOUNTS.contains(&name) || is_of_huge_pages(name);
    if !name.contains('/') && !is_known {
        // The size of a claim has a name that is no quota's.
        if details.is_empty() && name != "storage" {
            refuse("must be a standard resource type or fully qualified");
        }
        refuse("must be a standard resource for quota");
    }
    if details.is_empty() && is_asked_by_pods(name) {
        errors.push(FieldError::forbidden(path, NOT_COUNTED));
    }
}

fn quantities(path: &str, name: &str, amount: &Value, errors: &mut Vec<FieldError>) {
    let Some(quantity) = Quantity::read(amount) else {
        return;
    };
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(path, amount, detail));
    if quantity < Quantity::whole(0) {
        refuse("must be greater than or equal to 0");
    }
    if quantity.is_fractional() && is_whole(name) {
        refuse("must be an integer");
    }
}

fn is_of_huge_pages(name: &str) -> bool {
    name.strip_prefix("requests.")
        .unwrap_or(name)
        .starts_with("hugepages-")
}

/// What is not counted here: all amounts but storage, and `requests.` of extended resources.
fn is_asked_by_pods(name: &str) -> bool {
    let is_amount = AMOUNTS.contains(&name) && name != "requests.storage";
    is_amount || is_of_huge_pages(name) || name.starts_with("requests.") && name.contains('/')
}

/// Numbers of objects, and everything with a foreign domain.
fn is_whole(name: &str) -> bool {
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    let is_extended = !is_native
        && !name.starts_with("requests.")
        && qualified_name_errors(&format!("requests.{name}")).is_empty();
    OBJECTS.contains(&name) || is_extended
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(object: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        validate(object, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "one table")]
    fn limits_are_judged_as_by_the_api_server() {
        const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start \
            and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
            validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        const FOR_QUOTA: &str = "must be a standard resource for quota";
        let many_parts = NAME_PART.replace("name part", "a valid label key")
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        for (name, amount, expected) in [
            ("count/volumesnapshots.snapshot.storage.k8s.io", "2", vec![]),
            ("count/nothings.example.com", "0", vec![]),
            ("gp3.storageclass.storage.k8s.io/requests.storage", "1Gi", vec![]),
            ("requests.storage", "500m", vec![]),
            ("pods", "1", vec![]),
            (
                "things",
                "1",
                vec![
                    "Invalid value: \"things\": must be a standard resource type or fully qualified"
                        .to_owned(),
                    format!("Invalid value: \"things\": {FOR_QUOTA}"),
                ],
            ),
            (
                "storage",
                "1",
                vec![format!("Invalid value: \"storage\": {FOR_QUOTA}")],
            ),
            (
                "count/",
                "1",
                vec![
                    "Invalid value: \"count/\": name part must be non-empty".to_owned(),
                    format!("Invalid value: \"count/\": {NAME_PART}"),
                ],
            ),
            (
                "count/a/b",
                "1",
                vec![format!("Invalid value: \"count/a/b\": {many_parts}")],
            ),
            (
                "a b",
                "1",
                vec![
                    format!("Invalid value: \"a b\": {NAME_PART}"),
                    format!("Invalid value: \"a b\": {FOR_QUOTA}"),
                ],
            ),
            (
                "pods",
                "-1",
                vec!["Invalid value: \"-1\": must be greater than or equal to 0".to_owned()],
            ),
            (
                "secrets",
                "1500m",
                vec!["Invalid value: \"1500m\": must be an integer".to_owned()],
            ),
            (
                "count/things.example.com",
                "500m",
                vec!["Invalid value: \"500m\": must be an integer".to_owned()],
            ),
            ("cpu", "1", vec![format!("Forbidden: {NOT_COUNTED}")]),
            ("limits.memory", "1Gi", vec![format!("Forbidden: {NOT_COUNTED}")]),
            (
                "requests.hugepages-2Mi",
                "1Gi",
                vec![format!("Forbidden: {NOT_COUNTED}")],
            ),
            (
                "requests.example.com/gpu",
                "1",
                vec![format!("Forbidden: {NOT_COUNTED}")],
            ),
        ] {
            for list in ["spec/hard", "status/hard", "status/used"] {
                let (part, map) = list.split_once('/').unwrap();
                let object = json!({part: {map: {name: amount}}});
                let expected = expected
                    .iter()
                    .map(|text| format!("{part}.{map}[{name}]: {text}"));
                assert_eq!(
                    told(&object),
                    expected.collect::<Vec<_>>(),
                    "{name}={amount} in {list}"
                );
            }
        }
    }

    #[test]
    fn scopes_are_refused() {
        for (spec, field) in [
            (json!({"scopes": ["Terminating"]}), "spec.scopes"),
            (
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}),
                "spec.scopeSelector",
            ),
        ] {
            assert_eq!(
                told(&json!({"spec": spec})),
                [format!("{field}: Forbidden: {NO_SCOPES}")]
            );
        }
        assert_eq!(
            told(&json!({"spec": {"scopes": [], "scopeSelector": {}}})),
            [""; 0]
        );
    }
}
