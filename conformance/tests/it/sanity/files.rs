//! The driver over files, with all its capabilities: on a machine whose mounts are in memory, and, for root, as a process on
//! this machine, with volumes as file systems and as block devices.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use conformance::{Keeper, Launch, Process, until};
use csi::Address;
use csi::server::Listener;
use file_driver::driver::Machine as DriverMachine;
use file_driver::{Capabilities, Config, Driver, NAME};
use node::testing::Machine;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::report::judge;
use super::{LAYER, Subject, run, suite, tell};
use crate::shared::{self, PATIENCE};

/// Where it is said which cases are not passed, and why.
const HEADING: &str = "## Cases of csi-sanity that the driver over files does not pass";
/// How many cases pass at least.
const PASSED: usize = 101;

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
    nothing_is_left(&folder.join("data"));
    assert!(machine.loops().is_empty(), "no device stays attached");
}

/// The suite removes what it makes.
fn nothing_is_left(data: &Path) {
    for kind in ["volumes", "snapshots", "groups", "scratch"] {
        let left = std::fs::read_dir(data.join(kind)).unwrap().count();
        assert_eq!(left, 0, "{kind}");
    }
}

/// Whether there are loop devices for us.
fn has_loop_devices(folder: &Path) -> bool {
    let file = folder.join("image");
    std::fs::write(&file, [0; 4096]).unwrap();
    let losetup = |arguments: &[&str]| {
        let output = Command::new("losetup").args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let device = losetup(&["--find", "--show", &file.display().to_string()]);
    device.is_some_and(|device| losetup(&["--detach", &device]).is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn sanity_the_driver_over_files_passes_the_suite_on_this_machine() {
    let begun = std::time::Instant::now();
    let Some(program) = suite() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    if !has_loop_devices(&folder) {
        return shared::not_run_without_root(LAYER, "needs root, for loop devices");
    }
    let slackwater = match conformance::slackwater() {
        Ok(slackwater) => slackwater,
        Err(error) => return shared::not_run(LAYER, &error),
    };
    let keeper = Keeper::start(None).unwrap();
    let (socket, data) = (folder.join("csi.sock"), folder.join("data"));
    let launch = Launch::new("file-csi-driver", &slackwater).args([
        "file-csi-driver".to_owned(),
        format!("--endpoint=unix://{}", socket.display()),
        format!("--data-dir={}", data.display()),
        "--node-id=node".to_owned(),
        "--max-volumes-per-node=3".to_owned(),
    ]);
    let mut driver = Process::start(&keeper, &folder, &launch).unwrap();
    until("the driver listens", PATIENCE, async || {
        let ended = driver.ended().map(drop);
        socket.exists().then_some(()).or(ended)
    })
    .await
    .unwrap();
    driver.check().unwrap();
    for access in ["mount", "block"] {
        let files = folder.join(access);
        std::fs::create_dir(&files).unwrap();
        let flags = [
            "--csi.testnodevolumeattachlimit=true".to_owned(),
            format!("--csi.testvolumeaccesstype={access}"),
        ];
        let subject = Subject {
            controller: &socket,
            node: &socket,
            mutable_parameters: "comment: \"nightly\"\n",
            flags: &flags.each_ref().map(String::as_str),
        };
        let cases = run(&program, &files, &subject).await;
        judge(&cases, HEADING, PASSED);
        tell(&format!("files, {access}"), &cases, begun);
        nothing_is_left(&data);
    }
    let ended = driver.terminate(PATIENCE).await.unwrap();
    assert!(ended.success(), "{}", driver.log_tail());
}
