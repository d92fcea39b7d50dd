use std::time::Duration;

use csi::Address;

use super::*;
use crate::ec2::batch::Batching;
use crate::node::metadata::SourceKind;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn config(line: &str) -> Result<Config, ArgsError> {
    command(line).config()
}

fn command(line: &str) -> Args {
    let words = std::iter::once("driver")
        .chain(line.split_whitespace())
        .map(Into::into);
    let command: Command = base::args::parse(words).unwrap_or_else(|error| panic!("{error}"));
    command.args
}

#[test]
fn ebs_case_5_limit_and_reservation_exclude_each_other() {
    let error = config("node --volume-attach-limit=5 --reserved-volume-attachments=1").unwrap_err();
    assert!(matches!(error, ArgsError::Exclusive(..)));
    assert_eq!(error.exit_code(), 1);
    let computed = config("node --volume-attach-limit=5 --reserved-volume-attachments=-1");
    assert!(computed.is_ok(), "{computed:?}");
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
    let command: Command = base::args::parse(spaced).unwrap();
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
fn the_labeler_names_itself_in_its_requests() {
    let labeler = config("metadataLabeler --user-agent-extra=mine").unwrap();
    let agent = labeler.ec2.user_agent;
    assert!(agent.ends_with("-mine-metadataLabeler"), "{agent}");
}

#[test]
fn the_daemonset_s_command_line_is_read() {
    let line = "node --endpoint=unix:/csi/csi.sock --http-endpoint=0.0.0.0:3302 --csi-mount-point-prefix=/var/lib/kubelet/plugins \
                --reserved-volume-attachments=2 --metadata-sources=metadata-labeler,imds --legacy-xfs=true \
                --windows-host-process=false --logging-format=text --v=2 --csi-node-name=node-1";
    let args = command(line);
    assert_eq!(args.role(), Ok(Role::Node));
    assert_eq!(
        args.config().unwrap().endpoint,
        Address::Unix("/csi/csi.sock".into())
    );
    let node = args.node_options().unwrap();
    assert_eq!(node.config.limits.reserved, Some(2));
    assert_eq!(node.config.limits.fixed, None);
    assert!(node.config.has_legacy_xfs && node.removes_taint);
    assert_eq!(node.sources, [SourceKind::Labeler, SourceKind::Imds]);
    let pairs = [
        (command("").role(), Role::All),
        (command("all").role(), Role::All),
        (command("pre-stop-hook").role(), Role::PreStop),
    ];
    for (role, expected) in pairs {
        assert_eq!(role, Ok(expected));
    }
    let fixed = command("all --volume-attach-limit=0 --disable-taint-watcher=1 --csi-node-name=n");
    let fixed = fixed.node_options().unwrap();
    assert_eq!((fixed.config.limits.fixed, fixed.removes_taint), (Some(0), false));
}

#[test]
fn sidecars_case_239_a_value_of_a_boolean_flag_is_no_mode() {
    for (line, role) in [
        ("--batching true", Role::All),
        ("--batching true controller", Role::Controller),
        ("controller word --batching", Role::Controller),
    ] {
        let args = command(line);
        assert_eq!(args.role(), Ok(role), "{line}");
        assert_eq!(
            (args.controller.batching, args.log.stray_words.len()),
            (Some(true), 1),
            "{line}"
        );
    }
}

#[test]
fn the_metadata_service_is_left_out_where_it_cannot_be_asked() {
    for line in [
        "node --aws-ec2-metadata-disabled=true",
        "node --csi-node-name=hyperpod-c-i-1",
    ] {
        let sources = command(line).node_options().unwrap().sources;
        assert_eq!(sources, [SourceKind::Kubernetes], "{line}");
    }
}

#[test]
fn ebs_case_176_tags_that_are_given_again_add_up() {
    let line = "controller --extra-tags=a=1,b=2 --extra-tags=b=3,c=4 --extra-volume-tags=d=5 --extra-volume-tags=a=6";
    let tags = config(line).unwrap().tags.extra;
    let expected = [("a", "1"), ("b", "3"), ("c", "4"), ("d", "5")];
    assert_eq!(
        tags,
        expected
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    );
}

#[test]
fn ebs_case_202_metadata_sources_that_are_given_again_add_up() {
    for (line, expected) in [
        ("node", &[SourceKind::Imds, SourceKind::Kubernetes][..]),
        ("node --metadata-sources=kubernetes", &[SourceKind::Kubernetes]),
        (
            "node --metadata-sources=metadata-labeler --metadata-sources=imds,Kubernetes",
            &[SourceKind::Labeler, SourceKind::Imds, SourceKind::Kubernetes],
        ),
        (
            "node --metadata-sources= --metadata-sources=imds",
            &[SourceKind::Imds],
        ),
        ("node --metadata-sources=", &[]),
    ] {
        let args = command(line);
        assert!(args.config().is_ok(), "{line}");
        assert_eq!(args.node_options().unwrap().sources, expected, "{line}");
    }
    let error = config("node --metadata-sources=imds --metadata-sources=foo").unwrap_err();
    assert_eq!(error, ArgsError::MetadataSource("foo".to_owned()));
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
    assert_eq!(config("controller").unwrap().batching, Batching::On);
    let off = config("controller --batching=false").unwrap();
    assert_eq!(off.batching, Batching::Off);
}
