//! The control plane that all tests of a run share, one at a time.

use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use conformance::{ControlPlane, Error, Options};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{Mutex, MutexGuard};

/// Set it, to anything, where a layer that cannot be run is a failure.
const REQUIRED: &str = "SLACKWATER_CONFORMANCE";
/// The same for what needs root.
const ROOT_REQUIRED: &str = "SLACKWATER_ROOT_TESTS";
/// How long anything may take; builds may use the same processors.
pub const PATIENCE: Duration = Duration::from_secs(120);

static PLANE: Mutex<Option<ControlPlane>> = Mutex::const_new(None);

/// The control plane, for one test alone.
pub struct Guard {
    plane: MutexGuard<'static, Option<ControlPlane>>,
    begun: Instant,
    layer: &'static str,
}

impl Deref for Guard {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        self.plane.as_ref().unwrap()
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut ControlPlane {
        self.plane.as_mut().unwrap()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What a failed test leaves behind must not fail the next one.
            *self.plane = None;
        }
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let seconds = self.begun.elapsed().as_secs_f64();
        say(&format!("layer {}: {name} took {seconds:.1} s", self.layer));
    }
}

/// A control plane for one test, whose controllers stand still: what they write would come between the requests. None,
/// and a line that says so, where it was not built.
pub async fn quiet_control_plane(layer: &str) -> Option<ControlPlane> {
    let plane = start(layer).await?;
    let controllers = i32::try_from(plane.controller_manager().id()).unwrap();
    kill_process(Pid::from_raw(controllers).unwrap(), Signal::STOP).unwrap();
    Some(plane)
}

/// A control plane for one test, without our definitions, and with the controllers of what is installed. None, and a line that says
/// so, where it was not built.
pub async fn empty_control_plane(layer: &str) -> Option<ControlPlane> {
    let controllers = [
        "daemonset-controller",
        "deployment-controller",
        "disruption-controller",
        "replicaset-controller",
        "volumeattributesclass-protection-controller",
    ];
    let options = Options {
        controller_manager_args: vec![format!("--controllers={}", controllers.join(","))],
        ..Options::default()
    };
    start_with(layer, options).await
}

/// The control plane with our definitions; none, and a line that says so, where it was not built.
pub async fn control_plane(layer: &'static str) -> Option<Guard> {
    let mut plane = PLANE.lock().await;
    let begun = Instant::now();
    if plane.is_none() {
        let started = start(layer).await?;
        let manifests = repository().join("crds/manifests");
        let args = ["apply", "--server-side", "-f", manifests.to_str().unwrap()];
        started.kubectl().ok(&args).unwrap();
        let established = [
            "wait",
            "--for=condition=Established",
            "crds",
            "--all",
            "--timeout=60s",
        ];
        started.kubectl().ok(&established).unwrap();
        *plane = Some(started);
    }
    Some(Guard { plane, begun, layer })
}

/// A new control plane; none, and a line that says so, where it was not built.
async fn start(layer: &str) -> Option<ControlPlane> {
    start_with(layer, Options::default()).await
}

async fn start_with(layer: &str, options: Options) -> Option<ControlPlane> {
    match ControlPlane::start(options).await {
        Ok(plane) => Some(plane),
        Err(error @ Error::Missing { .. }) => {
            not_run(layer, &error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Says that a layer was not run; fails where it had to be.
pub fn not_run(layer: &str, reason: &dyn std::fmt::Display) {
    say(&format!("not run: layer {layer}: {reason}"));
    assert!(
        std::env::var_os(REQUIRED).is_none(),
        "layer {layer} must be run: {reason}"
    );
}

/// The same for what only root can run.
pub fn not_run_without_root(layer: &str, reason: &str) {
    say(&format!("not run: layer {layer}: {reason}"));
    assert!(
        std::env::var_os(ROOT_REQUIRED).is_none(),
        "layer {layer} must be run: {reason}"
    );
}

/// Prints past the capture of the test harness.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The top folder of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
