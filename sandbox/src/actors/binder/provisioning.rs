//! What is written on a claim for which a volume has to be made, and who is told that it waits.

use std::collections::BTreeMap;

use base::Clock;
use serde_json::{Value, json};

use super::SELECTED_NODE;
use crate::actors::events::Events;
use crate::actors::{CLAIMS, STORAGE_CLASSES, VOLUMES, attempt, set, text};
use crate::kube::Store;
use crate::kube::validation::{class_of, default_class};

const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const BETA_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
/// The in-tree plugin that a driver took over, and that driver.
const MIGRATED: (&str, &str) = ("kubernetes.io/aws-ebs", "ebs.csi.aws.com");

/// The part of the volume controller that is about making volumes.
pub(super) struct Provisioning {
    store: Store,
    events: Events,
    /// What each claim was last told, by namespace and name, with its UID.
    told: BTreeMap<(String, String), (String, String)>,
}

impl Provisioning {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self {
            events: Events::new(store.clone(), clock, "persistentvolume-controller", ""),
            store,
            told: BTreeMap::new(),
        }
    }

    /// A claim for which no volume is there: its provisioner is asked, at once or when a node is chosen.
    pub(super) fn ask(&mut self, claim: &Value) {
        let Some(class_name) = class_of(claim) else {
            return self.give_class(claim);
        };
        if class_name.is_empty() {
            let text = "no persistent volumes available for this claim and no storage class is set";
            return self.tell(claim, "Normal", "FailedBinding", text);
        }
        let Some(class) = self.store.get(STORAGE_CLASSES, "", class_name) else {
            let text = format!("storageclass.storage.k8s.io \"{class_name}\" not found");
            return self.tell(claim, "Warning", "ProvisioningFailed", &text);
        };
        let class = class.value();
        let is_late = text(class, "/volumeBindingMode") == "WaitForFirstConsumer";
        if is_late && claim["metadata"]["annotations"].get(SELECTED_NODE).is_none() {
            let text = "waiting for first consumer to be created before binding";
            return self.tell(claim, "Normal", "WaitForFirstConsumer", text);
        }
        let provisioner = text(class, "/provisioner");
        let is_in_tree = provisioner.starts_with("kubernetes.io/");
        if is_in_tree && provisioner != MIGRATED.0 {
            let text = format!("no volume plugin matched name: {provisioner}");
            return self.tell(claim, "Warning", "ProvisioningFailed", &text);
        }
        self.mark(claim, provisioner);
        let text = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system \
             administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        );
        self.tell(claim, "Normal", "ExternalProvisioning", &text);
    }

    /// An in-tree volume is handed to the driver that took over.
    pub(super) fn hand_over(&self, volume: &Value) {
        let is_in_tree = volume["spec"].get("awsElasticBlockStore").is_some();
        if !is_in_tree || annotation(volume, MIGRATED_TO) == MIGRATED.1 {
            return;
        }
        let name = text(volume, "/metadata/name");
        attempt(self.store.update(VOLUMES, "", name, |volume| {
            set(volume, "/metadata/annotations", MIGRATED_TO, json!(MIGRATED.1));
        }));
    }

    /// The claim is gone.
    pub(super) fn forget(&mut self, namespace: &str, name: &str) {
        self.told.remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// A claim that is older than the default class gets it.
    fn give_class(&mut self, claim: &Value) {
        let classes = self.store.list(STORAGE_CLASSES, None);
        let classes: Vec<&Value> = classes.iter().map(|class| class.value()).collect();
        let Some(class) = default_class(classes.into_iter()) else {
            let text = "no persistent volumes available for this claim and no storage class is set";
            return self.tell(claim, "Normal", "FailedBinding", text);
        };
        let class = class.to_owned();
        attempt(self.store.update(
            CLAIMS,
            text(claim, "/metadata/namespace"),
            text(claim, "/metadata/name"),
            |claim| set(claim, "/spec", "storageClassName", json!(class)),
        ));
    }

    /// Both names of the annotation; and who took over, where that is an in-tree plugin.
    fn mark(&self, claim: &Value, provisioner: &str) {
        if annotation(claim, PROVISIONER) == provisioner {
            return;
        }
        let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
        attempt(self.store.update(CLAIMS, namespace, name, |claim| {
            for annotation in [PROVISIONER, BETA_PROVISIONER] {
                set(claim, "/metadata/annotations", annotation, json!(provisioner));
            }
            if provisioner == MIGRATED.0 {
                set(claim, "/metadata/annotations", MIGRATED_TO, json!(MIGRATED.1));
            }
        }));
    }

    /// Once, until something else is to be told.
    fn tell(&mut self, claim: &Value, kind: &str, reason: &str, message: &str) {
        let metadata = &claim["metadata"];
        let key = (
            text(metadata, "/namespace").to_owned(),
            text(metadata, "/name").to_owned(),
        );
        let told = (text(metadata, "/uid").to_owned(), message.to_owned());
        if self.told.insert(key, told.clone()) == Some(told) {
            return;
        }
        match kind {
            "Warning" => self.events.warning(claim, reason, message),
            _ => self.events.normal(claim, reason, message),
        }
    }
}

/// The value of an annotation; empty where there is none.
fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    let annotations = &object["metadata"]["annotations"];
    annotations.get(name).and_then(Value::as_str).unwrap_or_default()
}
