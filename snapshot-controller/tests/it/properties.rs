//! Properties of the decisions over arbitrary clusters.

use controller::Action;
use controller::patch::Change;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use runtime::ObjectKey;
use serde_json::{Value, json};
use snapshot_controller::plan::{Plan, Step};

use crate::scene::{
    AS_SOURCE, BEING_DELETED, BOUND, CLAIM_SOURCE, CONTENT_BOUND, IN_GROUP, NOW, Scene, class_of,
};

pub fn finalizers(of: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let length = of.len();
    subsequence(of, 0..=length).prop_map(|list| json!(list))
}

pub fn mostly(value: Value, others: Vec<Value>) -> impl Strategy<Value = Value> {
    prop_oneof![3 => Just(value), 1 => select(others)]
}

fn status_of_snapshot() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        (
            select(vec![
                json!(null),
                json!("snapcontent-u"),
                json!("c"),
                json!("other")
            ]),
            select(vec![json!(null), json!(false), json!(true)]),
            select(vec![json!(null), json!(NOW)]),
            select(vec![json!(null), json!("0"), json!("5Gi"), json!(7)]),
            select(vec![
                json!(null),
                json!({}),
                json!({"message": "no"}),
                json!({"message": "no", "time": NOW})
            ]),
        )
            .prop_map(|(bound, ready, created, size, error)| without_nulls(json!({
                "boundVolumeSnapshotContentName": bound, "readyToUse": ready, "creationTime": created,
                "restoreSize": size, "error": error}))),
    ]
}

fn status_of_content() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        (
            select(vec![json!(null), json!(false), json!(true)]),
            select(vec![json!(null), json!(i64::MIN), json!(0), json!(i64::MAX)]),
            select(vec![json!(null), json!(0), json!(1000), json!(5_368_709_120_i64)]),
            select(vec![
                json!(null),
                json!({}),
                json!({"message": "driver", "time": NOW})
            ]),
        )
            .prop_map(|(ready, created, size, error)| without_nulls(json!({
                "readyToUse": ready, "creationTime": created, "restoreSize": size, "error": error}))),
    ]
}

pub fn without_nulls(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, member| !member.is_null());
    }
    value
}

fn snapshots() -> impl Strategy<Value = Value> {
    (
        mostly(
            json!({"persistentVolumeClaimName": "p"}),
            vec![
                json!({"volumeSnapshotContentName": "c"}),
                json!({"persistentVolumeClaimName": ""}),
                json!({}),
                json!({"persistentVolumeClaimName": "p", "volumeSnapshotContentName": "c"}),
            ],
        ),
        mostly(json!("k"), vec![json!("missing"), Value::Null, Value::Null]),
        finalizers(vec!["theirs", AS_SOURCE, BOUND, IN_GROUP]),
        any::<bool>(),
        prop::bool::weighted(0.2),
        status_of_snapshot(),
    )
        .prop_map(|(source, class, finalizers, deleting, member, status)| {
            let mut metadata = json!({"name": "s", "namespace": "ns", "uid": "u", "resourceVersion": "10"});
            if finalizers != json!([]) {
                metadata["finalizers"] = finalizers;
                if deleting {
                    metadata["deletionTimestamp"] = json!(NOW);
                }
            }
            if member {
                metadata["ownerReferences"] = json!([{"apiVersion": "groupsnapshot.storage.k8s.io/v1beta2",
                    "kind": "VolumeGroupSnapshot", "name": "g", "uid": "gu"}]);
            }
            without_nulls(json!({
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": metadata,
                "spec": {"source": source, "volumeSnapshotClassName": class}, "status": status}))
        })
}

fn contents() -> impl Strategy<Value = Value> {
    (
        select(vec!["snapcontent-u", "c"]),
        mostly(
            json!({"volumeHandle": "vol"}),
            vec![json!({"snapshotHandle": "snap"}), json!({})],
        ),
        select(vec!["Delete", "Retain"]),
        mostly(json!("u"), vec![Value::Null, json!(""), json!("stranger")]),
        finalizers(vec![CONTENT_BOUND, "theirs"]),
        any::<bool>(),
        select(vec![
            Value::Null,
            json!({}),
            json!({BEING_DELETED: "yes"}),
            json!({"a": "b"}),
        ]),
        status_of_content(),
    )
        .prop_map(
            |(name, source, policy, uid, finalizers, deleting, annotations, status)| {
                let mut metadata =
                    json!({"name": name, "uid": "cu", "resourceVersion": "50", "annotations": annotations});
                if finalizers != json!([]) {
                    metadata["finalizers"] = finalizers;
                    if deleting {
                        metadata["deletionTimestamp"] = json!(NOW);
                    }
                }
                without_nulls(json!({
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
                "metadata": without_nulls(metadata),
                "spec": {"deletionPolicy": policy, "driver": "d", "source": source,
                    "volumeSnapshotRef": {"name": "s", "namespace": "ns", "uid": uid}},
                "status": status}))
            },
        )
}

fn claims() -> impl Strategy<Value = Value> {
    (
        finalizers(vec!["kubernetes.io/pvc-protection", CLAIM_SOURCE]),
        any::<bool>(),
        mostly(json!("Bound"), vec![json!("Pending"), json!("Lost")]),
        mostly(json!("pv"), vec![Value::Null, json!("missing")]),
    )
        .prop_map(|(finalizers, deleting, phase, volume)| {
            let mut metadata = json!({"name": "p", "namespace": "ns", "uid": "pu", "resourceVersion": "20"});
            if finalizers != json!([]) {
                metadata["finalizers"] = finalizers;
                if deleting {
                    metadata["deletionTimestamp"] = json!(NOW);
                }
            }
            json!({"metadata": metadata, "spec": {"volumeName": volume}, "status": {"phase": phase}})
        })
}

fn scenes() -> impl Strategy<Value = Scene> {
    (
        snapshots(),
        prop::option::weighted(0.8, contents()),
        prop::option::weighted(0.9, claims()),
        mostly(
            json!({"driver": "d", "volumeHandle": "vol"}),
            vec![Value::Null, json!({"driver": "e", "volumeHandle": "vol"})],
        ),
        select(vec!["Delete", "Retain"]),
        vec(select(vec!["true", "True", ""]), 0..3),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(snapshot, content, claim, csi, policy, defaults, restoring, unknown)| {
                let mut scene = Scene::empty();
                scene.put("vs", snapshot);
                if let Some(object) = content {
                    scene.put("vsc", object);
                }
                if let Some(object) = claim {
                    scene.put("pvc", object);
                }
                scene.put(
                    "pv",
                    json!({"metadata": {"name": "pv", "uid": "pvu", "resourceVersion": "30"},
                    "spec": {"csi": csi, "claimRef": {"namespace": "ns", "name": "p", "uid": "pu"}}}),
                );
                scene.put("class", class_of("k", "d", policy));
                for (number, value) in defaults.iter().enumerate() {
                    let mut class = class_of(&format!("default-{number}"), "d", "Delete");
                    class["metadata"]["annotations"] =
                        json!({"snapshot.storage.kubernetes.io/is-default-class": value});
                    scene.put("class", class);
                }
                if restoring {
                    scene.restores = vec![ObjectKey::new("ns", "restored")];
                }
                scene.content_unknown = unknown;
                scene
            },
        )
}

/// Every plan of a scene with the name of the snapshot it is applied for.
fn plans(scene: &Scene) -> Vec<Plan> {
    let mut plans = Vec::new();
    if scene.get("vs", "s").is_some() {
        plans.push(scene.plan("s"));
    }
    for name in scene.names("vsc") {
        plans.push(scene.plan_content(&name, false));
        plans.push(scene.plan_content(&name, true));
    }
    for name in scene.names("pvc") {
        plans.push(scene.plan_claim(&name));
    }
    plans
}

/// Content that the snapshot owns.
fn owned(scene: &Scene) -> Option<Value> {
    let snapshot = scene.get("vs", "s")?;
    scene
        .names("vsc")
        .into_iter()
        .map(|name| scene.get("vsc", &name).unwrap().clone())
        .find(|content| {
            content["spec"]["volumeSnapshotRef"]["uid"] == snapshot["metadata"]["uid"]
                && scene.observe("s").content.found().is_some_and(|observed| {
                    observed.metadata.name.as_deref() == content["metadata"]["name"].as_str()
                })
        })
}

fn removes(change: &Change) -> bool {
    matches!(change, Change::Json(patch) if patch.iter().any(|operation| {
        serde_json::to_value(operation).unwrap()["op"] == "remove"
    }))
}

/// One round of everything: true when something was sent.
fn round(scene: &mut Scene, cut: usize) -> bool {
    let mut sent = 0;
    if scene.get("vs", "s").is_some() {
        let plan = scene.plan("s");
        sent += carry_out(scene, &plan, cut);
    }
    for name in scene.names("vsc") {
        let plan = scene.plan_content(&name, false);
        let gone = plan.steps().any(|step| matches!(step, Step::ReadSnapshot { .. }));
        let plan = if gone {
            scene.plan_content(&name, true)
        } else {
            plan
        };
        sent += carry_out(scene, &plan, cut);
    }
    for name in scene.names("pvc") {
        let plan = scene.plan_claim(&name);
        sent += carry_out(scene, &plan, cut);
    }
    sent += sidecar(scene);
    sent > 0
}

fn carry_out(scene: &mut Scene, plan: &Plan, cut: usize) -> usize {
    let mut sent = 0;
    for action in plan.actions.iter().take(cut) {
        if matches!(action, Action::Step(_)) {
            sent += 1;
        }
        if scene.apply("s", action).is_err() {
            break;
        }
    }
    sent
}

/// Cuts what has no status, and lets marked contents go.
fn sidecar(scene: &mut Scene) -> usize {
    let mut sent = 0;
    for name in scene.names("vsc") {
        let content = scene.get("vsc", &name).unwrap();
        let metadata = &content["metadata"];
        let held = metadata["finalizers"]
            .as_array()
            .is_some_and(|list| list.contains(&json!(CONTENT_BOUND)));
        if !metadata["deletionTimestamp"].is_null() && held && metadata["annotations"][BEING_DELETED] == "yes"
        {
            scene.remove("vsc", &name);
            sent += 1;
        } else if metadata["deletionTimestamp"].is_null() && content["status"]["readyToUse"] != true {
            scene.sidecar_cuts(&name, true);
            scene.set("vsc", &name, json!({"status": {"error": null}}));
            sent += 1;
        }
    }
    sent
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_cluster_has_a_plan_and_what_others_write_changes_none(scene in scenes()) {
        let mut touched = scene.clone();
        for object in touched.objects.values_mut() {
            json_patch::merge(object, &json!({"metadata": {
                "labels": {"theirs": "yes"}, "annotations": {"theirs.example.com/a": "b"},
                "managedFields": [{"manager": "kubectl", "operation": "Apply"}]}}));
        }
        prop_assert_eq!(plans(&scene), plans(&touched));
    }

    #[test]
    fn repeated_planning_comes_to_rest(scene in scenes(), cuts in vec(0..6_usize, 0..6)) {
        let mut scene = scene;
        for cut in cuts {
            round(&mut scene, cut);
        }
        let restless = (0..12).all(|_| round(&mut scene, usize::MAX));
        prop_assert!(!restless, "still writing: {:#?}", scene.requests);
        scene.requests.clear();
        prop_assert!(!round(&mut scene, usize::MAX), "settled, then writing: {:#?}", scene.requests);
    }

    #[test]
    fn a_deleted_snapshot_goes(scene in scenes()) {
        let mut scene = scene;
        scene.restores.clear();
        scene.delete("vs", "s");
        let foreign = scene.get("vs", "s").is_some_and(|object| {
            object["metadata"]["finalizers"].as_array().unwrap().contains(&json!("theirs"))
        });
        let stuck = scene.names("vsc").iter().any(|name| {
            let metadata = &scene.get("vsc", name).unwrap()["metadata"];
            metadata["finalizers"].as_array().is_some_and(|list| list == &[json!("theirs")])
        });
        for _ in 0..12 {
            round(&mut scene, usize::MAX);
        }
        let left = scene.get("vs", "s");
        prop_assert!(foreign || stuck || left.is_none(), "left: {left:#?}");
        if let (true, Some(left)) = (foreign && !stuck, left) {
            prop_assert_eq!(&left["metadata"]["finalizers"], &json!(["theirs"]));
        }
    }

    #[test]
    fn no_finalizer_is_dropped_while_a_content_is_to_be_deleted(scene in scenes()) {
        let content = owned(&scene);
        for plan in plans(&scene) {
            for step in plan.steps() {
                if let Step::PatchSnapshot(change) = step {
                    let doomed = content.as_ref().is_some_and(|content| content["spec"]["deletionPolicy"] == "Delete");
                    prop_assert!(!(removes(change) && doomed), "{step:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_deleted_under_retain_or_of_a_living_snapshot(scene in scenes()) {
        for plan in plans(&scene) {
            for step in plan.steps() {
                if let Step::DeleteContent { name, .. } = step {
                    let content = scene.get("vsc", name).unwrap();
                    prop_assert_eq!(&content["spec"]["deletionPolicy"], "Delete");
                    let uid = content["spec"]["volumeSnapshotRef"]["uid"].as_str().unwrap_or_default();
                    let named = scene.observe("s").content.found().is_some_and(|named| named.metadata.name.as_deref() == Some(name));
                    prop_assert!(uid == "u" || (uid.is_empty() && named));
                    prop_assert!(!scene.get("vs", "s").unwrap()["metadata"]["deletionTimestamp"].is_null());
                }
            }
        }
    }

    #[test]
    fn no_content_is_marked_or_let_go_while_a_living_snapshot_is_bound_to_it(scene in scenes()) {
        let Some(snapshot) = scene.get("vs", "s") else { return Ok(()) };
        let living = snapshot["metadata"]["deletionTimestamp"].is_null();
        for name in scene.names("vsc") {
            let content = scene.get("vsc", &name).unwrap();
            let uid = content["spec"]["volumeSnapshotRef"]["uid"].as_str().unwrap_or_default();
            let named = snapshot["status"]["boundVolumeSnapshotContentName"] == name.as_str();
            let bound = uid == "u" || (uid.is_empty() && named);
            for is_read in [false, true] {
                let plan = scene.plan_content(&name, is_read);
                prop_assert!(!(living && bound && content["metadata"]["deletionTimestamp"].is_string()) || plan.steps().count() == 0, "{plan:?}");
            }
        }
    }

    #[test]
    fn a_living_snapshot_that_settles_leaves_no_mark_on_its_content(scene in scenes()) {
        let mut scene = scene;
        scene.settle("s", 12);
        let living = scene.get("vs", "s").is_some_and(|snapshot| snapshot["metadata"]["deletionTimestamp"].is_null());
        if let (true, Some(content)) = (living, owned(&scene)) {
            let refused = scene.get("vs", "s").unwrap()["status"]["error"]["message"].as_str().is_some_and(|text| text.contains("VolumeSnapshotContent") || text.contains("exactly one"));
            prop_assert!(refused || content["metadata"]["annotations"][BEING_DELETED].is_null(), "{content:#}");
        }
    }

    #[test]
    fn a_cut_snapshot_is_never_cut_again(scene in scenes()) {
        let Some(snapshot) = scene.get("vs", "s") else { return Ok(()) };
        let cut = !snapshot["status"]["creationTime"].is_null();
        let posts = scene.plan("s").steps().any(|step| matches!(step, Step::CreateContent(_)));
        prop_assert!(!(cut && posts));
    }
}
