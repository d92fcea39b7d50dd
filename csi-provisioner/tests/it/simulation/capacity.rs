//! Capacity that is published for the scheduler (sidecars.md 2.11, Q18).

use controller::testing::resources::STORAGE_CLASSES;
use controller::testing::{Process, seconds};
use csi::v1::controller_service_capability::rpc;
use sandbox::kube::{Denial, GroupResource};
use serde_json::{Value, json};
use tonic::Status;

use crate::world::{CAPACITIES, DRIVER, NODES, World, ZONE};

const PODS: GroupResource<'_> = GroupResource::new("", "pods");
const DAEMON_SETS: GroupResource<'_> = GroupResource::new("apps", "daemonsets");
const CONFIG_MAPS: GroupResource<'_> = GroupResource::new("", "configmaps");
const NAMESPACE: &str = "drivers";

/// Nodes `n1` in zone a and `n2` in zone b, a driver with 5Gi everywhere, class `s` that waits for a pod.
fn world() -> World {
    let mut world = World::with_nodes();
    world.environment.namespace = Some(NAMESPACE.to_owned());
    world.flags = "--enable-capacity --capacity-ownerref-level=-1".to_owned();
    let mut state = world.driver.state();
    state.capabilities.push(rpc::Type::GetCapacity);
    state.volumes.room = 5 << 30;
    drop(state);
    world.create(
        GroupResource::new("", "namespaces"),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
    );
    world
}

fn zone(name: &str) -> String {
    format!("{ZONE}={name}")
}

impl World {
    /// Class, zone and capacity of each object, sorted.
    fn published(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let shown = |object: &Value| {
            let place = &object["nodeTopology"]["matchLabels"][ZONE];
            let (class, room) = (&object["storageClassName"], &object["capacity"]);
            format!("{} {} {}", text(class), text(place), text(room))
        };
        let mut all: Vec<String> = self.list(CAPACITIES).iter().map(shown).collect();
        all.sort();
        all
    }

    fn names(&self) -> Vec<String> {
        let all = self.list(CAPACITIES);
        let names = all
            .iter()
            .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned());
        names.collect()
    }

    /// Places that the driver was asked about since.
    fn measured_since(&self, calls: usize) -> Vec<String> {
        let state = self.driver.state();
        let place = |request: &csi::v1::GetCapacityRequest| {
            request.accessible_topology.as_ref().unwrap().segments[ZONE].clone()
        };
        state.volumes.measured[calls..].iter().map(place).collect()
    }

    fn measures(&self) -> usize {
        self.driver.state().volumes.measured.len()
    }
}

fn gauges(process: &Process) -> [f64; 3] {
    ["desired_goal", "desired_current", "obsolete"]
        .map(|name| process.metric(&format!("csistoragecapacities_{name}"), &[]))
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_165_each_class_and_place_has_an_object() {
    let world = world();
    world.class("now", &json!({}));
    world.class(
        "other",
        &json!({"provisioner": "o.csi", "volumeBindingMode": "WaitForFirstConsumer"}),
    );
    world.remove_by_force(STORAGE_CLASSES, "", "s");
    world.class(
        "s",
        &json!({"volumeBindingMode": "WaitForFirstConsumer", "parameters": {
            "pool": "fast", "csi.storage.k8s.io/fstype": "xfs",
        }}),
    );
    world.driver.state().volumes.rooms.insert(zone("b"), 0);
    world.node("n3", "a");
    world.register("n3");
    // The driver is not there, or its label is not there yet.
    world.node("n4", "c");
    world.create(
        NODES,
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n5"}}),
    );
    world.register("n5");
    let process = world.start();
    seconds(2).await;
    assert_eq!(world.published(), ["s a 5Gi", "s b 0"]);
    assert_eq!(gauges(&process), [2.0, 2.0, 0.0]);
    let object = &world.list(CAPACITIES)[0];
    let metadata = &object["metadata"];
    assert!(metadata["name"].as_str().unwrap().starts_with("csisc-"));
    assert_eq!(metadata["namespace"], NAMESPACE);
    assert_eq!(
        metadata["labels"],
        json!({
            "csi.storage.k8s.io/drivername": DRIVER,
            "csi.storage.k8s.io/managed-by": "external-provisioner",
        })
    );
    let request = world.driver.state().volumes.measured[0].clone();
    assert_eq!(request.parameters.len(), 2, "as they are: {request:?}");
    assert!(request.volume_capabilities.is_empty());
    assert_eq!(world.measures(), 2);
    drop(process);

    let mut world = world;
    world.flags += " --capacity-for-immediate-binding";
    let _process = world.start();
    seconds(2).await;
    assert_eq!(world.published(), ["now a 5Gi", "now b 0", "s a 5Gi", "s b 0"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_166_only_another_amount_is_written() {
    let world = world();
    let _process = world.start();
    seconds(5).await;
    let (mark, names) = (world.mark(), world.names());
    seconds(120).await;
    assert_eq!(world.measures(), 6, "two places, three times");
    assert_eq!(world.requests_since(mark), Vec::<String>::new());
    world.driver.state().volumes.room = (5 << 30) + 1;
    seconds(60).await;
    assert_eq!(world.requests_since(mark), ["patch csistoragecapacities 200"; 2]);
    assert_eq!(
        (world.published()[0].as_str(), world.names()),
        ("s a 5368709121", names)
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_167_a_volume_that_comes_or_goes_is_noticed_at_once() {
    let world = world();
    let _process = world.start();
    seconds(2).await;
    let before = world.measures();
    world.driver.state().volumes.rooms.insert(zone("a"), 4 << 30);
    let volume = world.claim(|_| {});
    world.select("n1");
    seconds(2).await;
    assert_eq!(world.phase("c"), "Bound");
    assert_eq!(world.measured_since(before), ["a"]);
    assert_eq!(world.published(), ["s a 4Gi", "s b 5Gi"]);
    world.driver.state().volumes.rooms.clear();
    world.delete(controller::testing::resources::CLAIMS, "default", "c");
    seconds(3).await;
    assert!(world.volume(&volume).is_none());
    assert_eq!(world.measured_since(before), ["a", "a"]);
    assert_eq!(world.published(), ["s a 5Gi", "s b 5Gi"]);
    // One that could not be made: how much room there is was not known.
    world
        .driver
        .refuse_volumes(&Status::resource_exhausted("full"), 1);
    world.claim_named("c", |_| {});
    world.select("n2");
    seconds(2).await;
    let mut asked = world.measured_since(before + 2);
    asked.sort();
    assert_eq!(asked, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_168_objects_that_nobody_wants_go_and_those_that_are_missing_come_back() {
    let world = world();
    let process = world.start();
    seconds(2).await;
    let first = world.names();
    world.delete(CAPACITIES, NAMESPACE, &first[0]);
    seconds(2).await;
    assert_eq!(world.published(), ["s a 5Gi", "s b 5Gi"], "made again");
    let names = world.names();
    let (mut double, mut strange) = (
        world.list(CAPACITIES)[0].clone(),
        world.list(CAPACITIES)[0].clone(),
    );
    for (object, name) in [(&mut double, "double"), (&mut strange, "strange")] {
        let labels = object["metadata"]["labels"].clone();
        object["metadata"] = json!({"name": name, "namespace": NAMESPACE, "labels": labels});
    }
    strange["nodeTopology"] = json!({"matchExpressions": [{"key": ZONE, "operator": "Exists"}]});
    world.create(CAPACITIES, double.clone());
    world.create(CAPACITIES, strange);
    double["metadata"] = json!({"name": "theirs", "namespace": NAMESPACE});
    world.create(CAPACITIES, double);
    seconds(2).await;
    let mut kept = names.clone();
    kept.push("theirs".to_owned());
    assert_eq!(world.names(), kept, "the older one stays, and what is not ours");
    world.delete(CAPACITIES, NAMESPACE, "theirs");

    world.remove_by_force(NODES, "", "n2");
    seconds(2).await;
    assert_eq!(world.published(), ["s a 5Gi"]);
    world.change(NODES, "", "n1", |node| {
        node["metadata"]["labels"][ZONE] = json!("z")
    });
    seconds(2).await;
    assert_eq!(world.published(), ["s z 5Gi"]);
    world.remove_by_force(STORAGE_CLASSES, "", "s");
    seconds(2).await;
    assert_eq!((world.published().len(), gauges(&process)), (0, [0.0; 3]));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_169_a_driver_that_does_not_answer_is_asked_with_back_off() {
    let world = world();
    let _process = world.start();
    seconds(2).await;
    let before = world.measures();
    let refusals = std::iter::repeat_with(|| Some(Status::internal("disk is on fire")));
    world.driver.state().volumes.measure.extend(refusals.take(16));
    seconds(600).await;
    // Of each place: after a minute, then 1, 2, 4, ... 64 s later, then the polls again.
    let times = world.driver.times("GetCapacity");
    assert!(times.len() - before <= 2 * (8 + 8), "{times:?}");
    assert_eq!(world.published(), ["s a 5Gi", "s b 5Gi"]);
    world.driver.state().volumes.room = 1 << 30;
    seconds(300).await;
    assert_eq!(
        world.published(),
        ["s a 1Gi", "s b 1Gi"],
        "{:?}",
        world.driver.times("GetCapacity")
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_195_a_call_for_a_volume_that_fails_is_made_again() {
    for interval in ["0", "1h"] {
        let mut world = world();
        world.flags += &format!(" --capacity-poll-interval={interval}");
        let _process = world.start();
        seconds(2).await;
        let before = world.measures();
        world.driver.state().volumes.rooms.insert(zone("a"), 4 << 30);
        let later = Some(Status::unavailable("later"));
        world.driver.state().volumes.measure.push_back(later);
        world.claim(|_| {});
        world.select("n1");
        seconds(10).await;
        assert_eq!(world.published(), ["s a 4Gi", "s b 5Gi"], "{interval}");
        assert_eq!(world.measured_since(before), ["a", "a"], "{interval}");
    }
}

/// The same with a pod of a DaemonSet of a ConfigMap.
fn owned() -> World {
    let owner = |kind: &str, object: &Value| {
        let version = object["apiVersion"].clone();
        let (name, uid) = (
            object["metadata"]["name"].clone(),
            object["metadata"]["uid"].clone(),
        );
        json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true})
    };
    let mut world = world();
    let top =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "top", "namespace": NAMESPACE}});
    let top = world.create(CONFIG_MAPS, top);
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "set", "namespace": NAMESPACE, "ownerReferences": [owner("ConfigMap", &top)]},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    });
    let set = world.create(DAEMON_SETS, set);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "pod", "namespace": NAMESPACE, "ownerReferences": [owner("DaemonSet", &set)]},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    world.create(PODS, pod);
    world.environment.pod_name = Some("pod".to_owned());
    world
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_194_another_owner_takes_the_place_of_the_former_one() {
    let mut world = owned();
    world.flags = "--enable-capacity --capacity-ownerref-level=1".to_owned();
    let process = world.start();
    seconds(2).await;
    process.stop().await.unwrap().unwrap();
    let metadata = json!({"name": "other", "namespace": NAMESPACE});
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    let uid = world.create(CONFIG_MAPS, other)["metadata"]["uid"].clone();
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": uid});
    for name in world.names() {
        world.change(CAPACITIES, NAMESPACE, &name, |object| {
            let owners = object["metadata"]["ownerReferences"].as_array_mut().unwrap();
            owners.push(other.clone());
        });
    }
    let names = world.names();
    world.driver.state().volumes.room = 4 << 30;
    world.flags = "--enable-capacity --capacity-ownerref-level=2".to_owned();
    let _process = world.start();
    seconds(2).await;
    assert_eq!(
        (world.published(), world.names()),
        (vec!["s a 4Gi".to_owned(), "s b 4Gi".to_owned()], names)
    );
    for object in world.list(CAPACITIES) {
        let owners = object["metadata"]["ownerReferences"].as_array().unwrap();
        let owners: Vec<(&Value, bool)> = owners
            .iter()
            .map(|one| (&one["name"], one["controller"] == true))
            .collect();
        assert_eq!(owners, [(&json!("other"), false), (&json!("top"), true)]);
    }
    assert_eq!(world.reasons(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_170_objects_have_the_owner_of_the_level_that_is_asked_for() {
    for (level, expected) in [("0", "Pod"), ("1", "DaemonSet"), ("2", "ConfigMap")] {
        let mut world = owned();
        world.flags = format!("--enable-capacity --capacity-ownerref-level={level}");
        let process = world.start();
        seconds(2).await;
        let owners = world.list(CAPACITIES)[0]["metadata"]["ownerReferences"].clone();
        assert_eq!(
            (&owners[0]["kind"], &owners[0]["controller"]),
            (&json!(expected), &json!(true))
        );
        drop(process);

        // Objects of before have it too.
        let (mut other, before) = (world, owners);
        other.change(CAPACITIES, NAMESPACE, &other.names()[0], |object| {
            object["metadata"]["ownerReferences"] = json!([]);
        });
        let process = other.start();
        seconds(2).await;
        assert_eq!(other.list(CAPACITIES)[0]["metadata"]["ownerReferences"], before);
        drop(process);
        for (flags, pod, says) in [
            (
                "--enable-capacity --capacity-ownerref-level=3",
                "pod",
                "lower level",
            ),
            ("--enable-capacity", "nobody", "nobody"),
        ] {
            other.flags = flags.to_owned();
            other.environment.pod_name = Some(pod.to_owned());
            let process = other.start();
            seconds(2).await;
            let failure = process.failure().unwrap();
            assert!(failure.contains(says), "{failure}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_177_a_driver_that_tells_no_capacity_works_without() {
    let world = world();
    world.driver.state().capabilities.pop();
    let process = world.start();
    world.claim(|_| {});
    world.select("n1");
    seconds(5).await;
    assert_eq!((process.failure(), world.phase("c")), (None, "Bound".to_owned()));
    assert_eq!((world.measures(), world.published().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_240_without_threads_nobody_publishes() {
    let mut world = world();
    world.flags.push_str(" --capacity-threads=0");
    let process = world.start();
    world.claim(|_| {});
    world.select("n1");
    seconds(120).await;
    assert_eq!((process.failure(), world.phase("c")), (None, "Bound".to_owned()));
    assert_eq!((world.measures(), world.published().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_178_a_role_without_capacity_keeps_no_volume_back() {
    let world = world();
    world.api.deny("csi-provisioner", Denial::of("list", CAPACITIES));
    world.api.deny("csi-provisioner", Denial::of("watch", CAPACITIES));
    let process = world.start();
    world.claim(|_| {});
    world.select("n1");
    seconds(5).await;
    assert_eq!((process.failure(), world.phase("c")), (None, "Bound".to_owned()));
    assert_eq!((world.measures(), world.published().len()), (0, 0));
    process.stop().await.unwrap().unwrap();

    // One that shows them and lets nobody write them: the class is told.
    let world = self::world();
    world
        .api
        .deny("csi-provisioner", Denial::of("create", CAPACITIES));
    let _process = world.start();
    seconds(5).await;
    let told = world.events();
    let told = told.iter().find(|event| event.reason == "CapacityNotPublished");
    assert!(
        told.is_some_and(|event| event.message.contains("csistoragecapacities")),
        "{:?}",
        world.events()
    );
}
