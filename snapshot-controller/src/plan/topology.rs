//! The node whose sidecar is to take a snapshot, with distributed snapshotting (spec snapshot 2.11, Q19).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

/// The longest value of a label.
const LABEL_VALUE_LIMIT: usize = 63;

/// What is read of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Why no node can be named. The content is made all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// No node matches.
    #[error("no node matches the node affinity of PersistentVolume {volume}")]
    NoNode {
        /// Name of the volume.
        volume: String,
    },
    /// The name cannot be the value of a label.
    #[error("the name of node {node} is longer than the {LABEL_VALUE_LIMIT} characters of a label value")]
    NameTooLong {
        /// Name of the node.
        node: String,
    },
}

/// The first node, in the order of names, that the volume can be reached from.
///
/// # Errors
/// When there is none, or when its name does not fit into a label.
pub fn managing_node<'a>(
    volume: &str,
    affinity: &NodeSelector,
    nodes: impl IntoIterator<Item = &'a NodeFacts>,
) -> Result<String, TopologyError> {
    let node = nodes
        .into_iter()
        .find(|node| {
            affinity
                .node_selector_terms
                .iter()
                .any(|term| matches(term, node))
        })
        .ok_or_else(|| TopologyError::NoNode {
            volume: volume.to_owned(),
        })?;
    if node.name.len() > LABEL_VALUE_LIMIT {
        return Err(TopologyError::NameTooLong {
            node: node.name.clone(),
        });
    }
    Ok(node.name.clone())
}

/// A term without any requirement matches nothing.
fn matches(term: &NodeSelectorTerm, node: &NodeFacts) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    (!expressions.is_empty() || !fields.is_empty())
        && expressions
            .iter()
            .all(|requirement| holds(requirement, node.labels.get(&requirement.key).map(String::as_str)))
        && fields.iter().all(|requirement| {
            let value = (requirement.key == "metadata.name").then_some(node.name.as_str());
            holds(requirement, value)
        })
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let listed = || {
        let values = requirement.values.as_deref().unwrap_or_default();
        value.is_some_and(|value| values.iter().any(|other| other == value))
    };
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(requirement, value).is_some_and(|(value, bound)| value > bound),
        "Lt" => compare(requirement, value).is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

fn compare(requirement: &NodeSelectorRequirement, value: Option<&str>) -> Option<(i64, i64)> {
    let bound = requirement.values.as_deref()?.first()?.parse().ok()?;
    Some((value?.parse().ok()?, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(key: &str, operator: &str, values: &[&str]) -> NodeSelectorRequirement {
        NodeSelectorRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
        }
    }

    #[test]
    fn operators_follow_kubernetes() {
        for (operator, values, value, expected) in [
            ("In", vec!["a", "b"], Some("b"), true),
            ("In", vec!["a"], None, false),
            ("NotIn", vec!["a"], None, true),
            ("NotIn", vec!["a"], Some("a"), false),
            ("Exists", vec![], Some(""), true),
            ("DoesNotExist", vec![], None, true),
            ("Gt", vec!["4"], Some("5"), true),
            ("Gt", vec!["4"], Some("x"), false),
            ("Lt", vec!["4"], Some("5"), false),
            ("Unheard", vec![], Some("5"), false),
        ] {
            assert_eq!(
                holds(&requirement("k", operator, &values), value),
                expected,
                "{operator} {value:?}"
            );
        }
    }

    #[test]
    fn the_first_matching_node_is_taken() {
        let affinity = NodeSelector {
            node_selector_terms: vec![
                NodeSelectorTerm::default(),
                NodeSelectorTerm {
                    match_fields: Some(vec![requirement("metadata.name", "In", &["n2", "n3"])]),
                    ..NodeSelectorTerm::default()
                },
            ],
        };
        let nodes = ["n1", "n2", "n3"].map(|name| NodeFacts {
            name: name.to_owned(),
            ..NodeFacts::default()
        });
        assert_eq!(managing_node("v", &affinity, &nodes), Ok("n2".to_owned()));
        assert_eq!(
            managing_node("v", &affinity, &nodes[..1])
                .unwrap_err()
                .to_string(),
            "no node matches the node affinity of PersistentVolume v"
        );
    }
}
