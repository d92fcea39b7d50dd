//! From upstream's programs to ours in place, image by image, and back, under a workload that goes on.

use std::path::Path;

use conformance::{Kubectl, Peers, until};
use serde_json::Value;

use super::person::{Person, claim, class, from_snapshot, pod, snapshot};
use super::suite::{SIDECARS, Shape};
use super::{Cluster, GONE_WITHIN, LAYER};
use crate::shared;

/// Whose programs run.
#[derive(Clone, Copy)]
enum Side {
    Upstream,
    Ours,
}

impl Side {
    fn image(self, program: &str) -> String {
        match self {
            Self::Upstream => format!("localhost/upstream:{program}"),
            Self::Ours => format!("localhost/slackwater:{program}"),
        }
    }
}

#[tokio::test]
async fn a_cluster_goes_from_upstream_to_ours_image_by_image_and_back() {
    let peers = match Peers::find() {
        Ok(peers) => peers,
        Err(error) => return shared::not_run(LAYER, &error),
    };
    let Some(mut cluster) = Cluster::alone_in_any_shape().await else {
        return;
    };
    cluster.node().import_upstream(&peers).unwrap();
    rights(&cluster.kubectl());
    cluster.install(Shape::Upstream);
    // Its volume is made and attached by upstream's.
    let mut change = Change::begin(&cluster);
    for program in Peers::NAMES {
        change.to(Side::Ours, &[program]).await;
        change.works();
    }
    change.to(Side::Upstream, &Peers::NAMES).await;
    change.works();
    change.end();
    cluster.nothing_is_left().await;
}

/// Those of upstream's snapshot-controller; those of its sidecars are a component of `deploy/ebs`.
fn rights(kubectl: &Kubectl) {
    let roles = shared::repository().join("conformance/roles/upstream.yaml");
    kubectl
        .ok(&["apply", "-f", &roles.display().to_string()])
        .unwrap();
    let binding = [
        "create",
        "clusterrolebinding",
        "upstream-snapshot-controller",
        "--clusterrole=snapshot-controller-runner",
        "--serviceaccount=slackwater:snapshot-controller",
    ];
    kubectl.ok(&binding).unwrap();
}

/// The change, and the workload that it must not disturb.
struct Change<'a> {
    cluster: &'a Cluster,
    kubectl: Kubectl,
    person: Person,
    pod: String,
    written: String,
    stage: u32,
}

impl<'a> Change<'a> {
    fn begin(cluster: &'a Cluster) -> Self {
        let person = cluster.person("change");
        person.apply(&[
            class("changing", "xfs"),
            claim("data", "changing", "1Gi", Value::Null),
        ]);
        person.pod("running", &["data"]);
        let written = person.writes("running", "/data/data");
        person.sh(
            "running",
            "(while true; do date >>/data/lines; sync /data/lines; sleep 0.2; done) >/dev/null 2>&1 &",
        );
        Self {
            cluster,
            kubectl: cluster.kubectl(),
            pod: Self::identity(&person),
            person,
            written,
            stage: 0,
        }
    }

    /// Which pod it is, and how often its container was started.
    fn identity(person: &Person) -> String {
        let path = "jsonpath={.metadata.uid} {.status.containerStatuses[0].restartCount}";
        person.kubectl(&["get", "pod", "running", "-o", path])
    }

    /// A snapshot under the writer, a claim of it with its pod, and an expansion of that: EC2 grows a volume four times a day.
    fn works(&mut self) {
        let person = &self.person;
        self.stage += 1;
        let name = format!("at-{}", self.stage);
        person.apply(&[
            snapshot(&name, "data"),
            claim(&name, "changing", "1Gi", from_snapshot(&name)),
            pod(&name, &[&name]),
        ]);
        person.wait(&format!("pod/{name}"), "condition=Ready");
        person.holds(&name, &format!("/{name}/data"), &self.written);
        let patch = r#"{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}"#;
        person.kubectl(&["patch", "pvc", &name, "-p", patch]);
        person.wait(&format!("pvc/{name}"), "jsonpath={.status.capacity.storage}=2Gi");
        person.holds(&name, &format!("/{name}/data"), &self.written);
        person.holds("running", "/data/data", &self.written);
        let made = ["pod", "pvc", "volumesnapshot"].map(|kind| format!("{kind}/{name}"));
        person.kubectl(&["delete", &made[0], &made[1], &made[2], "--wait=false"]);
        assert_eq!(Self::identity(person), self.pod, "the workload was started anew");
    }

    /// Sets the images of these programs, and waits until the programs of before are gone.
    async fn to(&self, side: Side, programs: &[&str]) {
        for [namespace, deployment] in [
            ["slackwater", "snapshot-controller"],
            ["kube-system", "ebs-csi-controller"],
        ] {
            let is_sidecar = |program: &str| SIDECARS.iter().any(|(name, _)| *name == program);
            let is_here = |program: &&&str| is_sidecar(program) == (deployment == "ebs-csi-controller");
            let images: Vec<String> = programs
                .iter()
                .filter(is_here)
                .map(|program| format!("{program}={}", side.image(program)))
                .collect();
            if images.is_empty() {
                continue;
            }
            let deployment = format!("deployment/{deployment}");
            let set = ["set", "image", "-n", namespace, &deployment];
            let images = images.iter().map(String::as_str);
            let set: Vec<&str> = set.into_iter().chain(images).collect();
            self.kubectl.ok(&set).unwrap();
        }
        for program in programs {
            self.runs(side, program).await;
        }
    }

    /// Until there is one process of a program, and it is of this side.
    async fn runs(&self, side: Side, program: &str) {
        // Both are started by the same name; ours is a link.
        let entry_point = format!("/{program}");
        let file = match side {
            Side::Upstream => Path::new(&entry_point),
            Side::Ours => Path::new("/usr/bin/slackwater"),
        };
        let node = self.cluster.node();
        until(program, GONE_WITHIN, async || {
            let programs = node.programs(&[&entry_point]).unwrap();
            (programs == [file]).then_some(())
        })
        .await
        .unwrap();
    }

    fn end(self) {
        self.person.kubectl(&["delete", "storageclass", "changing"]);
        self.person.leaves();
    }
}
