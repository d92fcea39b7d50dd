//! What the chart makes of values, without a cluster.

use std::collections::{BTreeMap, BTreeSet};

use conformance::Programs;
use serde_json::{Value, json};

use super::{CONTROLLER, Helm, LAYER, NODE, args, chart, everything};
use crate::pods::{containers, documents, flags_are_known, named, of_kind};
use crate::shared::{not_run, repository};

#[test]
fn helm_finds_nothing_to_complain_of() {
    let Some(helm) = Helm::find() else { return };
    for values in [json!({}), everything("dropin"), everything("allInOne")] {
        let values = helm.values(&values);
        let said = helm.run(
            "/nonexistent".as_ref(),
            &["lint", &chart(), "--strict", "--values", &values],
        );
        assert!(said.is_ok(), "{said:?}");
    }
}

/// Objects by kind and name.
fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let key = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
    objects.into_iter().map(|object| (key(&object), object)).collect()
}

/// Named as upstream names its own rendering for kustomize, the chart has neither labels of a release nor anything else that
/// `deploy/ebs` has not.
#[test]
fn the_chart_and_the_manifests_of_kustomize_are_the_same() {
    let Some(helm) = Helm::find() else { return };
    let kubectl = match Programs::find() {
        Ok(programs) => programs.path("kubectl"),
        Err(error) => return not_run(LAYER, &error),
    };
    let common = json!({
        "image": { "repository": "slackwater", "tag": "latest" }, "controller": { "userAgentExtra": "kustomize" },
    });
    let with_metrics = json!({
        "controller": { "enableMetrics": true }, "node": { "enableMetrics": true },
        "slackwater": { "upstreamRights": true, "preventPodSchedulingIfMissing": true },
    });
    let components = ["components/upstream-rights", "components/prevent-scheduling"];
    for (mode, shape, metrics) in [
        ("dropin", "drop-in", "drop-in/metrics"),
        ("allInOne", "all-in-one", "components/metrics"),
    ] {
        for has_more in [false, true] {
            let folder = tempfile::tempdir_in(repository().join("target")).unwrap();
            let mut text = format!("kind: Kustomization\nresources: [../../deploy/ebs/{shape}]\n");
            let mut values = vec![common.clone(), json!({ "slackwater": { "mode": mode } })];
            if has_more {
                let taken = [&[metrics][..], &components].concat();
                let taken: Vec<_> = taken
                    .iter()
                    .map(|one| format!("../../deploy/ebs/{one}"))
                    .collect();
                text += &format!("components: [{}]\n", taken.join(", "));
                values.push(with_metrics.clone());
            }
            std::fs::write(folder.path().join("kustomization.yaml"), text).unwrap();
            let built = std::process::Command::new(&kubectl)
                .arg("kustomize")
                .arg(folder.path())
                .output();
            let built = String::from_utf8(built.unwrap().stdout).unwrap();
            let manifests = by_name(documents(&built));
            let rendered = helm
                .template("kustomize", &merged(&values), &["--kube-version=1.37.0"])
                .unwrap();
            let rendered = by_name(documents(&rendered));
            let (ours, theirs): (Vec<_>, Vec<_>) = (rendered.keys().collect(), manifests.keys().collect());
            assert_eq!(ours, theirs, "{mode}");
            for (name, object) in &manifests {
                assert_eq!(&rendered[name], object, "{mode}: {name}");
            }
        }
    }
}

/// Later ones over earlier ones.
fn merged(values: &[Value]) -> Value {
    fn over(below: &mut Value, above: &Value) {
        match (below.as_object_mut(), above.as_object()) {
            (Some(fields), Some(more)) => {
                for (name, value) in more {
                    over(fields.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
            _ => *below = above.clone(),
        }
    }
    let mut all = json!({});
    values.iter().for_each(|one| over(&mut all, one));
    all
}

#[test]
fn journeys_case_62_no_container_depends_on_what_the_cluster_serves() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.rendered(&json!({}));
    let found = containers(named(&objects, "Deployment", CONTROLLER).unwrap());
    assert!(found.iter().any(|one| one["name"] == "csi-snapshotter"));
    assert!(named(&objects, "ClusterRole", "ebs-external-snapshotter-role").is_some());
}

#[test]
fn journeys_case_64_snapshot_classes_need_their_kind() {
    let Some(helm) = Helm::find() else { return };
    let classes = json!({ "volumeSnapshotClasses": [{ "name": "c", "deletionPolicy": "Delete" }] });
    assert!(of_kind(&helm.rendered(&classes), "VolumeSnapshotClass").is_empty());
    let visible = helm.rendered_for(&classes, &["--api-versions=snapshot.storage.k8s.io/v1"]);
    assert_eq!(of_kind(&visible, "VolumeSnapshotClass").len(), 1);
    let strict = merged(&[classes.clone(), json!({ "slackwater": { "strict": true } })]);
    let refusal = helm.template(super::RELEASE, &strict, &[]).unwrap_err();
    assert!(refusal.contains("VolumeSnapshotClass"), "{refusal}");
    for more in [
        json!({ "sidecars": { "snapshotter": { "forceEnable": true } } }),
        json!({ "slackwater": { "crds": { "install": true } } }),
    ] {
        let objects = helm.rendered(&merged(&[strict.clone(), more]));
        assert_eq!(of_kind(&objects, "VolumeSnapshotClass").len(), 1);
    }
}

#[test]
fn journeys_case_65_to_68_flags_follow_each_value_by_itself() {
    let Some(helm) = Helm::find() else { return };
    let sidecar = |name: &str, values: Value| json!({ "sidecars": { name: values } });
    let node = |values: Value| json!({ "node": values });
    let (deployment, daemon_set) = (("Deployment", CONTROLLER), ("DaemonSet", NODE));
    for (values, (kind, name), container, has, has_not) in [
        (
            sidecar(
                "provisioner",
                json!({ "additionalArgs": ["--worker-threads=10"] }),
            ),
            deployment,
            "csi-provisioner",
            &["--worker-threads=10", "--kube-api-qps=20", "--kube-api-burst=100"][..],
            "--worker-threads=100",
        ),
        (
            sidecar(
                "provisioner",
                json!({ "additionalArgs": ["--feature-gates=A=true"] }),
            ),
            deployment,
            "csi-provisioner",
            &["--feature-gates=Topology=true", "--feature-gates=A=true"],
            "--v=7",
        ),
        (
            sidecar("resizer", json!({ "additionalArgs": ["-resize-timeout=90s"] })),
            deployment,
            "csi-resizer",
            &["-resize-timeout=90s", "--modify-timeout=60s"],
            "--timeout=60s",
        ),
        (
            sidecar(
                "resizer",
                json!({ "leaderElection": { "enabled": false, "retryPeriod": "1s" } }),
            ),
            deployment,
            "csi-resizer",
            &["--leader-election=false"],
            "--leader-election-retry-period=1s",
        ),
        (
            node(json!({ "volumeAttachLimit": 0 })),
            daemon_set,
            "ebs-plugin",
            &["--volume-attach-limit=0"],
            "--reserved-volume-attachments=0",
        ),
        (
            node(json!({ "reservedVolumeAttachments": 0 })),
            daemon_set,
            "ebs-plugin",
            &["--reserved-volume-attachments=0"],
            "--volume-attach-limit=0",
        ),
    ] {
        let objects = helm.rendered(&values);
        let args = args(&objects, kind, name, container);
        for flag in has {
            assert!(args.contains(flag), "{values}: {flag} in {args:?}");
        }
        assert!(!args.contains(&has_not), "{values}: {has_not} in {args:?}");
    }
    let port = json!({ "controller": { "httpEndpoint": ":9000", "enableMetrics": true } });
    let objects = helm.rendered(&port);
    assert!(args(&objects, "Deployment", CONTROLLER, "ebs-plugin").contains(&"--http-endpoint=:9000"));
    assert_eq!(
        named(&objects, "Service", CONTROLLER).unwrap()["spec"]["ports"][0]["port"],
        9000
    );
    let plugin = &containers(named(&objects, "Deployment", CONTROLLER).unwrap())[0];
    assert_eq!(
        plugin["ports"][1],
        json!({ "name": "metrics", "containerPort": 9000 })
    );
}

#[test]
fn journeys_case_69_and_70_each_set_of_nodes_has_its_own_service() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.rendered(&json!({
        "node": { "namespaceOverride": "storage", "enableMetrics": true },
        "additionalDaemonSets": { "small": { "volumeAttachLimit": 5 } },
    }));
    for (name, limit) in [
        (NODE, None),
        ("ebs-csi-node-small", Some("--volume-attach-limit=5")),
    ] {
        for kind in ["Service", "DaemonSet"] {
            let object = named(&objects, kind, name).unwrap_or_else(|| panic!("no {kind} {name}"));
            assert_eq!(object["metadata"]["namespace"], "storage", "{kind} {name}");
        }
        let service = &named(&objects, "Service", name).unwrap()["spec"];
        assert_eq!(service["selector"]["app"], name);
        assert_eq!(service["internalTrafficPolicy"], "Local");
        let found = args(&objects, "DaemonSet", name, "ebs-plugin");
        let of_limit = found.iter().find(|arg| arg.starts_with("--volume-attach-limit"));
        assert_eq!(of_limit.copied(), limit);
    }
    let account = named(&objects, "ServiceAccount", "ebs-csi-node-sa").unwrap();
    assert_eq!(account["metadata"]["namespace"], "storage");
}

#[test]
fn journeys_case_72_to_76_texts_images_parts_budgets_versions() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.rendered(&json!({
        "controller": { "serviceAccount": { "annotations": { "role": "{{ .Release.Name }}-role" } } },
        "image": { "containerRegistry": "mirror/" },
    }));
    let account = named(&objects, "ServiceAccount", "ebs-csi-controller-sa").unwrap();
    assert_eq!(
        account["metadata"]["annotations"]["role"],
        "aws-ebs-csi-driver-role"
    );
    let pods = [of_kind(&objects, "Deployment"), of_kind(&objects, "DaemonSet")].concat();
    let images: BTreeSet<_> = pods
        .iter()
        .flat_map(|pod| containers(pod))
        .map(|one| one["image"].as_str())
        .collect();
    assert_eq!(
        images,
        [
            Some("mirror/slackwater-node:v0.1.0"),
            Some("mirror/slackwater:v0.1.0")
        ]
        .into()
    );

    let nodes = helm.rendered(&json!({ "nodeComponentOnly": true }));
    let kinds: Vec<_> = nodes
        .iter()
        .map(|object| object["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "DaemonSet"]
    );

    for (controller, spec) in [
        (json!({ "replicaCount": 2 }), json!({ "maxUnavailable": 1 })),
        (json!({ "replicaCount": 3 }), json!({ "minAvailable": 2 })),
        (
            json!({ "replicaCount": 3, "podDisruptionBudget": { "minAvailable": 1 } }),
            json!({ "minAvailable": 1 }),
        ),
        (
            json!({ "podDisruptionBudget": { "maxUnavailable": 0 } }),
            json!({ "maxUnavailable": 0 }),
        ),
    ] {
        let objects = helm.rendered(&json!({ "controller": controller }));
        let mut found = named(&objects, "PodDisruptionBudget", CONTROLLER).unwrap()["spec"].clone();
        found.as_object_mut().unwrap().remove("selector");
        assert_eq!(found, spec, "{controller}");
    }

    for (version, period, has_gate) in [("1.30.0", Value::Null, false), ("1.34.0", json!(10), true)] {
        let objects = helm.rendered_for(&json!({}), &["--kube-version", version]);
        let driver = &named(&objects, "CSIDriver", "ebs.csi.aws.com").unwrap()["spec"];
        assert_eq!(driver["nodeAllocatableUpdatePeriodSeconds"], period, "{version}");
        let args = args(&objects, "Deployment", CONTROLLER, "csi-attacher");
        let gate = "--feature-gates=MutableCSINodeAllocatableCount=true";
        assert_eq!(args.contains(&gate), has_gate, "{version}");
    }
}

#[test]
fn an_image_of_the_users_is_started_by_its_entry_point() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.rendered(&json!({
        "sidecars": { "resizer": { "image": { "repository": "upstream/csi-resizer", "tag": "v2" } } },
    }));
    let found = containers(named(&objects, "Deployment", CONTROLLER).unwrap()).iter();
    for container in found {
        let is_other = container["name"] == "csi-resizer";
        assert_eq!(
            container["image"] == "upstream/csi-resizer:v2",
            is_other,
            "{container}"
        );
        assert_eq!(container["command"].is_null(), is_other, "{container}");
    }
}

/// With all values set: our programs take the arguments, each Service and monitor leads to a port that is open.
#[test]
fn journeys_case_79_all_values_are_followed_in_both_modes() {
    let Some(helm) = Helm::find() else { return };
    let monitors = json!({
        "slackwater": {
            "prometheusRule": { "enabled": true, "labels": { "release": "prometheus" }, "disable": ["EC2Slow"] },
            "podMonitor": { "enabled": true },
        },
    });
    for (mode, services) in [("dropin", 8), ("allInOne", 7)] {
        let values = merged(&[everything(mode), monitors.clone()]);
        let objects = helm.rendered_for(&values, &["--api-versions=monitoring.coreos.com/v1"]);
        for pod in [of_kind(&objects, "Deployment"), of_kind(&objects, "DaemonSet")].concat() {
            flags_are_known(pod);
        }
        let deployment = named(&objects, "Deployment", CONTROLLER).unwrap();
        let open: Vec<&Value> = containers(deployment)
            .iter()
            .flat_map(|one| one["ports"].as_array().into_iter().flatten())
            .collect();
        let found = of_kind(&objects, "Service");
        assert_eq!(found.len(), services, "{mode}");
        for service in found
            .iter()
            .filter(|one| one["spec"]["selector"]["app"] == CONTROLLER)
        {
            let port = &service["spec"]["ports"][0]["port"];
            assert!(
                open.iter().any(|one| one["containerPort"] == *port),
                "{mode}: {service}"
            );
        }
        for endpoint in named(&objects, "PodMonitor", CONTROLLER).unwrap()["spec"]["podMetricsEndpoints"]
            .as_array()
            .unwrap()
        {
            assert!(
                open.iter().any(|one| one["name"] == endpoint["port"]),
                "{mode}: {endpoint}"
            );
        }
        let rules = &named(&objects, "PrometheusRule", "slackwater").unwrap()["spec"]["groups"];
        let alerts: Vec<_> = rules
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap())
            .filter_map(|rule| rule["alert"].as_str())
            .collect();
        assert!(
            alerts.contains(&"EC2Throttled") && !alerts.contains(&"EC2Slow"),
            "{alerts:?}"
        );
        let dashboards = of_kind(&objects, "ConfigMap");
        assert_eq!(dashboards.len(), 2);
        for dashboard in dashboards {
            let text = dashboard["data"].as_object().unwrap().values().next().unwrap();
            let parsed: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
            assert!(parsed["panels"].is_array());
        }
        assert_eq!(of_kind(&objects, "CustomResourceDefinition").len(), 6);
        let kept = of_kind(&objects, "CustomResourceDefinition")[0];
        assert_eq!(kept["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    let values = json!({
        "slackwater": { "mode": "allInOne" },
        "sidecars": { "resizer": { "additionalArgs": ["--workers=5", "--bogus"] } },
    });
    let objects = helm.rendered(&values);
    let args = args(&objects, "Deployment", CONTROLLER, "ebs-plugin");
    assert!(
        args.contains(&"--csi-resizer.workers=5") && !args.contains(&"--csi-resizer.workers=100"),
        "{args:?}"
    );
    let ended = std::process::Command::new(conformance::slackwater().unwrap())
        .arg("controller")
        .args(args)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&ended.stderr).contains("--bogus"),
        "{ended:?}"
    );
}

#[test]
fn a_part_of_the_functions_has_their_rights_alone() {
    let Some(helm) = Helm::find() else { return };
    let values =
        json!({ "slackwater": { "mode": "allInOne", "functions": ["csi-resizer", "csi-snapshotter"] } });
    let objects = helm.rendered(&values);
    let found = args(&objects, "Deployment", CONTROLLER, "ebs-plugin");
    assert_eq!(found[0], "--functions=driver,csi-snapshotter,csi-resizer");
    assert!(
        found
            .iter()
            .all(|arg| !arg.contains("provisioner") && !arg.contains("attacher")),
        "{found:?}"
    );
    let roles: Vec<_> = of_kind(&objects, "ClusterRole")
        .iter()
        .map(|role| role["metadata"]["name"].clone())
        .collect();
    let expected = [
        "ebs-external-snapshotter-role",
        "ebs-external-resizer-role",
        "ebs-csi-node-role",
    ];
    assert_eq!(roles.len(), expected.len(), "{roles:?}");
    assert!(
        expected.iter().all(|role| roles.contains(&json!(role))),
        "{roles:?}"
    );
    let ports = containers(named(&objects, "Deployment", CONTROLLER).unwrap())[0]["ports"].clone();
    let names: Vec<_> = ports
        .as_array()
        .unwrap()
        .iter()
        .map(|port| port["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["metrics", "metrics-snap", "metrics-resizer"]);
}
