//! Detachments: their requests, calls and errors.

use controller::testing::resources::{ATTACHMENTS, CSI_NODES, SECRETS, VOLUMES};
use controller::testing::seconds;
use serde_json::json;
use tonic::Status;

use crate::world::{ATTACHMENT, FINALIZER, NODE_ID, STATUS, World, volume};

impl World {
    /// The nodes of the ControllerUnpublishVolume calls.
    fn asked_to_leave(&self) -> Vec<String> {
        let calls = &self.driver.state().attaching.unpublished;
        calls.iter().map(|call| call.node_id.clone()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_107_what_may_be_attached_is_detached() {
    let world = World::new();
    let lost = Some(Status::deadline_exceeded("late"));
    world.driver.state().attaching.publish = [lost].into();
    let _process = world.start();
    world.attach();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!world.is_attached());
    world.detach();
    seconds(1).await;
    assert!(world.attachment().is_none());
    assert_eq!(world.driver.count("ControllerUnpublishVolume"), 1);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_108_what_was_never_begun_needs_no_call() {
    let world = World::new();
    world.attach();
    world.change(ATTACHMENTS, "", "a", |attachment| {
        attachment["metadata"]["finalizers"] = json!(["someone.example.com/holds"]);
    });
    world.detach();
    let _process = world.start();
    seconds(10).await;
    assert_eq!(world.driver.state().attaching.unpublished.len(), 0);
    assert!(world.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_109_a_node_that_is_gone_is_known_from_the_annotation() {
    for is_noted in [true, false] {
        let world = World::new();
        let process = world.start();
        world.attach();
        seconds(5).await;
        process.kill().await;
        world.delete(CSI_NODES, "", "n");
        if !is_noted {
            world.change(ATTACHMENTS, "", "a", |attachment| {
                attachment["metadata"]["annotations"] = json!({});
            });
        }
        world.detach();
        let _process = world.start();
        seconds(10).await;
        if is_noted {
            assert!(world.attachment().is_none());
            assert_eq!(world.driver.state().attaching.unpublished[0].node_id, "i-1");
        } else {
            let error = world.error("detachError");
            assert!(
                error.starts_with("cannot tell what the driver calls node n"),
                "{error}"
            );
            assert_eq!(world.driver.count("ControllerUnpublishVolume"), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_150_another_machine_of_the_name_of_the_node_is_left_alone() {
    let world = World::new();
    let _process = world.start();
    world.attach();
    seconds(5).await;
    world.delete(CSI_NODES, "", "n");
    world.node("i-2");
    world.detach();
    seconds(5).await;
    assert!(world.attachment().is_none());
    assert_eq!(world.driver.state().attaching.unpublished[0].node_id, "i-1");
    assert!(world.driver.state().attaching.pairs().is_empty());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_197_a_node_that_the_driver_does_not_know_any_more_is_left_by_its_present_name() {
    for unknown in [
        Status::not_found("no node i-1"),
        Status::invalid_argument("i-1 is no UUID"),
    ] {
        let world = World::new();
        let _process = world.start();
        world.attach();
        seconds(5).await;
        world.delete(CSI_NODES, "", "n");
        world.node("i-2");
        world.driver.state().attaching.unpublish = [Some(unknown)].into();
        world.detach();
        seconds(5).await;
        assert!(world.attachment().is_none());
        assert_eq!(world.asked_to_leave(), ["i-1", "i-2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_197_two_names_of_a_node_are_asked_in_turn_with_the_back_off_of_one() {
    let world = World::new();
    let _process = world.start();
    world.attach();
    seconds(5).await;
    world.delete(CSI_NODES, "", "n");
    world.node("i-2");
    let unknown = || Some(Status::not_found("no such node"));
    world.driver.state().attaching.unpublish = std::iter::repeat_with(unknown).take(20).collect();
    world.detach();
    seconds(40).await;
    assert_eq!(world.asked_to_leave(), ["i-1", "i-2", "i-1", "i-2", "i-1", "i-2"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_110_a_detachment_costs_one_request_and_one_more_where_others_hold_it() {
    for is_held in [false, true] {
        let world = World::new();
        let _process = world.start();
        world.driver.state().attaching.context = [("k".into(), "v".into())].into();
        world.attach();
        seconds(5).await;
        if is_held {
            world.change(ATTACHMENTS, "", "a", |attachment| {
                attachment["metadata"]["finalizers"] = json!(["someone.example.com/holds", FINALIZER]);
            });
        }
        let mark = world.mark();
        world.detach();
        seconds(5).await;
        assert_eq!(world.driver.count("ControllerUnpublishVolume"), 1);
        if is_held {
            assert_eq!(world.requests_since(mark), [STATUS, ATTACHMENT]);
            assert_eq!(world.status(), json!({"attached": false}));
            let left = World::finalizers(&world.attachment().unwrap());
            assert_eq!(left, ["someone.example.com/holds"]);
        } else {
            assert_eq!(world.requests_since(mark), [ATTACHMENT]);
            assert!(world.attachment().is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_111_only_ok_is_the_end_of_a_detachment() {
    let world = World::new();
    let _process = world.start();
    world.attach();
    seconds(5).await;
    let refusals = [Status::not_found("no such volume"), Status::internal("no")];
    world.driver.state().attaching.unpublish = refusals.map(Some).into();
    let mark = world.mark();
    world.detach();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let error = world.status()["detachError"].clone();
    assert_eq!(
        error["message"],
        "rpc error: code = NotFound desc = no such volume"
    );
    assert!(error.get("errorCode").is_none());
    seconds(10).await;
    assert!(world.attachment().is_none());
    assert_eq!(world.requests_since(mark), [STATUS, STATUS, ATTACHMENT]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_112_what_failed_before_the_deletion_does_not_hold_it_back() {
    let world = World::new();
    let refused = || Some(Status::internal("no"));
    world.driver.state().attaching.publish = std::iter::repeat_with(refused).take(20).collect();
    let _process = world.start();
    world.attach();
    // In the middle of a back-off of 256 s.
    seconds(300).await;
    assert_eq!(world.driver.count("ControllerPublishVolume"), 9);
    world.driver.state().attaching.unpublish = [refused()].into();
    world.detach();
    seconds(3).await;
    assert!(world.attachment().is_none(), "at once, and again after 1 s");
    assert_eq!(world.driver.count("ControllerUnpublishVolume"), 2);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_113_a_volume_whose_object_is_gone_is_detached() {
    for (is_noted, is_restarted) in [(true, false), (false, false), (true, true)] {
        let world = World::new();
        let mut process = world.start();
        world.attach();
        seconds(5).await;
        if !is_noted {
            // As upstream leaves it. We see it with its volume before that goes.
            process.kill().await;
            world.change(ATTACHMENTS, "", "a", |attachment| {
                attachment["metadata"]["annotations"] = json!({NODE_ID: "i-1"});
            });
            process = world.start();
            seconds(5).await;
        }
        world.remove_by_force(VOLUMES, "", "v");
        seconds(5).await;
        if is_restarted {
            process.kill().await;
            process = world.start();
        }
        world.detach();
        seconds(5).await;
        assert!(world.attachment().is_none(), "{is_noted} {is_restarted}");
        assert_eq!(world.driver.state().attaching.unpublished[0].volume_id, "vol");
        assert!(process.failure().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_151_the_secret_of_a_volume_whose_object_is_gone_is_remembered() {
    let mut volume = volume();
    volume["spec"]["csi"]["controllerPublishSecretRef"] = json!({"name": "s", "namespace": "default"});
    let world = World::with(volume);
    world.secret();
    let _process = world.start();
    world.attach();
    seconds(5).await;
    world.remove_by_force(VOLUMES, "", "v");
    world.detach();
    seconds(5).await;
    assert!(world.attachment().is_none());
    let secrets = world.driver.state().attaching.unpublished[0].secrets.clone();
    assert_eq!(secrets["password"], "hunter2");
}

#[tokio::test(start_paused = true)]
async fn a_volume_of_which_nothing_is_known_says_what_to_do() {
    let world = World::new();
    world.attach();
    world.change(ATTACHMENTS, "", "a", |attachment| {
        attachment["metadata"]["finalizers"] = json!([FINALIZER]);
    });
    world.remove_by_force(VOLUMES, "", "v");
    world.detach();
    let _process = world.start();
    seconds(10).await;
    let error = world.error("detachError");
    assert!(error.contains("PersistentVolume \"v\" not found"), "{error}");
    assert!(error.contains("detach it by hand"), "{error}");
    // It comes back, say from a backup.
    world.volume(volume());
    seconds(2).await;
    assert!(world.attachment().is_none());
}

/// A ControllerPublishVolume of `vol` to `i-1` that attaches and does not say so.
async fn attached_unseen(world: &World) {
    world.driver.state().attaching.publish = [Some(Status::deadline_exceeded("late"))].into();
    world.attach();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let there = ["i-1".to_owned()].into();
    world.driver.state().attaching.nodes.insert("vol".into(), there);
    assert!(!world.is_attached());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_231_what_may_be_attached_to_another_node_is_detached_before_that_is_forgotten() {
    for unknown in [
        None,
        Some(Status::not_found("no node i-1")),
        Some(Status::invalid_argument("i-1 is no UUID")),
    ] {
        let world = World::new();
        let _process = world.start();
        attached_unseen(&world).await;
        world.delete(CSI_NODES, "", "n");
        world.driver.state().attaching.unpublish = [unknown.clone()].into();
        world.node("i-2");
        seconds(5).await;
        assert!(world.is_attached());
        assert_eq!(world.asked_to_leave(), ["i-1"]);
        world.detach();
        seconds(5).await;
        assert!(world.attachment().is_none());
        assert_eq!(world.asked_to_leave(), ["i-1", "i-2"]);
        if unknown.is_none() {
            assert!(world.driver.state().attaching.pairs().is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_231_another_node_waits_until_the_first_one_is_left() {
    let world = World::new();
    let _process = world.start();
    attached_unseen(&world).await;
    world.delete(CSI_NODES, "", "n");
    let refused = || Some(Status::internal("still busy"));
    world.driver.state().attaching.unpublish = [refused(), refused()].into();
    world.node("i-2");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(
        world.error("attachError").contains("still busy"),
        "{}",
        world.status()
    );
    let noted = || world.attachment().unwrap()["metadata"]["annotations"][NODE_ID].clone();
    assert_eq!(
        (noted(), world.driver.count("ControllerPublishVolume")),
        (json!("i-1"), 1)
    );
    seconds(10).await;
    assert!(world.is_attached());
    assert_eq!((noted(), world.asked_to_leave().len()), (json!("i-2"), 3));
    let pairs = world.driver.state().attaching.pairs();
    assert_eq!(pairs, [("vol".to_owned(), "i-2".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_231_what_may_be_attached_of_a_volume_made_anew_is_detached_by_its_old_handle() {
    let mut first = volume();
    first["spec"]["csi"]["controllerPublishSecretRef"] = json!({"name": "s", "namespace": "default"});
    let world = World::with(first.clone());
    world.secret();
    let _process = world.start();
    attached_unseen(&world).await;
    world.remove_by_force(VOLUMES, "", "v");
    let mut other = first;
    other["spec"]["csi"]["volumeHandle"] = json!("vol-2");
    other["spec"]["csi"]["controllerPublishSecretRef"]["name"] = json!("t");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t", "namespace": "default"},
        "data": {"password": "b3RoZXI="},
    });
    world.create(SECRETS, secret);
    world.volume(other);
    seconds(20).await;
    assert!(world.is_attached());
    {
        let attaching = &world.driver.state().attaching;
        assert_eq!(attaching.unpublished.len(), 1);
        assert_eq!(attaching.unpublished[0].secrets["password"], "hunter2");
        assert_eq!(attaching.published[1].secrets["password"], "other");
    }
    let pairs = world.driver.state().attaching.pairs();
    assert_eq!(pairs, [("vol-2".to_owned(), "i-1".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_247_a_former_node_that_the_driver_always_fails_for_holds_nothing_up() {
    let world = World::new();
    let _process = world.start();
    attached_unseen(&world).await;
    world.delete(CSI_NODES, "", "n");
    let no_such = Status::internal("there is no such SDC");
    let refused = || (0..9).map(|_| Some(no_such.clone())).collect();
    world.driver.state().attaching.unpublish = refused();
    world.node("i-2");
    seconds(900).await;
    assert!(world.is_attached());
    assert_eq!(world.asked_to_leave(), ["i-1"; 9]);
    // The same of a node that has another name by the time of the detachment.
    world.delete(CSI_NODES, "", "n");
    world.node("i-3");
    world.driver.state().attaching.unpublish = refused();
    world.detach();
    seconds(900).await;
    assert!(world.attachment().is_none());
    let left = world.asked_to_leave();
    assert_eq!(
        (&left[9..18], left[18..].concat()),
        (&["i-2"; 9].map(str::to_owned)[..], "i-3".to_owned())
    );
}

/// What is not for the name is waited for.
#[tokio::test(start_paused = true)]
async fn sidecars_case_247_a_former_node_is_not_given_up_for_another_reason() {
    for refusal in [Status::permission_denied("no"), Status::unavailable("not now")] {
        let world = World::new();
        let _process = world.start();
        attached_unseen(&world).await;
        world.delete(CSI_NODES, "", "n");
        let busy = Status::internal("busy");
        let answers = (0..20).map(|number| if number % 5 == 0 { &refusal } else { &busy });
        world.driver.state().attaching.unpublish = answers.map(|status| Some(status.clone())).collect();
        world.node("i-2");
        seconds(7200).await;
        assert!(world.is_attached());
        assert_eq!(world.asked_to_leave(), ["i-1"; 21]);
    }
}
