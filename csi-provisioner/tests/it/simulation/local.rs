//! A provisioner on each node (sidecars.md 2.12).

use controller::testing::resources::{CLAIMS, SNAPSHOTS, STORAGE_CLASSES};
use controller::testing::{Driver, Process, seconds};
use csi::v1::Topology;
use csi::v1::controller_service_capability::rpc;
use sandbox::faults::{Faults, transports};
use serde_json::{Value, json};
use tonic::Status;

use crate::world::{CAPACITIES, DRIVER, SNAPSHOT_FINALIZER, World, ZONE, from_claim, from_snapshot};

/// A driver with room for 5Gi on a node that is its own zone, which can do this too.
fn driver(node: &str, capabilities: &[rpc::Type]) -> Driver {
    let all = [
        capabilities,
        &[rpc::Type::CreateDeleteVolume, rpc::Type::GetCapacity],
    ];
    let driver = Driver::new(DRIVER, &all.concat());
    let volumes = &mut driver.state().volumes;
    volumes.have_topology = true;
    volumes.is_at = Some(Topology {
        segments: [(ZONE.to_owned(), node.to_owned())].into(),
    });
    volumes.room = 5 << 30;
    driver.clone()
}

/// Nodes of a cluster, each with its driver and its provisioner.
struct Nodes {
    world: World,
    drivers: Vec<Driver>,
    processes: Vec<Process>,
}

impl Nodes {
    fn new(names: &[&str], flags: &str) -> Self {
        Self::in_world(World::new(), names, flags, &[])
    }

    /// With drivers that can make volumes from others, and a snapshot.
    fn with_sources(names: &[&str], flags: &str) -> Self {
        let world = World::new();
        world.snapshot();
        let capabilities = [rpc::Type::CreateDeleteSnapshot, rpc::Type::CloneVolume];
        Self::in_world(world, names, flags, &capabilities)
    }

    fn in_world(mut world: World, names: &[&str], flags: &str, capabilities: &[rpc::Type]) -> Self {
        world.flags = format!("--node-deployment {flags}");
        let drivers = names.iter().map(|name| driver(name, capabilities));
        let mut nodes = Self {
            world,
            drivers: drivers.collect(),
            processes: Vec::new(),
        };
        for (name, driver) in names.iter().zip(nodes.drivers.clone()) {
            nodes.world.environment.node_name = Some((*name).to_owned());
            nodes.world.environment.namespace = Some("default".to_owned());
            let faults = Faults::none();
            let channel = transports::csi(driver.routes(), &faults);
            nodes.processes.push(nodes.world.start_over(channel, faults));
        }
        nodes
    }

    /// The volumes that each driver holds.
    fn made(&self) -> Vec<usize> {
        self.drivers
            .iter()
            .map(|driver| driver.state().volumes.made.len())
            .collect()
    }

    fn calls(&self, rpc: &str) -> Vec<usize> {
        self.drivers.iter().map(|driver| driver.count(rpc)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_171_a_claim_is_for_the_provisioner_of_its_node() {
    let nodes = Nodes::new(&["n1", "n2"], "");
    let world = &nodes.world;
    world.remove_by_force(STORAGE_CLASSES, "", "s");
    world.class("s", &json!({"volumeBindingMode": "WaitForFirstConsumer"}));
    let volume = world.claim(|_| {});
    seconds(120).await;
    assert_eq!(
        (nodes.made(), nodes.calls("GetCapacity")),
        (vec![0, 0], vec![0, 0])
    );
    world.select("n3");
    seconds(60).await;
    assert_eq!(nodes.made(), [0, 0]);
    world.select("n2");
    seconds(2).await;
    assert_eq!((nodes.made(), world.phase("c").as_str()), (vec![0, 1], "Bound"));
    let affinity = world.volume(&volume).unwrap()["spec"]["nodeAffinity"].clone();
    let expression = &affinity["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
    assert_eq!(
        (&expression["key"], &expression["values"]),
        (&json!(ZONE), &json!(["n2"]))
    );
    let identity = world.volume(&volume).unwrap()["spec"]["csi"]["volumeAttributes"]
        ["storage.kubernetes.io/csiProvisionerIdentity"]
        .clone();
    assert!(identity.as_str().unwrap().ends_with("-d.csi-n2"), "{identity}");
    assert!(
        world
            .reasons()
            .iter()
            .all(|reason| reason != "ProvisioningFailed")
    );
    let watched = world.api.audit().into_iter().map(|record| record.resource);
    let watched: Vec<String> = watched
        .filter(|one| one == "nodes" || one == "csinodes")
        .collect();
    assert!(watched.is_empty(), "{watched:?}");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_172_of_many_nodes_one_takes_a_claim_that_binds_at_once() {
    let names = ["n1", "n2", "n3", "n4", "n5"];
    let nodes = Nodes::new(&names, "");
    let mut taken = vec![0; names.len()];
    for number in 0..20 {
        nodes.world.claim_named(&format!("c{number}"), |_| {});
    }
    seconds(25).await;
    for number in 0..20 {
        assert_eq!(nodes.world.phase(&format!("c{number}")), "Bound");
    }
    for (count, made) in taken.iter_mut().zip(nodes.made()) {
        *count += made;
    }
    assert_eq!(taken.iter().sum::<usize>(), 20, "each once: {taken:?}");
    assert!(
        taken.iter().filter(|count| **count > 0).count() > 2,
        "they are spread: {taken:?}"
    );
    // Most of them saw the winner before their own turn came.
    assert!(
        nodes.calls("GetCapacity").iter().sum::<usize>() < 60,
        "{:?}",
        nodes.calls("GetCapacity")
    );
    assert!(nodes.processes.iter().all(|process| process.failure().is_none()));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_173_a_node_without_room_or_outside_of_the_class_leaves_the_claim() {
    let nodes = Nodes::new(&["n1", "n2"], "");
    nodes.drivers[0].state().volumes.room = 1;
    nodes.world.claim(|_| {});
    seconds(25).await;
    assert_eq!(
        (nodes.made(), nodes.world.phase("c").as_str()),
        (vec![0, 1], "Bound")
    );

    let nodes = Nodes::new(&["n1", "n2"], "");
    let allowed = json!([{"matchLabelExpressions": [{"key": ZONE, "values": ["n1"]}]}]);
    nodes.world.class("there", &json!({"allowedTopologies": allowed}));
    nodes
        .world
        .claim(|claim| claim["spec"]["storageClassName"] = json!("there"));
    seconds(25).await;
    assert_eq!((nodes.made(), nodes.calls("GetCapacity")[1]), (vec![1, 0], 0));

    let nodes = Nodes::new(&["n1", "n2"], "--node-deployment-immediate-binding=false");
    nodes.world.claim(|_| {});
    seconds(300).await;
    assert_eq!((nodes.made(), nodes.world.selected()), (vec![0, 0], None));

    // It comes to have room.
    let nodes = Nodes::new(&["n1"], "");
    nodes.drivers[0].state().volumes.room = 1;
    nodes.world.claim(|_| {});
    seconds(100).await;
    assert_eq!(nodes.made(), [0]);
    nodes.drivers[0].state().volumes.room = 5 << 30;
    seconds(65).await;
    assert_eq!(nodes.made(), [1]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_174_a_node_that_runs_out_of_room_gives_the_claim_back() {
    let nodes = Nodes::new(&["n1", "n2"], "");
    nodes.drivers[0].refuse_volumes(&Status::resource_exhausted("full"), 9);
    nodes.world.claim(|claim| {
        claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = json!("n1");
    });
    seconds(1).await;
    assert_eq!(
        (nodes.world.selected(), nodes.calls("CreateVolume")),
        (None, vec![1, 0])
    );
    seconds(25).await;
    assert_eq!(
        (nodes.made(), nodes.world.selected().as_deref()),
        (vec![0, 1], Some("n2"))
    );
    assert_eq!(nodes.calls("CreateVolume"), [1, 1]);
    assert_eq!(nodes.world.phase("c"), "Bound");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_193_nodes_that_are_full_and_do_not_say_so_leave_the_claim_to_others() {
    let nodes = Nodes::new(&["n1", "n2", "n3"], "");
    let full = Status::resource_exhausted("full");
    for driver in &nodes.drivers {
        driver.state().capabilities.pop();
    }
    for driver in &nodes.drivers[..2] {
        driver.refuse_volumes(&full, 10_000);
    }
    for number in 0..10 {
        nodes.world.claim_named(&format!("c{number}"), |_| {});
    }
    seconds(600).await;
    assert_eq!(nodes.made(), [0, 0, 10], "{:?}", nodes.calls("CreateVolume"));

    // Nobody else is there: it is not asked without a pause.
    let nodes = Nodes::new(&["n1"], "");
    nodes.drivers[0].refuse_volumes(&full, 10_000);
    nodes.world.claim(|_| {});
    seconds(600).await;
    let calls = nodes.calls("CreateVolume")[0];
    assert!(
        (9..=11).contains(&calls),
        "once in --node-deployment-max-delay: {calls}"
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_175_only_the_node_that_has_a_volume_deletes_it() {
    let nodes = Nodes::new(&["n1", "n2"], "");
    let volume = nodes.world.claim(|claim| {
        claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = json!("n2");
    });
    seconds(2).await;
    assert_eq!(nodes.made(), [0, 1]);
    nodes.world.delete(CLAIMS, "default", "c");
    seconds(2).await;
    assert!(nodes.world.volume(&volume).is_none());
    assert_eq!(nodes.calls("DeleteVolume"), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_176_each_node_publishes_its_own_capacity() {
    let nodes = Nodes::new(&["n1", "n2"], "--enable-capacity --capacity-ownerref-level=-1");
    nodes
        .world
        .class("late", &json!({"volumeBindingMode": "WaitForFirstConsumer"}));
    seconds(2).await;
    let shown = |object: Value| {
        let manager = &object["metadata"]["labels"]["csi.storage.k8s.io/managed-by"];
        let place = &object["nodeTopology"]["matchLabels"][ZONE];
        format!("{} {}", manager.as_str().unwrap(), place.as_str().unwrap())
    };
    let mut published: Vec<String> = nodes.world.list(CAPACITIES).into_iter().map(shown).collect();
    published.sort();
    assert_eq!(
        published,
        ["external-provisioner-n1 n1", "external-provisioner-n2 n2"]
    );
}

/// For this node.
fn on(node: &str, claim: &mut Value) {
    claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = json!(node);
}

impl Nodes {
    fn is_protected(&self) -> bool {
        let finalizers = self.world.finalizers(SNAPSHOTS, "default", "snap");
        finalizers.contains(&SNAPSHOT_FINALIZER.to_owned())
    }

    /// How many requests of all nodes since then were for this kind.
    fn requests_for(&self, kind: &str, mark: u64) -> Vec<String> {
        let mut requests = self.world.requests_since(mark);
        requests.retain(|request| request.split(' ').nth(1) == Some(kind));
        requests
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_220_a_restore_on_one_of_many_nodes_costs_what_it_costs_on_one() {
    let nodes = Nodes::with_sources(&["n1", "n2", "n3", "n4"], "");
    seconds(2).await;
    let mark = nodes.world.mark();
    nodes.world.claim(|claim| {
        from_snapshot(claim);
        on("n1", claim);
    });
    seconds(60).await;
    assert_eq!(nodes.world.phase("c"), "Bound");
    assert!(!nodes.is_protected());
    let requests = nodes.requests_for("volumesnapshots", mark);
    assert_eq!(requests, ["patch volumesnapshots 200"; 2]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_221_a_snapshot_stays_protected_for_a_call_of_another_node() {
    let nodes = Nodes::with_sources(&["n1", "n2", "n3"], "");
    nodes.drivers[0].refuse_volumes(&Status::unavailable("later"), 5);
    nodes.drivers[0].refuse_volumes(&Status::internal("no"), 1);
    seconds(2).await;
    nodes.world.claim(|claim| {
        from_snapshot(claim);
        on("n1", claim);
    });
    seconds(1).await;
    nodes.world.remove_by_force(CLAIMS, "default", "c");
    seconds(25).await;
    assert!(nodes.is_protected(), "{:?}", nodes.calls("CreateVolume"));
    seconds(20).await;
    assert_eq!(
        (nodes.calls("CreateVolume"), nodes.is_protected()),
        (vec![6, 0, 0], false)
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_222_a_protection_that_no_node_takes_away_is_swept_by_one() {
    let nodes = Nodes::with_sources(&["n1", "n2", "n3"], "--snapshot-orphan-sweep-interval=60s");
    seconds(2).await;
    let mark = nodes.world.mark();
    nodes.world.change(SNAPSHOTS, "default", "snap", |snapshot| {
        snapshot["metadata"]["finalizers"] = json!([SNAPSHOT_FINALIZER]);
    });
    seconds(58).await;
    assert!(nodes.is_protected());
    seconds(65).await;
    assert!(!nodes.is_protected());
    let requests = nodes.requests_for("volumesnapshots", mark);
    assert_eq!(requests, ["patch volumesnapshots 200"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_223_a_cloned_claim_is_let_go_at_once_by_the_node_that_has_its_volume() {
    let nodes = Nodes::with_sources(&["n1", "n2", "n3"], "");
    nodes.world.claim_named("source", |claim| on("n2", claim));
    seconds(2).await;
    nodes.world.claim(|claim| {
        from_claim(claim);
        on("n2", claim);
    });
    seconds(2).await;
    assert_eq!(nodes.made(), [0, 2, 0]);
    let mark = nodes.world.mark();
    nodes.world.delete(CLAIMS, "default", "source");
    seconds(2).await;
    assert!(nodes.world.get(CLAIMS, "default", "source").is_none());
    let requests = nodes.requests_for("persistentvolumeclaims", mark);
    assert_eq!(requests, ["patch persistentvolumeclaims 200"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_227_a_cloned_claim_goes_when_the_last_claim_from_it_was_of_no_node() {
    for (node, flags) in [
        (None, ""),
        (Some("gone"), ""),
        (None, "--snapshot-orphan-sweep-interval=0s"),
    ] {
        let nodes = Nodes::with_sources(&["n1", "n2", "n3"], flags);
        let late = json!({"volumeBindingMode": "WaitForFirstConsumer"});
        nodes.world.class("late", &late);
        nodes.world.claim_named("source", |claim| on("n2", claim));
        seconds(2).await;
        nodes.world.claim_named("first", |claim| {
            from_claim(claim);
            on("n2", claim);
        });
        seconds(2).await;
        nodes.world.claim(|claim| {
            from_claim(claim);
            claim["metadata"]["finalizers"] = json!(["example.com/theirs"]);
            claim["spec"]["storageClassName"] = json!("late");
            if let Some(node) = node {
                on(node, claim);
            }
        });
        nodes.world.delete(CLAIMS, "default", "source");
        nodes.world.delete(CLAIMS, "default", "c");
        seconds(1).await;
        assert!(nodes.world.get(CLAIMS, "default", "source").is_some());
        let mark = nodes.world.mark();
        nodes.world.change(CLAIMS, "default", "c", |claim| {
            claim["metadata"]["finalizers"] = json!([]);
        });
        seconds(800).await;
        assert!(
            nodes.world.get(CLAIMS, "default", "source").is_none(),
            "{node:?} {flags}"
        );
        let requests = nodes.requests_for("persistentvolumeclaims", mark);
        assert_eq!(requests, ["patch persistentvolumeclaims 200"]);
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_233_without_a_sweep_no_node_lets_a_source_go_under_a_call_of_another() {
    let nodes = Nodes::with_sources(&["n1", "n2", "n3"], "--snapshot-orphan-sweep-interval=0s");
    for driver in &nodes.drivers {
        // Any node reaches its volumes.
        let volumes = &mut driver.state().volumes;
        (volumes.have_topology, volumes.is_at) = (false, None);
    }
    nodes.world.claim_named("source", |claim| on("n2", claim));
    seconds(2).await;
    nodes.drivers[0].refuse_volumes(&Status::unavailable("later"), 5);
    nodes.drivers[0].refuse_volumes(&Status::internal("no"), 1);
    nodes.world.claim(|claim| {
        from_claim(claim);
        on("n1", claim);
    });
    seconds(1).await;
    nodes.world.remove_by_force(CLAIMS, "default", "c");
    nodes.world.delete(CLAIMS, "default", "source");
    seconds(10).await;
    assert!(nodes.world.get(CLAIMS, "default", "source").is_some());
    seconds(60).await;
    assert_eq!(nodes.calls("CreateVolume"), [6, 1, 0]);
    assert!(nodes.world.get(CLAIMS, "default", "source").is_none());
}
