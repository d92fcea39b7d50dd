//! Layer 1: every mode as its own process with upstream's flags, under roles that grant only what they say.

use std::collections::BTreeMap;

use conformance::{ControlPlane, Process, Record};

use crate::journey::{self, CONTENTS, OURS, SNAPSHOTS, Stage, UPSTREAM};
use crate::shared;

const LAYER: &str = "1 drop-in";

#[tokio::test]
async fn the_examples_work_under_the_roles_of_upstream() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(stage) = Stage::new(&plane, LAYER, "upstream-roles", UPSTREAM).await else {
        return;
    };
    let processes = three_processes(&stage);
    examples(&stage, &plane).await;
    leases_are_given_back(&stage, processes).await;
    let (snapshot, deletion) = costs(&stage, &plane);
    // Decision 12: ten with one GET and, since it is ready later, two more. Decision 13.
    assert_eq!(snapshot.values().sum::<usize>(), 12, "{snapshot:#?}");
    assert_eq!(deletion.values().sum::<usize>(), 4, "{deletion:#?}");
}

#[tokio::test]
async fn the_examples_work_under_our_roles() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(stage) = Stage::new(&plane, LAYER, "our-roles", OURS).await else {
        return;
    };
    let processes = three_processes(&stage);
    examples(&stage, &plane).await;
    leases_are_given_back(&stage, processes).await;
    let (snapshot, deletion) = costs(&stage, &plane);
    assert_eq!(snapshot.values().sum::<usize>(), 11, "{snapshot:#?}");
    assert_eq!(deletion.values().sum::<usize>(), 4, "{deletion:#?}");
}

fn three_processes(stage: &Stage) -> Vec<Process> {
    vec![
        stage.snapshot_controller(&[]),
        stage.csi_snapshotter(&[]),
        stage.driver(),
    ]
}

/// The claim, the snapshot, the import, and the deletion of all of it.
async fn examples(stage: &Stage, plane: &ControlPlane) {
    let kubectl = plane.kubectl();
    stage.claim(plane).await;
    let ready = "--for=jsonpath={.status.readyToUse}=true";
    let snapshot = stage.example(plane, "05-snapshot", "");
    kubectl
        .ok(&["wait", ready, "vs/ebs-volume-snapshot", "--timeout=120s"])
        .unwrap();
    stage.nothing_lost_or_doubled().await;
    let made_before = stage.ec2.snapshot(&stage.volume).unwrap();
    let import = stage.example(plane, "07-import-snapshot", &made_before);
    kubectl
        .ok(&["wait", ready, "vs/static-snapshot", "--timeout=120s"])
        .unwrap();
    for (what, path) in [
        ("vs/ebs-volume-snapshot", "{.status.restoreSize}"),
        ("vs/static-snapshot", "{.status.restoreSize}"),
    ] {
        let jsonpath = format!("jsonpath={path}");
        assert_eq!(
            kubectl.ok(&["get", what, "-o", &jsonpath]).unwrap(),
            "10Gi",
            "{what}"
        );
    }
    kubectl
        .ok(&["delete", "-k", &snapshot, "--timeout=120s"])
        .unwrap();
    let left: Vec<String> = snapshots(stage);
    assert_eq!(
        left,
        [made_before.as_str()],
        "the EC2 snapshot goes with the object"
    );
    kubectl.ok(&["delete", "-k", &import, "--timeout=120s"]).unwrap();
    assert_eq!(snapshots(stage), [made_before], "Retain keeps the EC2 snapshot");
    stage.clear_claims(plane);
    for path in [SNAPSHOTS, CONTENTS] {
        assert_eq!(stage.list(path).await.unwrap().len(), 0, "{path}");
    }
    stage.nothing_denied(plane);
}

fn snapshots(stage: &Stage) -> Vec<String> {
    let state = stage.ec2.state().unwrap();
    state.snapshots.into_iter().map(|one| one.id).collect()
}

async fn leases_are_given_back(stage: &Stage, processes: Vec<Process>) {
    journey::terminate(processes).await;
    for lease in [
        "snapshot-controller-leader",
        "external-snapshotter-leader-ebs-csi-aws-com",
    ] {
        assert_eq!(stage.holder(lease).await.as_deref(), Some(""), "{lease}");
    }
}

/// Requests for making the snapshot of the example, and for deleting it, by action. Watches, leases, events and the
/// access review are not counted, and nothing of the import.
fn costs(stage: &Stage, plane: &ControlPlane) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let counted = |record: &&Record| {
        !matches!(record.verb.as_str(), "list" | "watch")
            && !matches!(
                record.resource.as_str(),
                "leases" | "events" | "selfsubjectaccessreviews"
            )
            && !record.name.starts_with("static-snapshot")
    };
    let deletes = |record: &Record| {
        record.user == conformance::ADMIN && record.verb == "delete" && record.name == "ebs-volume-snapshot"
    };
    let all = plane.audit().since(stage.begun).unwrap();
    let deleted_at = all.iter().find(|record| deletes(record)).unwrap().received_at;
    let mut costs = (BTreeMap::new(), BTreeMap::new());
    for record in stage.requests(plane).iter().filter(counted) {
        let cost = if record.received_at < deleted_at {
            &mut costs.0
        } else {
            &mut costs.1
        };
        *cost.entry(record.action()).or_default() += 1;
    }
    costs
}
