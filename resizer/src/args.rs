//! Upstream's flags (resize.md 1.2, 1.3) and the checked configuration.

use std::time::Duration;

use base::args::{Environment, Gate, GoDuration, Stage, parse_bool, parse_interval};
use controller::args::{ArgsError, DriverArgs, DriverConfig, workers};
use runtime::args::{CommonArgs, CommonConfig, KubeArgs};

/// The command line of `slackwater csi-resizer`. Read it with [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "csi-resizer",
    disable_version_flag = true,
    about = "Expands and changes volumes as PersistentVolumeClaims ask for"
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
    /// Address of the API server, instead of the kubeconfig's; without a kubeconfig it is asked without credentials.
    #[arg(long, value_name = "URL", default_value = "")]
    pub master: String,

    /// How to reach the driver.
    #[command(flatten)]
    pub driver: DriverArgs,

    /// Longest time of one CSI call; where it is given also of those that have a flag of their own [default: 10s].
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<GoDuration>,

    /// Longest time of one ControllerExpandVolume; ignored where --timeout is given.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub resize_timeout: GoDuration,

    /// Longest time of one ControllerModifyVolume; ignored where --timeout is given.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub modify_timeout: GoDuration,

    /// Claims that are worked on at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub workers: usize,

    /// How often every claim is looked at without a change.
    #[arg(long, value_name = "DURATION", default_value = "10m",
          value_parser = parse_interval, allow_hyphen_values = true)]
    pub resync_period: GoDuration,

    /// After FailedPrecondition wait until the volume is no longer in use.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub handle_volume_inuse_error: bool,

    /// Pass the names of claim and volume to ControllerModifyVolume.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub extra_modify_metadata: bool,
}

/// Longest time of one CSI call unless told otherwise.
const TIMEOUT: GoDuration = GoDuration(Duration::from_secs(10));

const ANNOTATE: &str = "AnnotateFsResize";
const RECOVER: &str = "RecoverVolumeExpansionFailure";
const ATTRIBUTES: &str = "VolumeAttributesClass";

/// The gates that upstream knows.
const GATES: [Gate; 4] = [
    Gate {
        name: ANNOTATE,
        default: true,
        stage: Stage::Beta,
    },
    Gate {
        name: RECOVER,
        default: true,
        stage: Stage::Ga,
    },
    Gate {
        name: ATTRIBUTES,
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
    /// Longest time of one ControllerExpandVolume.
    pub resize_timeout: Duration,
    /// Longest time of one ControllerModifyVolume.
    pub modify_timeout: Duration,
    /// Zero means never.
    pub resync_period: Duration,
    /// Claims at the same time.
    pub workers: usize,
    /// After FailedPrecondition wait until the volume is no longer in use.
    pub handle_volume_inuse_error: bool,
    /// Gate AnnotateFsResize: keep the former size on the volume while a node has work to do.
    pub annotate: bool,
    /// Gate RecoverVolumeExpansionFailure: record targets, so that a failed expansion can be given up.
    pub recover: bool,
    /// Gate VolumeAttributesClass: change volumes as attributes classes say.
    pub modify: bool,
    /// Where the API server has no attributes classes of `v1`, those of `v1beta1`.
    pub attributes_fallback: bool,
    /// Pass the names of claim and volume to ControllerModifyVolume.
    pub extra_modify_metadata: bool,
}

impl Args {
    /// How to reach the API server.
    #[must_use]
    pub fn connection(&self) -> KubeArgs {
        KubeArgs {
            master: self.own.master.clone(),
            ..self.common.kube.clone()
        }
    }

    /// Checks the flags. Source: resize.md 1.1 steps 1 to 4.
    ///
    /// # Errors
    /// The first contradiction, before anything is called.
    pub fn config(&self, environment: &Environment) -> Result<Config, ArgsError> {
        let own = &self.own;
        let common = self.common.config(&GATES)?;
        let driver = own.driver.config(own.timeout.unwrap_or(TIMEOUT))?;
        Ok(Config {
            driver,
            resize_timeout: self.call_timeout("resize-timeout", own.resize_timeout)?,
            modify_timeout: self.call_timeout("modify-timeout", own.modify_timeout)?,
            resync_period: own.resync_period.0,
            workers: workers("workers", own.workers)?,
            handle_volume_inuse_error: own.handle_volume_inuse_error,
            annotate: common.gates.enabled(ANNOTATE),
            recover: common.gates.enabled(RECOVER),
            modify: common.gates.enabled(ATTRIBUTES),
            attributes_fallback: environment.vac_fallback,
            extra_modify_metadata: own.extra_modify_metadata,
            common,
        })
    }

    /// `--timeout` wins over the flag of one call, as upstream.
    fn call_timeout(&self, flag: &'static str, own: GoDuration) -> Result<Duration, ArgsError> {
        match self.own.timeout.unwrap_or(own).0 {
            Duration::ZERO => Err(ArgsError::Zero(flag)),
            timeout => Ok(timeout),
        }
    }
}
