//! Flags: upstream's names and defaults, and what is refused before anything is called.

use std::time::Duration;

use controller::args::ArgsError;
use csi_attacher::{Args, Config};

fn config(line: &str) -> Result<Config, ArgsError> {
    let words = std::iter::once("csi-attacher").chain(line.split_whitespace());
    let args: Args = base::args::parse(words.map(Into::into)).unwrap();
    args.config()
}

#[test]
fn defaults_are_those_of_upstream() {
    let config = config("").unwrap();
    assert_eq!(config.driver.address.to_string(), "unix:///run/csi/socket");
    assert_eq!(config.driver.timeout, Duration::from_secs(15));
    assert_eq!(config.resync, Duration::from_secs(600));
    assert_eq!(config.reconcile_sync, Duration::from_secs(60));
    assert_eq!((config.workers, config.max_entries), (10, 0));
    assert_eq!(config.default_fs_type, "");
    assert!(config.error_codes && !config.driver.exit_on_connection_loss);
    let seconds = Duration::from_secs;
    assert_eq!(config.common.retry_intervals, (seconds(1), seconds(300)));
}

#[test]
fn the_flags_of_the_ebs_chart_are_read() {
    let config = config(
        "--timeout=6m --csi-address=/csi/csi.sock --v=2 --leader-election=true --kube-api-qps=20 \
         --kube-api-burst=100 --worker-threads=100 --retry-interval-max=5m --http-endpoint=0.0.0.0:3303 \
         --feature-gates=MutableCSINodeAllocatableCount=false --max-grpc-log-length=100",
    )
    .unwrap();
    assert_eq!(config.driver.timeout, Duration::from_secs(360));
    assert_eq!(config.workers, 100);
    assert!(!config.error_codes);
    assert!(config.common.election.is_some() && config.common.http.is_some());
}

#[test]
fn single_dashes_and_our_name_of_the_resync_are_read() {
    let config = config("-timeout=1s --resync-period=1m -default-fstype=xfs -max-entries=5").unwrap();
    assert_eq!(config.driver.timeout, Duration::from_secs(1));
    assert_eq!(config.resync, Duration::from_secs(60));
    assert_eq!((config.default_fs_type.as_str(), config.max_entries), ("xfs", 5));
}

#[test]
fn sidecars_case_240_negative_intervals_are_never() {
    let config = config("--resync=-1s --reconcile-sync -1m").unwrap();
    assert_eq!(
        (config.resync, config.reconcile_sync),
        (Duration::ZERO, Duration::ZERO)
    );
}

#[test]
fn contradictory_flags_are_refused() {
    for (line, text) in [
        ("--worker-threads=0", "--worker-threads must be greater than 0"),
        ("--timeout=0s", "--timeout must be greater than 0"),
        ("--csi-address=", "--csi-address"),
    ] {
        let error = config(line).unwrap_err().to_string();
        assert!(error.contains(text), "{line}: {error}");
    }
}
