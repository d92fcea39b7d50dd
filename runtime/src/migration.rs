//! In-tree volumes as their CSI drivers know them: Kubernetes has no code of its own left for them, and hands them to the
//! driver that took over. Source: sidecars.md 6.2, `kubernetes/csi-translation-lib`.
//!
//! Objects stay as they are; what is translated lives in memory only. EBS is translated. Drivers of other clouds are
//! known by name, so that their metrics have the label `migrated`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, VolumeNodeAffinity,
};

use crate::objects::{BETA_ZONE, CsiSource, ElasticBlockStore, Volume, ZONE, ZoneLabels};

/// The driver that took over `kubernetes.io/aws-ebs`.
const EBS_DRIVER: &str = "ebs.csi.aws.com";
/// Where that driver says that its volumes are.
const EBS_ZONE: &str = "topology.ebs.csi.aws.com/zone";
/// The drivers that took over an in-tree plugin (resize.md 1.8).
const MIGRATED: [&str; 7] = [
    "cinder.csi.openstack.org",
    "csi.vsphere.vmware.com",
    "disk.csi.azure.com",
    EBS_DRIVER,
    "file.csi.azure.com",
    "pd.csi.storage.gke.io",
    "pxd.portworx.com",
];
const REGION: &str = "topology.kubernetes.io/region";
const BETA_REGION: &str = "failure-domain.beta.kubernetes.io/region";
/// Between the zones of one label.
const ZONES: &str = "__";
/// Before an ID that is written as a URL.
const SCHEME: &str = "aws://";

/// A volume that no CSI driver knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCsi {
    /// Neither a CSI source nor one that is translated.
    #[error("PV {volume:?} is neither csi nor migratable to csi")]
    Source {
        /// Its name.
        volume: String,
    },
    /// The ID of an in-tree volume.
    #[error(
        "PV {volume:?} has the volumeID {id:?}, which is no EBS volume: neither vol-... nor aws://zone/vol-..."
    )]
    VolumeId {
        /// Its name.
        volume: String,
        /// The ID.
        id: String,
    },
}

/// Whether this driver took over an in-tree plugin.
#[must_use]
pub fn is_migrated_driver(driver: &str) -> bool {
    MIGRATED.contains(&driver)
}

/// The driver of a volume: its own, or the one that took over its in-tree plugin.
#[must_use]
pub fn driver_of(volume: &Volume) -> Option<&str> {
    match &volume.csi {
        Some(csi) => Some(&csi.driver),
        None => volume.in_tree.as_ref().map(|_| EBS_DRIVER),
    }
}

/// Volumes of a driver, for the caches of those who drive it ([`crate::Watches::cache_keeping`]): there is one for every volume of
/// the cluster, whoever's it is (resize.md 7, Q1). Where the driver took over an in-tree plugin, those of no driver too, so that
/// one which is handed to us and cannot be translated is told.
pub fn volumes_of(driver: &str) -> impl Fn(&Volume) -> bool + Send + Sync + 'static {
    let (driver, took_over) = (driver.to_owned(), is_migrated_driver(driver));
    move |volume| volume.csi.as_ref().map_or(took_over, |csi| csi.driver == driver)
}

/// Whether it is only translated that the volume is one of a CSI driver.
#[must_use]
pub fn is_migrated(volume: &Volume) -> bool {
    volume.csi.is_none() && volume.in_tree.is_some()
}

/// The volume as its driver knows it.
///
/// # Errors
/// No driver does.
pub fn source_of(volume: &Volume) -> Result<Cow<'_, CsiSource>, NotCsi> {
    if let Some(csi) = &volume.csi {
        return Ok(Cow::Borrowed(csi));
    }
    let name = || volume.metadata.name.clone().unwrap_or_default();
    let Some(in_tree) = &volume.in_tree else {
        return Err(NotCsi::Source { volume: name() });
    };
    match translate(in_tree) {
        Some(translated) => Ok(Cow::Owned(translated)),
        None => Err(NotCsi::VolumeId {
            volume: name(),
            id: in_tree.volume_id.clone(),
        }),
    }
}

/// An in-tree volume as a CSI volume, whose only attribute is the partition, `"0"` for the whole volume; none where its ID is
/// no volume's.
#[must_use]
pub fn translate(in_tree: &ElasticBlockStore) -> Option<CsiSource> {
    let partition = in_tree.partition.to_string();
    Some(CsiSource {
        driver: EBS_DRIVER.to_owned(),
        volume_handle: handle(&in_tree.volume_id)?.to_owned(),
        fs_type: in_tree.fs_type.clone(),
        read_only: in_tree.read_only,
        volume_attributes: BTreeMap::from([("partition".to_owned(), partition)]),
        ..CsiSource::default()
    })
}

/// The volume of `aws://zone/vol-...`. Whatever is no such URL counts as the handle itself.
fn handle(id: &str) -> Option<&str> {
    let Some(rest) = id.strip_prefix(SCHEME) else {
        return Some(id);
    };
    let (_zone, path) = rest.split_once('/')?;
    let handle = path.trim_matches('/');
    (handle.starts_with("vol-") && !handle.contains(['/', '?', '#'])).then_some(handle)
}

/// Where the volume can be reached from, in the words of its driver.
#[must_use]
pub fn affinity_of(volume: &Volume) -> Option<Cow<'_, VolumeNodeAffinity>> {
    let own = volume.node_affinity.as_deref();
    let Some(in_tree) = volume.in_tree.as_ref().filter(|_| volume.csi.is_none()) else {
        return own.map(Cow::Borrowed);
    };
    let mut terms = own
        .and_then(|affinity| affinity.required.clone())
        .unwrap_or_default()
        .node_selector_terms;
    let (key, label) = zone_in_use(&terms, &in_tree.zones);
    if has_values(&terms, key) {
        rename(&mut terms, key, EBS_ZONE);
    } else if let Some(zones) = label {
        add(&mut terms, zones);
    }
    if key == BETA_ZONE {
        rename(&mut terms, BETA_REGION, REGION);
    }
    if terms.is_empty() {
        return own.map(Cow::Borrowed);
    }
    let required = NodeSelector {
        node_selector_terms: terms,
    };
    Some(Cow::Owned(VolumeNodeAffinity {
        required: Some(required),
    }))
}

/// The key under which the volume says where it is, and what its label of that name says.
fn zone_in_use<'a>(terms: &[NodeSelectorTerm], labels: &'a ZoneLabels) -> (&'static str, Option<&'a str>) {
    let (zone, beta) = (labels.zone.as_deref(), labels.beta.as_deref());
    let named = |key| requirements(terms).any(|requirement| requirement.key == key);
    let is_beta = !named(ZONE) && (named(BETA_ZONE) || zone.is_none() && beta.is_some());
    if is_beta { (BETA_ZONE, beta) } else { (ZONE, zone) }
}

fn requirements(terms: &[NodeSelectorTerm]) -> impl Iterator<Item = &NodeSelectorRequirement> {
    terms
        .iter()
        .flat_map(|term| term.match_expressions.iter().flatten())
}

fn has_values(terms: &[NodeSelectorTerm], key: &str) -> bool {
    requirements(terms).any(|requirement| {
        let values = requirement.values.as_ref();
        requirement.key == key && values.is_some_and(|values| !values.is_empty())
    })
}

fn rename(terms: &mut [NodeSelectorTerm], from: &str, to: &str) {
    let expressions = terms
        .iter_mut()
        .flat_map(|term| term.match_expressions.iter_mut().flatten());
    for requirement in expressions.filter(|requirement| requirement.key == from) {
        to.clone_into(&mut requirement.key);
    }
}

/// Every term wants one of the zones; where there is none, one does.
fn add(terms: &mut Vec<NodeSelectorTerm>, zones: &str) {
    let zones = zones.split(ZONES).map(str::trim).filter(|zone| !zone.is_empty());
    let zones: BTreeSet<String> = zones.map(str::to_owned).collect();
    if zones.is_empty() {
        return;
    }
    if terms.is_empty() {
        terms.push(NodeSelectorTerm::default());
    }
    for term in terms {
        term.match_expressions
            .get_or_insert_default()
            .push(NodeSelectorRequirement {
                key: EBS_ZONE.to_owned(),
                operator: "In".to_owned(),
                values: Some(zones.iter().cloned().collect()),
            });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(labels: &Value, spec: &Value) -> Volume {
        let metadata = json!({"name": "v", "labels": labels});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn in_tree(source: &Value) -> Volume {
        volume(&json!({}), &json!({"awsElasticBlockStore": source}))
    }

    #[test]
    fn resize_case_63_volume_ids_become_handles() {
        for (id, handle) in [
            ("vol-0abc", Some("vol-0abc")),
            ("aws://us-east-1a/vol-0abc", Some("vol-0abc")),
            ("aws:///vol-0abc", Some("vol-0abc")),
            ("aws:////vol-0abc/", Some("vol-0abc")),
            ("aws://a/b/vol-1", None),
            ("aws://a/foo", None),
            ("aws://a/", None),
            ("aws://vol-1", None),
            ("aws://a/vol-1?b", None),
            ("anything", Some("anything")),
        ] {
            let volume = in_tree(&json!({"volumeID": id}));
            let found = source_of(&volume);
            match handle {
                Some(handle) => assert_eq!(found.unwrap().volume_handle, handle, "{id}"),
                None => assert!(found.unwrap_err().to_string().contains(id), "{id}"),
            }
            assert_eq!(driver_of(&volume), Some("ebs.csi.aws.com"), "{id}");
            assert!(is_migrated(&volume), "{id}");
        }
    }

    #[test]
    fn what_a_source_says_is_kept() {
        for (given, fs_type, read_only, partition) in [
            (json!({"volumeID": "vol-1"}), None, false, "0"),
            (json!({"volumeID": "vol-1", "fsType": ""}), Some(""), false, "0"),
            (
                json!({"volumeID": "vol-1", "fsType": "xfs", "partition": 3, "readOnly": true}),
                Some("xfs"),
                true,
                "3",
            ),
        ] {
            let translated = translate(in_tree(&given).in_tree.as_ref().unwrap()).unwrap();
            assert_eq!(translated.fs_type.as_deref(), fs_type, "{given}");
            assert_eq!(translated.controller_expand_secret_ref, None);
            assert_eq!(translated.read_only, read_only, "{given}");
            let attributes = BTreeMap::from([("partition".to_owned(), partition.to_owned())]);
            assert_eq!(translated.volume_attributes, attributes, "{given}");
        }
    }

    #[test]
    fn other_volumes_stay_what_they_are() {
        let csi = volume(&json!({}), &json!({"csi": {"driver": "d", "volumeHandle": "h"}}));
        assert_eq!((driver_of(&csi), is_migrated(&csi)), (Some("d"), false));
        assert_eq!(source_of(&csi).unwrap().volume_handle, "h");
        let nfs = volume(&json!({}), &json!({"nfs": {"server": "s", "path": "/"}}));
        assert_eq!((driver_of(&nfs), is_migrated(&nfs)), (None, false));
        let error = source_of(&nfs).unwrap_err().to_string();
        assert_eq!(error, "PV \"v\" is neither csi nor migratable to csi");
        assert!(is_migrated_driver("ebs.csi.aws.com") && !is_migrated_driver("efs.csi.aws.com"));
    }

    /// The terms of the affinity, each as `key=values`.
    fn places(volume: &Volume) -> Vec<Vec<String>> {
        let affinity = affinity_of(volume);
        let required = affinity.and_then(|affinity| affinity.required.clone());
        let terms = required.map(|required| required.node_selector_terms);
        let shown = |requirement: &NodeSelectorRequirement| {
            format!(
                "{}={}",
                requirement.key,
                requirement.values.clone().unwrap_or_default().join(",")
            )
        };
        let each = |term: NodeSelectorTerm| term.match_expressions.iter().flatten().map(shown).collect();
        terms.unwrap_or_default().into_iter().map(each).collect()
    }

    #[test]
    fn zones_come_from_the_affinity_or_the_labels() {
        let (ga, beta) = (
            "topology.kubernetes.io/zone",
            "failure-domain.beta.kubernetes.io/zone",
        );
        let beta_region = "failure-domain.beta.kubernetes.io/region";
        let expression = |key: &str, values: &[&str]| json!({"key": key, "operator": "In", "values": values});
        let zone = |zones: &str| format!("topology.ebs.csi.aws.com/zone={zones}");
        for (labels, terms, expected) in [
            (json!({}), json!(null), vec![]),
            (json!({ga: "a"}), json!(null), vec![vec![zone("a")]]),
            (json!({beta: "b__a__ "}), json!(null), vec![vec![zone("a,b")]]),
            (json!({ga: "a", beta: "b"}), json!(null), vec![vec![zone("a")]]),
            (json!({ga: "__"}), json!(null), vec![]),
            // The affinity wins.
            (
                json!({ga: "x"}),
                json!([{"matchExpressions": [expression(ga, &["a"])]}]),
                vec![vec![zone("a")]],
            ),
            // Of the old pair both names change.
            (
                json!({}),
                json!([{"matchExpressions": [expression(beta, &["a"]), expression(beta_region, &["r"])]}]),
                vec![vec![zone("a"), "topology.kubernetes.io/region=r".to_owned()]],
            ),
            // With the present name the old region stays.
            (
                json!({}),
                json!([{"matchExpressions": [expression(ga, &["a"]), expression(beta_region, &["r"])]}]),
                vec![vec![zone("a"), format!("{beta_region}=r")]],
            ),
            // Terms without a zone get it from the label.
            (
                json!({ga: "a"}),
                json!([{"matchExpressions": [expression("k", &["v"])]}, {"matchExpressions": []}]),
                vec![vec!["k=v".to_owned(), zone("a")], vec![zone("a")]],
            ),
        ] {
            let mut spec = json!({"awsElasticBlockStore": {"volumeID": "vol-1"}});
            if !terms.is_null() {
                spec["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": terms}});
            }
            assert_eq!(places(&volume(&labels, &spec)), expected, "{labels} {terms}");
        }
    }
}
