//! What is for the operator of Prometheus: complete where it is, left out where it is not.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::values::{everything, merged};
use super::{CONTROLLER, Helm};
use crate::pods::{containers, named};

const KINDS: [&str; 2] = ["PodMonitor", "PrometheusRule"];

fn served() -> Vec<String> {
    KINDS
        .iter()
        .map(|kind| format!("--api-versions=monitoring.coreos.com/v1/{kind}"))
        .chain(["--api-versions=monitoring.coreos.com/v1".to_owned()])
        .collect()
}

fn rendered(helm: &Helm, values: &Value) -> Vec<Value> {
    let served = served();
    let served: Vec<_> = served.iter().map(String::as_str).collect();
    helm.rendered_for(values, &served)
}

/// The names of the ports of a Deployment's metrics.
fn metrics(objects: &[Value], name: &str) -> BTreeSet<String> {
    let ports = containers(named(objects, "Deployment", name).unwrap())
        .iter()
        .flat_map(|one| one["ports"].as_array().into_iter().flatten());
    ports
        .map(|port| port["name"].as_str().unwrap().to_owned())
        .filter(|name| name.starts_with("metrics"))
        .collect()
}

/// It takes the place of the ServiceMonitors, so that what it leaves out nobody scrapes.
#[test]
fn journeys_case_119_the_pod_monitor_names_every_port_of_metrics() {
    let Some(helm) = Helm::find() else { return };
    let monitor = json!({
        "slackwater": { "podMonitor": { "enabled": true } }, "controller": { "enableMetrics": true },
    });
    let modifier = json!({
        "sidecars": { "volumemodifier": { "image": { "repository": "upstream/volume-modifier-for-k8s" } } },
        "controller": { "volumeModificationFeature": { "enabled": true } },
    });
    let one = json!({ "slackwater": { "mode": "allInOne" } });
    for (values, ports) in [
        (monitor.clone(), 6),
        (merged(&[monitor.clone(), modifier]), 7),
        (merged(&[monitor.clone(), one]), 5),
        (merged(&[everything("dropin"), monitor.clone()]), 6),
    ] {
        let objects = rendered(&helm, &values);
        let open = metrics(&objects, CONTROLLER);
        assert_eq!(open.len(), ports, "{open:?}");
        let endpoints = &named(&objects, "PodMonitor", CONTROLLER).unwrap()["spec"]["podMetricsEndpoints"];
        let scraped = endpoints.as_array().unwrap().iter();
        let scraped: BTreeSet<_> = scraped
            .map(|one| one["port"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(scraped, open, "{values}");
    } // In the drop-in without metrics no port is open, and a monitor without ports would say nothing.
    let closed = json!({ "controller": { "enableMetrics": false } });
    assert!(
        named(
            &rendered(&helm, &merged(&[monitor, closed])),
            "PodMonitor",
            CONTROLLER
        )
        .is_none()
    );
}
