//! What kubelet sees.

use std::path::PathBuf;
use std::time::Duration;

use base::Scope;
use livenessprobe::args::Config;
use livenessprobe::{Args, Error, run};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tonic::Status;

use crate::driver::{Answer, Scripted, files, serve};

/// Patience with what must come.
const PATIENCE: Duration = Duration::from_secs(60);

struct Probe {
    folder: TempDir,
    config: Config,
    scope: Scope,
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

impl Probe {
    async fn new(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("--csi-address={}/csi.sock", folder.path().display());
        let endpoint = format!("--http-endpoint=127.0.0.1:{}", free_port().await);
        let words = ["livenessprobe", &address, &endpoint];
        let words = words.into_iter().chain(flags.iter().copied());
        let args: Args = base::args::parse(words.map(Into::into)).unwrap();
        Self {
            config: args.config().unwrap(),
            folder,
            scope: Scope::new(),
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("csi.sock")
    }

    fn start(&self) -> JoinHandle<Result<(), Error>> {
        let (config, scope) = (self.config.clone(), self.scope.clone());
        tokio::spawn(async move { run(config, "v1", &scope).await })
    }

    /// The code and the body of a GET; none where nothing listens.
    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.config.health).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some((code, body.to_owned()))
    }

    async fn until_listening(&self) {
        let listening = async {
            while TcpStream::connect(&self.config.health).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listening).await.unwrap();
    }
}

#[tokio::test]
async fn sidecars_case_132_nothing_listens_before_the_driver_is_up() {
    let probe = Probe::new(&[]).await;
    let process = probe.start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(probe.get("/healthz").await, None);
    assert!(!process.is_finished());
    let _driver = serve(&probe.socket(), files(probe.folder.path().join("data"))).await;
    probe.until_listening().await;
    assert_eq!(probe.get("/healthz").await, Some((200, "ok".to_owned())));
    probe.scope.stop();
    process.await.unwrap().unwrap();
}

#[tokio::test]
async fn sidecars_case_133_a_driver_that_hangs_or_is_not_ready_is_not_well() {
    let probe = Probe::new(&["--probe-timeout=2s"]).await;
    let driver = Scripted::named("d");
    let _serving = serve(&probe.socket(), driver.routes()).await;
    let _process = probe.start();
    probe.until_listening().await;
    let not_ready = "driver responded but is not ready";
    let unready = Status::failed_precondition("no disk");
    for (answer, code, says) in [
        (Answer::Unset, 200, "ok"),
        (Answer::Ready(true), 200, "ok"),
        (Answer::Ready(false), 500, not_ready),
        (
            Answer::Refuse(unready),
            500,
            "rpc error: code = FailedPrecondition desc = no disk",
        ),
        (Answer::Hang, 500, "rpc error: code = DeadlineExceeded"),
    ] {
        driver.answers(answer.clone());
        let (told, text) = probe.get("/healthz").await.unwrap();
        assert_eq!(told, code, "{answer:?}: {text}");
        assert!(text.starts_with(says), "{answer:?}: {text}");
    }
    // Looks run side by side: one that hangs holds up no other.
    let (one, other) = tokio::join!(probe.get("/healthz"), async {
        driver.answers(Answer::Hang);
        tokio::time::sleep(Duration::from_millis(50)).await;
        driver.answers(Answer::Unset);
        probe.get("/healthz").await
    });
    assert!(one.is_some());
    assert_eq!(other.unwrap().0, 200);
}

#[tokio::test]
async fn a_driver_that_goes_and_comes_is_seen_to() {
    let probe = Probe::new(&["--probe-timeout=5s"]).await;
    let driver = Scripted::named("d");
    let serving = serve(&probe.socket(), driver.routes()).await;
    let process = probe.start();
    probe.until_listening().await;
    drop(serving);
    while probe.socket().exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (code, text) = probe.get("/healthz").await.unwrap();
    assert_eq!(code, 500, "{text}");
    assert!(text.contains("csi.sock"), "{text}");
    assert!(!process.is_finished(), "the probe never ends for a driver");
    let _serving = serve(&probe.socket(), driver.routes()).await;
    assert_eq!(probe.get("/healthz").await.unwrap().0, 200);
    let (code, metrics) = probe.get("/metrics").await.unwrap();
    let probes = "csi_sidecar_operations_seconds_count{driver_name=\"d\",grpc_status_code=\"OK\",method_name=\"/csi.v1.Identity/Probe\"} 1";
    assert_eq!(code, 200);
    assert!(metrics.contains(probes), "{metrics}");
}

#[tokio::test]
async fn sidecars_case_134_a_taken_port_ends_the_process() {
    let probe = Probe::new(&[]).await;
    let _taken = TcpListener::bind(&probe.config.health).await.unwrap();
    let _serving = serve(&probe.socket(), Scripted::named("d").routes()).await;
    let error = probe.start().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Bind(_)), "{error}");
}

#[tokio::test]
async fn a_driver_without_a_name_ends_the_process() {
    let probe = Probe::new(&[]).await;
    let _serving = serve(&probe.socket(), Scripted::named("").routes()).await;
    let error = probe.start().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("empty name"), "{error}");
}

#[tokio::test]
async fn without_an_address_for_them_there_are_no_metrics() {
    let mut probe = Probe::new(&[]).await;
    probe.config.metrics = None;
    let _serving = serve(&probe.socket(), Scripted::named("d").routes()).await;
    let _process = probe.start();
    probe.until_listening().await;
    assert_eq!(probe.get("/healthz").await.unwrap().0, 200);
    assert_eq!(probe.get("/metrics").await.unwrap().0, 404);
}
