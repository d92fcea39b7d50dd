//! What is followed but may surprise: the notes of an installation.

use std::path::Path;

use serde_json::{Value, json};

use super::values::merged;
use super::{Helm, RELEASE, chart};
use crate::pods::named;

/// What Helm tells of these values, without a cluster.
fn notes(helm: &Helm, values: &Value) -> String {
    let values = helm.values(values);
    let args = [
        "install",
        RELEASE,
        &chart(),
        "--dry-run=client",
        "--namespace=kube-system",
    ];
    let said = helm.run(
        Path::new("/nonexistent"),
        &[&args[..], &["--values", &values]].concat(),
    );
    let said = said.unwrap();
    said.split_once("\nNOTES:").unwrap().1.to_owned()
}

#[test]
fn a_budget_that_lets_no_pod_go_is_told() {
    let Some(helm) = Helm::find() else { return };
    for (budget, told) in [
        (json!({ "maxUnavailable": 0 }), true),
        (json!({ "minAvailable": 2 }), true),
        (json!({ "minAvailable": "100%" }), true),
        (json!({ "minAvailable": 1 }), false),
        (json!({ "minAvailable": "50%" }), false),
        (json!({ "minAvailable": 2, "enabled": false }), false),
        (json!({}), false),
    ] {
        let said = notes(&helm, &json!({ "controller": { "podDisruptionBudget": budget } }));
        assert_eq!(said.contains("can be drained"), told, "{budget}: {said}");
    }
}

/// One process has one limit of requests.
#[test]
fn flags_that_the_one_container_has_no_place_for_are_told() {
    let Some(helm) = Helm::find() else { return };
    let flags =
        json!({ "resizer": { "additionalArgs": ["--kube-api-qps=5", "-kube-api-burst=9", "--workers=5"] } });
    for (mode, told) in [("allInOne", true), ("dropin", false)] {
        let said = notes(
            &helm,
            &json!({ "slackwater": { "mode": mode }, "sidecars": flags }),
        );
        let expected = "sidecars.resizer.additionalArgs: --kube-api-qps, --kube-api-burst are left out";
        assert_eq!(said.contains(expected), told, "{mode}: {said}");
    }
}

/// What nobody is sent to is neither scraped nor asked for its lease.
#[test]
fn journeys_case_115_an_address_of_the_pod_alone_is_told() {
    let Some(helm) = Helm::find() else { return };
    let values = |has_metrics: bool, address: &str| {
        json!({
            "controller": { "enableMetrics": has_metrics, "httpEndpoint": address },
            "sidecars": { "resizer": { "additionalArgs": ["--http-endpoint", address] } },
        })
    };
    for (values, told) in [
        (values(true, "localhost:4400"), true),
        (values(true, ":4400"), false),
        (values(false, "localhost:4400"), false),
    ] {
        let said = notes(&helm, &values);
        for expected in [
            "additionalArgs: nobody outside of the pod reaches it",
            "sidecars.resizer.additionalArgs, --http-endpoint: nobody outside",
        ] {
            assert_eq!(said.contains(expected), told, "{values}: {said}");
        }
    }
}

#[test]
fn journeys_case_127_resources_of_containers_that_are_not_there_are_told() {
    let Some(helm) = Helm::find() else { return };
    let more = json!({ "limits": { "memory": "1Gi" } });
    let controller = json!({ "controller": { "resources": more } });
    let sidecar = json!({ "sidecars": { "resizer": { "resources": more } } });
    let (of_controller, of_sidecar) = ("NOTE: controller.resources", "NOTE: sidecars.resizer.resources");
    for (mode, values, told) in [
        ("allInOne", json!({}), [false, false]),
        ("allInOne", controller.clone(), [true, false]),
        ("allInOne", sidecar.clone(), [false, true]),
        ("dropin", merged(&[controller, sidecar]), [false, false]),
    ] {
        let said = notes(
            &helm,
            &merged(&[values, json!({ "slackwater": { "mode": mode } })]),
        );
        assert_eq!(
            [of_controller, of_sidecar].map(|one| said.contains(one)),
            told,
            "{said}"
        );
    }
}

#[test]
fn a_monitor_that_is_left_out_is_told() {
    let Some(helm) = Helm::find() else { return };
    let said = notes(
        &helm,
        &json!({ "slackwater": { "podMonitor": { "enabled": true } } }),
    );
    for expected in ["slackwater.podMonitor: left out", "set controller.enableMetrics"] {
        assert!(said.contains(expected), "{said}");
    }
}

/// Upstream's chart leaves the field out, and its pods have their token.
#[test]
fn pods_keep_the_token_of_their_account() {
    let Some(helm) = Helm::find() else { return };
    let off = json!({ "serviceAccount": { "automountServiceAccountToken": false } });
    let objects = helm.rendered(&json!({ "controller": off, "node": off }));
    for account in ["ebs-csi-controller-sa", "ebs-csi-node-sa"] {
        let account = named(&objects, "ServiceAccount", account).unwrap();
        assert!(account.get("automountServiceAccountToken").is_none(), "{account}");
    }
}
