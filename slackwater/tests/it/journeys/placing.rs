//! Volumes that exist, and where their pods go.

use controller::testing::resources::{PODS, STORAGE_CLASSES};
use sandbox::ec2::{Ec2Options, Fault, When};
use sandbox::faults::Faults;
use sandbox::kube::GroupResource;
use serde_json::{Value, json};

use super::{class, cluster, is_running, phase, pod, seconds, told};
use crate::world::{CLAIMS, VOLUMES, World};

const DEPLOYMENTS: GroupResource<'_> = GroupResource::new("apps", "deployments");
const NODES: GroupResource<'_> = GroupResource::new("", "nodes");

/// A volume by hand, without node affinity, as the tutorial makes it.
fn volume(world: &World, name: &str, handle: &str) {
    let volume = json!({
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "10Gi" }, "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "", "csi": { "driver": "ebs.csi.aws.com", "volumeHandle": handle, "fsType": "ext4" },
        },
    });
    world.store().create(VOLUMES, volume).unwrap();
}

/// A claim of 10 GiB with these members of its spec.
fn claim(world: &World, name: &str, more: &Value) {
    let mut claim = json!({
        "metadata": { "name": name, "namespace": "ns" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "10Gi" } } },
    });
    for (member, value) in more.as_object().unwrap() {
        claim["spec"][member] = value.clone();
    }
    world.store().create(CLAIMS, claim).unwrap();
}

fn by_hand(name: &str) -> Value {
    json!({ "storageClassName": "", "volumeName": name })
}

/// The policy is played by the refusal of EC2 for as long as the tag is missing.
#[tokio::test(start_paused = true)]
async fn journeys_case_1_a_volume_that_the_policy_refuses_is_told_on_the_pod_and_attached_once_it_is_not() {
    let (world, _process) = cluster().await;
    let handle = world.ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    let denied = Fault::error("UnauthorizedOperation");
    world.ec2.inject("AttachVolume", When::Always, denied);
    volume(&world, "test-pv", &handle);
    claim(&world, "data", &by_hand("test-pv"));
    pod(&world, "data", false);
    let says = |world: &World| {
        told(
            world,
            "data",
            "FailedAttachVolume",
            &["UnauthorizedOperation", "test-pv"],
        )
    };
    world.until("the refusal is told", says).await;
    assert!(!is_running(&world, "data"));
    world.ec2.clear_faults();
    world
        .until("the pod runs", |world| is_running(world, "data"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn journeys_case_2_a_volume_of_another_zone_without_affinity_is_not_attached() {
    let (world, _process) = cluster().await;
    let handle = world.ec2.create_volume_fixture("us-east-1b", 10, &[]).unwrap();
    volume(&world, "test-pv", &handle);
    claim(&world, "data", &by_hand("test-pv"));
    pod(&world, "data", false);
    let says = |world: &World| told(world, "data", "FailedAttachVolume", &["ZoneMismatch", &handle]);
    world.until("the zones are told", says).await;
    seconds(600).await;
    assert!(!is_running(&world, "data"));
    assert!(world.instances_of(&handle).is_empty());
}

#[tokio::test(start_paused = true)]
async fn journeys_case_3_a_claim_that_names_no_class_takes_the_default_one_and_not_the_volume_that_is_there()
{
    let (world, _process) = cluster().await;
    class(&world, "usual", &json!({ "volumeBindingMode": "Immediate" }));
    let marks = |class: &mut Value| {
        class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] = json!("true");
    };
    world.store().update(STORAGE_CLASSES, "", "usual", marks).unwrap();
    let handle = world.ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    volume(&world, "test-pv", &handle);
    claim(&world, "data", &json!({}));
    world
        .until("the claim is bound", |world| phase(world, "data") == "Bound")
        .await;
    assert_ne!(super::handle(&world, "data"), handle);
    assert_eq!(world.volume("test-pv").unwrap()["status"]["phase"], "Available");
    // With the class named empty it is the one.
    claim(&world, "by-hand", &json!({ "storageClassName": "" }));
    world
        .until("the other claim is bound", |world| {
            phase(world, "by-hand") == "Bound"
        })
        .await;
    assert_eq!(super::handle(&world, "by-hand"), handle);
}

/// The Deployment of folder 01, without its `Recreate`.
fn deployment() -> Value {
    let container = json!({
        "name": "app", "image": "app", "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
    });
    let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": "data" } });
    json!({
        "metadata": { "name": "app", "namespace": "ns" },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": "app" } },
            "template": {
                "metadata": { "labels": { "app": "app" } },
                "spec": { "containers": [container], "volumes": [volume] },
            },
        },
    })
}

/// The pods of the Deployment that are not going: name, UID and node.
fn pods(world: &World) -> Vec<[String; 3]> {
    let pods = world.store().list(PODS, Some("ns"));
    let living = pods
        .iter()
        .filter(|pod| pod.value()["metadata"]["deletionTimestamp"].is_null());
    living
        .map(|pod| {
            let node = pod.value()["spec"]["nodeName"].as_str().unwrap_or_default();
            [pod.name(), pod.uid(), node].map(str::to_owned)
        })
        .collect()
}

/// The new pod is there before the old one has gone, as with the strategy RollingUpdate, and must go to the other node.
#[tokio::test(start_paused = true)]
async fn journeys_case_5_a_pod_on_another_node_waits_for_the_one_that_has_the_volume_and_finds_its_file() {
    let world = World::with_machines(17, Ec2Options::default(), &["node-a", "node-b"]).await;
    class(&world, "late", &json!({}));
    let _process = world.start(Faults::none()).await;
    claim(&world, "data", &json!({ "storageClassName": "late" }));
    world.store().create(DEPLOYMENTS, deployment()).unwrap();
    let runs = |world: &World| {
        pods(world)
            .first()
            .is_some_and(|[name, ..]| is_running(world, name))
    };
    world.until("the pod runs", runs).await;
    let [first, uid, node] = pods(&world).remove(0);
    let machine = |name: &str| {
        let mut machines = world.machines.iter();
        machines.find(|machine| machine.node().name == name).unwrap()
    };
    let file = |uid: &str, node: &str| {
        let volume = world.claim("data").unwrap()["spec"]["volumeName"].clone();
        let folder = machine(node).node().mount_path(uid, volume.as_str().unwrap());
        std::path::PathBuf::from(folder).join("out.txt")
    };
    machine(&node).host().append(&file(&uid, &node), "hello").unwrap();

    // Another pod of the Deployment, where the first one is not.
    let other = if node == "node-a" { "node-b" } else { "node-a" };
    let mut surge = deployment()["spec"]["template"]["spec"].clone();
    surge["nodeName"] = json!(other);
    let surge = json!({ "metadata": { "name": "surge", "namespace": "ns" }, "spec": surge });
    world.store().create(PODS, surge).unwrap();
    let says = |world: &World| {
        told(
            world,
            "surge",
            "FailedAttachVolume",
            &["Multi-Attach error", &first],
        )
    };
    world.until("the pod that has the volume is named", says).await;
    seconds(600).await;
    assert!(!is_running(&world, "surge"));
    world.store().delete(DEPLOYMENTS, "ns", "app", None).unwrap();
    world
        .until("the new pod runs", |world| is_running(world, "surge"))
        .await;
    let [_, uid, node] = pods(&world).remove(0);
    assert_eq!(node, other);
    let found = machine(&node).host().read(&file(&uid, &node)).unwrap();
    assert_eq!(found, "hello\n");
    assert!(world.store().get(NODES, "", other).is_some());
}
