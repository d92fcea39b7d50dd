//! Layer 11: a real kubelet, containerd and devices; the suite as `deploy/` installs it, from images as they are laid out;
//! every journey follows the bytes by their checksums.

mod failures;
mod journeys;
mod person;

use std::path::Path;
use std::time::Instant;

use conformance::{Error, Kubectl, OneNode};
use tokio::sync::{Mutex, MutexGuard};

use self::person::Person;
use crate::shared::{self, say};

const LAYER: &str = "11 one node";
/// How long a pod, a claim or a snapshot may take; builds may use the same processors.
const PATIENCE: &str = "--timeout=180s";
/// The deployments and the daemon set of the suite.
const SUITE: [[&str; 2]; 3] = [
    ["slackwater", "deployment/snapshot-controller"],
    ["kube-system", "deployment/ebs-csi-controller"],
    ["kube-system", "daemonset/ebs-csi-node"],
];

static NODE: Mutex<Option<OneNode>> = Mutex::const_new(None);

/// The cluster, for one test alone.
struct Cluster {
    node: MutexGuard<'static, Option<OneNode>>,
    begun: Instant,
}

impl Cluster {
    /// The cluster with the suite; none, and a line that says so, where it cannot be.
    async fn get() -> Option<Self> {
        let mut node = NODE.lock().await;
        let begun = Instant::now();
        if node.is_none() {
            match OneNode::start().await {
                Ok(started) => {
                    let took = begun.elapsed().as_secs_f64();
                    say(&format!("layer {LAYER}: a node after {took:.1} s"));
                    install(&started, "drop-in");
                    let took = begun.elapsed().as_secs_f64();
                    say(&format!("layer {LAYER}: the suite after {took:.1} s"));
                    *node = Some(started);
                }
                Err(error @ Error::Missing { .. }) => {
                    shared::not_run(LAYER, &error);
                    return None;
                }
                Err(error) => panic!("{error}"),
            }
        }
        Some(Self { node, begun })
    }

    fn node(&self) -> &OneNode {
        self.node.as_ref().unwrap()
    }

    fn node_mut(&mut self) -> &mut OneNode {
        self.node.as_mut().unwrap()
    }

    fn kubectl(&self) -> Kubectl {
        self.node().plane().kubectl()
    }

    /// Somebody with a namespace of their own.
    fn person(&self, name: &str) -> Person {
        Person::new(self.kubectl(), name)
    }

    /// After a test: nothing that it made is left in EC2.
    fn nothing_is_left(&self) {
        assert_eq!(self.node().volumes().unwrap(), []);
        assert_eq!(self.node().ec2().state().unwrap().snapshots, []);
        let attached = self
            .kubectl()
            .ok(&["get", "volumeattachments", "-o", "name"])
            .unwrap();
        assert_eq!(attached, "");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What a failed test leaves behind must not fail the next one.
            *self.node = None;
        }
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let seconds = self.begun.elapsed().as_secs_f64();
        say(&format!("layer {LAYER}: {name} took {seconds:.1} s"));
    }
}

/// Applies what a user would, in this shape, with the images of this node, one replica, and EC2's address.
fn install(node: &OneNode, shape: &str) {
    let kubectl = node.plane().kubectl();
    let repository = shared::repository();
    let definitions = repository.join("crds").display().to_string();
    kubectl
        .ok(&["apply", "--server-side", "-k", &definitions])
        .unwrap();
    kubectl
        .ok(&["wait", "--for=condition=Established", "crds", "--all", PATIENCE])
        .unwrap();
    let folder = node.plane().folder().join("suite");
    std::fs::create_dir_all(&folder).unwrap();
    let text = kustomization(&repository, shape, node.ec2().endpoint());
    std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
    let folder = folder.display().to_string();
    kubectl.ok(&["apply", "--server-side", "-k", &folder]).unwrap();
    for [namespace, object] in SUITE {
        let status = ["rollout", "status", "-n", namespace, object, PATIENCE];
        if let Err(error) = kubectl.ok(&status) {
            let events = ["get", "events,pods", "-A"];
            panic!("{error}\n{}", kubectl.run(&events).unwrap().stdout);
        }
    }
}

fn kustomization(repository: &Path, shape: &str, endpoint: &str) -> String {
    // Kustomize takes no absolute paths.
    let top = format!("../../../../../../../..{}", repository.display());
    format!(
        r#"
resources:
- {top}/deploy/ebs/{shape}
- {top}/deploy/ebs/classes
- {top}/deploy/snapshot-controller
images:
- {{ name: slackwater, newName: localhost/slackwater, newTag: slackwater }}
- {{ name: slackwater-node, newName: localhost/slackwater, newTag: slackwater-node }}
replicas:
- {{ name: ebs-csi-controller, count: 1 }}
- {{ name: snapshot-controller, count: 1 }}
configMapGenerator:
- {{ name: aws-meta, namespace: kube-system, literals: ["endpoint={endpoint}"] }}
secretGenerator:
- {{ name: aws-secret, namespace: kube-system, literals: [key_id=AKIDEXAMPLE, access_key=secret] }}
generatorOptions: {{ disableNameSuffixHash: true }}
patches:
- target: {{ kind: Deployment, name: ebs-csi-controller }}
  patch: |
    - {{ op: add, path: /spec/template/spec/containers/0/env/-, value: {{ name: AWS_REGION, value: us-east-1 }} }}
"#
    )
}
