//! Amazon's SDK for Python, which knows the Query protocol from Amazon's own model of EC2, on the sandbox.

use std::path::Path;
use std::process::Stdio;

use base::{Clock, Random, Scope};
use sandbox::ec2::{Ec2, Ec2Options, Fault, When};
use serde_json::json;
use tokio::net::TcpListener;

/// What `sdk.py` plays.
const PARTS: &str = "11 parts passed";

/// Has the SDK do everything that the driver does.
pub async fn play(python: &Path) {
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let ec2 = Ec2::new(clock, Random::seeded(7), Ec2Options::instant());
    let scope = Scope::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = ec2.serve(listener, &scope).unwrap();
    // No other part of the script asks for this one.
    let failing = "DescribeLaunchTemplates";
    let failures = [
        Fault::error("RequestLimitExceeded"),
        Fault::error("InternalError"),
        Fault::Body("no XML".to_owned()),
        Fault::Disconnect,
    ];
    for (fault, number) in failures.into_iter().zip(1..) {
        ec2.inject(failing, When::Nth(number), fault);
    }
    let given = json!({
        "url": url,
        "volume": ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap(),
        "node": ec2.create_cluster_node_fixture("abcde3ghij4l", "us-east-1a", "m5.large").unwrap(),
        "instance": ec2.create_instance_fixture("us-east-1a", "m5.large", &[("a", "b")]).unwrap(),
        "foreign": ec2.create_foreign_snapshot_fixture(1, true),
        "failing": "describe_launch_templates",
    });
    let output = tokio::process::Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/moto/sdk.py"))
        .arg(given.to_string())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let (said, failed) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{said}{failed}");
    assert!(said.contains(PARTS), "{said}");
}
