//! In-tree volumes as their CSI drivers know them: Kubernetes has no code of its own left for them, and hands them to the
//! driver that took over. Source: sidecars.md 6, `kubernetes/csi-translation-lib`.
//!
//! Objects stay as they are; what is translated lives in memory only. EBS is translated. Drivers of other clouds are
//! known by name, so that their metrics have the label `migrated`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    AWSElasticBlockStoreVolumeSource, CSIPersistentVolumeSource, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, PersistentVolume, TopologySelectorLabelRequirement, TopologySelectorTerm,
    VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::objects::{BETA_ZONE, CsiSource, ElasticBlockStore, Volume, ZONE, ZoneLabels};

/// Names of in-tree plugins begin so.
pub const IN_TREE: &str = "kubernetes.io/";
/// The in-tree plugin of EBS.
const EBS_PLUGIN: &str = "kubernetes.io/aws-ebs";
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

/// The in-tree plugin that this driver took over and whose classes and volumes are translated.
#[must_use]
pub fn in_tree_plugin(driver: &str) -> Option<&'static str> {
    (driver == EBS_DRIVER).then_some(EBS_PLUGIN)
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

/// A class of an in-tree plugin that says two things.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadClass {
    /// Two of its parameters.
    #[error("the parameters \"zone\" and \"zones\" exclude each other; keep one of them")]
    ZoneAndZones,
    /// A parameter and a field.
    #[error("the parameters \"zone\" and \"zones\" exclude allowedTopologies; keep the latter")]
    ZonesAndTopologies,
}

/// A class of an in-tree plugin as its CSI driver knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TranslatedClass {
    /// `parameters`.
    pub parameters: BTreeMap<String, String>,
    /// `allowedTopologies`.
    pub allowed: Vec<TopologySelectorTerm>,
}

/// A class of `kubernetes.io/aws-ebs` as the driver knows it. Names of parameters are compared without their case.
///
/// # Errors
/// It says where volumes are to be in two ways.
pub fn translate_class(class: &StorageClass) -> Result<TranslatedClass, BadClass> {
    let mut translated = TranslatedClass::default();
    let mut zones: Option<Vec<String>> = None;
    for (key, value) in class.parameters.iter().flatten() {
        let kept = match key.to_ascii_lowercase().as_str() {
            "fstype" => "csi.storage.k8s.io/fstype",
            "zone" | "zones" if zones.is_some() => return Err(BadClass::ZoneAndZones),
            "zone" => {
                zones = Some(vec![value.trim().to_owned()]);
                continue;
            }
            "zones" => {
                zones = Some(value.split(',').map(|zone| zone.trim().to_owned()).collect());
                continue;
            }
            "iopspergb" => {
                // The plugin raised what EC2 would have refused.
                let raises = "allowautoiopspergbincrease".to_owned();
                translated.parameters.insert(raises, "true".to_owned());
                key
            }
            _ => key,
        };
        translated.parameters.insert(kept.to_owned(), value.clone());
    }
    let allowed = class.allowed_topologies.as_deref().unwrap_or_default();
    translated.allowed = match zones {
        Some(_) if !allowed.is_empty() => return Err(BadClass::ZonesAndTopologies),
        Some(values) => vec![TopologySelectorTerm {
            match_label_expressions: Some(vec![TopologySelectorLabelRequirement {
                key: EBS_ZONE.to_owned(),
                values,
            }]),
        }],
        None => allowed.to_vec(),
    };
    let expressions = translated
        .allowed
        .iter_mut()
        .flat_map(|term| term.match_label_expressions.iter_mut().flatten());
    for expression in expressions.filter(|expression| [ZONE, BETA_ZONE].contains(&expression.key.as_str())) {
        EBS_ZONE.clone_into(&mut expression.key);
    }
    Ok(translated)
}

/// A CSI volume that cannot be one of the in-tree plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInTree {
    /// It has no CSI source.
    #[error("it is no CSI volume")]
    NotCsi,
    /// The driver named a partition that is none.
    #[error("its attribute \"partition\" is {0:?}, which is no number")]
    Partition(String),
}

/// A volume that the driver made for a class of the in-tree plugin, as the plugin's (sidecars.md 6.3).
///
/// # Errors
/// [`NotInTree`].
pub fn to_in_tree(volume: &PersistentVolume) -> Result<PersistentVolume, NotInTree> {
    let mut volume = volume.clone();
    let spec = volume.spec.get_or_insert_default();
    let csi = spec.csi.take().ok_or(NotInTree::NotCsi)?;
    spec.aws_elastic_block_store = Some(source_in_tree(csi)?);
    let required = spec
        .node_affinity
        .as_mut()
        .and_then(|affinity| affinity.required.as_mut());
    let mut terms = required
        .map(|required| std::mem::take(&mut required.node_selector_terms))
        .unwrap_or_default();
    rename(&mut terms, EBS_ZONE, ZONE);
    let (mut zones, mut regions) = (BTreeSet::new(), BTreeSet::new());
    for term in &mut terms {
        let of_term: BTreeSet<String> = values(std::slice::from_ref(term), ZONE)
            .map(str::to_owned)
            .collect();
        let known: BTreeSet<&str> = of_term.iter().filter_map(|zone| region_of(zone)).collect();
        let known: Vec<String> = known.into_iter().map(str::to_owned).collect();
        let has_region = values(std::slice::from_ref(term), REGION).next().is_some();
        // A zone of another shape leaves its region unsaid (Q6).
        if let ([region], false) = (known.as_slice(), has_region) {
            term.match_expressions
                .get_or_insert_default()
                .push(NodeSelectorRequirement {
                    key: REGION.to_owned(),
                    operator: "In".to_owned(),
                    values: Some(vec![region.clone()]),
                });
        }
        zones.extend(of_term);
        regions.extend(known);
    }
    let labels = volume.metadata.labels.get_or_insert_default();
    if !zones.is_empty() {
        let zones: Vec<String> = zones.into_iter().collect();
        labels.entry(ZONE.to_owned()).or_insert_with(|| zones.join(ZONES));
    }
    if let (1, Some(region)) = (regions.len(), regions.into_iter().next()) {
        labels.entry(REGION.to_owned()).or_insert(region);
    }
    if labels.is_empty() {
        volume.metadata.labels = None;
    }
    if let Some(required) = spec
        .node_affinity
        .as_mut()
        .and_then(|affinity| affinity.required.as_mut())
    {
        required.node_selector_terms = terms;
    }
    Ok(volume)
}

fn source_in_tree(csi: CSIPersistentVolumeSource) -> Result<AWSElasticBlockStoreVolumeSource, NotInTree> {
    let attributes = csi.volume_attributes.unwrap_or_default();
    let partition = match attributes.get("partition").filter(|text| !text.is_empty()) {
        Some(text) => Some(text.parse().map_err(|_| NotInTree::Partition(text.clone()))?),
        None => None,
    };
    Ok(AWSElasticBlockStoreVolumeSource {
        volume_id: csi.volume_handle,
        fs_type: csi.fs_type,
        read_only: csi.read_only,
        partition,
    })
}

fn values<'a>(terms: &'a [NodeSelectorTerm], key: &str) -> impl Iterator<Item = &'a str> {
    requirements(terms)
        .filter(move |requirement| requirement.key == key)
        .flat_map(|requirement| requirement.values.iter().flatten())
        .map(String::as_str)
}

/// The region of a zone such as `us-west-2a`, `us-gov-east-1a`, `us-west-2-lax-1a`, `us-east-1-wl1-bos-wlz-1`; none for a name of another
/// shape.
fn region_of(zone: &str) -> Option<&str> {
    let parts: Vec<&str> = zone.split('-').collect();
    match parts.as_slice() {
        [.., last] if matches!(parts.len(), 3 | 4) && last.len() == 2 => {
            zone.strip_suffix(char::is_alphabetic)
        }
        [a, b, c, ..] if matches!(parts.len(), 5 | 7) => Some(&zone[..a.len() + b.len() + c.len() + 2]),
        _ => None,
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
    fn sidecars_case_122_what_a_source_says_is_kept() {
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
    fn sidecars_case_123_zones_come_from_the_affinity_or_the_labels() {
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

    fn class(spec: Value) -> StorageClass {
        let mut class = json!({"metadata": {"name": "s"}, "provisioner": "kubernetes.io/aws-ebs"});
        json_patch::merge(&mut class, &spec);
        serde_json::from_value(class).unwrap()
    }

    /// Parameters, and allowed topologies as `key=values`.
    fn translated(spec: Value) -> (Value, Vec<String>) {
        let translated = translate_class(&class(spec)).unwrap();
        let expressions = translated
            .allowed
            .iter()
            .flat_map(|term| term.match_label_expressions.iter().flatten());
        let shown = expressions.map(|one| format!("{}={}", one.key, one.values.join(",")));
        (json!(translated.parameters), shown.collect())
    }

    #[test]
    fn sidecars_case_118_119_classes_are_translated() {
        let (parameters, allowed) = translated(
            json!({"parameters": {"iopsPerGB": "5", "FsType": "ext3", "Zone": "us-east-1a", "type": "io1"}}),
        );
        let expected = json!({
            "iopsPerGB": "5", "allowautoiopspergbincrease": "true", "csi.storage.k8s.io/fstype": "ext3", "type": "io1",
        });
        assert_eq!(parameters, expected);
        assert_eq!(allowed, ["topology.ebs.csi.aws.com/zone=us-east-1a"]);
        let (_, allowed) = translated(json!({"parameters": {"zones": "a, b"}}));
        assert_eq!(allowed, ["topology.ebs.csi.aws.com/zone=a,b"]);
        let expression = |key: &str| json!({"key": key, "values": ["a"]});
        let keys = [
            "topology.kubernetes.io/zone",
            "failure-domain.beta.kubernetes.io/zone",
            "rack",
        ];
        let term = json!({"matchLabelExpressions": keys.map(expression)});
        let (_, allowed) = translated(json!({"allowedTopologies": [term]}));
        let zone = "topology.ebs.csi.aws.com/zone=a";
        assert_eq!(allowed, [zone, zone, "rack=a"]);
        for (spec, error) in [
            (
                json!({"parameters": {"zone": "a", "zones": "a"}}),
                BadClass::ZoneAndZones,
            ),
            (
                json!({"parameters": {"zone": "a"}, "allowedTopologies": [term]}),
                BadClass::ZonesAndTopologies,
            ),
        ] {
            assert_eq!(translate_class(&class(spec)), Err(error));
        }
    }

    fn made(attributes: Value, zones: &[&str]) -> PersistentVolume {
        let requirement =
            |zone: &&str| json!({"key": "topology.ebs.csi.aws.com/zone", "operator": "In", "values": [zone]});
        let term = |zone: &&str| json!({"matchExpressions": [requirement(zone)]});
        let terms: Vec<Value> = zones.iter().map(term).collect();
        serde_json::from_value(json!({
            "metadata": {"name": "v"},
            "spec": {
                "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1", "fsType": "ext3", "volumeAttributes": attributes},
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            },
        }))
        .unwrap()
    }

    #[test]
    fn sidecars_case_120_121_volumes_become_those_of_the_plugin() {
        let volume = json!(to_in_tree(&made(json!({"partition": "2"}), &["us-west-2a"])).unwrap());
        let source = json!({"volumeID": "vol-1", "fsType": "ext3", "partition": 2});
        assert_eq!(volume["spec"]["awsElasticBlockStore"], source);
        assert!(volume["spec"].get("csi").is_none());
        let labels = json!({"topology.kubernetes.io/zone": "us-west-2a", "topology.kubernetes.io/region": "us-west-2"});
        assert_eq!(volume["metadata"]["labels"], labels);
        let terms = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
        let expected = json!([{"matchExpressions": [
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-west-2a"]},
            {"key": "topology.kubernetes.io/region", "operator": "In", "values": ["us-west-2"]},
        ]}]);
        assert_eq!(terms, &expected);
        let unknown = json!(to_in_tree(&made(json!({}), &["us-east-10"])).unwrap());
        assert_eq!(
            unknown["metadata"]["labels"],
            json!({"topology.kubernetes.io/zone": "us-east-10"})
        );
        let two = json!(to_in_tree(&made(json!({}), &["us-west-2b", "us-west-2a"])).unwrap());
        assert_eq!(
            two["metadata"]["labels"]["topology.kubernetes.io/zone"],
            "us-west-2a__us-west-2b"
        );
        let wrong = to_in_tree(&made(json!({"partition": "x"}), &[]));
        assert_eq!(wrong, Err(NotInTree::Partition("x".to_owned())));
    }

    #[test]
    fn regions_are_told_from_zones_of_every_shape() {
        for (zone, region) in [
            ("us-west-2a", Some("us-west-2")),
            ("us-gov-east-1a", Some("us-gov-east-1")),
            ("us-west-2-lax-1a", Some("us-west-2")),
            ("us-east-1-wl1-bos-wlz-1", Some("us-east-1")),
            ("us-east-10", None),
            ("us-east-1", None),
            ("nova", None),
            ("a-b-c-d-e-f", None),
        ] {
            assert_eq!(region_of(zone), region, "{zone}");
        }
    }
}
