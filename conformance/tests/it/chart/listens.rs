//! Addresses that the arguments of the user give to listeners: what is open, and who asks there.

use serde_json::{Value, json};

use super::values::merged;
use super::{CONTROLLER, Helm, NODE, args};
use crate::pods::{containers, named};

/// The spellings of an address: Go takes one dash or two, and the value behind `=` or in the next item. The last one counts.
fn spellings(address: &str) -> [Value; 5] {
    [
        json!([format!("--http-endpoint={address}")]),
        json!([format!("-http-endpoint={address}")]),
        json!(["--http-endpoint", address]),
        json!(["-http-endpoint", address, "--v=4"]),
        json!(["--http-endpoint=:1", "--http-endpoint", address]),
    ]
}

fn container<'a>(objects: &'a [Value], kind: &str, of: &str, name: &str) -> &'a Value {
    let object = named(objects, kind, of).unwrap_or_else(|| panic!("no {kind} {of}"));
    let mut all = containers(object).iter();
    let found = all.find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {of}"))
}

/// The port of that name, where the container has one.
fn port<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    let mut ports = container["ports"].as_array().into_iter().flatten();
    ports
        .find(|port| port["name"] == name)
        .map(|port| &port["containerPort"])
}

/// The port of a Service, where there is one of that name.
fn service<'a>(objects: &'a [Value], name: &str) -> Option<&'a Value> {
    named(objects, "Service", name).map(|one| &one["spec"]["ports"][0]["port"])
}

fn with_metrics(mode: &str, more: Value) -> Value {
    let on = json!({ "slackwater": { "mode": mode }, "controller": { "enableMetrics": true } });
    merged(&[on, more])
}

const SERVICE: &str = "ebs-csi-controller-provisioner";

#[test]
fn journeys_case_67_the_port_of_a_sidecar_is_followed_in_every_spelling() {
    let Some(helm) = Helm::find() else { return };
    for given in spellings(":4400") {
        let values = json!({ "sidecars": { "provisioner": { "additionalArgs": given } } });
        let objects = helm.rendered(&with_metrics("dropin", values.clone()));
        let told = args(&objects, "Deployment", CONTROLLER, "csi-provisioner");
        assert!(!told.contains(&"--http-endpoint=0.0.0.0:3302"), "{told:?}");
        let sidecar = container(&objects, "Deployment", CONTROLLER, "csi-provisioner");
        assert_eq!(port(sidecar, "metrics-prov"), Some(&json!(4400)), "{given}");
        assert_eq!(sidecar["livenessProbe"]["httpGet"]["port"], "metrics-prov");
        assert_eq!(service(&objects, SERVICE), Some(&json!(4400)), "{given}");

        let objects = helm.rendered(&with_metrics("allInOne", values));
        let one = container(&objects, "Deployment", CONTROLLER, "ebs-plugin");
        assert_eq!(port(one, "metrics-prov"), Some(&json!(4400)), "{given}");
        assert_eq!(service(&objects, SERVICE), Some(&json!(4400)), "{given}");
    }
}

#[test]
fn journeys_case_67_the_port_of_the_driver_follows_its_arguments() {
    let Some(helm) = Helm::find() else { return };
    for mode in ["dropin", "allInOne"] {
        for given in spellings(":8080") {
            // The arguments replace what the values say.
            let values = json!({ "controller": { "additionalArgs": given, "httpEndpoint": ":9000" } });
            let objects = helm.rendered(&with_metrics(mode, values));
            let plugin = container(&objects, "Deployment", CONTROLLER, "ebs-plugin");
            assert_eq!(port(plugin, "metrics"), Some(&json!(8080)), "{mode}: {given}");
            assert_eq!(
                service(&objects, CONTROLLER),
                Some(&json!(8080)),
                "{mode}: {given}"
            );
            let told = args(&objects, "Deployment", CONTROLLER, "ebs-plugin").join(" ");
            assert!(!told.contains("9000"), "{told}");
        }
    }
    let values = json!({ "controller": { "additionalArgs": ["--http-endpoint=:8080"] } });
    let objects = helm.rendered(&with_metrics("allInOne", values));
    let plugin = container(&objects, "Deployment", CONTROLLER, "ebs-plugin");
    assert_eq!(port(plugin, "metrics"), Some(&json!(8080)));
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(plugin[probe]["httpGet"]["port"], "metrics");
    }
}

/// Kubelet comes from outside of the pod: a container that it cannot ask would be restarted for ever.
#[test]
fn journeys_case_115_nobody_is_sent_to_an_address_of_the_pod_alone() {
    let Some(helm) = Helm::find() else { return };
    for (address, is_reached) in [
        ("localhost:3302", false),
        ("LocalHost:3302", false),
        ("127.0.0.1:3302", false),
        ("127.1.2.3:3302", false),
        ("[::1]:3302", false),
        ("[0:0:0:0:0:0:0:1]:3302", false),
        ("[::ffff:127.0.0.1]:3302", false),
        (":3302", true),
        ("0.0.0.0:3302", true),
        ("[::]:3302", true),
        ("10.127.0.1:3302", true),
        ("[fd00::1]:3302", true),
        ("localhost.example.com:3302", true),
    ] {
        let open = is_reached.then(|| json!(3302));
        let given = json!(["--http-endpoint", address]);
        let values = json!({ "sidecars": { "provisioner": { "additionalArgs": given } } });
        let objects = helm.rendered(&with_metrics("dropin", values));
        let sidecar = container(&objects, "Deployment", CONTROLLER, "csi-provisioner");
        assert_eq!(port(sidecar, "metrics-prov"), open.as_ref(), "{address}");
        assert_eq!(sidecar["livenessProbe"].is_object(), is_reached, "{address}");
        assert_eq!(service(&objects, SERVICE), open.as_ref(), "{address}");
        let other = container(&objects, "Deployment", CONTROLLER, "csi-attacher");
        assert!(other["livenessProbe"].is_object(), "{address}");
    }
    // No address is none either.
    let values = json!({ "sidecars": { "provisioner": { "additionalArgs": ["--http-endpoint="] } } });
    let objects = helm.rendered(&with_metrics("dropin", values));
    let sidecar = container(&objects, "Deployment", CONTROLLER, "csi-provisioner");
    assert!(
        sidecar["ports"].is_null() && sidecar["livenessProbe"].is_null(),
        "{sidecar}"
    );
    assert_eq!(service(&objects, SERVICE), None);
}

#[test]
fn journeys_case_115_no_service_leads_to_an_address_of_the_pod_alone() {
    let Some(helm) = Helm::find() else { return };
    let given = json!(["--http-endpoint=localhost:4400"]);
    let values = json!({
        "controller": { "httpEndpoint": "127.0.0.1:3301", "volumeModificationFeature": { "enabled": true } },
        "sidecars": {
            "resizer": { "additionalArgs": given },
            "livenessProbe": { "additionalArgs": ["--metrics-address", "localhost:3305"] },
            "volumemodifier": { "additionalArgs": given, "image": { "repository": "upstream/volume-modifier-for-k8s" } },
        },
        "node": { "enableMetrics": true, "additionalArgs": given },
    });
    let objects = helm.rendered(&with_metrics("dropin", values));
    let names = [
        ("ebs-plugin", "metrics", CONTROLLER),
        ("csi-resizer", "metrics-resizer", "ebs-csi-controller-resizer"),
        (
            "liveness-probe",
            "metrics-lp",
            "ebs-csi-controller-liveness-probe",
        ),
        (
            "volumemodifier",
            "metrics-volmod",
            "ebs-csi-controller-volumemodifier",
        ),
    ];
    for (name, port_name, of) in names {
        let one = container(&objects, "Deployment", CONTROLLER, name);
        assert_eq!(port(one, port_name), None, "{name}");
        assert_eq!(service(&objects, of), None, "{name}");
    }
    let plugin = container(&objects, "DaemonSet", NODE, "ebs-plugin");
    assert_eq!(port(plugin, "metrics"), None);
    assert_eq!(service(&objects, NODE), None);
    assert_eq!(
        service(&objects, "ebs-csi-controller-attacher"),
        Some(&json!(3303))
    );

    // In the one container too.
    let values = json!({ "sidecars": { "resizer": { "additionalArgs": given } } });
    let objects = helm.rendered(&with_metrics("allInOne", values));
    let one = container(&objects, "Deployment", CONTROLLER, "ebs-plugin");
    assert_eq!(port(one, "metrics-resizer"), None);
    assert_eq!(service(&objects, "ebs-csi-controller-resizer"), None);
    assert_eq!(port(one, "metrics-attach"), Some(&json!(3303)));
}

/// With a certificate the listener speaks TLS alone, and kubelet does not check whose it is.
#[test]
fn journeys_case_67_health_is_asked_for_as_the_listener_speaks() {
    let Some(helm) = Helm::find() else { return };
    for (given, scheme) in [
        (
            json!(["--metrics-cert-file=/tls/a", "--metrics-key-file=/tls/b"]),
            json!("HTTPS"),
        ),
        (
            json!(["-metrics-key-file", "/tls/b", "-metrics-cert-file", "/tls/a"]),
            json!("HTTPS"),
        ),
        (json!(["--metrics-cert-file="]), Value::Null),
        (json!([]), Value::Null),
    ] {
        let values =
            json!({ "slackwater": { "mode": "allInOne" }, "controller": { "additionalArgs": given } });
        let objects = helm.rendered(&values);
        let plugin = container(&objects, "Deployment", CONTROLLER, "ebs-plugin");
        for probe in ["livenessProbe", "readinessProbe"] {
            assert_eq!(plugin[probe]["httpGet"]["scheme"], scheme, "{given}: {probe}");
        }
    }
}

/// The driver's container is asked where the liveness-probe beside it answers.
#[test]
fn journeys_case_67_the_driver_is_asked_where_its_liveness_probe_answers() {
    let Some(helm) = Helm::find() else { return };
    for (given, health, metrics) in [
        (json!([]), 9808, 3305),
        (json!(["--health-port=9810"]), 9810, 3305),
        (json!(["-health-port", "9810"]), 9810, 3305),
        (json!(["--http-endpoint", ":9810"]), 9810, 9810),
        (json!(["--metrics-address=:4405"]), 9808, 4405),
    ] {
        let values = json!({ "sidecars": { "livenessProbe": { "additionalArgs": given } } });
        let objects = helm.rendered(&with_metrics("dropin", values));
        for (kind, name) in [("Deployment", CONTROLLER), ("DaemonSet", NODE)] {
            let plugin = container(&objects, kind, name, "ebs-plugin");
            assert_eq!(port(plugin, "healthz"), Some(&json!(health)), "{kind}: {given}");
            assert_eq!(plugin["livenessProbe"]["httpGet"]["port"], "healthz");
        }
        let probe = container(&objects, "Deployment", CONTROLLER, "liveness-probe");
        assert_eq!(port(probe, "metrics-lp"), Some(&json!(metrics)), "{given}");
        let found = service(&objects, "ebs-csi-controller-liveness-probe");
        assert_eq!(found, Some(&json!(metrics)), "{given}");
    }
}

#[test]
fn journeys_case_67_the_registrar_is_asked_where_it_answers() {
    let Some(helm) = Helm::find() else { return };
    for (given, open) in [
        (json!([]), Some(json!(9909))),
        (json!(["--http-endpoint", ":9910"]), Some(json!(9910))),
        (json!(["--http-endpoint=localhost:9910"]), None),
    ] {
        let registrar = json!({ "healthPort": 9909, "additionalArgs": given });
        let objects = helm.rendered(&json!({ "sidecars": { "nodeDriverRegistrar": registrar } }));
        let registrar = container(&objects, "DaemonSet", NODE, "node-driver-registrar");
        assert_eq!(port(registrar, "healthz-ndr"), open.as_ref(), "{given}");
        assert_eq!(registrar["livenessProbe"].is_object(), open.is_some(), "{given}");
    }
}

#[test]
fn journeys_case_67_the_snapshot_controller_is_asked_where_it_answers() {
    let Some(helm) = Helm::find() else { return };
    let controller = json!({ "enabled": true, "additionalArgs": ["--http-endpoint", ":8081"] });
    let objects = helm.rendered(&json!({
        "slackwater": { "snapshotController": controller, "networkPolicy": { "enabled": true } },
    }));
    let one = container(
        &objects,
        "Deployment",
        "snapshot-controller",
        "snapshot-controller",
    );
    assert_eq!(port(one, "http"), Some(&json!(8081)));
    let pods = &named(&objects, "Deployment", "snapshot-controller").unwrap()["spec"]["template"];
    assert_eq!(pods["metadata"]["annotations"]["prometheus.io/port"], "8081");
    let policy = &named(&objects, "NetworkPolicy", "snapshot-controller").unwrap()["spec"];
    assert_eq!(policy["ingress"][0]["ports"][0]["port"], 8081);
}
