//! Resources that are there from the beginning: made without requests, at once and in full view.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::Ec2;
use super::actions::{attachments, create_volume, snapshots};
use super::disk::Disk;
use super::errors::Ec2Error;
use super::model::instance::{ClusterNode, Instance, InstanceState};
use super::model::snapshot::Snapshot;
use super::model::volume::Attachment;
use super::options::Ec2Options;
use super::query::Form;
use super::state::{Call, State};
use super::tags::Tags;

/// The account that fixtures of other accounts belong to.
pub const OTHER_ACCOUNT: &str = "444455556666";

const ROOT_DEVICE: &str = "/dev/xvda";
const ROOT_GIB: u32 = 8;

impl Ec2 {
    /// A `gp3` volume that is available.
    ///
    /// # Errors
    /// What EC2 would answer to CreateVolume.
    pub fn create_volume_fixture(
        &self,
        zone: &str,
        size_gib: u32,
        tags: &[(&str, &str)],
    ) -> Result<String, Ec2Error> {
        let size = size_gib.to_string();
        self.create_volume_fixture_with(
            &[("AvailabilityZone", zone), ("Size", &size), ("VolumeType", "gp3")],
            tags,
        )
    }

    /// A volume that is available, made with these parameters of CreateVolume.
    ///
    /// # Errors
    /// What EC2 would answer to CreateVolume.
    pub fn create_volume_fixture_with(
        &self,
        parameters: &[(&str, &str)],
        tags: &[(&str, &str)],
    ) -> Result<String, Ec2Error> {
        self.fixture(|state, call| {
            let form = form(parameters, "volume", tags);
            create_volume::created(state, form, call).map(|volume| volume.id.clone())
        })
    }

    /// A volume was made this much earlier.
    ///
    /// # Errors
    /// `InvalidVolume.NotFound`.
    pub fn age_volume_fixture(&self, volume_id: &str, by: Duration) -> Result<(), Ec2Error> {
        self.fixture(|state, _| {
            let volume = state.volume_mut(volume_id)?;
            volume.created_at -= by;
            Ok(())
        })
    }

    /// A completed snapshot of a volume.
    ///
    /// # Errors
    /// What EC2 would answer to CreateSnapshot.
    pub fn create_snapshot_fixture(
        &self,
        volume_id: &str,
        tags: &[(&str, &str)],
    ) -> Result<String, Ec2Error> {
        self.fixture(|state, call| {
            let form = form(&[("VolumeId", volume_id)], "snapshot", tags);
            snapshots::created(state, form, call).map(|snapshot| snapshot.id.clone())
        })
    }

    /// A completed snapshot of another account, public or not.
    pub fn create_foreign_snapshot_fixture(&self, size_gib: u32, public: bool) -> String {
        self.fixture(|state, call| {
            let snapshot = Snapshot {
                id: call.new_id("snap"),
                volume_id: call.new_id("vol"),
                size_gib,
                owner_id: OTHER_ACCOUNT.to_owned(),
                public,
                description: String::new(),
                encrypted: false,
                kms_key_id: None,
                outpost_arn: None,
                tags: Tags::default(),
                started_at: call.now,
                completed_at: call.now,
                fails: false,
                seen_from: Timestamp::MIN,
                seen_until: Timestamp::MAX,
                lock: None,
                fast_restores: BTreeMap::new(),
                images: BTreeSet::new(),
                disk: Disk::default(),
            };
            let id = snapshot.id.clone();
            state.snapshots.insert(id.clone(), snapshot);
            id
        })
    }

    /// An image made of a snapshot, which keeps the snapshot from being deleted; the image's ID.
    ///
    /// # Errors
    /// `InvalidSnapshot.NotFound`.
    pub fn create_image_fixture(&self, snapshot_id: &str) -> Result<String, Ec2Error> {
        self.fixture(|state, call| {
            let image = call.new_id("ami");
            state
                .own_snapshot_mut(snapshot_id, call)?
                .images
                .insert(image.clone());
            Ok(image)
        })
    }

    /// A running instance with a root volume.
    ///
    /// # Errors
    /// `InvalidZone.NotFound` and `InvalidInstanceType`.
    pub fn create_instance_fixture(
        &self,
        zone: &str,
        instance_type: &str,
        tags: &[(&str, &str)],
    ) -> Result<String, Ec2Error> {
        let size = ROOT_GIB.to_string();
        let root = self.create_volume_fixture_with(
            &[("AvailabilityZone", zone), ("Size", &size), ("VolumeType", "gp3")],
            &[],
        )?;
        self.fixture(|state, call| {
            let kind = call
                .options
                .instance_types
                .iter()
                .find(|kind| kind.name == instance_type)
                .ok_or_else(|| {
                    Ec2Error::new(
                        "InvalidInstanceType",
                        format!("No instance type '{instance_type}'."),
                    )
                })?;
            let volume = state.volume_mut(&root)?;
            let instance = Instance {
                id: call.new_id("i"),
                kind: kind.clone(),
                zone: volume.zone.clone(),
                state: InstanceState::Running,
                launched_at: call.now,
                root_device: ROOT_DEVICE.to_owned(),
                tags: Tags::at_birth(owned(tags), Timestamp::MIN),
            };
            volume.attachments.push(Attachment {
                cluster: None,
                instance_id: instance.id.clone(),
                device: ROOT_DEVICE.to_owned(),
                card: (kind.ebs_cards > 1).then_some(0),
                delete_on_termination: true,
                begun_at: call.now,
                attached_at: call.now,
                gone_at: None,
                is_forced: false,
            });
            let id = instance.id.clone();
            state.instances.insert(id.clone(), instance);
            Ok(id)
        })
    }

    /// A node of a cluster of SageMaker HyperPod; the ID of its instance, which no request to EC2 shows.
    ///
    /// # Errors
    /// `InvalidZone.NotFound` and `InvalidInstanceType`.
    pub fn create_cluster_node_fixture(
        &self,
        cluster: &str,
        zone: &str,
        instance_type: &str,
    ) -> Result<String, Ec2Error> {
        // An instance that nobody sees afterwards.
        let instance = self.create_instance_fixture(zone, instance_type, &[])?;
        self.fixture(|state, _| {
            if let Some(hidden) = state.instances.remove(&instance) {
                let at_node = |one: &Attachment| one.instance_id == instance;
                state
                    .volumes
                    .retain(|_, volume| !volume.attachments.iter().any(at_node));
                let node = ClusterNode {
                    id: hidden.id,
                    cluster: cluster.to_owned(),
                    kind: hidden.kind,
                    zone: hidden.zone,
                };
                state.cluster_nodes.insert(node.id.clone(), node);
            }
        });
        Ok(instance)
    }

    /// Attaches a volume at once.
    ///
    /// # Errors
    /// What EC2 would answer to AttachVolume.
    pub fn attach_volume_fixture(
        &self,
        volume_id: &str,
        instance_id: &str,
        device: &str,
    ) -> Result<(), Ec2Error> {
        let parameters = [
            ("VolumeId", volume_id),
            ("InstanceId", instance_id),
            ("Device", device),
        ];
        self.fixture(|state, call| {
            attachments::attach(state, form(&parameters, "volume", &[]), call).map(drop)
        })
    }

    /// Detaches a volume at once.
    ///
    /// # Errors
    /// What EC2 would answer to DetachVolume.
    pub fn detach_volume_fixture(&self, volume_id: &str, instance_id: &str) -> Result<(), Ec2Error> {
        let parameters = [("VolumeId", volume_id), ("InstanceId", instance_id)];
        self.fixture(|state, call| {
            attachments::detach(state, form(&parameters, "volume", &[]), call).map(drop)
        })
    }

    /// Detaches a volume at once, by force, from wherever it is attached.
    ///
    /// # Errors
    /// What EC2 would answer to DetachVolume.
    pub fn force_detach_volume_fixture(&self, volume_id: &str) -> Result<(), Ec2Error> {
        let parameters = [("VolumeId", volume_id), ("Force", "true")];
        self.fixture(|state, call| {
            attachments::detach(state, form(&parameters, "volume", &[]), call).map(drop)
        })
    }

    /// Changes the state of an instance. A terminated one lets go of its volumes and loses its root volume.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`.
    pub fn set_instance_state(&self, instance_id: &str, to: InstanceState) -> Result<(), Ec2Error> {
        self.fixture(|state, _| {
            let instance = state
                .instances
                .get_mut(instance_id)
                .ok_or_else(|| Ec2Error::no_instance(instance_id))?;
            instance.state = to;
            if to == InstanceState::Terminated {
                let here = |one: &Attachment| one.instance_id == instance_id;
                let dies = |one: &Attachment| here(one) && one.delete_on_termination;
                state
                    .volumes
                    .retain(|_, volume| !volume.attachments.iter().any(dies));
                for volume in state.volumes.values_mut() {
                    volume.attachments.retain(|one| !here(one));
                }
            }
            Ok(())
        })
    }

    /// Removes an instance that EC2 has forgotten.
    pub fn forget_instance(&self, instance_id: &str) {
        self.fixture(|state, _| state.instances.remove(instance_id));
    }

    /// Removes a volume whatever its state, as someone else with the right to do so would.
    pub fn forget_volume(&self, volume_id: &str) {
        self.fixture(|state, _| state.volumes.remove(volume_id));
    }

    /// Removes a snapshot whatever its state, as someone else with the right to do so would.
    pub fn forget_snapshot(&self, snapshot_id: &str) {
        self.fixture(|state, _| state.snapshots.remove(snapshot_id));
    }

    fn fixture<T>(&self, act: impl FnOnce(&mut State, &Call<'_>) -> T) -> T {
        let now = self.clock().now();
        let random = self.random().clone();
        self.with(|region| {
            let options = Ec2Options {
                timing: super::Timing::instant(),
                lag: super::Lag::none(),
                ..region.options.clone()
            };
            let call = Call {
                now,
                options: &options,
                random: &random,
                fails_later: false,
            };
            region.state.settle(&call);
            let outcome = act(&mut region.state, &call);
            region.reconcile_quietly(now);
            outcome
        })
    }
}

fn form(parameters: &[(&str, &str)], resource_type: &str, tags: &[(&str, &str)]) -> Form {
    let mut pairs: Vec<(String, String)> = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    if !tags.is_empty() {
        pairs.push((
            "TagSpecification.1.ResourceType".to_owned(),
            resource_type.to_owned(),
        ));
    }
    for ((key, value), number) in tags.iter().zip(1..) {
        let prefix = format!("TagSpecification.1.Tag.{number}");
        pairs.push((format!("{prefix}.Key"), (*key).to_owned()));
        pairs.push((format!("{prefix}.Value"), (*value).to_owned()));
    }
    Form::of(pairs)
}

fn owned(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
