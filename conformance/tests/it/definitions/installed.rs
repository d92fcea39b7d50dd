//! The manifests of `deploy/`, before the real API server.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::LAYER;
use crate::kustomized::in_the_repository;
use crate::pods::{containers, documents, flags_are_known, named, of_kind};
use crate::shared::{self, repository};
use crate::stored;

const FOLDER: &str = "deploy/snapshot-controller";
const RESIZER: &str = "deploy/resizer";
const WITH_WEBHOOK: &str = "deploy/snapshot-controller-with-webhook";
const CERT_MANAGER: &str = "deploy/snapshot-controller/webhook-cert-manager";
const DROP_IN: &str = "deploy/ebs/drop-in";
const ALL_IN_ONE: &str = "deploy/ebs/all-in-one";

/// What each shape of the EBS driver brings.
const EBS: [(&str, usize); 9] = [
    ("CSIDriver", 1),
    ("ServiceAccount", 2),
    ("ClusterRole", 5),
    ("ClusterRoleBinding", 5),
    ("Role", 1),
    ("RoleBinding", 1),
    ("PodDisruptionBudget", 1),
    ("Deployment", 1),
    ("DaemonSet", 1),
];

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

/// A folder with these resources and components.
fn composed(resources: &str, components: &[&str]) -> TempDir {
    let folder = in_the_repository();
    let mut text = format!("kind: Kustomization\nresources: [../../{resources}]\ncomponents:\n");
    for component in components {
        text += &format!("- ../../{component}\n");
    }
    std::fs::write(folder.path().join("kustomization.yaml"), text).unwrap();
    folder
}

/// The objects of a kustomization in the repository, as the API server would store them.
async fn installed(folder: &str) -> Option<Vec<Value>> {
    let plane = shared::control_plane(LAYER).await?;
    // A dry run makes no namespace for what comes after it.
    plane
        .service_account("slackwater", "snapshot-controller")
        .await
        .unwrap();
    let folder = repository().join(folder).display().to_string();
    Some(stored::would_be(&plane.kubectl(), &folder))
}

/// These kinds so often, and no others.
fn are_counted(objects: &[Value], counted: &[(&str, usize)]) {
    for (kind, expected) in counted {
        assert_eq!(of_kind(objects, kind).len(), *expected, "{kind}");
    }
    let all: usize = counted.iter().map(|(_, count)| count).sum();
    assert_eq!(objects.len(), all);
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
    let folder = composed(FOLDER, &[CERT_MANAGER]);
    let folder = folder.path().display().to_string();
    let built = plane
        .kubectl()
        .ok(&["kustomize", &folder, "-o", "/dev/stdout"])
        .unwrap();
    let objects = documents(&built);
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

#[tokio::test]
async fn the_ebs_driver_can_be_installed_in_both_shapes() {
    for (folder, names) in [
        (
            DROP_IN,
            &[
                "ebs-plugin",
                "csi-provisioner",
                "csi-attacher",
                "csi-snapshotter",
                "csi-resizer",
                "liveness-probe",
            ][..],
        ),
        (ALL_IN_ONE, &["ebs-plugin"]),
    ] {
        let Some(objects) = installed(folder).await else {
            return;
        };
        are_counted(&objects, &EBS);
        let deployment = of_kind(&objects, "Deployment")[0];
        let found: Vec<_> = containers(deployment).iter().map(|one| &one["name"]).collect();
        assert_eq!(found, names, "{folder}");
        flags_are_known(deployment);
        flags_are_known(of_kind(&objects, "DaemonSet")[0]);
        assert_eq!(of_kind(&objects, "CSIDriver")[0]["spec"]["attachRequired"], true);
    }
}

/// Each Service leads to a port that a container of its pods has open.
fn services_lead_somewhere(objects: &[Value]) -> usize {
    let pods = [of_kind(objects, "Deployment"), of_kind(objects, "DaemonSet")].concat();
    let services = of_kind(objects, "Service");
    for service in &services {
        let app = &service["spec"]["selector"]["app"];
        let port = &service["spec"]["ports"][0]["targetPort"];
        let is_its = |pod: &&&Value| pod["spec"]["template"]["metadata"]["labels"]["app"] == *app;
        let pod = pods.iter().find(is_its).unwrap();
        let open: BTreeSet<_> = containers(pod)
            .iter()
            .flat_map(|one| one["ports"].as_array().into_iter().flatten())
            .map(|one| one["containerPort"].as_u64())
            .collect();
        assert!(open.contains(&port.as_u64()), "{service}: {open:?}");
    }
    services.len()
}

#[tokio::test]
async fn the_components_of_the_ebs_driver_can_be_taken() {
    for (shape, metrics, services) in [
        (DROP_IN, "deploy/ebs/drop-in/metrics", 7),
        (ALL_IN_ONE, "deploy/ebs/components/metrics", 6),
    ] {
        let components = [
            metrics,
            "deploy/ebs/components/upstream-rights",
            "deploy/ebs/components/prevent-scheduling",
        ];
        let folder = composed(shape, &components);
        let Some(objects) = installed(&folder.path().display().to_string()).await else {
            return;
        };
        are_counted(&objects, &[&EBS[..], &[("Service", services)]].concat());
        assert_eq!(services_lead_somewhere(&objects), services);
        flags_are_known(of_kind(&objects, "Deployment")[0]);
        flags_are_known(of_kind(&objects, "DaemonSet")[0]);
        let driver = &of_kind(&objects, "CSIDriver")[0]["spec"];
        assert_eq!(driver["preventPodSchedulingIfMissing"], true);
        let rules = &named(&objects, "ClusterRole", "ebs-external-resizer-role").unwrap()["rules"];
        let pods = json!({ "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"] });
        assert!(rules.as_array().unwrap().contains(&pods), "{rules}");
    }
}

#[tokio::test]
async fn the_role_of_viewers_can_be_taken() {
    let folder = composed(DROP_IN, &["deploy/ebs/components/viewer"]);
    let Some(objects) = installed(&folder.path().display().to_string()).await else {
        return;
    };
    let mut counted = EBS;
    counted[2] = ("ClusterRole", 6);
    are_counted(&objects, &counted);
    let role = named(&objects, "ClusterRole", "slackwater-viewer").unwrap();
    let label = "rbac.authorization.k8s.io/aggregate-to-view";
    assert_eq!(role["metadata"]["labels"][label], "true");
}

#[tokio::test]
async fn the_selftest_can_be_installed() {
    let Some(objects) = installed("deploy/selftest").await else {
        return;
    };
    let kinds = [
        ("ServiceAccount", 1),
        ("ClusterRole", 1),
        ("ClusterRoleBinding", 1),
        ("Role", 1),
        ("RoleBinding", 1),
        ("Pod", 1),
    ];
    are_counted(&objects, &kinds);
}

#[tokio::test]
async fn the_example_with_a_role_for_aws_can_be_installed() {
    let Some(objects) = installed("deploy/ebs/example-irsa").await else {
        return;
    };
    let classes = [
        ("StorageClass", 1),
        ("VolumeSnapshotClass", 1),
        ("VolumeAttributesClass", 1),
    ];
    are_counted(&objects, &[&EBS[..], &classes, &[("Service", 7)]].concat());
    let accounts = of_kind(&objects, "ServiceAccount");
    let with_role =
        |account: &&&Value| account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].is_string();
    let names: Vec<_> = accounts
        .iter()
        .filter(with_role)
        .map(|one| &one["metadata"]["name"])
        .collect();
    assert_eq!(names, ["ebs-csi-controller-sa"]);
    let deployment = of_kind(&objects, "Deployment")[0];
    let image = containers(deployment)[0]["image"].as_str().unwrap();
    assert!(image.ends_with("amazonaws.com/slackwater:v0.1.0"), "{image}");
}
