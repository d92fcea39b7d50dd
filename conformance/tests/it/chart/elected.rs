//! Probes that go by the election of a sidecar.

use serde_json::{Value, json};

use super::values::merged;
use super::{CONTROLLER, Helm};
use crate::pods::{containers, named};

const PATH: &str = "/healthz/leader-election";

/// The sidecars whose probe asks for their lease.
fn probed(helm: &Helm, more: Value) -> Vec<String> {
    let metrics = json!({ "controller": { "enableMetrics": true } });
    let objects = helm.rendered(&merged(&[metrics, more]));
    let found = containers(named(&objects, "Deployment", CONTROLLER).unwrap()).iter();
    found
        .filter(|one| one["livenessProbe"]["httpGet"]["path"] == PATH)
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Without an election the path is not served, and the container would be restarted for ever.
#[test]
fn journeys_case_115_a_sidecar_without_election_is_not_asked_for_its_lease() {
    let Some(helm) = Helm::find() else { return };
    let all = [
        "csi-provisioner",
        "csi-attacher",
        "csi-snapshotter",
        "csi-resizer",
    ];
    assert_eq!(probed(&helm, json!({})), all);
    let of = |values: Value| json!({ "sidecars": { "resizer": values } });
    let flag = |flag: &str| of(json!({ "additionalArgs": [flag] }));
    for (values, elected) in [
        (of(json!({ "leaderElection": { "enabled": false } })), false),
        (flag("--leader-election=false"), false),
        (flag("-leader-election=0"), false),
        (flag("--leader-election"), true),
        (flag("--leader-election-lease-duration=30s"), true),
    ] {
        let expected = if elected { &all[..] } else { &all[..3] };
        assert_eq!(probed(&helm, values.clone()), expected, "{values}");
    }
}
