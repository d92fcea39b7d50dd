//! The suite's own programs are killed.

use std::time::Duration;

use conformance::until;
use serde_json::{Value, json};

use super::person::{Person, claim, class, from_snapshot, pod, snapshot};
use super::{Cluster, GONE_WITHIN};

/// A program by its command line.
const DRIVER: [&str; 3] = ["slackwater", "aws-ebs-csi-driver", "controller"];
const NODE_SERVICE: [&str; 3] = ["slackwater", "aws-ebs-csi-driver", "node"];

#[tokio::test]
async fn the_suite_is_killed_midway() {
    let Some(cluster) = Cluster::alone().await else {
        return;
    };
    let person = cluster.person("midway");
    let names: Vec<String> = (0..6).map(|number| format!("data-{number}")).collect();
    for name in &names {
        person.apply(&[claim(name, "ebs-sc", "1Gi", Value::Null), pod(name, &[name])]);
    }
    let kubectl = cluster.kubectl();
    let killed = [
        "delete",
        "pod",
        "-n",
        "kube-system",
        "--all",
        "--grace-period=0",
        "--force",
        "--wait=false",
    ];
    for _ in 0..3 {
        kubectl.ok(&killed).unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    for name in &names {
        person.wait(&format!("pod/{name}"), "condition=Ready");
        let written = person.writes(name, &format!("/{name}/data"));
        person.holds(name, &format!("/{name}/data"), &written);
    }
    let volumes = cluster.node().volumes().unwrap();
    assert_eq!(volumes.len(), names.len(), "one volume a claim");
    person.leaves();
    cluster.nothing_is_left().await;
}

#[tokio::test]
async fn each_program_is_killed_while_its_call_has_no_answer() {
    let Some(cluster) = Cluster::alone().await else {
        return;
    };
    let person = cluster.person("unanswered");
    let at = |action: &str, program: &[&str]| Point::set(&cluster, action, program);
    let created = at("CreateVolume", &["slackwater", "csi-provisioner"]);
    let attached = at("AttachVolume", &DRIVER);
    person.apply(&[
        class("growing", "xfs"),
        claim("data", "growing", "1Gi", Value::Null),
        pod("writer", &["data"]),
    ]);
    created.kills().await;
    attached.kills().await;
    // It stages now, or is about to.
    cluster.node().kill(&NODE_SERVICE).unwrap();
    person.wait("pod/writer", "condition=Ready");
    let written = person.writes("writer", "/data/data");
    let taken = at("CreateSnapshot", &["slackwater", "csi-snapshotter"]);
    person.apply(&[snapshot("taken", "data")]);
    taken.kills().await;
    cluster
        .node()
        .kill(&["slackwater", "snapshot-controller"])
        .unwrap();
    person.wait("volumesnapshot/taken", "jsonpath={.status.readyToUse}=true");
    let grown = at("ModifyVolume", &["slackwater", "csi-resizer"]);
    let size = json!({ "spec": { "resources": { "requests": { "storage": "2Gi" } } } });
    person.kubectl(&["patch", "pvc", "data", "-p", &size.to_string()]);
    grown.kills().await;
    person.wait("pvc/data", "jsonpath={.status.capacity.storage}=2Gi");
    let [volume] = &cluster.node().volumes().unwrap()[..] else {
        panic!("one volume: {:?}", cluster.node().volumes());
    };
    assert_eq!((volume.gib, volume.id.clone()), (2, person.handle("data")));
    assert_eq!(cluster.node().ec2().state().unwrap().snapshots.len(), 1);
    restored(&person, &written);
    goes(&cluster, person).await;
}

/// What the snapshot holds, and what is on the volume.
fn restored(person: &Person, written: &str) {
    person.apply(&[claim("copy", "growing", "2Gi", from_snapshot("taken"))]);
    person.pod("reader", &["data", "copy"]);
    person.holds("reader", "/data/data", written);
    person.holds("reader", "/copy/data", written);
    person.delete("pod/reader");
}

/// The same points on the way back.
async fn goes(cluster: &Cluster, person: Person) {
    let at = |action: &str, program: &[&str]| Point::set(cluster, action, program);
    let detached = at("DetachVolume", &["slackwater", "csi-attacher"]);
    person.delete("pod/writer");
    detached.kills().await;
    let (forgotten, deleted) = (
        at("DeleteSnapshot", &DRIVER),
        at("DeleteVolume", &["slackwater", "csi-provisioner"]),
    );
    let leaving = std::thread::spawn(move || {
        person.kubectl(&["delete", "storageclass", "growing"]);
        person.leaves();
    });
    forgotten.kills().await;
    deleted.kills().await;
    leaving.join().unwrap();
}

/// A program that is killed once EC2 has done what it asked for and has not said so.
struct Point<'a> {
    cluster: &'a Cluster,
    action: String,
    program: Vec<String>,
    before: u64,
}

impl<'a> Point<'a> {
    fn set(cluster: &'a Cluster, action: &str, program: &[&str]) -> Self {
        cluster.node().ec2().mute(action, 1).unwrap();
        Self {
            cluster,
            action: action.to_owned(),
            program: program.iter().map(|&word| word.to_owned()).collect(),
            before: count(cluster, action),
        }
    }

    async fn kills(self) {
        let Self { cluster, action, .. } = &self;
        until(action, GONE_WITHIN, async || {
            (count(cluster, action) > self.before).then_some(())
        })
        .await
        .unwrap();
        let program: Vec<&str> = self.program.iter().map(String::as_str).collect();
        let killed = cluster.node().kill(&program).unwrap();
        assert_eq!(killed, 1, "{program:?}");
    }
}

/// How often EC2 was asked for this.
fn count(cluster: &Cluster, action: &str) -> u64 {
    let counts = cluster.node().ec2().counts().unwrap();
    counts.get(action).copied().unwrap_or_default()
}
