//! Expansions that cannot be, or that are disturbed midway: each is told where its user looks, and nothing is
//! stuck, repeated or lost.

use std::time::Duration;

use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use serde_json::{Value, json};

use crate::fleet::Process;
use crate::world::{CLAIMS, VOLUMES, World};

/// A world with the process at work. Modifying a volume takes two seconds.
async fn started() -> (World, Process) {
    let world = World::new(3, Ec2Options::default()).await;
    let process = world.start(Faults::none()).await;
    seconds(5).await;
    (world, process)
}

async fn seconds(number: u64) {
    tokio::time::sleep(Duration::from_secs(number)).await;
}

/// What the API answers to the user who asks for this size.
fn refusal(world: &World, claim: &str, size: &str) -> String {
    let ask = |claim: &mut Value| claim["spec"]["resources"]["requests"]["storage"] = json!(size);
    let refused = world.store().update(CLAIMS, "ns", claim, ask);
    refused.unwrap_err().to_string()
}

fn stage(world: &World) -> String {
    let claim = world.claim("p").unwrap();
    claim["status"]["allocatedResourceStatuses"]["storage"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The message of a condition of the claim `p`; empty where it has none.
fn condition(world: &World, kind: &str) -> String {
    let claim = world.claim("p").unwrap();
    let conditions = claim["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition["type"] == kind);
    found.map_or_else(String::new, |condition| {
        condition["message"].as_str().unwrap_or_default().to_owned()
    })
}

fn told(world: &World, object: &str, reason: &str) -> Vec<String> {
    let events = world.events(object).into_iter();
    events
        .filter(|(of, _)| of == reason)
        .map(|(_, message)| message)
        .collect()
}

/// Requests to the API that are no list, watch, lease or event.
fn work(world: &World) -> usize {
    let audit = world.api.audit();
    let work = audit
        .iter()
        .filter(|request| !matches!(request.verb, "list" | "watch"));
    work.filter(|request| request.resource != "events").count()
}

fn expansions(process: &Process) -> usize {
    let calls = process.faults.calls();
    let is_one = |name: &str| name.ends_with("/ControllerExpandVolume");
    calls.iter().filter(|(call, _)| is_one(&call.name)).count()
}

#[tokio::test(start_paused = true)]
async fn a_class_that_forbids_expansion_is_told_to_whoever_asks() {
    let (world, process) = started().await;
    let volume = world.ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    world.add_claim_of_class("f", &volume, "Filesystem", "fixed");
    seconds(5).await;
    let text = refusal(&world, "f", "12Gi");
    assert!(
        text.contains(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
             support resize"
        ),
        "{text}"
    );
    seconds(60).await;
    assert_eq!((expansions(&process), world.ec2.count("ModifyVolume")), (0, 0));
    // The class may be changed: then it is no other request that works.
    let classes = sandbox::kube::GroupResource::new("storage.k8s.io", "storageclasses");
    let allow = |class: &mut Value| class["allowVolumeExpansion"] = json!(true);
    world.store().update(classes, "", "fixed", allow).unwrap();
    world.expand("f", "12Gi");
    world
        .until("expanded", |world| world.is_expanded("f", "12Gi"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_size_that_is_smaller_or_no_size_is_told_to_whoever_asks() {
    let (world, process) = started().await;
    let rows = [
        ("9Gi", "field can not be less than status.capacity"),
        ("0", "must be greater than zero"),
        ("-5Gi", "must be greater than zero"),
        ("many", "quantities must match the regular expression"),
    ];
    for (size, says) in rows {
        let text = refusal(&world, "p", size);
        assert!(text.contains(says), "{size}: {text}");
        assert!(text.contains("spec.resources"), "{size}: {text}");
    }
    seconds(60).await;
    assert_eq!((expansions(&process), world.ec2.count("ModifyVolume")), (0, 0));
}

/// journeys case 37.
#[tokio::test(start_paused = true)]
async fn a_size_past_the_limit_of_ec2_is_told_on_the_claim_and_can_be_taken_back() {
    let (world, process) = started().await;
    // Past the 65,536 GiB of gp3, and past what any volume can have.
    let rows = [
        (
            "65537Gi",
            "Volume of 65537GiB is too large for volume type gp3; maximum is 65536GiB",
        ),
        ("3Ei", "3221225472"),
    ];
    for (size, says) in rows {
        world.expand("p", size);
        world
            .until("it is infeasible", |world| {
                let claim = world.claim("p").unwrap();
                claim["status"]["allocatedResources"]["storage"] == size
                    && stage(world) == "ControllerResizeInfeasible"
            })
            .await;
        seconds(1).await;
        let events = told(&world, "p", "VolumeResizeFailed");
        assert!(
            events.iter().any(|text| text.contains(says)),
            "{size}: {events:#?}"
        );
        let condition = condition(&world, "ControllerResizeError");
        assert!(condition.contains(says), "{size}: {condition}");
        let (calls, requests) = (expansions(&process), work(&world));
        seconds(240).await;
        assert_eq!((expansions(&process), work(&world)), (calls, requests), "{size}");
    }
    assert_eq!(world.modifications(), Vec::<u64>::new());
    assert_eq!(
        world.volume("pv-p").unwrap()["spec"]["capacity"]["storage"],
        "10Gi"
    );
    world.expand("p", "12Gi");
    world
        .until("expanded", |world| world.is_expanded("p", "12Gi"))
        .await;
    assert_eq!(world.modifications(), [12]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_deleted_midway_leaves_nothing_to_do() {
    let (world, process) = started().await;
    world.expand("p", "12Gi");
    world
        .until("EC2 modifies", |world| world.modifications() == [12])
        .await;
    world.store().delete(CLAIMS, "ns", "p", None).unwrap();
    world
        .until("the claim is gone", |world| world.claim("p").is_none())
        .await;
    seconds(60).await;
    let requests = work(&world);
    assert_eq!(told(&world, "p", "VolumeResizeFailed"), Vec::<String>::new());
    assert_eq!(expansions(&process), 1);
    let volume = world.volume("pv-p").unwrap();
    assert_eq!(volume["status"]["phase"], "Released", "{volume:#}");
    seconds(24 * 3_600).await;
    assert_eq!((work(&world), expansions(&process)), (requests, 1));
    assert_eq!(world.modifications(), [12]);
}

/// Edits of others while the call runs: conflicts cost a request, never a second call.
#[tokio::test(start_paused = true)]
async fn a_claim_and_a_volume_that_are_edited_midway_lose_no_edit_and_cost_no_second_call() {
    let (world, process) = started().await;
    world.expand("p", "12Gi");
    world
        .until("EC2 modifies", |world| world.modifications() == [12])
        .await;
    let label = |object: &mut Value| object["metadata"]["labels"] = json!({ "edited": "midway" });
    let policy = |volume: &mut Value| volume["spec"]["persistentVolumeReclaimPolicy"] = json!("Delete");
    world.store().update(CLAIMS, "ns", "p", label).unwrap();
    world.store().update(VOLUMES, "", "pv-p", label).unwrap();
    world.store().update(VOLUMES, "", "pv-p", policy).unwrap();
    world
        .until("expanded", |world| world.is_expanded("p", "12Gi"))
        .await;
    seconds(60).await;
    assert_eq!(expansions(&process), 1);
    assert_eq!(world.modifications(), [12]);
    let (claim, volume) = (world.claim("p").unwrap(), world.volume("pv-p").unwrap());
    assert_eq!(claim["metadata"]["labels"]["edited"], "midway");
    assert_eq!(volume["metadata"]["labels"]["edited"], "midway");
    assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Delete");
    assert_eq!(told(&world, "p", "VolumeResizeFailed"), Vec::<String>::new());
}

/// Somebody writes a capacity into the volume by hand: what EC2 has is asked, not what the volume says.
#[tokio::test(start_paused = true)]
async fn a_volume_whose_capacity_is_edited_by_hand_is_still_expanded() {
    let (world, _process) = started().await;
    let claimed =
        |size: &'static str| move |volume: &mut Value| volume["spec"]["capacity"]["storage"] = json!(size);
    world
        .store()
        .update(VOLUMES, "", "pv-p", claimed("12Gi"))
        .unwrap();
    world.expand("p", "12Gi");
    world
        .until("expanded", |world| world.is_expanded("p", "12Gi"))
        .await;
    assert_eq!(world.modifications(), [12]);
    world.expand("p", "13Gi");
    world
        .until("EC2 modifies", |world| world.modifications() == [12, 13])
        .await;
    world
        .store()
        .update(VOLUMES, "", "pv-p", claimed("11Gi"))
        .unwrap();
    world
        .until("expanded", |world| world.is_expanded("p", "13Gi"))
        .await;
    assert_eq!(world.modifications(), [12, 13]);
}

/// A volume that is given to another claim midway is not touched for this one.
#[tokio::test(start_paused = true)]
async fn a_volume_that_is_taken_away_midway_is_left_alone() {
    let (world, process) = started().await;
    world.expand("p", "12Gi");
    world
        .until("EC2 modifies", |world| world.modifications() == [12])
        .await;
    let taken = |volume: &mut Value| volume["spec"]["claimRef"]["uid"] = json!("another");
    world.store().update(VOLUMES, "", "pv-p", taken).unwrap();
    seconds(600).await;
    assert_eq!(
        world.volume("pv-p").unwrap()["spec"]["claimRef"]["uid"],
        "another"
    );
    assert_eq!(expansions(&process), 1);
    let requests = work(&world);
    seconds(24 * 3_600).await;
    assert_eq!((work(&world), expansions(&process)), (requests, 1));
}

/// journeys case 35.
#[tokio::test(start_paused = true)]
async fn a_kubelet_that_never_comes_is_told_on_the_claim_and_costs_nothing() {
    let (world, process) = started().await;
    world.node.abort();
    world.expand("p", "12Gi");
    world
        .until("it waits for the node", |world| {
            stage(world) == "NodeResizePending"
        })
        .await;
    let text = condition(&world, "FileSystemResizePending");
    assert_eq!(
        text,
        "Waiting for user to (re-)start a pod to finish file system resize of volume on node."
    );
    assert_eq!(told(&world, "p", "FileSystemResizeRequired").len(), 1);
    seconds(10).await;
    let requests = work(&world);
    seconds(12 * 3_600).await;
    // A further growth waits for the node too, and a restart changes nothing.
    world.expand("p", "13Gi");
    seconds(600).await;
    drop(process);
    let process = world.start(Faults::none()).await;
    seconds(12 * 3_600).await;
    // Nine access reviews, and which kinds are served in three groups.
    let questions = 12;
    assert_eq!(work(&world), requests + questions);
    assert_eq!((expansions(&process), world.ec2.count("ModifyVolume")), (0, 1));
    assert_eq!(world.claim("p").unwrap()["status"]["capacity"]["storage"], "10Gi");
    let _node = world.start_node();
    world
        .until("expanded", |world| world.is_expanded("p", "13Gi"))
        .await;
    assert_eq!(world.modifications(), [12, 13]);
}
