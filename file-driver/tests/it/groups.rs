//! Groups of snapshots.

use tonic::Code;

use crate::world::{World, members, of_snapshot, refused, volume};

#[tokio::test]
async fn a_group_is_taken_whole_and_found_again_after_a_restart() {
    let world = World::new();
    let driver = world.start();
    let mut volumes = Vec::new();
    for (number, name) in ["v", "w", "x"].iter().enumerate() {
        let id = driver.create(volume(name)).await.unwrap().volume_id;
        let mut content = format!("of {number}").into_bytes();
        content.resize(1 << 20, 0);
        std::fs::write(world.data(&id), content).unwrap();
        volumes.push(id);
    }
    let two = [volumes[0].as_str(), volumes[1].as_str()];
    let group = driver.take_group("g", &two).await.unwrap();
    assert!(group.ready_to_use);
    assert_eq!(group.snapshots.len(), 2);
    for snapshot in &group.snapshots {
        assert_eq!(snapshot.group_snapshot_id, group.group_snapshot_id);
        assert!(two.contains(&snapshot.source_volume_id.as_str()));
    }
    drop(driver);
    let driver = world.start();
    let reversed = [two[1], two[0]];
    assert_eq!(driver.take_group("g", &reversed).await.unwrap(), group);
    let listed = members(&group);
    assert_eq!(
        driver.get_group(&group.group_snapshot_id, &listed).await.unwrap(),
        group
    );
    let other = [two[0], volumes[2].as_str()];
    refused(
        driver.take_group("g", &other).await,
        Code::AlreadyExists,
        "other volumes",
    );

    // A member is a snapshot like any other, but for its end.
    let restored = driver.create(of_snapshot("r", &listed[0])).await.unwrap();
    let content = std::fs::read(world.data(&restored.volume_id)).unwrap();
    let source = &group.snapshots[0].source_volume_id;
    assert!(content == std::fs::read(world.data(source)).unwrap());
    let alone = driver.delete_snapshot(&listed[0]).await;
    refused(alone, Code::InvalidArgument, "DeleteVolumeGroupSnapshot");
    let partly = driver.delete_group(&group.group_snapshot_id, &listed[..1]).await;
    refused(partly, Code::InvalidArgument, "snapshot_ids lacks");
    assert_eq!(driver.snapshots().await.len(), 2);
    for _ in 0..2 {
        driver
            .delete_group(&group.group_snapshot_id, &listed)
            .await
            .unwrap();
        assert!(driver.snapshots().await.is_empty());
    }
    let gone = driver.get_group(&group.group_snapshot_id, &[]).await;
    refused(gone, Code::NotFound, "group");
}

#[tokio::test]
async fn a_group_of_which_a_part_cannot_be_taken_is_not_taken() {
    let world = World::new();
    let driver = world.start();
    let v = driver.create(volume("v")).await.unwrap().volume_id;
    let w = driver.create(volume("w")).await.unwrap().volume_id;
    let lost = driver.create(volume("lost")).await.unwrap().volume_id;
    std::fs::remove_file(world.data(&lost)).unwrap();
    let reply = driver.take_group("g", &[&v, &lost, &w]).await;
    refused(reply, Code::FailedPrecondition, &lost);
    driver.delete(&lost).await.unwrap();
    let reply = driver.take_group("g", &[&v, &lost, &w]).await;
    refused(reply, Code::NotFound, &lost);
    assert!(driver.snapshots().await.is_empty());
    driver.take_group("g", &[&v, &w]).await.unwrap();
    assert_eq!(driver.snapshots().await.len(), 2);
}
