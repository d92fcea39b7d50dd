//! The metadata labeler as its own process, under the role that `deploy/ebs` gives it and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use conformance::{ControlPlane, Ec2Process, Hand, Launch, Process, User, until};
use serde_json::{Value, json};

use crate::processes::terminate;
use crate::shared::{self, PATIENCE, repository};

const LAYER: &str = "1 drop-in";
/// Beside releases of the chart, which have this service account in kube-system.
const NAMESPACE: &str = "labeler";
const ACCOUNT: &str = "ebs-csi-controller-sa";
const ZONE: &str = "us-east-1a";
const NODE: &str = "/api/v1/nodes/labelled";
/// Rights that a labelling does not use.
const RARE: [&str; 1] = ["watch leases"];

/// What it is granted.
fn granted(objects: &[Value]) -> BTreeSet<String> {
    let rules = objects
        .iter()
        .flat_map(|object| object["rules"].as_array().into_iter().flatten());
    let texts = |list: &Value| {
        let list = list.as_array().unwrap().iter();
        list.map(|text| text.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut granted = BTreeSet::new();
    for rule in rules {
        for resource in texts(&rule["resources"]) {
            granted.extend(
                texts(&rule["verbs"])
                    .iter()
                    .map(|verb| format!("{verb} {resource}")),
            );
        }
    }
    granted
}

/// The service account, with the roles of the manifests in a namespace of its own, and what they grant.
async fn account(plane: &ControlPlane) -> (User, BTreeSet<String>) {
    let user = plane.service_account(NAMESPACE, ACCOUNT).await.unwrap();
    let mut objects = Vec::new();
    for file in [
        "base/controller-rbac.yaml",
        "components/metadata-labeler/rbac.yaml",
    ] {
        let path = repository().join("deploy/ebs").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.replace("kube-system", NAMESPACE);
        let args = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        plane.kubectl().ok_with(&args, &text).unwrap();
        objects.extend(crate::pods::documents(&text));
    }
    (user, granted(&objects))
}

fn start(plane: &ControlPlane, program: &Path, user: &User, ec2: &Ec2Process) -> Process {
    let launch = Launch::new("metadata-labeler", program)
        .args(["aws-ebs-csi-driver", "metadataLabeler", "--v=4"])
        .args([format!("--kubeconfig={}", user.kubeconfig.display())])
        .env("POD_NAMESPACE", NAMESPACE)
        .env("AWS_EC2_ENDPOINT", ec2.endpoint())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "sandbox")
        .env("AWS_SECRET_ACCESS_KEY", "sandbox")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    Process::start(plane.keeper(), plane.folder(), &launch).unwrap()
}

/// Until the node has what EC2 says of its instance.
async fn labelled(hand: &Hand) {
    until("the node has its labels", PATIENCE, async || {
        let node = hand.find(NODE).await.ok()??;
        let labels = &node["metadata"]["labels"];
        let (interfaces, volumes) = (
            &labels["ebs.csi.aws.com/enis-count"],
            &labels["ebs.csi.aws.com/non-csi-ebs-volumes-count"],
        );
        (interfaces == "1" && volumes == "0").then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn ebs_case_155_nodes_are_labelled_under_the_role_of_the_manifests() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let program = match conformance::slackwater() {
        Ok(program) => program,
        Err(error) => return shared::not_run(LAYER, &error),
    };
    let ec2 = Ec2Process::start(plane.keeper(), plane.folder(), true).unwrap();
    let instance = ec2.instance(ZONE, "m5.large").unwrap();
    let (user, mut unused) = account(&plane).await;
    let hand = plane.hand().await.unwrap();
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "labelled" },
        "spec": { "providerID": format!("aws:///{ZONE}/{instance}") },
    });
    let made = hand.create("/api/v1/nodes", &node).await.unwrap();
    made.ok("a node").unwrap();

    let begun = plane.audit().mark();
    let process = start(&plane, &program, &user, &ec2);
    labelled(&hand).await;
    terminate([process]).await;

    let records = plane.audit().since(begun).unwrap();
    let of_labeler: Vec<_> = records.iter().filter(|record| record.user == user.name).collect();
    let denied: Vec<_> = of_labeler.iter().filter(|record| record.is_denied()).collect();
    assert!(denied.is_empty(), "{denied:?}");
    let used: BTreeSet<String> = of_labeler.iter().map(|record| record.action()).collect();
    unused.retain(|right| {
        // Older API servers have no watch that begins with a list.
        let watch = right.replacen("list ", "watch ", 1);
        !used.contains(right) && !used.contains(&watch) && !RARE.contains(&right.as_str())
    });
    assert!(unused.is_empty(), "granted in vain: {unused:?}; used: {used:?}");
    hand.delete(NODE).await.unwrap();
    for (kind, name) in [
        ("clusterrole", "ebs-metadata-labeler-role"),
        ("clusterrolebinding", "ebs-csi-metadata-labeler-binding"),
    ] {
        plane.kubectl().ok(&["delete", kind, name]).unwrap();
    }
}
