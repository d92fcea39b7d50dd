//! A cluster and an EC2 account, its user, and what there is in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Clock, Random, Scope};
pub use controller::testing::resources::{ATTACHMENTS, CLAIMS, CLASSES, CONTENTS, SNAPSHOTS, VOLUMES};
use controller::testing::resources::{ATTRIBUTES_CLASSES, CSI_NODES, DEFINITIONS, STORAGE_CLASSES};
use jiff::Timestamp;
use sandbox::actors::Options;
use sandbox::ec2::{Ec2, Ec2Options, SnapshotView};
use sandbox::kube::{ApiServer, GroupResource, Store};
use sandbox::node::Machine;
use serde_json::{Value, json};
use slackwater::quickstart::node_service;

use crate::driver_socket::DriverSocket;

/// IOPS of the class `fast`.
pub const FAST: u32 = 4_000;

/// How often a test looks at the world.
pub const LOOK: Duration = Duration::from_millis(50);

/// The cluster and the account.
pub struct World {
    pub clock: Clock,
    pub random: Random,
    pub api: ApiServer,
    pub ec2: Ec2,
    /// The EC2 volume behind the claim `p`.
    pub volume: String,
    /// Where the driver listens when it is a process of its own.
    pub socket: DriverSocket,
    /// The nodes that are instances of EC2.
    pub machines: Vec<Machine>,
    /// The node's kubelet runs until this is aborted.
    pub node: Scope,
    pub scope: Scope,
}

impl World {
    /// A cluster with the definitions, a claim `ns/p` bound to an EBS volume, the classes `delete` and `retain`, and the
    /// attributes class `fast` of 4,000 IOPS.
    pub async fn new(seed: u64, options: Ec2Options) -> Self {
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        let random = Random::seeded(seed);
        let scope = Scope::new();
        let api = ApiServer::new(clock.clone(), random.fork(), &scope);
        let ec2 = Ec2::new(clock.clone(), random.fork(), options);
        let volume = ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
        sandbox::actors::run(&api, &scope, clock.clone());
        let node = start_node(&api, &scope);
        let world = Self {
            clock,
            random,
            api,
            ec2,
            volume,
            socket: DriverSocket::default(),
            machines: Vec::new(),
            node,
            scope,
        };
        world.furnish().await;
        world
    }

    /// The same cluster without a claim, and with node `node-a`, an instance of EC2 with a kubelet and the driver. Volumes are
    /// attached by the function of this suite.
    pub async fn with_machine(seed: u64, options: Ec2Options) -> Self {
        Self::with_machines(seed, options, &["node-a"]).await
    }

    /// The same with several nodes, all in one zone.
    pub async fn with_machines(seed: u64, options: Ec2Options, nodes: &[&str]) -> Self {
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        let random = Random::seeded(seed);
        let scope = Scope::new();
        let api = ApiServer::new(clock.clone(), random.fork(), &scope);
        let ec2 = Ec2::new(clock.clone(), random.fork(), options);
        let launch = |name: &&str| Machine::launch(&ec2, name, "us-east-1a", "m5.large").unwrap();
        let machines: Vec<Machine> = nodes.iter().map(launch).collect();
        let mut actors = Options::default().with_attached("ebs.csi.aws.com");
        for machine in &machines {
            actors = actors.with_node(
                machine
                    .node()
                    .with_driver("ebs.csi.aws.com", node_service(machine).unwrap()),
            );
        }
        sandbox::actors::run_with(&api, &scope, clock.clone(), actors);
        let world = Self {
            clock,
            random,
            api,
            ec2,
            volume: String::new(),
            socket: DriverSocket::default(),
            machines,
            node: scope.child(),
            scope,
        };
        world.install();
        world
    }

    /// A node, until what is answered is dropped.
    pub fn start_node(&self) -> Scope {
        start_node(&self.api, &self.scope)
    }

    async fn furnish(&self) {
        self.install();
        self.add_claim("p", &self.volume, "Filesystem");
        self.until("the claim is bound", |world| {
            world
                .claim("p")
                .is_some_and(|claim| claim["status"]["phase"] == "Bound")
        })
        .await;
    }

    /// Definitions and classes.
    fn install(&self) {
        let store = self.store();
        for definition in crds::definitions::snapshots() {
            store.create(DEFINITIONS, definition).unwrap();
        }
        let namespace = json!({ "metadata": { "name": "ns" } });
        store
            .create(GroupResource::new("", "namespaces"), namespace)
            .unwrap();
        for (name, policy) in [("delete", "Delete"), ("retain", "Retain")] {
            let class = json!({
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshotClass",
                "metadata": { "name": name },
                "driver": "ebs.csi.aws.com",
                "deletionPolicy": policy,
            });
            store.create(CLASSES, class).unwrap();
        }
        for (name, grows) in [("grow", true), ("fixed", false)] {
            let class = json!({
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": { "name": name },
                "provisioner": "ebs.csi.aws.com",
                "allowVolumeExpansion": grows,
            });
            store.create(STORAGE_CLASSES, class).unwrap();
        }
        let fast = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttributesClass",
            "metadata": { "name": "fast" },
            "driverName": "ebs.csi.aws.com",
            "parameters": { "type": "gp3", "iops": FAST.to_string() },
        });
        store.create(ATTRIBUTES_CLASSES, fast).unwrap();
    }

    /// A claim in `ns` and its volume, of the class that allows expansion.
    pub fn add_claim(&self, name: &str, handle: &str, mode: &str) {
        self.add_claim_of_class(name, handle, mode, "grow");
    }

    pub fn add_claim_of_class(&self, name: &str, handle: &str, mode: &str, class: &str) {
        let source = json!({ "csi": { "driver": "ebs.csi.aws.com", "volumeHandle": handle } });
        self.add_claim_of(name, &source, mode, class);
    }

    /// A claim whose volume was made by the in-tree plugin of EBS.
    pub fn add_in_tree_claim(&self, name: &str, handle: &str) {
        let id = format!("aws://us-east-1a/{handle}");
        let source = json!({ "awsElasticBlockStore": { "volumeID": id, "fsType": "ext4" } });
        self.add_claim_of(name, &source, "Filesystem", "grow");
    }

    /// The source is a member of the volume's spec.
    fn add_claim_of(&self, name: &str, source: &Value, mode: &str, class: &str) {
        let mut volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": { "name": format!("pv-{name}") },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": { "storage": "10Gi" },
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": class,
                "volumeMode": mode,
            },
        });
        for (kind, source) in source.as_object().unwrap() {
            volume["spec"][kind] = source.clone();
        }
        let claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": name, "namespace": "ns" },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": "10Gi" } },
                "storageClassName": class,
                "volumeMode": mode,
                "volumeName": format!("pv-{name}"),
            },
        });
        self.store().create(VOLUMES, volume).unwrap();
        self.store().create(CLAIMS, claim).unwrap();
    }

    /// The user's hand.
    pub fn store(&self) -> Store {
        self.api.store("user")
    }

    /// Waits, on simulated time, until something is so; an hour at most.
    pub async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        for _ in 0..(3_600_000 / LOOK.as_millis()) {
            self.nothing_panicked().await;
            if so(self) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("{what}: not within an hour; the world is {:#}", self.api.dump());
    }

    /// No task of any process, nor of the sandbox, has panicked.
    pub async fn nothing_panicked(&self) {
        if self.scope.panics().count() > 0 {
            panic!("{}", self.scope.failed().await);
        }
    }

    pub fn snapshot(&self, name: &str) -> Option<Value> {
        self.store()
            .get(SNAPSHOTS, "ns", name)
            .map(|object| object.value().clone())
    }

    pub fn claim(&self, name: &str) -> Option<Value> {
        self.store()
            .get(CLAIMS, "ns", name)
            .map(|object| object.value().clone())
    }

    pub fn volume(&self, name: &str) -> Option<Value> {
        self.store()
            .get(VOLUMES, "", name)
            .map(|object| object.value().clone())
    }

    /// A node with the driver, on an instance of its own; answers the instance.
    pub fn add_node(&self, name: &str) -> String {
        let zone = "us-east-1a";
        let instance = self.ec2.create_instance_fixture(zone, "m5.large", &[]).unwrap();
        let driver = json!({
            "name": "ebs.csi.aws.com", "nodeID": instance, "topologyKeys": ["topology.ebs.csi.aws.com/zone"],
        });
        let node = json!({ "metadata": { "name": name }, "spec": { "drivers": [driver] } });
        self.store().create(CSI_NODES, node).unwrap();
        instance
    }

    /// The attach-detach controller wants the volume of a claim at a node.
    pub fn attach(&self, claim: &str, node: &str) {
        let attachment = json!({
            "metadata": { "name": format!("at-{claim}") },
            "spec": {
                "attacher": "ebs.csi.aws.com", "nodeName": node,
                "source": { "persistentVolumeName": format!("pv-{claim}") },
            },
        });
        self.store().create(ATTACHMENTS, attachment).unwrap();
    }

    pub fn detach(&self, claim: &str) {
        self.store()
            .delete(ATTACHMENTS, "", &format!("at-{claim}"), None)
            .unwrap();
    }

    pub fn attachment(&self, claim: &str) -> Option<Value> {
        self.store()
            .get(ATTACHMENTS, "", &format!("at-{claim}"))
            .map(|object| object.value().clone())
    }

    /// Its attachment says so, without an error.
    pub fn is_attached(&self, claim: &str) -> bool {
        self.attachment(claim).is_some_and(|attachment| {
            let status = &attachment["status"];
            status["attached"] == true && status["attachError"].is_null()
        })
    }

    /// The instances that EC2 has a volume attached to.
    pub fn instances_of(&self, volume: &str) -> Vec<String> {
        self.ec2.state().volumes[volume]
            .attachments
            .keys()
            .cloned()
            .collect()
    }

    /// How many requests of this action EC2 has done.
    pub fn done(&self, action: &str) -> usize {
        let calls = self.ec2.calls();
        let is_it =
            |call: &&sandbox::ec2::CallRecord| call.action == action && call.code.is_none() && !call.dry_run;
        calls.iter().filter(is_it).count()
    }

    /// The user asks for a larger volume.
    pub fn expand(&self, name: &str, size: &str) {
        let ask = |claim: &mut Value| claim["spec"]["resources"]["requests"]["storage"] = json!(size);
        self.store().update(CLAIMS, "ns", name, ask).unwrap();
    }

    /// The user asks for another attributes class.
    pub fn want_class(&self, name: &str, class: &str) {
        let ask = |claim: &mut Value| claim["spec"]["volumeAttributesClassName"] = json!(class);
        self.store().update(CLAIMS, "ns", name, ask).unwrap();
    }

    /// Claim, volume and EC2 have the class `fast`, and nothing of the change is left to do.
    pub fn is_fast(&self, name: &str) -> bool {
        let (Some(claim), Some(volume)) = (self.claim(name), self.volume(&format!("pv-{name}"))) else {
            return false;
        };
        let handle = volume["spec"]["csi"]["volumeHandle"].as_str().unwrap_or_default();
        let status = &claim["status"];
        status["currentVolumeAttributesClassName"] == "fast"
            && volume["spec"]["volumeAttributesClassName"] == "fast"
            && status["modifyVolumeStatus"].is_null()
            && status["conditions"].as_array().is_none_or(Vec::is_empty)
            && self.ec2.state().volumes[handle].iops == Some(FAST)
    }

    /// The events about an object: reason and message.
    pub fn events(&self, name: &str) -> Vec<(String, String)> {
        let events = self.store().list(GroupResource::new("", "events"), None);
        let of = |event: &&Value| event["involvedObject"]["name"] == *name;
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let events: Vec<Value> = events.iter().map(|event| event.value().clone()).collect();
        events
            .iter()
            .filter(of)
            .map(|event| (text(event, "reason"), text(event, "message")))
            .collect()
    }

    /// Both halves of the expansion to this size are done and nothing of it is left to do.
    pub fn is_expanded(&self, name: &str, size: &str) -> bool {
        let (Some(claim), Some(volume)) = (self.claim(name), self.volume(&format!("pv-{name}"))) else {
            return false;
        };
        let (status, annotations) = (&claim["status"], &volume["metadata"]["annotations"]);
        status["capacity"]["storage"] == size
            && volume["spec"]["capacity"]["storage"] == size
            && status["allocatedResourceStatuses"]["storage"].is_null()
            && status["conditions"].as_array().is_none_or(Vec::is_empty)
            && annotations["volume.alpha.kubernetes.io/pre-resize-capacity"].is_null()
    }

    /// The size in EC2 of the volume behind the claim `p`, in GiB.
    pub fn ec2_size(&self) -> u64 {
        u64::from(self.ec2.state().volumes[&self.volume].size_gib)
    }

    /// The sizes in GiB to which EC2 has agreed to grow that volume, in order.
    pub fn modifications(&self) -> Vec<u64> {
        self.granted("Size")
    }

    /// The numbers of IOPS to which EC2 has agreed to change that volume, in order.
    pub fn changes(&self) -> Vec<u64> {
        self.granted("Iops")
    }

    fn granted(&self, parameter: &str) -> Vec<u64> {
        let calls = self.ec2.calls();
        let granted = calls.iter().filter(|call| {
            call.action == "ModifyVolume"
                && call.code.is_none()
                && !call.dry_run
                && call.parameters["VolumeId"] == self.volume
        });
        granted
            .filter_map(|call| call.parameters.get(parameter)?.parse().ok())
            .collect()
    }

    pub fn contents(&self) -> Vec<Value> {
        self.store()
            .list(CONTENTS, None)
            .iter()
            .map(|object| object.value().clone())
            .collect()
    }

    pub fn is_ready(&self, name: &str) -> bool {
        self.snapshot(name)
            .is_some_and(|snapshot| snapshot["status"]["readyToUse"] == true)
    }

    /// The user asks for a snapshot of a claim.
    pub fn create_snapshot(&self, name: &str, claim: &str, class: &str) {
        let snapshot = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": { "name": name, "namespace": "ns" },
            "spec": {
                "source": { "persistentVolumeClaimName": claim },
                "volumeSnapshotClassName": class,
            },
        });
        self.store().create(SNAPSHOTS, snapshot).unwrap();
    }

    /// The user imports an EBS snapshot.
    pub fn import_snapshot(&self, name: &str, handle: &str, policy: &str) {
        let content = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshotContent",
            "metadata": { "name": format!("content-{name}") },
            "spec": {
                "deletionPolicy": policy,
                "driver": "ebs.csi.aws.com",
                "source": { "snapshotHandle": handle },
                "volumeSnapshotRef": { "name": name, "namespace": "ns" },
            },
        });
        let snapshot = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": { "name": name, "namespace": "ns" },
            "spec": { "source": { "volumeSnapshotContentName": format!("content-{name}") } },
        });
        self.store().create(CONTENTS, content).unwrap();
        self.store().create(SNAPSHOTS, snapshot).unwrap();
    }

    /// The user deletes a snapshot.
    pub fn delete_snapshot(&self, name: &str) {
        self.store().delete(SNAPSHOTS, "ns", name, None).unwrap();
    }

    /// The EC2 snapshots of this account.
    pub fn ec2_snapshots(&self) -> Vec<SnapshotView> {
        self.ec2.state().snapshots.into_values().collect()
    }

    /// What there is, without what differs from run to run: times, versions, UIDs, generated IDs.
    pub fn final_state(&self) -> String {
        let mut dump = self.api.dump();
        let mut aliases = BTreeMap::new();
        for object in self.store().list(SNAPSHOTS, None) {
            let metadata = &object.value()["metadata"];
            let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
            aliases.insert(
                uid,
                format!("<uid of {}>", metadata["name"].as_str().unwrap_or_default()),
            );
        }
        for (number, snapshot) in self.ec2_snapshots().iter().enumerate() {
            aliases.insert(snapshot.id.clone(), format!("<snapshot {number}>"));
        }
        if let Some(kinds) = dump.as_object_mut() {
            kinds.retain(|kind, _| {
                kind.contains("snapshot.storage.k8s.io")
                    || kind.starts_with("persistent")
                    || kind.starts_with("volumeattachments")
            });
        }
        scrub(&mut dump);
        let mut text = format!("{dump:#}");
        for snapshot in self.ec2_snapshots() {
            text += &format!(
                "\nEC2: {} of {} is {}",
                snapshot.id, snapshot.volume_id, snapshot.status
            );
        }
        for (value, alias) in &aliases {
            text = text.replace(value, alias);
        }
        text += &format!("\nEC2: the volume has {} GiB", self.ec2_size());
        text += &format!("\nEC2: it is attached to {:?}", self.instances_of(&self.volume));
        text
    }
}

fn start_node(api: &ApiServer, scope: &Scope) -> Scope {
    let node = scope.child();
    node.spawn(kubelet(api.store("kubelet")));
    node
}

/// The share of kubelet in an expansion, once a second for every claim that waits for it (resize 4.4). A claim is
/// looked at whether a pod uses it or not.
async fn kubelet(store: Store) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for claim in store.list(CLAIMS, None) {
            let claim = claim.value();
            let stage = &claim["status"]["allocatedResourceStatuses"]["storage"];
            if stage != "NodeResizePending" && stage != "NodeResizeInProgress" {
                continue;
            }
            let grown = |claim: &mut Value| {
                claim["status"]["capacity"]["storage"] =
                    claim["status"]["allocatedResources"]["storage"].clone();
                if let Some(status) = claim["status"].as_object_mut() {
                    status.remove("allocatedResourceStatuses");
                }
                // Those of a change by class are not kubelet's.
                let of_class = |one: &Value| {
                    matches!(
                        one["type"].as_str(),
                        Some("ModifyingVolume" | "ModifyVolumeError")
                    )
                };
                if let Some(conditions) = claim["status"]["conditions"].as_array_mut() {
                    conditions.retain(of_class);
                }
            };
            let (namespace, name) = (&claim["metadata"]["namespace"], &claim["metadata"]["name"]);
            let (namespace, name) = (
                namespace.as_str().unwrap_or_default(),
                name.as_str().unwrap_or_default(),
            );
            let _ = store.update_status(CLAIMS, namespace, name, grown);
        }
    }
}

fn scrub(value: &mut Value) {
    const VOLATILE: [&str; 8] = [
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "creationTime",
        "time",
    ];
    match value {
        Value::Object(members) => {
            // The uid in a reference stays: it is replaced by its owner's name.
            let is_metadata = members.contains_key("creationTimestamp");
            members.retain(|name, _| !VOLATILE.contains(&name.as_str()) || (name == "uid" && !is_metadata));
            members.values_mut().for_each(scrub);
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        _ => {}
    }
}
