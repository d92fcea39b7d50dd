//! The process dies at each step of each change. The folder then shows the state before it or the one after it, and the
//! repeated call leads to the one after it.

use std::collections::BTreeMap;

use csi::v1::CreateVolumeRequest;
use file_driver::folder::Files;

use crate::world::{self, MIB, Process, Reply, World, at_least};

/// The size of the volumes in bytes: they are read at each cut.
const BYTES: i64 = 64 << 10;

fn small(request: CreateVolumeRequest) -> CreateVolumeRequest {
    CreateVolumeRequest {
        capacity_range: at_least(BYTES),
        ..request
    }
}

fn volume(name: &str) -> CreateVolumeRequest {
    small(world::volume(name))
}

/// IDs of what is there before each change.
struct Given {
    v: String,
    w: String,
    snapshot: String,
    group: String,
}

async fn furnish(world: &World) -> Given {
    let driver = world.start();
    let v = driver.create(volume("v")).await.unwrap().volume_id;
    let w = driver.create(volume("w")).await.unwrap().volume_id;
    let content: Vec<u8> = (0..BYTES).map(|at| (at / 4096) as u8).collect();
    std::fs::write(world.data(&v), content).unwrap();
    Given {
        snapshot: driver.take("s", &v).await.unwrap().snapshot_id,
        group: driver.take_group("g", &[&v, &w]).await.unwrap().group_snapshot_id,
        v,
        w,
    }
}

const CHANGES: [&str; 14] = [
    "create a volume",
    "create a full volume",
    "restore a snapshot",
    "clone a volume",
    "delete a volume",
    "take a snapshot",
    "delete a snapshot",
    "take a group",
    "delete a group",
    "publish",
    "unpublish",
    "expand",
    "change",
    "allocate",
];

async fn change(name: &str, driver: &Process, given: &Given) -> Reply<()> {
    let Given {
        v,
        w,
        snapshot,
        group,
    } = given;
    match name {
        "create a volume" => driver.create(volume("new")).await.map(drop),
        "create a full volume" => {
            let mut full = volume("new");
            full.mutable_parameters
                .insert("allocation".to_owned(), "full".to_owned());
            driver.create(full).await.map(drop)
        }
        "restore a snapshot" => driver
            .create(small(world::of_snapshot("new", snapshot)))
            .await
            .map(drop),
        "clone a volume" => driver.create(small(world::of_volume("new", v))).await.map(drop),
        "delete a volume" => driver.delete(v).await,
        "take a snapshot" => driver.take("new", v).await.map(drop),
        "delete a snapshot" => driver.delete_snapshot(snapshot).await,
        "take a group" => driver.take_group("new", &[v, w]).await.map(drop),
        "delete a group" => driver.delete_group(group, &[]).await,
        "publish" => driver.publish(v, true).await,
        "unpublish" => driver.unpublish(v, "").await,
        "expand" => driver.expand(v, 2 * MIB).await.map(drop),
        "change" => driver.modify(v, "comment", "words").await,
        "allocate" => driver.modify(w, "allocation", "full").await,
        _ => unreachable!(),
    }
}

/// What the folder shows, without the half-made things that no call shows.
fn shown(world: &World) -> BTreeMap<String, Vec<u8>> {
    let mut all = world.picture();
    all.retain(|name, _| !name.starts_with("scratch"));
    all
}

/// A world in which a change is due, its IDs, and its state before it.
async fn due(name: &str) -> (World, Given, BTreeMap<String, Vec<u8>>) {
    let world = World::new();
    let given = furnish(&world).await;
    if name == "unpublish" {
        world.start().publish(&given.v, true).await.unwrap();
    }
    let before = shown(&world);
    (world, given, before)
}

#[tokio::test(start_paused = true)]
async fn a_change_is_whole_or_not_done_wherever_the_process_dies() {
    let mut cuts = 0;
    for name in CHANGES {
        let (world, given, before) = due(name).await;
        change(name, &world.start(), &given).await.unwrap();
        let after = shown(&world);
        assert!(before != after, "{name} changes something");
        for steps in 0.. {
            let (world, given, begun) = due(name).await;
            assert!(begun == before, "{name}: the same beginning");
            let files = Files::dying_after(steps);
            let outcome = change(name, &world.start_with(files.clone()), &given).await;
            if !files.are_dead() {
                outcome.unwrap();
                break;
            }
            cuts += 1;
            let left = shown(&world);
            assert!(
                left == before || left == after,
                "{name}, cut at step {steps}: neither the state before nor the one after"
            );
            let driver = world.start();
            assert!(
                world.picture() == left,
                "{name}, cut at step {steps}: what is half done goes at the start"
            );
            change(name, &driver, &given).await.unwrap();
            assert!(world.picture() == after, "{name}, cut at step {steps}, repeated");
        }
    }
    assert!(cuts > 60, "only {cuts} cuts");
}
