//! Flags: upstream's names and defaults, and what is refused before anything is called.

use std::ffi::OsString;
use std::time::Duration;

use base::args::Environment;
use csi_snapshotter::{Args, Config, ConfigError};

fn parse(line: &str) -> Args {
    let words = std::iter::once("csi-snapshotter").chain(line.split_whitespace());
    base::args::parse(words.map(OsString::from)).unwrap()
}

fn config(line: &str) -> Result<Config, ConfigError> {
    parse(line).config(&Environment::default())
}

#[test]
fn defaults_are_those_of_upstream() {
    let config = config("").unwrap();
    assert_eq!(config.driver.address.to_string(), "unix:///run/csi/socket");
    assert_eq!(config.driver.timeout, Duration::from_secs(60));
    assert_eq!(config.name_prefix, "snapshot");
    assert_eq!(config.name_uid_length, None);
    assert_eq!(config.resync_period, Duration::from_secs(900));
    assert_eq!(config.workers, 10);
    assert_eq!(
        config.common.retry_intervals,
        (Duration::from_secs(1), Duration::from_secs(300))
    );
    assert!(!config.extra_create_metadata && config.node.is_none() && config.common.http.is_none());
    assert!(config.common.election.is_none() && !config.driver.exit_on_connection_loss);
    assert!(config.common.gates.enabled("CSIVolumeGroupSnapshot") && config.groups);
    assert_eq!(
        (config.group_name_prefix.as_str(), config.group_name_uid_length),
        ("groupsnapshot", None)
    );
}

#[test]
fn the_flags_of_the_ebs_chart_are_read() {
    let line = "--csi-address=/var/lib/csi/sockets/pluginproxy/csi.sock --leader-election=true \
                --extra-create-metadata --kube-api-qps=20 --kube-api-burst=100 --worker-threads=100 \
                --retry-interval-max=30m -v=5 -timeout 30s --feature-gates=CSIVolumeGroupSnapshot=false \
                --snapshot-name-prefix=snap --snapshot-name-uuid-length=8 --logtostderr";
    let config = config(line).unwrap();
    assert_eq!(
        config.driver.address.to_string(),
        "unix:///var/lib/csi/sockets/pluginproxy/csi.sock"
    );
    assert!(config.extra_create_metadata && config.common.election.is_some());
    assert_eq!((config.workers, config.name_uid_length), (100, Some(8)));
    assert_eq!(config.common.retry_intervals.1, Duration::from_secs(1800));
    assert_eq!(config.driver.timeout, Duration::from_secs(30));
    assert!(!config.common.gates.enabled("CSIVolumeGroupSnapshot") && !config.groups);
}

#[test]
fn sidecars_case_240_a_negative_interval_is_never() {
    assert_eq!(
        config("--resync-period=-1s").unwrap().resync_period,
        Duration::ZERO
    );
}

#[test]
fn snapshot_case_16_contradictory_flags_are_refused() {
    for (line, text) in [
        (
            "--node-deployment --leader-election",
            "--node-deployment and --leader-election cannot be used together",
        ),
        (
            "--node-deployment",
            "--node-deployment needs the environment variable NODE_NAME",
        ),
        (
            "--http-endpoint=:1 --metrics-address=:2",
            "only one of --http-endpoint and --metrics-address",
        ),
        (
            "--snapshot-name-prefix=",
            "--snapshot-name-prefix must not be empty",
        ),
        (
            "--groupsnapshot-name-prefix=",
            "--groupsnapshot-name-prefix must not be empty",
        ),
        (
            "--snapshot-name-uuid-length=40",
            "--snapshot-name-uuid-length is 40; it must be -1 or 1 to 32",
        ),
        (
            "--snapshot-name-uuid-length=0",
            "--snapshot-name-uuid-length is 0",
        ),
        (
            "--snapshot-name-uuid-length=-2",
            "--snapshot-name-uuid-length is -2",
        ),
        (
            "--groupsnapshot-name-uuid-length=33",
            "--groupsnapshot-name-uuid-length is 33",
        ),
        (
            "--csi-address=socket",
            "--csi-address: \"socket\" is no CSI address",
        ),
        ("--worker-threads=0", "--worker-threads must be greater than 0"),
        ("--timeout=0", "--timeout must be greater than 0"),
        ("--retry-interval-start=0s", "--retry-interval-start"),
        ("--feature-gates=NoSuchGate=true", "unknown gate"),
        (
            "--leader-election --leader-election-lease-duration=5s",
            "--leader-election-lease-duration",
        ),
    ] {
        let error = config(line).unwrap_err().to_string();
        assert!(error.contains(text), "{line}: {error}");
    }
    let environment = Environment {
        node_name: Some("n1".into()),
        ..Environment::default()
    };
    let config = parse("--node-deployment").config(&environment).unwrap();
    assert_eq!(config.node.as_deref(), Some("n1"));
}

#[test]
fn a_flag_that_upstream_removed_is_unknown() {
    let words = ["csi-snapshotter", "--enable-volume-group-snapshots"].map(OsString::from);
    assert_eq!(base::args::parse::<Args>(words).unwrap_err().exit_code(), 2);
}
