//! Properties of the decisions about groups, their contents and members, over arbitrary clusters.

use controller::testing::objects;
use crds::names::group as names;
use crds::v1::DeletionPolicy;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use snapshot_controller::plan::ContentIntent;
use snapshot_controller::plan::group::{Step, is_bound, member, plan};

use crate::group_scene::{GroupScene, content_of_g, group, infos};
use crate::group_world::{GROUP_BEING_DELETED, GROUP_CONTENT_FINALIZER, GROUP_FINALIZER};
use crate::properties::{finalizers, mostly};
use crate::scene::{AS_SOURCE, BOUND, CONTENT_BOUND, IN_GROUP, NOW, now};

/// Rounds after which everything has come to rest: one for each write of the longest story and one to see it.
const MOST_ROUNDS: usize = 16;

/// Sets finalizers, and where there are some, perhaps the time of the deletion.
fn held(object: &mut Value, finalizers: Value, deleting: bool) {
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("finalizers");
    if finalizers != json!([]) {
        metadata.insert("finalizers".to_owned(), finalizers);
        if deleting {
            metadata.insert("deletionTimestamp".to_owned(), json!(NOW));
        }
    }
}

fn groups() -> impl Strategy<Value = Value> {
    let sources = mostly(
        json!({"selector": {"matchLabels": {"app": "db"}}}),
        vec![
            json!({"volumeGroupSnapshotContentName": "gc"}),
            json!({"selector": {}}),
            json!({}),
        ],
    );
    let bound = select(vec![
        Value::Null,
        json!("groupsnapcontent-gu"),
        json!("gc"),
        json!("other"),
    ]);
    let status = (bound, any::<[bool; 3]>()).prop_map(|(bound, [ready, cut, failed])| {
        let mut status = json!({"readyToUse": ready});
        if !bound.is_null() {
            status["boundVolumeGroupSnapshotContentName"] = bound;
        }
        if cut {
            status["creationTime"] = json!(NOW);
        }
        if failed {
            status["error"] = json!({"message": "no", "time": NOW});
        }
        status
    });
    (
        sources,
        mostly(json!("gk"), vec![json!("missing"), Value::Null]),
        finalizers(vec!["theirs", GROUP_FINALIZER]),
        any::<bool>(),
        prop::option::of(status),
    )
        .prop_map(|(source, class, finalizers, deleting, status)| {
            let mut object = group(&json!({}));
            object["spec"]["source"] = source;
            object["spec"]["volumeGroupSnapshotClassName"] = class;
            held(&mut object, finalizers, deleting);
            if let Some(status) = status {
                object["status"] = status;
            }
            object
        })
}

fn contents() -> impl Strategy<Value = Value> {
    let sources = mostly(
        json!({"volumeHandles": ["vol-p", "vol-q"]}),
        vec![
            json!({"groupSnapshotHandles":
                {"volumeGroupSnapshotHandle": "old", "volumeSnapshotHandles": ["snap-p", "snap-q"]}}),
            json!({"groupSnapshotHandles": {"volumeGroupSnapshotHandle": " ", "volumeSnapshotHandles": []}}),
            json!({}),
        ],
    );
    let status = (any::<[bool; 3]>()).prop_map(|[ready, lists, failed]| {
        let mut status =
            json!({"volumeGroupSnapshotHandle": "group-1", "readyToUse": ready, "creationTime": NOW});
        if lists {
            status["volumeSnapshotInfoList"] = infos(ready);
        }
        if failed {
            status["error"] = json!({"message": "driver", "time": NOW});
        }
        status
    });
    (
        select(vec!["groupsnapcontent-gu", "gc"]),
        sources,
        select(vec!["Delete", "Retain"]),
        mostly(json!("gu"), vec![Value::Null, json!("stranger")]),
        finalizers(vec![GROUP_CONTENT_FINALIZER, "theirs"]),
        any::<[bool; 2]>(),
        prop::option::of(status),
    )
        .prop_map(
            |(name, source, policy, uid, finalizers, [deleting, marked], status)| {
                let mut object =
                    content_of_g(&json!({"metadata": {"name": name}, "spec": {"deletionPolicy": policy}}));
                object["spec"]["source"] = source;
                object["spec"]["volumeGroupSnapshotRef"]["uid"] = uid;
                held(&mut object, finalizers, deleting);
                if marked {
                    object["metadata"]["annotations"] = json!({(GROUP_BEING_DELETED): "yes"});
                }
                if let Some(status) = status {
                    object["status"] = status;
                }
                object
            },
        )
}

/// How far a member was made.
#[derive(Clone, Copy, Debug)]
enum Made {
    Nothing,
    Snapshot,
    Content,
    Status,
    /// The content alone, as upstream's controller leaves it: it makes the content first.
    ContentAlone,
    /// Its name belongs to a snapshot that is no member.
    Stranger,
}

fn members() -> impl Strategy<Value = Vec<(Made, bool)>> {
    let made = prop_oneof![
        3 => Just(Made::Nothing),
        1 => Just(Made::Snapshot),
        1 => Just(Made::Content),
        2 => Just(Made::Status),
        1 => Just(Made::ContentAlone),
        1 => Just(Made::Stranger),
    ];
    vec((made, prop::bool::weighted(0.2)), 2)
}

/// A member of the group as far as it was made, perhaps being deleted.
fn put_member(scene: &mut GroupScene, claim: &str, made: Made, deleting: bool, policy: &Value) {
    if matches!(made, Made::Nothing) {
        return;
    }
    let name = member::name("gu", &format!("vol-{claim}"));
    let mut snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": name, "namespace": "ns", "uid": format!("m{claim}"), "resourceVersion": "60"},
        "spec": {"source": {"persistentVolumeClaimName": claim}},
    });
    if !matches!(made, Made::Stranger) {
        // As upstream's releases before wrote it.
        snapshot["metadata"]["ownerReferences"] = json!([{"apiVersion": "groupsnapshot.storage.k8s.io/v1beta2",
            "kind": "VolumeGroupSnapshot", "name": "g", "uid": "gu"}]);
    }
    held(&mut snapshot, json!([IN_GROUP, AS_SOURCE, BOUND]), deleting);
    if !matches!(made, Made::ContentAlone) {
        scene.cluster.put("vs", snapshot);
    }
    if matches!(made, Made::Snapshot | Made::Stranger) {
        return;
    }
    let content_name = names::member_content_name(&name).unwrap();
    let mut content = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
        "metadata": {"name": content_name, "uid": format!("mc{claim}"), "resourceVersion": "70",
            "annotations": {"groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle": "group-1"},
            "finalizers": [CONTENT_BOUND]},
        "spec": {"deletionPolicy": policy, "driver": "d", "source": {"volumeHandle": format!("vol-{claim}")},
            "volumeSnapshotRef": {"kind": "VolumeSnapshot", "name": name, "namespace": "ns", "uid": format!("m{claim}")}},
    });
    if matches!(made, Made::Status) {
        content["status"] = json!({"snapshotHandle": format!("snap-{claim}"), "readyToUse": true,
            "volumeGroupSnapshotHandle": "group-1", "creationTime": 23});
    }
    if matches!(made, Made::ContentAlone) {
        held(&mut content, json!([]), false);
        content["spec"]["volumeSnapshotRef"]
            .as_object_mut()
            .unwrap()
            .remove("uid");
    }
    scene.cluster.put("vsc", content);
}

/// The mark is written when the group is being deleted, and the UID that binds the two cannot be taken away.
fn without_impossible_mark(mut content: Value, scene: &GroupScene) -> Value {
    let group = scene.cluster.get("vgs", "g").unwrap();
    let is_bound = content["spec"]["volumeGroupSnapshotRef"]["uid"] == group["metadata"]["uid"];
    if is_bound && !is_deleting(group) {
        content["metadata"].as_object_mut().unwrap().remove("annotations");
    }
    content
}

fn scenes() -> impl Strategy<Value = GroupScene> {
    (
        groups(),
        prop::option::weighted(0.8, contents()),
        members(),
        any::<bool>(),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(group, content, members, ready_at_once, content_unknown)| {
            let mut scene = GroupScene::new();
            scene.cluster.put("vgs", group);
            scene.ready_at_once = ready_at_once;
            scene.content_unknown = content_unknown;
            let content = content.map(|content| without_impossible_mark(content, &scene));
            let policy = content.as_ref().map_or(json!("Delete"), |content| {
                content["spec"]["deletionPolicy"].clone()
            });
            if let Some(content) = content {
                if content["status"].is_object() {
                    scene.held.insert("group-1".to_owned());
                }
                if content["spec"]["source"]["groupSnapshotHandles"].is_object() {
                    scene.held.insert("old".to_owned());
                }
                scene.cluster.put("vgsc", content);
            }
            for (claim, (made, deleting)) in ["p", "q"].into_iter().zip(members) {
                put_member(&mut scene, claim, made, deleting, &policy);
            }
            scene
        })
}

fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn is_theirs(object: &Value) -> bool {
    objects::finalizers(object).contains(&json!("theirs"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn repeated_planning_of_a_group_comes_to_rest(scene in scenes(), cuts in vec(0..6_usize, 0..6)) {
        let mut scene = scene;
        for cut in cuts {
            scene.round(cut);
        }
        let restless = (0..MOST_ROUNDS).all(|_| scene.round(usize::MAX));
        prop_assert!(!restless, "still writing: {:#?}", scene.cluster.objects);
        prop_assert!(!scene.round(usize::MAX), "settled, then writing: {:#?}", scene.cluster.objects);
    }

    #[test]
    fn a_deleted_group_goes_with_its_members_and_what_retain_keeps_stays(scene in scenes(), cuts in vec(0..6_usize, 0..4)) {
        let mut scene = scene;
        let before = scene.clone();
        scene.cluster.delete("vgs", "g");
        for cut in cuts {
            scene.round(cut);
        }
        for _ in 0..MOST_ROUNDS {
            scene.round(usize::MAX);
        }
        let observed = before.observe().unwrap();
        let content = observed.content.found().filter(|content| is_bound(content, &observed.group));
        let name = content.and_then(|content| content.metadata.name.clone());
        let stored = name.as_ref().map(|name| before.cluster.get("vgsc", name).unwrap().clone());
        // Where ours is not on it, the group is gone before we see it.
        let had_ours = objects::finalizers(before.cluster.get("vgs", "g").unwrap()).contains(&json!(GROUP_FINALIZER));
        // A content that somebody else holds holds its group.
        let is_stuck = stored.as_ref().is_some_and(|content| is_theirs(content)
            || (is_deleting(content) && objects::finalizers(content).is_empty()))
            && content.is_some_and(|content| content.spec.deletion_policy == DeletionPolicy::Delete);
        let left = scene.cluster.get("vgs", "g");
        if !is_stuck {
            prop_assert!(left.is_none_or(|group| objects::finalizers(group) == [json!("theirs")]), "left: {left:#?}");
        }
        if left.is_none() && had_ours {
            let members = scene.observe().map_or(0, |seen| seen.owned.len());
            prop_assert_eq!(members, 0);
            for snapshot in scene.cluster.names("vs") {
                let owner = &scene.cluster.get("vs", &snapshot).unwrap()["metadata"]["ownerReferences"];
                prop_assert!(owner.is_null(), "a member is left: {:#?}", scene.cluster.objects);
            }
        }
        if let (Some(name), Some(content)) = (name, content)
            && content.spec.deletion_policy == DeletionPolicy::Retain
            && content.metadata.deletion_timestamp.is_none()
        {
            let kept = scene.cluster.get("vgsc", &name);
            prop_assert!(kept.is_some_and(|content| !is_deleting(content)), "Retain keeps the content");
            prop_assert!(scene.held.is_superset(&before.held), "Retain keeps the group");
        }
    }

    #[test]
    fn nothing_of_a_living_group_is_deleted_and_nothing_of_another_one(scene in scenes(), listed in any::<bool>()) {
        let observed = scene.observe().unwrap();
        let selected = listed.then(|| scene.selected());
        let deleting = is_deleting(scene.cluster.get("vgs", "g").unwrap());
        for step in plan(&observed, selected.as_deref(), now()).steps() {
            match step {
                Step::DeleteContent => {
                    let content = observed.content.found().unwrap();
                    prop_assert!(deleting && is_bound(content, &observed.group));
                    prop_assert_eq!(content.spec.deletion_policy, DeletionPolicy::Delete);
                }
                Step::DeleteMemberContent(content) => {
                    prop_assert!(deleting && content.spec.deletion_policy == DeletionPolicy::Delete);
                    prop_assert!(content.spec.volume_snapshot_ref.uid.is_none(), "it has a member");
                }
                Step::DeleteMember(snapshot) => {
                    prop_assert!(deleting);
                    prop_assert_eq!(&member::owner(snapshot).unwrap().uid, "gu");
                }
                Step::PatchContent { intent: ContentIntent::Mark, .. } => prop_assert!(deleting),
                _ => {}
            }
        }
    }

    #[test]
    fn no_content_of_a_living_group_is_marked_or_let_go(scene in scenes(), is_read in any::<bool>()) {
        let group = scene.cluster.get("vgs", "g").unwrap();
        for name in scene.cluster.names("vgsc") {
            let content = scene.cluster.get("vgsc", &name).unwrap();
            let bound = content["spec"]["volumeGroupSnapshotRef"]["uid"] == group["metadata"]["uid"];
            let plan = scene.plan_content(&name, is_read).unwrap();
            for step in plan.steps() {
                let ends = matches!(step, Step::PatchContent { intent: ContentIntent::Mark | ContentIntent::Release, .. });
                prop_assert!(!(ends && bound), "{step:?} of {content:#}");
                prop_assert!(!ends || is_read, "nobody was asked: {step:?}");
            }
        }
    }

    #[test]
    fn a_cut_group_is_never_cut_again_and_is_ready_only_with_its_members(scene in scenes()) {
        let observed = scene.observe().unwrap();
        let before = scene.cluster.get("vgs", "g").unwrap();
        let was_cut = !before["status"]["creationTime"].is_null() || before["status"]["readyToUse"] == true;
        let selected = scene.selected();
        let posts = plan(&observed, Some(&selected), now());
        let posts = posts.steps().any(|step| matches!(step, Step::CreateContent(_)));
        prop_assert!(!(was_cut && posts));
        let mut scene = scene;
        for _ in 0..MOST_ROUNDS {
            let was_ready = is_ready(&scene);
            scene.round(usize::MAX);
            if !was_ready && is_ready(&scene) {
                members_are_there(&scene)?;
            }
        }
    }
}

fn is_ready(scene: &GroupScene) -> bool {
    let group = scene.cluster.get("vgs", "g");
    group.is_some_and(|group| group["status"]["readyToUse"] == true)
}

/// Each snapshot that the content of a dynamic group lists has its two objects, unless they are being deleted.
fn members_are_there(scene: &GroupScene) -> Result<(), TestCaseError> {
    let Some(observed) = scene.observe() else {
        return Ok(());
    };
    let Some(content) = observed
        .content
        .found()
        .filter(|content| content.spec.source.volume_handles.is_some())
    else {
        return Ok(());
    };
    let status = content.status.clone().unwrap_or_default();
    for info in status.volume_snapshot_info_list.iter().flatten() {
        let name = member::name("gu", info.volume_handle.as_deref().unwrap());
        let snapshot = scene.cluster.get("vs", &name);
        prop_assert!(snapshot.is_some(), "ready without {}", name);
        if snapshot.is_some_and(|snapshot| !is_deleting(snapshot)) {
            let content = names::member_content_name(&name).unwrap();
            let content = scene.cluster.get("vsc", &content);
            prop_assert!(content.is_some_and(|content| content["status"]["snapshotHandle"].is_string()));
        }
    }
    Ok(())
}
