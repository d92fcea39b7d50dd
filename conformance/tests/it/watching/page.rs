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
Grafana ([the suite](dashboard-suite.png), [EBS and the limits of AWS](dashboard-ebs.png)),
[`dashboards/alerts.yaml`](../dashboards/alerts.yaml) watches them.

Each function serves its metrics at its own address (`--http-endpoint`), in `slackwater controller` too; what is of the
whole process stands at the driver's there.

| Metric | Kind | Labels | Served by | What it is |
|---|---|---|---|---|
";

/// Metrics that a run may lack, or have of some of the functions alone: their rows are written by hand.
const SELDOM: [&str; 2] = ["slackwater_failures_total", "slackwater_informer_relists_total"];

/// A metric as it is served.
#[derive(Default)]
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    functions: BTreeSet<String>,
}

/// The rows of the page by metric, from expositions by function.
fn rows(expositions: &[(String, String)]) -> BTreeMap<String, String> {
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
    let row = |(name, metric): (String, Metric)| {
        let joined = |words: &BTreeSet<String>, around: &str| {
            let words: Vec<String> = words
                .iter()
                .map(|word| format!("{around}{word}{around}"))
                .collect();
            words.join(", ")
        };
        let (kind, help) = (metric.kind, metric.help.replace('|', "\\|"));
        let (labels, functions) = (joined(&metric.labels, "`"), joined(&metric.functions, ""));
        let row = format!("| `{name}` | {kind} | {labels} | {functions} | {help} |");
        (name, row)
    };
    metrics.into_iter().map(row).collect()
}

/// The rows of the page as it is written, by metric.
fn written(page: &str) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let name = line.strip_prefix("| `")?.split('`').next()?;
        Some((name.to_owned(), line.to_owned()))
    };
    page.lines().filter_map(row).collect()
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
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    let (mut served, written) = (rows(expositions), written(&page));
    for name in SELDOM {
        if let Some(row) = written.get(name) {
            served.insert(name.to_owned(), row.clone());
        }
    }
    if std::env::var_os(UPDATE).is_some() {
        let mut page = HEAD.to_owned();
        for row in served.values() {
            let _ = writeln!(page, "{row}");
        }
        std::fs::write(path, page).unwrap();
        return;
    }
    let differs = |name: &&String| served.get(*name) != written.get(*name);
    let names: BTreeSet<&String> = served.keys().chain(written.keys()).collect();
    let wrong: Vec<_> = names
        .into_iter()
        .filter(differs)
        .map(|name| (served.get(name), written.get(name)))
        .collect();
    assert!(
        wrong.is_empty(),
        "docs/metrics.md is not what the functions serve (served, written); run this test with {UPDATE}=1: {wrong:#?}"
    );
}

#[test]
fn labels_are_read_whatever_their_values_are() {
    let series = r#"a_bucket{driver_name="x}\"y",le="0.1",code="a=\"b\""} 3"#;
    assert_eq!(labels(series), ["driver_name", "code"]);
    assert!(labels("a 3").is_empty());
}
