//! Expansion of claims: what the user does, and the node's half in the kubelet's place.

use std::time::Duration;

use conformance::{ControlPlane, Patch, until};
use serde_json::{Value, json};

use crate::journey::{Stage, path};
use crate::shared::{self, PATIENCE};

pub const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
pub const VOLUMES: &str = "/api/v1/persistentvolumes";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
/// Decision 33: only a claim with a class that allows it can grow.
const CLASS: &str = "growable";
const GIB: u32 = 10;
/// Kept on the volume from the controller's half to the end of the node's.
const FORMER_SIZE: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";

/// A claim that can grow, on an EBS volume of its own. The PersistentVolume has the claim's name.
#[derive(Clone, Debug)]
pub struct Growable {
    pub name: String,
    pub volume: String,
}

impl Growable {
    fn claim(&self) -> String {
        format!("{CLAIMS}/{}", self.name)
    }

    fn persistent_volume(&self) -> String {
        format!("{VOLUMES}/{}", self.name)
    }
}

impl Stage {
    /// Waits until EC2 has been asked for a snapshot and for a larger volume.
    pub async fn ec2_at_work(&self) {
        until("EC2 is at work", PATIENCE, async || {
            let counts = self.ec2.counts().unwrap();
            let begun = |action| counts.contains_key(action);
            (begun("CreateSnapshot") && begun("ModifyVolume")).then_some(())
        })
        .await
        .unwrap();
    }

    /// Claims `grow-0` and on, bound by kube-controller-manager.
    pub async fn growable(&self, count: usize) -> Vec<Growable> {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": { "name": CLASS },
            "provisioner": "ebs.csi.aws.com",
            "allowVolumeExpansion": true,
        });
        let made = self.hand.create(CLASSES, &class).await.unwrap();
        made.ok(CLASSES).unwrap();
        let mut claims = Vec::new();
        for number in 0..count {
            let claim = Growable {
                name: format!("grow-{number}"),
                volume: self.ec2.volume("us-east-1a", GIB).unwrap(),
            };
            self.make(VOLUMES, &volume(&claim)).await;
            self.make(CLAIMS, &request(&claim)).await;
            claims.push(claim);
        }
        for claim in &claims {
            self.is_bound(claim).await;
        }
        claims
    }

    /// A claim like those, whose volume was made by the in-tree plugin.
    pub async fn in_tree(&self, name: &str) -> Growable {
        let claim = Growable {
            name: name.to_owned(),
            volume: self.ec2.volume("us-east-1a", GIB).unwrap(),
        };
        let mut volume = volume(&claim);
        let spec = volume["spec"].as_object_mut().unwrap();
        spec.remove("csi");
        let id = format!("aws://us-east-1a/{}", claim.volume);
        spec.insert(
            "awsElasticBlockStore".into(),
            json!({ "volumeID": id, "fsType": "ext4" }),
        );
        self.make(VOLUMES, &volume).await;
        self.make(CLAIMS, &request(&claim)).await;
        self.is_bound(&claim).await;
        claim
    }

    async fn is_bound(&self, claim: &Growable) {
        until(&format!("{} is bound", claim.name), PATIENCE, async || {
            let object = self.find(&claim.claim()).await?;
            (object["status"]["phase"] == "Bound").then_some(())
        })
        .await
        .unwrap();
    }

    /// The condition that kube-controller-manager writes since 1.37 on a claim that no pod uses, once it is there. It bears
    /// the time at which it was written.
    pub async fn unused(&self, claim: &Growable) -> Value {
        until(&format!("{} is unused", claim.name), PATIENCE, async || {
            let object = self.find(&claim.claim()).await?;
            condition(&object["status"], "Unused").cloned()
        })
        .await
        .unwrap()
    }

    /// Asks for this size.
    pub async fn grow(&self, claims: &[Growable], gib: u32) {
        let wish = json!({ "spec": { "resources": { "requests": { "storage": format!("{gib}Gi") } } } });
        for claim in claims {
            let path = claim.claim();
            self.hand
                .patch(&path, Patch::Merge, &wish)
                .await
                .unwrap()
                .ok(&path)
                .unwrap();
        }
    }

    /// Waits until the controller's half is done: the volume has grown, and the claim waits for its node.
    pub async fn waits_for_node(&self, claim: &Growable, gib: u32) {
        until("the claim waits for its node", PATIENCE, async || {
            let object = self.find(&claim.claim()).await?;
            let status = &object["status"];
            let stage = &status["allocatedResourceStatuses"]["storage"];
            (stage == "NodeResizePending" && has_condition(status, "FileSystemResizePending")).then_some(())
        })
        .await
        .unwrap();
        let object = self.find(&claim.claim()).await.unwrap();
        let size = format!("{gib}Gi");
        assert_eq!(object["status"]["allocatedResources"]["storage"], size.as_str());
        assert_eq!(
            object["status"]["capacity"]["storage"], "10Gi",
            "not before the node has grown the file system"
        );
        let volume = self.find(&claim.persistent_volume()).await.unwrap();
        assert_eq!(volume["spec"]["capacity"]["storage"], size.as_str());
        assert_eq!(volume["metadata"]["annotations"][FORMER_SIZE], "10Gi");
    }

    /// Plays the kubelet until all claims have this size and nothing is left of the expansion.
    pub async fn all_grown(&self, claims: &[Growable], gib: u32) {
        let size = format!("{gib}Gi");
        until(&format!("all claims have {size}"), PATIENCE, async || {
            let mut grown = 0;
            for claim in claims {
                let object = self.find(&claim.claim()).await?;
                self.node_half(&object, &claim.claim()).await?;
                let volume = self.find(&claim.persistent_volume()).await?;
                let status = &object["status"];
                let done = status["capacity"]["storage"] == size.as_str()
                    && status["allocatedResourceStatuses"].is_null()
                    && !has_condition(status, "Resizing")
                    && volume["spec"]["capacity"]["storage"] == size.as_str()
                    && volume["metadata"]["annotations"][FORMER_SIZE].is_null();
                grown += usize::from(done);
            }
            if grown < claims.len() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (grown == claims.len()).then_some(())
        })
        .await
        .unwrap();
        let state = self.ec2.state().unwrap();
        for claim in claims {
            let volume = state.volumes.iter().find(|volume| volume.id == claim.volume);
            assert_eq!(volume.unwrap().gib, gib, "{}", claim.name);
        }
    }

    /// Makes the attributes class of the example: 6,000 IOPS, of which a volume of these has 500 for each GiB.
    pub fn fast_class(&self, plane: &ControlPlane) {
        let file = shared::repository().join("examples/10-volume-attributes-class/fast.yaml");
        plane.kubectl().ok(&["apply", "-f", &path(&file)]).unwrap();
    }

    /// Waits until EC2 allows the next modification of these, and asks for this attributes class.
    pub async fn change(&self, claims: &[Growable], class: &str) {
        until(
            "EC2 is done with the former modifications",
            PATIENCE,
            async || {
                let state = self.ec2.state().unwrap();
                let is_over = |claim: &Growable| {
                    let volume = state.volumes.iter().find(|volume| volume.id == claim.volume);
                    volume.is_some_and(|volume| volume.modification.as_deref() == Some("completed"))
                };
                claims.iter().all(is_over).then_some(())
            },
        )
        .await
        .unwrap();
        let wish = json!({ "spec": { "volumeAttributesClassName": class } });
        for claim in claims {
            let path = claim.claim();
            let answer = self.hand.patch(&path, Patch::Merge, &wish).await.unwrap();
            answer.ok(&path).unwrap();
        }
    }

    /// Waits until claim, volume and EC2 have this attributes class, and nothing is left of the change.
    pub async fn has_class(&self, claim: &Growable, class: &str, iops: u32) {
        until(
            &format!("the claim has the class {class}"),
            PATIENCE,
            async || {
                let object = self.find(&claim.claim()).await?;
                let volume = self.find(&claim.persistent_volume()).await?;
                let status = &object["status"];
                let done = status["currentVolumeAttributesClassName"] == class
                    && status["modifyVolumeStatus"].is_null()
                    && !has_condition(status, "ModifyingVolume")
                    && volume["spec"]["volumeAttributesClassName"] == class;
                done.then_some(())
            },
        )
        .await
        .unwrap();
        let state = self.ec2.state().unwrap();
        let volume = state.volumes.iter().find(|volume| volume.id == claim.volume);
        assert_eq!(volume.unwrap().iops, Some(iops), "{}", claim.name);
    }

    /// The node's half, when it is due: in progress, then done. A conflict is left for the next look.
    async fn node_half(&self, claim: &Value, path: &str) -> Option<()> {
        let status = &claim["status"];
        if status["allocatedResourceStatuses"]["storage"] != "NodeResizePending" {
            return Some(());
        }
        let begin = json!({
            "metadata": { "resourceVersion": claim["metadata"]["resourceVersion"] },
            "status": { "allocatedResourceStatuses": { "storage": "NodeResizeInProgress" } },
        });
        let path = format!("{path}/status");
        let answer = self.hand.patch(&path, Patch::Merge, &begin).await.ok()?;
        if answer.status == 409 {
            return Some(());
        }
        let begun = answer.ok(&path).unwrap();
        // As kubelet: it takes away its own conditions and keeps others', such as Unused.
        let conditions = begun["status"]["conditions"].as_array().cloned();
        let mut conditions = conditions.unwrap_or_default();
        conditions
            .retain(|one| !matches!(one["type"].as_str(), Some("Resizing" | "FileSystemResizePending")));
        // The resizer writes nothing while the node is at work: only others' edits may collide here.
        let end = json!({
            "metadata": { "uid": begun["metadata"]["uid"] },
            "status": {
                "capacity": { "storage": begun["status"]["allocatedResources"]["storage"] },
                "allocatedResourceStatuses": null,
                "conditions": conditions,
            },
        });
        let answer = self.hand.patch(&path, Patch::Merge, &end).await.ok()?;
        answer.ok(&path).unwrap();
        Some(())
    }
}

fn has_condition(status: &Value, kind: &str) -> bool {
    condition(status, kind).is_some()
}

/// The condition of this type, where it is true.
fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut conditions = status["conditions"].as_array()?.iter();
    conditions.find(|one| one["type"] == kind && one["status"] == "True")
}

fn volume(claim: &Growable) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": claim.name },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": { "storage": format!("{GIB}Gi") },
            "csi": { "driver": "ebs.csi.aws.com", "fsType": "ext4", "volumeHandle": claim.volume },
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS,
        },
    })
}

fn request(claim: &Growable) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": claim.name },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": format!("{GIB}Gi") } },
            "storageClassName": CLASS,
            "volumeName": claim.name,
        },
    })
}
