//! Volumes from the controller's side.

use std::os::unix::fs::{FileExt, MetadataExt};

use csi::v1::*;
use tonic::Code;

use crate::world::{MIB, NODE, World, at_least, mounted, of_snapshot, of_volume, refused, volume};

#[tokio::test]
async fn a_volume_is_a_sparse_file_and_made_once() {
    let world = World::new();
    let driver = world.start();
    let made = driver.create(volume("a/../b")).await.unwrap();
    assert_eq!(made.capacity_bytes, MIB);
    let file = std::fs::metadata(world.data(&made.volume_id)).unwrap();
    assert_eq!((file.len(), file.blocks()), (1 << 20, 0));
    assert_eq!(driver.create(volume("a/../b")).await.unwrap(), made);
    assert_eq!(driver.volumes().await, std::slice::from_ref(&made.volume_id));
    let mut larger = volume("a/../b");
    larger.capacity_range = at_least(2 * MIB);
    refused(driver.create(larger).await, Code::AlreadyExists, "a/../b");

    drop(driver);
    let driver = world.start();
    assert_eq!(driver.create(volume("a/../b")).await.unwrap(), made);
    driver.delete(&made.volume_id).await.unwrap();
    driver.delete(&made.volume_id).await.unwrap();
    assert!(world.picture().is_empty());
}

#[tokio::test]
async fn copies_have_the_data_and_their_own_size() {
    let world = World::new();
    let driver = world.start();
    let source = driver.create(volume("source")).await.unwrap().volume_id;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(world.data(&source))
        .unwrap();
    file.write_all_at(b"words", 70_000).unwrap();
    let snapshot = driver.take("s", &source).await.unwrap();
    file.write_all_at(b"later", 70_000).unwrap();

    let mut larger = of_snapshot("restored", &snapshot.snapshot_id);
    larger.capacity_range = at_least(3 * MIB);
    let restored = driver.create(larger).await.unwrap();
    let cloned = driver.create(of_volume("cloned", &source)).await.unwrap();
    assert_eq!((restored.capacity_bytes, cloned.capacity_bytes), (3 * MIB, MIB));
    for (id, words) in [(&restored.volume_id, "words"), (&cloned.volume_id, "later")] {
        let content = std::fs::read(world.data(id)).unwrap();
        assert_eq!(&content[70_000..70_005], words.as_bytes());
        assert!(std::fs::metadata(world.data(id)).unwrap().blocks() * 512 < 1 << 18);
    }
    let of_restored = restored.content_source.unwrap().r#type.unwrap();
    let expected = volume_content_source::SnapshotSource {
        snapshot_id: snapshot.snapshot_id.clone(),
    };
    assert_eq!(of_restored, volume_content_source::Type::Snapshot(expected));

    // The source may go: copies are their own.
    driver.delete(&source).await.unwrap();
    driver.delete_snapshot(&snapshot.snapshot_id).await.unwrap();
    let mut again = of_snapshot("restored", &snapshot.snapshot_id);
    again.capacity_range = at_least(3 * MIB);
    let again = driver.create(again).await.unwrap();
    assert_eq!(again.volume_id, restored.volume_id);
    let gone = of_snapshot("other", &snapshot.snapshot_id);
    refused(driver.create(gone).await, Code::NotFound, "snapshot");
    refused(
        driver.create(of_volume("o", &source)).await,
        Code::NotFound,
        "volume",
    );
    let elsewhere = driver.create(of_volume("cloned", &restored.volume_id)).await;
    refused(elsewhere, Code::AlreadyExists, "source");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new();
    let driver = world.start();
    for name in ["a", "b", "c", "d", "e"] {
        driver.create(volume(name)).await.unwrap();
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListVolumesRequest {
            max_entries: 2,
            starting_token: token,
        };
        let answer = driver.channel.controller().list_volumes(request).await;
        let page = answer.unwrap().into_inner();
        seen.extend(
            page.entries
                .into_iter()
                .map(|entry| entry.volume.unwrap().volume_id),
        );
        token = page.next_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, driver.volumes().await);
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn a_published_volume_stays() {
    let mut world = World::new();
    world.config.max_volumes = 1;
    let driver = world.start();
    let one = driver.create(volume("one")).await.unwrap().volume_id;
    let two = driver.create(volume("two")).await.unwrap().volume_id;
    driver.publish(&one, true).await.unwrap();
    driver.publish(&one, true).await.unwrap();
    refused(
        driver.publish(&one, false).await,
        Code::AlreadyExists,
        "read-only",
    );
    refused(
        driver.publish(&two, false).await,
        Code::ResourceExhausted,
        "1 volumes",
    );
    refused(driver.delete(&one).await, Code::FailedPrecondition, NODE);
    let request = ControllerGetVolumeRequest {
        volume_id: one.clone(),
    };
    let told = driver.channel.controller().controller_get_volume(request).await;
    let status = told.unwrap().into_inner().status.unwrap();
    assert_eq!(status.published_node_ids, [NODE]);
    driver.unpublish(&one, "elsewhere").await.unwrap();
    refused(driver.delete(&one).await, Code::FailedPrecondition, NODE);
    driver.unpublish(&one, "").await.unwrap();
    driver.unpublish(&one, NODE).await.unwrap();
    driver.publish(&two, false).await.unwrap();
    driver.delete(&one).await.unwrap();
    driver.unpublish(&one, NODE).await.unwrap();
}

#[tokio::test]
async fn a_volume_grows_and_changes() {
    let world = World::new();
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let grown = driver.expand(&id, 2 * MIB).await.unwrap();
    assert_eq!(
        (grown.capacity_bytes, grown.node_expansion_required),
        (2 * MIB, true)
    );
    let grown = driver.expand(&id, MIB).await.unwrap();
    assert_eq!(grown.capacity_bytes, 2 * MIB, "it does not shrink");
    driver.modify(&id, "comment", "nightly").await.unwrap();
    driver.modify(&id, "allocation", "full").await.unwrap();
    let blocks = || std::fs::metadata(world.data(&id)).unwrap().blocks() * 512;
    assert_eq!(blocks(), 2 << 20);
    driver.expand(&id, 3 * MIB).await.unwrap();
    assert_eq!(blocks(), 3 << 20, "what it grows by is allocated too");
    let record = std::fs::read_to_string(world.data(&id).with_file_name("record.json")).unwrap();
    assert!(record.contains("nightly") && record.contains("full"), "{record}");
}

#[tokio::test]
async fn there_is_so_much_room() {
    let world = World::new();
    let driver = world.start();
    let capacity = async || {
        let request = GetCapacityRequest::default();
        let answer = driver.channel.controller().get_capacity(request).await;
        answer.unwrap().into_inner().available_capacity
    };
    assert_eq!(capacity().await, 1 << 30);
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    driver.take("s", &id).await.unwrap();
    driver.take_group("g", &[&id]).await.unwrap();
    assert_eq!(capacity().await, (1 << 30) - 3 * MIB);
    let mut large = volume("large");
    large.capacity_range = at_least(1 << 30);
    refused(
        driver.create(large).await,
        Code::ResourceExhausted,
        "--capacity-gib",
    );
    let mut elsewhere = volume("elsewhere");
    elsewhere.accessibility_requirements = Some(TopologyRequirement {
        requisite: vec![Topology {
            segments: [("file.test/node".to_owned(), "node-b".to_owned())].into(),
        }],
        preferred: Vec::new(),
    });
    refused(driver.create(elsewhere).await, Code::ResourceExhausted, NODE);
}

#[tokio::test]
async fn lost_data_are_told() {
    let world = World::new();
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let ill = async || {
        let request = ControllerListVolumeHealthRequest::default();
        let mut controller = driver.channel.controller();
        let answer = controller.controller_list_volume_health(request).await;
        answer.unwrap().into_inner().entries
    };
    assert!(ill().await.is_empty());
    std::fs::remove_file(world.data(&id)).unwrap();
    let entry = &ill().await[0];
    assert_eq!(entry.volume_id, id);
    assert_eq!(entry.health_statuses[0].status(), VolumeHealthErrorType::DataLoss);
    refused(driver.take("s", &id).await, Code::FailedPrecondition, "gone");
    driver.delete(&id).await.unwrap();
}

#[tokio::test]
async fn a_damaged_record_is_named() {
    let world = World::new();
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let record = world.data(&id).with_file_name("record.json");
    std::fs::write(&record, "{").unwrap();
    let path = record.display().to_string();
    refused(driver.create(volume("v")).await, Code::Internal, &path);
}

#[tokio::test]
async fn one_process_uses_a_folder() {
    use file_driver::folder::{Files, Folder, FolderError};

    let world = World::new();
    let driver = world.start();
    let second = Folder::open(world.path(), Files::default());
    assert!(matches!(second, Err(FolderError::InUse { .. })));
    drop(driver);
    Folder::open(world.path(), Files::default()).unwrap();
}

#[tokio::test]
async fn what_a_volume_can_be_is_confirmed() {
    let world = World::new();
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let mut request = ValidateVolumeCapabilitiesRequest {
        volume_id: id,
        volume_capabilities: vec![mounted()],
        ..Default::default()
    };
    let validate = async |request: &ValidateVolumeCapabilitiesRequest| {
        let mut controller = driver.channel.controller();
        let answer = controller.validate_volume_capabilities(request.clone()).await;
        answer.unwrap().into_inner()
    };
    assert!(validate(&request).await.confirmed.is_some());
    request.parameters.insert("type".to_owned(), "gp3".to_owned());
    let refusal = validate(&request).await;
    assert!(refusal.confirmed.is_none() && refusal.message.contains("type"));
}
