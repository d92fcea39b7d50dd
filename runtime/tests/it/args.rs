//! Command lines as upstream's manifests write them.

use std::ffi::OsString;
use std::time::Duration;

use base::args::{
    FeatureGateArgs, HttpArgs, LogArgs, LogFormat, ProcessArgs, RetryArgs, parse, version_line,
};
use runtime::args::{KubeArgs, LeaderElectionArgs};

#[derive(Debug, clap::Parser)]
struct Args {
    #[command(flatten)]
    process: ProcessArgs,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    election: LeaderElectionArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    retry: RetryArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    gates: FeatureGateArgs,
}

fn read(args: &[&str]) -> Result<Args, clap::Error> {
    parse(
        std::iter::once("snapshot-controller")
            .chain(args.iter().copied())
            .map(OsString::from),
    )
}

#[test]
fn defaults_are_upstreams() {
    let args = read(&[]).unwrap();
    assert!(!args.process.version && !args.election.leader_election);
    assert_eq!(args.kube.kubeconfig(), None);
    assert_eq!(args.kube.rate_limit(), None);
    assert_eq!(args.election.leader_election_lease_duration.to_string(), "15s");
    assert_eq!(args.election.leader_election_renew_deadline.to_string(), "10s");
    assert_eq!(args.election.leader_election_retry_period.to_string(), "5s");
    assert_eq!(args.http.address(), Ok(None));
    assert_eq!(
        args.retry.intervals(),
        (Duration::from_secs(1), Duration::from_secs(300))
    );
    assert_eq!(
        (args.log.verbosity, args.log.logging_format),
        (0, LogFormat::Text)
    );
    assert_eq!(args.log.warning(), None);
}

#[test]
fn both_spellings_of_go_are_read() {
    let forms = [
        "-v=5 -leader-election=true -retry-interval-start=100ms -kube-api-qps=20",
        "--v=5 --leader-election --retry-interval-start 100ms --kube-api-qps 20",
        "-v5 -leader-election -retry-interval-start 100ms -kube-api-qps 20",
        "-v 5 --leader-election=1 --retry-interval-start=0.1s --kube-api-qps=2e1",
        "--v 5 --leader-election=T --retry-interval-start=100000us --kube-api-qps=20.0",
        "-v=1 -v=5 --leader-election=false --leader-election --retry-interval-start=1h \
         --retry-interval-start=100ms --kube-api-qps=1 --kube-api-qps=20",
    ];
    for form in forms {
        let args = read(&form.split_whitespace().collect::<Vec<_>>()).unwrap();
        assert_eq!(args.log.verbosity, 5, "{form:?}");
        assert!(args.election.leader_election, "{form:?}");
        assert_eq!(args.retry.retry_interval_start.to_string(), "100ms", "{form:?}");
        assert_eq!(args.kube.kube_api_qps, Some(20.0), "{form:?}");
    }
    assert!(
        !read(&["--leader-election=false"])
            .unwrap()
            .election
            .leader_election
    );
    assert_eq!(
        read(&["--kube-api-qps=-1"]).unwrap().kube.kube_api_qps,
        Some(-1.0)
    );
    assert_eq!(
        read(&["--kube-api-burst", "-1"]).unwrap().kube.kube_api_burst,
        Some(-1)
    );
    assert_eq!(read(&["--kubeconfig="]).unwrap().kube.kubeconfig(), None);
}

#[test]
fn the_manifest_of_the_snapshot_controller_is_read() {
    let args = read(&["--v=5", "--leader-election=true", "--http-endpoint=:8080"]).unwrap();
    assert_eq!(args.http.address().unwrap().unwrap().address, ":8080");
}

#[test]
fn sidecars_case_7_flags_of_klog_are_accepted_with_one_warning() {
    let args = read(&[
        "--logtostderr",
        "-alsologtostderr=true",
        "--stderrthreshold=INFO",
        "-log_dir",
        "/tmp",
        "--log-flush-frequency=5s",
    ])
    .unwrap();
    assert_eq!(
        args.log.warning().unwrap(),
        "logging goes to standard error; without effect: --alsologtostderr, --logtostderr, --log_dir, --stderrthreshold"
    );
}

#[test]
fn sidecars_case_5_wrong_flags_end_with_exit_2_and_say_what_is_wrong() {
    for (args, says) in [
        (
            ["--leader-election-labels=a"].as_slice(),
            "not of the form key:value",
        ),
        (
            &["--enable-volume-group-snapshots"],
            "--enable-volume-group-snapshots",
        ),
        (
            &["-enable-volume-group-snapshots=true"],
            "--enable-volume-group-snapshots",
        ),
        (&["--retry-interval-start=5"], "lacks a unit"),
        (&["--retry-interval-start=-5s"], "negative"),
        (&["--leader-election=maybe"], "write true or false"),
        (&["--logging-format=xml"], "text, json"),
        (&["--v=high"], "high"),
        (&["--kube-api-qps"], "--kube-api-qps"),
        (&["--vmodule=leader"], "pattern=level"),
    ] {
        let error = read(args).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{args:?}");
        assert!(error.to_string().contains(says), "{args:?}: {error}");
    }
    assert_eq!(read(&["--help"]).unwrap_err().exit_code(), 0);
}

#[test]
fn sidecars_case_239_words_that_belong_to_no_flag_are_passed_over_and_told() {
    let rows: [(&[&str], &str); 5] = [
        (&["--leader-election", "true", "--v=5"], "\"true\""),
        (&["", "--leader-election", "-v", "5", "word"], "\"\", \"word\""),
        (&["--kubeconfig", "", "--v=5", "-leader-election", ""], "\"\""),
        (&["-v5", "-", "-leader-election=true"], "\"-\""),
        (
            &["--v=5", "--leader-election", "--", "--leader-election=false"],
            "\"--leader-election=false\"",
        ),
    ];
    for (words, told) in rows {
        let args = read(words).unwrap();
        assert_eq!(args.log.verbosity, 5, "{words:?}");
        assert!(args.election.leader_election, "{words:?}");
        let warning = args.log.stray_warning().unwrap();
        assert!(warning.contains(&format!(": {told}; ")), "{words:?}: {warning}");
    }
    assert_eq!(
        read(&["--leader-election=true"]).unwrap().log.stray_warning(),
        None
    );
}

#[test]
fn accumulating_flags_accumulate() {
    let args = read(&[
        "--feature-gates=A=true",
        "-feature-gates",
        "B=false",
        "--leader-election-labels=a:b,c:d",
        "--leader-election-labels=a:e",
        "--vmodule=leader=6,queue=4",
    ])
    .unwrap();
    assert_eq!(args.gates.feature_gates, ["A=true", "B=false"]);
    let labels = args.election.labels();
    assert_eq!((labels["a"].as_str(), labels["c"].as_str()), ("e", "d"));
    assert_eq!(args.log.vmodule.len(), 2);
}

#[test]
fn the_version_is_one_line() {
    assert!(read(&["--version"]).unwrap().process.version);
    assert!(read(&["-version=true", "-automaxprocs"]).unwrap().process.version);
    assert_eq!(
        version_line("/usr/bin/csi-snapshotter", "0.1.0"),
        "/usr/bin/csi-snapshotter 0.1.0"
    );
}

proptest::proptest! {
    #[test]
    fn no_command_line_panics(args in proptest::collection::vec("[-=a-z0-9.:,]{0,24}", 0..6)) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let _ = read(&args);
    }
}
