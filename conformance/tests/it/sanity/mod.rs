//! Layer 3: csi-sanity, the suite of the CSI authors, before our drivers: that of EBS on the sandbox's EC2, and the one over
//! files, which has all parts of CSI.

mod ebs;
mod files;
mod report;

use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::Programs;

use crate::shared;
use report::Case;

const LAYER: &str = "3 csi-sanity";
const GIB: u64 = 1 << 30;

/// Where a driver listens, and what the suite is told of it.
struct Subject<'a> {
    /// Of the controller's services.
    controller: &'a Path,
    /// Of the node's.
    node: &'a Path,
    /// What volumes are changed to, as YAML.
    mutable_parameters: &'a str,
    /// Flags besides.
    flags: &'a [&'a str],
}

/// The suite; none, and a line that says so, where it was not built.
fn suite() -> Option<PathBuf> {
    let program = match Programs::find() {
        Ok(programs) => programs.path("csi-sanity"),
        Err(error) => {
            shared::not_run(LAYER, &error);
            return None;
        }
    };
    if !program.is_file() {
        shared::not_run(LAYER, &format!("{} is not there", program.display()));
        return None;
    }
    Some(program)
}

/// Runs the suite with its files in `folder`; its cases. It ends with 1 where a case fails; the report says which.
async fn run(program: &Path, folder: &Path, subject: &Subject<'_>) -> Vec<Case> {
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(path("mutable.yaml"), subject.mutable_parameters).unwrap();
    let mut command = Command::new(program);
    command.args([
        "--ginkgo.no-color".to_owned(),
        "--ginkgo.seed=6".to_owned(),
        format!("--ginkgo.json-report={}", path("report.json")),
        format!("--csi.controllerendpoint=unix://{}", subject.controller.display()),
        format!("--csi.endpoint=unix://{}", subject.node.display()),
        format!("--csi.mountdir={}", path("target")),
        format!("--csi.stagingdir={}", path("staging")),
        format!("--csi.testvolumesize={}", 10 * GIB),
        format!("--csi.testvolumemutableparameters={}", path("mutable.yaml")),
        format!("--csi.testvolumeexpandsize={}", 20 * GIB),
    ]);
    command.args(subject.flags);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    report::read(Path::new(&path("report.json")), &log)
}

/// Says how many cases have passed.
fn tell(driver: &str, cases: &[Case], begun: std::time::Instant) {
    let passed = cases.iter().filter(|case| case.passed()).count();
    let seconds = begun.elapsed().as_secs_f64();
    shared::say(&format!(
        "layer {LAYER}, {driver}: {passed} of {} cases passed in {seconds:.1} s",
        cases.len()
    ));
}
