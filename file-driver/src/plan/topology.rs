//! From where volumes and snapshots can be reached: this node.

use std::collections::BTreeMap;

use csi::v1::{Topology, TopologyRequirement};

use super::Refusal;

/// Where this node is.
#[must_use]
pub fn of_node(driver: &str, node: &str) -> Topology {
    Topology {
        segments: BTreeMap::from([(format!("{driver}/node"), node.to_owned())]),
    }
}

/// Whether this node is within a topology.
#[must_use]
pub fn is_within(here: &Topology, topology: &Topology) -> bool {
    let is_ours = |(key, value): (&String, &String)| here.segments.get(key) == Some(value);
    topology.segments.iter().all(is_ours)
}

/// Refuses what is to be reachable from other places alone.
///
/// # Errors
/// [`Refusal::Exhausted`], upon which the scheduler of Kubernetes takes another node.
pub fn check(here: &Topology, requirement: Option<&TopologyRequirement>) -> Result<(), Refusal> {
    let requisite = requirement.map_or(&[][..], |requirement| &requirement.requisite);
    if requisite.is_empty() || requisite.iter().any(|topology| is_within(here, topology)) {
        return Ok(());
    }
    let segments = &here.segments;
    Err(Refusal::Exhausted(format!(
        "accessibility_requirements name other places than this node, {segments:?}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_requisite_place_must_be_here() {
        let (here, there) = (of_node("d", "a"), of_node("d", "b"));
        let requirement = |places: &[&Topology]| TopologyRequirement {
            requisite: places.iter().map(|place| (*place).clone()).collect(),
            preferred: Vec::new(),
        };
        assert_eq!(check(&here, None), Ok(()));
        assert_eq!(check(&here, Some(&requirement(&[]))), Ok(()));
        assert_eq!(check(&here, Some(&requirement(&[&there, &here]))), Ok(()));
        let refusal = check(&here, Some(&requirement(&[&there])));
        assert!(matches!(refusal, Err(Refusal::Exhausted(_))));
        assert!(
            !is_within(&here, &of_node("e", "a")),
            "an unknown key is elsewhere"
        );
    }
}
