//! Upstream's flags (snapshot.md 5.1) and the checked configuration.

use std::time::Duration;

use base::args::{Gate, GoDuration, Stage, parse_bool, parse_interval};
use controller::Definitions;
use controller::args::{ArgsError, workers};
use runtime::args::{CommonArgs, CommonConfig};
use runtime::crds::Patience;

use crate::plan::Options;

/// The command line of `slackwater snapshot-controller`. Read it with [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "snapshot-controller",
    disable_version_flag = true,
    about = "Reconciles VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass"
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
    /// How often every snapshot and content is looked at without a change.
    #[arg(long, value_name = "DURATION", default_value = "15m",
          value_parser = parse_interval, allow_hyphen_values = true)]
    pub resync_period: GoDuration,

    /// Objects of each kind that are worked on at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub worker_threads: usize,

    /// How long to wait for the custom resource definitions at the start, at least 1s.
    #[arg(long, value_name = "DURATION", default_value = "30s",
          value_parser = parse_interval, allow_hyphen_values = true)]
    pub retry_crd_interval_max: GoDuration,

    /// Label contents with the node of their volume, for csi-snapshotters with --node-deployment.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub enable_distributed_snapshotting: bool,

    /// Record the mode of the source volume, so that it is not changed unnoticed at a restore.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub prevent_volume_mode_conversion: bool,
}

/// The gates that upstream knows.
const GATES: [Gate; 2] = [
    Gate {
        name: "CSIVolumeGroupSnapshot",
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
    /// Zero means never.
    pub resync_period: Duration,
    /// Objects of each kind at the same time.
    pub workers: usize,
    /// How it waits for the definitions of the snapshot kinds.
    pub definitions: Definitions,
    /// Whether it works on group snapshots where their kinds are defined (`CSIVolumeGroupSnapshot`).
    pub groups: bool,
    /// Options that change decisions.
    pub options: Options,
}

impl Args {
    /// Checks the flags.
    ///
    /// # Errors
    /// The first contradiction, before anything is sent.
    pub fn config(&self) -> Result<Config, ArgsError> {
        let own = &self.own;
        let common = self.common.config(&GATES)?;
        Ok(Config {
            groups: common.gates.enabled(GATES[0].name),
            common,
            resync_period: own.resync_period.0,
            workers: workers("worker-threads", own.worker_threads)?,
            definitions: Definitions::with(Patience::AtMost(own.retry_crd_interval_max.0)),
            options: Options {
                record_volume_mode: own.prevent_volume_mode_conversion,
                distributed: own.enable_distributed_snapshotting,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Result<Config, ArgsError> {
        let line = ["snapshot-controller"].iter().chain(flags).map(Into::into);
        base::args::parse::<Args>(line).unwrap().config()
    }

    #[test]
    fn the_defaults_are_upstreams() {
        let config = config(&[]).unwrap();
        assert_eq!(config.resync_period, Duration::from_secs(900));
        assert_eq!(config.workers, 10);
        assert_eq!(
            config.common.retry_intervals,
            (Duration::from_secs(1), Duration::from_secs(300))
        );
        assert_eq!(
            config.definitions.patience,
            Patience::AtMost(Duration::from_secs(30))
        );
        assert_eq!(config.options, Options::default());
        assert!(config.common.election.is_none() && config.common.http.is_none());
        assert!(config.groups);
    }

    #[test]
    fn the_flags_of_the_upstream_deployment_are_read() {
        let config = config(&[
            "--v=5",
            "--leader-election=true",
            "-worker-threads",
            "3",
            "--prevent-volume-mode-conversion=false",
            "--enable-distributed-snapshotting",
            "--feature-gates=CSIVolumeGroupSnapshot=false",
            "--http-endpoint=:8080",
        ])
        .unwrap();
        assert_eq!(config.workers, 3);
        assert!(config.common.election.is_some() && config.common.http.is_some());
        assert!(config.options.distributed && !config.options.record_volume_mode);
        assert!(!config.groups);
    }

    #[test]
    fn sidecars_case_240_negative_intervals_are_as_zero() {
        let config = config(&["--resync-period=-1s", "--retry-crd-interval-max=-1s"]).unwrap();
        assert_eq!(config.resync_period, Duration::ZERO);
        assert_eq!(config.definitions.patience, Patience::AtMost(Duration::ZERO));
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for flags in [
            &["--worker-threads=0"][..],
            &["--retry-interval-start=0s"],
            &["--http-endpoint=:1", "--metrics-address=:2"],
            &["--leader-election", "--leader-election-lease-duration=1s"],
            &["--feature-gates=Nonsense=true"],
        ] {
            assert!(config(flags).is_err(), "{flags:?}");
        }
        let unknown = ["snapshot-controller", "--enable-volume-group-snapshots"].map(Into::into);
        assert_eq!(base::args::parse::<Args>(unknown).unwrap_err().exit_code(), 2);
    }
}
