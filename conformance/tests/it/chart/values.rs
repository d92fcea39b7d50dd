//! Values of the chart for many tests.

use serde_json::{Value, json};

/// Every value that has no default effect, those of the Prometheus operator apart.
pub(super) fn everything(mode: &str) -> Value {
    json!({
        "slackwater": slackwater(mode),
        "image": { "containerRegistry": "mirror.example.com/", "pullPolicy": "Always" },
        "customLabels": { "team": "storage" },
        "fips": true, "debugLogs": true, "imagePullSecrets": ["pull"],
        "proxy": { "http_proxy": "http://proxy:3128", "no_proxy": "10.0.0.0/8" },
        "sidecars": sidecars(),
        "controller": controller(),
        "node": node(),
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
        "helmTester": { "enabled": true, "image": "kubekins" },
    })
}

/// What is ours alone.
fn slackwater(mode: &str) -> Value {
    json!({
        "mode": mode, "strict": true, "upstreamRights": true, "preventPodSchedulingIfMissing": true,
        "node": { "image": { "repository": "other-node", "tag": "v9" } },
        "snapshotController": {
            "enabled": true, "replicaCount": 3, "additionalArgs": ["--worker-threads=5"],
            "resources": { "limits": { "memory": "64Mi" } },
        },
        "crds": { "install": true },
        "grafanaDashboard": { "enabled": true, "annotations": { "folder": "storage" } },
        "viewerRole": { "enabled": true },
        "networkPolicy": {
            "enabled": true,
            "egress": [{ "to": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }], "ports": [{ "protocol": "TCP", "port": 443 }] }],
        },
        "selftest": {
            "storageClass": "ebs-sc", "snapshotClass": "csi-aws-vsc", "skip": ["expansion"],
            "additionalArgs": ["--timeout=10m"], "nodeSelector": { "pool": "system" },
            "tolerations": [{ "operator": "Exists" }],
        },
    })
}

/// Each with a port of its own.
fn sidecars() -> Value {
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
        "provisioner": at("4402"), "attacher": at("4403"), "snapshotter": at("4406"), "resizer": at("4404"),
        "metadataLabeler": {
            "enabled": true, "additionalArgs": ["--http-endpoint=127.0.0.1:4409"], "logLevel": 4,
            "env": [{ "name": "LABELER", "value": "1" }], "resources": { "limits": { "memory": "64Mi" } },
        },
        "livenessProbe": { "additionalArgs": ["--v=4"] },
        "nodeDriverRegistrar": { "healthPort": 9909, "additionalArgs": ["--timeout=5s"] },
    })
}

/// The pods of the controller.
fn controller() -> Value {
    json!({
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
    })
}

/// The pods of the nodes.
fn node() -> Value {
    json!({
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
    })
}

/// Later ones over earlier ones.
pub(super) fn merged(values: &[Value]) -> Value {
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
