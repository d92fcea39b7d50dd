//! Flags of the selftest.

use base::args::{GoDuration, LogArgs, ProcessArgs};
use runtime::args::KubeArgs;

/// The command line of `slackwater selftest`. Read it with [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "selftest",
    disable_version_flag = true,
    about = "Tries claims, snapshots, restores and growth in a cluster, and removes what it made",
    after_help = "Exit codes: 0 all of it works and is removed; 1 something does not, or the test was ended before its time; \
                  2 flags that cannot be read; 3 the API server cannot be reached; 4 a right is missing."
)]
pub struct Args {
    /// The test, or the part of it that one of its pods does
    #[arg(value_enum, default_value_t = Task::Run)]
    pub task: Task,

    /// StorageClass of the claims; none means the default one, else the only one, of the driver
    #[arg(long, value_name = "NAME", default_value = "")]
    pub storage_class: String,

    /// VolumeSnapshotClass; none means the default one, else the only one, of the driver
    #[arg(long, value_name = "NAME", default_value = "")]
    pub snapshot_class: String,

    /// Parts to leave out
    #[arg(long, value_name = "PARTS", value_enum, value_delimiter = ',')]
    pub skip: Vec<Part>,

    /// The driver whose classes are looked for
    #[arg(long, value_name = "NAME", default_value = ebs_driver::names::DRIVER)]
    pub driver: String,

    /// GiB of the claim; it grows by one
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub size: u32,

    /// Namespace of what is made; none means that of this pod, else `default`
    #[arg(long, value_name = "NAME", default_value = "")]
    pub namespace: String,

    /// Image of the pods, which has this program; none means that of this pod (POD_NAME)
    #[arg(long, value_name = "IMAGE", default_value = "")]
    pub image: String,

    /// How long each step may take
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub timeout: GoDuration,

    /// How long the removal of what was made may take
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub cleanup_timeout: GoDuration,

    /// Of the pods: where the volume is mounted
    #[arg(long, value_name = "FOLDER", default_value = super::manifests::MOUNT)]
    pub path: std::path::PathBuf,

    /// Of the pods: which data are written and expected
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,

    /// Of the pods: how many bytes the file system has at least
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub at_least: u64,

    /// The process itself.
    #[command(flatten)]
    pub process: ProcessArgs,

    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,

    /// The API server.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// What this process does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Task {
    /// The whole test.
    Run,
    /// Writes data to a volume.
    Write,
    /// Keeps a volume mounted until it is told to stop.
    Hold,
    /// Compares the data on a volume with what was written.
    Check,
}

/// A part of the test that can be left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Part {
    /// The snapshot, and the claim that begins with it.
    Snapshot,
    /// The growth of the claim.
    Expansion,
}
