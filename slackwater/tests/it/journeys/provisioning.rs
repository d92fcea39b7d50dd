//! Claims and their classes.

use serde_json::{Value, json};

use super::{at_work, claim, class, cluster, handle, is_running, phase, pod, seconds, told};

#[tokio::test(start_paused = true)]
async fn journeys_case_7_a_parameter_that_is_none_is_named_and_nothing_is_made() {
    let (world, _process) = cluster().await;
    class(
        &world,
        "wrong",
        &json!({ "parameters": { "type": "gp3", "colour": "red" } }),
    );
    claim(&world, "data", "wrong", "4Gi", &Value::Null);
    pod(&world, "data", false);
    let says = |world: &crate::world::World| told(world, "data", "ProvisioningFailed", &["colour"]);
    world.until("the parameter is named", says).await;
    seconds(60).await;
    assert_eq!(phase(&world, "data"), "Pending");
    assert_eq!(world.ec2.count("CreateVolume"), 0);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_8_a_claim_without_its_first_pod_costs_nothing() {
    let (world, _process) = cluster().await;
    seconds(10).await;
    let before = world.ec2.calls().len();
    claim(&world, "data", "late", "4Gi", &Value::Null);
    seconds(60).await;
    assert_eq!(phase(&world, "data"), "Pending");
    let events = world.events("data");
    let waits = events
        .iter()
        .filter(|(reason, _)| reason == "WaitForFirstConsumer");
    assert_eq!((waits.count(), events.len()), (1, 1), "{events:?}");
    assert_eq!(world.ec2.calls().len(), before);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_9_a_class_of_another_zone_makes_nothing_where_the_pod_must_run() {
    let (world, _process) = cluster().await;
    let zone = |zone: &str| {
        let key = "topology.ebs.csi.aws.com/zone";
        json!({ "allowedTopologies": [{ "matchLabelExpressions": [{ "key": key, "values": [zone] }] }] })
    };
    class(&world, "elsewhere", &zone("us-east-1b"));
    class(&world, "here", &zone("us-east-1a"));
    claim(&world, "far", "elsewhere", "4Gi", &Value::Null);
    pod(&world, "far", false);
    claim(&world, "near", "here", "4Gi", &Value::Null);
    pod(&world, "near", false);
    world
        .until("the other pod runs", |world| is_running(world, "near"))
        .await;
    seconds(60).await;
    assert_eq!(
        (phase(&world, "far"), is_running(&world, "far")),
        ("Pending".to_owned(), false)
    );
    assert_eq!(world.done("CreateVolume"), 1);
    assert_eq!(
        world.ec2.state().volumes[&handle(&world, "near")].zone,
        "us-east-1a"
    );
}

#[tokio::test(start_paused = true)]
async fn journeys_case_6_a_node_bears_the_zone_under_both_names() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "4Gi", &Value::Null).await;
    let nodes = sandbox::kube::GroupResource::new("", "nodes");
    let node = world.store().get(nodes, "", "node-a").unwrap();
    let labels = &node.value()["metadata"]["labels"];
    for key in ["topology.ebs.csi.aws.com/zone", "topology.kubernetes.io/zone"] {
        assert_eq!(labels[key], "us-east-1a", "{key}");
    }
}
