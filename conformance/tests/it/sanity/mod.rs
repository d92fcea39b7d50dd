//! Layer 3: csi-sanity, the suite of the CSI authors, before the driver on the sandbox's EC2.

mod machine;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use conformance::{Ec2Process, Error, Keeper, Programs, Suite, until};
use csi::Address;
use ebs_driver::node::InstanceInfo;
use ebs_driver::{NodeConfig, NodeService};
use prometheus::Registry;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::corpus::listed::matches;
use crate::shared::{self, PATIENCE};
use machine::Machine;

const LAYER: &str = "3 csi-sanity";
/// Where it is said which cases are not passed, and why: lines `NAME: reason`, `*` for anything.
const HEADING: &str = "## Cases of csi-sanity that are not passed";
/// How many cases pass at least.
const PASSED: usize = 82;
/// What volumes are changed to.
const MUTABLE_PARAMETERS: &str = "iops: \"4000\"\n";
const ZONE: &str = "us-east-1a";
const INSTANCE_TYPE: &str = "m5.large";
const GIB: u64 = 1 << 30;

/// A report of Ginkgo.
#[derive(Deserialize)]
struct Report {
    #[serde(rename = "SpecReports")]
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Case {
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

    fn passed(&self) -> bool {
        self.state == "passed"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sanity_the_driver_passes_the_suite_of_csi() {
    let begun = std::time::Instant::now();
    let (programs, driver) = match Programs::find().and_then(|found| Ok((found, conformance::slackwater()?)))
    {
        Ok(found) => found,
        Err(error) => return shared::not_run(LAYER, &error),
    };
    let program = programs.path("csi-sanity");
    if !program.is_file() {
        return shared::not_run(LAYER, &format!("{} is not there", program.display()));
    }
    let folder = tempfile::tempdir().unwrap();
    let cases = play(&program, &driver, folder.path()).await.unwrap();
    judge(&cases);
    let passed = cases.iter().filter(|case| case.passed()).count();
    let seconds = begun.elapsed().as_secs_f64();
    shared::say(&format!(
        "layer {LAYER}: {passed} of {} cases passed in {seconds:.1} s",
        cases.len()
    ));
}

/// Runs the suite; its cases.
async fn play(program: &Path, driver: &Path, folder: &Path) -> Result<Vec<Case>, Error> {
    let keeper = Keeper::start(None)?;
    let ec2 = Ec2Process::start(&keeper, folder, true)?;
    let suite = Suite::new(&keeper, folder, "sanity", &ec2)?;
    let mut controller = suite.start(&suite.driver(driver))?;
    until("the driver listens", PATIENCE, async || {
        suite
            .socket()
            .exists()
            .then_some(())
            .or_else(|| controller.ended().map(drop))
    })
    .await?;
    controller.check()?;
    let node = suite.folder().join("node.sock");
    let stopping = CancellationToken::new();
    let instance = ec2.instance(ZONE, INSTANCE_TYPE)?;
    let serving = tokio::spawn(serve_node(instance, node.clone(), stopping.clone()));
    until("the node listens", PATIENCE, async || node.exists().then_some(())).await?;
    let report = suite.folder().join("report.json");
    let log = run(program, &suite, &node, &report).await;
    stopping.cancel();
    let _ = serving.await;
    let text = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("no report ({error}):\n{log}"));
    let reports: Vec<Report> = serde_json::from_str(&text).unwrap();
    let cases = reports.into_iter().flat_map(|report| report.cases);
    Ok(cases.filter(|case| case.leaf_node_type == "It").collect())
}

/// The node service in this process, on a machine in memory: the suite asks it which node volumes are published to.
async fn serve_node(instance_id: String, socket: PathBuf, stopping: CancellationToken) {
    let instance = InstanceInfo {
        instance_id,
        instance_type: INSTANCE_TYPE.to_owned(),
        region: "us-east-1".to_owned(),
        zone: ZONE.to_owned(),
        interfaces: 1,
        ..InstanceInfo::default()
    };
    let machine = Arc::new(Machine::default());
    let service = NodeService::new(
        NodeConfig::default(),
        machine,
        Arc::new(instance),
        &Registry::new(),
    )
    .unwrap();
    let address = Address::Unix(socket);
    csi::serve(&address, service.routes(), stopping).await.unwrap();
}

/// Its output. It ends with 1 where a case fails; the report says which.
async fn run(program: &Path, suite: &Suite, node: &Path, report: &Path) -> String {
    let path = |name: &str| suite.folder().join(name).display().to_string();
    std::fs::write(path("mutable.yaml"), MUTABLE_PARAMETERS).unwrap();
    let mut command = Command::new(program);
    command.args([
        "--ginkgo.no-color".to_owned(),
        "--ginkgo.seed=6".to_owned(),
        format!("--ginkgo.json-report={}", report.display()),
        format!("--csi.controllerendpoint=unix://{}", suite.socket().display()),
        format!("--csi.endpoint=unix://{}", node.display()),
        format!("--csi.mountdir={}", path("target")),
        format!("--csi.stagingdir={}", path("staging")),
        format!("--csi.testvolumesize={}", 10 * GIB),
        format!("--csi.testvolumemutableparameters={}", path("mutable.yaml")),
        format!("--csi.testvolumeexpandsize={}", 20 * GIB),
    ]);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every case passes or is listed, and no listed one passes.
fn judge(cases: &[Case]) {
    let listed = listed();
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
    assert!(passed >= PASSED, "only {passed} of {} cases passed", cases.len());
}

/// Patterns of the cases that are known not to pass.
fn listed() -> Vec<String> {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deviations.md"));
    let (_, section) = page.split_once(HEADING).expect("the page has the section");
    let block = section.split("```").nth(1).expect("the section has a block");
    let lines = block.lines().skip(1).filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_once(": ").expect("a name and a reason").0.to_owned())
        .collect()
}
