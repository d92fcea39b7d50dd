//! Values that cannot be followed: each gets one message that names it.

use serde_json::{Value, json};

use super::{Helm, RELEASE};

/// Values, and what the refusal says.
pub(super) type Refused = (Value, &'static str);

/// What no value may be, by itself.
fn values() -> Vec<Refused> {
    vec![
        (json!({ "controller": { "foo": 1 } }), "foo"),
        (json!({ "replicas": 3 }), "replicas"),
        (json!({ "slackwater": { "mode": "both" } }), "mode"),
        (json!({ "slackwater": { "functions": ["driver"] } }), "functions"),
        (
            json!({ "image": { "repository": "public.ecr.aws/ebs-csi-driver/aws-ebs-csi-driver" } }),
            "names upstream's image",
        ),
        (
            json!({ "image": { "containerRegistry": "mirror" } }),
            "containerRegistry",
        ),
        (
            json!({ "nodeAllocatableUpdatePeriodSeconds": 5 }),
            "nodeAllocatableUpdatePeriodSeconds",
        ),
        (
            json!({ "sidecars": { "metadataLabeler": { "image": {} } } }),
            "metadataLabeler",
        ),
        (
            json!({ "controller": { "volumeModificationFeature": { "enabled": true } } }),
            "VolumeAttributesClass",
        ),
        (
            json!({ "sidecars": { "resizer": { "leaderElection": { "leaseDuration": "15" } } } }),
            "leaseDuration",
        ),
    ]
}

/// What does not go with other values or with the cluster.
fn combinations() -> Vec<Refused> {
    vec![
        (
            json!({ "slackwater": { "functions": ["csi-resizer"] } }),
            "allInOne",
        ),
        (
            json!({
                "slackwater": { "mode": "allInOne" },
                "sidecars": { "resizer": { "image": { "repository": "mine" } } },
            }),
            "sidecars.resizer.image",
        ),
        (
            json!({ "node": { "volumeAttachLimit": 5, "reservedVolumeAttachments": 0 } }),
            "exclude each other",
        ),
        (
            json!({ "additionalDaemonSets": { "a": { "volumeAttachLimit": 1, "reservedVolumeAttachments": 1 } } }),
            "ebs-csi-node-a",
        ),
        (
            json!({ "controller": { "podDisruptionBudget": { "maxUnavailable": 1, "minAvailable": 1 } } }),
            "minAvailable",
        ),
        (
            json!({ "slackwater": { "selftest": { "skip": ["restore"] } } }),
            "/slackwater/selftest/skip/0",
        ),
        (
            json!({ "slackwater": { "strict": true, "podMonitor": { "enabled": true } } }),
            "slackwater.podMonitor",
        ),
    ]
}

/// Addresses that are none, or at which kubelet cannot ask.
fn addresses() -> Vec<Refused> {
    vec![
        (
            json!({ "controller": { "enableMetrics": true, "httpEndpoint": "here" } }),
            "\"here\" is no address",
        ),
        (
            json!({ "slackwater": { "mode": "allInOne" }, "controller": { "httpEndpoint": "127.0.0.1:3301" } }),
            "controller.httpEndpoint, or --http-endpoint of controller.additionalArgs",
        ),
        (
            json!({
                "slackwater": { "mode": "allInOne" },
                "controller": { "httpEndpoint": ":3301", "additionalArgs": ["-http-endpoint", "localhost:3301"] },
            }),
            "does not reach \"localhost:3301\"",
        ),
        (
            json!({ "slackwater": { "mode": "allInOne" }, "controller": { "additionalArgs": ["--http-endpoint="] } }),
            "does not reach \"\"",
        ),
        (
            json!({ "sidecars": { "livenessProbe": { "additionalArgs": ["--http-endpoint=127.0.0.1:9808"] } } }),
            "sidecars.livenessProbe.additionalArgs",
        ),
        (
            json!({ "slackwater": { "snapshotController": {
                "enabled": true, "additionalArgs": ["--http-endpoint=localhost:8080"],
            } } }),
            "slackwater.snapshotController.additionalArgs",
        ),
    ]
}

/// All of them.
pub(super) fn refused() -> impl Iterator<Item = Refused> {
    values().into_iter().chain(combinations()).chain(addresses())
}

#[test]
fn journeys_case_71_unknown_and_contradictory_values_are_named() {
    let Some(helm) = Helm::find() else { return };
    for (values, says) in refused() {
        let refusal = helm.template(RELEASE, &values, &[]).unwrap_err();
        assert!(refusal.contains(says), "{values}: {refusal}");
    }
}
