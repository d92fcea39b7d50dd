//! Flags: upstream's names and defaults, and what is refused before anything is called.

use std::ffi::OsString;
use std::time::Duration;

use base::args::Environment;
use csi_provisioner::args::{CapacityConfig, NodeConfig, UidLength};
use csi_provisioner::{Args, Config};

fn parse(line: &str) -> Result<Args, clap::Error> {
    let words = std::iter::once("csi-provisioner").chain(line.split_whitespace());
    base::args::parse(words.map(OsString::from))
}

fn config(line: &str) -> Config {
    parse(line).unwrap().config(&Environment::default()).unwrap()
}

#[test]
fn defaults_are_those_of_upstream() {
    let config = config("");
    assert_eq!(config.driver.address.to_string(), "unix:///run/csi/socket");
    assert_eq!(config.driver.timeout, Duration::from_secs(10));
    assert_eq!((config.workers, config.protection_workers), (100, 1));
    assert_eq!(config.volume_name_prefix, "pvc");
    assert_eq!(config.uid_length, UidLength::Whole);
    assert_eq!(config.sweep_interval, Duration::from_secs(300));
    assert_eq!(
        config.common.retry_intervals,
        (Duration::from_secs(1), Duration::from_secs(300))
    );
    assert!(config.immediate_topology && config.prevent_mode_conversion);
    assert!(!config.strict_topology && !config.extra_create_metadata && !config.publish_read_only);
    assert!(config.topology && config.attributes_classes && !config.cross_namespace);
    assert!(config.default_fs_type.is_empty() && config.common.election.is_none());
}

#[test]
fn sidecars_case_237_the_kubeconfig_of_the_environment_wins_and_an_address_over_both() {
    for (line, variable, expected) in [
        ("", None, ["", ""]),
        ("--kubeconfig=/flag", None, ["/flag", ""]),
        ("--kubeconfig=/flag", Some("/variable"), ["/variable", ""]),
        ("", Some("/variable"), ["/variable", ""]),
        ("--master=https://api:6443", None, ["", "https://api:6443"]),
        (
            "--master=https://api:6443",
            Some("/variable"),
            ["/variable", "https://api:6443"],
        ),
    ] {
        let environment = Environment {
            kubeconfig: variable.map(str::to_owned),
            ..Environment::default()
        };
        let connection = parse(line).unwrap().connection(&environment);
        assert_eq!(
            [&connection.kubeconfig, &connection.master],
            expected,
            "{line} {variable:?}"
        );
    }
}

#[test]
fn the_flags_of_the_ebs_chart_are_read() {
    let config = config(
        "--timeout=60s --csi-address=/var/lib/csi/sockets/pluginproxy/csi.sock --v=2 \
         --feature-gates=Topology=true --feature-gates=VolumeAttributesClass=true --extra-create-metadata \
         --leader-election=true --default-fstype=ext4 --kube-api-qps=20 --kube-api-burst=100 \
         --worker-threads=100 --retry-interval-max=30m --http-endpoint=0.0.0.0:3302 \
         --capacity-threads=2 --enable-capacity=false -node-deployment=false",
    );
    assert_eq!(config.default_fs_type, "ext4");
    assert!(config.extra_create_metadata && config.common.election.is_some());
    assert_eq!(config.driver.timeout, Duration::from_secs(60));
}

#[test]
fn sidecars_case_6_gates_of_several_flags_add_up() {
    let config = config("--feature-gates=Topology=true --feature-gates=VolumeAttributesClass=false");
    assert!(config.topology && !config.attributes_classes);
}

#[test]
fn sidecars_case_7_a_removed_gate_warns() {
    let config = config("--feature-gates=HonorPVReclaimPolicy=true --logtostderr");
    assert_eq!(config.common.gates.warnings.len(), 1);
}

#[test]
fn sidecars_case_25_lengths_of_names_are_checked() {
    let eight = config("--volume-name-uuid-length=8");
    assert_eq!(eight.uid_length, UidLength::Characters(8));
    assert!(eight.common.gates.warnings.is_empty());
    assert_eq!(
        config("--volume-name-uuid-length=7").common.gates.warnings.len(),
        1
    );
    for line in [
        "--volume-name-uuid-length=0",
        "--volume-name-uuid-length=40",
        "--volume-name-uuid-length=-2",
        "--volume-name-prefix=",
        "--volume-name-prefix=-a",
        "--worker-threads=0",
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

fn surroundings() -> Environment {
    Environment {
        namespace: Some("drivers".to_owned()),
        pod_namespace: Some("others".to_owned()),
        pod_name: Some("pod".to_owned()),
        node_name: Some("n1".to_owned()),
        ..Environment::default()
    }
}

#[test]
fn sidecars_case_136_what_must_be_known_of_the_pod_is_asked_for() {
    for (line, missing, says) in [
        (
            "--enable-capacity",
            Environment {
                namespace: None,
                pod_namespace: None,
                ..surroundings()
            },
            "NAMESPACE",
        ),
        (
            "--enable-capacity",
            Environment {
                pod_name: None,
                ..surroundings()
            },
            "POD_NAME",
        ),
        (
            "--node-deployment",
            Environment {
                node_name: None,
                ..surroundings()
            },
            "NODE_NAME",
        ),
        (
            "--node-deployment --leader-election",
            surroundings(),
            "--leader-election",
        ),
    ] {
        let error = parse(line).unwrap().config(&missing).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let without = Environment::default();
    let line = "--enable-capacity=false --capacity-ownerref-level=2 --node-deployment-base-delay=1s";
    let config = parse(line).unwrap().config(&without).unwrap();
    assert_eq!((config.capacity, config.node), (None, None));
    let unowned = "--enable-capacity --capacity-ownerref-level=-1";
    let config = parse(unowned).unwrap().config(&Environment {
        pod_name: None,
        ..surroundings()
    });
    assert_eq!(config.unwrap().capacity.unwrap().owner, None);
}

#[test]
fn what_is_published_and_which_node_is_served_follow_the_flags() {
    let config = |line: &str| parse(line).unwrap().config(&surroundings()).unwrap();
    let capacity = config("--enable-capacity").capacity.unwrap();
    assert_eq!(
        capacity,
        CapacityConfig {
            workers: 1,
            poll: Duration::from_secs(60),
            immediate: false,
            owner: Some((1, "pod".to_owned())),
            limit: None,
            namespace: "drivers".to_owned(),
        }
    );
    let line = "--enable-capacity --capacity-threads=3 --capacity-poll-interval=5m --capacity-for-immediate-binding \
                --capacity-ownerref-level=0 --kube-api-capacity-qps=2";
    let capacity = config(line).capacity.unwrap();
    assert_eq!((capacity.workers, capacity.poll), (3, Duration::from_secs(300)));
    assert_eq!(
        (capacity.immediate, capacity.owner),
        (true, Some((0, "pod".to_owned())))
    );
    assert_eq!(
        capacity.limit.map(|limit| (limit.qps, limit.burst)),
        Some((2.0, 5))
    );
    assert_eq!(
        config("--node-deployment").node,
        Some(NodeConfig {
            name: "n1".to_owned(),
            immediate: true,
            delays: (Duration::from_secs(20), Duration::from_secs(60)),
        })
    );
}

#[test]
fn sidecars_case_240_no_threads_and_negative_intervals_are_taken_as_upstream_takes_them() {
    let config = |line: &str| parse(line).unwrap().config(&surroundings()).unwrap();
    let none = config("--cloning-protection-threads=0 --enable-capacity --capacity-threads=0");
    assert_eq!(none.common.gates.warnings.len(), 2);
    assert_eq!((none.protection_workers, none.capacity.unwrap().workers), (1, 0));
    let never = config(
        "--snapshot-orphan-sweep-interval=-1s --orphan-volumes-interval -5m --resync-period=-1h --enable-capacity \
         --capacity-poll-interval=-1m",
    );
    let intervals = [
        never.sweep_interval,
        never.orphans_interval,
        never.resync_period,
        never.capacity.unwrap().poll,
    ];
    assert_eq!(intervals, [Duration::ZERO; 4]);
    for line in [
        "--timeout=-1s",
        "--retry-interval-start=-1s",
        "--retry-interval-max=-1s",
        "--node-deployment-base-delay=-1s",
        "--node-deployment-max-delay=-1s",
        "--leader-election-retry-period=-1s",
        "--worker-threads=0",
        "--capacity-threads=-1",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}
