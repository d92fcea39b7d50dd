//! What a Prometheus without its operator finds by `dashboards/scrape.yaml`.

use serde_json::{Value, json};

use super::values::everything;
use super::{CONTROLLER, Helm, NODE};
use crate::pods::{containers, documents, named};
use crate::shared::repository;

/// A rule that keeps a pod or a port: the label that it looks at, and what may stand there.
struct Kept {
    label: String,
    alternatives: Vec<String>,
}

impl Kept {
    /// All of the one job.
    fn read() -> Vec<Self> {
        let text = std::fs::read_to_string(repository().join("dashboards/scrape.yaml")).unwrap();
        let jobs = documents(&text).remove(0);
        let jobs = jobs["scrape_configs"].as_array().unwrap().clone();
        assert_eq!(jobs.len(), 1);
        let rules = jobs[0]["relabel_configs"].as_array().unwrap();
        let kept = rules.iter().filter(|rule| rule["action"] == "keep");
        kept.map(|rule| Self {
            label: rule["source_labels"][0].as_str().unwrap().to_owned(),
            alternatives: rule["regex"]
                .as_str()
                .unwrap()
                .split('|')
                .map(str::to_owned)
                .collect(),
        })
        .collect()
    }

    /// The regular expressions in use are texts, and texts with anything behind them.
    fn takes(&self, value: &str) -> bool {
        let mut alternatives = self.alternatives.iter();
        alternatives.any(|one| match one.strip_suffix(".+") {
            Some(beginning) => value.len() > beginning.len() && value.starts_with(beginning),
            None => value == one,
        })
    }
}

/// The ports of the pods of an object that are scraped.
fn scraped(object: &Value) -> Vec<u64> {
    let rules = Kept::read();
    let labels = &object["spec"]["template"]["metadata"]["labels"];
    let takes = |label: &str, value: &Value| {
        let mut rules = rules.iter().filter(|rule| rule.label == label);
        rules.all(|rule| rule.takes(value.as_str().unwrap_or_default()))
    };
    if !takes(
        "__meta_kubernetes_pod_label_app_kubernetes_io_part_of",
        &labels["app.kubernetes.io/part-of"],
    ) {
        return Vec::new();
    }
    let ports = containers(object)
        .iter()
        .flat_map(|one| one["ports"].as_array().into_iter().flatten());
    let mut ports: Vec<u64> = ports
        .filter(|port| takes("__meta_kubernetes_pod_container_port_name", &port["name"]))
        .map(|port| port["containerPort"].as_u64().unwrap())
        .collect();
    ports.sort_unstable();
    ports
}

#[test]
fn journeys_case_114_a_prometheus_without_operator_finds_all_ports_of_metrics_and_no_other() {
    let Some(helm) = Helm::find() else { return };
    let driver_and_sidecars = [3301, 3302, 3303, 3304, 3306];
    for (mode, more) in [("dropin", Some(3305)), ("allInOne", None)] {
        let values = json!({
            "slackwater": { "mode": mode, "snapshotController": { "enabled": true } },
            "controller": { "enableMetrics": true },
            "node": { "enableMetrics": true },
        });
        let objects = helm.rendered_for(&values, &[]);
        let mut expected: Vec<u64> = driver_and_sidecars.into_iter().chain(more).collect();
        expected.sort_unstable();
        let of = |kind: &str, name: &str| scraped(named(&objects, kind, name).unwrap());
        assert_eq!(of("Deployment", CONTROLLER), expected, "{mode}");
        assert_eq!(of("Deployment", "snapshot-controller"), [8080]);
        assert_eq!(of("DaemonSet", NODE), [3302]);
    }
    // Ports that the user has moved.
    let moved = helm.rendered_for(&everything("dropin"), &[]);
    let moved = scraped(named(&moved, "Deployment", CONTROLLER).unwrap());
    assert!(moved.contains(&4402) && !moved.contains(&3302), "{moved:?}");
}

/// Who scrapes by annotations finds the snapshot-controller, which has no Service.
#[test]
fn the_snapshot_controller_names_its_port_in_annotations() {
    let path = repository().join("deploy/snapshot-controller/deployment.yaml");
    let deployment = documents(&std::fs::read_to_string(path).unwrap()).remove(0);
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/scrape"], "true");
    let port = annotations["prometheus.io/port"].as_str().unwrap();
    assert_eq!(scraped(&deployment), [port.parse::<u64>().unwrap()]);
}
