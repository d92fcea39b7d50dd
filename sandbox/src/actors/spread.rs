//! Topology spread constraints of pods: how unevenly its pods may lie over zones, or other groups of nodes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::affinity::selects;
use super::{is_deleting, items, text};

/// Whether a pod may go to a node without its pods lying less evenly than it allows. `nodes` are those that it may go to but
/// for this, `pods` those of its namespace.
pub(super) fn spreads(pod: &Value, node: &Value, nodes: &[Value], pods: &[&Value]) -> bool {
    let constraints: Vec<&Value> = items(pod, "/spec/topologySpreadConstraints")
        .iter()
        .filter(|one| text(one, "/whenUnsatisfiable") != "ScheduleAnyway")
        .collect();
    let has_all = |node: &&Value| constraints.iter().all(|one| domain(one, node).is_some());
    let counted: Vec<&Value> = nodes.iter().filter(has_all).collect();
    has_all(&node)
        && constraints
            .iter()
            .all(|one| holds(one, pod, node, &counted, pods))
}

/// Whether a pod says how it is to be spread.
pub(super) fn is_spread(pod: &Value) -> bool {
    !items(pod, "/spec/topologySpreadConstraints").is_empty()
}

fn holds(constraint: &Value, pod: &Value, node: &Value, nodes: &[&Value], pods: &[&Value]) -> bool {
    let number = |field: &str| constraint[field].as_u64().unwrap_or(1);
    let mut counts: BTreeMap<&str, u64> = nodes
        .iter()
        .filter_map(|node| Some((domain(constraint, node)?, 0)))
        .collect();
    let selector = selector(constraint, pod);
    let selected = |pod: &&&Value| selects(&selector, &pod["metadata"]["labels"]);
    for other in pods.iter().filter(selected).filter(|other| !is_deleting(other)) {
        let at = text(other, "/spec/nodeName");
        let at = nodes.iter().find(|node| text(node, "/metadata/name") == at);
        if let Some(count) = at
            .and_then(|node| domain(constraint, node))
            .and_then(|domain| counts.get_mut(domain))
        {
            *count += 1;
        }
    }
    let is_short = (counts.len() as u64) < number("minDomains");
    let least = counts.values().min().copied().filter(|_| !is_short);
    let here = domain(constraint, node).and_then(|domain| counts.get(domain));
    let itself = u64::from(selects(&selector, &pod["metadata"]["labels"]));
    here.is_some_and(|here| here + itself <= least.unwrap_or(0) + number("maxSkew"))
}

/// The group of nodes that a node is in.
fn domain<'a>(constraint: &Value, node: &'a Value) -> Option<&'a str> {
    node["metadata"]["labels"]
        .get(text(constraint, "/topologyKey"))?
        .as_str()
}

/// Which pods count: `matchLabelKeys` adds the pod's own values of these labels.
fn selector(constraint: &Value, pod: &Value) -> Value {
    let mut selector = constraint["labelSelector"].clone();
    for key in items(constraint, "/matchLabelKeys")
        .iter()
        .filter_map(Value::as_str)
    {
        if let (Some(value), Some(selector)) = (pod["metadata"]["labels"].get(key), selector.as_object_mut())
        {
            let labels = selector.entry("matchLabels").or_insert_with(|| json!({}));
            labels[key] = value.clone();
        }
    }
    selector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, labels: Value) -> Value {
        json!({"metadata": {"name": name, "labels": labels}})
    }

    fn pod(node: &str, app: &str) -> Value {
        json!({"metadata": {"labels": {"app": app, "hash": "1"}}, "spec": {"nodeName": node}})
    }

    fn of_web(change: &Value) -> Value {
        let mut constraint = json!({
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}},
        });
        json_patch::merge(&mut constraint, change);
        let mut pod = pod("", "web");
        pod["spec"]["topologySpreadConstraints"] = json!([constraint]);
        pod
    }

    #[test]
    fn pods_lie_no_less_evenly_than_they_allow() {
        let nodes = [
            node("a1", json!({"zone": "a"})),
            node("a2", json!({"zone": "a"})),
            node("b1", json!({"zone": "b"})),
            node("bare", json!({})),
        ];
        let (first, other) = (pod("a1", "web"), pod("b1", "other"));
        let mut going = pod("b1", "web");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let pods = [&first, &other, &going];
        let allowed = |pod: &Value| {
            let suits = |node: &&Value| spreads(pod, node, &nodes, &pods);
            let names = nodes
                .iter()
                .filter(suits)
                .map(|node| text(node, "/metadata/name"));
            names.collect::<Vec<_>>().join(" ")
        };
        for (change, expected) in [
            (json!({}), "b1"),
            (json!({"maxSkew": 2}), "a1 a2 b1"),
            (json!({"whenUnsatisfiable": "ScheduleAnyway"}), "a1 a2 b1 bare"),
            // As if there were an empty zone.
            (json!({"minDomains": 3}), "b1"),
            (json!({"minDomains": 3, "maxSkew": 2}), "a1 a2 b1"),
            (json!({"topologyKey": "rack"}), ""),
            // It counts none, and not itself either.
            (
                json!({"labelSelector": {"matchLabels": {"app": "none"}}}),
                "a1 a2 b1",
            ),
            (
                json!({"labelSelector": {"matchLabels": null}, "matchLabelKeys": ["hash"]}),
                "a1 a2 b1",
            ),
            (
                json!({"labelSelector": {"matchLabels": null, "matchExpressions":
                    [{"key": "app", "operator": "In", "values": ["web", "db"]}]}}),
                "b1",
            ),
        ] {
            assert_eq!(allowed(&of_web(&change)), expected, "{change}");
        }
        assert!(is_spread(&of_web(&json!({}))) && !is_spread(&first));
    }
}
