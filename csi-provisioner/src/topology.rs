//! Where the driver is asked to make a volume, and where it answers that one is. Pure. Source: sidecars.md 2.6.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use csi::v1::{Topology, TopologyRequirement};
use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, TopologySelectorTerm, VolumeNodeAffinity,
};

/// Labels that a node must have, sorted by key. Fewer labels come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term(Vec<(String, String)>);

impl Ord for Term {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for Term {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Term {
    fn new(mut labels: Vec<(String, String)>) -> Self {
        labels.sort_unstable();
        Self(labels)
    }

    /// The values of these labels; none where one of them is missing.
    fn of(labels: &Labels, keys: &[String]) -> Option<Self> {
        let value = |key: &String| Some((key.clone(), labels.get(key)?.clone()));
        keys.iter().map(value).collect::<Option<_>>().map(Self::new)
    }

    /// Whoever has all of `other` has all of this one.
    fn is_in(&self, other: &Self) -> bool {
        self.0.iter().all(|label| other.0.contains(label))
    }

    fn topology(&self) -> Topology {
        Topology {
            segments: self.0.iter().cloned().collect(),
        }
    }
}

/// The labels of a node.
pub type Labels = BTreeMap<String, String>;

/// The nodes of the cluster, and what the driver registered on them.
#[derive(Clone, Debug, Default)]
pub struct Cluster<'a> {
    /// The labels of each node.
    pub nodes: BTreeMap<&'a str, &'a Labels>,
    /// The topology keys of the driver on each node that has a CSINode; none where it is not registered.
    pub registered: BTreeMap<&'a str, &'a [String]>,
}

/// What asks for a volume.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The name of the claim, by which volumes are spread.
    pub claim: &'a str,
    /// `allowedTopologies` of the class.
    pub allowed: &'a [TopologySelectorTerm],
    /// The node that the scheduler chose.
    pub node: Option<&'a str>,
    /// `--strict-topology`.
    pub strict: bool,
    /// `--immediate-topology`.
    pub immediate: bool,
}

/// Why there is no requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The chosen node is gone, or its object or its CSINode is: the scheduler must choose again if that lasts.
    NodeGone {
        /// What is missing.
        text: String,
        /// It is the CSINode.
        is_driver_gone: bool,
    },
    /// Something that may change.
    Refused(String),
}

/// What the driver is told of where the volume should be.
///
/// # Errors
/// [`Trouble`].
pub fn requirement(wish: &Wish<'_>, cluster: &Cluster<'_>) -> Result<Option<TopologyRequirement>, Trouble> {
    let allowed = flatten(wish.allowed);
    let Some(node) = wish.node else {
        return immediate(wish, allowed, cluster);
    };
    let selected = chosen(node, cluster)?;
    if wish.strict {
        let is_allowed = wish.allowed.is_empty() || allowed.iter().any(|term| term.is_in(&selected.term));
        if !is_allowed {
            return Err(Trouble::Refused(format!(
                "the topology {} of selected node {node:?} is not in the allowedTopologies of the class",
                shown(&selected.term)
            )));
        }
        return Ok(Some(told(vec![selected.term], 0)));
    }
    let requisite = match wish.allowed {
        [] => cluster.having(selected.keys),
        _ => sorted(allowed),
    };
    if requisite.is_empty() {
        return Ok(None);
    }
    match requisite.iter().position(|term| term.is_in(&selected.term)) {
        Some(first) => Ok(Some(told(requisite, first))),
        None => Err(Trouble::Refused(format!(
            "the topology {} of selected node {node:?} is not in the allowedTopologies of the class",
            shown(&selected.term)
        ))),
    }
}

fn immediate(
    wish: &Wish<'_>,
    allowed: Vec<Term>,
    cluster: &Cluster<'_>,
) -> Result<Option<TopologyRequirement>, Trouble> {
    let requisite = match wish.allowed {
        [] if !wish.immediate => return Ok(None),
        [] => cluster.of_registered(),
        _ => sorted(allowed),
    };
    match (requisite.len(), wish.allowed) {
        (0, []) => Err(Trouble::Refused(
            "no available topology found: the CSI driver is registered on no node whose labels have its topology \
             keys; wait for its node pods, or look at them"
                .to_owned(),
        )),
        (0, _) => Ok(None),
        (number, _) => {
            let first = offset(wish.claim) as usize % number;
            Ok(Some(told(requisite, first)))
        }
    }
}

struct Chosen<'a> {
    keys: &'a [String],
    term: Term,
}

fn chosen<'a>(node: &str, cluster: &Cluster<'a>) -> Result<Chosen<'a>, Trouble> {
    let gone = |what: &str, is_driver_gone| Trouble::NodeGone {
        text: format!("selected node {node:?} has no {what}"),
        is_driver_gone,
    };
    let Some(keys) = cluster.registered.get(node) else {
        return Err(gone("CSINode object", true));
    };
    let Some(labels) = cluster.nodes.get(node) else {
        return Err(gone("Node object", false));
    };
    if keys.is_empty() {
        return Err(Trouble::Refused(format!(
            "no topology key found for node {node}: the CSI driver is not registered there; wait for its node pod"
        )));
    }
    match Term::of(labels, keys) {
        Some(term) => Ok(Chosen { keys, term }),
        None => Err(Trouble::Refused(format!(
            "the labels of selected node {node:?} lack some of the topology keys {keys:?} of its CSINode"
        ))),
    }
}

impl Cluster<'_> {
    /// The places of all nodes that have these labels, whether the driver is there or not `[K]`.
    fn having(&self, keys: &[String]) -> Vec<Term> {
        places(self.nodes.values().map(|labels| (*labels, keys)))
    }

    /// The places of the nodes that the driver is registered on, each by the keys that it has there.
    fn of_registered(&self) -> Vec<Term> {
        let registered = self.registered.iter().filter(|(_, keys)| !keys.is_empty());
        places(registered.filter_map(|(node, keys)| Some((*self.nodes.get(node)?, *keys))))
    }
}

/// The places of these nodes, each by its keys, in the order of terms. Only what is no repetition is copied: there are many
/// nodes and few places.
fn places<'a>(nodes: impl Iterator<Item = (&'a Labels, &'a [String])>) -> Vec<Term> {
    let place = |(labels, keys): (&'a Labels, &'a [String])| {
        let pairs = keys.iter().map(|key| labels.get_key_value(key));
        let mut pairs = pairs.collect::<Option<Vec<_>>>()?;
        pairs.sort_unstable();
        Some((pairs.len(), pairs))
    };
    let places: BTreeSet<_> = nodes.filter_map(place).collect();
    let owned = |(key, value): (&String, &String)| (key.clone(), value.clone());
    places
        .into_iter()
        .map(|(_, pairs)| Term(pairs.into_iter().map(owned).collect()))
        .collect()
}

fn sorted(terms: Vec<Term>) -> Vec<Term> {
    terms.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

fn told(requisite: Vec<Term>, first: usize) -> TopologyRequirement {
    let topologies = |terms: &[Term]| terms.iter().map(Term::topology).collect::<Vec<_>>();
    let mut preferred = topologies(&requisite);
    preferred.rotate_left(first);
    TopologyRequirement {
        requisite: topologies(&requisite),
        preferred,
    }
}

/// Every choice of one value a key within a term; the terms one after the other.
fn flatten(allowed: &[TopologySelectorTerm]) -> Vec<Term> {
    let mut all = Vec::new();
    for term in allowed {
        let mut choices: Vec<Vec<(String, String)>> = Vec::new();
        for expression in term.match_label_expressions.iter().flatten() {
            let value = |value: &String| (expression.key.clone(), value.clone());
            let values = expression.values.iter().map(value);
            // A key without values drops what came before it, as upstream.
            choices = match choices.is_empty() {
                true => values.map(|one| vec![one]).collect(),
                false => values
                    .flat_map(|one| {
                        let longer =
                            move |choice: &Vec<_>| [choice.as_slice(), slice::from_ref(&one)].concat();
                        choices.iter().map(longer).collect::<Vec<_>>()
                    })
                    .collect(),
            };
        }
        all.extend(choices.into_iter().map(Term::new));
    }
    all
}

/// Where among the places the volumes of a claim of this name begin: claims of one StatefulSet go round, and those of one
/// of its pods are together.
fn offset(claim: &str) -> u32 {
    let numbered = claim
        .rsplit_once('-')
        .and_then(|(set, number)| Some((set, number.parse::<u32>().ok()?)));
    let Some((set, index)) = numbered else {
        return fnv1(claim.as_bytes());
    };
    let set = set.rsplit_once('-').map_or(set, |(_, set)| set);
    fnv1(set.as_bytes()).wrapping_add(index)
}

/// The hash FNV-1 of 32 bits: another one than FNV-1a.
fn fnv1(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash: u32, byte| {
        hash.wrapping_mul(0x0100_0193) ^ u32::from(*byte)
    })
}

fn shown(term: &Term) -> String {
    let label = |(key, value): &(String, String)| format!("{key}={value}");
    term.0.iter().map(label).collect::<Vec<_>>().join(",")
}

/// Where the volume can be reached from: one term a topology, its keys sorted. Topologies without segments say nothing.
#[must_use]
pub fn affinity(topologies: &[Topology]) -> Option<VolumeNodeAffinity> {
    let requirement = |(key, value): (&String, &String)| NodeSelectorRequirement {
        key: key.clone(),
        operator: "In".to_owned(),
        values: Some(vec![value.clone()]),
    };
    let terms: Vec<NodeSelectorTerm> = topologies
        .iter()
        .filter(|topology| !topology.segments.is_empty())
        .map(|topology| NodeSelectorTerm {
            match_expressions: Some(topology.segments.iter().map(requirement).collect()),
            match_fields: None,
        })
        .collect();
    (!terms.is_empty()).then_some(VolumeNodeAffinity {
        required: Some(NodeSelector {
            node_selector_terms: terms,
        }),
    })
}
