//! gRPC's C core, which names the socket's path as `:authority`, before our server (ebs case 136).

use std::path::Path;
use std::process::Stdio;

use base::{Clock, Random, Scope};
use csi::{Address, Listener};
use ebs_driver::{Config, Driver, Ec2Transport};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

/// The calls of `c_core.py`.
const CALLS: usize = 8;

/// Has the C core ask a driver for its name.
pub async fn play(python: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("csi.sock");
    let (config, scope, registry) = (Config::default(), Scope::new(), Registry::new());
    let (clock, random) = (Clock::system(), Random::seeded(1));
    let driver = Driver::new(config, Ec2Transport::Network, clock, random, &scope, &registry).unwrap();
    let listener = Listener::bind(&Address::Unix(socket.clone())).await.unwrap();
    let stopping = CancellationToken::new();
    let serving = tokio::spawn(listener.serve(driver.routes(), stopping.clone()));
    let output = tokio::process::Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/moto/c_core.py"))
        .arg(&socket)
        .arg("/csi.v1.Identity/GetPluginInfo")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    stopping.cancel();
    serving.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}{failed}");
    let answers: Vec<usize> = said.lines().map(|line| line.parse().unwrap()).collect();
    assert!(
        answers.len() == CALLS && answers.iter().all(|size| *size > 0),
        "{said}"
    );
}
