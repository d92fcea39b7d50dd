//! What `promtool` says of the rules and of what is served.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::LAYER;
use crate::shared::{not_run, repository};

/// Upstream's names, which `promtool` would have otherwise.
const UPSTREAMS: [&str; 3] = [
    "aws_ebs_csi_ec2_detach_pending_seconds_total",
    "snapshot_controller_operation_total_seconds",
    "leader_election_slowpath_total",
];

/// `promtool`, which comes with Prometheus.
fn promtool() -> Option<PathBuf> {
    match conformance::prometheus() {
        Ok(prometheus) => Some(prometheus.with_file_name("promtool")),
        Err(error) => {
            not_run(LAYER, &error);
            None
        }
    }
}

fn text(output: &Output) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&said).into_owned()
}

/// Finds nothing in what the functions serve but the names of upstream's.
pub fn takes(expositions: &[(String, String)]) {
    let promtool = promtool().unwrap();
    let mut wrong = Vec::new();
    for (function, exposition) in expositions {
        let mut child = Command::new(&promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(exposition.as_bytes())
            .unwrap();
        let said = text(&child.wait_with_output().unwrap());
        let ours = |line: &&str| !UPSTREAMS.iter().any(|name| line.starts_with(name));
        wrong.extend(
            said.lines()
                .filter(ours)
                .map(|line| format!("{function}: {line}")),
        );
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn journeys_case_97_to_99_the_rules_are_tried_up_to_their_bounds() {
    let Some(promtool) = promtool() else {
        return;
    };
    let tried = Command::new(promtool)
        .current_dir(repository().join("dashboards"))
        .args(["test", "rules", "alerts_test.yaml"])
        .output()
        .unwrap();
    assert!(tried.status.success(), "{}", text(&tried));
    let cases = std::fs::read_to_string(repository().join("dashboards/alerts_test.yaml")).unwrap();
    for case in [97, 98, 99] {
        assert!(cases.contains(&format!("- name: \"{case}: ")), "{case}");
    }
}
