use std::time::Duration;

use csi::Address;

use super::*;
use crate::ec2::batch::Batching;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn config(line: &str) -> Result<Config, ArgsError> {
    let words = std::iter::once("driver")
        .chain(line.split_whitespace())
        .map(Into::into);
    let command: Command = runtime::args::parse(words).unwrap_or_else(|error| panic!("{error}"));
    command.args.config()
}

#[test]
fn ebs_case_5_limit_and_reservation_exclude_each_other() {
    let error = config("node --volume-attach-limit=5 --reserved-volume-attachments=1").unwrap_err();
    assert!(matches!(error, ArgsError::Exclusive(..)));
    assert_eq!(error.exit_code(), 1);
    let computed = config("node --volume-attach-limit=5 --reserved-volume-attachments=-1");
    assert_eq!(computed, Err(ArgsError::NotBuilt("node")));
}

#[test]
fn ebs_case_6_bad_combinations_are_refused() {
    for line in [
        "controller --metrics-cert-file=c --metrics-key-file=k",
        "controller --metrics-cert-file=c --http-endpoint=:3301",
        "controller --metrics-key-file=k --http-endpoint=:3301",
        "controller --extra-tags=kubernetes.io/x=1",
        "controller --extra-volume-tags=CSIVolumeName=1",
        "controller --modify-volume-request-handler-timeout=0s",
        "controller --metadata-sources=foo",
        "controller --endpoint=ftp://x",
        "kontroller",
    ] {
        let error = config(line).expect_err(line);
        assert_eq!(error.exit_code(), 1, "{line}");
    }
    let spaced = ["driver", "controller", "--metadata-sources", " IMDS,Kubernetes "].map(Into::into);
    let command: Command = runtime::args::parse(spaced).unwrap();
    assert!(command.args.config().is_ok());
}

#[test]
fn flags_of_other_modes_are_parse_errors() {
    let error = config("controller --volume-attach-limit=5").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert_eq!(
        error.to_string(),
        "the mode controller has no flag --volume-attach-limit"
    );
}

#[test]
fn modes_that_are_not_built_say_so() {
    for mode in ["node", "all", "metadataLabeler", "pre-stop-hook", ""] {
        let error = config(mode).expect_err(mode);
        assert!(matches!(error, ArgsError::NotBuilt(_)), "{mode}");
        assert_eq!(error.exit_code(), 1);
    }
}

#[test]
fn the_chart_s_command_line_is_read() {
    let chart = config(
        "controller --endpoint=unix:///run/csi.sock --extra-tags=a=b,c=d --extra-volume-tags=a=x,e=f \
         --k8s-tag-cluster-id=c1 --http-endpoint=0.0.0.0:3301 --batching=true --logging-format=text \
         --user-agent-extra=helm --v=2",
    )
    .unwrap();
    assert_eq!(chart.endpoint, Address::Unix("/run/csi.sock".into()));
    assert_eq!(chart.http_endpoint.as_deref(), Some("0.0.0.0:3301"));
    assert_eq!(chart.batching, Batching::On);
    assert_eq!(chart.tags.extra["a"], "b", "Q25: the newer flag wins");
    assert_eq!(chart.tags.extra["e"], "f");
    assert_eq!(chart.tags.cluster_id.as_deref(), Some("c1"));
    assert!(chart.ec2.user_agent.ends_with("-helm"));
    assert_eq!(chart.modify_window, Duration::from_secs(2));
    assert_eq!(config("controller").unwrap().batching, Batching::Off);
}
