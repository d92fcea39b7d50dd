//! The driver as it runs in a cluster: over HTTP, credentials and address from the environment. The environment belongs
//! to the whole process, so the driver runs in a process of its own.

use std::path::Path;
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

const NOWHERE: &str = "http://127.0.0.1:9";

/// The ways in which the address of EC2 is told, each before the next: flag, variable of EC2, variable of all, profile.
fn addresses(endpoint: &str, folder: &Path) -> [Vec<(&'static str, String)>; 4] {
    let url = || endpoint.to_owned();
    let nowhere = || NOWHERE.to_owned();
    let profile = |name: &str, url: &str| {
        let path = folder.join(name);
        let text =
            format!("[default]\nservices = local\n\n[services local]\nec2 =\n  endpoint_url = {url}\n");
        std::fs::write(&path, text).unwrap();
        ("AWS_CONFIG_FILE", path.to_str().unwrap().to_owned())
    };
    [
        vec![(ENDPOINT, url()), ("AWS_ENDPOINT_URL_EC2", nowhere())],
        vec![("AWS_ENDPOINT_URL_EC2", url()), ("AWS_ENDPOINT_URL", nowhere())],
        vec![("AWS_ENDPOINT_URL", url()), profile("nowhere", NOWHERE)],
        vec![profile("here", endpoint)],
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_reaches_ec2_over_http() {
    let ec2 = Ec2::new(Clock::system(), Random::seeded(7), Ec2Options::instant());
    let scope = Scope::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = ec2.serve(listener, &scope).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (address, made) in addresses(&endpoint, folder.path()).into_iter().zip(1..) {
        let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
        let child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "network::in_a_process_of_its_own",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(VOLUME, volume)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "example")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .envs(address.iter().map(|(key, value)| (*key, value)))
            .stdin(Stdio::null())
            .output();
        let output = tokio::time::timeout(Duration::from_secs(60), child)
            .await
            .unwrap()
            .unwrap();
        assert!(
            output.status.success(),
            "{address:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(ec2.count("CreateSnapshot"), made, "{address:?}");
        assert_eq!(ec2.state().snapshots.len() as u64, made);
    }
}

fn channel(endpoint: Option<String>, registry: &Registry, scope: &Scope) -> Channel {
    let mut config = Config {
        consistency_delay: Duration::from_millis(100),
        ..Config::default()
    };
    config.ec2.url = endpoint;
    config.ec2.region = Some("us-east-1".to_owned());
    let (clock, random) = (Clock::system(), Random::seeded(1));
    let driver = Driver::new(config, Ec2Transport::Network, clock, random, scope, registry).unwrap();
    Channel::in_process(driver.routes())
}

#[tokio::test]
#[ignore = "the other half of the_driver_reaches_ec2_over_http, which runs it"]
async fn in_a_process_of_its_own() {
    let (endpoint, volume) = (std::env::var(ENDPOINT).ok(), std::env::var(VOLUME).unwrap());
    let scope = Scope::new();
    let channel_to_ec2 = channel(endpoint, &Registry::new(), &scope);
    let request = snapshot(&volume.replace("vol", "snapshot"), &volume, &[]);
    let answer = channel_to_ec2
        .controller()
        .create_snapshot(request)
        .await
        .unwrap();
    assert!(answer.into_inner().snapshot.unwrap().ready_to_use);

    // Nothing listens at the discard port: one clear error within the caller's time.
    let registry = Registry::new();
    let to_nowhere = channel(Some(NOWHERE.to_owned()), &registry, &scope);
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
