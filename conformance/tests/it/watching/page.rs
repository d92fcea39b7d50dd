//! `docs/metrics.md` is what the functions serve.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::shared::repository;

/// Set this variable to any value to write the page anew.
const UPDATE: &str = "UPDATE_METRICS";

const HEAD: &str = "\
# Metrics

Made from what a running suite serves, by `UPDATE_METRICS=1` and the conformance layer `watching`, which fails while the page
differs from it. Names, labels and buckets are upstream's where upstream has the metric; ours begin with `slackwater_`. No
label is the name of an object, but for volumes that are detached for long. [`dashboards/`](../dashboards) shows them in
Grafana, [`dashboards/alerts.yaml`](../dashboards/alerts.yaml) watches them.

Each function serves its metrics at its own address (`--http-endpoint`), in `slackwater controller` too; what is of the
whole process stands at the driver's there.

| Metric | Kind | Labels | Served by | What it is |
|---|---|---|---|---|
";

/// A metric as it is served.
#[derive(Default)]
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    functions: BTreeSet<String>,
}

/// Reads expositions, by function.
pub fn page(expositions: &[(String, String)]) -> String {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for (function, text) in expositions {
        let mut current = String::new();
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                name.clone_into(&mut current);
                help.clone_into(&mut metrics.entry(current.clone()).or_default().help);
            } else if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            {
                name.clone_into(&mut current);
                kind.clone_into(&mut metrics.entry(current.clone()).or_default().kind);
            } else if !line.is_empty() {
                let metric = metrics.entry(current.clone()).or_default();
                metric.functions.insert(function.clone());
                metric.labels.extend(labels(line));
            }
        }
    }
    let mut page = HEAD.to_owned();
    for (name, metric) in metrics {
        let joined = |words: &BTreeSet<String>, around: &str| {
            let words: Vec<String> = words
                .iter()
                .map(|word| format!("{around}{word}{around}"))
                .collect();
            words.join(", ")
        };
        let (kind, help) = (metric.kind, metric.help.replace('|', "\\|"));
        let (labels, functions) = (joined(&metric.labels, "`"), joined(&metric.functions, ""));
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {functions} | {help} |");
    }
    page
}

/// The names of a series' labels, without the bounds of buckets.
fn labels(series: &str) -> Vec<String> {
    let Some((_, rest)) = series.split_once('{') else {
        return Vec::new();
    };
    let mut names = Vec::new();
    let mut rest = rest;
    while let Some((name, after)) = rest.split_once("=\"") {
        names.push(name.trim_start_matches(',').to_owned());
        // The end of the value: a quote that is not escaped.
        let mut escaped = false;
        let end = after.find(|letter| {
            let ends = letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        });
        rest = &after[end.unwrap_or(after.len() - 1) + 1..];
        if rest.starts_with('}') {
            break;
        }
    }
    names.retain(|name| name != "le" && name != "quantile");
    names
}

/// The page is up to date.
pub fn is_current(expositions: &[(String, String)]) {
    let path = repository().join("docs/metrics.md");
    let made = page(expositions);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, made).unwrap();
        return;
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == made,
        "docs/metrics.md is not what the functions serve; run this test with {UPDATE}=1. It should be:\n{made}"
    );
}

#[test]
fn labels_are_read_whatever_their_values_are() {
    let series = r#"a_bucket{driver_name="x}\"y",le="0.1",code="a=\"b\""} 3"#;
    assert_eq!(labels(series), ["driver_name", "code"]);
    assert!(labels("a 3").is_empty());
}
