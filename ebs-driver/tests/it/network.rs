//! The driver as it runs in a cluster: over HTTP, credentials and address from the environment. The environment belongs
//! to the whole process, so the driver runs in a process of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base::{Clock, Random, Scope};
use csi::Channel;
use csi::v1::{ControllerExpandVolumeRequest, DeleteSnapshotRequest};
use ebs_driver::{Config, Driver, Ec2Transport};
use prometheus::Registry;
use sandbox::ec2::{Ec2, Ec2Options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::Code;

use crate::world::{GIB, range, snapshot};

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
        let keys = [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "example"),
        ];
        let keys = keys.map(|(key, value)| (key, value.to_owned()));
        let told = [address.clone(), keys.to_vec()].concat();
        run("network::in_a_process_of_its_own", &volume, &told).await;
        assert_eq!(ec2.count("CreateSnapshot"), made, "{address:?}");
        assert_eq!(ec2.state().snapshots.len() as u64, made);
    }
}

/// Runs the other half of a test in a process with this environment.
async fn run(half: &str, volume: &str, environment: &[(&'static str, String)]) {
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([half, "--exact", "--ignored", "--nocapture"])
        .env(VOLUME, volume)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .envs(environment.iter().map(|(key, value)| (*key, value)))
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), child)
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{environment:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Gives credentials that must be renewed at once, as an agent of Pod Identity does, until EC2 has modified a volume.
async fn give_credentials(listener: TcpListener, ec2: Ec2) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 4096];
        let _ = stream.read(&mut asked).await;
        let (status, body) = if ec2.count("ModifyVolume") == 0 {
            let expires = Clock::system().now() + jiff::SignedDuration::from_secs(1);
            let body = format!(
                r#"{{"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"example","Token":"t","Expiration":"{expires}"}}"#
            );
            ("200 OK", body)
        } else {
            (
                "403 Forbidden",
                r#"{"Code":"no","Message":"the session has ended"}"#.to_owned(),
            )
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

/// Nothing is sent without credentials, so nothing is being changed: the answer is final, and pins no size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ebs_case_112_credentials_that_end_leave_no_change_in_doubt() {
    let ec2 = Ec2::new(Clock::system(), Random::seeded(7), Ec2Options::instant());
    let scope = Scope::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = ec2.serve(listener, &scope).unwrap();
    let volume = ec2.create_volume_fixture("us-east-1a", 20, &[]).unwrap();
    let giving = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/credentials", giving.local_addr().unwrap());
    scope.spawn(give_credentials(giving, ec2.clone()));
    let environment = [
        ("AWS_ENDPOINT_URL_EC2", endpoint),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", address),
    ];
    run(
        "network::an_expansion_without_credentials_in_a_process_of_its_own",
        &volume,
        &environment,
    )
    .await;
    assert_eq!(ec2.count("ModifyVolume"), 1);
}

#[tokio::test]
#[ignore = "the other half of ebs_case_112_credentials_that_end_leave_no_change_in_doubt, which runs it"]
async fn an_expansion_without_credentials_in_a_process_of_its_own() {
    let volume = std::env::var(VOLUME).unwrap();
    let (registry, scope) = (Registry::new(), Scope::new());
    let driver = channel(None, &registry, &scope);
    let expand = async |gib: i64| {
        let request = ControllerExpandVolumeRequest {
            volume_id: volume.clone(),
            capacity_range: range(gib * GIB, 0),
            ..ControllerExpandVolumeRequest::default()
        };
        driver.controller().controller_expand_volume(request).await
    };
    expand(30).await.unwrap();
    let error = expand(40).await.unwrap_err();
    assert!(error.message().contains("no AWS credentials"), "{error}");
    assert_eq!(error.code(), Code::Internal, "{error}");
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
