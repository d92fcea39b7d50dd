//! The chart, before Helm, kubectl and the real API server.

mod installed;
mod refused;
mod rendered;

use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::User;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pods::{containers, documents, named, texts};
use crate::shared::{not_run, repository};

const LAYER: &str = "10 chart";
/// The name under which upstream's chart is installed.
const RELEASE: &str = "aws-ebs-csi-driver";
const CONTROLLER: &str = "ebs-csi-controller";
const NODE: &str = "ebs-csi-node";

/// Helm, with a home of its own.
struct Helm {
    program: PathBuf,
    home: TempDir,
}

impl Helm {
    /// None, and a line that says so, where it was not built.
    fn find() -> Option<Self> {
        match conformance::helm() {
            Ok(program) => Some(Self {
                program,
                home: tempfile::tempdir().unwrap(),
            }),
            Err(error) => {
                not_run(LAYER, &error);
                None
            }
        }
    }

    /// What it prints, or what it says where it fails.
    fn run(&self, kubeconfig: &Path, args: &[&str]) -> Result<String, String> {
        let ended = Command::new(&self.program)
            .args(args)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", kubeconfig)
            .current_dir(repository())
            .output()
            .unwrap();
        if ended.status.success() {
            return Ok(String::from_utf8(ended.stdout).unwrap());
        }
        Err(String::from_utf8_lossy(&ended.stderr).into_owned())
    }

    /// As a user of a cluster.
    fn with(&self, user: &User, args: &[&str]) -> Result<String, String> {
        self.run(&user.kubeconfig, args)
    }

    /// A file of values.
    fn values(&self, values: &Value) -> String {
        let path = self.home.path().join("values.json");
        std::fs::write(&path, values.to_string()).unwrap();
        path.display().to_string()
    }

    /// The text of the objects that it makes of these values, without a cluster.
    fn template(&self, release: &str, values: &Value, more: &[&str]) -> Result<String, String> {
        let values = self.values(values);
        let args = [
            "template",
            release,
            &chart(),
            "--namespace=kube-system",
            "--values",
            &values,
        ];
        self.run(Path::new("/nonexistent"), &[&args[..], more].concat())
    }

    fn rendered(&self, values: &Value) -> Vec<Value> {
        self.rendered_for(values, &[])
    }

    fn rendered_for(&self, values: &Value, more: &[&str]) -> Vec<Value> {
        documents(&self.template(RELEASE, values, more).unwrap())
    }
}

fn chart() -> String {
    repository().join("charts/slackwater-ebs").display().to_string()
}

/// The arguments of a container.
fn args<'a>(objects: &'a [Value], kind: &str, name: &str, container: &str) -> Vec<&'a str> {
    let object = named(objects, kind, name).unwrap_or_else(|| panic!("no {kind} {name}"));
    let mut containers = containers(object).iter();
    let container = containers.find(|one| one["name"] == container);
    texts(&container.unwrap()["args"])
}

/// Every value that has no default effect, those of the Prometheus operator apart.
fn everything(mode: &str) -> Value {
    let sidecar = json!({
        "additionalArgs": ["--retry-interval-start=2s", "--http-endpoint=:4400"],
        "additionalClusterRoleRules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }],
        "env": [{ "name": "SIDECAR", "value": "1" }],
        "leaderElection": { "enabled": true, "leaseDuration": "30s", "renewDeadline": "20s", "retryPeriod": "10s" },
        "resources": { "limits": { "memory": "128Mi" } },
    });
    let at = |port: &str| {
        let mut sidecar = sidecar.clone();
        sidecar["additionalArgs"][1] = json!(format!("--http-endpoint=:{port}"));
        sidecar
    };
    json!({
        "slackwater": {
            "mode": mode, "strict": true, "upstreamRights": true, "preventPodSchedulingIfMissing": true,
            "node": { "image": { "repository": "other-node", "tag": "v9" } },
            "snapshotController": {
                "enabled": true, "replicaCount": 3, "additionalArgs": ["--worker-threads=5"],
                "resources": { "limits": { "memory": "64Mi" } },
            },
            "crds": { "install": true },
            "grafanaDashboard": { "enabled": true, "annotations": { "folder": "storage" } },
        },
        "image": { "containerRegistry": "mirror.example.com/", "pullPolicy": "Always" },
        "customLabels": { "team": "storage" },
        "fips": true, "debugLogs": true, "imagePullSecrets": ["pull"],
        "proxy": { "http_proxy": "http://proxy:3128", "no_proxy": "10.0.0.0/8" },
        "sidecars": {
            "provisioner": at("4402"), "attacher": at("4403"), "snapshotter": at("4406"), "resizer": at("4404"),
            "livenessProbe": { "additionalArgs": ["--v=4"] },
            "nodeDriverRegistrar": { "healthPort": 9909, "additionalArgs": ["--timeout=5s"] },
        },
        "controller": {
            "replicaCount": 3, "batching": false, "sdkDebugLog": true, "loggingFormat": "json", "region": "eu-west-1",
            "k8sTagClusterId": "{{ .Release.Name }}-cluster", "extraVolumeTags": { "owner": "me", "cost": 7 },
            "enableNodeLocalVolumes": true, "enableMetrics": true, "httpEndpoint": "0.0.0.0:9000",
            "additionalArgs": ["--modify-volume-request-handler-timeout=3s"],
            "env": [{ "name": "AWS_RETRY_MODE", "value": "standard" }],
            "envFrom": [{ "configMapRef": { "name": "more" } }],
            "otelTracing": { "otelServiceName": "ebs", "otelExporterEndpoint": "http://otel:4317" },
            "deploymentAnnotations": { "a": "b" }, "podAnnotations": { "release": "{{ .Release.Name }}" },
            "podLabels": { "c": "d" }, "nodeSelector": { "pool": "system" },
            "podDisruptionBudget": { "minAvailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow" },
            "serviceAccount": { "annotations": { "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r" } },
            "socketDirVolume": { "emptyDir": { "medium": "Memory" } },
            "volumes": [{ "name": "more", "emptyDir": {} }],
            "volumeMounts": [{ "name": "more", "mountPath": "/more" }],
            "initContainers": [{ "name": "wait", "image": "busybox" }],
            "dnsConfig": { "options": [{ "name": "ndots", "value": "1" }] },
        },
        "node": {
            "enableWindows": false, "kubeletPath": "/data/kubelet/", "metadataSources": "kubernetes,imds",
            "volumeAttachLimit": 0, "legacyXFS": true, "selinux": true, "hostNetwork": true, "enableMetrics": true,
            "tolerateAllTaints": false, "loggingFormat": "json", "namespaceOverride": "kube-system",
            "additionalArgs": ["--log-flush-frequency=5s"],
            "env": [{ "name": "NODE", "value": "1" }], "envFrom": [{ "configMapRef": { "name": "more" } }],
            "otelTracing": { "otelServiceName": "ebs", "otelExporterEndpoint": "http://otel:4317" },
            "daemonSetAnnotations": { "a": "b" }, "podAnnotations": { "c": "d" }, "podLabels": { "e": "f" },
            "priorityClassName": "system-cluster-critical", "serviceAccount": { "disableMutation": true },
            "volumes": [{ "name": "more", "emptyDir": {} }],
            "volumeMounts": [{ "name": "more", "mountPath": "/more" }],
            "initContainers": [{ "name": "wait", "image": "busybox" }],
            "dnsConfig": { "options": [{ "name": "ndots", "value": "1" }] },
        },
        "additionalDaemonSets": {
            "small": { "nodeSelector": { "size": "small" }, "reservedVolumeAttachments": 2 },
        },
        "storageClasses": [{
            "name": "ebs-sc", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
            "allowVolumeExpansion": true, "parameters": { "type": "gp3" },
        }],
        "defaultStorageClass": { "enabled": true },
        "volumeSnapshotClasses": [{ "name": "csi-aws-vsc", "deletionPolicy": "Retain", "parameters": { "a": "b" } }],
        "nodeAllocatableUpdatePeriodSeconds": 60,
        "helmTester": { "enabled": false },
    })
}
