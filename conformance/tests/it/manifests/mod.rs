//! Layer 1, manifests: the programs as the containers of `deploy/ebs` start them, with their arguments, under their service
//! account and its rights alone; and an overlay over them.

mod components;
mod overlay;

use conformance::{ControlPlane, Launch, Process, User};
use serde_json::Value;

use crate::drop_in::RARE;
use crate::dynamic;
use crate::journey::{ONE_PROCESS, Roles, Stage};
use crate::pods::{containers, texts};
use crate::processes::terminate;
use crate::shared::{self, repository};
use crate::stored;

const LAYER: &str = "1 manifests";
const ACCOUNT: &str = "ebs-csi-controller-sa";

/// The snapshot-controller beside them is under upstream's rights.
const BESIDE: Roles = Roles {
    files: &["conformance/roles/upstream.yaml"],
    namespace: "kube-system",
};

const LEASES: [&str; 4] = [
    "ebs-csi-aws-com",
    "external-attacher-leader-ebs-csi-aws-com",
    "external-snapshotter-leader-ebs-csi-aws-com",
    "external-resizer-ebs-csi-aws-com",
];

/// The roles of the account.
const ITS_ROLES: [&str; 5] = [
    "clusterroles/ebs-external-provisioner-role",
    "clusterroles/ebs-external-attacher-role",
    "clusterroles/ebs-external-snapshotter-role",
    "clusterroles/ebs-external-resizer-role",
    "namespaces/kube-system/roles/ebs-csi-leases-role",
];

/// A container as a process: what differs is where its sockets are, and that it is told of a kubeconfig.
fn launch(stage: &Stage, user: &User, container: &Value) -> Launch {
    let socket = stage.suite.socket().display().to_string();
    let filled_in = |word: &str| {
        word.replace("$(CSI_ENDPOINT)", &format!("unix://{socket}"))
            .replace("$(ADDRESS)", &socket)
            .replace("/csi/csi.sock", &socket)
    };
    let command = texts(&container["command"]);
    let mode = command[1];
    let mut words: Vec<String> = command[1..].iter().map(ToString::to_string).collect();
    words.extend(texts(&container["args"]).into_iter().map(filled_in));
    match mode {
        // It does not speak to the API server.
        "aws-ebs-csi-driver" => {}
        "livenessprobe" => words.push("--http-endpoint=127.0.0.1:0".to_owned()),
        _ => words.push(format!("--kubeconfig={}", user.kubeconfig.display())),
    }
    if mode == ONE_PROCESS {
        let functions = words.iter().find_map(|word| word.strip_prefix("--functions="));
        let functions: Vec<_> = functions.unwrap().split(',').map(str::to_owned).collect();
        words.extend(
            functions
                .iter()
                .map(|function| format!("--{function}.http-endpoint=127.0.0.1:0")),
        );
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage
        .suite
        .launch(container["name"].as_str().unwrap(), &stage.program, &words)
}

fn start(stage: &Stage, plane: &ControlPlane, user: &User) -> Vec<Process> {
    let found = [
        "get",
        "deployment",
        "ebs-csi-controller",
        "-n",
        "kube-system",
        "-o",
        "json",
    ];
    let deployment: Value = serde_json::from_str(&plane.kubectl().ok(&found).unwrap()).unwrap();
    let launches = containers(&deployment).iter().map(|one| launch(stage, user, one));
    launches
        .map(|launch| stage.suite.start(&launch).unwrap())
        .collect()
}

/// A snapshot, an expansion, a group and the deletion of all of it; a volume for a claim, its attachment, restore and clone.
async fn works(shape: &str) {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(mut stage) = Stage::new(&plane, LAYER, shape, BESIDE).await else {
        return;
    };
    let kubectl = plane.kubectl();
    let folder = repository().join("deploy/ebs").join(shape).display().to_string();
    kubectl.ok(&["apply", "--server-side", "-k", &folder]).unwrap();
    let user = plane.service_account("kube-system", ACCOUNT).await.unwrap();
    stage.users.insert(ONE_PROCESS, user.clone());
    let mut processes = start(&stage, &plane, &user);
    processes.push(stage.snapshot_controller(&[]));
    for lease in LEASES {
        stage.has_leader(lease).await;
    }
    stage.claim(&plane).await;
    let files = stage.example(&plane, "05-snapshot", "");
    let ready = [
        "wait",
        "--for=jsonpath={.status.readyToUse}=true",
        "vs/ebs-volume-snapshot",
        "--timeout=120s",
    ];
    kubectl.ok(&ready).unwrap();
    stage.nothing_lost_or_doubled().await;
    kubectl.ok(&["delete", "-k", &files, "--timeout=120s"]).unwrap();
    let claims = stage.growable(1).await;
    let wish = r#"{"spec":{"resources":{"requests":{"storage":"12Gi"}}}}"#;
    kubectl
        .ok(&["patch", "pvc", &claims[0].name, "-p", wish])
        .unwrap();
    stage.waits_for_node(&claims[0], 12).await;
    stage.all_grown(&claims, 12).await;
    stage.group_by_hand().await;
    stage.clear_claims(&plane);
    // As under the roles of the functions alone.
    dynamic::story(&stage, &plane).await.must_be(3, 2);
    terminate(processes).await;
    for lease in LEASES {
        assert_eq!(
            stage.holder(lease).await.as_deref(),
            Some(""),
            "{lease} is given back"
        );
    }
    stage.nothing_denied();
    let rare = RARE.map(|(_, right)| right);
    stage.all_used(ONE_PROCESS, &ITS_ROLES, &rare).await;
    // Nor have the programs at work written into what installed them.
    stored::folder_would_not_change(&kubectl, &folder);
    kubectl.ok(&["delete", "-k", &folder, "--wait=false"]).unwrap();
}

#[tokio::test]
async fn the_drop_in_works_as_its_manifests_start_it() {
    works("drop-in").await;
}

#[tokio::test]
async fn the_all_in_one_works_as_its_manifests_start_it() {
    works("all-in-one").await;
}
