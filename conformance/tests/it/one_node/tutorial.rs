//! The tutorial of the seed journeys, word for word but for what is of its time and place (`docs/spec/journeys.md`, 1.3): the
//! chart by its command, a volume that exists, and data that outlive pod and Deployment. Then `examples/01-static`.

use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::{Kubectl, until};
use serde_json::{Value, json};

use super::person::class;
use super::suite::{self, Shape};
use super::{Cluster, LAYER, PATIENCE, shapes};
use crate::shared;

const ZONE: &str = "us-east-1a";
const ACCOUNT: &str = "aws-ebs-controller";
const RELEASE: &str = "aws-ebs-csi-driver";

#[tokio::test]
async fn journeys_case_4_and_86_the_tutorial_with_the_chart() {
    let helm = match conformance::helm() {
        Ok(helm) => helm,
        Err(error) => return shared::not_run(LAYER, &error),
    };
    let Some(mut cluster) = Cluster::alone_in_any_shape().await else {
        return;
    };
    let kubectl = cluster.kubectl();
    let helm = Helm::new(helm, &cluster);
    let before = std::mem::replace(&mut cluster.site_mut().shape, Shape::Other);
    suite::remove_driver(cluster.node(), before);
    // Steps 2 to 4; the others that need no driver beside it.
    apply(&kubectl, &account());
    let installing = helm.start(&helm.install());
    let volume = cluster.node().ec2().volume(ZONE, 10).unwrap();
    volume_is_available(&kubectl, &volume);
    claim_is_bound(&kubectl);
    let output = installing.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lacks = [
        "get",
        "serviceaccount",
        "ebs-csi-controller-sa",
        "-n",
        "kube-system",
    ];
    assert!(
        !kubectl.run(&lacks).unwrap().success,
        "a service account that was not asked for"
    );
    file_outlives_the_deployment(&kubectl).await;
    kubectl
        .ok(&[
            "delete",
            "deployment/app",
            "pvc/ebs-claim",
            "pv/test-pv",
            PATIENCE,
        ])
        .unwrap();
    example(&cluster, &volume);
    cluster.node().ec2().forget(&volume).unwrap();
    // A mounted ext4 grows only where the machine lets it (CAP_SYS_RESOURCE).
    apply(&kubectl, &class("selftest", "xfs"));
    helm.tests();
    kubectl.ok(&["delete", "storageclass/selftest"]).unwrap();
    let person = cluster.person("of-the-chart");
    shapes::restores(&person);
    person.leaves();
    let uninstalled = helm.start(&["uninstall", RELEASE, "--namespace=kube-system", "--wait"]);
    assert!(uninstalled.wait_with_output().unwrap().status.success());
    cluster.nothing_is_left().await;
}

/// Helm, as an administrator.
struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Helm {
    fn new(program: PathBuf, cluster: &Cluster) -> Self {
        let plane = cluster.node().plane();
        Self {
            program,
            kubeconfig: plane.admin().kubeconfig.clone(),
            home: plane.folder().to_owned(),
        }
    }

    /// Step 4, with our chart; what follows `--wait` is of this place: where the images lie, and the Region, which EC2's metadata
    /// would tell.
    fn install(&self) -> [&'static str; 15] {
        [
            "upgrade",
            RELEASE,
            "charts/slackwater-ebs",
            "--install",
            "--namespace=kube-system",
            "--set=controller.serviceAccount.create=false",
            "--set=controller.serviceAccount.name=aws-ebs-controller",
            "--wait",
            "--timeout=3m",
            "--set=image.repository=localhost/slackwater",
            "--set=image.tag=slackwater",
            "--set=slackwater.node.image.repository=localhost/slackwater",
            "--set=slackwater.node.image.tag=slackwater-node",
            "--set=controller.region=us-east-1",
            "--set=slackwater.selftest.storageClass=selftest",
        ]
    }

    /// `helm test`: its pods are ours, on this node.
    fn tests(&self) {
        let args = [
            "test",
            RELEASE,
            "--namespace=kube-system",
            "--logs",
            "--timeout=5m",
        ];
        let output = self.start(&args).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{output:?}");
        for says in [
            "the restored data are those that were written",
            "the file system has grown, and the data are those that were written",
            "nothing of it is left",
            "passed",
        ] {
            assert!(said.contains(says), "{says}: {said}");
        }
    }

    fn start(&self, args: &[&str]) -> std::process::Child {
        Command::new(&self.program)
            .args(args)
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .current_dir(shared::repository())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    }
}

fn apply(kubectl: &Kubectl, object: &Value) {
    kubectl
        .ok_with(&["apply", "-f", "-"], &object.to_string())
        .unwrap();
}

/// What `eksctl create iamserviceaccount` makes.
fn account() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {
            "name": ACCOUNT, "namespace": "kube-system",
            "annotations": { "eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/ebs" },
            "labels": { "app.kubernetes.io/managed-by": "eksctl" },
        },
    })
}

/// Step 6.
fn volume_is_available(kubectl: &Kubectl, volume: &str) {
    let size = json!({ "storage": "10Gi" });
    apply(
        kubectl,
        &json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "test-pv" },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "capacity": size, "persistentVolumeReclaimPolicy": "Retain",
                "csi": { "driver": "ebs.csi.aws.com", "volumeHandle": volume },
            },
        }),
    );
    kubectl
        .ok(&[
            "wait",
            "pv/test-pv",
            "--for=jsonpath={.status.phase}=Available",
            PATIENCE,
        ])
        .unwrap();
    described(
        kubectl,
        "pv/test-pv",
        &[
            ("Finalizers", "[kubernetes.io/pv-protection]"),
            ("StorageClass", ""),
            ("Status", "Available"),
            ("Reclaim Policy", "Retain"),
            ("Access Modes", "RWO"),
            ("Capacity", "10Gi"),
            ("Node Affinity", "<none>"),
            ("Type", "CSI (a Container Storage Interface (CSI) volume source)"),
            ("FSType", ""),
            ("VolumeHandle", volume),
        ],
    );
}

/// Step 7.
fn claim_is_bound(kubectl: &Kubectl) {
    let size = json!({ "storage": "10Gi" });
    apply(
        kubectl,
        &json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "ebs-claim" },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": { "requests": size },
            },
        }),
    );
    kubectl
        .ok(&[
            "wait",
            "pvc/ebs-claim",
            "--for=jsonpath={.status.phase}=Bound",
            PATIENCE,
        ])
        .unwrap();
    described(
        kubectl,
        "pvc/ebs-claim",
        &[
            ("Status", "Bound"),
            ("Volume", "test-pv"),
            ("Annotations", "pv.kubernetes.io/bind-completed: yes"),
            ("pv.kubernetes.io/bound-by-controller", "yes"),
            ("Capacity", "10Gi"),
            ("Used By", "<none>"),
        ],
    );
    let columns = ["get", "pv", "test-pv", "--no-headers"];
    let row = kubectl.ok(&columns).unwrap();
    assert!(
        row.contains("Bound") && row.contains("default/ebs-claim"),
        "{row}"
    );
}

/// What `kubectl describe` says, a line a title.
fn described(kubectl: &Kubectl, object: &str, expected: &[(&str, &str)]) {
    let text = kubectl.ok(&["describe", object]).unwrap();
    for (title, value) in expected {
        let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(title));
        let found = lines.find_map(|line| line.strip_prefix(':'));
        assert_eq!(found.map(str::trim), Some(*value), "{title} of {text}");
    }
}

/// Steps 8 to 11.
async fn file_outlives_the_deployment(kubectl: &Kubectl) {
    let rolled_out = || {
        kubectl
            .ok(&["rollout", "status", "deployment/app", PATIENCE])
            .unwrap();
    };
    let read = || {
        kubectl
            .ok(&["exec", "deployment/app", "--", "cat", "/data/out.txt"])
            .unwrap()
    };
    apply(kubectl, &deployment());
    rolled_out();
    events_in_order(kubectl).await;
    kubectl
        .ok(&[
            "exec",
            "deployment/app",
            "--",
            "sh",
            "-c",
            "echo 'hello ebs!' >/data/out.txt",
        ])
        .unwrap();
    assert_eq!(read(), "hello ebs!\n");
    kubectl.ok(&["rollout", "restart", "deployment/app"]).unwrap();
    rolled_out();
    assert_eq!(read(), "hello ebs!\n", "after the restart");
    kubectl.ok(&["delete", "deployment/app", PATIENCE]).unwrap();
    kubectl
        .ok(&["wait", "--for=delete", "pod", "-l", "app=app", PATIENCE])
        .unwrap();
    apply(kubectl, &deployment());
    rolled_out();
    assert_eq!(read(), "hello ebs!\n", "after the deletion");
}

fn deployment() -> Value {
    let mut spec = super::person::pod_spec(&["ebs-claim"]);
    spec["nodeSelector"] = json!({ "topology.ebs.csi.aws.com/zone": ZONE });
    spec["containers"][0]["volumeMounts"][0]["mountPath"] = json!("/data");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "app" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "app" } },
            "template": { "metadata": { "labels": { "app": "app" } }, "spec": spec },
        },
    })
}

/// Pulling is not among them: the image is on the node. Kubelet writes them beside its work, the last one perhaps later.
async fn events_in_order(kubectl: &Kubectl) {
    let pod = kubectl
        .ok(&[
            "get",
            "pods",
            "-l",
            "app=app",
            "-o",
            "jsonpath={.items[0].metadata.name}",
        ])
        .unwrap();
    let selector = format!("--field-selector=involvedObject.name={pod}");
    let events = until("the container's start is told", shared::PATIENCE, async || {
        let events = kubectl.ok(&["get", "events", &selector, "-o", "json"]).ok()?;
        events
            .contains("\"Started\"")
            .then(|| serde_json::from_str::<Value>(&events).unwrap())
    });
    let events = events.await.unwrap();
    let mut seen: Vec<(u64, &str)> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let version = event["metadata"]["resourceVersion"].as_str().unwrap();
            (version.parse().unwrap(), event["reason"].as_str().unwrap())
        })
        .collect();
    seen.sort_unstable();
    let reasons: Vec<&str> = seen.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(
        reasons,
        [
            "Scheduled",
            "SuccessfulAttachVolume",
            "Pulled",
            "Created",
            "Started"
        ]
    );
}

/// Its check, on the volume that the tutorial has used.
fn example(cluster: &Cluster, volume: &str) {
    let plane = cluster.node().plane();
    let (from, to) = (
        shared::repository().join("examples"),
        plane.folder().join("examples"),
    );
    copied(&from.join("check-lib.sh"), &to, |text| text);
    for file in std::fs::read_dir(from.join("01-static")).unwrap() {
        copied(&file.unwrap().path(), &to.join("01-static"), |text| {
            text.replace("vol-0123456789abcdef0", volume)
                // Where the image is, and a shell that is not waited for: it does not end when it is asked to.
                .replace("image: busybox", "image: localhost/busybox:1")
                .replace(
                    "      containers:\n",
                    "      terminationGracePeriodSeconds: 1\n      containers:\n",
                )
        });
    }
    let programs = plane.programs().path("");
    let path = std::env::var("PATH").unwrap();
    let checked = Command::new("sh")
        .arg(to.join("01-static/check.sh"))
        .env("KUBECONFIG", &plane.admin().kubeconfig)
        .env("HOME", plane.folder())
        .env("PATH", format!("{}:{path}", programs.display()))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

fn copied(file: &Path, to: &Path, changed: impl Fn(String) -> String) {
    std::fs::create_dir_all(to).unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(to.join(file.file_name().unwrap()), changed(text)).unwrap();
}
