//! The manifests of `deploy/`, before the real API server.

use serde_json::Value;

use super::LAYER;
use crate::shared::{self, repository};

const FOLDER: &str = "deploy/snapshot-controller";
const RESIZER: &str = "deploy/resizer";
const WITH_WEBHOOK: &str = "deploy/snapshot-controller-with-webhook";
const CERT_MANAGER: &str = "deploy/snapshot-controller/webhook-cert-manager";

/// What a kustomization of one program brings.
const PROGRAM: [(&str, usize); 8] = [
    ("Namespace", 1),
    ("ServiceAccount", 1),
    ("ClusterRole", 1),
    ("ClusterRoleBinding", 1),
    ("Role", 1),
    ("RoleBinding", 1),
    ("Deployment", 1),
    ("PodDisruptionBudget", 1),
];

/// The objects of a kustomization, as the API server would store them.
async fn installed(folder: &str) -> Option<Vec<Value>> {
    let plane = shared::control_plane(LAYER).await?;
    // A dry run makes no namespace for what comes after it.
    plane
        .service_account("slackwater", "snapshot-controller")
        .await
        .unwrap();
    let folder = repository().join(folder).display().to_string();
    let dry_run = [
        "apply",
        "-k",
        &folder,
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "-o",
        "json",
    ];
    let said = plane.kubectl().ok(&dry_run).unwrap();
    let list: Value = serde_json::from_str(&said).unwrap();
    list["items"].as_array().cloned()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// These kinds so often, and no others.
fn are_counted(objects: &[Value], counted: &[(&str, usize)]) {
    for (kind, expected) in counted {
        assert_eq!(of_kind(objects, kind).len(), *expected, "{kind}");
    }
    let all: usize = counted.iter().map(|(_, count)| count).sum();
    assert_eq!(objects.len(), all);
}

fn containers(deployment: &Value) -> &[Value] {
    let containers = &deployment["spec"]["template"]["spec"]["containers"];
    containers.as_array().unwrap()
}

/// Our binary takes the arguments of each container of the Deployment.
fn flags_are_known(deployment: &Value) {
    for container in containers(deployment) {
        let command = texts(&container["command"]);
        let ended = std::process::Command::new(conformance::slackwater().unwrap())
            .args(&command[1..])
            .args(texts(&container["args"]))
            .arg("--version")
            .output()
            .unwrap();
        assert!(ended.status.success(), "{}: {ended:?}", container["name"]);
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_snapshot_controller_can_be_installed() {
    let Some(objects) = installed(FOLDER).await else {
        return;
    };
    let counted = [&PROGRAM[..], &[("CustomResourceDefinition", 6)]].concat();
    are_counted(&objects, &counted);
    flags_are_known(of_kind(&objects, "Deployment")[0]);
}

#[tokio::test]
async fn the_csi_resizer_can_be_installed_beside_a_driver() {
    let Some(objects) = installed(RESIZER).await else {
        return;
    };
    are_counted(&objects, &PROGRAM);
    let deployment = of_kind(&objects, "Deployment")[0];
    let names: Vec<_> = containers(deployment)
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(names, ["csi-resizer", "ebs-driver"]);
    flags_are_known(deployment);
}

#[tokio::test]
async fn the_conversion_webhook_can_be_installed_beside_it() {
    let Some(objects) = installed(WITH_WEBHOOK).await else {
        return;
    };
    are_counted(
        &objects,
        &[
            ("CustomResourceDefinition", 6),
            ("Namespace", 1),
            ("ServiceAccount", 2),
            ("ClusterRole", 2),
            ("ClusterRoleBinding", 2),
            ("Role", 2),
            ("RoleBinding", 2),
            ("Deployment", 2),
            ("PodDisruptionBudget", 2),
            ("Service", 1),
        ],
    );
    for deployment in of_kind(&objects, "Deployment") {
        flags_are_known(deployment);
        assert_eq!(deployment["spec"]["replicas"], 2);
        let spec = &deployment["spec"]["template"]["spec"];
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        let container = &spec["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert!(container["readinessProbe"].is_object() && container["livenessProbe"].is_object());
    }
}

/// The kinds of cert-manager are not served here, so the API server cannot judge them.
#[tokio::test]
async fn the_webhook_takes_certificates_of_cert_manager() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let folder = tempfile::tempdir_in(repository().join("target")).unwrap();
    let text =
        format!("kind: Kustomization\nresources: [../../{FOLDER}]\ncomponents: [../../{CERT_MANAGER}]\n");
    std::fs::write(folder.path().join("kustomization.yaml"), text).unwrap();
    let folder = folder.path().display().to_string();
    let built = plane
        .kubectl()
        .ok(&["kustomize", &folder, "-o", "/dev/stdout"])
        .unwrap();
    let objects: Vec<Value> = built
        .split("\n---\n")
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect();
    are_counted(
        &objects,
        &[
            ("CustomResourceDefinition", 6),
            ("Namespace", 1),
            ("ServiceAccount", 2),
            ("ClusterRole", 1),
            ("ClusterRoleBinding", 1),
            ("Role", 1),
            ("RoleBinding", 1),
            ("Deployment", 2),
            ("PodDisruptionBudget", 2),
            ("Service", 1),
            ("Issuer", 1),
            ("Certificate", 1),
        ],
    );
    of_kind(&objects, "Deployment")
        .into_iter()
        .for_each(flags_are_known);
    let injected = |definition: &&&Value| {
        definition["metadata"]["annotations"]["cert-manager.io/inject-ca-from"].is_string()
    };
    let definitions = of_kind(&objects, "CustomResourceDefinition");
    let converted: Vec<_> = definitions.iter().filter(injected).collect();
    assert_eq!(converted.len(), 1);
    let service = &converted[0]["spec"]["conversion"]["webhook"]["clientConfig"]["service"];
    let named = of_kind(&objects, "Service")[0];
    assert_eq!(service["name"], named["metadata"]["name"]);
    assert_eq!(service["namespace"], named["metadata"]["namespace"]);
}
