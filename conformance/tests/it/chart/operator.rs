//! What is for the operator of Prometheus: complete where it is, left out where it is not.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::values::{everything, merged};
use super::{CONTROLLER, Helm, RELEASE};
use crate::pods::{containers, named, of_kind};

const KINDS: [&str; 2] = ["PodMonitor", "PrometheusRule"];

fn served() -> Vec<String> {
    KINDS
        .iter()
        .map(|kind| format!("--api-versions=monitoring.coreos.com/v1/{kind}"))
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

#[test]
fn journeys_case_120_what_is_for_the_operator_is_left_out_without_it() {
    let Some(helm) = Helm::find() else { return };
    let values = |field: &str| {
        json!({ "controller": { "enableMetrics": true }, "slackwater": {
            "snapshotController": { "enabled": true },
            "podMonitor": { field: true, "enabled": true }, "prometheusRule": { field: true, "enabled": true },
        } })
    };
    let asked = values("enabled");
    let of = |objects: &[Value]| KINDS.map(|kind| of_kind(objects, kind).len());
    assert_eq!(of(&helm.rendered(&asked)), [0, 0]);
    assert_eq!(of(&rendered(&helm, &asked)), [2, 1]);
    // A cluster may serve a part of the kinds.
    let one = [served().remove(0)];
    assert_eq!(of(&helm.rendered_for(&asked, &[one[0].as_str()])), [2, 0]);
    assert_eq!(of(&helm.rendered(&values("forceEnable"))), [2, 1]);
    let strict = json!({ "slackwater": { "strict": true } });
    let refusal = helm
        .template(RELEASE, &merged(&[asked, strict.clone()]), &[])
        .unwrap_err();
    assert!(
        refusal.contains("slackwater.podMonitor") && refusal.contains("slackwater.prometheusRule"),
        "{refusal}"
    );
    let forced = merged(&[values("forceEnable"), strict]);
    assert_eq!(of(&helm.rendered(&forced)), [2, 1]);
}

/// Alertmanager shows it as a link, which wants an address.
#[test]
fn journeys_case_128_runbooks_are_below_the_address_that_is_given() {
    let Some(helm) = Helm::find() else { return };
    for (base, expected) in [
        (Value::Null, "docs/runbooks/"),
        (json!(""), "docs/runbooks/"),
        (
            json!("https://git.example.com/main"),
            "https://git.example.com/main/docs/runbooks/",
        ),
        (
            json!("https://git.example.com/main/"),
            "https://git.example.com/main/docs/runbooks/",
        ),
    ] {
        let rule = json!({ "enabled": true, "runbookBaseUrl": base });
        let objects = rendered(&helm, &json!({ "slackwater": { "prometheusRule": rule } }));
        let groups = &named(&objects, "PrometheusRule", "slackwater").unwrap()["spec"]["groups"];
        let rules = groups.as_array().unwrap().iter();
        let rules = rules.flat_map(|group| group["rules"].as_array().unwrap());
        let mut alerts = 0;
        for rule in rules.filter(|rule| rule["alert"].is_string()) {
            let page = format!("{expected}{}.md", rule["alert"].as_str().unwrap());
            assert_eq!(rule["annotations"]["runbook_url"], page);
            alerts += 1;
        }
        assert!(alerts > 30, "{alerts}");
    }
}
