//! The driver as it runs in a cluster: SDK over HTTP, credentials from the environment. The environment belongs
//! to the whole process, so the driver runs in a process of its own.

use std::process::Stdio;
use std::time::Duration;

use base::{Clock, Random, Scope};
use csi::Channel;
use csi::v1::DeleteSnapshotRequest;
use ebs_driver::{Config, Driver, Ec2Transport};
use prometheus::Registry;
use sandbox::ec2::{Ec2, Ec2Options};
use tokio::net::TcpListener;
use tonic::Code;

use crate::world::snapshot;

const ENDPOINT: &str = "EBS_DRIVER_TEST_ENDPOINT";
const VOLUME: &str = "EBS_DRIVER_TEST_VOLUME";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_reaches_ec2_over_http() {
    let ec2 = Ec2::new(Clock::system(), Random::seeded(7), Ec2Options::instant());
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let scope = Scope::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = ec2.serve(listener, &scope).unwrap();
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "network::in_a_process_of_its_own",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(ENDPOINT, endpoint)
        .env(VOLUME, volume)
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "example")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), child)
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(ec2.count("CreateSnapshot"), 1);
    assert_eq!(ec2.state().snapshots.len(), 1);
}

fn channel(endpoint: &str, registry: &Registry, scope: &Scope) -> Channel {
    let mut config = Config {
        consistency_delay: Duration::from_millis(100),
        ..Config::default()
    };
    config.ec2.url = Some(endpoint.to_owned());
    config.ec2.region = Some("us-east-1".to_owned());
    let (clock, random) = (Clock::system(), Random::seeded(1));
    let driver = Driver::new(config, Ec2Transport::Sdk, clock, random, scope, registry).unwrap();
    Channel::in_process(driver.routes())
}

#[tokio::test]
#[ignore = "the other half of the_driver_reaches_ec2_over_http, which runs it"]
async fn in_a_process_of_its_own() {
    let (endpoint, volume) = (std::env::var(ENDPOINT).unwrap(), std::env::var(VOLUME).unwrap());
    let scope = Scope::new();
    let channel_to_ec2 = channel(&endpoint, &Registry::new(), &scope);
    let request = snapshot("snapshot-1", &volume, &[]);
    let answer = channel_to_ec2
        .controller()
        .create_snapshot(request)
        .await
        .unwrap();
    assert!(answer.into_inner().snapshot.unwrap().ready_to_use);

    // Nothing listens at the discard port: one clear error within the caller's time.
    let registry = Registry::new();
    let to_nowhere = channel("http://127.0.0.1:9", &registry, &scope);
    let request = DeleteSnapshotRequest {
        snapshot_id: "snap-0123456789abcdef0".into(),
        ..DeleteSnapshotRequest::default()
    };
    let request = csi::channel::request(request, Duration::from_secs(3));
    let error = to_nowhere
        .controller()
        .delete_snapshot(request)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert!(error.message().contains("no connection to EC2"), "{error}");
    let families = registry.gather();
    let lost = families
        .iter()
        .find(|family| family.name() == "slackwater_ec2_errors_total")
        .unwrap();
    let labels: Vec<&str> = lost.get_metric()[0]
        .get_label()
        .iter()
        .map(|label| label.value())
        .collect();
    assert_eq!(labels, ["connect", "DeleteSnapshot"]);
}
