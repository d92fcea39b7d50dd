//! What the driver lists, compared with what attachments say.

use std::collections::BTreeSet;
use std::time::Duration;

use controller::testing::resources::CSI_NODES;
use controller::testing::seconds;
use csi::v1::controller_service_capability::rpc;
use sandbox::faults::{Call, Fault, Faults, Transport};
use serde_json::json;
use tonic::Status;

use super::Scripted;
use crate::world::{DRIVER, FINALIZER, STATUS, World, volume};

const LISTING: [rpc::Type; 3] = [
    rpc::Type::PublishUnpublishVolume,
    rpc::Type::ListVolumes,
    rpc::Type::ListVolumesPublishedNodes,
];

fn world() -> World {
    let world = World::of(DRIVER, &LISTING);
    world.volume(volume());
    world.node("i-1");
    world
}

impl World {
    /// Where the driver has volume `vol` attached.
    fn nodes(&self) -> BTreeSet<String> {
        let state = self.driver.state();
        state.attaching.nodes.get("vol").cloned().unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_117_a_volume_that_was_detached_by_others_is_attached_again() {
    let world = world();
    let _process = world.start();
    world.attach();
    seconds(5).await;
    world.driver.state().attaching.nodes.clear();
    let mark = world.mark();
    seconds(60).await;
    assert_eq!(world.driver.count("ControllerPublishVolume"), 2);
    assert_eq!(world.nodes(), ["i-1".to_owned()].into());
    assert!(world.requests_since(mark).is_empty(), "nothing has changed");
    seconds(300).await;
    assert_eq!(world.driver.count("ControllerPublishVolume"), 2);
    assert_eq!(world.driver.count("ListVolumes"), 6);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_117_a_volume_that_is_attached_after_all_is_not_waited_for() {
    let world = world();
    world.driver.state().attaching.publish = (0..9).map(|_| Some(Status::internal("no"))).collect();
    let _process = world.start();
    world.attach();
    // In the middle of a back-off of 64 s.
    seconds(70).await;
    assert_eq!(world.driver.count("ControllerPublishVolume"), 7);
    world.driver.state().attaching.publish.clear();
    world
        .driver
        .state()
        .attaching
        .nodes
        .insert("vol".into(), ["i-1".to_owned()].into());
    seconds(51).await;
    assert!(world.is_attached(), "by the comparison after 120 s");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_117_what_changes_while_the_driver_lists_is_no_difference() {
    let world = world();
    world.driver.state().attaching.list_takes = Duration::from_secs(10);
    world.driver.state().attaching.takes = Duration::from_secs(8);
    let _process = world.start();
    // The list of 60 s is without it, and comes when it is attached.
    seconds(59).await;
    world.attach();
    seconds(60).await;
    assert!(world.is_attached());
    assert_eq!(world.driver.count("ControllerPublishVolume"), 1);
    // Attached while the list runs, which shows it before the API server does.
    world.detach();
    seconds(60).await;
    let mark = world.driver.count("ListVolumes");
    while world.driver.count("ListVolumes") == mark {
        seconds(1).await;
    }
    world.attach();
    seconds(120).await;
    assert!(world.is_attached());
    assert_eq!(world.driver.count("ControllerPublishVolume"), 2);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_200_what_is_being_written_down_is_no_difference() {
    let world = world();
    // The status comes long after the call, and the list of 60 s between them.
    let _process = world.start_with(Faults::new(Scripted(|call: &Call| {
        if call.transport == Transport::Kubernetes && call.name.ends_with("volumeattachments/a/status") {
            Fault::Delay(Duration::from_secs(10))
        } else {
            Fault::None
        }
    })));
    seconds(55).await;
    world.attach();
    seconds(60).await;
    assert!(world.is_attached());
    assert_eq!(world.driver.count("ControllerPublishVolume"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_attachment_that_is_listed_is_detached_without_its_finalizer() {
    let world = world();
    let _process = world.start();
    world.attach();
    seconds(5).await;
    world.change(
        controller::testing::resources::ATTACHMENTS,
        "",
        "a",
        |attachment| {
            attachment["metadata"]["finalizers"] = json!(["someone.example.com/holds", FINALIZER]);
        },
    );
    world.detach();
    seconds(5).await;
    assert_eq!(world.status(), json!({"attached": false}));
    let again = ["i-1".to_owned()].into();
    world.driver.state().attaching.nodes.insert("vol".into(), again);
    seconds(60).await;
    assert!(world.nodes().is_empty());
    assert_eq!(world.driver.count("ControllerUnpublishVolume"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_list_comes_in_pages_and_a_broken_one_says_nothing() {
    let mut world = world();
    world.flags = "--max-entries=2 --reconcile-sync=10s".into();
    let _process = world.start();
    world.attach();
    seconds(5).await;
    {
        let attaching = &mut world.driver.state().attaching;
        attaching.page = Some(2);
        for number in 0..5 {
            attaching.nodes.insert(format!("other-{number}"), BTreeSet::new());
        }
    }
    seconds(6).await;
    assert_eq!(world.driver.count("ListVolumes"), 3);
    let asked: Vec<_> = world.driver.state().attaching.listed.clone();
    let tokens: Vec<_> = asked.iter().map(|page| page.starting_token.as_str()).collect();
    assert_eq!(tokens, ["", "2", "4"]);
    assert!(asked.iter().all(|page| page.max_entries == 2));
    // The second page fails.
    world.driver.state().attaching.list = [None, Some(Status::internal("no"))].into();
    seconds(20).await;
    assert_eq!(world.driver.count("ControllerPublishVolume"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_does_not_list_nodes_is_not_asked() {
    let world = World::of(
        DRIVER,
        &[rpc::Type::PublishUnpublishVolume, rpc::Type::ListVolumes],
    );
    let _process = world.start();
    seconds(300).await;
    assert_eq!(world.driver.count("ListVolumes"), 0);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_235_an_error_of_a_difference_goes_with_it() {
    let world = world();
    let _process = world.start();
    world.attach();
    seconds(5).await;
    let there = std::mem::take(&mut world.driver.state().attaching.nodes);
    world.driver.state().attaching.publish = [Some(Status::internal("no"))].into();
    seconds(60).await;
    assert!(world.error("attachError").contains("no"), "{}", world.status());
    // The list was wrong, and is right again.
    world.driver.state().attaching.nodes = there;
    let mark = world.mark();
    seconds(60).await;
    assert_eq!(world.status(), json!({"attached": true}));
    assert_eq!(world.requests_since(mark), [STATUS]);
    assert_eq!(world.driver.count("ControllerPublishVolume"), 2);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_245_what_is_attached_is_not_detached_where_its_node_has_another_name_now() {
    let world = world();
    let _process = world.start();
    world.attach();
    seconds(5).await;
    // The driver's new version names its nodes otherwise, and knows the old names still.
    world.delete(CSI_NODES, "", "n");
    world.node("zone/i-1");
    let listed = BTreeSet::from(["zone/i-1".to_owned()]);
    world
        .driver
        .state()
        .attaching
        .nodes
        .insert("vol".to_owned(), listed.clone());
    seconds(300).await;
    assert!(world.is_attached());
    let counts =
        ["ControllerUnpublishVolume", "ControllerPublishVolume"].map(|call| world.driver.count(call));
    assert_eq!((counts, world.nodes()), ([0, 2], listed));
}
