//! Our driver beside upstream's csi-provisioner and csi-attacher: a volume, its attachment, its snapshot, a volume made
//! of that, and the deletion of all of it.

use conformance::{Process, until};
use serde_json::{Value, json};

use super::{Cast, LAYER, Mixed, Upstream};
use crate::expansion::{CLAIMS, VOLUMES};
use crate::journey::{SNAPSHOTS, UPSTREAM};
use crate::shared::{self, PATIENCE, repository};

const ROLES: &str = "conformance/roles/upstream-volumes.yaml";
const SIDECARS: [&str; 2] = ["csi-provisioner", "csi-attacher"];
const ZONE: &str = "topology.ebs.csi.aws.com/zone";
const NODE: &str = "mixed-node";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const ATTACHMENTS: &str = "/apis/storage.k8s.io/v1/volumeattachments";

impl Mixed {
    /// Adds the two sidecars' users and rights, and starts them.
    pub(super) async fn start_sidecars(&mut self) -> Vec<Process> {
        for name in SIDECARS {
            let user = self
                .plane
                .service_account(UPSTREAM.namespace, name)
                .await
                .unwrap();
            self.stage.users.insert(name, user);
        }
        let roles = repository().join(ROLES).display().to_string();
        self.plane.kubectl().ok(&["apply", "-f", &roles]).unwrap();
        let started = SIDECARS.iter().map(|name| {
            let launch = self.launch(name, Upstream).args(self.flags(name));
            self.stage.suite.start(&launch).unwrap()
        });
        started.collect()
    }

    /// A node as the kubelet and the registrar describe it: an EC2 instance with our driver.
    pub(super) async fn node(&self) {
        let instance = self.stage.ec2.instance("us-east-1a", "m5.large").unwrap();
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": NODE, "labels": { ZONE: "us-east-1a" } },
        });
        let csi_node = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": { "name": NODE },
            "spec": { "drivers": [{
                "name": "ebs.csi.aws.com",
                "nodeID": instance,
                "topologyKeys": [ZONE],
            }] },
        });
        self.make("/api/v1/nodes", &node).await;
        self.make("/apis/storage.k8s.io/v1/csinodes", &csi_node).await;
    }

    pub(super) async fn make(&self, path: &str, object: &Value) {
        let made = self.stage.hand.create(path, object).await.unwrap();
        made.ok(path).unwrap();
    }

    /// The class of [`claim`].
    pub(super) async fn storage_class(&self, parameters: &Value) {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": { "name": "made" },
            "provisioner": "ebs.csi.aws.com",
            "parameters": parameters,
        });
        self.make(CLASSES, &class).await;
    }

    /// The node goes, and all programs were there to the end.
    pub(super) async fn end_volumes(
        self,
        cast: Cast,
        sidecars: Vec<Process>,
        controllers: Vec<Process>,
        driver: Process,
    ) {
        self.stage.clear(&self.plane).await;
        let kubectl = self.plane.kubectl();
        for kind in ["node", "csinode"] {
            kubectl.ok(&["delete", kind, NODE, "--ignore-not-found"]).unwrap();
        }
        for mut process in sidecars {
            process.check().unwrap();
        }
        self.end(cast, controllers, driver).await;
    }

    /// Waits until the claim is bound; the EBS volume behind it and the PersistentVolume.
    pub(super) async fn bound(&self, claim: &str) -> (String, String) {
        let name = until(&format!("{claim} is bound"), PATIENCE, async || {
            let object = self.find(&format!("{CLAIMS}/{claim}")).await?;
            let name = object["spec"]["volumeName"].as_str()?.to_owned();
            (object["status"]["phase"] == "Bound").then_some(name)
        })
        .await
        .unwrap();
        let volume = self.find(&format!("{VOLUMES}/{name}")).await.unwrap();
        let handle = volume["spec"]["csi"]["volumeHandle"].as_str().unwrap();
        (handle.to_owned(), name)
    }

    pub(super) async fn find(&self, path: &str) -> Option<Value> {
        self.stage.hand.find(path).await.ok()?
    }

    pub(super) async fn until_ec2(&self, what: &str, volume: &str, status: &str) {
        until(what, PATIENCE, async || {
            let state = self.stage.ec2.state().unwrap();
            let found = state.volumes.iter().find(|one| one.id == volume);
            (found.is_some_and(|one| one.status == status)).then_some(())
        })
        .await
        .unwrap();
    }

    /// The IDs of the volumes that the driver has made.
    fn made(&self) -> Vec<String> {
        let volumes = self.stage.ec2.state().unwrap().volumes.into_iter();
        let made = volumes.filter(|one| one.tags.contains_key("CSIVolumeName"));
        made.map(|one| one.id).collect()
    }

    /// Attaches the volume to the node by a VolumeAttachment, whose path this is.
    pub(super) async fn attach(&self, name: &str, persistent_volume: &str) -> String {
        let attachment = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": { "name": name },
            "spec": {
                "attacher": "ebs.csi.aws.com",
                "nodeName": NODE,
                "source": { "persistentVolumeName": persistent_volume },
            },
        });
        self.make(ATTACHMENTS, &attachment).await;
        let path = format!("{ATTACHMENTS}/{name}");
        until("the volume is attached", PATIENCE, async || {
            let object = self.find(&path).await?;
            (object["status"]["attached"] == true).then_some(object)
        })
        .await
        .unwrap();
        path
    }

    async fn attach_and_detach(&self, volume: &str, persistent_volume: &str) {
        let path = self.attach("mixed", persistent_volume).await;
        self.until_ec2("EC2 has attached it", volume, "in-use").await;
        self.stage.hand.delete(&path).await.unwrap().ok(&path).unwrap();
        self.until_ec2("EC2 has detached it", volume, "available").await;
    }
}

pub(super) fn claim(name: &str, source: Option<&str>) -> Value {
    let source = source.map(|snapshot| {
        json!({ "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot })
    });
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "10Gi" } },
            "storageClassName": "made",
            "dataSource": source,
        },
    })
}

#[tokio::test]
async fn our_driver_with_upstreams_provisioner_and_attacher() {
    let Some(mut mixed) = Mixed::new("volumes").await else {
        return;
    };
    let driver = mixed.stage.driver();
    mixed.node().await;
    let sidecars = mixed.start_sidecars().await;
    let controllers = mixed.start([Upstream; 3]).await;
    let parameters = json!({ "type": "gp3", "iops": "4000" });
    mixed.storage_class(&parameters).await;

    mixed.make(CLAIMS, &claim("first", None)).await;
    let (volume, persistent_volume) = mixed.bound("first").await;
    mixed.until_ec2("EC2 has made it", &volume, "available").await;
    mixed.attach_and_detach(&volume, &persistent_volume).await;
    let snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": { "name": "of-first" },
        "spec": {
            "source": { "persistentVolumeClaimName": "first" },
            "volumeSnapshotClassName": "csi-aws-vsc",
        },
    });
    mixed.make(SNAPSHOTS, &snapshot).await;
    mixed.stage.all_ready(1).await;
    mixed.make(CLAIMS, &claim("second", Some("of-first"))).await;
    let (restored, _) = mixed.bound("second").await;
    let mut expected = [volume, restored];
    expected.sort_unstable();
    assert_eq!(mixed.made(), expected, "one EBS volume a claim");
    let counts = mixed.stage.ec2.counts().unwrap();
    for action in ["AttachVolume", "DetachVolume", "CreateSnapshot"] {
        assert_eq!(counts.get(action), Some(&1), "{action}: {counts:?}");
    }
    let kubectl = mixed.plane.kubectl();
    kubectl.ok(&["delete", "pvc", "--all", "--timeout=120s"]).unwrap();
    until("no EBS volume of a claim is left", PATIENCE, async || {
        mixed.made().is_empty().then_some(())
    })
    .await
    .unwrap();
    mixed
        .end_volumes([Upstream; 3], sidecars, controllers, driver)
        .await;
    shared::say(&format!("{LAYER}: volumes: EC2 {counts:?}"));
}
