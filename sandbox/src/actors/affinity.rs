//! Which nodes a volume or a class is for.

use runtime::migration;
use runtime::objects::Volume;
use serde_json::Value;

use super::{items, text};

/// Whether a volume can be reached from a node, an in-tree one as its driver knows it.
pub(super) fn reaches(volume: &Value, node: &Value) -> bool {
    let Ok(volume) = serde_json::from_value::<Volume>(volume.clone()) else {
        return false;
    };
    let Some(affinity) = migration::affinity_of(&volume) else {
        return true;
    };
    let affinity = serde_json::to_value(affinity).unwrap_or_default();
    let terms = items(&affinity, "/required/nodeSelectorTerms");
    // Any term is enough.
    affinity.get("required").is_none() || terms.iter().any(|term| fits(term, node))
}

/// Whether volumes of a class can be made for a node (`allowedTopologies`).
pub(super) fn allows(class: &Value, node: &Value) -> bool {
    let terms = items(class, "/allowedTopologies");
    let labels = &node["metadata"]["labels"];
    let holds = |requirement: &Value| {
        let label = &labels[text(requirement, "/key")];
        items(requirement, "/values").contains(label)
    };
    let fits = |term: &Value| items(term, "/matchLabelExpressions").iter().all(holds);
    terms.is_empty() || terms.iter().any(fits)
}

/// Whether a label selector chooses these labels: an empty one chooses all, an absent one none.
pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let expressions = items(selector, "/matchExpressions").iter();
    selector.is_object()
        && equal.into_iter().all(|(key, value)| label(key) == value.as_str())
        && expressions
            .into_iter()
            .all(|one| holds(one, label(text(one, "/key"))))
}

/// A term without requirements selects nothing.
fn fits(term: &Value, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let (expressions, fields) = (items(term, "/matchExpressions"), items(term, "/matchFields"));
    let label = |one: &Value| labels.get(text(one, "/key")).and_then(Value::as_str);
    let field = |one: &Value| {
        let name = Some(text(node, "/metadata/name"));
        name.filter(|_| text(one, "/key") == "metadata.name")
    };
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|one| holds(one, label(one)))
        && fields.iter().all(|one| holds(one, field(one)))
}

fn holds(requirement: &Value, value: Option<&str>) -> bool {
    let values = items(requirement, "/values");
    let is_named = value.is_some_and(|value| values.iter().any(|one| one == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = values.first().and_then(|bound| number(bound.as_str()?));
    let is_bound_by = |holds: fn(i64, i64) -> bool| match (value.and_then(number), bound) {
        (Some(value), Some(bound)) => holds(value, bound),
        _ => false,
    };
    match text(requirement, "/operator") {
        "In" => is_named,
        "NotIn" => !is_named,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => is_bound_by(|value, bound| value > bound),
        "Lt" => is_bound_by(|value, bound| value < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node() -> Value {
        json!({"metadata": {"name": "n", "labels": {
            "zone": "a", "slots": "5", "topology.ebs.csi.aws.com/zone": "us-east-1a",
        }}})
    }

    #[test]
    fn a_volume_is_reached_where_one_of_its_terms_holds() {
        let term = |key: &str, operator: &str, values: Value| json!({"key": key, "operator": operator, "values": values});
        for (terms, expected) in [
            (
                json!([{"matchExpressions": [term("zone", "In", json!(["a", "b"]))]}]),
                true,
            ),
            (
                json!([{"matchExpressions": [term("zone", "In", json!(["b"]))]}]),
                false,
            ),
            (
                json!([{"matchExpressions": [term("zone", "NotIn", json!(["b"]))]}]),
                true,
            ),
            (
                json!([{"matchExpressions": [term("rack", "Exists", json!(null))]}]),
                false,
            ),
            (
                json!([{"matchExpressions": [term("rack", "DoesNotExist", json!(null))]}]),
                true,
            ),
            (
                json!([{"matchExpressions": [term("slots", "Gt", json!(["4"]))]}]),
                true,
            ),
            (
                json!([{"matchExpressions": [term("slots", "Lt", json!(["4"]))]}]),
                false,
            ),
            (
                json!([{"matchFields": [term("metadata.name", "In", json!(["n"]))]}]),
                true,
            ),
            (
                json!([
                    {"matchExpressions": [term("zone", "In", json!(["b"]))]},
                    {"matchExpressions": [term("zone", "In", json!(["a"]))]},
                ]),
                true,
            ),
            (json!([{}]), false),
        ] {
            let volume = json!({
                "metadata": {"name": "v"},
                "spec": {"csi": {"driver": "d", "volumeHandle": "h"},
                         "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}},
            });
            assert_eq!(reaches(&volume, &node()), expected, "{terms}");
        }
        let anywhere = json!({"metadata": {"name": "v"}, "spec": {}});
        assert!(reaches(&anywhere, &node()));
    }

    #[test]
    fn an_in_tree_volume_is_where_its_label_says() {
        for (zone, expected) in [("us-east-1a", true), ("us-east-1b", false)] {
            let volume = json!({
                "metadata": {"name": "v", "labels": {"topology.kubernetes.io/zone": zone}},
                "spec": {"awsElasticBlockStore": {"volumeID": "vol-1"}},
            });
            assert_eq!(reaches(&volume, &node()), expected, "{zone}");
        }
    }

    #[test]
    fn a_class_may_be_for_some_nodes() {
        for (zones, expected) in [(json!(["a"]), true), (json!(["b", "c"]), false)] {
            let class =
                json!({"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": zones}]}]});
            assert_eq!(allows(&class, &node()), expected);
        }
        assert!(allows(&json!({}), &node()));
    }
}
