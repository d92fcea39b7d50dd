//! Upstream's flags (snapshot.md 5.1, sidecars.md 1.1) and the checked configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use base::args::{Environment, Gate, GoDuration, Stage, parse_bool, parse_interval};
use controller::Definitions;
use controller::args::{ArgsError, DriverArgs, DriverConfig, workers};
use runtime::args::{CommonArgs, CommonConfig};
use runtime::crds::Patience;

/// The command line of `slackwater csi-snapshotter`. Read it with [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "csi-snapshotter",
    disable_version_flag = true,
    about = "Drives a CSI driver from VolumeSnapshotContent objects"
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

    /// Longest time of one CSI call.
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub timeout: GoDuration,

    /// Beginning of the CSI names of snapshots.
    #[arg(long, value_name = "PREFIX", default_value = "snapshot")]
    pub snapshot_name_prefix: String,

    /// Characters of the UID in the CSI names of snapshots, 1 to 32; -1 is the whole UID with its dashes.
    #[arg(long, value_name = "NUMBER", default_value_t = -1, allow_negative_numbers = true)]
    pub snapshot_name_uuid_length: i32,

    /// Beginning of the CSI names of group snapshots.
    #[arg(long, value_name = "PREFIX", default_value = "groupsnapshot")]
    pub groupsnapshot_name_prefix: String,

    /// Characters of the UID in the CSI names of group snapshots, 1 to 32; -1 is the whole UID with its dashes.
    #[arg(long, value_name = "NUMBER", default_value_t = -1, allow_negative_numbers = true)]
    pub groupsnapshot_name_uuid_length: i32,

    /// Pass the names of VolumeSnapshot and VolumeSnapshotContent, or those of a group, to the driver as parameters.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub extra_create_metadata: bool,

    /// Handle only contents that are labelled with this node (environment variable NODE_NAME).
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub node_deployment: bool,

    /// How often every content is looked at without a change.
    #[arg(long, value_name = "DURATION", default_value = "15m",
          value_parser = parse_interval, allow_hyphen_values = true)]
    pub resync_period: GoDuration,

    /// Contents that are worked on at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub worker_threads: usize,
}

/// Groups of snapshots; on by default since external-snapshotter 8.7.
const GROUPS: &str = "CSIVolumeGroupSnapshot";

/// The gates that upstream knows.
const GATES: [Gate; 2] = [
    Gate {
        name: GROUPS,
        default: true,
        stage: Stage::Ga,
    },
    Gate {
        name: "ReleaseLeaderElectionOnExit",
        default: false,
        stage: Stage::Alpha,
    },
];

/// Flags that contradict each other or cannot work. The process ends with exit 1 before any call.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Per-node replicas do not compete.
    #[error("--node-deployment and --leader-election cannot be used together")]
    NodeDeploymentWithElection,
    /// The node is unknown.
    #[error("--node-deployment needs the environment variable NODE_NAME")]
    NoNodeName,
    /// Names would begin with a dash.
    #[error("--{0} must not be empty")]
    EmptyPrefix(&'static str),
    /// Too short names of two snapshots could be equal; longer ones do not exist.
    #[error("--{flag} is {value}; it must be -1 or 1 to 32")]
    UidLength {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: i32,
    },
    /// What every sidecar checks.
    #[error(transparent)]
    Shared(#[from] ArgsError),
}

/// What `run` is given: flags that were checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every controller has.
    pub common: CommonConfig,
    /// How to reach the driver.
    pub driver: DriverConfig,
    /// Beginning of CSI names.
    pub name_prefix: String,
    /// Characters of the UID in CSI names; `None` is all of them.
    pub name_uid_length: Option<usize>,
    /// Beginning of the CSI names of groups.
    pub group_name_prefix: String,
    /// Characters of the UID in those; `None` is all of them.
    pub group_name_uid_length: Option<usize>,
    /// Groups are wanted. The driver and the cluster must have them too.
    pub groups: bool,
    /// Pass object names to the driver.
    pub extra_create_metadata: bool,
    /// Handle only contents labelled with this node.
    pub node: Option<String>,
    /// Zero means never.
    pub resync_period: Duration,
    /// Contents at the same time.
    pub workers: usize,
    /// How it waits for the definitions of the snapshot kinds.
    pub definitions: Definitions,
}

impl Args {
    /// Checks the flags. Source: snapshot.md 3.1, Q26, case 16.
    ///
    /// # Errors
    /// The first contradiction, before anything is called.
    pub fn config(&self, environment: &Environment) -> Result<Config, ConfigError> {
        let own = &self.own;
        let common = self.common.config(&GATES).map_err(ArgsError::from)?;
        if own.node_deployment && common.election.is_some() {
            return Err(ConfigError::NodeDeploymentWithElection);
        }
        let node = match (own.node_deployment, environment.node_name.clone()) {
            (false, _) => None,
            (true, None) => return Err(ConfigError::NoNodeName),
            (true, node) => node,
        };
        let prefixes = BTreeMap::from([
            ("snapshot-name-prefix", &own.snapshot_name_prefix),
            ("groupsnapshot-name-prefix", &own.groupsnapshot_name_prefix),
        ]);
        if let Some((flag, _)) = prefixes.into_iter().find(|(_, prefix)| prefix.is_empty()) {
            return Err(ConfigError::EmptyPrefix(flag));
        }
        let group_uid_length = own.groupsnapshot_name_uuid_length;
        Ok(Config {
            groups: common.gates.enabled(GROUPS),
            common,
            driver: own.driver.config(own.timeout)?,
            name_prefix: own.snapshot_name_prefix.clone(),
            name_uid_length: uid_length("snapshot-name-uuid-length", own.snapshot_name_uuid_length)?,
            group_name_prefix: own.groupsnapshot_name_prefix.clone(),
            group_name_uid_length: uid_length("groupsnapshot-name-uuid-length", group_uid_length)?,
            extra_create_metadata: own.extra_create_metadata,
            node,
            resync_period: own.resync_period.0,
            workers: workers("worker-threads", own.worker_threads)?,
            definitions: Definitions::with(Patience::Endless),
        })
    }
}

fn uid_length(flag: &'static str, value: i32) -> Result<Option<usize>, ConfigError> {
    match value {
        -1 => Ok(None),
        1..=32 => Ok(usize::try_from(value).ok()),
        _ => Err(ConfigError::UidLength { flag, value }),
    }
}
