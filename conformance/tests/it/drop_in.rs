//! Layer 1: every mode as its own process with upstream's flags, under roles that grant only what they say.

mod labeler;

use conformance::{ControlPlane, Process};

use crate::dynamic::{self, VolumeCosts};
use crate::expansion::Growable;
use crate::journey::{CONTENTS, LEASES, OURS, Roles, SNAPSHOTS, Stage, UPSTREAM};
use crate::processes::terminate;
use crate::requests::Cost;
use crate::shared::{self, Guard};

const LAYER: &str = "1 drop-in";

/// Rights that this journey does not use, by function: what they are for.
pub const RARE: [(&str, &str); 31] = [
    // The object is read once when the cache does not pass a conflict within a second (decision 17).
    ("snapshot-controller", "get persistentvolumeclaims"),
    ("snapshot-controller", "get volumesnapshots"),
    ("snapshot-controller", "get volumesnapshotcontents"),
    ("snapshot-controller", "get volumegroupsnapshots"),
    ("snapshot-controller", "get volumegroupsnapshotcontents"),
    ("csi-snapshotter", "get volumesnapshotcontents"),
    // Before a content that somebody else made is cut or deleted.
    ("csi-snapshotter", "get volumesnapshots"),
    ("csi-snapshotter", "get volumegroupsnapshots"),
    ("csi-snapshotter", "get volumegroupsnapshotcontents"),
    ("csi-resizer", "get persistentvolumeclaims"),
    ("csi-resizer", "get persistentvolumes"),
    ("csi-provisioner", "get persistentvolumeclaims"),
    ("csi-provisioner", "get persistentvolumes"),
    ("csi-attacher", "get persistentvolumes"),
    ("csi-attacher", "get volumeattachments"),
    // Where a role does not let them be followed.
    ("csi-provisioner", "get volumeattributesclasses"),
    ("csi-provisioner", "get volumesnapshots"),
    ("csi-provisioner", "get volumesnapshotcontents"),
    // An event that repeats.
    ("snapshot-controller", "patch events"),
    ("csi-snapshotter", "patch events"),
    ("csi-resizer", "patch events"),
    ("csi-provisioner", "patch events"),
    ("csi-attacher", "patch events"),
    // A second replica watches who leads.
    ("snapshot-controller", "watch leases"),
    ("csi-snapshotter", "watch leases"),
    ("csi-resizer", "watch leases"),
    ("csi-provisioner", "watch leases"),
    ("csi-attacher", "watch leases"),
    // While a driver refuses volumes that are in use.
    ("csi-resizer", "list volumeattachments"),
    ("csi-resizer", "watch volumeattachments"),
    ("csi-resizer", "get csidrivers"),
];

/// What the operations of the journey cost.
struct Costs {
    snapshot: Cost,
    import: Cost,
    deletion: Cost,
    expansion: Cost,
    change: Cost,
    volumes: VolumeCosts,
}

impl Costs {
    fn must_be(&self, snapshot: usize) {
        self.snapshot
            .must_be("a snapshot", snapshot, 3, &[("CreateSnapshot", 1)]);
        self.deletion
            .must_be("its deletion", 4, 0, &[("DeleteSnapshot", 1)]);
        // Decision 25: the mark, the volume, the claim, and the annotation once the node is done.
        self.expansion
            .must_be("an expansion", 4, 2, &[("ModifyVolume", 1)]);
        // The mark, the volume, the claim. The dry run asks how many IOPS there may be.
        self.change.must_be(
            "a change by class",
            3,
            2,
            &[("CreateVolume", 1), ("ModifyVolume", 1)],
        );
        assert!(self.import.total() <= 5, "decision 13: {:#?}", self.import);
        assert!(self.import.events.len() <= 3, "{:#?}", self.import);
    }
}

async fn set(name: &str, roles: Roles, instant: bool) -> Option<(Guard, Stage)> {
    let plane = shared::control_plane(LAYER).await?;
    let stage = Stage::with_ec2(&plane, LAYER, name, roles, instant).await?;
    Some((plane, stage))
}

#[tokio::test]
async fn sidecars_case_159_the_examples_work_under_the_roles_of_upstream() {
    let Some((plane, stage)) = set("upstream-roles", UPSTREAM, false).await else {
        return;
    };
    let processes = stage.apart(&[]);
    let costs = journey(&stage, &plane, processes).await;
    // Decision 12: ten with one GET and, since it is ready later, two more.
    costs.must_be(12);
    // Without patch and watch: the snapshot is read before it is written, twice, and its content; so is the claim.
    costs.volumes.must_be(6, 3);
    stage.nothing_denied();
}

#[tokio::test]
async fn sidecars_case_159_the_examples_work_under_our_roles() {
    let Some((plane, stage)) = set("our-roles", OURS, false).await else {
        return;
    };
    let processes = stage.apart(&[]);
    let costs = journey(&stage, &plane, processes).await;
    // Decision 12: nine without a GET and, since it is ready later, two more.
    costs.must_be(11);
    costs.volumes.must_be(3, 2);
    stage.nothing_denied();
    stage.nothing_granted_in_vain(&RARE).await;
}

#[tokio::test]
async fn sidecars_case_159_the_examples_work_in_one_process() {
    let Some((plane, stage)) = set("one-process", OURS, true).await else {
        return;
    };
    let process = stage.one_process();
    let costs = journey(&stage, &plane, vec![process]).await;
    costs.must_be(9);
    costs.volumes.must_be(3, 2);
    stage.nothing_denied();
}

/// A claim that is bound. Kubernetes writes this condition late, and a change under the work costs another request.
async fn settled_claim(stage: &Stage, plane: &ControlPlane) {
    stage.claim(plane).await;
    let unused = [
        "wait",
        "--for=condition=Unused",
        "pvc/ebs-claim",
        "--timeout=120s",
    ];
    plane.kubectl().ok(&unused).unwrap();
}

/// The claim, the snapshot, the import, the deletion of all of it, an expansion, a group, volumes made for claims, and
/// the end of the processes.
async fn journey(stage: &Stage, plane: &ControlPlane, processes: Vec<Process>) -> Costs {
    let kubectl = plane.kubectl();
    for lease in LEASES {
        stage.has_leader(lease).await;
    }
    settled_claim(stage, plane).await;

    let begin = stage.begin();
    let files = stage.example(plane, "05-snapshot", "");
    let ready = |name| {
        [
            "wait",
            "--for=jsonpath={.status.readyToUse}=true",
            name,
            "--timeout=120s",
        ]
    };
    kubectl.ok(&ready("vs/ebs-volume-snapshot")).unwrap();
    let snapshot = stage.cost(&begin).await;
    stage.nothing_lost_or_doubled().await;

    let made_before = stage.ec2.snapshot(&stage.volume).unwrap();
    let begin = stage.begin();
    let imported = stage.example(plane, "07-import-snapshot", &made_before);
    kubectl.ok(&ready("vs/static-snapshot")).unwrap();
    let import = stage.cost(&begin).await;
    for name in ["vs/ebs-volume-snapshot", "vs/static-snapshot"] {
        let size = ["get", name, "-o", "jsonpath={.status.restoreSize}"];
        assert_eq!(kubectl.ok(&size).unwrap(), "10Gi", "{name}");
    }

    let begin = stage.begin();
    kubectl.ok(&["delete", "-k", &files, "--timeout=120s"]).unwrap();
    let deletion = stage.cost(&begin).await;
    let left = [made_before];
    assert_eq!(
        stage.snapshots_in_ec2(),
        left,
        "the EC2 snapshot goes with the object"
    );
    kubectl
        .ok(&["delete", "-k", &imported, "--timeout=120s"])
        .unwrap();
    assert_eq!(stage.snapshots_in_ec2(), left, "Retain keeps the EC2 snapshot");

    let claims = stage.growable(2).await;
    let expansion = expansion(stage, plane, &claims[0]).await;
    let change = change(stage, plane, &claims[1]).await;
    stage.group_by_hand().await;
    stage.clear_claims(plane);
    let volumes = dynamic::story(stage, plane).await;
    for path in [SNAPSHOTS, CONTENTS] {
        assert_eq!(stage.list(path).await.unwrap().len(), 0, "{path}");
    }
    leases_are_given_back(stage, processes).await;
    Costs {
        snapshot,
        import,
        deletion,
        expansion,
        change,
        volumes,
    }
}

async fn leases_are_given_back(stage: &Stage, processes: Vec<Process>) {
    terminate(processes).await;
    for lease in LEASES {
        assert_eq!(
            stage.holder(lease).await.as_deref(),
            Some(""),
            "{lease} is given back"
        );
    }
}

async fn expansion(stage: &Stage, plane: &ControlPlane, claim: &Growable) -> Cost {
    let unused = stage.unused(claim).await;
    let begin = stage.begin();
    let wish = r#"{"spec":{"resources":{"requests":{"storage":"12Gi"}}}}"#;
    plane
        .kubectl()
        .ok(&["patch", "pvc", &claim.name, "-p", wish])
        .unwrap();
    stage.waits_for_node(claim, 12).await;
    stage.all_grown(std::slice::from_ref(claim), 12).await;
    let cost = stage.cost(&begin).await;
    assert_eq!(stage.unused(claim).await, unused, "the condition is kept");
    cost
}

/// A claim asks for the class of the example.
async fn change(stage: &Stage, plane: &ControlPlane, claim: &Growable) -> Cost {
    let unused = stage.unused(claim).await;
    let kubectl = plane.kubectl();
    stage.fast_class(plane);
    let begin = stage.begin();
    let wish = r#"{"spec":{"volumeAttributesClassName":"fast"}}"#;
    kubectl.ok(&["patch", "pvc", &claim.name, "-p", wish]).unwrap();
    stage.has_class(claim, "fast", 5_000).await;
    let cost = stage.cost(&begin).await;
    assert_eq!(stage.unused(claim).await, unused, "the condition is kept");
    let nothing = r#"{"spec":{"volumeAttributesClassName":null}}"#;
    assert!(kubectl.ok(&["patch", "pvc", &claim.name, "-p", nothing]).is_err());
    cost
}
