//! Upstream's flags (sidecars.md 1.1, 3.1) and the checked configuration.

use std::time::Duration;

use base::args::{Gate, GoDuration, Stage, parse_interval};
use controller::args::{ArgsError, DriverArgs, DriverConfig, workers};
use runtime::args::{CommonArgs, CommonConfig};

/// The command line of `slackwater csi-attacher`. Read it with [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "csi-attacher",
    disable_version_flag = true,
    about = "Attaches volumes to nodes as VolumeAttachments ask for"
)]
pub struct Args {
    /// What every controller has.
    #[command(flatten)]
    pub common: CommonArgs,
    /// What only this function has.
    #[command(flatten)]
    pub own: OwnArgs,
}

/// Flags of this function alone.
#[derive(Clone, Debug, clap::Args)]
pub struct OwnArgs {
    /// How to reach the driver.
    #[command(flatten)]
    pub driver: DriverArgs,

    /// Longest time of one CSI call, and of all pages of one ListVolumes.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub timeout: GoDuration,

    /// Attachments that are worked on at the same time, and as many volumes.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub worker_threads: usize,

    /// How often every attachment is looked at without a change.
    #[arg(long, value_name = "DURATION", default_value = "10m", alias = "resync-period",
          value_parser = parse_interval, allow_hyphen_values = true)]
    pub resync: GoDuration,

    /// Volumes a page of ListVolumes; 0 leaves it to the driver.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..))]
    pub max_entries: i32,

    /// How often what the driver lists is compared with what attachments say; 0 means never.
    #[arg(long, value_name = "DURATION", default_value = "1m",
          value_parser = parse_interval, allow_hyphen_values = true)]
    pub reconcile_sync: GoDuration,

    /// File system of volumes that name none.
    #[arg(long, value_name = "TYPE", default_value = "")]
    pub default_fstype: String,

    /// Longest answer of a driver in the log. Ours are not logged; accepted.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = -1,
        allow_negative_numbers = true,
        hide = true
    )]
    pub max_grpc_log_length: i64,
}

/// Attachments that fail tell the code of the driver, from which kubelet learns how many volumes a node has room for.
const ERROR_CODES: &str = "MutableCSINodeAllocatableCount";

/// The gates that upstream knows.
const GATES: [Gate; 2] = [
    Gate {
        name: ERROR_CODES,
        default: true,
        stage: Stage::Ga,
    },
    Gate {
        name: "ReleaseLeaderElectionOnExit",
        default: false,
        stage: Stage::Alpha,
    },
];

/// What `run` is given: flags that were checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every controller has.
    pub common: CommonConfig,
    /// How to reach the driver.
    pub driver: DriverConfig,
    /// Zero means never.
    pub resync: Duration,
    /// Attachments at the same time, and as many volumes.
    pub workers: usize,
    /// Volumes a page; 0 leaves it to the driver.
    pub max_entries: i32,
    /// Zero means never.
    pub reconcile_sync: Duration,
    /// File system of volumes that name none.
    pub default_fs_type: String,
    /// Gate MutableCSINodeAllocatableCount: errors carry the code of the driver.
    pub error_codes: bool,
}

impl Args {
    /// Checks the flags.
    ///
    /// # Errors
    /// The first contradiction, before anything is called.
    pub fn config(&self) -> Result<Config, ArgsError> {
        let own = &self.own;
        let common = self.common.config(&GATES)?;
        Ok(Config {
            driver: own.driver.config(own.timeout)?,
            resync: own.resync.0,
            workers: workers("worker-threads", own.worker_threads)?,
            max_entries: own.max_entries,
            reconcile_sync: own.reconcile_sync.0,
            default_fs_type: own.default_fstype.clone(),
            error_codes: common.gates.enabled(ERROR_CODES),
            common,
        })
    }
}
