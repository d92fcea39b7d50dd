//! Upstream's program of the older way to change volumes, by annotations.

use serde_json::{Value, json};

use super::values::merged;
use super::{CONTROLLER, Helm, RELEASE, args};
use crate::pods::{containers, named};

fn values(more: Value) -> Value {
    let on = json!({
        "sidecars": { "volumemodifier": { "image": { "repository": "upstream/volume-modifier-for-k8s", "tag": "v1" } } },
        "controller": { "volumeModificationFeature": { "enabled": true }, "enableMetrics": true },
    });
    merged(&[on, more])
}

#[test]
fn journeys_case_121_the_volumemodifier_is_started_as_upstream_starts_it() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.rendered(&values(json!({})));
    let told = args(&objects, "Deployment", CONTROLLER, "volumemodifier");
    assert!(told.contains(&"--timeout=60s"), "{told:?}");
    // It watches the lease of the csi-resizer by an informer.
    let role = &named(&objects, "Role", "ebs-csi-leases-role").unwrap()["rules"];
    let verbs = role.as_array().unwrap().iter().map(|rule| &rule["verbs"]);
    let verbs: Vec<_> = verbs.flat_map(|verbs| verbs.as_array().unwrap()).collect();
    for verb in ["get", "list", "watch"] {
        assert!(verbs.contains(&&json!(verb)), "{verb} in {verbs:?}");
    }

    let own = json!({ "additionalArgs": ["--timeout=90s", "--http-endpoint=:4407"] });
    let objects = helm.rendered(&values(json!({ "sidecars": { "volumemodifier": own } })));
    let told = args(&objects, "Deployment", CONTROLLER, "volumemodifier");
    assert!(
        told.contains(&"--timeout=90s") && !told.contains(&"--timeout=60s"),
        "{told:?}"
    );
    let found = containers(named(&objects, "Deployment", CONTROLLER).unwrap());
    let modifier = found.iter().find(|one| one["name"] == "volumemodifier").unwrap();
    assert_eq!(modifier["ports"][0]["containerPort"], 4407);
    let service = named(&objects, "Service", "ebs-csi-controller-volumemodifier").unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 4407);
}

/// With an image or without, one message that does not lead to another one.
#[test]
fn journeys_case_121_the_one_container_has_no_volumemodifier() {
    let Some(helm) = Helm::find() else { return };
    let one = json!({ "slackwater": { "mode": "allInOne" } });
    let without_image = json!({ "controller": { "volumeModificationFeature": { "enabled": true } } });
    for values in [values(one.clone()), merged(&[without_image, one])] {
        let refusal = helm.template(RELEASE, &values, &[]).unwrap_err();
        let says = "controller.volumeModificationFeature.enabled: there is no such container in slackwater.mode allInOne";
        assert!(refusal.contains(says), "{refusal}");
    }
}
