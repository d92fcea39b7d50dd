//! Flags: upstream's names and defaults, and what is refused before anything is called.

use std::time::Duration;

use base::args::Environment;
use controller::args::ArgsError;
use resizer::{Args, Config};

fn config(line: &str) -> Result<Config, ArgsError> {
    let words = std::iter::once("csi-resizer").chain(line.split_whitespace());
    let args: Args = base::args::parse(words.map(Into::into)).unwrap();
    args.config(&Environment::default())
}

#[test]
fn defaults_are_those_of_upstream() {
    let config = config("").unwrap();
    assert_eq!(config.driver.address.to_string(), "unix:///run/csi/socket");
    assert_eq!(config.driver.timeout, Duration::from_secs(10));
    assert_eq!(config.resync_period, Duration::from_secs(600));
    assert_eq!(config.workers, 10);
    assert!(config.handle_volume_inuse_error && config.annotate && config.recover);
    assert!(config.modify && !config.extra_modify_metadata && !config.driver.exit_on_connection_loss);
}

#[test]
fn the_flags_of_the_ebs_chart_are_read() {
    let config = config(
        "--timeout=60s --extra-modify-metadata --handle-volume-inuse-error=false --kube-api-qps=20 \
         --kube-api-burst=100 --workers=100 --retry-interval-max=30m --http-endpoint=0.0.0.0:3304 \
         --leader-election=true -v=2 -logtostderr \
         --feature-gates=AnnotateFsResize=false,VolumeAttributesClass=true,AllBeta=true",
    )
    .unwrap();
    assert_eq!(config.driver.timeout, Duration::from_secs(60));
    assert_eq!(config.workers, 100);
    assert!(!config.handle_volume_inuse_error && !config.annotate);
    assert!(config.modify && config.extra_modify_metadata);
    assert!(config.common.election.is_some() && config.common.http.is_some());
}

#[test]
fn sidecars_case_237_the_address_of_the_api_server_is_passed_on() {
    let words = ["csi-resizer", "--kubeconfig=/flag", "-master", "https://api:6443"].map(Into::into);
    let connection = base::args::parse::<Args>(words).unwrap().connection();
    assert_eq!(
        (connection.kubeconfig.as_str(), connection.master()),
        ("/flag", Some("https://api:6443"))
    );
}

#[test]
fn sidecars_case_240_a_negative_interval_is_never() {
    assert_eq!(
        config("--resync-period=-1s").unwrap().resync_period,
        Duration::ZERO
    );
}

#[test]
fn timeout_wins_over_the_flag_of_one_call() {
    for (line, expected) in [
        ("", [10, 10, 10]),
        ("--resize-timeout=90s --modify-timeout=5s", [10, 90, 5]),
        ("--timeout=60s --resize-timeout=90s", [60, 60, 60]),
    ] {
        let config = config(line).unwrap();
        let found = [
            config.driver.timeout,
            config.resize_timeout,
            config.modify_timeout,
        ];
        assert_eq!(found, expected.map(Duration::from_secs), "{line}");
    }
}

#[test]
fn resize_case_103_contradictory_flags_are_refused() {
    for (line, text) in [
        (
            "--http-endpoint=:1 --metrics-address=:2",
            "only one of --http-endpoint",
        ),
        ("--workers=0", "--workers must be greater than 0"),
        ("--timeout=0", "--timeout must be greater than 0"),
        ("--resize-timeout=0", "--resize-timeout must be greater than 0"),
        ("--modify-timeout=0", "--modify-timeout must be greater than 0"),
        (
            "--csi-address=socket",
            "--csi-address: \"socket\" is no CSI address",
        ),
        ("--feature-gates=NoSuchGate=true", "unknown gate"),
    ] {
        let error = config(line).unwrap_err().to_string();
        assert!(error.contains(text), "{line}: {error}");
    }
}

#[test]
fn a_flag_that_upstream_removed_is_unknown() {
    let words = ["csi-resizer", "--csiTimeout=1s"].map(Into::into);
    assert_eq!(base::args::parse::<Args>(words).unwrap_err().exit_code(), 2);
}
