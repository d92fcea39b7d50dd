//! The driver as it runs in a cluster: over HTTP, credentials and address from the environment. The environment belongs
//! to the whole process, so the driver runs in a process of its own.

use std::fmt::Display;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Clock, Random, Scope};
use csi::Channel;
use csi::v1::{ControllerExpandVolumeRequest, ControllerPublishVolumeRequest, DeleteSnapshotRequest};
use ebs_driver::{Config, Driver, Ec2Transport};
use k8s_openapi::ByteString;
use prometheus::Registry;
use sandbox::ec2::{Ec2, Ec2Options};
use sandbox::kube::ApiServer;
use sandbox::metadata::{Instance, MetadataService, Tokens};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::Code;

use crate::world::{GIB, mount, range, snapshot};

const ENDPOINT: &str = "EBS_DRIVER_TEST_ENDPOINT";
const VOLUME: &str = "EBS_DRIVER_TEST_VOLUME";

/// What the error of a call must say.
const EXPECTED: &str = "EBS_DRIVER_TEST_EXPECTED";

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
        .env_clear()
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

/// Serves HTTP on loopback: each request's head and body become a status and a body.
async fn answer_http<S: Display>(listener: TcpListener, answer: impl Fn(&str) -> (S, String)) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 16384];
        let mut length = 0;
        // The clients of these tests send a short body right behind its head.
        while !is_whole(&asked[..length]) {
            match stream.read(&mut asked[length..]).await {
                Ok(read) if read > 0 => length += read,
                _ => break,
            }
        }
        let (status, body) = answer(&String::from_utf8_lossy(&asked[..length]));
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    body.len() >= length.map_or(0, |length| length.trim().parse().unwrap())
}

/// Gives credentials that must be renewed at once, as an agent of Pod Identity does, until EC2 has modified a volume.
async fn give_credentials(listener: TcpListener, ec2: Ec2) {
    let answer = |_: &str| {
        if ec2.count("ModifyVolume") == 0 {
            let expires = Clock::system().now() + jiff::SignedDuration::from_secs(1);
            ("200 OK", keys("AKIDEXAMPLE", &expires.to_string()))
        } else {
            let refused = r#"{"Code":"no","Message":"the session has ended"}"#;
            ("403 Forbidden", refused.to_owned())
        }
    };
    answer_http(listener, answer).await;
}

/// The answer of an agent for containers.
fn keys(access_key: &str, expires: &str) -> String {
    format!(
        r#"{{"AccessKeyId":"{access_key}","SecretAccessKey":"example","Token":"t","Expiration":"{expires}"}}"#
    )
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
    let request = csi::channel::request(request, Duration::from_secs(5));
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

/// The token that the kubelet mounts for a service account.
const TOKEN: &str = "token-of-the-service-account";

/// STS, as far as web identity needs it: only the kubelet's token and the annotated role get keys.
fn sts(asked: &str) -> (&'static str, String) {
    let is_right = asked.starts_with("POST / ")
        && ["Action=AssumeRoleWithWebIdentity", TOKEN, "role%2Febs"]
            .iter()
            .all(|part| asked.contains(part));
    if !is_right {
        return ("403 Forbidden", String::new());
    }
    let body = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
        <AccessKeyId>OF_WEB_IDENTITY</AccessKeyId><SecretAccessKey>example</SecretAccessKey><SessionToken>t</SessionToken>\
        <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
        </AssumeRoleWithWebIdentityResponse>";
    ("200 OK", body.to_owned())
}

/// The agent of Pod Identity: it wants the token as the authorization.
fn agent(asked: &str) -> (&'static str, String) {
    if asked.contains(TOKEN) {
        ("200 OK", keys("OF_POD_IDENTITY", "2099-01-01T00:00:00Z"))
    } else {
        ("401 Unauthorized", String::new())
    }
}

async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// IRSA, Pod Identity and the role of the instance, each before its double: whose key signed what EC2 was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ebs_case_140_each_way_to_credentials_signs_the_requests() {
    let ec2 = Ec2::new(Clock::system(), Random::seeded(7), Ec2Options::instant());
    let scope = Scope::new();
    let (listener, _) = listening().await;
    let endpoint = ec2.serve(listener, &scope).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let token = token.to_str().unwrap().to_owned();
    let (sts_listener, sts_url) = listening().await;
    let (agent_listener, agent_url) = listening().await;
    scope.spawn(answer_http(sts_listener, sts));
    scope.spawn(answer_http(agent_listener, agent));
    let metadata = MetadataService::new(Instance {
        access_key: Some("OF_THE_INSTANCE".to_owned()),
        ..Instance::default()
    });
    let (listener, _) = listening().await;
    let imds = metadata.serve(listener, &scope).unwrap();
    let rows = [
        (
            "OF_WEB_IDENTITY",
            vec![
                ("AWS_WEB_IDENTITY_TOKEN_FILE", token.clone()),
                ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ebs".to_owned()),
                ("AWS_ENDPOINT_URL_STS", sts_url),
            ],
        ),
        (
            "OF_POD_IDENTITY",
            vec![
                (
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    format!("{agent_url}/v1/credentials"),
                ),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
            ],
        ),
        (
            "OF_THE_INSTANCE",
            vec![
                ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds),
            ],
        ),
    ];
    for (key, mut environment) in rows {
        let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
        environment.push(("AWS_ENDPOINT_URL_EC2", endpoint.clone()));
        run("network::in_a_process_of_its_own", &volume, &environment).await;
        assert_eq!(ec2.calls().last().unwrap().signed_by.as_deref(), Some(key));
    }
}

/// The role of an instance that gives no tokens, where its owner does not forbid to ask without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ebs_case_194_the_role_of_an_instance_is_asked_for_without_a_token() {
    let ec2 = Ec2::new(Clock::system(), Random::seeded(7), Ec2Options::instant());
    let scope = Scope::new();
    let (listener, _) = listening().await;
    let endpoint = ec2.serve(listener, &scope).unwrap();
    let metadata = MetadataService::new(Instance {
        access_key: Some("OF_THE_INSTANCE".to_owned()),
        ..Instance::default()
    });
    metadata.set_tokens(Tokens::Refused(http::StatusCode::FORBIDDEN));
    let (listener, _) = listening().await;
    let imds = metadata.serve(listener, &scope).unwrap();
    let mut environment = vec![
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds),
        ("AWS_ENDPOINT_URL_EC2", endpoint),
        (EXPECTED, "no AWS credentials".to_owned()),
    ];
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    run("network::in_a_process_of_its_own", &volume, &environment).await;
    assert_eq!(
        ec2.calls().last().unwrap().signed_by.as_deref(),
        Some("OF_THE_INSTANCE")
    );
    environment.push(("AWS_EC2_METADATA_V1_DISABLED", "true".to_owned()));
    let without = "network::a_call_without_an_answer_in_a_process_of_its_own";
    run(without, "", &environment).await;
}

/// A Secret with a file of keys may stay mounted when the service account gets a role.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ebs_case_193_a_role_of_the_service_account_comes_before_a_file_of_keys() {
    let ec2 = Ec2::new(Clock::system(), Random::seeded(7), Ec2Options::instant());
    let scope = Scope::new();
    let (listener, _) = listening().await;
    let endpoint = ec2.serve(listener, &scope).unwrap();
    let (sts_listener, sts_url) = listening().await;
    scope.spawn(answer_http(sts_listener, sts));
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let file = write(
        "credentials",
        "[default]\naws_access_key_id = OF_THE_FILE\naws_secret_access_key = example\n",
    );
    let role = vec![
        ("AWS_WEB_IDENTITY_TOKEN_FILE", write("token", TOKEN)),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ebs".to_owned()),
        ("AWS_ENDPOINT_URL_STS", sts_url),
    ];
    let keys = vec![
        ("AWS_ACCESS_KEY_ID", "OF_THE_ENVIRONMENT".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
    ];
    let of_all = vec![
        ("AWS_SHARED_CREDENTIALS_FILE", file),
        ("AWS_ENDPOINT_URL_EC2", endpoint),
    ];
    for (key, environment) in [
        ("OF_THE_FILE", of_all.clone()),
        ("OF_WEB_IDENTITY", [of_all.clone(), role.clone()].concat()),
        ("OF_THE_ENVIRONMENT", [of_all, role, keys].concat()),
    ] {
        let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
        run("network::in_a_process_of_its_own", &volume, &environment).await;
        assert_eq!(ec2.calls().last().unwrap().signed_by.as_deref(), Some(key));
    }
}

/// FIPS and dual stack are in the name of the host, which a proxy is told; what `NO_PROXY` names is reached without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ebs_case_141_proxies_are_followed_to_the_address_that_the_environment_asks_for() {
    let scope = Scope::new();
    let (proxy, told) = noting_proxy(&scope).await;
    let on = || "true".to_owned();
    let rows = [
        (vec![], "CONNECT ec2.us-east-1.amazonaws.com:443 HTTP/1.1"),
        (
            vec![("AWS_USE_FIPS_ENDPOINT", on())],
            "CONNECT ec2-fips.us-east-1.amazonaws.com:443 HTTP/1.1",
        ),
        (
            vec![("AWS_USE_DUALSTACK_ENDPOINT", on())],
            "CONNECT ec2.us-east-1.api.aws:443 HTTP/1.1",
        ),
        (
            vec![
                ("AWS_USE_FIPS_ENDPOINT", on()),
                ("AWS_USE_DUALSTACK_ENDPOINT", on()),
            ],
            "CONNECT ec2-fips.us-east-1.api.aws:443 HTTP/1.1",
        ),
        (
            vec![
                ("AWS_ENDPOINT_URL_EC2", "https://127.0.0.1:9".to_owned()),
                ("NO_PROXY", "127.0.0.1".to_owned()),
            ],
            "",
        ),
    ];
    through_a_proxy(&proxy, &told, &rows).await;
}

/// 0.0.0.0 is this machine, and no address of loopback.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ebs_case_192_ports_of_hosts_without_a_proxy_count() {
    let scope = Scope::new();
    let (proxy, told) = noting_proxy(&scope).await;
    let endpoint = ("AWS_ENDPOINT_URL_EC2", "https://0.0.0.0:9".to_owned());
    let without = |entry: &str| vec![endpoint.clone(), ("NO_PROXY", entry.to_owned())];
    let rows = [
        (without("0.0.0.0:9"), ""),
        (without("0.0.0.0:443"), "CONNECT 0.0.0.0:9 HTTP/1.1"),
    ];
    through_a_proxy(&proxy, &told, &rows).await;
}

type Told = Arc<Mutex<Vec<String>>>;

/// A proxy that refuses everything: its address, and what it was asked first.
async fn noting_proxy(scope: &Scope) -> (String, Told) {
    let (listener, proxy) = listening().await;
    let told = Told::default();
    let noting = told.clone();
    scope.spawn(answer_http(listener, move |asked: &str| {
        let first = asked.lines().next().unwrap_or_default().to_owned();
        noting.lock().unwrap().push(first);
        ("403 Forbidden", String::new())
    }));
    (proxy, told)
}

/// In each of these environments a call that begins with this line, if with any, at the proxy.
async fn through_a_proxy(proxy: &str, told: &Told, rows: &[(Vec<(&'static str, String)>, &str)]) {
    for (environment, expected) in rows {
        let mut environment = environment.clone();
        told.lock().unwrap().clear();
        environment.extend([
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
            ("HTTPS_PROXY", proxy.to_owned()),
            (EXPECTED, "no connection to EC2".to_owned()),
        ]);
        run(
            "network::a_call_without_an_answer_in_a_process_of_its_own",
            "",
            &environment,
        )
        .await;
        let told = told.lock().unwrap();
        // A call that is given up may have its connection and not have said anything yet.
        let said: Vec<&String> = told.iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(said.first().map_or("", |line| line.as_str()), *expected);
        assert!(said.iter().all(|line| line == expected), "{said:?}");
    }
}

#[tokio::test]
#[ignore = "the other half of ebs_case_141_proxies_are_followed_to_the_address_that_the_environment_asks_for, which runs it"]
async fn a_call_without_an_answer_in_a_process_of_its_own() {
    let (registry, scope) = (Registry::new(), Scope::new());
    let driver = channel(None, &registry, &scope);
    let expected = std::env::var(EXPECTED).unwrap();
    // On a busy machine the certificates alone may take the first of these times.
    for seconds in [2, 5, 20] {
        let request = DeleteSnapshotRequest {
            snapshot_id: "snap-0123456789abcdef0".into(),
            ..DeleteSnapshotRequest::default()
        };
        let request = csi::channel::request(request, Duration::from_secs(seconds));
        let error = driver.controller().delete_snapshot(request).await.unwrap_err();
        if error.message().contains(&expected) {
            return;
        }
        println!("within {seconds} s: {error}");
    }
    panic!("never told: {expected}");
}

/// An EC2 whose clock is an hour ahead: it refuses what is signed more than five minutes off its time.
fn an_hour_ahead(asked: &str) -> (String, String) {
    let now = Clock::system().now() + jiff::SignedDuration::from_hours(1);
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT");
    let header = |name: &str| {
        let lines = asked.lines().map(str::to_lowercase);
        lines
            .into_iter()
            .find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    let signed = header("x-amz-date:").unwrap_or_default().to_uppercase();
    let signed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &signed).unwrap();
    let off = now.duration_since(signed.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp());
    if off.abs() > jiff::SignedDuration::from_mins(5) {
        let body = "<Response><Errors><Error><Code>RequestExpired</Code><Message>Request has expired.</Message></Error></Errors>\
            <RequestID>r</RequestID></Response>";
        return (format!("400 Bad Request\r\nDate: {date}"), body.to_owned());
    }
    let body = "<DeleteSnapshotResponse><return>true</return></DeleteSnapshotResponse>";
    (format!("200 OK\r\nDate: {date}"), body.to_owned())
}

/// Of a clock that is wrong the first call tells, and EC2's own time is used from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ebs_case_145_a_wrong_clock_is_told_once() {
    let scope = Scope::new();
    let (listener, url) = listening().await;
    scope.spawn(answer_http(listener, an_hour_ahead));
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
        ("AWS_ENDPOINT_URL_EC2", url),
    ];
    run(
        "network::two_calls_by_a_wrong_clock_in_a_process_of_its_own",
        "",
        &keys,
    )
    .await;
}

#[tokio::test]
#[ignore = "the other half of ebs_case_145_a_wrong_clock_is_told_once, which runs it"]
async fn two_calls_by_a_wrong_clock_in_a_process_of_its_own() {
    let (registry, scope) = (Registry::new(), Scope::new());
    let driver = channel(None, &registry, &scope);
    let delete = async || {
        let request = DeleteSnapshotRequest {
            snapshot_id: "snap-0123456789abcdef0".into(),
            ..DeleteSnapshotRequest::default()
        };
        let request = csi::channel::request(request, Duration::from_secs(10));
        driver.controller().delete_snapshot(request).await
    };
    let error = delete().await.unwrap_err();
    assert!(error.message().contains("RequestExpired"), "{error}");
    delete().await.unwrap();
}

/// A metadata service that takes connections and says nothing, and an endpoint that does not speak TLS: one clear error
/// within the caller's time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ebs_case_145_what_does_not_answer_is_told_within_the_callers_time() {
    let (_silent, imds) = listening().await;
    let scope = Scope::new();
    let (listener, plain) = listening().await;
    scope.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let without_credentials = [
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds),
        ("AWS_ENDPOINT_URL_EC2", NOWHERE.to_owned()),
        (EXPECTED, "no AWS credentials".to_owned()),
    ];
    let without_tls = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
        ("AWS_ENDPOINT_URL_EC2", plain.replace("http:", "https:")),
        (EXPECTED, "no connection to EC2".to_owned()),
    ];
    for environment in [without_credentials, without_tls] {
        run(
            "network::a_call_without_an_answer_in_a_process_of_its_own",
            "",
            &environment,
        )
        .await;
    }
}

/// Who serves HTTPS by a certificate of its own is talked to where the bundle holds that certificate: one that is no EC2, but that
/// answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ebs_case_190_the_certificates_of_the_bundle_are_trusted_and_no_others() {
    let scope = Scope::new();
    let (ours, address, _ours) = https(&scope).await;
    let (of_another, _, _another) = https(&scope).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, of_another) = (write("ours", &ours), write("other", &of_another));
    let profile =
        |name: &str, bundle: &str| write(name, format!("[default]\nca_bundle = {bundle}\n").as_bytes());
    let (answered, untrusted) = ("cannot be read", "no connection to EC2");
    let rows = [
        (vec![("AWS_CA_BUNDLE", ours.clone())], answered),
        (vec![("AWS_CA_BUNDLE", of_another.clone())], untrusted),
        (vec![], untrusted),
        (vec![("AWS_CONFIG_FILE", profile("a", &ours))], answered),
        (
            vec![
                ("AWS_CA_BUNDLE", ours.clone()),
                ("AWS_CONFIG_FILE", profile("b", &of_another)),
            ],
            answered,
        ),
        (
            vec![("AWS_CA_BUNDLE", "/nonexistent/ca.pem".to_owned())],
            "which AWS_CA_BUNDLE names",
        ),
    ];
    for (mut environment, expected) in rows {
        environment.extend([
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
            ("AWS_ENDPOINT_URL_EC2", address.clone()),
            (EXPECTED, expected.to_owned()),
        ]);
        run(
            "network::a_call_without_an_answer_in_a_process_of_its_own",
            "",
            &environment,
        )
        .await;
    }
}

/// A server that speaks HTTPS: its certificate, its address, and what keeps it.
async fn https(scope: &Scope) -> (Vec<u8>, String, ApiServer) {
    let api = ApiServer::new(Clock::system(), Random::from_entropy(), scope);
    let (listener, url) = listening().await;
    let kubeconfig = api.kubeconfig(listener.local_addr().unwrap(), "token").unwrap();
    api.serve(listener, "token").unwrap();
    let kubeconfig: serde_json::Value = serde_saphyr::from_str(&kubeconfig).unwrap();
    let certificate = &kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"];
    let certificate: ByteString = serde_json::from_value(certificate.clone()).unwrap();
    (certificate.0, url.replace("http:", "https:"), api)
}

/// STS that tells who asks.
fn who(asked: &str) -> (&'static str, String) {
    if !asked.contains("Action=GetCallerIdentity") {
        return ("403 Forbidden", String::new());
    }
    let body = "<GetCallerIdentityResponse><GetCallerIdentityResult>\
        <Arn>arn:aws-us-gov:sts::444455556666:assumed-role/ebs/1</Arn><UserId>u</UserId><Account>444455556666</Account>\
        </GetCallerIdentityResult></GetCallerIdentityResponse>";
    ("200 OK", body.to_owned())
}

const NODE: &str = "EBS_DRIVER_TEST_NODE";
const SAGEMAKER: &str = "EBS_DRIVER_TEST_SAGEMAKER";

/// The account and the partition come from STS; SageMaker's address from its variable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ebs_case_158_the_cluster_is_named_in_the_account_that_sts_tells() {
    let ec2 = Ec2::new(Clock::system(), Random::seeded(7), Ec2Options::instant());
    let scope = Scope::new();
    let (listener, _) = listening().await;
    let endpoint = ec2.serve(listener, &scope).unwrap();
    let (listener, sts) = listening().await;
    scope.spawn(answer_http(listener, who));
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let instance = ec2.create_cluster_node_fixture("abcde3ghij4l", "us-east-1a", "m5.large");
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
        ("AWS_ENDPOINT_URL_EC2", endpoint.clone()),
        ("AWS_ENDPOINT_URL_STS", sts),
        (SAGEMAKER, endpoint),
        (NODE, format!("hyperpod-abcde3ghij4l-{}", instance.unwrap())),
    ];
    run(
        "network::on_a_node_of_a_cluster_in_a_process_of_its_own",
        &volume,
        &keys,
    )
    .await;
    let calls = ec2.calls();
    let attached = calls
        .iter()
        .find(|call| call.action == "AttachClusterNodeVolume")
        .unwrap();
    assert_eq!(
        attached.parameters["ClusterArn"],
        "arn:aws-us-gov:sagemaker:us-east-1:444455556666:cluster/abcde3ghij4l"
    );
    assert_eq!(attached.signed_by.as_deref(), Some("AKIDEXAMPLE"));
}

#[tokio::test]
#[ignore = "the other half of ebs_case_158_the_cluster_is_named_in_the_account_that_sts_tells, which runs it"]
async fn on_a_node_of_a_cluster_in_a_process_of_its_own() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let publish = async |sagemaker: Option<String>, registry: &Registry, scope: &Scope| {
        let mut config = Config::default();
        config.ec2.region = Some("us-east-1".to_owned());
        config.ec2.sagemaker_url = sagemaker;
        let (clock, random) = (Clock::system(), Random::seeded(1));
        let driver = Driver::new(config, Ec2Transport::Network, clock, random, scope, registry).unwrap();
        let request = ControllerPublishVolumeRequest {
            volume_id: variable(VOLUME),
            node_id: variable(NODE),
            volume_capability: Some(mount("ext4")),
            ..ControllerPublishVolumeRequest::default()
        };
        let request = csi::channel::request(request, Duration::from_secs(30));
        let channel = Channel::in_process(driver.routes());
        channel.controller().controller_publish_volume(request).await
    };
    let scope = Scope::new();
    let lost = publish(Some(NOWHERE.to_owned()), &Registry::new(), &scope).await;
    let lost = lost.unwrap_err();
    assert!(lost.message().contains("no connection"), "{lost}");
    let attached = publish(Some(variable(SAGEMAKER)), &Registry::new(), &scope).await;
    let context = attached.unwrap().into_inner().publish_context;
    assert_eq!(context["devicePath"], "/dev/sdf");
}
