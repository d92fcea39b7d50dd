//! What the chart makes of values, without a cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::values::{everything, merged};
use super::{CONTROLLER, Helm, LAYER, NODE, all_values, args, chart};
use crate::kustomized::Kustomize;
use crate::pods::{containers, documents, flags_are_known, named, of_kind};

#[test]
fn helm_finds_nothing_to_complain_of() {
    let Some(helm) = Helm::find() else { return };
    for values in all_values() {
        let said = helm.lint(&values);
        assert!(said.is_ok(), "{said:?}");
    }
}

/// The folder has links to what the repository has elsewhere; a package has their files.
#[test]
fn the_packed_chart_makes_the_same_objects() {
    let Some(helm) = Helm::find() else { return };
    let no_cluster = "/nonexistent".as_ref();
    let folder = helm.home.path().join("packed");
    let folder = folder.display().to_string();
    helm.run(no_cluster, &["package", &chart(), "--destination", &folder])
        .unwrap();
    let package = std::fs::read_dir(&folder).unwrap().next().unwrap();
    let package = package.unwrap().path().display().to_string();
    let values = everything("dropin");
    let file = helm.values(&values);
    let args = ["template", super::RELEASE, &package, "--values", &file];
    let packed = helm.run(no_cluster, &[&args[..], &["--namespace=kube-system"]].concat());
    assert_eq!(documents(&packed.unwrap()), helm.rendered(&values));
}

/// Objects by kind and name.
fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let key = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
    objects.into_iter().map(|object| (key(&object), object)).collect()
}

/// What is taken besides, each of which the chart has behind a value.
const COMPONENTS: [&str; 4] = [
    "components/upstream-rights",
    "components/prevent-scheduling",
    "components/metadata-labeler",
    "components/viewer",
];

/// Named as upstream names its own rendering for kustomize, the chart has neither labels of a release nor anything else that
/// `deploy/ebs` has not.
#[test]
fn the_chart_and_the_manifests_of_kustomize_are_the_same() {
    let Some(helm) = Helm::find() else { return };
    let Some(kustomize) = Kustomize::find(LAYER) else {
        return;
    };
    let common = json!({
        "image": { "repository": "slackwater", "tag": "latest" }, "controller": { "userAgentExtra": "kustomize" },
    });
    let with_more = json!({
        "controller": { "enableMetrics": true },
        "node": { "enableMetrics": true, "metadataSources": "metadata-labeler,imds,kubernetes" },
        "slackwater": {
            "upstreamRights": true, "preventPodSchedulingIfMissing": true, "viewerRole": { "enabled": true },
        },
        "sidecars": { "metadataLabeler": { "enabled": true } },
    });
    for (mode, shape, metrics) in [
        ("dropin", "drop-in", "drop-in/metrics"),
        ("allInOne", "all-in-one", "components/metrics"),
    ] {
        for has_more in [false, true] {
            let mut text = format!("resources: [../../../deploy/ebs/{shape}]\n");
            let mut values = vec![common.clone(), json!({ "slackwater": { "mode": mode } })];
            if has_more {
                let taken = [&[metrics][..], &COMPONENTS].concat();
                let taken: Vec<_> = taken
                    .iter()
                    .map(|one| format!("../../../deploy/ebs/{one}"))
                    .collect();
                text += &format!("components: [{}]\n", taken.join(", "));
                values.push(with_more.clone());
            }
            let manifests = by_name(kustomize.built(&kustomize.folder(shape, &text)));
            let rendered = helm
                .template(
                    "kustomize",
                    &merged(&values),
                    &["--kube-version=1.37.0", "--no-hooks"],
                )
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

/// Upstream's chart evaluates what is of the controller, and what is of the nodes is theirs: a template of Vault's is none of Helm's.
#[test]
fn journeys_case_118_annotations_of_the_nodes_are_no_templates() {
    let Some(helm) = Helm::find() else { return };
    let template = "{{- with secret \"a/b\" -}}{{ .Data.c }}{{- end }}";
    let given = json!({ "vault.hashicorp.com/agent-inject-template-a": template });
    let objects = helm.rendered(&json!({
        "controller": { "podAnnotations": { "a": "{{ .Release.Name }}" } },
        "node": { "podAnnotations": given, "serviceAccount": { "annotations": given } },
    }));
    let pods = &named(&objects, "DaemonSet", NODE).unwrap()["spec"]["template"];
    assert_eq!(pods["metadata"]["annotations"], given);
    let account = named(&objects, "ServiceAccount", "ebs-csi-node-sa").unwrap();
    assert_eq!(account["metadata"]["annotations"], given);
    let pods = &named(&objects, "Deployment", CONTROLLER).unwrap()["spec"]["template"];
    assert_eq!(pods["metadata"]["annotations"]["a"], super::RELEASE);
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

/// What a container must and must not be told of values.
struct Flags {
    values: Value,
    container: (&'static str, &'static str, &'static str),
    has: &'static [&'static str],
    has_not: &'static str,
}

impl Flags {
    fn hold(&self, helm: &Helm) {
        let (kind, name, container) = self.container;
        let objects = helm.rendered(&self.values);
        let args = args(&objects, kind, name, container);
        for flag in self.has {
            assert!(args.contains(flag), "{}: {flag} in {args:?}", self.values);
        }
        let has_not = self.has_not;
        assert!(!args.contains(&has_not), "{}: {has_not} in {args:?}", self.values);
    }
}

#[test]
fn journeys_case_65_and_68_flags_of_a_sidecar_follow_each_value_by_itself() {
    let Some(helm) = Helm::find() else { return };
    let provisioner = ("Deployment", CONTROLLER, "csi-provisioner");
    let resizer = ("Deployment", CONTROLLER, "csi-resizer");
    let of = |name: &str, values: Value| json!({ "sidecars": { name: values } });
    let args = |name: &str, arg: &str| of(name, json!({ "additionalArgs": [arg] }));
    let not_elected = json!({ "leaderElection": { "enabled": false, "retryPeriod": "1s" } });
    for flags in [
        Flags {
            values: args("provisioner", "--worker-threads=10"),
            container: provisioner,
            has: &["--worker-threads=10", "--kube-api-qps=20", "--kube-api-burst=100"],
            has_not: "--worker-threads=100",
        },
        Flags {
            values: args("provisioner", "--feature-gates=A=true"),
            container: provisioner,
            has: &["--feature-gates=Topology=true", "--feature-gates=A=true"],
            has_not: "--v=7",
        },
        Flags {
            values: args("resizer", "-resize-timeout=90s"),
            container: resizer,
            has: &["-resize-timeout=90s", "--modify-timeout=60s"],
            has_not: "--timeout=60s",
        },
        Flags {
            values: of("resizer", not_elected),
            container: resizer,
            has: &["--leader-election=false"],
            has_not: "--leader-election-retry-period=1s",
        },
    ] {
        flags.hold(&helm);
    }
}

/// Upstream's driver adds them up, so that one flag does not take the place of the other one.
#[test]
fn journeys_case_65_tags_of_values_and_of_arguments_add_up() {
    let Some(helm) = Helm::find() else { return };
    for given in [&["--extra-tags=cost=7"][..], &["-extra-tags", "cost=7"]] {
        for (mode, prefix) in [("dropin", ""), ("allInOne", "driver.")] {
            let objects = helm.rendered(&json!({
                "slackwater": { "mode": mode },
                "controller": { "extraVolumeTags": { "owner": "me" }, "additionalArgs": given },
            }));
            let told = args(&objects, "Deployment", CONTROLLER, "ebs-plugin").join(" ");
            let of_values = format!("--{prefix}extra-tags=owner=me");
            let (before, after) = told.split_once(&of_values).unwrap_or_else(|| panic!("{told}"));
            assert!(!before.contains("extra-tags"), "{told}");
            assert!(after.contains("extra-tags") && after.contains("cost=7"), "{told}");
        }
    }
}

#[test]
fn journeys_case_66_a_limit_of_0_is_a_limit() {
    let Some(helm) = Helm::find() else { return };
    let container = ("DaemonSet", NODE, "ebs-plugin");
    for flags in [
        Flags {
            values: json!({ "node": { "volumeAttachLimit": 0 } }),
            container,
            has: &["--volume-attach-limit=0"],
            has_not: "--reserved-volume-attachments=0",
        },
        Flags {
            values: json!({ "node": { "reservedVolumeAttachments": 0 } }),
            container,
            has: &["--reserved-volume-attachments=0"],
            has_not: "--volume-attach-limit=0",
        },
    ] {
        flags.hold(&helm);
    }
}

#[test]
fn journeys_case_67_the_port_of_the_metrics_is_followed_everywhere() {
    let Some(helm) = Helm::find() else { return };
    let port = json!({ "controller": { "httpEndpoint": ":9000", "enableMetrics": true } });
    let objects = helm.rendered(&port);
    assert!(args(&objects, "Deployment", CONTROLLER, "ebs-plugin").contains(&"--http-endpoint=:9000"));
    let service = &named(&objects, "Service", CONTROLLER).unwrap()["spec"];
    assert_eq!(service["ports"][0]["port"], 9000);
    let plugin = &containers(named(&objects, "Deployment", CONTROLLER).unwrap())[0];
    let open = json!({ "name": "metrics", "containerPort": 9000 });
    assert_eq!(plugin["ports"][1], open);
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

/// A sidecar of upstream's would not start with the flag.
#[test]
fn ebs_case_152_traces_begin_in_our_sidecars() {
    let Some(helm) = Helm::find() else { return };
    let otel = json!({ "otelServiceName": "ebs", "otelExporterEndpoint": "http://otel:4317" });
    let objects = helm.rendered(&json!({
        "controller": { "otelTracing": otel },
        "sidecars": { "resizer": { "image": { "repository": "upstream/csi-resizer" } } },
    }));
    for (container, traced) in [
        ("ebs-plugin", true),
        ("csi-provisioner", true),
        ("csi-attacher", true),
        ("csi-resizer", false),
    ] {
        let args = args(&objects, "Deployment", CONTROLLER, container);
        assert_eq!(
            args.contains(&"--enable-otel-tracing=true"),
            traced,
            "{container}"
        );
        let found = containers(named(&objects, "Deployment", CONTROLLER).unwrap());
        let env = &found.iter().find(|one| one["name"] == container).unwrap()["env"];
        let endpoint = json!({ "name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://otel:4317" });
        assert_eq!(env.as_array().unwrap().contains(&endpoint), traced, "{container}");
    }
}

/// It stands in both shapes alike, with what the driver is told of AWS (Q31), and its role comes and goes with it.
#[test]
fn ebs_case_155_the_labeler_is_a_container_with_a_role_of_its_own() {
    let Some(helm) = Helm::find() else { return };
    let role = "ebs-metadata-labeler-role";
    for mode in ["dropin", "allInOne"] {
        let values = json!({
            "slackwater": { "mode": mode }, "fips": true, "controller": { "region": "eu-west-1" },
            "sidecars": { "metadataLabeler": { "enabled": true } },
        });
        let objects = helm.rendered(&values);
        let found = containers(named(&objects, "Deployment", CONTROLLER).unwrap());
        let labeler = found
            .iter()
            .find(|one| one["name"] == "metadata-labeler")
            .unwrap();
        assert_eq!(labeler["args"][0], "metadataLabeler");
        let variables = labeler["env"].as_array().unwrap().iter();
        let variables: Vec<_> = variables.map(|one| one["name"].as_str().unwrap()).collect();
        for name in [
            "AWS_REGION",
            "AWS_EC2_ENDPOINT",
            "AWS_ACCESS_KEY_ID",
            "AWS_USE_FIPS_ENDPOINT",
        ] {
            assert!(variables.contains(&name), "{mode}: {name} in {variables:?}");
        }
        assert!(named(&objects, "ClusterRole", role).is_some(), "{mode}");
        let without = helm.rendered(&json!({ "slackwater": { "mode": mode } }));
        let found = containers(named(&without, "Deployment", CONTROLLER).unwrap());
        assert!(
            found.iter().all(|one| one["name"] != "metadata-labeler"),
            "{mode}"
        );
        assert!(named(&without, "ClusterRole", role).is_none(), "{mode}");
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
            "prometheusRule": { "enabled": true, "forceEnable": true, "labels": { "release": "prometheus" }, "disable": ["EC2Slow"] },
            "podMonitor": { "enabled": true, "forceEnable": true },
        },
    });
    for (mode, services) in [("dropin", 8), ("allInOne", 7)] {
        let values = merged(&[everything(mode), monitors.clone()]);
        let objects = helm.rendered(&values);
        for pod in [of_kind(&objects, "Deployment"), of_kind(&objects, "DaemonSet")].concat() {
            flags_are_known(pod);
        }
        assert_eq!(of_kind(&objects, "Service").len(), services, "{mode}");
        ports_are_open(&objects);
        assert_eq!(of_kind(&objects, "CustomResourceDefinition").len(), 6);
        let kept = of_kind(&objects, "CustomResourceDefinition")[0];
        assert_eq!(kept["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        has_alerts_and_dashboards(&objects);
    }
}

/// The ports that Services and monitors of the controller name are those of its containers.
fn ports_are_open(objects: &[Value]) {
    let deployment = named(objects, "Deployment", CONTROLLER).unwrap();
    let ports = containers(deployment).iter().map(|one| &one["ports"]);
    let open: Vec<&Value> = ports
        .flat_map(|ports| ports.as_array().into_iter().flatten())
        .collect();
    let mut services = of_kind(objects, "Service");
    services.retain(|one| one["spec"]["selector"]["app"] == CONTROLLER);
    assert!(!services.is_empty());
    for service in services {
        let port = &service["spec"]["ports"][0]["port"];
        let mut open = open.iter();
        assert!(open.any(|one| one["containerPort"] == *port), "{service}");
    }
    for name in [CONTROLLER, "snapshot-controller"] {
        monitored_ports_are_open(objects, name);
    }
}

/// The PodMonitor of a Deployment of that name selects its pods and names ports of theirs.
pub(super) fn monitored_ports_are_open(objects: &[Value], name: &str) {
    let template = &named(objects, "Deployment", name).unwrap()["spec"]["template"];
    let ports = texts_at(template, "/spec/containers", "ports", "name");
    let monitor = &named(objects, "PodMonitor", name).unwrap()["spec"];
    for (label, value) in monitor["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&template["metadata"]["labels"][label], value, "{name}");
    }
    let endpoints = monitor["podMetricsEndpoints"].as_array().unwrap();
    assert!(!endpoints.is_empty());
    for endpoint in endpoints {
        let port = endpoint["port"].as_str().unwrap();
        assert!(ports.contains(&port), "{name}: {endpoint}");
    }
}

/// A text of each entry of a list in each entry of the list at `path`.
fn texts_at<'a>(value: &'a Value, path: &str, list: &str, text: &str) -> Vec<&'a str> {
    let entries = |value: &'a Value| value.as_array().into_iter().flatten();
    entries(value.pointer(path).unwrap_or(&Value::Null))
        .flat_map(|one| entries(&one[list]))
        .filter_map(|one| one[text].as_str())
        .collect()
}

/// All alerts but the one that is left out, and dashboards that Grafana can read.
fn has_alerts_and_dashboards(objects: &[Value]) {
    let rules = &named(objects, "PrometheusRule", "slackwater").unwrap()["spec"]["groups"];
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
    let dashboards = of_kind(objects, "ConfigMap");
    assert_eq!(dashboards.len(), 2);
    for dashboard in dashboards {
        let text = dashboard["data"].as_object().unwrap().values().next().unwrap();
        let parsed: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        assert!(parsed["panels"].is_array());
    }
}

/// What the containers name is open, and nothing else; where they go to is open unless the user says otherwise.
#[test]
fn journeys_case_109_the_pods_answer_on_their_ports_alone() {
    let Some(helm) = Helm::find() else { return };
    assert!(of_kind(&helm.rendered(&json!({})), "NetworkPolicy").is_empty());
    let on = json!({ "slackwater": { "networkPolicy": { "enabled": true } } });
    for (values, names) in [
        (on.clone(), &[CONTROLLER, NODE][..]),
        (
            merged(&[on.clone(), json!({ "slackwater": { "mode": "allInOne" } })]),
            &[CONTROLLER, NODE],
        ),
        (merged(&[on, json!({ "nodeComponentOnly": true })]), &[NODE]),
        (
            everything("dropin"),
            &[CONTROLLER, "snapshot-controller", NODE, "ebs-csi-node-small"],
        ),
    ] {
        let objects = helm.rendered(&values);
        let policies = of_kind(&objects, "NetworkPolicy");
        let found: BTreeSet<&str> = policies
            .iter()
            .filter_map(|policy| policy["metadata"]["name"].as_str())
            .collect();
        assert_eq!(found, names.iter().copied().collect(), "{values}");
        let egress = &values["slackwater"]["networkPolicy"]["egress"];
        for policy in policies {
            let spec = &policy["spec"];
            assert_eq!(&spec["egress"], egress);
            let kinds = match egress.is_null() {
                true => json!(["Ingress"]),
                false => json!(["Ingress", "Egress"]),
            };
            assert_eq!(spec["policyTypes"], kinds);
            is_about_one_pod(&objects, policy);
        }
    }
}

/// The pods that a policy chooses are those of one object, and its ports theirs.
fn is_about_one_pod(objects: &[Value], policy: &Value) {
    let chosen = policy["spec"]["podSelector"]["matchLabels"].as_object().unwrap();
    let mut pods = [of_kind(objects, "Deployment"), of_kind(objects, "DaemonSet")].concat();
    pods.retain(|pod| {
        let labels = &pod["spec"]["template"]["metadata"]["labels"];
        chosen.iter().all(|(name, value)| &labels[name] == value)
    });
    let [pod] = pods[..] else {
        panic!("{policy}: {pods:?}")
    };
    assert_eq!(policy["metadata"]["name"], pod["metadata"]["name"]);
    assert_eq!(policy["metadata"]["namespace"], pod["metadata"]["namespace"]);
    let numbers = |list: &Value, field: &str| -> BTreeSet<u64> {
        let list = list.as_array().into_iter().flatten();
        list.map(|one| one[field].as_u64().unwrap()).collect()
    };
    let open: BTreeSet<u64> = containers(pod)
        .iter()
        .flat_map(|one| numbers(&one["ports"], "containerPort"))
        .collect();
    assert_eq!(numbers(&policy["spec"]["ingress"][0]["ports"], "port"), open);
}

/// What `helm test` makes: there only while it runs, but for the pod and its log.
#[test]
fn journeys_case_86_the_test_is_a_pod_with_rights_of_its_own() {
    let Some(helm) = Helm::find() else { return };
    for (values, args) in [
        (json!({}), json!([])),
        (
            everything("dropin"),
            json!([
                "--storage-class=ebs-sc",
                "--snapshot-class=csi-aws-vsc",
                "--skip=expansion",
                "--timeout=10m"
            ]),
        ),
    ] {
        let objects = helm.rendered(&values);
        let is_hook = |object: &&Value| object["metadata"]["annotations"]["helm.sh/hook"] == "test";
        let hooks: Vec<&Value> = objects.iter().filter(is_hook).collect();
        let kinds: BTreeSet<&str> = hooks.iter().filter_map(|one| one["kind"].as_str()).collect();
        let expected = [
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "ClusterRole",
            "ClusterRoleBinding",
            "Pod",
        ];
        assert_eq!((hooks.len(), kinds), (expected.len(), expected.into()));
        for hook in &hooks {
            let policy = hook["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
                .as_str()
                .unwrap();
            assert_eq!(policy.contains("hook-succeeded"), hook["kind"] != "Pod", "{hook}");
        }
        let pod = &named(&objects, "Pod", "ebs-csi-driver-test").unwrap()["spec"];
        let container = &pod["containers"][0];
        assert_eq!(container["args"], args);
        let plugin = &containers(named(&objects, "Deployment", CONTROLLER).unwrap())[0];
        assert_eq!(container["image"], plugin["image"]);
        let words = [&container["command"], &container["args"]]
            .map(crate::pods::texts)
            .concat();
        let known = std::process::Command::new(conformance::slackwater().unwrap())
            .args(&words[1..])
            .arg("--version")
            .output();
        assert!(known.unwrap().status.success(), "{words:?}");
    }
    for off in [
        json!({ "helmTester": { "enabled": false } }),
        json!({ "nodeComponentOnly": true }),
    ] {
        assert!(of_kind(&helm.rendered(&off), "Pod").is_empty(), "{off}");
    }
}

#[test]
fn journeys_case_79_arguments_of_a_function_reach_it_in_the_one_container() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.rendered(&json!({
        "slackwater": { "mode": "allInOne" },
        "sidecars": { "resizer": { "additionalArgs": ["--workers=5", "--bogus"] } },
    }));
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
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("--bogus"), "{ended:?}");
}

/// A value may be an item of its own, behind its flag, and goes where the flag goes.
#[test]
fn journeys_case_79_values_stay_with_their_flags_in_the_one_container() {
    let Some(helm) = Helm::find() else { return };
    for (given, expected) in [
        (
            &["-kube-api-qps", "50", "--workers", "5"][..],
            &["--csi-resizer.workers", "5"][..],
        ),
        (&["--kube-api-qps", "50", "--kube-api-burst", "90"], &[]),
        (
            &["--kube-api-burst=90", "-timeout", "9s"],
            &["--csi-resizer.timeout", "9s"],
        ),
        (
            &["--workers", "5", "--kube-api-qps"],
            &["--csi-resizer.workers", "5"],
        ),
        (&["-v5"], &["--csi-resizer.v=5"]),
    ] {
        let objects = helm.rendered(&json!({
            "slackwater": { "mode": "allInOne" },
            "sidecars": { "resizer": { "additionalArgs": given } },
        }));
        // The resizer is the last function, and what the user gives stands behind the defaults.
        let told = args(&objects, "Deployment", CONTROLLER, "ebs-plugin");
        let last = told
            .iter()
            .rposition(|arg| arg.starts_with("--csi-resizer.retry-interval-max="));
        assert_eq!(&told[last.unwrap() + 1..], expected, "{given:?}: {told:?}");
        flags_are_known(named(&objects, "Deployment", CONTROLLER).unwrap());
    }
}

#[test]
fn a_part_of_the_functions_has_their_rights_alone() {
    let Some(helm) = Helm::find() else { return };
    let values =
        json!({ "slackwater": { "mode": "allInOne", "functions": ["csi-resizer", "csi-snapshotter"] } });
    let objects = helm.rendered_for(&values, &["--no-hooks"]);
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
