//! The finalizer of volumes.

use controller::testing::resources::{ATTACHMENTS, VOLUMES};
use controller::testing::seconds;
use csi::v1::controller_service_capability::rpc;
use sandbox::faults::{Call, Fault, Faults, Refusal};
use serde_json::json;

use super::Scripted;
use crate::world::{ATTACHMENT, MIGRATED_DRIVER, PROVISIONER, VOLUME, World, attachment, in_tree};

#[tokio::test(start_paused = true)]
async fn sidecars_case_116_a_volume_is_let_go_once_nothing_has_it_attached() {
    let world = World::new();
    let _process = world.start();
    world.attach();
    // Another attacher's counts too.
    let mut other = attachment();
    other["metadata"]["name"] = json!("b");
    other["spec"]["attacher"] = json!("other.csi");
    world.create(ATTACHMENTS, other);
    seconds(5).await;
    world.delete(VOLUMES, "", "v");
    let mark = world.mark();
    world.detach();
    seconds(5).await;
    assert!(world.get(VOLUMES, "", "v").is_some());
    assert_eq!(world.requests_since(mark), [ATTACHMENT]);
    let mark = world.mark();
    world.delete(ATTACHMENTS, "", "b");
    seconds(5).await;
    assert!(world.get(VOLUMES, "", "v").is_none());
    assert_eq!(world.requests_since(mark), [VOLUME]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_116_a_lost_race_for_the_finalizers_is_run_again() {
    let world = World::new();
    let lost = |call: &Call| match call.name.starts_with("PATCH /api/v1/persistentvolumes") {
        true => Fault::Refuse(Refusal::Conflict),
        false => Fault::None,
    };
    let process = world.start_with(Faults::new(Scripted(lost)));
    world.delete(VOLUMES, "", "v");
    seconds(5).await;
    assert!(world.get(VOLUMES, "", "v").is_some());
    process.kill().await;
    let _process = world.start();
    seconds(5).await;
    assert!(world.get(VOLUMES, "", "v").is_none());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_152_the_provisioner_goes_first() {
    let world = World::new();
    world.change(VOLUMES, "", "v", |volume| {
        volume["metadata"]["finalizers"]
            .as_array_mut()
            .unwrap()
            .push(json!(PROVISIONER));
    });
    let _process = world.start();
    world.delete(VOLUMES, "", "v");
    seconds(30).await;
    assert!(world.requests().is_empty(), "it takes both away with one request");
    // Upstream's takes its own alone.
    world.change(VOLUMES, "", "v", |volume| {
        let finalizers = volume["metadata"]["finalizers"].as_array_mut().unwrap();
        finalizers.retain(|name| name != PROVISIONER);
    });
    seconds(5).await;
    assert!(world.get(VOLUMES, "", "v").is_none());
    assert_eq!(world.requests(), [VOLUME]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_124_a_volume_that_was_handed_back_to_its_plugin_is_let_go() {
    let world = World::of(MIGRATED_DRIVER, &[rpc::Type::PublishUnpublishVolume]);
    let finalizer = "external-attacher/ebs-csi-aws-com";
    let mut volume = in_tree();
    volume["metadata"] = json!({
        "name": "v", "finalizers": [finalizer],
        "annotations": {"pv.kubernetes.io/migrated-to": MIGRATED_DRIVER},
    });
    world.volume(volume);
    let _process = world.start();
    seconds(5).await;
    assert!(world.requests().is_empty());
    world.change(VOLUMES, "", "v", |volume| {
        volume["metadata"]["annotations"] = json!({});
    });
    seconds(5).await;
    assert_eq!(world.requests(), [VOLUME]);
    let volume = world.get(VOLUMES, "", "v").unwrap();
    assert!(!World::finalizers(&volume).contains(&finalizer.to_owned()));
}
