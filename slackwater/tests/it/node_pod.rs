//! The pod of a node as processes of the binary: a driver, its registrar and its liveness probe.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::free_address;

const BINARY: &str = env!("CARGO_BIN_EXE_slackwater");
/// Patience with a process.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(args: &[String]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Its exit code after SIGTERM.
    fn terminate(&mut self) -> Option<i32> {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The answer to a GET; none where nothing listens.
fn get(address: &str, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Some(answer)
}

struct Pod {
    folder: tempfile::TempDir,
    health: String,
    liveness: String,
}

impl Pod {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn driver(&self) -> Vec<String> {
        vec![
            "file-csi-driver".to_owned(),
            format!("--endpoint=unix://{}", self.path("csi.sock").display()),
            format!("--data-dir={}", self.path("data").display()),
            "--node-id=node".to_owned(),
        ]
    }

    fn registrar(&self) -> Vec<String> {
        vec![
            "node-driver-registrar".to_owned(),
            format!("--csi-address={}", self.path("csi.sock").display()),
            "--kubelet-registration-path=/var/lib/kubelet/plugins/d/csi.sock".to_owned(),
            format!("--plugin-registration-path={}", self.folder.path().display()),
            format!("--http-endpoint={}", self.health),
            "--timeout=30s".to_owned(),
        ]
    }

    fn liveness(&self) -> Vec<String> {
        vec![
            "livenessprobe".to_owned(),
            format!("--csi-address={}", self.path("csi.sock").display()),
            format!("--http-endpoint={}", self.liveness),
            "--probe-timeout=30s".to_owned(),
        ]
    }
}

fn says(address: &str, path: &str, code: u16) -> bool {
    get(address, path).is_some_and(|answer| answer.starts_with(&format!("HTTP/1.1 {code} ")))
}

#[test]
fn a_pod_registers_its_driver_tells_its_health_and_goes() {
    let pod = Pod {
        folder: tempfile::tempdir().unwrap(),
        health: free_address(),
        liveness: free_address(),
    };
    let mut registrar = Process::start(&pod.registrar());
    let mut liveness = Process::start(&pod.liveness());
    let mut driver = Process::start(&pod.driver());
    let registration = pod.path("file.csi.slackwater-reg.sock");
    let is_there = |path: &Path| path.exists();
    until("the driver is registered", || is_there(&registration));
    until("the registrar is well", || says(&pod.health, "/healthz", 200));
    until("the driver is well", || says(&pod.liveness, "/healthz", 200));
    let metrics = get(&pod.liveness, "/metrics").unwrap();
    assert!(
        metrics.contains("csi_sidecar_operations_seconds_count{driver_name=\"file.csi.slackwater\""),
        "{metrics}"
    );
    let again = Command::new(BINARY).args(pod.driver()).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "two drivers on one folder");
    assert!(String::from_utf8_lossy(&again.stderr).contains("used by another process"));

    assert_eq!(liveness.terminate(), Some(0));
    assert_eq!(driver.terminate(), Some(0));
    assert!(!is_there(&pod.path("csi.sock")));
    assert_eq!(registrar.terminate(), Some(0));
    assert!(!is_there(&registration));
}

#[test]
fn sidecars_case_131_the_probe_mode_ends_at_once() {
    let run = |args: &[&str]| {
        let output = Command::new(BINARY)
            .arg("node-driver-registrar")
            .args(args)
            .output();
        output.unwrap().status.code()
    };
    let mode = "--mode=kubelet-registration-probe";
    assert_eq!(run(&[mode]), Some(1));
    assert_eq!(run(&[mode, "--kubelet-registration-path=/a"]), Some(0));
}
