//! Layer 7: two replicas of the whole pod with leader election; the one that leads is killed.

use std::time::{Duration, Instant};

use conformance::{Process, Suite, until};

use crate::journey::{LEASES, OURS, Stage};
use crate::processes::terminate;
use crate::shared::{self, PATIENCE, say};

const LAYER: &str = "7 two replicas";
/// The defaults of upstream: shorter ones are lost on a busy machine.
const ELECTION: [&str; 3] = [
    "--leader-election-lease-duration=15s",
    "--leader-election-renew-deadline=10s",
    "--leader-election-retry-period=2s",
];
/// The lease, two tries of a candidate, and as much again for a busy machine.
const HAND_OVER: Duration = Duration::from_secs(40);
const COUNT: usize = 10;
const EXPANSIONS: usize = 4;
const GIB: u32 = 12;

/// A pod: the driver and the controllers, on a socket and under a host name of their own.
fn pod(stage: &Stage, plane: &shared::Guard, host: &str) -> Vec<Process> {
    let suite = Suite::new(plane.keeper(), stage.suite.folder(), host, &stage.ec2).unwrap();
    let election = || ELECTION.map(str::to_owned).into_iter().chain(stage.election());
    let controller = suite
        .mode(
            "snapshot-controller",
            &stage.program,
            &stage.users["snapshot-controller"].kubeconfig,
            &[],
        )
        .args(election());
    let sidecar = |name: &str| {
        suite
            .sidecar(name, &stage.program, &stage.users[name].kubeconfig, &[])
            .args(election())
    };
    let launches = [
        suite.driver(&stage.program),
        controller,
        sidecar("csi-snapshotter"),
        sidecar("csi-resizer"),
        sidecar("csi-provisioner"),
        sidecar("csi-attacher"),
    ];
    let start = |launch| suite.start(&Suite::on_host(host, launch)).unwrap();
    launches.into_iter().map(start).collect()
}

#[tokio::test]
async fn the_second_replica_takes_over_from_a_killed_leader_and_nothing_is_done_twice() {
    if !rustix::process::geteuid().is_root() {
        return shared::not_run_without_root(LAYER, "a host name of its own for each replica needs root");
    }
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(stage) = Stage::new(&plane, LAYER, "replicas", OURS).await else {
        return;
    };
    stage.class().await;
    let mut growable = stage.growable(COUNT).await;
    growable.truncate(EXPANSIONS);
    let mut first = pod(&stage, &plane, "replica-1");
    until("the first replica leads", PATIENCE, async || {
        for process in &mut first {
            process.check().unwrap();
        }
        all_held_by(&stage, "replica-1").await.then_some(())
    })
    .await
    .unwrap();
    let second = pod(&stage, &plane, "replica-2");
    stage.snapshots(0..COUNT).await;
    stage.grow(&growable, GIB).await;
    stage.ec2_at_work().await;
    for process in &mut first {
        process.kill();
    }
    let killed_at = Instant::now();
    until("the second replica leads", HAND_OVER, async || {
        all_held_by(&stage, "replica-2").await.then_some(())
    })
    .await
    .unwrap();
    say(&format!(
        "layer {LAYER}: hand-over {:.1} s after kill -9",
        killed_at.elapsed().as_secs_f64()
    ));
    stage.all_ready(COUNT).await;
    stage.all_grown(&growable, GIB).await;
    stage.nothing_lost_or_doubled().await;
    stage.no_call_twice(COUNT, EXPANSIONS);
    stage.clear(&plane).await;
    stage.nothing_denied();
    terminate(second).await;
}

async fn all_held_by(stage: &Stage, host: &str) -> bool {
    for lease in LEASES {
        if stage.holder(lease).await.as_deref() != Some(host) {
            return false;
        }
    }
    true
}
