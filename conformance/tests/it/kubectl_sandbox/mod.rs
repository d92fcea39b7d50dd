//! The real kubectl before the sandbox and before a real kube-apiserver: it must print the same.

mod script;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base::{Clock, Random, Scope};
use sandbox::kube::ApiServer;
use tokio::net::TcpListener;

use crate::shared;
use script::{COLUMNS, Step};

const LAYER: &str = "5 kubectl";

/// kubectl with a kubeconfig.
struct Shell {
    program: PathBuf,
    kubeconfig: PathBuf,
    folder: PathBuf,
}

impl Shell {
    /// Runs one command; its exit code and all that it printed.
    fn run(&self, step: &Step) -> String {
        let mut child = Command::new(&self.program)
            .args(
                step.args
                    .iter()
                    .map(|arg| arg.replace("FOLDER", &self.folder.display().to_string())),
            )
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.folder.join("cache"))
            .env("HOME", &self.folder)
            .env("KUBE_EDITOR", step.editor)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end without reading all of it.
        let _ = child.stdin.take().unwrap().write_all(step.input.as_bytes());
        let output = child.wait_with_output().unwrap();
        format!(
            "exit {}\n{}{}",
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kubectl_sandbox_prints_what_it_prints_of_the_real_one() {
    let begun = std::time::Instant::now();
    let Some(plane) = shared::quiet_control_plane(LAYER).await else {
        return;
    };
    let program = plane.programs().path("kubectl");
    let folder = tempfile::tempdir().unwrap();
    let real = shell(&program, &plane.admin().kubeconfig, &folder.path().join("real"));
    let scope = Scope::new();
    let kubeconfig = sandbox(&scope, folder.path()).await;
    let ours = shell(&program, &kubeconfig, &folder.path().join("sandbox"));
    let (number, different) = tokio::task::spawn_blocking(move || compare(&ours, &real))
        .await
        .unwrap();
    assert!(
        different.is_empty(),
        "kubectl prints other things:\n{}",
        different.join("\n")
    );
    let seconds = begun.elapsed().as_secs_f64();
    shared::say(&format!("layer {LAYER}: {number} commands in {seconds:.1} s"));
}

fn shell(program: &Path, kubeconfig: &Path, folder: &Path) -> Shell {
    std::fs::create_dir_all(folder).unwrap();
    Shell {
        program: program.to_owned(),
        kubeconfig: kubeconfig.to_owned(),
        folder: folder.to_owned(),
    }
}

/// Serves the sandbox's API, without actors; its kubeconfig.
async fn sandbox(scope: &Scope, folder: &Path) -> PathBuf {
    let random = Random::seeded(6);
    let server = ApiServer::new(Clock::system(), random.fork(), scope);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, token) = (listener.local_addr().unwrap(), random.uuid());
    server.serve(listener, &token).unwrap();
    let path = folder.join("sandbox.kubeconfig");
    std::fs::write(&path, server.kubeconfig(address, &token).unwrap()).unwrap();
    path
}

/// Runs all commands on both; how many, and those that print different things.
fn compare(ours: &Shell, real: &Shell) -> (usize, Vec<String>) {
    let steps = script::steps();
    let at = steps.iter().position(|step| step.args[0] == "delete").unwrap();
    let mut different = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        if number == at {
            check_columns(ours, &mut different);
        }
        let (left, right) = (plain(&ours.run(step), step), plain(&real.run(step), step));
        if left != right {
            let command = step.args.join(" ");
            different.push(format!(
                "$ kubectl {command}\n--- sandbox\n{left}\n--- real\n{right}\n"
            ));
        }
    }
    (steps.len() + COLUMNS.len(), different)
}

/// Scripts cut columns by position.
fn check_columns(ours: &Shell, different: &mut Vec<String>) {
    for (kind, columns) in COLUMNS {
        let wide = ["", "-o=wide"][usize::from(columns.ends_with("VOLUMEMODE"))];
        let args: Vec<&str> = ["get", kind, wide]
            .into_iter()
            .filter(|arg| !arg.is_empty())
            .collect();
        let printed = ours.run(&Step::new(&args));
        let header = printed.lines().nth(1).unwrap_or_default();
        let header = header.split_whitespace().collect::<Vec<_>>().join(" ");
        if header != *columns {
            different.push(format!("$ kubectl get {kind}: {header}, not {columns}"));
        }
    }
}

/// What was printed without what must differ: times, ages, UIDs, versions, file names.
fn plain(printed: &str, step: &Step) -> String {
    // The API server appends the difference of two specs.
    let lines = printed.lines().filter(|line| {
        step.args[0] == "diff" || !line.starts_with(['@', ' ', '-', '+']) || !printed.contains("\n@@ ")
    });
    let mut lines: Vec<String> = lines.map(plain_line).filter(|line| !line.is_empty()).collect();
    if step.is_unordered {
        lines.sort();
    }
    lines.join("\n")
}

fn plain_line(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    if let Some((before, _)) = line
        .split_once("resourceVersion\": ")
        .or(line.split_once("resourceVersion: "))
    {
        return format!("{before}resourceVersion");
    }
    let words = line.split_whitespace().map(plain_word);
    format!("{}{}", " ".repeat(indent), words.collect::<Vec<_>>().join(" "))
}

fn plain_word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| "\"',;()[]".contains(c));
    let is_age = bare.ends_with(['s', 'm', 'h', 'd']) && bare.starts_with(|c: char| c.is_ascii_digit());
    let is_uid = bare.len() == 36 && bare.split('-').count() == 5;
    let is_version = bare.len() < 7 && bare.bytes().all(|byte| byte.is_ascii_digit()) && bare.len() > 1;
    if is_uid || bare.parse::<jiff::Timestamp>().is_ok() || is_age || is_version || bare.starts_with("/tmp/")
    {
        return word.replace(bare, "#");
    }
    word.to_owned()
}
