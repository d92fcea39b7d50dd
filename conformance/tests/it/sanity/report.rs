//! What the suite says of a driver, and what of it is known.

use std::path::Path;

use serde::Deserialize;

use crate::corpus::listed::matches;

/// A report of Ginkgo.
#[derive(Deserialize)]
struct Report {
    #[serde(rename = "SpecReports")]
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Case {
    #[serde(default)]
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    state: String,
    #[serde(default)]
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    #[serde(default)]
    message: String,
}

impl Case {
    fn name(&self) -> String {
        let mut parts = self.container_hierarchy_texts.clone().unwrap_or_default();
        parts.push(self.leaf_node_text.clone());
        parts.join(" ")
    }

    pub fn passed(&self) -> bool {
        self.state == "passed"
    }
}

/// The cases of a report that were to be run.
pub fn read(path: &Path, log: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("no report ({error}):\n{log}"));
    let reports: Vec<Report> = serde_json::from_str(&text).unwrap();
    let cases = reports.into_iter().flat_map(|report| report.cases);
    cases.filter(|case| case.leaf_node_type == "It").collect()
}

/// Every case passes or is listed below the heading, no listed one passes, and so many pass at least.
pub fn judge(cases: &[Case], heading: &str, least: usize) {
    let listed = listed(heading);
    let is_listed = |case: &Case| listed.iter().any(|pattern| matches(pattern, &case.name()));
    let unlisted: Vec<String> = cases
        .iter()
        .filter(|case| !case.passed() && !is_listed(case))
        .map(|case| {
            let why = case
                .failure
                .as_ref()
                .map_or("", |failure| failure.message.as_str());
            format!("{} {}: {why}", case.name(), case.state)
        })
        .collect();
    assert!(unlisted.is_empty(), "not passed, and not listed: {unlisted:#?}");
    for pattern in &listed {
        let mut fitting = cases
            .iter()
            .filter(|case| matches(pattern, &case.name()))
            .peekable();
        assert!(fitting.peek().is_some(), "no case is named {pattern}");
        let passing = fitting.find(|case| case.passed());
        assert!(passing.is_none(), "listed, but passed: {pattern}");
    }
    let passed = cases.iter().filter(|case| case.passed()).count();
    assert!(passed >= least, "only {passed} of {} cases passed", cases.len());
}

/// Patterns of the cases that are known not to pass: lines `NAME: reason`, `*` for anything.
fn listed(heading: &str) -> Vec<String> {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deviations.md"));
    let (_, section) = page.split_once(heading).expect("the page has the section");
    let block = section.split("```").nth(1).expect("the section has a block");
    let lines = block.lines().skip(1).filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_once(": ").expect("a name and a reason").0.to_owned())
        .collect()
}
