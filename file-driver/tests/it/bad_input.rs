//! Bad input: one message that names the field, and nothing made.

use csi::v1::volume_capability::AccessType;
use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::*;
use tonic::Code;

use crate::world::{
    MIB, World, at_least, block, capability, mounted, of_snapshot, of_volume, refused, volume,
};

#[tokio::test]
async fn a_field_that_is_missing_is_named() {
    let world = World::new();
    let driver = world.start();
    let code = Code::InvalidArgument;
    refused(driver.create(volume("")).await, code, "name is missing");
    let mut bare = volume("v");
    bare.volume_capabilities.clear();
    refused(driver.create(bare).await, code, "volume_capabilities is missing");
    let source = of_snapshot("v", "");
    refused(driver.create(source).await, code, "snapshot_id is missing");
    let source = of_volume("v", "");
    refused(driver.create(source).await, code, "volume_id is missing");
    let mut source = volume("v");
    source.volume_content_source = Some(VolumeContentSource::default());
    refused(driver.create(source).await, code, "volume_content_source has");
    refused(driver.delete("").await, code, "volume_id is missing");
    refused(driver.publish("", false).await, code, "volume_id is missing");
    refused(driver.unpublish("", "").await, code, "volume_id is missing");
    refused(driver.expand("", MIB).await, code, "volume_id is missing");
    refused(
        driver.modify("", "comment", "a").await,
        code,
        "volume_id is missing",
    );
    refused(driver.take("", "v").await, code, "name is missing");
    refused(driver.take("s", "").await, code, "source_volume_id is missing");
    refused(driver.delete_snapshot("").await, code, "snapshot_id is missing");
    refused(driver.take_group("", &["v"]).await, code, "name is missing");
    refused(
        driver.take_group("g", &[]).await,
        code,
        "source_volume_ids is missing",
    );
    refused(
        driver.get_group("", &[]).await,
        code,
        "group_snapshot_id is missing",
    );
    refused(
        driver.delete_group("", &[]).await,
        code,
        "group_snapshot_id is missing",
    );
    assert!(world.picture().is_empty());
}

#[tokio::test]
async fn a_field_of_the_controller_that_cannot_be_is_named() {
    let world = World::new();
    let driver = world.start();
    let code = Code::InvalidArgument;
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let before = world.picture();
    let mut negative = volume("n");
    negative.capacity_range = at_least(-1);
    refused(driver.create(negative).await, code, "capacity_range has");
    let mut several = volume("n");
    let nodes = capability(AccessType::Block(Default::default()), Mode::MultiNodeMultiWriter);
    several.volume_capabilities = vec![block(), nodes];
    refused(driver.create(several).await, code, "volume_capabilities has");
    let mut unknown = volume("n");
    unknown.parameters.insert("type".to_owned(), "gp3".to_owned());
    refused(
        driver.create(unknown).await,
        code,
        "parameters has the unknown key \"type\"",
    );
    let mut unknown = volume("n");
    unknown
        .mutable_parameters
        .insert("iops".to_owned(), "1".to_owned());
    refused(driver.create(unknown).await, code, "mutable_parameters has");
    refused(driver.modify(&id, "iops", "1").await, code, "\"iops\"");
    let sizeless = ControllerExpandVolumeRequest {
        volume_id: id.clone(),
        ..Default::default()
    };
    let reply = driver
        .channel
        .controller()
        .controller_expand_volume(sizeless)
        .await;
    refused(reply, code, "capacity_range is missing");
    refused(driver.expand(&id, i64::MAX).await, Code::OutOfRange, "bytes");
    refused(driver.take_group("g", &[&id, &id]).await, code, "twice");
    let listed = ListVolumesRequest {
        max_entries: -1,
        ..Default::default()
    };
    let reply = driver.channel.controller().list_volumes(listed).await;
    refused(reply, code, "max_entries");
    let listed = ListVolumesRequest {
        starting_token: "1".to_owned(),
        ..Default::default()
    };
    let reply = driver.channel.controller().list_volumes(listed).await;
    refused(reply, Code::Aborted, "starting_token");
    assert_eq!(world.picture(), before);
}

#[tokio::test]
async fn no_text_of_a_request_leads_out_of_the_folder() {
    let world = World::new();
    let driver = world.start();
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("record.json"), "{}").unwrap();
    for text in ["../outside", "/etc", "..", ".", "a/b", "vol-..", "\0", "é"] {
        let made = driver.create(volume(text)).await.unwrap().volume_id;
        let taken = driver.take(text, &made).await.unwrap().snapshot_id;
        let group = driver.take_group(text, &[&made]).await.unwrap();
        refused(driver.publish(text, false).await, Code::NotFound, "volume");
        refused(driver.expand(text, MIB).await, Code::NotFound, "volume");
        refused(
            driver.modify(text, "comment", "a").await,
            Code::NotFound,
            "volume",
        );
        refused(driver.take("s", text).await, Code::NotFound, "volume");
        refused(driver.take_group("s", &[text]).await, Code::NotFound, "volume");
        let source = of_snapshot("s", text);
        refused(driver.create(source).await, Code::NotFound, "snapshot");
        refused(
            driver.create(of_volume("s", text)).await,
            Code::NotFound,
            "volume",
        );
        refused(driver.get_group(text, &[]).await, Code::NotFound, "group");
        driver.delete(text).await.unwrap();
        driver.delete_snapshot(text).await.unwrap();
        driver.delete_group(text, &[]).await.unwrap();
        driver.unpublish(text, "").await.unwrap();
        driver.delete_group(&group.group_snapshot_id, &[]).await.unwrap();
        driver.delete_snapshot(&taken).await.unwrap();
        driver.delete(&made).await.unwrap();
    }
    assert!(outside.join("record.json").exists());
    assert!(world.picture().is_empty());
}

#[tokio::test]
async fn another_node_is_not_found() {
    let world = World::new();
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let request = ControllerPublishVolumeRequest {
        volume_id: id,
        node_id: "node-b".to_owned(),
        volume_capability: Some(mounted()),
        ..Default::default()
    };
    let reply = driver
        .channel
        .controller()
        .controller_publish_volume(request)
        .await;
    refused(reply, Code::NotFound, "node-b");
}
