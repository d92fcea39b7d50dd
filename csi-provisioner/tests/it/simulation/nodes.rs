//! Volumes for the node of their first consumer (sidecars.md 2.6).

use controller::testing::resources::STORAGE_CLASSES;
use controller::testing::seconds;
use serde_json::json;
use tonic::Status;

use crate::world::{CSI_NODES, NODES, World, ZONE};

/// The zones in which the volumes were asked for first.
fn zones(world: &World) -> Vec<String> {
    let state = world.driver.state();
    let first = |request: &csi::v1::CreateVolumeRequest| {
        request.accessibility_requirements.as_ref().unwrap().preferred[0].segments[ZONE].clone()
    };
    state.volumes.created.iter().map(first).collect()
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_17_a_claim_waits_for_its_node() {
    let world = World::with_nodes();
    let _process = world.start();
    seconds(1).await;
    let mark = world.mark();
    let name = world.claim(|_| {});
    world.select("");
    seconds(30).await;
    assert_eq!((world.requests_since(mark).len(), world.calls()), (0, [0, 0]));
    world.select("n2");
    seconds(5).await;
    assert_eq!(zones(&world), ["b"]);
    let affinity = world.volume(&name).unwrap()["spec"]["nodeAffinity"].clone();
    let expression = &affinity["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
    assert_eq!(
        (&expression["key"], &expression["values"][0]),
        (&ZONE.into(), &"b".into())
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_196_a_volume_is_for_all_nodes_where_places_are_not_looked_at() {
    for (flags, tells, is_placed) in [
        ("", true, true),
        ("--feature-gates=Topology=false", true, false),
        ("", false, false),
    ] {
        let mut world = World::with_nodes();
        world.flags = flags.to_owned();
        world.driver.state().volumes.have_topology = tells;
        let segments = [(ZONE.to_owned(), "b".to_owned())].into();
        world.driver.state().volumes.places = Some(vec![csi::v1::Topology { segments }]);
        let _process = world.start();
        let name = world.claim(|_| {});
        world.select("n2");
        seconds(5).await;
        let volume = world.volume(&name).unwrap();
        assert_eq!(
            volume["spec"]["nodeAffinity"].is_object(),
            is_placed,
            "{flags} {tells}"
        );
        let asked = world.driver.state().volumes.created[0].clone();
        assert_eq!(
            asked.accessibility_requirements.is_some(),
            is_placed,
            "{flags} {tells}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_51_54_a_node_whose_driver_is_gone_is_given_up_after_a_while() {
    let world = World::with_nodes();
    world.remove_by_force(CSI_NODES, "", "n1");
    let _process = world.start();
    world.claim(|_| {});
    world.select("n1");
    seconds(15).await;
    assert_eq!(world.selected().as_deref(), Some("n1"));
    seconds(10).await;
    assert_eq!((world.selected(), world.calls()), (None, [0, 0]));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_52_a_node_that_is_gone_is_given_up_after_a_while() {
    let world = World::with_nodes();
    world.remove_by_force(NODES, "", "n1");
    let _process = world.start();
    world.claim(|_| {});
    world.select("n1");
    seconds(25).await;
    assert_eq!(world.selected().as_deref(), Some("n1"));
    seconds(10).await;
    assert_eq!((world.selected(), world.calls()), (None, [0, 0]));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_186_each_node_that_is_gone_has_its_own_time() {
    let world = World::with_nodes();
    for node in ["n1", "n2"] {
        world.remove_by_force(NODES, "", node);
    }
    let _process = world.start();
    world.claim(|_| {});
    world.select("n1");
    seconds(25).await;
    world.select("n2");
    seconds(25).await;
    assert_eq!(world.selected().as_deref(), Some("n2"));
    let told = world.events();
    assert!(told.iter().any(|event| event.message.contains("n2")), "{told:?}");
    seconds(10).await;
    assert_eq!((world.selected(), world.calls()), (None, [0, 0]));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_53_a_running_request_outlives_its_node() {
    let world = World::with_nodes();
    world
        .driver
        .refuse_volumes(&Status::deadline_exceeded("later"), 4);
    let _process = world.start();
    world.claim(|_| {});
    world.select("n1");
    seconds(1).await;
    world.remove_by_force(NODES, "", "n1");
    world.remove_by_force(CSI_NODES, "", "n1");
    seconds(60).await;
    assert_eq!(zones(&world), ["a"; 5]);
    assert_eq!(
        (world.selected().as_deref(), world.phase("c").as_str()),
        (Some("n1"), "Bound")
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_142_a_driver_that_registers_late_is_noticed_at_once() {
    let world = World::with_nodes();
    world.node("n3", "c");
    let _process = world.start();
    world.claim(|_| {});
    world.select("n3");
    seconds(10).await;
    assert_eq!(world.calls(), [0, 0]);
    world.register("n3");
    seconds(1).await;
    assert_eq!(zones(&world), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_55_places_that_say_nothing_make_a_volume_without_affinity() {
    let world = World::with_nodes();
    world.driver.state().volumes.places = Some(vec![csi::v1::Topology::default()]);
    let _process = world.start();
    let name = world.claim(|_| {});
    world.select("n1");
    seconds(5).await;
    assert!(world.volume(&name).unwrap()["spec"].get("nodeAffinity").is_none());
    assert_eq!(world.phase("c"), "Bound");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_215_labels_of_the_node_that_come_late_are_noticed_at_once() {
    let world = World::with_nodes();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n3"}});
    world.create(NODES, node);
    world.register("n3");
    let _process = world.start();
    world.claim(|_| {});
    world.select("n3");
    seconds(100).await;
    assert_eq!(world.calls(), [0, 0]);
    world.change(NODES, "", "n3", |node| {
        node["metadata"]["labels"] = json!({ZONE: "c"});
    });
    seconds(1).await;
    assert_eq!(zones(&world), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_216_the_first_node_of_the_driver_is_noticed_at_once() {
    let world = World::new();
    world.driver.state().volumes.have_topology = true;
    let _process = world.start();
    world.claim(|_| {});
    world.node("n1", "a");
    seconds(100).await;
    assert_eq!(world.calls(), [0, 0]);
    world.register("n1");
    seconds(1).await;
    assert_eq!(zones(&world), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_252_the_first_place_for_a_claim_without_a_node_is_noticed_at_once() {
    let another = |world: &World| {
        world.node("n2", "b");
        world.register("n2");
    };
    let label = |world: &World| {
        world.change(NODES, "", "n1", |node| {
            node["metadata"]["labels"] = json!({ZONE: "b"});
        });
    };
    let places: [&dyn Fn(&World); 2] = [&another, &label];
    for (number, place) in places.into_iter().enumerate() {
        let world = World::new();
        world.driver.state().volumes.have_topology = true;
        world.create(
            NODES,
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}),
        );
        world.register("n1");
        let _process = world.start();
        world.claim(|_| {});
        seconds(100).await;
        assert_eq!(world.calls(), [0, 0], "{number}");
        place(&world);
        seconds(1).await;
        assert_eq!(zones(&world), ["b"], "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_251_a_class_that_is_edited_is_tried_at_once() {
    let of_zones = |zones: &[&str]| json!([{"matchLabelExpressions": [{"key": ZONE, "values": zones}]}]);
    let world = World::with_nodes();
    world.change(STORAGE_CLASSES, "", "s", |class| {
        class["allowedTopologies"] = of_zones(&["a"]);
    });
    let _process = world.start();
    world.claim(|_| {});
    world.select("n2");
    seconds(100).await;
    assert_eq!(world.calls(), [0, 0]);
    world
        .driver
        .refuse_volumes(&Status::invalid_argument("no such option"), 1);
    world.change(STORAGE_CLASSES, "", "s", |class| {
        class["allowedTopologies"] = of_zones(&["a", "b"]);
    });
    seconds(1).await;
    assert_eq!(world.calls(), [1, 0]);
    world.change(STORAGE_CLASSES, "", "s", |class| {
        class["mountOptions"] = json!(["noatime"]);
    });
    seconds(2).await;
    assert_eq!((world.calls(), world.phase("c").as_str()), ([2, 0], "Bound"));
}
