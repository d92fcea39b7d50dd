//! The values of `examples/19-helm`: each file alone, and all of them together.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::site::{Foreign, Site};
use super::{CONTROLLER, Helm, LAYER, NODE, RELEASE, args, chart};
use crate::pods::{containers, documents, flags_are_known, named, of_kind, tolerates_only};
use crate::shared::{self, repository};
use crate::stored;

const FOLDER: &str = "examples/19-helm";

/// Of these one is chosen.
const SHAPES: [&str; 2] = ["drop-in", "all-in-one"];

/// What a cluster with the operator of Prometheus and the snapshot kinds tells Helm.
pub(super) const CLUSTER: [&str; 5] = [
    "--kube-version=1.37.0",
    "--api-versions=snapshot.storage.k8s.io/v1",
    "--api-versions=monitoring.coreos.com/v1/PodMonitor",
    "--api-versions=monitoring.coreos.com/v1/PrometheusRule",
    "--api-versions=monitoring.coreos.com/v1/ServiceMonitor",
];

fn file(name: &str) -> String {
    format!("{FOLDER}/{name}.yaml")
}

/// All that are there, by name.
fn names() -> Vec<String> {
    let files = std::fs::read_dir(repository().join(FOLDER)).unwrap();
    let names = files.filter_map(|file| {
        let name = file.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".yaml").map(str::to_owned)
    });
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

/// Each file alone, and under each shape all others.
pub(super) fn sums() -> Vec<Vec<String>> {
    let (shapes, others): (Vec<_>, Vec<_>) = names()
        .into_iter()
        .partition(|name| SHAPES.contains(&name.as_str()));
    assert_eq!(shapes.len(), SHAPES.len());
    let all = shapes
        .iter()
        .map(|shape| [std::slice::from_ref(shape), &others[..]].concat());
    let alone = shapes.iter().chain(&others).map(|name| vec![name.clone()]);
    let sums = alone.chain(all);
    sums.map(|names| names.iter().map(|name| file(name)).collect())
        .collect()
}

/// The objects that one file makes.
fn made(helm: &Helm, names: &[&str]) -> Vec<Value> {
    let files: Vec<_> = names.iter().map(|name| file(name)).collect();
    documents(&helm.template_from(&files, &CLUSTER).unwrap())
}

fn pods(objects: &[Value]) -> Vec<&Value> {
    [of_kind(objects, "Deployment"), of_kind(objects, "DaemonSet")].concat()
}

#[test]
fn each_file_is_explained() {
    let page = std::fs::read_to_string(repository().join(FOLDER).join("README.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let explained: BTreeSet<_> = rows
        .map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect();
    let there: BTreeSet<_> = names().iter().map(|name| format!("{name}.yaml")).collect();
    assert_eq!(explained, there);
}

#[test]
fn journeys_case_106_both_helms_make_the_same_of_files_of_values() {
    let (Some(fourth), Some(third)) = (Helm::find(), Helm::third()) else {
        return;
    };
    let default = documents(&fourth.template_from(&[], &CLUSTER).unwrap());
    for files in sums() {
        let values: Vec<_> = files.iter().map(|file| format!("--values={file}")).collect();
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        let chart = chart();
        for helm in [&fourth, &third] {
            let lint = [&["lint", &chart, "--strict"], &values[..]].concat();
            let said = helm.run("/nonexistent".as_ref(), &lint);
            assert!(said.is_ok(), "{files:?}: {said:?}");
        }
        let [ours, theirs] =
            [&fourth, &third].map(|helm| documents(&helm.template_from(&files, &CLUSTER).unwrap()));
        assert_eq!(ours, theirs, "{files:?}");
        assert_ne!(ours, default, "{files:?} change nothing");
        pods(&ours).into_iter().for_each(flags_are_known);
    }
}

/// With the real definitions of the monitors, so that it knows every field of them too.
#[tokio::test]
async fn the_api_server_takes_each_file_of_values() {
    let Some(site) = Site::find().await else { return };
    let Some(definitions) = Foreign::serve(&site.plane, "prometheus-operator").await else {
        return;
    };
    for files in sums() {
        let text = site.helm.template_from(&files, &CLUSTER).unwrap();
        let stored = stored::would_be_of(&site.plane.kubectl(), &text);
        assert_eq!(stored.len(), documents(&text).len(), "{files:?}");
    }
    definitions.remove(&site.plane);
}

#[test]
fn the_shapes_are_six_containers_and_one() {
    let Some(helm) = Helm::find() else { return };
    let drop_in = made(&helm, &["drop-in"]);
    let found = containers(named(&drop_in, "Deployment", CONTROLLER).unwrap());
    let names: Vec<_> = found.iter().map(|one| one["name"].as_str().unwrap()).collect();
    let expected = [
        "ebs-plugin",
        "csi-provisioner",
        "csi-attacher",
        "csi-snapshotter",
        "csi-resizer",
        "liveness-probe",
    ];
    assert_eq!(names, expected);
    let memory = |container: &Value| container["resources"]["limits"]["memory"].clone();
    assert_eq!([&found[2], &found[3]].map(memory), ["256Mi", "128Mi"]);
    let provisioner = args(&drop_in, "Deployment", CONTROLLER, "csi-provisioner");
    assert!(provisioner.contains(&"--worker-threads=50") && provisioner.contains(&"--kube-api-qps=20"));

    let all_in_one = made(&helm, &["all-in-one"]);
    let found = containers(named(&all_in_one, "Deployment", CONTROLLER).unwrap());
    assert_eq!(found.len(), 1);
    let all = args(&all_in_one, "Deployment", CONTROLLER, "ebs-plugin");
    assert!(
        all[0].starts_with("--functions=driver,csi-provisioner"),
        "{all:?}"
    );
    assert!(all.contains(&"--csi-provisioner.worker-threads=50"), "{all:?}");
}

/// An annotation, images, tags: whatever the shape.
#[test]
fn role_images_and_tags_reach_both_shapes() {
    let Some(helm) = Helm::find() else { return };
    for (shape, prefix) in [("drop-in", "--"), ("all-in-one", "--driver.")] {
        let objects = made(&helm, &[shape, "irsa", "images", "tags"]);
        let account = &named(&objects, "ServiceAccount", "ebs-csi-controller-sa").unwrap()["metadata"];
        let role = "arn:aws:iam::111122223333:role/ebs-csi-controller";
        assert_eq!(account["annotations"]["eks.amazonaws.com/role-arn"], role);
        let plugin = &containers(named(&objects, "Deployment", CONTROLLER).unwrap())[0];
        let region = json!({ "name": "AWS_REGION", "value": "us-east-1" });
        assert!(plugin["env"].as_array().unwrap().contains(&region), "{plugin}");
        let args = args(&objects, "Deployment", CONTROLLER, "ebs-plugin");
        for flag in [
            "extra-tags=cost-centre=4711,team=storage",
            "k8s-tag-cluster-id=production",
        ] {
            let flag = format!("{prefix}{flag}");
            assert!(args.contains(&flag.as_str()), "{flag} in {args:?}");
        }
        for pod in pods(&objects) {
            let secrets = &pod["spec"]["template"]["spec"]["imagePullSecrets"];
            assert_eq!(*secrets, json!([{ "name": "registry" }]));
            for container in containers(pod) {
                let image = container["image"].as_str().unwrap();
                let of_registry = "111122223333.dkr.ecr.us-east-1.amazonaws.com/slackwater";
                assert!(
                    image.starts_with(of_registry) && image.ends_with(":v0.1.0"),
                    "{image}"
                );
            }
        }
    }
}

#[test]
fn classes_and_the_snapshot_controller_come_along() {
    let Some(helm) = Helm::find() else { return };
    let objects = made(&helm, &["classes"]);
    let class = named(&objects, "StorageClass", "ebs-sc").unwrap();
    let is_default = &class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"];
    assert_eq!(*is_default, "true");
    assert_eq!(class["volumeBindingMode"], "WaitForFirstConsumer");
    assert_eq!(class["allowVolumeExpansion"], true);
    let class = named(&objects, "VolumeSnapshotClass", "csi-aws-vsc").unwrap();
    assert_eq!(class["deletionPolicy"], "Delete");

    let objects = made(&helm, &["snapshots"]);
    assert_eq!(of_kind(&objects, "CustomResourceDefinition").len(), 6);
    assert!(named(&objects, "Deployment", "snapshot-controller").is_some());
    assert!(named(&made(&helm, &["classes"]), "Deployment", "snapshot-controller").is_none());
}

#[test]
fn pods_go_where_the_values_say() {
    let Some(helm) = Helm::find() else { return };
    let objects = made(&helm, &["placement"]);
    let deployment = &named(&objects, "Deployment", CONTROLLER).unwrap()["spec"];
    assert_eq!(deployment["replicas"], 3);
    let pod = &deployment["template"]["spec"];
    assert_eq!(
        pod["nodeSelector"],
        json!({ "kubernetes.io/os": "linux", "pool": "system" })
    );
    let tolerated: Vec<_> = pod["tolerations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["key"])
        .collect();
    assert_eq!(tolerated, ["CriticalAddonsOnly", "pool"]);
    tolerates_only(named(&objects, "DaemonSet", NODE).unwrap(), &["pool"]);
    let args = args(&objects, "DaemonSet", NODE, "ebs-plugin");
    assert!(args.contains(&"--reserved-volume-attachments=2"), "{args:?}");
    let budget = &named(&objects, "PodDisruptionBudget", CONTROLLER).unwrap()["spec"];
    assert_eq!(budget["minAvailable"], 2);
}

/// The names of the objects of a kind.
fn names_of<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a str> {
    let objects = of_kind(objects, kind).into_iter();
    objects
        .map(|one| one["metadata"]["name"].as_str().unwrap())
        .collect()
}

/// What is scraped is scraped once, whatever the shape: the controller by its pods, the nodes by their Service, and nothing by annotations.
#[test]
fn metrics_have_monitors_rules_and_dashboards() {
    let Some(helm) = Helm::find() else { return };
    for shape in SHAPES {
        let objects = made(&helm, &[shape, "snapshots", "metrics"]);
        let pods = names_of(&objects, "PodMonitor");
        assert_eq!(pods, [CONTROLLER, "snapshot-controller"], "{shape}");
        assert_eq!(names_of(&objects, "ServiceMonitor"), [NODE], "{shape}");
        for name in pods {
            super::rendered::monitored_ports_are_open(&objects, name);
        }
        let annotated = |one: &&Value| !one["metadata"]["annotations"].is_null();
        let services = of_kind(&objects, "Service");
        assert!(services.len() > 5 && !services.iter().any(annotated), "{shape}");
        assert_eq!(names_of(&objects, "PrometheusRule"), ["slackwater"], "{shape}");
        assert_eq!(of_kind(&objects, "ConfigMap").len(), 2, "{shape}");
        for kind in ["PodMonitor", "ServiceMonitor", "PrometheusRule"] {
            for object in of_kind(&objects, kind) {
                let labels = &object["metadata"]["labels"];
                assert_eq!(labels["release"], "prometheus", "{kind}");
            }
        }
    }
    // As upstream's chart, where no PodMonitor is asked for.
    let services = json!({ "controller": { "enableMetrics": true } });
    let objects = helm.rendered_for(&services, &CLUSTER);
    assert_eq!(names_of(&objects, "ServiceMonitor").len(), 6);
}

/// Helm looks up the kinds of all objects before it makes the first one: in a cluster without them the class comes with the second turn.
#[tokio::test]
async fn a_class_comes_after_the_definition_of_its_kind() {
    let (Some(fourth), Some(third)) = (Helm::find(), Helm::third()) else {
        return;
    };
    let files = ["snapshots", "classes"].map(|name| format!("--values={}", file(name)));
    for helm in [&fourth, &third] {
        let Some(plane) = shared::empty_control_plane(LAYER).await else {
            return;
        };
        let chart = chart();
        let upgrade = ["upgrade", "--install", RELEASE, &chart, "--namespace=kube-system"];
        let upgrade = [&upgrade[..], &[&files[0], &files[1]]].concat();
        let strict = [&upgrade[..], &["--set=slackwater.strict=true"]].concat();
        let refusal = helm.with(plane.admin(), &strict).unwrap_err();
        assert!(refusal.contains("install the definitions first"), "{refusal}");
        let class = ["get", "volumesnapshotclass", "csi-aws-vsc", "--ignore-not-found"];
        let said = helm.with(plane.admin(), &upgrade).unwrap();
        assert!(said.contains("the next helm upgrade makes the classes"), "{said}");
        assert_eq!(plane.kubectl().ok(&class).unwrap(), "");
        let said = helm.with(plane.admin(), &upgrade).unwrap();
        assert!(!said.contains("left out"), "{said}");
        assert!(plane.kubectl().ok(&class).unwrap().contains("csi-aws-vsc"));
    }
}
