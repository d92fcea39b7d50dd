//! How the suite is installed: by kustomize, as a user would, with the images of this node, one replica, and EC2's address.

use std::path::Path;

use conformance::{Kubectl, OneNode};

use super::PATIENCE;
use crate::shared;

/// The deployments and the daemon set of the suite.
const SUITE: [[&str; 2]; 3] = [
    ["slackwater", "deployment/snapshot-controller"],
    ["kube-system", "deployment/ebs-csi-controller"],
    ["kube-system", "daemonset/ebs-csi-node"],
];

/// What upstream's manifests say of the snapshot-controller and ours otherwise.
const WITHOUT_PROBES: &str = "
- target: { kind: Deployment, name: snapshot-controller }
  patch: |
    - { op: remove, path: /spec/template/spec/containers/0/livenessProbe }
    - { op: remove, path: /spec/template/spec/containers/0/readinessProbe }
    - { op: remove, path: /spec/template/spec/containers/0/command }";

/// What is installed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// Nothing.
    None,
    /// `deploy/ebs/drop-in`: a container a program.
    DropIn,
    /// `deploy/ebs/all-in-one`: one container.
    AllInOne,
    /// The pods of the drop-in, with upstream's sidecars in them.
    Upstream,
    /// Something else.
    Other,
}

/// The sidecars and the number of their container in the pod.
pub const SIDECARS: [(&str, u32); 4] = [
    ("csi-provisioner", 1),
    ("csi-attacher", 2),
    ("csi-snapshotter", 3),
    ("csi-resizer", 4),
];

/// Applies a shape, and waits until it runs.
pub fn install(node: &OneNode, shape: Shape) {
    let kubectl = node.plane().kubectl();
    let repository = shared::repository();
    if shape == Shape::DropIn {
        definitions(&kubectl, &repository);
    }
    apply(node, "account", &account(node.ec2().endpoint()));
    apply(node, "suite", &kustomization(&repository, shape));
    runs(&kubectl);
}

/// Takes the EBS driver away again; the snapshot-controller stays, and what tells it of EC2.
pub fn remove_driver(node: &OneNode, shape: Shape) {
    let repository = shared::repository();
    let folder = folder(node, "removed", &driver(&repository, shape));
    let kubectl = node.plane().kubectl();
    let deleted = ["delete", "-k", &folder, "--ignore-not-found", PATIENCE];
    kubectl.ok(&deleted).unwrap();
}

/// Waits until all pods are those of the last change, and ready.
pub fn runs(kubectl: &Kubectl) {
    for [namespace, object] in SUITE {
        let status = ["rollout", "status", "-n", namespace, object, PATIENCE];
        if let Err(error) = kubectl.ok(&status) {
            let events = ["get", "events,pods", "-A"];
            panic!("{error}\n{}", kubectl.run(&events).unwrap().stdout);
        }
    }
}

fn definitions(kubectl: &Kubectl, repository: &Path) {
    let definitions = repository.join("crds").display().to_string();
    kubectl
        .ok(&["apply", "--server-side", "-k", &definitions])
        .unwrap();
    kubectl
        .ok(&["wait", "--for=condition=Established", "crds", "--all", PATIENCE])
        .unwrap();
}

fn apply(node: &OneNode, name: &str, text: &str) {
    let folder = folder(node, name, text);
    let applied = ["apply", "--server-side", "--force-conflicts", "-k", &folder];
    node.plane().kubectl().ok(&applied).unwrap();
}

fn folder(node: &OneNode, name: &str, text: &str) -> String {
    let folder = node.plane().folder().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
    folder.display().to_string()
}

/// Kustomize takes no absolute paths.
fn top(repository: &Path) -> String {
    format!("../../../../../../../..{}", repository.display())
}

fn account(endpoint: &str) -> String {
    format!(
        "
configMapGenerator:
- {{ name: aws-meta, namespace: kube-system, literals: [\"endpoint={endpoint}\"] }}
secretGenerator:
- {{ name: aws-secret, namespace: kube-system, literals: [key_id=AKIDEXAMPLE, access_key=secret] }}
generatorOptions: {{ disableNameSuffixHash: true }}
"
    )
}

fn driver(repository: &Path, shape: Shape) -> String {
    let folder = match shape {
        Shape::AllInOne => "all-in-one",
        _ => "drop-in",
    };
    format!("resources: [{}/deploy/ebs/{folder}]\n", top(repository))
}

fn kustomization(repository: &Path, shape: Shape) -> String {
    let top = top(repository);
    let (folder, more, patches) = match shape {
        Shape::AllInOne => ("all-in-one", String::new(), String::new()),
        Shape::Upstream => (
            "drop-in",
            format!("components: [{top}/deploy/ebs/components/upstream-rights]"),
            upstreams(),
        ),
        _ => ("drop-in", String::new(), String::new()),
    };
    format!(
        "
resources:
- {top}/deploy/ebs/{folder}
- {top}/deploy/ebs/classes
- {top}/deploy/snapshot-controller
{more}
images:
- {{ name: slackwater, newName: localhost/slackwater, newTag: slackwater }}
- {{ name: slackwater-node, newName: localhost/slackwater, newTag: slackwater-node }}
replicas:
- {{ name: ebs-csi-controller, count: 1 }}
- {{ name: snapshot-controller, count: 1 }}
patches:
- target: {{ kind: Deployment, name: ebs-csi-controller }}
  patch: |
    - {{ op: add, path: /spec/template/spec/containers/0/env/-, value: {{ name: AWS_REGION, value: us-east-1 }} }}
{patches}
"
    )
}

/// As in upstream's manifests: images that are started by their entry points. A lease ends sooner than by default, since
/// upstream's programs do not give it back.
fn upstreams() -> String {
    let lease = |path: &str| {
        let add = |flag: &str| format!("\n    - {{ op: add, path: {path}/args/-, value: {flag} }}");
        [
            "--leader-election-lease-duration=6s",
            "--leader-election-renew-deadline=4s",
            "--leader-election-retry-period=1s",
        ]
        .map(add)
        .concat()
    };
    let of_image = |path: &str, name: &str| {
        format!("\n    - {{ op: replace, path: {path}/image, value: \"localhost/upstream:{name}\" }}")
    };
    let sidecar = |(name, number): (&str, u32)| {
        let path = format!("/spec/template/spec/containers/{number}");
        let command = format!("\n    - {{ op: remove, path: {path}/command }}");
        command + &of_image(&path, name) + &lease(&path)
    };
    let path = "/spec/template/spec/containers/0";
    let sidecars = SIDECARS.map(sidecar).concat();
    let target = "- target: { kind: Deployment, name: ebs-csi-controller }\n  patch: |";
    [
        target,
        &sidecars,
        WITHOUT_PROBES,
        &of_image(path, "snapshot-controller"),
        &lease(path),
    ]
    .concat()
}
