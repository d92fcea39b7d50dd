//! `slackwater selftest`: whether the driver and its sidecars work in a cluster. Makes a claim with a pod that writes, a snapshot,
//! a claim restored from it, and a larger claim; compares the data; removes what it made, however it ends.
//!
//! | File | Subject |
//! |---|---|
//! | `args.rs` | flags |
//! | `cluster.rs` | requests and watches |
//! | `data.rs` | what the pods do on a volume |
//! | `judge.rs` | what the objects say |
//! | `manifests.rs` | what is made |
//! | `objects.rs` | objects with all their fields |
//! | `story.rs` | the steps |

mod args;
mod cluster;
mod data;
mod judge;
mod manifests;
mod objects;
mod story;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use base::args::Environment;
use base::process::{Signals, TERMINATION_LOG, write_termination_log};
use base::{Clock, Random, Scope};
use kube::{Client, Resource as _};
use prometheus::Registry;
use runtime::client::{ClientError, Connection, proxy_remark};
use runtime::{ApiError, ApiErrorClass, ObjectKey};

pub use self::args::{Args, Part, Task};
use self::cluster::Cluster;
use self::manifests::{Likeness, Run};
use self::objects::Pod;
use self::story::{Classes, Report, Story};

/// How long the API server may be at work on a request that was cut off.
const SETTLED: Duration = Duration::from_secs(1);

/// What a run goes by.
#[derive(Clone, Debug)]
pub struct Options {
    /// The driver whose classes are looked for.
    pub driver: String,
    /// The StorageClass; empty for the default.
    pub storage_class: String,
    /// The VolumeSnapshotClass; empty for the default.
    pub snapshot_class: String,
    /// A snapshot is taken and restored.
    pub snapshots: bool,
    /// The claim grows.
    pub expands: bool,
    /// GiB of the claim.
    pub gib: u32,
    /// Where all is made.
    pub namespace: String,
    /// The image of the pods; empty for that of the own pod.
    pub image: String,
    /// The own pod.
    pub pod: Option<ObjectKey>,
    /// How long each step may take.
    pub timeout: Duration,
    /// How long the removal may take.
    pub cleanup_timeout: Duration,
}

/// Why the test did not pass.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The cluster has nothing that could be tested in this way; says what to do.
    #[error("{0}")]
    Unfit(String),
    /// Something did not come about.
    #[error("{0}")]
    Missed(String),
    /// A request was refused, or had no answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no way to the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The process was told to stop.
    #[error("ended before its time by a signal")]
    Interrupted,
    /// All of it works, and something stays.
    #[error("not removed: {0}")]
    Left(String),
    /// What the process itself needs is not to be had.
    #[error("{0}")]
    Process(String),
}

impl Failure {
    /// 1: something does not work; 3: the API server cannot be reached; 4: a right is missing.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(_) => 3,
            Self::Api(error) if error.class() == ApiErrorClass::Forbidden => 4,
            Self::Api(error) if error.class() == ApiErrorClass::Transient => 3,
            _ => 1,
        }
    }
}

impl Args {
    /// What the flags and the process's surroundings say.
    #[must_use]
    pub fn options(&self, environment: &Environment) -> Options {
        let own = environment.pod_name.as_deref();
        let named = Some(self.namespace.clone()).filter(|namespace| !namespace.is_empty());
        Options {
            driver: self.driver.clone(),
            storage_class: self.storage_class.clone(),
            snapshot_class: self.snapshot_class.clone(),
            snapshots: !self.skip.contains(&Part::Snapshot),
            expands: !self.skip.contains(&Part::Expansion),
            gib: self.size,
            namespace: named.unwrap_or_else(|| environment.namespace()),
            image: self.image.clone(),
            pod: own.map(|name| ObjectKey::new(environment.namespace(), name)),
            timeout: self.timeout.0,
            cleanup_timeout: self.cleanup_timeout.0,
        }
    }
}

/// The process: its task, and how it ends.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    if args.process.version {
        let line = base::args::version_line("selftest", crate::VERSION);
        let _ = writeln!(std::io::stdout(), "{line}");
        return ExitCode::SUCCESS;
    }
    let ended = match args.task {
        Task::Write => {
            data::write(&args.path, args.seed).map_err(|error| Failure::Process(error.to_string()))
        }
        Task::Check => {
            let checked = data::check(&args.path, args.seed, args.at_least);
            checked.map_err(|error| Failure::Process(error.to_string()))
        }
        Task::Hold => waiting(hold()),
        Task::Run => waiting(in_cluster(args)),
    };
    match ended {
        Ok(said) => {
            let _ = writeln!(std::io::stdout(), "{said}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let text = format!("error: {failure}");
            let _ = writeln!(std::io::stderr(), "{text}");
            let _ = write_termination_log(TERMINATION_LOG.as_ref(), &text);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn waiting(work: impl Future<Output = Result<String, Failure>>) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::Process(error.to_string()))?
        .block_on(work)
}

/// Keeps the volume of its pod mounted.
async fn hold() -> Result<String, Failure> {
    let (scope, signals) = (Scope::new(), signals()?);
    tokio::select! {
        () = signals.relay(&scope) => {}
        () = scope.stopping() => {}
    }
    Ok("told to stop".to_owned())
}

fn signals() -> Result<Signals, Failure> {
    Signals::install().map_err(|error| Failure::Process(error.to_string()))
}

/// The test in the cluster that the flags name.
async fn in_cluster(args: &Args) -> Result<String, Failure> {
    let clock = Clock::system();
    let logs = base::logging::install(&args.log, &clock, None);
    logs.map_err(|error| Failure::Process(error.to_string()))?;
    let (scope, signals) = (Scope::new(), signals()?);
    let environment = Environment::of_process();
    let options = args.options(&environment);
    let agent = format!("slackwater/{} selftest", crate::VERSION);
    if let Some(remark) = proxy_remark(&args.kube, &environment) {
        tracing::warn!("{remark}");
    }
    let connection = Connection::from_args(&args.kube, &agent).await?;
    let clients = connection.clients("selftest", &Registry::new());
    let client = clients.map_err(|error| Failure::Process(error.to_string()))?.work;
    let (random, out) = (Random::from_entropy(), Box::new(std::io::stdout()));
    let working = scope.child();
    tokio::select! {
        biased;
        ended = run(&client, &options, (&clock, &random), &working, out) => ended,
        () = signals.relay(&working) => Err(Failure::Interrupted),
    }
}

/// Tests, and removes what it made; until then when `scope` is told to stop.
///
/// # Errors
/// What does not work; that something could not be removed.
pub async fn run(
    client: &Client,
    options: &Options,
    (clock, random): (&Clock, &Random),
    scope: &Scope,
    out: Box<dyn Write + Send>,
) -> Result<String, Failure> {
    let mut report = Report::new(out);
    let classes = Classes::find(client, options).await?;
    let run = begun(client, options, random).await?;
    report.line(&format!(
        "{} in namespace {}; all it makes has the label {}",
        run.name,
        run.namespace,
        run.selector()
    ));
    let place = (run.namespace.as_str(), run.selector());
    let followed = Cluster::follow(
        client,
        (clock, random),
        scope,
        (place.0, &place.1),
        classes.snapshots.is_some(),
    );
    let cluster = followed.await?;
    let mut story = Story {
        cluster: &cluster,
        run: &run,
        classes: &classes,
        report: &mut report,
        timeout: options.timeout,
        gib: options.gib,
        expands: options.expands,
    };
    let told = tokio::select! {
        biased;
        () = scope.stopping() => Err(Failure::Interrupted),
        told = story.tell() => told,
    };
    if matches!(told, Err(Failure::Interrupted)) {
        // A request that was cut off may still be done.
        tokio::time::sleep(SETTLED).await;
    }
    if let Err(failure) = &told {
        report.line(&format!("FAILED: {failure}"));
    }
    report.line("removing what was made");
    let removed = cluster.remove_all(options.cleanup_timeout).await;
    match &removed {
        Ok(()) => report.line("nothing of it is left"),
        Err(left) => report.line(&format!(
            "left: {left}. Remove it by: kubectl delete -n {} pod,volumesnapshot,pvc -l {}",
            run.namespace, place.1
        )),
    }
    told?;
    removed.map_err(Failure::Left)?;
    Ok("passed".to_owned())
}

/// The run, with what its pods have of the own one.
async fn begun(client: &Client, options: &Options, random: &Random) -> Result<Run, Failure> {
    let own = match &options.pod {
        None => None,
        Some(pod) => Some(cluster::read::<Pod>(client, pod).await?),
    };
    let mut pods = match (&own, options.image.as_str()) {
        (None, "") => {
            return Err(Failure::Unfit(
                "--image: name the image of this program for the pods that write and read".to_owned(),
            ));
        }
        (None, image) => Likeness::of_image(image),
        (Some(pod), _) => Likeness::of_pod(pod.value()),
    };
    if !options.image.is_empty() {
        options.image.clone_into(&mut pods.image);
    }
    Ok(Run {
        name: format!("selftest-{}", random.name_suffix(5)),
        namespace: options.namespace.clone(),
        // An owner of another namespace is none.
        owner: own
            .filter(|pod| pod.meta().namespace.as_ref() == Some(&options.namespace))
            .map(|pod| story::identity(pod.meta())),
        pods,
        seed: random.next_u64(),
    })
}
