//! Members of groups that have lost their owner, in the sandbox.

use controller::testing::resources::{GROUP_CLASSES, GROUP_CONTENTS, GROUPS};
use serde_json::{Value, json};

use crate::group_world::{class, group, members, of_database, status, take, with_groups};
use crate::groups::{cut_of, given};
use crate::world::{CONTENTS, SNAPSHOTS, World, seconds};

/// What `kubectl delete vgs g --cascade=orphan` does.
fn delete_alone(world: &World) {
    world.change(GROUPS, "default", "g", |group| {
        let finalizers = group["metadata"]["finalizers"].as_array_mut().unwrap();
        finalizers.push(json!("orphan"));
    });
    world.delete(GROUPS, "default", "g");
}

fn has_owner(snapshot: &Value) -> bool {
    let owners = snapshot["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| !owners.is_empty())
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_167_an_orphaning_deletion_under_delete_leaves_no_members_of_nothing() {
    let world = with_groups(None).await;
    let process = world.start();
    take(&world, "g");
    seconds(4).await;
    assert_eq!(members(&world).len(), 2);
    process.stop().await;
    delete_alone(&world);
    seconds(2).await;
    let all = world.list(SNAPSHOTS);
    assert!(all.len() == 2 && !all.iter().any(has_owner), "{all:#?}");
    let _process = world.start();
    seconds(5).await;
    assert!(world.get(GROUPS, "default", "g").is_none());
    assert!(world.list(SNAPSHOTS).is_empty() && world.contents().is_empty());
    assert!(world.list(GROUP_CONTENTS).is_empty());
    assert!(
        world.sidecar.deleted.lock().unwrap().is_empty(),
        "no DeleteSnapshot"
    );
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_168_an_orphaning_deletion_under_retain_keeps_the_members() {
    let world = with_groups(None).await;
    world.create(GROUP_CLASSES, class("mine", "d", "Retain"));
    let _process = world.start();
    world.create(GROUPS, group("g", &of_database(), Some("mine")));
    seconds(4).await;
    delete_alone(&world);
    seconds(5).await;
    assert!(world.get(GROUPS, "default", "g").is_none());
    let kept = world.list(SNAPSHOTS);
    assert_eq!(kept.len(), 2);
    for member in &kept {
        assert!(!has_owner(member) && member["status"]["readyToUse"] == true);
        assert!(member["metadata"]["deletionTimestamp"].is_null(), "{member}");
    }
    // They are snapshots like any other now.
    let name = kept[0]["metadata"]["name"].as_str().unwrap();
    world.delete(SNAPSHOTS, "default", name);
    seconds(5).await;
    assert_eq!(world.list(SNAPSHOTS).len(), 1);
}

/// The content of the former group has stayed, and refers to the name too.
#[tokio::test(start_paused = true)]
async fn snapshot_case_166_a_new_group_of_the_name_takes_no_members_of_the_former_one() {
    let world = with_groups(None).await;
    let _process = world.start();
    let [mut content, given_group, member_content, member] = given();
    content["spec"]["deletionPolicy"] = json!("Retain");
    world.create(GROUP_CONTENTS, content);
    world.create(GROUPS, given_group);
    world.create(CONTENTS, member_content);
    world.change_status(CONTENTS, "", "c", &cut_of("old"));
    world.create(SNAPSHOTS, member);
    seconds(5).await;
    assert_eq!(world.snapshot("m")["status"]["volumeGroupSnapshotName"], "g");
    delete_alone(&world);
    seconds(5).await;
    assert!(!has_owner(&world.snapshot("m")) && world.list(GROUP_CONTENTS).len() == 1);
    take(&world, "g");
    seconds(5).await;
    assert_eq!(status(&world, "g")["readyToUse"], true);
    assert!(!has_owner(&world.snapshot("m")), "{}", world.snapshot("m"));
    // Nor does the new group hold it.
    let copy = world.snapshot("m");
    world.delete(GROUPS, "default", "g");
    seconds(5).await;
    assert!(world.get(GROUPS, "default", "g").is_none());
    assert_eq!(world.snapshot("m"), copy);
    take(&world, "g");
    seconds(5).await;
    world.delete(SNAPSHOTS, "default", "m");
    seconds(5).await;
    assert!(world.snapshot("m").is_null());
}
