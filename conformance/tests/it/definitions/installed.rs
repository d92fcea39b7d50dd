//! The manifests of `deploy/`, before the real API server.

use serde_json::Value;

use super::LAYER;
use crate::shared::{self, repository};

/// What each kustomization has one of.
const KINDS: [&str; 8] = [
    "Namespace",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Deployment",
    "PodDisruptionBudget",
];

#[tokio::test]
async fn the_snapshot_controller_can_be_installed() {
    let programs = [("snapshot-controller", &["snapshot-controller"][..])];
    can_be_installed("snapshot-controller", 6, &programs).await;
}

#[tokio::test]
async fn the_csi_resizer_can_be_installed_beside_a_driver() {
    let programs = [
        ("csi-resizer", &["csi-resizer"][..]),
        ("ebs-driver", &["aws-ebs-csi-driver", "controller"]),
    ];
    can_be_installed("resizer", 0, &programs).await;
}

/// The API server takes the kustomization of this folder, which brings these definitions and runs these programs, each in
/// a container of this name with flags that it knows.
async fn can_be_installed(folder: &str, definitions: usize, programs: &[(&str, &[&str])]) {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    // A dry run makes no namespace for what comes after it.
    plane
        .service_account("slackwater", "snapshot-controller")
        .await
        .unwrap();
    let folder = repository().join("deploy").join(folder);
    let folder = folder.to_str().unwrap();
    let kubectl = plane.kubectl();
    let dry_run = [
        "apply",
        "-k",
        folder,
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "-o",
        "json",
    ];
    let said = kubectl.ok(&dry_run).unwrap();
    let list: Value = serde_json::from_str(&said).unwrap();
    let objects = list["items"].as_array().unwrap();
    let count = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
    assert_eq!(objects.len(), KINDS.len() + definitions);
    assert_eq!(count("CustomResourceDefinition"), definitions);
    for kind in KINDS {
        assert_eq!(count(kind), 1, "{kind}");
    }
    let deployment = objects
        .iter()
        .find(|object| object["kind"] == "Deployment")
        .unwrap();
    let containers = deployment["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap();
    assert_eq!(containers.len(), programs.len());
    for (container, (name, command)) in containers.iter().zip(programs) {
        assert_eq!(container["name"], *name);
        assert_eq!(texts(&container["command"])[1..], **command, "{name}");
        flags_are_known(command, &texts(&container["args"]));
    }
}

fn flags_are_known(command: &[&str], flags: &[&str]) {
    let answer = std::process::Command::new(conformance::slackwater().unwrap())
        .args(command)
        .args(flags)
        .arg("--version")
        .output()
        .unwrap();
    assert!(answer.status.success(), "{command:?} {flags:?}: {answer:?}");
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}
