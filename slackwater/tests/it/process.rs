//! The binary as its own process: flags, bad input, exit codes, signals. Nothing leaves the machine.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use base::{Clock, Random, Scope};
use sandbox::ec2::{Ec2, Ec2Options};
use sandbox::kube::{ApiServer, GroupResource};

const BINARY: &str = env!("CARGO_BIN_EXE_slackwater");

/// Patience with a process.
const PATIENCE: Duration = Duration::from_secs(30);

fn run(program: &Path, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .env_remove("KUBECONFIG")
        .env_remove("NODE_NAME")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// That each command line ends with this code and these words.
fn refused(rows: &[(&[&str], i32, &str)]) {
    for (args, exit_code, says) in rows {
        let output = run(Path::new(BINARY), args);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(*exit_code), "{args:?}: {text}");
        assert!(text.contains(says), "{args:?}: {text}");
        assert!(!text.contains("panicked"), "{args:?}: {text}");
    }
}

#[test]
fn bad_flags_end_with_one_clear_message() {
    let rows: [(&[&str], i32, &str); 15] = [
        (&[], 2, "usage: slackwater MODE"),
        (&["csi-sizer"], 2, "no mode \"csi-sizer\""),
        (&["csi-snapshotter", "--bogus"], 2, "--bogus"),
        (&["csi-snapshotter", "--timeout=soon"], 2, "soon"),
        (
            &["csi-snapshotter", "--node-deployment", "--leader-election"],
            1,
            "--node-deployment and --leader-election",
        ),
        (&["csi-snapshotter", "word", "--node-deployment"], 1, "NODE_NAME"),
        (
            &["csi-snapshotter", "--snapshot-name-uuid-length=40"],
            1,
            "--snapshot-name-uuid-length",
        ),
        (
            &["snapshot-controller", "--feature-gates=Nonsense=true"],
            1,
            "Nonsense",
        ),
        (
            &[
                "aws-ebs-csi-driver",
                "node",
                "--volume-attach-limit=5",
                "--reserved-volume-attachments=1",
            ],
            1,
            "--reserved-volume-attachments",
        ),
        (&["aws-ebs-csi-driver", "node", "--batching"], 2, "--batching"),
        (&["aws-ebs-csi-driver", "pre-stop-hook"], 1, "CSI_NODE_NAME"),
        (
            &[
                "aws-ebs-csi-driver",
                "controller",
                "--extra-tags=kubernetes.io/x=1",
            ],
            1,
            "kubernetes.io",
        ),
        (&["controller", "--functions=csi-other"], 2, "csi-other"),
        (&["csi-resizer", "--workers=0"], 1, "--workers"),
        (&["controller", "--csi-snapshotter.bogus"], 2, "--bogus"),
    ];
    refused(&rows);
}

#[test]
fn bad_flags_of_what_runs_on_a_node_end_with_one_clear_message() {
    let rows: [(&[&str], i32, &str); 7] = [
        (&["node-driver-registrar"], 1, "--kubelet-registration-path"),
        (
            &[
                "node-driver-registrar",
                "--kubelet-registration-path=/a",
                "--health-port=1",
                "--http-endpoint=:2",
            ],
            1,
            "--health-port",
        ),
        (
            &["livenessprobe", "--health-port=9809", "--http-endpoint=:1"],
            1,
            "--health-port",
        ),
        (&["livenessprobe", "--probe-timeout=3"], 2, "lacks a unit"),
        (
            &["file-csi-driver", "--without=SNAPSHOTS"],
            2,
            "CREATE_DELETE_SNAPSHOT",
        ),
        (&["file-csi-driver", "--driver-name=a/b"], 1, "--driver-name"),
        (
            &["file-csi-driver", "--data-dir=/proc/nowhere"],
            1,
            "/proc/nowhere",
        ),
    ];
    refused(&rows);
}

#[test]
fn a_bad_kubeconfig_or_no_cluster_ends_with_one_line_that_says_what_to_do() {
    for (args, says) in [
        (
            vec!["snapshot-controller", "--kubeconfig=/nowhere/kubeconfig"],
            "/nowhere/kubeconfig",
        ),
        (vec!["snapshot-controller"], "--kubeconfig"),
    ] {
        let output = Command::new(BINARY)
            .args(&args)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env_remove("KUBECONFIG")
            .output()
            .unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(says), "{text}");
        let errors = text.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{text}");
    }
}

#[test]
fn ebs_case_190_a_bundle_without_a_certificate_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(empty.as_path(), "# none\n").unwrap();
    let profile = folder.path().join("config");
    std::fs::write(&profile, "[default]\nca_bundle = /nonexistent/of-profile.pem\n").unwrap();
    let driver = |mode| vec!["aws-ebs-csi-driver", mode];
    for (args, variable, value, says) in [
        (
            driver("controller"),
            "AWS_CA_BUNDLE",
            Path::new("/nonexistent/ca.pem"),
            "cannot read /nonexistent/ca.pem, which AWS_CA_BUNDLE names",
        ),
        (
            driver("controller"),
            "AWS_CA_BUNDLE",
            empty.as_path(),
            "holds no certificate",
        ),
        (
            driver("node"),
            "AWS_CA_BUNDLE",
            empty.as_path(),
            "holds no certificate",
        ),
        (
            driver("metadataLabeler"),
            "AWS_CA_BUNDLE",
            empty.as_path(),
            "which AWS_CA_BUNDLE names",
        ),
        (
            vec!["controller", "--functions=driver"],
            "AWS_CONFIG_FILE",
            profile.as_path(),
            "cannot read /nonexistent/of-profile.pem, which ca_bundle of the AWS profile names",
        ),
    ] {
        let output = Command::new(BINARY)
            .args(&args)
            .env_clear()
            .env(variable, value)
            .output()
            .unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{args:?}: {text}");
        assert!(errors[0].contains(says), "{args:?}: {text}");
    }
}

#[test]
fn sidecars_case_237_the_kubeconfig_of_the_environment_is_for_the_csi_provisioner_alone() {
    let rows: [(&[&str], &str); 4] = [
        (&["csi-provisioner", "--kubeconfig=/of/flag"], "\"/of/variable\""),
        (&["csi-attacher", "--kubeconfig=/of/flag"], "\"/of/flag\""),
        (
            &[
                "controller",
                "--functions=csi-provisioner",
                "--kubeconfig=/of/flag",
            ],
            "\"/of/flag\"",
        ),
        (&["csi-resizer", "--master=localhost"], "--master=\"localhost\""),
    ];
    for (args, says) in rows {
        let output = Command::new(BINARY)
            .args(args)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env("KUBECONFIG", "/of/variable")
            .output()
            .unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert!(text.contains(says), "{args:?}: {text}");
    }
}

#[test]
fn the_definitions_are_printed_as_they_are_shipped() {
    let output = run(Path::new(BINARY), &["crds"]);
    let expected: String = crds::definitions::KINDS
        .iter()
        .map(|kind| kind.manifest)
        .collect();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn a_link_with_the_name_of_a_mode_is_that_mode() {
    let folder = tempfile::tempdir().unwrap();
    for (name, says) in [
        ("snapshot-controller", "snapshot-controller v"),
        ("csi-snapshotter", "csi-snapshotter v"),
        ("csi-provisioner", "csi-provisioner v"),
        ("csi-resizer", "csi-resizer v"),
        ("aws-ebs-csi-driver", "\"driverVersion\": \"v"),
        ("file-csi-driver", "file-csi-driver v"),
        ("node-driver-registrar", "node-driver-registrar v"),
        ("csi-node-driver-registrar", "node-driver-registrar v"),
        ("livenessprobe", "livenessprobe v"),
    ] {
        let link = folder.path().join(name);
        symlink(BINARY, &link).unwrap();
        let output = run(&link, &["--version"]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains(says), "{}", said(&output));
    }
}

/// A cluster on loopback for processes.
struct Cluster {
    folder: tempfile::TempDir,
    api: ApiServer,
    /// Host and port of the API server.
    host: String,
    ec2: String,
    _scope: Scope,
}

impl Cluster {
    async fn new(with_definitions: bool) -> Self {
        let (random, scope) = (Random::from_entropy(), Scope::new());
        let api = ApiServer::new(Clock::system(), random.fork(), &scope);
        if with_definitions {
            for definition in crds::definitions::snapshots() {
                let kind = GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
                api.store("installer").create(kind, definition).unwrap();
            }
        }
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let token = random.uuid();
        let address = listener.local_addr().unwrap();
        let kubeconfig = api.kubeconfig(address, &token).unwrap();
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        api.serve(listener, &token).unwrap();
        let ec2 = Ec2::new(Clock::system(), random, Ec2Options::default());
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let ec2 = ec2.serve(listener, &scope).unwrap();
        Self {
            folder,
            api,
            host: address.to_string(),
            ec2,
            _scope: scope,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(BINARY);
        command
            .args(args)
            .arg(format!("--kubeconfig={}", self.path("kubeconfig").display()))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_ENDPOINT", &self.ec2)
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn lease_holder(&self, name: &str) -> Option<String> {
        let leases = GroupResource::new("coordination.k8s.io", "leases");
        let lease = self.api.store("user").get(leases, "default", name)?;
        lease.value()["spec"]["holderIdentity"]
            .as_str()
            .map(str::to_owned)
    }
}

/// What a snapshot-controller with these variables says that waits for no definitions.
async fn without_definitions(cluster: &Cluster, variables: &[(&str, &str)]) -> Output {
    let mut command = cluster.command(&["snapshot-controller", "--retry-crd-interval-max=0s"]);
    let process = command.envs(variables.iter().copied()).spawn().unwrap();
    let ended = tokio::time::timeout(PATIENCE, process.wait_with_output());
    ended.await.unwrap().unwrap()
}

#[tokio::test]
async fn snapshot_case_12_missing_definitions_end_the_snapshot_controller_and_name_the_command() {
    let cluster = Cluster::new(false).await;
    let output = without_definitions(&cluster, &[]).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("slackwater crds"), "{text}");
    assert!(text.contains("volumesnapshots.snapshot.storage.k8s.io"), "{text}");
}

#[tokio::test]
async fn sidecars_case_238_a_proxy_of_the_environment_is_not_asked_for_the_api_server() {
    let cluster = Cluster::new(false).await;
    // No address at all: nobody looks at it.
    let proxy = ("HTTPS_PROXY", "http://user:pass|word@127.0.0.1:9");
    let output = without_definitions(&cluster, &[proxy, ("NO_PROXY", "127.0.0.1")]).await;
    let text = said(&output);
    assert!(
        text.contains("slackwater crds"),
        "the API server has answered: {text}"
    );
    assert_eq!(text.matches("HTTPS_PROXY").count(), 1, "{text}");
}

#[tokio::test]
async fn snapshot_case_91_sigterm_gives_the_leases_back_and_exits_0() {
    let cluster = Cluster::new(true).await;
    let mut process = cluster
        .command(&[
            "controller",
            "--functions=driver,snapshot-controller,csi-snapshotter,csi-resizer",
            "--leader-election",
            "--leader-election-namespace=default",
            &format!("--driver.endpoint=unix://{}", cluster.path("csi.sock").display()),
            "--driver.http-endpoint=127.0.0.1:0",
            "--snapshot-controller.http-endpoint=127.0.0.1:0",
            "--csi-snapshotter.http-endpoint=127.0.0.1:0",
            "--csi-resizer.http-endpoint=127.0.0.1:0",
        ])
        .spawn()
        .unwrap();
    let leases = [
        "snapshot-controller-leader",
        "external-snapshotter-leader-ebs-csi-aws-com",
        "external-resizer-ebs-csi-aws-com",
    ];
    let leads = |lease: &&str| {
        cluster
            .lease_holder(lease)
            .is_some_and(|holder| !holder.is_empty())
    };
    let led = tokio::time::timeout(PATIENCE, async {
        while !leases.iter().all(leads) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    led.await.unwrap();
    let id = process.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let status = tokio::time::timeout(PATIENCE, process.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    for lease in leases {
        assert_eq!(cluster.lease_holder(lease).as_deref(), Some(""), "{lease}");
    }
    assert!(!cluster.path("csi.sock").exists(), "the socket file is removed");
}

#[tokio::test]
async fn a_sidecar_in_a_process_of_its_own_finds_a_driver_that_starts_later() {
    let cluster = Cluster::new(true).await;
    let socket = cluster.path("csi.sock");
    let _sidecar = cluster
        .command(&[
            "csi-snapshotter",
            "--leader-election",
            "--leader-election-namespace=default",
            &format!("--csi-address={}", socket.display()),
        ])
        .spawn()
        .unwrap();
    let _driver = cluster
        .command(&[
            "aws-ebs-csi-driver",
            "controller",
            &format!("--endpoint=unix://{}", socket.display()),
        ])
        .spawn()
        .unwrap();
    // The lease carries the driver's name, which only the driver can tell.
    let lease = "external-snapshotter-leader-ebs-csi-aws-com";
    let led = tokio::time::timeout(PATIENCE, async {
        while cluster.lease_holder(lease).is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    led.await.unwrap();
}

/// The answer to a GET, with its head.
async fn get(address: &str, path: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// An address on loopback at which nobody listens.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", sandbox::free_port().unwrap())
}

#[tokio::test]
async fn resize_case_102_without_an_election_there_is_no_health_of_it() {
    let (cluster, address) = (Cluster::new(true).await, free_address());
    let socket = cluster.path("csi.sock");
    let _driver = cluster
        .command(&[
            "aws-ebs-csi-driver",
            "controller",
            &format!("--endpoint=unix://{}", socket.display()),
        ])
        .spawn()
        .unwrap();
    let _resizer = cluster
        .command(&[
            "csi-resizer",
            &format!("--csi-address={}", socket.display()),
            &format!("--http-endpoint={address}"),
        ])
        .spawn()
        .unwrap();
    let served = tokio::time::timeout(PATIENCE, async {
        loop {
            let metrics = get(&address, "/metrics").await.unwrap_or_default();
            if metrics.contains("\nrest_client_requests_total{code=\"200\",") {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let metrics = served.await.unwrap();
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    let host = &cluster.host;
    assert!(
        metrics.contains(&format!("host=\"{host}\",method=\"GET\"}}")),
        "{metrics}"
    );
    let health = get(&address, "/healthz/leader-election").await.unwrap();
    assert!(health.starts_with("HTTP/1.1 404"), "{health}");
}

#[tokio::test]
async fn the_shared_caches_count_and_are_limited_by_themselves() {
    let (cluster, address) = (Cluster::new(true).await, free_address());
    let _process = cluster
        .command(&[
            "controller",
            "--functions=driver,csi-snapshotter,csi-resizer",
            // The first function that has a client: its own requests crawl.
            "--csi-snapshotter.kube-api-qps=0.01",
            "--csi-snapshotter.kube-api-burst=1",
            &format!("--driver.endpoint=unix://{}", cluster.path("csi.sock").display()),
            &format!("--driver.http-endpoint={address}"),
            "--csi-snapshotter.http-endpoint=",
            &format!("--csi-resizer.http-endpoint={address}"),
        ])
        .spawn()
        .unwrap();
    let followed = tokio::time::timeout(PATIENCE, async {
        loop {
            let metrics = get(&address, "/metrics").await.unwrap_or_default();
            let objects = |kind: &str| metrics.contains(&format!("informer_objects{{kind=\"{kind}\"}} 0"));
            let kinds = [
                "PersistentVolumeClaim",
                "PersistentVolume",
                "VolumeAttributesClass",
            ];
            if kinds.into_iter().all(objects) && watches(&metrics).len() == kinds.len() {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let metrics = followed.await.unwrap();
    let requests = watches(&metrics);
    for line in requests {
        assert!(line.contains("code=\"200\",component=\"watches\""), "{line}");
    }
    let throttled = "slackwater_kube_throttle_seconds_total{component=\"watches\"} 0\n";
    assert!(metrics.contains(throttled), "{metrics}");
    assert!(metrics.contains("slackwater_task_panics_total 0\n"), "{metrics}");
    let ready = get(&address, "/readyz?verbose").await.unwrap();
    assert!(ready.contains("[+]caches ok\n"), "{ready}");
}

/// As upstream's: five a second, ten at once.
#[tokio::test]
async fn journeys_case_96_the_driver_answers_so_many_scrapes_and_no_more() {
    let (cluster, address) = (Cluster::new(true).await, free_address());
    let _driver = cluster
        .command(&[
            "aws-ebs-csi-driver",
            "controller",
            &format!("--endpoint=unix://{}", cluster.path("csi.sock").display()),
            &format!("--http-endpoint={address}"),
        ])
        .spawn()
        .unwrap();
    let begun = tokio::time::timeout(PATIENCE, async {
        while get(&address, "/metrics").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    begun.await.unwrap();
    let begun = std::time::Instant::now();
    let mut codes = BTreeMap::<String, u64>::new();
    for _ in 0..60 {
        let answer = get(&address, "/metrics").await.unwrap();
        let code = answer.split_whitespace().nth(1).unwrap_or_default().to_owned();
        *codes.entry(code).or_default() += 1;
    }
    let granted = 10 + 5 * (begun.elapsed().as_secs() + 1);
    assert!((1..=granted).contains(&codes["200"]), "{codes:?}");
    assert!(granted >= 60 || codes.contains_key("429"), "{codes:?}");
    // Health is no scrape.
    let health = get(&address, "/healthz").await.unwrap();
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
}

/// The series of requests that watch.
fn watches(metrics: &str) -> Vec<&str> {
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("slackwater_kube_requests_total"));
    series.filter(|line| line.contains("verb=\"watch\"")).collect()
}

#[test]
fn a_signal_ends_the_quick_start_in_the_middle_of_its_story() {
    use std::io::{BufRead, BufReader};
    for signal in ["-INT", "-TERM"] {
        let mut command = Command::new(BINARY);
        command
            .arg("quickstart")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("kubectl apply")));
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let rest = lines.count();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{signal}: {error}");
        assert!(error.contains("ended before the story was"), "{signal}: {error}");
        assert!(rest < 20, "{signal}: it went on for {rest} lines");
    }
}
