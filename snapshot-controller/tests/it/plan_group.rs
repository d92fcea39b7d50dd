//! Decisions about groups, their contents and members, by tables.

use std::sync::Arc;

use controller::{Action, Next};
use crds::group::v1::VolumeGroupSnapshot;
use runtime::ObjectKey;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use snapshot_controller::plan::group::content::{self, ObservedGroupContent};
use snapshot_controller::plan::group::{
    ObservedGroup, ObservedMember, Plan, SelectedClaim, Step, member, plan,
};
use snapshot_controller::plan::{Lookup, Options};

use crate::group_scene::{class, content_of_g, group};
use crate::group_world::{GROUP_BEING_DELETED, GROUP_FINALIZER};
use crate::scene::{NOW, now, ready};

fn typed<T: DeserializeOwned>(value: &Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value.clone()).unwrap())
}

fn claim(name: &str, driver: &str) -> SelectedClaim {
    let volume = format!("v{name}");
    SelectedClaim {
        claim: typed(&json!({
            "metadata": {"name": name, "namespace": "ns", "uid": format!("u{name}")},
            "spec": {"volumeName": volume}, "status": {"phase": "Bound"},
        })),
        volume: Lookup::Found(typed(&json!({
            "metadata": {"name": volume},
            "spec": {"csi": {"driver": driver, "volumeHandle": format!("vol-{name}")},
                "claimRef": {"namespace": "ns", "name": name, "uid": format!("u{name}")}},
        }))),
    }
}

/// Group `g` with class `gk` and nothing else.
fn observed(rest: &Value) -> ObservedGroup {
    ObservedGroup {
        group: typed(&group(rest)),
        content: Lookup::Absent,
        class: Lookup::Found(typed(&class("gk", "d", false))),
        default_classes: Vec::new(),
        members: Vec::new(),
        owned: Vec::new(),
        restores: Vec::new(),
        is_live: true,
        sees_users: true,
        options: Options::default(),
    }
}

fn decide(observed: &ObservedGroup, selected: Option<&[SelectedClaim]>) -> Plan {
    plan(observed, selected, now())
}

/// Reason and text of what stops the group.
fn refusal(observed: &ObservedGroup, selected: Option<&[SelectedClaim]>) -> String {
    match decide(observed, selected).next {
        Next::Backoff(trouble) => trouble.why,
        next => panic!("not refused: {next:?}"),
    }
}

/// The names of the steps, in order.
fn steps(plan: &Plan) -> Vec<String> {
    let name = |step: &Step| {
        let text = format!("{step:?}");
        text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
    };
    plan.steps().map(name).collect()
}

fn events(plan: &Plan) -> Vec<&'static str> {
    let told = plan.actions.iter().filter_map(|action| match action {
        Action::Event(event) => Some(event.reason),
        Action::Step(_) | Action::ReadSecret(_) => None,
    });
    told.collect()
}

#[test]
fn snapshot_case_94_the_claims_are_listed_once_and_after_all_that_can_be_told_without_them() {
    let wanted = decide(&observed(&json!({})), None);
    let list = Step::ListClaims {
        namespace: "ns".into(),
        selector: "app=db".into(),
    };
    assert_eq!(wanted.actions, [Action::Step(list)]);
    assert_eq!(wanted.next, Next::Again);
    let mut classless = observed(&json!({}));
    classless.class = Lookup::Absent;
    let told = refusal(&classless, None);
    assert!(
        told.contains("GetGroupSnapshotClassFailed") && told.contains("\"gk\" not found"),
        "{told}"
    );
    let all = observed(&json!({"spec": {"source": {"selector": {"matchLabels": null}}}}));
    assert!(refusal(&all, None).starts_with("GroupSnapshotValidationError"));
    assert!(refusal(&observed(&json!({})), Some(&[])).contains("not applied to any PVC"));
}

#[test]
fn snapshot_case_95_the_finalizer_is_there_before_the_content() {
    let plan = decide(&observed(&json!({})), Some(&[claim("p", "d"), claim("q", "d")]));
    assert_eq!(steps(&plan), ["PatchGroup", "CreateContent", "PatchGroupStatus"]);
    assert_eq!(events(&plan), ["CreatingGroupSnapshot"]);
    let made = plan.steps().find_map(|step| match step {
        Step::CreateContent(content) => Some(content),
        _ => None,
    });
    let made = serde_json::to_value(made.unwrap()).unwrap();
    let mut expected = content_of_g(&json!({}));
    for bare in ["uid", "resourceVersion"] {
        expected["metadata"].as_object_mut().unwrap().remove(bare);
    }
    let reference = &mut expected["spec"]["volumeGroupSnapshotRef"];
    reference["apiVersion"] = json!("groupsnapshot.storage.k8s.io/v1");
    reference["kind"] = json!("VolumeGroupSnapshot");
    reference["resourceVersion"] = json!("10");
    // The sidecar need not ask who wants it.
    expected["metadata"]["annotations"] = json!({"slackwater.io/fresh": "yes"});
    assert_eq!(made, expected);
}

#[test]
fn snapshot_case_97_a_claim_that_cannot_be_cut_stops_the_group() {
    let mut unbound = claim("q", "d");
    unbound.claim = typed(&json!({"metadata": {"name": "q", "namespace": "ns"}, "spec": {}}));
    let mut strange = claim("q", "d");
    strange.volume = Lookup::Found(typed(&json!({
        "metadata": {"name": "vq"}, "spec": {"csi": {"driver": "d", "volumeHandle": "vol-q"},
            "claimRef": {"namespace": "ns", "name": "q", "uid": "another"}},
    })));
    for (second, says) in [
        (
            claim("q", "other"),
            "Volume CSI driver (other) mismatch with VolumeGroupSnapshotClass (d)",
        ),
        (unbound, "the PVC q is not yet bound"),
        (strange, "is not bound to claim q"),
    ] {
        let selected = [claim("p", "d"), second];
        let told = refusal(&observed(&json!({})), Some(&selected));
        assert!(
            told.starts_with("CreateGroupSnapshotContentFailed") && told.contains(says),
            "{told}"
        );
        let plan = decide(&observed(&json!({})), Some(&selected));
        assert_eq!(steps(&plan), ["PatchGroupStatus"], "nothing is made");
    }
}

#[test]
fn snapshot_case_36_37_the_default_class_of_a_group_is_of_its_volumes_driver() {
    let bare = json!({"spec": {"volumeGroupSnapshotClassName": null}});
    let with = |classes: &[Value]| {
        let mut seen = observed(&bare);
        seen.class = Lookup::NotReferenced;
        seen.default_classes = classes.iter().map(typed).collect();
        seen
    };
    let selected = [claim("p", "d")];
    let one = decide(
        &with(&[class("a", "other", true), class("b", "d", true)]),
        Some(&selected),
    );
    assert!(format!("{one:?}").contains("volume_group_snapshot_class_name: Some(\"b\")"));
    assert_eq!(steps(&one), ["PatchGroup", "CreateContent", "PatchGroupStatus"]);
    let none = refusal(&with(&[class("a", "other", true)]), Some(&selected));
    assert!(
        none.contains("cannot find default group snapshot class"),
        "{none}"
    );
    let two = refusal(
        &with(&[class("a", "d", true), class("b", "d", true)]),
        Some(&selected),
    );
    assert!(
        two.contains("2 default group snapshot classes were found: a, b"),
        "{two}"
    );
}

#[test]
fn snapshot_case_124_the_secret_of_a_group_is_resolved_with_it_and_goes_to_its_members() {
    let mut seen = observed(&json!({}));
    let mut with_secret = class("gk", "d", false);
    with_secret["parameters"] = json!({
        "csi.storage.k8s.io/group-snapshotter-secret-name": "${volumegroupsnapshot.name}-${volumegroupsnapshotcontent.name}",
        "csi.storage.k8s.io/group-snapshotter-secret-namespace": "${volumegroupsnapshot.namespace}",
    });
    seen.class = Lookup::Found(typed(&with_secret));
    let plan = decide(&seen, Some(&[claim("p", "d")]));
    let made = plan.steps().find_map(|step| match step {
        Step::CreateContent(content) => content.metadata.annotations.clone(),
        _ => None,
    });
    let annotation = |key: &str| format!("groupsnapshot.storage.kubernetes.io/deletion-secret-{key}");
    let made = made.unwrap();
    assert_eq!(made[&annotation("name")], "g-groupsnapcontent-gu");
    assert_eq!(made[&annotation("namespace")], "ns");
    assert_eq!(
        made["slackwater.io/fresh"], "yes",
        "the sidecar need not ask who wants it"
    );
    let mut seen = with_member(&json!({"metadata": {"annotations": made}}));
    let uid = json!({"metadata": {"uid": "mu"}});
    seen.members[0].snapshot = Lookup::Found(typed(&member_of_g(&uid)));
    let plan = decide(&seen, None);
    let content = plan.steps().find_map(|step| match step {
        Step::CreateMemberContent(content) => content.metadata.annotations.clone(),
        _ => None,
    });
    let single = "snapshot.storage.kubernetes.io/deletion-secret-name";
    assert_eq!(content.unwrap()[single], "g-groupsnapcontent-gu");
    with_secret["parameters"]["csi.storage.k8s.io/group-snapshotter-secret-namespace"] =
        json!("${volumegroupsnapshot.name}");
    let mut seen = observed(&json!({}));
    seen.class = Lookup::Found(typed(&with_secret));
    let told = refusal(&seen, Some(&[claim("p", "d")]));
    assert!(
        told.contains("invalid tokens"),
        "who may make a group must not choose the namespace: {told}"
    );
}

/// The group with its content, which the driver has made with one member.
fn with_member(rest: &Value) -> ObservedGroup {
    let mut content = content_of_g(
        &json!({"status": {"volumeGroupSnapshotHandle": "group-1", "readyToUse": true,
        "creationTime": NOW, "volumeSnapshotInfoList": [{"volumeHandle": "vol-p", "snapshotHandle": "snap-p",
            "readyToUse": true}]}}),
    );
    json_patch::merge(&mut content, rest);
    let mut seen = observed(&json!({"metadata": {"finalizers": [GROUP_FINALIZER]},
        "status": {"boundVolumeGroupSnapshotContentName": "groupsnapcontent-gu", "readyToUse": false}}));
    let info = &content["status"]["volumeSnapshotInfoList"][0];
    seen.members = vec![ObservedMember {
        info: serde_json::from_value(info.clone()).unwrap(),
        snapshot: Lookup::Absent,
        content: Lookup::Absent,
        volume: claim("p", "d").volume.found().cloned(),
    }];
    seen.content = Lookup::Found(typed(&content));
    seen
}

fn member_of_g(rest: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": member::name("gu", "vol-p"), "namespace": "ns", "uid": "mu", "resourceVersion": "1",
            "ownerReferences": [{"apiVersion": "groupsnapshot.storage.k8s.io/v1beta2",
                "kind": "VolumeGroupSnapshot", "name": "g", "uid": "gu"}]},
        "spec": {"source": {"persistentVolumeClaimName": "p"}},
    });
    json_patch::merge(&mut object, rest);
    object
}

#[test]
fn snapshot_case_95_96_members_come_before_the_group_is_ready_and_are_not_written_again() {
    let mut seen = with_member(&json!({}));
    let plan = decide(&seen, None);
    assert_eq!(
        (steps(&plan), &plan.next),
        (vec!["CreateMember".to_owned()], &Next::Again)
    );
    seen.members[0].snapshot = Lookup::Found(typed(&member_of_g(&json!({}))));
    let plan = decide(&seen, None);
    assert_eq!(steps(&plan), ["CreateMemberContent"]);
    let Some(Step::CreateMemberContent(made)) = plan.steps().next() else {
        panic!("{plan:?}")
    };
    let mut made = serde_json::to_value(made).unwrap();
    assert_eq!(made["spec"]["volumeSnapshotRef"]["uid"], "mu");
    made["metadata"]["uid"] = json!("mcu");
    seen.members[0].content = Lookup::Found(typed(&made));
    let plan = decide(&seen, None);
    assert_eq!(steps(&plan), ["PatchMemberContentStatus"]);
    let text = format!("{plan:?}");
    for value in ["snap-p", "group-1", "1767323045000000000"] {
        assert!(text.contains(value), "{value}: {text}");
    }
    made["status"] = json!({"snapshotHandle": "snap-p"});
    seen.members[0].content = Lookup::Found(typed(&made));
    let plan = decide(&seen, None);
    assert_eq!(steps(&plan), ["PatchGroupStatus"]);
    assert_eq!(events(&plan), ["GroupSnapshotCreated", "GroupSnapshotReady"]);
}

#[test]
fn snapshot_case_184_what_a_driver_cuts_along_is_no_member() {
    let mut seen = with_member(&json!({}));
    let of = |handle: &str, volume| ObservedMember {
        info: serde_json::from_value(json!({"volumeHandle": handle, "snapshotHandle": "snap-z"})).unwrap(),
        snapshot: Lookup::Absent,
        content: Lookup::Absent,
        volume,
    };
    // Of nobody's volume, and of a claim beside it that was not selected.
    seen.members.insert(0, of("vol-z", None));
    seen.members
        .push(of("vol-y", claim("y", "d").volume.found().cloned()));
    let plan = decide(&seen, None);
    let made: Vec<_> = plan
        .steps()
        .filter_map(|step| match step {
            Step::CreateMember(member) => member.metadata.name.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(made, [member::name("gu", "vol-p")]);
    seen.members.remove(1);
    assert_eq!(
        steps(&decide(&seen, None)),
        ["CreateMember", "CreateMember"],
        "a driver with forms of its own"
    );
}

#[test]
fn snapshot_case_125_an_object_of_a_members_name_that_is_none_is_told_and_not_touched() {
    let mut seen = with_member(&json!({}));
    seen.members[0].snapshot = Lookup::Found(typed(&member_of_g(
        &json!({"metadata": {"ownerReferences": null}}),
    )));
    let told = refusal(&seen, None);
    assert!(told.contains("is none; delete it"), "{told}");
}

#[test]
fn snapshot_case_73_126_the_content_of_a_cut_group_is_not_made_anew() {
    let cut = json!({"status": {"boundVolumeGroupSnapshotContentName": "groupsnapcontent-gu",
        "creationTime": NOW, "readyToUse": true}});
    let told = refusal(&observed(&cut), None);
    assert!(told.starts_with("GroupSnapshotContentMissing"), "{told}");
    let elsewhere = json!({"status": {"boundVolumeGroupSnapshotContentName": "another"}});
    assert!(refusal(&observed(&elsewhere), None).starts_with("GroupSnapshotContentMissing"));
}

#[test]
fn snapshot_case_80_127_a_group_and_a_content_that_do_not_belong_together_are_told() {
    let given = json!({"spec": {"source": {"selector": null, "volumeGroupSnapshotContentName": "gc"}}});
    let handles = json!({"spec": {"source": {"volumeHandles": null, "groupSnapshotHandles":
        {"volumeGroupSnapshotHandle": "old", "volumeSnapshotHandles": ["a"]}}}});
    let of_another = json!({"spec": {"volumeGroupSnapshotRef": {"uid": "another"}}});
    let mut foreign = content_of_g(&handles);
    foreign["spec"]["volumeGroupSnapshotRef"]["name"] = json!("other");
    let mut blank = content_of_g(&handles);
    blank["spec"]["source"]["groupSnapshotHandles"]["volumeGroupSnapshotHandle"] = json!(" ");
    for (group, content, says) in [
        (&given, content_of_g(&json!({})), "GroupSnapshotContentMismatch"),
        (&json!({}), content_of_g(&handles), "GroupSnapshotContentMismatch"),
        (&given, blank, "is blank"),
        (&given, foreign, "GroupSnapshotContentMisbound"),
        (
            &json!({}),
            content_of_g(&of_another),
            "GroupSnapshotContentMisbound",
        ),
    ] {
        let mut seen = observed(group);
        seen.content = Lookup::Found(typed(&content));
        let told = refusal(&seen, None);
        assert!(told.contains(says), "{told}");
    }
    let mut seen = observed(&given);
    seen.content = Lookup::Absent;
    assert!(refusal(&seen, None).starts_with("GroupSnapshotContentMissing"));
    let mut other_class = observed(&given);
    other_class.class = Lookup::Found(typed(&class("gk", "other", false)));
    let mut unbound = content_of_g(&handles);
    unbound["spec"]["volumeGroupSnapshotRef"]
        .as_object_mut()
        .unwrap()
        .remove("uid");
    other_class.content = Lookup::Found(typed(&unbound));
    assert!(refusal(&other_class, None).starts_with("GroupSnapshotBindFailed"));
}

#[test]
fn snapshot_case_99_the_content_goes_first_and_then_the_group() {
    let dying = json!({"metadata": {"finalizers": [GROUP_FINALIZER], "deletionTimestamp": NOW}});
    let mut seen = observed(&dying);
    seen.content = Lookup::Found(typed(&content_of_g(&json!({}))));
    seen.owned = vec![typed(&member_of_g(&json!({})))];
    assert_eq!(
        steps(&decide(&seen, None)),
        ["PatchContent", "DeleteContent", "DeleteMember"]
    );
    seen.content = Lookup::Found(typed(&content_of_g(
        &json!({"spec": {"deletionPolicy": "Retain"}}),
    )));
    assert_eq!(
        steps(&decide(&seen, None)),
        ["PatchContent", "DeleteMember", "PatchGroup"]
    );
    let marked =
        json!({"metadata": {"annotations": {(GROUP_BEING_DELETED): "yes"}, "deletionTimestamp": NOW}});
    seen.content = Lookup::Found(typed(&content_of_g(&marked)));
    seen.owned = vec![typed(&member_of_g(
        &json!({"metadata": {"deletionTimestamp": NOW}}),
    ))];
    assert_eq!(decide(&seen, None), Plan::resting(()), "each is sent once");
    seen.content = Lookup::Absent;
    assert_eq!(steps(&decide(&seen, None)), ["PatchGroup"]);
    seen.content = Lookup::Unknown;
    assert_eq!(steps(&decide(&seen, None)), ["ReadContent"]);
    seen.restores = vec![ObjectKey::new("ns", "restored")];
    seen.content = Lookup::Absent;
    assert!(refusal(&seen, None).contains("ns/restored"));
    let released = json!({"metadata": {"deletionTimestamp": NOW}});
    assert_eq!(decide(&observed(&released), None), Plan::resting(()));
}

#[test]
fn snapshot_case_168_members_are_let_go_before_a_group_that_keeps_its_snapshots() {
    let dying = |finalizers: Value| {
        let metadata = json!({"deletionTimestamp": NOW, "finalizers": finalizers});
        let mut seen = observed(&json!({"metadata": metadata}));
        let owner = json!([{"apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
            "name": "g", "uid": "gu"}]);
        let member = ready("Delete").with("vs", "s", json!({"metadata": {"ownerReferences": owner}}));
        seen.owned = vec![member.typed("vs", "s").unwrap()];
        seen
    };
    for (policy, orphaning) in [("Retain", 0), ("Delete", 3)] {
        let with_content = |mut seen: ObservedGroup| {
            seen.content = Lookup::Found(typed(&content_of_g(&json!({"spec": {"deletionPolicy": policy}}))));
            decide(&seen, None)
        };
        let plan = with_content(dying(json!([GROUP_FINALIZER, "orphan"])));
        assert_eq!(steps(&plan).len(), orphaning, "{policy}: {:?}", steps(&plan));
        let plan = with_content(dying(json!([GROUP_FINALIZER])));
        assert_eq!(steps(&plan).len(), 3, "{policy}: {:?}", steps(&plan));
    }
}

fn plan_content(content: &Value, group: Option<&Value>, is_read: bool) -> Plan {
    content::plan(&ObservedGroupContent {
        content: typed(content),
        group: group.map_or(Lookup::Absent, |group| Lookup::Found(typed(group))),
        is_read,
    })
}

#[test]
fn snapshot_case_69_70_128_a_content_that_is_deleted_waits_for_its_group_or_is_marked() {
    let dying = json!({"metadata": {"deletionTimestamp": NOW}});
    let content = content_of_g(&dying);
    let waits = plan_content(&content, Some(&group(&json!({}))), false);
    assert_eq!(
        (steps(&waits), events(&waits)),
        (Vec::new(), vec!["GroupSnapshotContentBeingDeleted"])
    );
    assert_eq!(steps(&plan_content(&content, None, false)), ["ReadGroup"]);
    let marked = plan_content(&content, None, true);
    assert!(format!("{marked:?}").contains(GROUP_BEING_DELETED));
    let another = group(&json!({"metadata": {"uid": "another"}}));
    assert_eq!(
        steps(&plan_content(&content, Some(&another), true)),
        ["PatchContent"]
    );
    let mut lost = content_of_g(&dying);
    lost["spec"]["volumeGroupSnapshotRef"]
        .as_object_mut()
        .unwrap()
        .remove("uid");
    let let_go = format!("{:?}", plan_content(&lost, None, true));
    assert!(
        !let_go.contains(GROUP_BEING_DELETED) && let_go.contains("Release"),
        "{let_go}"
    );
    let bare = content_of_g(&json!({"metadata": {"finalizers": null}}));
    assert!(format!("{:?}", plan_content(&bare, None, false)).contains("Protect"));
    let both = content_of_g(&json!({"spec": {"source": {"groupSnapshotHandles":
        {"volumeGroupSnapshotHandle": "old", "volumeSnapshotHandles": []}}}}));
    assert_eq!(
        events(&plan_content(&both, None, false)),
        ["GroupContentValidationError"]
    );
}

#[test]
fn snapshot_case_98_a_member_waits_for_its_group() {
    let owner = json!([{"apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
        "name": "g", "uid": "gu"}]);
    let mut scene = ready("Delete").with("vs", "s", json!({"metadata": {"ownerReferences": owner}}));
    scene.delete("vs", "s");
    let alive: Arc<VolumeGroupSnapshot> = typed(&group(&json!({})));
    scene.group = Lookup::Found(alive);
    let told = scene.lines("s");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("Warning SnapshotDeletePending"), "{told:?}");
    let dying = group(&json!({"metadata": {"deletionTimestamp": NOW}}));
    for quiet in [Lookup::Unknown, Lookup::Found(typed(&dying))] {
        scene.group = quiet;
        assert!(scene.lines("s").is_empty());
    }
    scene.group = Lookup::Absent;
    assert!(scene.lines("s")[0].starts_with("PATCH vsc snapcontent-u"));
}

#[test]
fn snapshot_case_129_what_may_only_not_be_known_yet_is_not_refused() {
    let mut lost = observed(&json!({}));
    lost.class = Lookup::Absent;
    lost.is_live = false;
    let mut young = observed(&json!({"metadata": {"creationTimestamp": NOW}}));
    young.class = Lookup::Absent;
    for seen in [lost, young] {
        let plan = decide(&seen, None);
        assert!(
            plan.actions.is_empty() && matches!(plan.next, Next::After(_)),
            "{plan:?}"
        );
    }
}

#[test]
fn snapshot_case_175_no_member_goes_while_its_users_may_only_not_be_known_yet() {
    let finalizers = json!([crds::names::group::SNAPSHOT_FINALIZER]);
    let mut seen = observed(&json!({"metadata": {"deletionTimestamp": NOW, "finalizers": finalizers}}));
    assert!(!decide(&seen, None).actions.is_empty());
    seen.sees_users = false;
    let plan = decide(&seen, None);
    assert!(
        plan.actions.is_empty() && matches!(plan.next, Next::After(_)),
        "{plan:?}"
    );
}

#[test]
fn snapshot_case_177_claims_are_not_listed_for_a_refusal_that_would_be_put_off() {
    let mut seen = observed(&json!({}));
    assert_eq!(decide(&seen, None).actions.len(), 1, "the LIST");
    seen.is_live = false;
    let plan = decide(&seen, None);
    assert!(
        plan.actions.is_empty() && matches!(plan.next, Next::After(_)),
        "{plan:?}"
    );
}
