//! The driver of EBS on the sandbox's EC2, its node service on a machine in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use conformance::{Ec2Process, Error, Keeper, Suite, until};
use csi::Address;
use ebs_driver::node::InstanceInfo;
use ebs_driver::{NodeConfig, NodeService};
use node::testing::Machine;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::report::{Case, judge};
use super::{LAYER, Subject, run, suite, tell};
use crate::shared::{self, PATIENCE};

/// Where it is said which cases are not passed, and why.
const HEADING: &str = "## Cases of csi-sanity that are not passed";
/// How many cases pass at least.
const PASSED: usize = 82;
const ZONE: &str = "us-east-1a";
const INSTANCE_TYPE: &str = "m5.large";

#[tokio::test(flavor = "multi_thread")]
async fn sanity_the_driver_passes_the_suite_of_csi() {
    let begun = std::time::Instant::now();
    let Some(program) = suite() else {
        return;
    };
    let driver = match conformance::slackwater() {
        Ok(driver) => driver,
        Err(error) => return shared::not_run(LAYER, &error),
    };
    let folder = tempfile::tempdir().unwrap();
    let cases = play(&program, &driver, folder.path()).await.unwrap();
    judge(&cases, HEADING, PASSED);
    tell("EBS", &cases, begun);
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
    let subject = Subject {
        controller: &suite.socket(),
        node: &node,
        mutable_parameters: "iops: \"4000\"\n",
        flags: &[],
    };
    let cases = run(program, suite.folder(), &subject).await;
    stopping.cancel();
    let _ = serving.await;
    Ok(cases)
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
    let machine = Arc::new(Machine::with_device_size(20 << 30));
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
