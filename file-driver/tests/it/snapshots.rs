//! Snapshots.

use std::time::Duration;

use csi::v1::*;
use tonic::Code;

use crate::world::{MIB, World, refused, volume};

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_taken_once_and_ready_in_time() {
    let mut world = World::new();
    world.config.ready_after = Duration::from_secs(10);
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let other = driver.create(volume("w")).await.unwrap().volume_id;
    let taken = driver.take("s", &id).await.unwrap();
    assert_eq!((taken.size_bytes, taken.ready_to_use), (MIB, false));
    assert_eq!(taken.creation_time.unwrap().seconds, 1_767_225_600);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!driver.take("s", &id).await.unwrap().ready_to_use);
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(driver);
    let driver = world.start();
    let again = driver.take("s", &id).await.unwrap();
    assert!(again.ready_to_use);
    assert_eq!(again.snapshot_id, taken.snapshot_id);
    assert_eq!(again.creation_time, taken.creation_time);
    assert_eq!(driver.snapshots().await.len(), 1);
    refused(driver.take("s", &other).await, Code::AlreadyExists, "\"s\"");
    driver.delete(&id).await.unwrap();
    let again = driver.take("s", &id).await.unwrap();
    assert_eq!(again.snapshot_id, taken.snapshot_id, "it outlives its volume");
    driver.delete_snapshot(&taken.snapshot_id).await.unwrap();
    driver.delete_snapshot(&taken.snapshot_id).await.unwrap();
    refused(driver.take("s", &id).await, Code::NotFound, "volume");
}

#[tokio::test]
async fn a_list_holds_what_is_asked_for() {
    let world = World::new();
    let driver = world.start();
    let v = driver.create(volume("v")).await.unwrap().volume_id;
    let w = driver.create(volume("w")).await.unwrap().volume_id;
    let one = driver.take("one", &v).await.unwrap().snapshot_id;
    driver.take("two", &w).await.unwrap();
    driver.take_group("g", &[&v, &w]).await.unwrap();
    let list = async |snapshot_id: &str, volume: &str, most: i32| {
        let request = ListSnapshotsRequest {
            max_entries: most,
            snapshot_id: snapshot_id.to_owned(),
            source_volume_id: volume.to_owned(),
            ..Default::default()
        };
        let answer = driver.channel.controller().list_snapshots(request).await;
        let answer = answer.unwrap().into_inner();
        (answer.entries.len(), answer.next_token)
    };
    assert_eq!(list("", "", 0).await.0, 4);
    assert_eq!(list(&one, "", 0).await.0, 1);
    assert_eq!(list("", &v, 0).await.0, 2);
    assert_eq!(list(&one, &w, 0).await.0, 0);
    assert_eq!(list("../x", "", 0).await.0, 0);
    let (entries, token) = list("", "", 3).await;
    assert!(entries == 3 && !token.is_empty());
    let request = GetSnapshotRequest {
        snapshot_id: one.clone(),
        ..Default::default()
    };
    let got = driver.channel.controller().get_snapshot(request).await.unwrap();
    assert_eq!(got.into_inner().snapshot.unwrap().snapshot_id, one);
}

#[tokio::test]
async fn a_snapshot_is_where_its_volume_is() {
    let world = World::new();
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let at = |node: &str| TopologyRequirement {
        requisite: vec![Topology {
            segments: [("file.test/node".to_owned(), node.to_owned())].into(),
        }],
        preferred: Vec::new(),
    };
    let take = async |name: &str, node: &str| {
        let request = CreateSnapshotRequest {
            name: name.to_owned(),
            source_volume_id: id.clone(),
            accessibility_requirements: Some(at(node)),
            ..Default::default()
        };
        let answer = driver.channel.controller().create_snapshot(request).await?;
        Ok(answer.into_inner().snapshot.unwrap())
    };
    let taken = take("s", crate::world::NODE).await.unwrap();
    assert_eq!(taken.accessible_topology, at(crate::world::NODE).requisite);
    refused(take("t", "node-b").await, Code::ResourceExhausted, "other places");
}
