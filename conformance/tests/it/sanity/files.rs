//! The driver over files, with all its capabilities, on a machine whose mounts are in memory.

use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use csi::Address;
use csi::server::Listener;
use file_driver::driver::Machine as DriverMachine;
use file_driver::{Capabilities, Config, Driver, NAME};
use node::testing::Machine;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::report::judge;
use super::{Subject, run, suite, tell};

/// Where it is said which cases are not passed, and why.
const HEADING: &str = "## Cases of csi-sanity that the driver over files does not pass";
/// How many cases pass at least.
const PASSED: usize = 105;

#[tokio::test(flavor = "multi_thread")]
async fn sanity_the_driver_over_files_passes_the_suite_of_csi_with_groups() {
    let begun = std::time::Instant::now();
    let Some(program) = suite() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let config = Config {
        name: NAME.to_owned(),
        node_id: "node".to_owned(),
        capacity_bytes: 1 << 40,
        max_volumes: 3,
        capabilities: Capabilities::all(),
        ready_after: Duration::ZERO,
    };
    let machine = Arc::new(Machine::default());
    let driver = Driver::new(
        config,
        &folder.join("data"),
        DriverMachine {
            host: machine.clone(),
            loops: machine.clone(),
        },
        Clock::system(),
        &Registry::new(),
    )
    .unwrap();
    let socket = folder.join("csi.sock");
    let listener = Listener::bind(&Address::Unix(socket.clone())).await.unwrap();
    let stopping = CancellationToken::new();
    let serving = tokio::spawn(listener.serve(driver.routes(), stopping.clone()));
    let subject = Subject {
        controller: &socket,
        node: &socket,
        mutable_parameters: "comment: \"nightly\"\n",
        flags: &["--csi.testnodevolumeattachlimit=true"],
    };
    let cases = run(&program, &folder, &subject).await;
    stopping.cancel();
    serving.await.unwrap().unwrap();
    judge(&cases, HEADING, PASSED);
    tell("files", &cases, begun);
    for kind in ["volumes", "snapshots", "groups", "scratch"] {
        let left = std::fs::read_dir(folder.join("data").join(kind)).unwrap().count();
        assert_eq!(left, 0, "the suite removes what it makes: {kind}");
    }
    assert!(machine.loops().is_empty(), "no device stays attached");
}
