//! The attach-detach controller: a VolumeAttachment for each volume that a pod on a node mounts, until no pod
//! on the node wants it and the node does not use it any more.

use std::collections::{BTreeMap, BTreeSet};

use base::Clock;
use serde_json::{Value, json};

use super::csi_volume::CsiVolume;
use super::events::Events;
use super::users::Users;
use super::{
    ATTACHMENTS, Actor, CLAIMS, NODES, PODS, VOLUMES, attempt, has_ended, is_deleting, is_gone, items, set,
    text,
};
use crate::kube::{Change, GroupResource, Store};

/// The attach-detach controller.
pub(super) struct Attachments {
    store: Store,
    events: Events,
    /// The drivers that have an attacher.
    drivers: BTreeSet<String>,
    users: Users,
    /// The names of the VolumeAttachments of each volume.
    of_volume: BTreeMap<String, BTreeSet<String>>,
    /// The volumes by the name under which nodes list them.
    names: BTreeMap<String, String>,
    /// What was last told of each VolumeAttachment, so that it is told once.
    told: BTreeMap<String, String>,
}

impl Attachments {
    pub(super) fn new(store: Store, clock: Clock, drivers: BTreeSet<String>) -> Self {
        Self {
            events: Events::new(store.clone(), clock, "attachdetach-controller", ""),
            store,
            drivers,
            users: Users::default(),
            of_volume: BTreeMap::new(),
            names: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    fn volume(&self, name: &str) -> Option<(Value, CsiVolume)> {
        let volume = self.store.get(VOLUMES, "", name)?.value().clone();
        let source = CsiVolume::of(&volume)?;
        Some((volume, source))
    }

    /// The pods that mount a volume and are on a node, with their nodes.
    fn pods(&self, volume: &Value) -> Vec<(Value, String)> {
        let (namespace, claim) = (
            text(volume, "/spec/claimRef/namespace"),
            text(volume, "/spec/claimRef/name"),
        );
        let bound = self.store.get(CLAIMS, namespace, claim).is_some_and(|claim| {
            text(claim.value(), "/status/phase") == "Bound"
                && text(claim.value(), "/spec/volumeName") == text(volume, "/metadata/name")
        });
        let users = self.users.of(namespace, claim).into_iter().filter(|_| bound);
        users
            .filter_map(|name| self.store.get(PODS, namespace, &name))
            .map(|pod| {
                (
                    pod.value().clone(),
                    text(pod.value(), "/spec/nodeName").to_owned(),
                )
            })
            .filter(|(pod, node)| !node.is_empty() && !has_ended(pod))
            .collect()
    }

    /// Attaches and detaches a volume as its pods want it.
    fn sync(&mut self, name: &str) {
        let Some((volume, source)) = self.volume(name) else {
            return;
        };
        if !self.drivers.contains(&source.driver) || !source.is_attachable(&self.store) {
            return;
        }
        let pods = self.pods(&volume);
        let nodes: BTreeSet<&String> = pods.iter().map(|(_, node)| node).collect();
        let mut present = Vec::new();
        for attachment in self.of_volume.get(name).into_iter().flatten() {
            let there = || self.store.get(ATTACHMENTS, "", attachment);
            let Some(found) = there() else { continue };
            let node = text(found.value(), "/spec/nodeName").to_owned();
            if !nodes.contains(&node) {
                self.detach(found.value(), &source, &node);
            }
            if there().is_some() {
                present.push(node);
            }
        }
        for (pod, node) in &pods {
            if present.contains(node) {
                continue;
            }
            if present.is_empty() || source.is_shared() {
                self.attach(&source, node);
                present.push(node.clone());
            } else {
                let message = multi_attach(name, node, &pods);
                self.events.warning(pod, "FailedAttachVolume", &message);
            }
        }
    }

    fn attach(&mut self, source: &CsiVolume, node: &str) {
        let name = source.attachment_name(node);
        self.names.insert(source.unique_name(), source.name.clone());
        let known = self.of_volume.entry(source.name.clone()).or_default();
        known.insert(name.clone());
        let attachment = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
            "metadata": {"name": name},
            "spec": {
                "attacher": source.driver, "nodeName": node,
                "source": {"persistentVolumeName": source.name},
            },
        });
        attempt(self.store.create(ATTACHMENTS, attachment));
    }

    /// Not while the node says that it uses the volume.
    fn detach(&self, attachment: &Value, source: &CsiVolume, node: &str) {
        let used = self.store.get(NODES, "", node).is_some_and(|node| {
            let in_use = items(node.value(), "/status/volumesInUse");
            in_use.iter().any(|name| *name == source.unique_name())
        });
        if !used && !is_deleting(attachment) {
            let name = text(attachment, "/metadata/name");
            attempt(self.store.delete(ATTACHMENTS, "", name, None));
        }
    }

    /// Tells the pods and the node what became of an attachment.
    fn tell(&mut self, attachment: &Value, gone: bool) {
        let volume_name = text(attachment, "/spec/source/persistentVolumeName").to_owned();
        let name = text(attachment, "/metadata/name").to_owned();
        let Some((volume, source)) = self.volume(&volume_name) else {
            return;
        };
        let node = text(attachment, "/spec/nodeName").to_owned();
        let attached = !gone && attachment["status"]["attached"] == true;
        self.list_at_node(&source, &node, attached);
        if gone {
            self.told.remove(&name);
            return;
        }
        let error = text(attachment, "/status/attachError/message");
        let (reason, message) = if attached {
            let message = format!("AttachVolume.Attach succeeded for volume \"{volume_name}\" ");
            ("SuccessfulAttachVolume", message)
        } else if error.is_empty() {
            return;
        } else {
            let message = format!("AttachVolume.Attach failed for volume \"{volume_name}\" : {error}");
            ("FailedAttachVolume", message)
        };
        if self.told.insert(name, message.clone()).as_ref() == Some(&message) {
            return;
        }
        for (pod, _) in self.pods(&volume).iter().filter(|(_, at)| *at == node) {
            if attached {
                self.events.normal(pod, reason, &message);
            } else {
                self.events.warning(pod, reason, &message);
            }
        }
    }

    /// `status.volumesAttached` of the node.
    fn list_at_node(&self, source: &CsiVolume, node: &str, attached: bool) {
        let unique = source.unique_name();
        attempt(self.store.update_status(NODES, "", node, |node| {
            let mut list = items(node, "/status/volumesAttached").to_vec();
            let there = list.iter().any(|one| text(one, "/name") == unique);
            if attached && !there {
                list.push(json!({"name": unique, "devicePath": ""}));
            } else if !attached {
                list.retain(|one| text(one, "/name") != unique);
            }
            if there != attached {
                set(node, "/status", "volumesAttached", Value::Array(list));
            }
        }));
    }

    /// The volume of a claim.
    fn sync_claim(&mut self, namespace: &str, claim: &str) {
        let claim = self.store.get(CLAIMS, namespace, claim);
        let volume = claim.map(|claim| text(claim.value(), "/spec/volumeName").to_owned());
        if let Some(volume) = volume.filter(|name| !name.is_empty()) {
            self.sync(&volume);
        }
    }
}

/// What is told of a volume that a pod of another node has: by name those of the namespace, which are all that a claim can have.
fn multi_attach(volume: &str, node: &str, pods: &[(Value, String)]) -> String {
    let others = pods.iter().filter(|(_, at)| at != node);
    let names: Vec<&str> = others.map(|(pod, _)| text(pod, "/metadata/name")).collect();
    let why = match names[..] {
        [] => {
            "Volume is already exclusively attached to one node and can't be attached to another".to_owned()
        }
        _ => format!("Volume is already used by pod(s) {}", names.join(", ")),
    };
    format!("Multi-Attach error for volume \"{volume}\" {why}")
}

impl Actor for Attachments {
    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![NODES, VOLUMES, CLAIMS, ATTACHMENTS, PODS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&mut self, change: &Change) {
        let object = change.object.value();
        let (namespace, name) = (
            change.object.namespace().to_owned(),
            change.object.name().to_owned(),
        );
        match text(object, "/kind") {
            "Pod" => {
                for claim in self.users.note(change) {
                    self.sync_claim(&namespace, &claim);
                }
            }
            "PersistentVolumeClaim" => self.sync_claim(&namespace, &name),
            "PersistentVolume" => self.sync(&name),
            "VolumeAttachment" => {
                let volume = text(object, "/spec/source/persistentVolumeName").to_owned();
                let known = self.of_volume.entry(volume.clone()).or_default();
                if is_gone(change) {
                    known.remove(&name);
                } else {
                    known.insert(name);
                }
                self.tell(object, is_gone(change));
                self.sync(&volume);
            }
            // A node that uses a volume no more: those that it still has attached.
            "Node" => self.sync_node(change),
            _ => {}
        }
    }
}

impl Attachments {
    fn sync_node(&mut self, change: &Change) {
        let in_use = |node: &Value| items(node, "/status/volumesInUse").to_vec();
        let former = change.previous.as_ref().map(|node| in_use(node.value()));
        let now = in_use(change.object.value());
        let freed = former
            .into_iter()
            .flatten()
            .filter(|volume| !now.contains(volume));
        let names = freed.filter_map(|unique| self.names.get(unique.as_str()?).cloned());
        for name in names.collect::<Vec<_>>() {
            self.sync(&name);
        }
    }
}
