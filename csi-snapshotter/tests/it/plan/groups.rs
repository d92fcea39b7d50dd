//! Groups of snapshots. The rules are those of snapshots; here is what groups have of their own.

use crds::group::v1::{VolumeGroupSnapshotClass, VolumeSnapshotInfo};
use csi::Class::{Final, InProgress};
use csi_snapshotter::patch;
use serde_json::{Value, json};

use super::*;
use crate::groups::{
    BEING_CREATED, FINALIZER, Group, SECRET_NAME, SECRET_NAMESPACE, VOLUMES, by_hand, class, dynamic, info,
    static_, texts,
};

type GivenGroup = Given<Group, VolumeGroupSnapshotClass>;

pub fn group(content: Group) -> GivenGroup {
    given_with(content, class(&[("type", "fast")]), "groupsnapshot")
}

/// `group-1` of `snap-1` and `snap-2`, taken at second 100.
pub fn taken(ready: bool) -> Snapshot {
    let member = |number: u8| Snapshot {
        handle: format!("snap-{number}"),
        volume_handle: format!("vol-{number}"),
        group_handle: "group-1".into(),
        ..snapshot(ready)
    };
    Snapshot {
        handle: "group-1".into(),
        size_bytes: 0,
        volume_handle: String::new(),
        members: vec![member(1), member(2)],
        ..snapshot(ready)
    }
}

fn created(ready: bool) -> Reply {
    Reply::Created(Ok(taken(ready)))
}

fn create_group() -> Step {
    create_group_with(&[("type", "fast")])
}

fn create_group_with(parameters: &[(&str, &str)]) -> Step {
    let parameters = parameters
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    Step::Call(Call::CreateGroup {
        volume_handles: texts(&VOLUMES),
        name: "groupsnapshot-u".into(),
        parameters: parameters.collect(),
    })
}

fn get_group(members: &[&str]) -> Step {
    Step::Call(Call::GetGroup {
        group_handle: "group-x".into(),
        snapshot_handles: texts(members),
    })
}

fn delete_group(handle: &str, members: &[&str]) -> Step {
    Step::Call(Call::DeleteGroup {
        group_handle: handle.into(),
        snapshot_handles: texts(members),
    })
}

/// The body of the patch of a step.
fn body(content: &Group, step: &Step) -> Value {
    match patch::of(&content.0, step).unwrap().1 {
        controller::patch::Change::Json(patch) => json!(patch),
        controller::patch::Change::Merge(body) => body,
    }
}

#[test]
fn snapshot_case_130_the_mark_goes_before_the_call_and_away_after_the_status() {
    let plan = group(dynamic()).plan();
    assert_eq!(plan.steps, [Step::Mark, create_group()]);
    assert_eq!(plan.next, Next::Again);

    let marked = dynamic().marked();
    let plan = group(marked.clone()).reply(created(true)).plan();
    let written = Answer {
        handle: Some("group-1".into()),
        creation_time: Some(100_000_000_000),
        ready: Some(true),
        members: Some(vec![info(1, true), info(2, true)]),
        ..Answer::default()
    };
    assert_eq!(plan.steps, [answer(written), Step::Settle]);
    assert_eq!(
        (plan.next, plan.events.len()),
        (Next::Await, 0),
        "good news is the controller's"
    );
    let member = |number: u8| {
        json!({
            "volumeHandle": format!("vol-{number}"), "snapshotHandle": format!("snap-{number}"), "readyToUse": true,
            "creationTime": 100_000_000_000_i64, "restoreSize": 5_368_709_120_i64,
        })
    };
    let status = json!({
        "volumeGroupSnapshotHandle": "group-1",
        "creationTime": "1970-01-01T00:01:40Z",
        "readyToUse": true,
        "volumeSnapshotInfoList": [member(1), member(2)],
    });
    let patched = json!([
        { "op": "test", "path": "/metadata/uid", "value": "c-uid" },
        { "op": "test", "path": "/status", "value": null },
        { "op": "add", "path": "/status", "value": status },
    ]);
    assert_eq!(body(&marked, &plan.steps[0]), patched);
    let settled =
        json!({ "uid": "c-uid", "annotations": { (BEING_CREATED): null, "slackwater.io/fresh": null } });
    assert_eq!(body(&marked, &plan.steps[1]), json!({ "metadata": settled }));

    let plan = group(dynamic().ready()).plan();
    assert!(plan.steps.is_empty() && plan.next == Next::Await, "settled");
}

#[test]
fn snapshot_case_130_what_the_driver_does_not_say_stays_unset() {
    let mut silent = taken(true);
    silent.creation_time = None;
    for member in &mut silent.members {
        member.creation_time = None;
        member.size_bytes = 0;
    }
    let plan = group(dynamic().marked()).reply(Reply::Created(Ok(silent))).plan();
    let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
        panic!("{plan:?}")
    };
    assert_eq!(
        i128::from(answer.creation_time.unwrap()),
        now().as_nanosecond(),
        "not 1970"
    );
    let members = answer.members.as_ref().unwrap();
    assert!(
        members
            .iter()
            .all(|one| one.creation_time.is_none() && one.restore_size.is_none())
    );
}

#[test]
fn snapshot_case_131_polls_write_nothing_until_the_group_is_ready() {
    let mut partly = taken(false);
    partly.members[0].ready = true;
    let asked = group(dynamic().cut());
    let mut waits = Vec::new();
    let mut memory = Memory::default();
    for _ in 0..8 {
        let reply = Reply::Created(Ok(partly.clone()));
        let mut polled = asked.clone().reply(reply);
        polled.memory = memory;
        polled.now = polled.memory.poll_due.unwrap_or(now());
        let plan = polled.plan();
        assert_eq!(plan.steps, [], "one member alone says nothing of the group");
        let Next::After(wait) = plan.next else {
            panic!("{plan:?}")
        };
        waits.push(wait.as_secs());
        memory = plan.memory;
        let mut woken = asked.clone();
        (woken.memory, woken.now) = (memory.clone(), polled.now);
        assert_eq!(woken.plan().steps, [], "what wakes it before is no poll");
        woken.now = memory.poll_due.unwrap();
        assert_eq!(
            woken.plan().steps,
            [create_group()],
            "the handle is stored: no mark"
        );
    }
    assert_eq!(waits, [1, 1, 2, 4, 5, 5, 5, 5]);

    let plan = group(dynamic().cut()).reply(created(true)).plan();
    let written = Answer {
        ready: Some(true),
        members: Some(vec![info(1, true), info(2, true)]),
        ..Answer::default()
    };
    assert_eq!((plan.steps, plan.next), (vec![answer(written)], Next::Await));
}

#[test]
fn snapshot_case_132_errors_are_told_as_those_of_snapshots() {
    let text = "rpc error: code = Internal desc = no";
    let message = format!(
        "Failed to create group snapshot: failed to take group snapshot of the volumes vol-1, vol-2: {text:?}"
    );
    for (class, steps) in [
        (InProgress, vec![failed(&message, true)]),
        (Final, vec![Step::Unmark, failed(&message, true)]),
    ] {
        let plan = group(dynamic().marked())
            .reply(Reply::Created(Err(failure(class, text))))
            .plan();
        assert_eq!(plan.steps, steps);
        assert_eq!(event(&plan), ("GroupSnapshotCreationFailed", message.as_str()));
        assert!(matches!(plan.next, Next::Backoff(_)), "{plan:?}");
    }
    let told = dynamic().marked().error(&message);
    assert_eq!(
        group(told.clone()).plan().steps,
        [create_group()],
        "the mark is there"
    );
    let plan = group(told).reply(created(true)).plan();
    let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
        panic!("{plan:?}")
    };
    assert!(answer.clear_error);
    let absent = group(dynamic()).class(None).plan();
    let message = "Failed to create group snapshot: failed to get group snapshot class k: it does not exist";
    assert_eq!(
        absent.steps,
        [failed(message, true)],
        "nothing is marked or called"
    );
}

#[test]
fn snapshot_case_133_the_first_group_is_kept_and_nothing_deleted() {
    let mut second = taken(true);
    second.handle = "group-2".into();
    for (number, member) in (3..).zip(&mut second.members) {
        member.handle = format!("snap-{number}");
    }
    let plan = group(dynamic().cut()).reply(Reply::Created(Ok(second))).plan();
    let (reason, message) = event(&plan);
    assert_eq!(reason, "GroupSnapshotContentCheckandUpdateFailed");
    assert!(message.contains("snap-3, snap-4 of group group-2"), "{message}");
    assert_eq!(plan.steps, [failed(message, false)]);

    let mut renamed = taken(true);
    renamed.handle = "group-2".into();
    let plan = group(dynamic().cut()).reply(Reply::Created(Ok(renamed))).plan();
    let message = event(&plan).1;
    assert!(
        message.contains("group-1") && message.contains("group-2"),
        "{message}"
    );
    let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
        panic!("{plan:?}")
    };
    assert_eq!(
        (&answer.handle, answer.ready),
        (&None, Some(true)),
        "its snapshots are the same"
    );

    let mut nameless = taken(true);
    (nameless.handle, nameless.members) = ("group-2".into(), Vec::new());
    let plan = group(dynamic().cut()).reply(Reply::Created(Ok(nameless))).plan();
    let message = event(&plan).1.to_owned();
    assert_eq!(
        plan.steps,
        [failed(&message, false)],
        "CSI deletes none without its snapshots"
    );
}

#[test]
fn snapshot_case_133_other_snapshots_under_the_same_handle_are_told_and_none_is_deleted() {
    let mut other = taken(true);
    other.members[1].handle = "snap-9".into();
    let plan = group(dynamic().cut()).reply(Reply::Created(Ok(other))).plan();
    let message = event(&plan).1.to_owned();
    for part in ["snap-1, snap-9", "snap-1, snap-2", "group-1"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(plan.steps, [failed(&message, false)]);
    assert!(matches!(plan.next, Next::Backoff(_)), "{plan:?}");
}

#[test]
fn snapshot_case_133_a_group_of_which_a_part_is_missing_is_never_ready_and_can_be_deleted() {
    let mut part = taken(true);
    part.members.pop();
    let reply = Reply::Created(Ok(part));
    let plan = group(dynamic().marked()).reply(reply.clone()).plan();
    let kept = Answer {
        handle: Some("group-1".into()),
        creation_time: Some(100_000_000_000),
        ready: Some(false),
        members: Some(vec![info(1, true)]),
        ..Answer::default()
    };
    assert_eq!(plan.steps, [answer(kept), Step::Settle]);
    assert_eq!(plan.next, Next::Again);
    let partly = dynamic()
        .cut()
        .status(|status| status.volume_snapshot_info_list = Some(vec![info(1, true)]));
    let plan = group(partly.clone()).reply(reply).plan();
    let message = event(&plan).1.to_owned();
    assert!(
        message.contains("1 snapshots for the 2 volumes") && message.contains("vol-2"),
        "{message}"
    );
    assert_eq!(plan.steps, [failed(&message, false)]);
    let plan = group(partly.being_deleted()).plan();
    assert_eq!(plan.steps, [delete_group("group-1", &["snap-1"])]);
}

#[test]
fn snapshot_case_172_a_group_that_was_answered_in_part_is_ready_once_it_is_whole() {
    let known = |infos: Vec<VolumeSnapshotInfo>| {
        dynamic()
            .cut()
            .status(|status| status.volume_snapshot_info_list = Some(infos))
    };
    let plan = group(known(vec![info(1, false)])).reply(created(true)).plan();
    let whole = Answer {
        ready: Some(true),
        members: Some(vec![info(1, true), info(2, true)]),
        ..Answer::default()
    };
    assert_eq!((plan.steps, plan.next), (vec![answer(whole)], Next::Await));
    let plan = group(known(vec![info(1, false)])).reply(created(false)).plan();
    let whole = Answer {
        members: Some(vec![info(1, false), info(2, false)]),
        ..Answer::default()
    };
    assert_eq!(plan.steps, [answer(whole)], "also while it is not ready");
    // Known before anything is told, so that it can be deleted.
    let mut part = taken(true);
    part.members[1].volume_handle = "vol-9".into();
    let plan = group(known(vec![info(1, false)]))
        .reply(Reply::Created(Ok(part)))
        .plan();
    let [Step::Status(StatusChange::Answer(kept))] = &plan.steps[..] else {
        panic!("{plan:?}")
    };
    assert_eq!(kept.members.as_ref().map(Vec::len), Some(2));
    assert_eq!((kept.ready, plan.next), (None, Next::Again));
}

#[test]
fn snapshot_case_164_a_group_has_one_snapshot_of_each_volume_that_was_asked_for() {
    let rows = [
        (["vol-1", "vol-1"], "there is none of vol-2"),
        (
            ["vol-1", ""],
            "they are of vol-1, no volume; there is none of vol-2",
        ),
        (["vol-1", "vol-9"], "they are of vol-1, vol-9"),
    ];
    for (volumes, said) in rows {
        let mut odd = taken(true);
        for (member, volume) in odd.members.iter_mut().zip(volumes) {
            member.volume_handle = volume.into();
        }
        let cut = dynamic()
            .cut()
            .status(|status| status.volume_snapshot_info_list = Some(vec![info(1, true), info(2, true)]));
        let plan = group(cut).reply(Reply::Created(Ok(odd))).plan();
        let message = event(&plan).1.to_owned();
        assert!(message.contains(said), "{message}");
        assert_eq!(plan.steps, [failed(&message, false)], "{volumes:?}");
    }
    let mut more = taken(true);
    more.members.push(more.members[1].clone());
    let plan = group(dynamic().cut()).reply(Reply::Created(Ok(more))).plan();
    let message = event(&plan).1;
    assert!(
        message.ends_with("3 snapshots for the 2 volumes of group group-1: they are of vol-1, vol-2, vol-2"),
        "{message}"
    );
}

#[test]
fn snapshot_case_183_what_a_driver_cuts_along_is_stored_and_goes_with_the_group() {
    let mut more = taken(true);
    let along = Snapshot {
        handle: "snap-3".into(),
        volume_handle: "vol-3".into(),
        ..more.members[0].clone()
    };
    more.members.insert(0, along);
    let all = || Some(vec![info(3, true), info(1, true), info(2, true)]);
    let plan = group(dynamic().marked()).reply(Reply::Created(Ok(more))).plan();
    let written = Answer {
        handle: Some("group-1".into()),
        creation_time: Some(100_000_000_000),
        ready: Some(true),
        members: all(),
        ..Answer::default()
    };
    assert_eq!(plan.steps, [answer(written), Step::Settle]);
    assert_eq!(plan.next, Next::Await);
    let whole = dynamic()
        .ready()
        .status(|status| status.volume_snapshot_info_list = all());
    assert_eq!(
        group(whole.being_deleted()).plan().steps,
        [delete_group("group-1", &["snap-3", "snap-1", "snap-2"])]
    );
}

#[test]
fn snapshot_case_134_what_existed_before_is_looked_at_with_all_its_handles() {
    let plan = group(static_()).plan();
    assert_eq!(plan.steps, [get_group(&["snap-x", "snap-y"])]);
    let mut shown = taken(true);
    shown.handle = "group-x".into();
    let plan = group(static_())
        .reply(Reply::Listed(Ok(vec![shown.clone()])))
        .plan();
    let written = Answer {
        handle: Some("group-x".into()),
        creation_time: Some(100_000_000_000),
        ready: Some(true),
        ..Answer::default()
    };
    assert_eq!(
        plan.steps,
        [answer(written)],
        "its members have contents of their own"
    );
    shown.handle = "remote://group-x".into();
    let plan = group(static_()).reply(Reply::Listed(Ok(vec![shown]))).plan();
    let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
        panic!("{plan:?}")
    };
    assert_eq!(
        answer.handle.as_deref(),
        Some("group-x"),
        "whatever the driver calls it"
    );
    let text = "rpc error: code = NotFound desc = no";
    let plan = group(static_())
        .reply(Reply::Listed(Err(failure(Final, text))))
        .plan();
    let message = format!(
        "Failed to check and update group snapshot content: failed to get group snapshot for content groupsnapcontent-u: {text:?}"
    );
    assert_eq!(
        event(&plan),
        ("GroupSnapshotContentCheckandUpdateFailed", message.as_str())
    );
}

#[test]
fn snapshot_case_134_and_139_secrets_come_from_the_class_to_look_and_from_annotations_else() {
    let key = |part: &str| format!("csi.storage.k8s.io/group-snapshotter-get-secret-{part}");
    let (name, namespace) = (key("name"), key("namespace"));
    let templates = [
        (
            name.as_str(),
            "${volumegroupsnapshot.name}-${volumegroupsnapshotcontent.name}",
        ),
        (namespace.as_str(), "${volumegroupsnapshot.namespace}"),
    ];
    let plan = group(static_().class("k")).class(Some(class(&templates))).plan();
    let secret = SecretName {
        namespace: "ns".into(),
        name: "g-groupsnapcontent-u".into(),
    };
    assert_eq!((plan.reads, plan.steps.len()), (vec![secret], 0));

    let named = |group: Group| {
        group
            .annotated(SECRET_NAME, "sec")
            .annotated(SECRET_NAMESPACE, "sns")
    };
    for content in [dynamic(), dynamic().ready().being_deleted()] {
        let plan = group(named(content.clone())).plan();
        assert_eq!((plan.reads, plan.steps.len()), (vec![secret_ref()], 0));
        let plan = group(named(content))
            .secret(SecretAnswer::Found(Default::default()))
            .plan();
        assert!(matches!(plan.steps.last(), Some(Step::Call(_))), "{plan:?}");
    }
    let gone = group(named(dynamic().ready().being_deleted())).secret(SecretAnswer::NotFound);
    assert_eq!(
        gone.plan().steps,
        [delete_group("group-1", &["snap-1", "snap-2"])]
    );
    let foreign = dynamic()
        .annotated(crate::build::SECRET_NAME, "sec")
        .annotated(crate::build::SECRET_NAMESPACE, "sns");
    assert_eq!(
        group(foreign).plan().reads,
        [],
        "the keys of snapshots are not those of groups"
    );
    let text = "the annotations of group snapshot content groupsnapcontent-u name secret \"..\"";
    let bad = dynamic()
        .annotated(SECRET_NAME, "..")
        .annotated(SECRET_NAMESPACE, "sns");
    let plan = group(bad).plan();
    assert!(event(&plan).1.contains(text) && plan.reads.is_empty(), "{plan:?}");
}

#[test]
fn snapshot_case_139_names_and_parameters() {
    let mut asked = group(dynamic());
    asked.settings.extra_create_metadata = true;
    let mut parameters = vec![
        ("csi.storage.k8s.io/volumegroupsnapshot/name", "g"),
        ("csi.storage.k8s.io/volumegroupsnapshot/namespace", "ns"),
        (
            "csi.storage.k8s.io/volumegroupsnapshotcontent/name",
            "groupsnapcontent-u",
        ),
        ("type", "fast"),
    ];
    assert_eq!(asked.plan().steps, [Step::Mark, create_group_with(&parameters)]);
    asked.settings.extra_create_metadata = false;
    let secret_keys = [
        "group-snapshotter-secret-name",
        "group-snapshotter-get-secret-namespace",
        "snapshotter-secret-name",
    ];
    let secret_keys = secret_keys.map(|key| format!("csi.storage.k8s.io/{key}"));
    parameters = secret_keys.iter().map(|key| (key.as_str(), "x")).collect();
    parameters.push(("type", "fast"));
    let plan = asked.clone().class(Some(class(&parameters))).plan();
    assert_eq!(plan.steps, [Step::Mark, create_group()]);
    let plan = asked
        .class(Some(class(&[("csi.storage.k8s.io/foo", "x")])))
        .plan();
    assert!(event(&plan).1.contains("csi.storage.k8s.io/foo"));
    assert!(!plan.steps.contains(&Step::Mark));
}

#[test]
fn snapshot_case_135_a_group_goes_by_one_call_with_all_its_snapshots() {
    let content = dynamic().ready().being_deleted();
    let plan = group(content.clone()).plan();
    assert_eq!(plan.steps, [delete_group("group-1", &["snap-1", "snap-2"])]);
    let gone = Reply::Deleted {
        handle: "group-1".into(),
        outcome: Ok(()),
    };
    let plan = group(content.clone()).reply(gone.clone()).plan();
    assert_eq!(plan.steps, [Step::RemoveFinalizer { position: 0 }]);
    let patched = json!([
        { "op": "test", "path": "/metadata/uid", "value": "c-uid" },
        { "op": "test", "path": "/metadata/finalizers/0", "value": FINALIZER },
        { "op": "remove", "path": "/metadata/finalizers/0" },
    ]);
    assert_eq!(body(&content, &plan.steps[0]), patched);
    let kept = content
        .change(|content| content.metadata.finalizers = Some(texts(&["keep.example.com/x", FINALIZER])));
    let plan = group(kept.clone()).reply(gone).plan();
    assert_eq!(
        plan.steps,
        [
            Step::Status(StatusChange::Cleared),
            Step::RemoveFinalizer { position: 1 }
        ]
    );
    let removed = [
        "volumeGroupSnapshotHandle",
        "readyToUse",
        "creationTime",
        "volumeSnapshotInfoList",
    ]
    .map(|name| json!({ "op": "remove", "path": format!("/status/{name}") }));
    assert_eq!(body(&kept, &plan.steps[0]).as_array().unwrap()[1..], removed);
}

#[test]
fn snapshot_case_135_snapshot_handles_come_from_wherever_they_are_known() {
    let unnamed = dynamic()
        .cut()
        .status(|status| status.volume_snapshot_info_list = None)
        .being_deleted();
    let mut asked = group(unnamed.clone());
    asked.members = texts(&["snap-7", "snap-8"]);
    assert_eq!(
        asked.plan().steps,
        [delete_group("group-1", &["snap-7", "snap-8"])]
    );
    let found = found("u", Some("groupsnapcontent-u"));
    let Reply::Behind(Behind::Found { uid, content, .. }) = found else {
        panic!("{found:?}")
    };
    let going = Reply::Behind(Behind::Found {
        uid,
        content,
        is_going: true,
    });
    let plan = group(static_().bound().being_deleted()).reply(going).plan();
    assert_eq!(plan.steps, [delete_group("group-x", &["snap-x", "snap-y"])]);

    let plan = group(unnamed.clone()).plan();
    assert_eq!(plan.steps, [], "the finalizer stays");
    let (reason, message) = event(&plan);
    assert_eq!(reason, "GroupSnapshotDeleteError");
    assert!(
        message.contains("group-1") && message.contains("Retain"),
        "{message}"
    );
    assert!(matches!(plan.next, Next::Backoff(_)), "{plan:?}");
    assert_eq!(
        group(unnamed.retain()).plan().steps,
        [Step::RemoveFinalizer { position: 0 }],
        "the way out"
    );
}

#[test]
fn snapshot_case_135_policy_and_failures_of_a_deletion() {
    let plan = group(dynamic().ready().being_deleted().retain()).plan();
    assert_eq!(plan.steps, [Step::RemoveFinalizer { position: 0 }]);
    let refused = Reply::Deleted {
        handle: "group-1".into(),
        outcome: Err(failure(Final, "rpc error: no")),
    };
    let plan = group(dynamic().ready().being_deleted()).reply(refused).plan();
    let told = (
        "GroupSnapshotDeleteError",
        "Failed to delete group snapshot: rpc error: no",
    );
    assert_eq!((event(&plan), plan.steps.len()), (told, 0));
    let running = group(dynamic().marked().being_deleted()).plan();
    assert_eq!(running.steps, [create_group()], "the call must end first");
    let terminating = group(dynamic().ready().terminating()).plan();
    assert_eq!(
        terminating.steps,
        [],
        "until the controller says that its VolumeGroupSnapshot goes"
    );
}

#[test]
fn snapshot_case_110_a_content_that_is_put_back_by_hand_makes_nothing() {
    let plan = group(by_hand()).plan();
    let reads = Step::ReadAsker {
        namespace: "ns".into(),
        name: "g".into(),
    };
    assert_eq!(plan.steps, [reads]);
    let plan = group(by_hand()).reply(Reply::Behind(Behind::Nothing)).plan();
    let message = event(&plan).1.to_owned();
    assert!(
        message.contains("no VolumeGroupSnapshot stands behind") && message.contains("groupSnapshotHandles"),
        "{message}"
    );
    assert_eq!(plan.steps, [failed(&message, true)]);
    for behind in [
        Behind::Hidden,
        Behind::Found {
            uid: "u".into(),
            content: None,
            is_going: false,
        },
    ] {
        let plan = group(by_hand()).reply(Reply::Behind(behind)).plan();
        assert_eq!(plan.steps, [Step::Mark, create_group()]);
    }
}

#[test]
fn snapshot_case_107_blank_handles_name_nothing() {
    let volumes = |handles: &[&str]| {
        let handles = Some(texts(handles));
        dynamic().change(|content| content.spec.source.volume_handles = handles)
    };
    let blank = static_().change(|content| {
        let handles = content.spec.source.group_snapshot_handles.as_mut().unwrap();
        handles.volume_group_snapshot_handle = " ".into();
    });
    for (content, field) in [
        (volumes(&[]), "volumeHandles"),
        (volumes(&["vol-1", " "]), "volumeHandles"),
        (blank, "groupSnapshotHandles"),
    ] {
        let plan = group(content).plan();
        let text = format!("spec.source.{field} is blank");
        assert!(event(&plan).1.contains(&text), "{plan:?}");
        assert!(
            plan.steps
                .iter()
                .all(|step| !matches!(step, Step::Call(_) | Step::Mark)),
            "{plan:?}"
        );
        assert_eq!(plan.next, Next::Await);
    }
}
