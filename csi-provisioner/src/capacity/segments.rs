//! For which classes and places capacity is published. Pure. Source: sidecars.md 2.11.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::NodeSelectorTerm;
use k8s_openapi::api::storage::v1::{CSINode, CSIStorageCapacity, StorageClass};
use runtime::ObjectKey;

use super::is_published;
use crate::topology::Labels;

/// The labels that the nodes of one place have in common; none for a driver that is everywhere the same.
pub type Segment = BTreeMap<String, String>;

/// What an object is about, by value (Q18): its class, and its place as a text. Labels have neither `=` nor `,` in them.
#[must_use]
pub fn about(class: &str, segment: &Segment) -> ObjectKey {
    let label = |(key, value): (&String, &String)| format!("{key}={value}");
    let labels: Vec<String> = segment.iter().map(label).collect();
    ObjectKey::new(class, labels.join(","))
}

/// What an object that is there is about. One with another kind of selector than ours is about nothing that anybody wants.
#[must_use]
pub fn about_object(object: &CSIStorageCapacity) -> ObjectKey {
    let class = &object.storage_class_name;
    let selector = object.node_topology.as_ref();
    match selector.filter(|selector| selector.match_expressions.is_none()) {
        Some(selector) => about(class, &selector.match_labels.clone().unwrap_or_default()),
        None => ObjectKey::new(class, "?"),
    }
}

/// The places of the nodes that the driver is registered on. A node that has not all of its labels yet is left out.
#[must_use]
pub fn segments<'a>(
    driver: &str,
    registered: impl Iterator<Item = &'a CSINode>,
    nodes: &BTreeMap<&str, &Labels>,
) -> BTreeSet<Segment> {
    let segment = |node: &'a CSINode| {
        let ours = node.spec.drivers.iter().find(|one| one.name == driver)?;
        let labels = nodes.get(node.metadata.name.as_deref()?)?;
        let keys = ours.topology_keys.iter().flatten();
        keys.map(|key| Some((key.clone(), labels.get(key)?.clone())))
            .collect::<Option<Segment>>()
    };
    registered.filter_map(segment).collect()
}

/// What is wanted: an object for each class of the driver and each place.
#[must_use]
pub fn wanted<'a>(
    classes: impl Iterator<Item = &'a StorageClass>,
    segments: &BTreeSet<Segment>,
    driver: &str,
    immediate: bool,
) -> BTreeMap<ObjectKey, Segment> {
    let published = classes.filter(|class| is_published(class, driver, immediate));
    let names = published.filter_map(|class| class.metadata.name.as_deref());
    let of_class = |name: &'a str| {
        let one = move |segment: &Segment| (about(name, segment), segment.clone());
        segments.iter().map(one)
    };
    names.flat_map(of_class).collect()
}

/// The place that a term of a volume's node affinity names, where it is one of ours.
#[must_use]
pub fn segment_of(term: &NodeSelectorTerm) -> Option<Segment> {
    if term
        .match_fields
        .as_ref()
        .is_some_and(|fields| !fields.is_empty())
    {
        return None;
    }
    let expressions = term.match_expressions.iter().flatten();
    let label = |one: &k8s_openapi::api::core::v1::NodeSelectorRequirement| {
        let [value] = one.values.as_deref()? else {
            return None;
        };
        (one.operator == "In").then(|| (one.key.clone(), value.clone()))
    };
    expressions.map(label).collect()
}
