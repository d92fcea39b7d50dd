//! Columns and cells of workloads and services.

use serde_json::{Value, json};

use super::builtin::joined;
use super::{Column, Row, boolean, integer, text, wide};

/// The containers of most workloads.
const TEMPLATE: &str = "/spec/template/spec/containers";

pub(super) const DEPLOYMENT: &[Column] = &[
    text("Name"),
    text("Ready"),
    text("Up-to-date"),
    text("Available"),
    text("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];
pub(super) const REPLICA_SET: &[Column] = &[
    text("Name"),
    integer("Desired"),
    integer("Current"),
    integer("Ready"),
    text("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];
pub(super) const STATEFUL_SET: &[Column] = &[
    text("Name"),
    text("Ready"),
    text("Age"),
    wide("Containers"),
    wide("Images"),
];
pub(super) const DAEMON_SET: &[Column] = &[
    text("Name"),
    integer("Desired"),
    integer("Current"),
    integer("Ready"),
    integer("Up-to-date"),
    integer("Available"),
    text("Node Selector"),
    text("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];
pub(super) const CRON_JOB: &[Column] = &[
    text("Name"),
    text("Schedule"),
    text("Timezone"),
    boolean("Suspend"),
    integer("Active"),
    text("Last Schedule"),
    text("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];
pub(super) const SERVICE: &[Column] = &[
    text("Name"),
    text("Type"),
    text("Cluster-IP"),
    text("External-IP"),
    text("Port(s)"),
    text("Age"),
    wide("Selector"),
];

pub(super) fn deployment(row: &Row<'_>) -> Vec<Value> {
    let mut cells = vec![
        row.name(),
        json!(ready(row)),
        json!(row.number("/status/updatedReplicas")),
        json!(row.number("/status/availableReplicas")),
        row.age(),
    ];
    cells.extend(containers(row, TEMPLATE));
    cells.push(json!(selector(row.find("/spec/selector"))));
    cells
}

pub(super) fn replica_set(row: &Row<'_>) -> Vec<Value> {
    let mut cells = vec![
        row.name(),
        json!(row.number("/spec/replicas")),
        json!(row.number("/status/replicas")),
        json!(row.number("/status/readyReplicas")),
        row.age(),
    ];
    cells.extend(containers(row, TEMPLATE));
    cells.push(json!(selector(row.find("/spec/selector"))));
    cells
}

pub(super) fn stateful_set(row: &Row<'_>) -> Vec<Value> {
    let mut cells = vec![row.name(), json!(ready(row)), row.age()];
    cells.extend(containers(row, TEMPLATE));
    cells
}

pub(super) fn daemon_set(row: &Row<'_>) -> Vec<Value> {
    let mut cells = vec![row.name()];
    let counts = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ];
    cells.extend(
        counts
            .iter()
            .map(|field| json!(row.number(&format!("/status/{field}")))),
    );
    let nodes = row.find("/spec/template/spec/nodeSelector");
    cells.extend([json!(joined_pairs(nodes)), row.age()]);
    cells.extend(containers(row, TEMPLATE));
    cells.push(json!(selector(row.find("/spec/selector"))));
    cells
}

pub(super) fn cron_job(row: &Row<'_>) -> Vec<Value> {
    let suspended = match row.find("/spec/suspend").and_then(Value::as_bool) {
        None => "<unset>",
        Some(true) => "True",
        Some(false) => "False",
    };
    let last = match row.text("/status/lastScheduleTime") {
        "" => json!("<none>"),
        _ => json!(row.since("/status/lastScheduleTime")),
    };
    let mut cells = vec![
        row.name(),
        json!(row.text("/spec/schedule")),
        json!(row.text_or("/spec/timeZone", "<none>")),
        json!(suspended),
        json!(row.items("/status/active").count()),
        last,
        row.age(),
    ];
    cells.extend(containers(row, "/spec/jobTemplate/spec/template/spec/containers"));
    cells.push(json!(selector(row.find("/spec/jobTemplate/spec/selector"))));
    cells
}

pub(super) fn service(row: &Row<'_>) -> Vec<Value> {
    let ports: Vec<String> = row.items("/spec/ports").map(port).collect();
    let cluster = row
        .items("/spec/clusterIPs")
        .find_map(Value::as_str)
        .or_else(|| row.find("/spec/clusterIP").and_then(Value::as_str));
    vec![
        row.name(),
        json!(row.text_or("/spec/type", "ClusterIP")),
        json!(cluster.unwrap_or("<none>")),
        json!(external_address(row)),
        json!(joined(ports.iter().map(String::as_str), "<none>")),
        row.age(),
        json!(joined_pairs(row.find("/spec/selector"))),
    ]
}

fn port(port: &Value) -> String {
    let number = |field: &str| port[field].as_i64().unwrap_or(0);
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    match number("nodePort") {
        0 => format!("{}/{protocol}", number("port")),
        node => format!("{}:{node}/{protocol}", number("port")),
    }
}

fn external_address(row: &Row<'_>) -> String {
    let given = row.items("/spec/externalIPs").filter_map(Value::as_str);
    match row.text_or("/spec/type", "ClusterIP") {
        "LoadBalancer" => {
            let balanced = row.items("/status/loadBalancer/ingress");
            let balanced =
                balanced.filter_map(|ingress| ingress["ip"].as_str().or(ingress["hostname"].as_str()));
            joined(balanced.chain(given), "<pending>")
        }
        "ExternalName" => row.text("/spec/externalName").to_owned(),
        _ => joined(given, "<none>"),
    }
}

fn ready(row: &Row<'_>) -> String {
    let wanted = row.number("/spec/replicas");
    format!("{}/{wanted}", row.number("/status/readyReplicas"))
}

/// Names and images of the containers at a pointer.
fn containers(row: &Row<'_>, pointer: &str) -> [Value; 2] {
    ["name", "image"].map(|field| {
        let containers = row.items(pointer);
        json!(joined(
            containers.filter_map(|container| container[field].as_str()),
            ""
        ))
    })
}

fn pairs(map: Option<&Value>) -> Vec<String> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    let mut pairs: Vec<String> = entries
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort();
    pairs
}

fn joined_pairs(map: Option<&Value>) -> String {
    joined(pairs(map).iter().map(String::as_str), "<none>")
}

/// A label selector in the notation of `kubectl -l`.
fn selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector else {
        return "<none>".to_owned();
    };
    let mut parts = pairs(selector.get("matchLabels"));
    let expressions = selector["matchExpressions"].as_array();
    for expression in expressions.into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values = expression["values"].as_array().into_iter().flatten();
        let values = joined(values.filter_map(Value::as_str), "");
        parts.push(match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    joined(parts.iter().map(String::as_str), "<none>")
}
