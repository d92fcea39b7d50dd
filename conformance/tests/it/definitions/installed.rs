//! The manifests of `deploy/`, before the real API server.

use serde_json::Value;

use super::LAYER;
use crate::shared::{self, repository};

const FOLDER: &str = "deploy/snapshot-controller";

/// The objects of the kustomization by kind, as the API server would store them.
#[tokio::test]
async fn the_snapshot_controller_can_be_installed() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    // A dry run makes no namespace for what comes after it.
    plane
        .service_account("slackwater", "snapshot-controller")
        .await
        .unwrap();
    let folder = repository().join(FOLDER);
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
    let counted = [
        ("CustomResourceDefinition", 6),
        ("Namespace", 1),
        ("ServiceAccount", 1),
        ("ClusterRole", 1),
        ("ClusterRoleBinding", 1),
        ("Role", 1),
        ("RoleBinding", 1),
        ("Deployment", 1),
        ("PodDisruptionBudget", 1),
    ];
    assert_eq!(
        objects.len(),
        counted.iter().map(|(_, count)| count).sum::<usize>()
    );
    for (kind, expected) in counted {
        assert_eq!(count(kind), expected, "{kind}");
    }
    let deployment = objects
        .iter()
        .find(|object| object["kind"] == "Deployment")
        .unwrap();
    let flags_are_known = std::process::Command::new(conformance::slackwater().unwrap())
        .arg("snapshot-controller")
        .args(texts(
            &deployment["spec"]["template"]["spec"]["containers"][0]["args"],
        ))
        .arg("--version")
        .output()
        .unwrap();
    assert!(flags_are_known.status.success(), "{flags_are_known:?}");
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}
