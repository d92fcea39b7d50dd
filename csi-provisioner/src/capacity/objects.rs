//! The objects of one class and place as the frame runs them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::Bucket;
use controller::patch::{self, Change};
use controller::{CallFailure, Difference, Failure, Known, Objects, Part, Past, Run};
use csi::Operation;
use csi::v1::{GetCapacityRequest, Topology};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::storage::v1::{CSIStorageCapacity, StorageClass};
use k8s_openapi::apimachinery::pkg::api::resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use runtime::objects::Quantity;
use runtime::{Cache, ObjectKey};
use serde_json::json;

use super::ledger::Ledger;
use super::plan::{self, Answer, Memory, Observed, Plan, Room, Step};
use super::segments::{self, Segment};
use super::{DRIVER_LABEL, MANAGER_LABEL};
use crate::calls::Calls;
use crate::events;

/// Index of objects by what they are about.
pub(crate) const BY_ABOUT: &str = "about";

/// The value in that index.
pub(crate) fn about_of(object: &CSIStorageCapacity) -> Vec<String> {
    vec![segments::about_object(object).to_string()]
}

/// Publishes capacity. Keys are a class and a place.
pub(crate) struct Capacities {
    pub(crate) objects: Objects<CSIStorageCapacity>,
    pub(crate) classes: Cache<StorageClass>,
    pub(crate) ledger: Ledger,
    pub(crate) owner: Option<OwnerReference>,
    pub(crate) namespace: String,
    pub(crate) manager: String,
    pub(crate) driver: String,
    pub(crate) poll: Duration,
    /// `--kube-api-capacity-qps`.
    pub(crate) limit: Option<Bucket>,
    pub(crate) calls: Calls,
}

/// The objects about one class and place.
pub(crate) struct Seen {
    about: ObjectKey,
    class: Option<Arc<StorageClass>>,
    /// None where nobody wants them.
    segment: Option<Segment>,
    objects: Vec<Arc<CSIStorageCapacity>>,
    is_stale: bool,
}

impl Seen {
    fn object(&self, name: &str) -> Option<&CSIStorageCapacity> {
        let mut objects = self.objects.iter();
        let found = objects.find(|object| object.metadata.name.as_deref() == Some(name));
        found.map(|object| &**object)
    }
}

#[async_trait]
impl controller::Controller for Capacities {
    type Seen = Seen;
    type Memory = Memory;
    type Step = Step;
    type Answer = Answer;

    fn observe(&self, about: &ObjectKey) -> Option<Seen> {
        let mut objects = self.objects.cache().indexed(BY_ABOUT, &about.to_string());
        // The oldest stays.
        objects.sort_by_key(|object| {
            let created = object.metadata.creation_timestamp.as_ref();
            (created.map(|time| time.0), object.metadata.name.clone())
        });
        let class = self.classes.get(&ObjectKey::cluster(about.namespace.clone()));
        let segment = self.ledger.segment(about).filter(|_| class.is_some());
        if segment.is_none() && objects.is_empty() {
            return None;
        }
        Some(Seen {
            about: about.clone(),
            class,
            segment,
            objects,
            is_stale: self.ledger.is_stale(about),
        })
    }

    /// Another class of the name is another one to ask the driver about.
    fn uid<'a>(&self, seen: &'a Seen) -> &'a str {
        let class = seen.class.as_ref();
        class
            .and_then(|class| class.metadata.uid.as_deref())
            .unwrap_or_default()
    }

    fn reference(&self, seen: &Seen) -> ObjectReference {
        let metadata = seen.class.as_ref().map(|class| &class.metadata);
        ObjectReference {
            api_version: Some("storage.k8s.io/v1".to_owned()),
            kind: Some("StorageClass".to_owned()),
            name: Some(seen.about.namespace.clone()),
            uid: metadata.and_then(|metadata| metadata.uid.clone()),
            ..ObjectReference::default()
        }
    }

    fn plan(&self, seen: &Seen, past: &Past<Memory>, run: &Run<Answer>, now: Timestamp) -> Plan {
        let observed = Observed {
            is_wanted: seen.segment.is_some(),
            objects: &seen.objects,
            owner: self.owner.as_ref(),
            answer: run.answers.last(),
            is_stale: seen.is_stale,
            poll: self.poll,
            memory: &past.memory,
            retries: &past.retries,
        };
        plan::plan(&observed, now)
    }

    async fn take(&self, seen: &Seen, step: &Step, _: &Run<Answer>) -> Result<Option<Answer>, Failure> {
        if let Step::Ask = step {
            return Ok(Some(self.ask(seen).await));
        }
        if let Some(limit) = &self.limit {
            tokio::time::sleep(limit.take()).await;
        }
        match step {
            Step::Ask => {}
            Step::Create(room) => {
                let object = self.object(seen, *room);
                self.objects.create(&object).await.map_err(Failure::Refused)?;
            }
            Step::Update(name, room) => {
                if let Some(object) = seen.object(name) {
                    let change = self.change(object, *room);
                    self.objects
                        .patch(&Known::of(object), Part::Main, &change)
                        .await?;
                }
            }
            Step::Delete(name) => {
                if let Some(object) = seen.object(name) {
                    self.objects.delete(&Known::of(object)).await?;
                }
            }
        }
        Ok(None)
    }

    fn refusal_reason(&self, _: &Step) -> &'static str {
        events::NOT_PUBLISHED
    }

    fn driver<'a>(&'a self, _: &'a Seen) -> &'a str {
        &self.driver
    }

    fn failed_call<'a>(&self, answer: &'a Answer) -> Option<(Operation, &'a CallFailure)> {
        let failure = answer.as_ref().err()?;
        Some((Operation::GetCapacity, failure))
    }
}

impl Capacities {
    /// The driver is given the parameters of the class as they are, and no capabilities: room is taken not to depend on them.
    async fn ask(&self, seen: &Seen) -> Answer {
        self.ledger.ask(&seen.about);
        let class = seen.class.as_ref();
        let segments = seen.segment.clone().unwrap_or_default();
        let request = GetCapacityRequest {
            parameters: class
                .and_then(|class| class.parameters.clone())
                .unwrap_or_default(),
            accessible_topology: Some(Topology { segments }),
            volume_capabilities: Vec::new(),
        };
        self.calls.room(request).await
    }

    fn object(&self, seen: &Seen, room: Room) -> CSIStorageCapacity {
        let labels = [(DRIVER_LABEL, &self.driver), (MANAGER_LABEL, &self.manager)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.clone()));
        CSIStorageCapacity {
            metadata: ObjectMeta {
                generate_name: Some("csisc-".to_owned()),
                namespace: Some(self.namespace.clone()),
                labels: Some(labels.into()),
                owner_references: self.owner.clone().map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            storage_class_name: seen.about.namespace.clone(),
            node_topology: Some(LabelSelector {
                match_labels: seen.segment.clone(),
                match_expressions: None,
            }),
            capacity: Some(quantity(room.available)),
            maximum_volume_size: room.maximum.map(quantity),
        }
    }

    fn change(&self, object: &CSIStorageCapacity, room: Room) -> Change {
        let mut operations = vec![
            patch::same_object(object.metadata.uid.as_deref()),
            patch::add(&["capacity"], quantity(room.available).0),
        ];
        match room.maximum {
            Some(maximum) => operations.push(patch::add(&["maximumVolumeSize"], quantity(maximum).0)),
            None if object.maximum_volume_size.is_some() => {
                operations.push(patch::remove(&["maximumVolumeSize"]));
            }
            None => {}
        }
        if let Some(owner) = self.owner.as_ref().filter(|owner| !plan::is_owned(object, owner)) {
            // One owner controls; a former one, such as the ReplicaSet before a rollout, gives way (Q40).
            let present = object.metadata.owner_references.iter().flatten();
            let others = present.filter(|one| one.controller != Some(true) && one.uid != owner.uid);
            let owners: Vec<&OwnerReference> = others.chain([owner]).collect();
            operations.push(patch::add(&["metadata", "ownerReferences"], json!(owners)));
        }
        Change::json(operations)
    }
}

fn quantity(bytes: i64) -> resource::Quantity {
    resource::Quantity(Quantity::from_bytes(bytes).to_string())
}

/// Whether two versions of an object say different things.
pub(crate) fn differs(change: Difference<'_, CSIStorageCapacity>) -> bool {
    let said = |object: &CSIStorageCapacity| {
        (
            segments::about_object(object),
            object.capacity.clone(),
            object.maximum_volume_size.clone(),
            object.metadata.owner_references.clone(),
            object.metadata.uid.clone(),
        )
    };
    change.old.map(said) != change.new.map(said)
}
