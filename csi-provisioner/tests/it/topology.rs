//! Where volumes are asked for. Source: sidecars.md 2.6.

use std::collections::BTreeMap;

use csi::v1::Topology;
use csi_provisioner::topology::{Cluster, Labels, Trouble, Wish, affinity, requirement};
use k8s_openapi::api::core::v1::{TopologySelectorLabelRequirement, TopologySelectorTerm};

const ZONE: &str = "zone";
const RACK: &str = "rack";

/// Nodes with their labels and the keys that the driver registered: none for no CSINode.
struct Nodes(Vec<(&'static str, Labels, Option<Vec<String>>)>);

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn keys(keys: &[&str]) -> Option<Vec<String>> {
    Some(keys.iter().map(|key| (*key).to_owned()).collect())
}

impl Nodes {
    /// A node in each zone.
    fn zones(zones: &[(&'static str, &str)]) -> Self {
        let node = |(name, zone): &(&'static str, &str)| (*name, labels(&[(ZONE, zone)]), keys(&[ZONE]));
        Self(zones.iter().map(node).collect())
    }

    fn cluster(&self) -> Cluster<'_> {
        let registered =
            |(name, _, keys): &'_ (&'static str, Labels, Option<Vec<String>>)| keys.as_ref().map(|_| *name);
        let mut cluster = Cluster::default();
        for node in &self.0 {
            cluster.nodes.insert(node.0, &node.1);
            if let (Some(name), Some(keys)) = (registered(node), &node.2) {
                cluster.registered.insert(name, keys);
            }
        }
        cluster
    }
}

fn allowed(terms: &[&[(&str, &[&str])]]) -> Vec<TopologySelectorTerm> {
    let expression = |(key, values): &(&str, &[&str])| TopologySelectorLabelRequirement {
        key: (*key).to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let term = |term: &&[(&str, &[&str])]| TopologySelectorTerm {
        match_label_expressions: Some(term.iter().map(expression).collect()),
    };
    terms.iter().map(term).collect()
}

const IMMEDIATE: Wish<'static> = Wish {
    claim: "c",
    allowed: &[],
    node: None,
    strict: false,
    immediate: true,
};
const ON_N1: Wish<'static> = Wish {
    node: Some("n1"),
    ..IMMEDIATE
};

/// Requisite and preferred, each place as its values with `/` between them.
type Places = (Vec<String>, Vec<String>);

fn places(wish: &Wish<'_>, nodes: &Nodes) -> Result<Option<Places>, Trouble> {
    let shown = |topologies: Vec<Topology>| -> Vec<String> {
        let values = |topology: Topology| topology.segments.into_values().collect::<Vec<_>>().join("/");
        topologies.into_iter().map(values).collect()
    };
    let found = requirement(wish, &nodes.cluster())?;
    Ok(found.map(|found| (shown(found.requisite), shown(found.preferred))))
}

fn both(requisite: &[&str], preferred: &[&str]) -> Option<Places> {
    let owned = |places: &[&str]| places.iter().map(|place| (*place).to_owned()).collect();
    Some((owned(requisite), owned(preferred)))
}

#[test]
fn sidecars_case_43_strict_is_the_chosen_node_alone() {
    let wish = Wish {
        strict: true,
        ..ON_N1
    };
    let nodes = Nodes::zones(&[("n1", "a"), ("n2", "b")]);
    assert_eq!(places(&wish, &nodes).unwrap(), both(&["a"], &["a"]));
}

#[test]
fn sidecars_case_44_a_chosen_node_outside_of_the_class_is_refused() {
    let nodes = Nodes::zones(&[("n1", "a"), ("n2", "b")]);
    let only_b = allowed(&[&[(ZONE, &["b"])]]);
    for strict in [true, false] {
        let wish = Wish {
            strict,
            allowed: &only_b,
            ..ON_N1
        };
        let Err(Trouble::Refused(text)) = places(&wish, &nodes) else {
            panic!("strict {strict} was not refused");
        };
        assert!(
            text.contains("zone=a") && text.contains("allowedTopologies"),
            "{text}"
        );
    }
}

#[test]
fn sidecars_case_45_the_chosen_zone_comes_first() {
    let nodes = Nodes::zones(&[("n0", "a"), ("n1", "b"), ("n2", "c")]);
    assert_eq!(
        places(&ON_N1, &nodes).unwrap(),
        both(&["a", "b", "c"], &["b", "c", "a"])
    );
    // Nodes that have the labels count without the driver.
    let mut nodes = nodes;
    nodes.0.push(("n3", labels(&[(ZONE, "d")]), None));
    let expected = both(&["a", "b", "c", "d"], &["b", "c", "d", "a"]);
    assert_eq!(places(&ON_N1, &nodes).unwrap(), expected);
    let some = allowed(&[&[(ZONE, &["c", "b"])]]);
    let wish = Wish {
        allowed: &some,
        ..ON_N1
    };
    assert_eq!(places(&wish, &nodes).unwrap(), both(&["b", "c"], &["b", "c"]));
}

#[test]
fn sidecars_case_46_claims_of_a_set_go_round() {
    let nodes = Nodes::zones(&[("n1", "a"), ("n2", "b"), ("n3", "c")]);
    let first = |claim| {
        let wish = Wish { claim, ..IMMEDIATE };
        let (requisite, preferred) = places(&wish, &nodes).unwrap().unwrap();
        requisite.iter().position(|place| *place == preferred[0]).unwrap()
    };
    let zero = first("data-web-0");
    assert_eq!(first("data-web-1"), (zero + 1) % 3);
    assert_eq!(first("data-web-2"), (zero + 2) % 3);
    assert_eq!(first("logs-web-0"), zero);
    assert_eq!(first("web-0"), zero);
    // The offset basis of FNV-1 is the hash of nothing; "a" is 0x050c5d7e, where FNV-1a would be 0xe40c292c.
    assert_eq!(first("a"), 0x050c_5d7e % 3);
    assert_eq!(first("x-a-4294967295"), (0x050c_5d7e_usize - 1) % 3);
}

#[test]
fn sidecars_case_47_nothing_is_asked_for_where_the_driver_knows_better() {
    let wish = Wish {
        immediate: false,
        ..IMMEDIATE
    };
    assert_eq!(places(&wish, &Nodes::zones(&[("n1", "a")])).unwrap(), None);
    let some = allowed(&[&[(ZONE, &["z"])]]);
    let wish = Wish {
        allowed: &some,
        ..wish
    };
    assert_eq!(places(&wish, &Nodes(vec![])).unwrap(), both(&["z"], &["z"]));
}

#[test]
fn sidecars_case_48_without_any_registered_node_there_is_no_place() {
    for nodes in [
        Nodes(vec![]),
        Nodes(vec![("n1", labels(&[(ZONE, "a")]), None)]),
        Nodes(vec![("n1", labels(&[(ZONE, "a")]), keys(&[]))]),
        Nodes(vec![("n1", labels(&[]), keys(&[ZONE]))]),
    ] {
        let Err(Trouble::Refused(text)) = places(&IMMEDIATE, &nodes) else {
            panic!("a place was found");
        };
        assert!(text.starts_with("no available topology found"), "{text}");
    }
}

#[test]
fn sidecars_case_49_allowed_values_are_combined() {
    let requisite = |allowed: &[TopologySelectorTerm]| {
        let wish = Wish { allowed, ..IMMEDIATE };
        places(&wish, &Nodes(vec![])).unwrap().map(|found| found.0)
    };
    let owned = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    let crossed = allowed(&[&[(ZONE, &["b", "a"]), (RACK, &["r1", "r2"])]]);
    assert_eq!(requisite(&crossed), owned(&["r1/a", "r1/b", "r2/a", "r2/b"]));
    // Fewer keys first; equal terms once.
    let mixed = allowed(&[
        &[(ZONE, &["a"]), (RACK, &["r1"])],
        &[(ZONE, &["z", "y"])],
        &[(ZONE, &["z"])],
    ]);
    assert_eq!(requisite(&mixed), owned(&["y", "z", "r1/a"]));
    // A key without values drops what came before it.
    assert_eq!(requisite(&allowed(&[&[(ZONE, &["a"]), (RACK, &[])]])), None);
    assert_eq!(
        requisite(&allowed(&[&[(RACK, &[]), (ZONE, &["a"])]])),
        owned(&["a"])
    );
}

#[test]
fn sidecars_case_50_each_place_is_named_once() {
    let nodes = Nodes::zones(&[("n1", "a"), ("n2", "a"), ("n3", "b")]);
    let found = places(&IMMEDIATE, &nodes).unwrap().unwrap().0;
    assert_eq!(found, ["a", "b"]);
}

#[test]
fn sidecars_case_51_52_a_chosen_node_that_is_gone_is_told_apart() {
    let unregistered = Nodes(vec![("n1", labels(&[(ZONE, "a")]), None)]);
    let found = places(&ON_N1, &unregistered);
    assert!(
        matches!(
            found,
            Err(Trouble::NodeGone {
                is_driver_gone: true,
                ..
            })
        ),
        "{found:?}"
    );
    let (registered, none) = (keys(&[ZONE]).unwrap(), Labels::new());
    let cluster = Cluster {
        nodes: BTreeMap::new(),
        registered: BTreeMap::from([("n1", registered.as_slice())]),
    };
    let found = requirement(&ON_N1, &cluster);
    assert!(
        matches!(
            found,
            Err(Trouble::NodeGone {
                is_driver_gone: false,
                ..
            })
        ),
        "{found:?}"
    );
    let cluster = Cluster {
        nodes: BTreeMap::from([("n1", &none)]),
        ..cluster
    };
    let found = requirement(&ON_N1, &cluster);
    assert!(matches!(found, Err(Trouble::Refused(_))), "{found:?}");
}

#[test]
fn sidecars_case_137_every_registered_set_of_keys_counts_where_it_is_registered() {
    let both_labels = |zone, rack| labels(&[(ZONE, zone), (RACK, rack)]);
    let nodes = Nodes(vec![
        ("n1", both_labels("a", "r1"), keys(&[ZONE])),
        ("n2", both_labels("b", "r2"), keys(&[ZONE, RACK])),
        // Without the driver, and without one of the labels.
        ("n3", both_labels("c", "r3"), None),
        ("n4", labels(&[(ZONE, "d")]), keys(&[ZONE, RACK])),
    ]);
    assert_eq!(places(&IMMEDIATE, &nodes).unwrap().unwrap().0, ["a", "r2/b"]);
}

#[test]
fn sidecars_case_55_56_the_answer_becomes_an_affinity() {
    let topology = |pairs: &[(&str, &str)]| Topology {
        segments: labels(pairs),
    };
    assert_eq!(affinity(&[]), None);
    assert_eq!(affinity(&[topology(&[]), topology(&[])]), None);
    let found = affinity(&[topology(&[(ZONE, "a"), ("outpost", "o")]), topology(&[])]);
    let terms = found.unwrap().required.unwrap().node_selector_terms;
    let expressions = terms[0].match_expressions.as_ref().unwrap();
    let keys: Vec<&str> = expressions
        .iter()
        .map(|expression| expression.key.as_str())
        .collect();
    assert_eq!((terms.len(), keys), (1, vec!["outpost", ZONE]));
    assert_eq!(expressions[0].values, Some(vec!["o".to_owned()]));
}
