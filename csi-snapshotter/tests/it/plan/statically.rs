//! Pre-provisioned contents.

use csi::Class::InProgress;
use csi_snapshotter::observe::Reply;
use csi_snapshotter::plan::Step;
use csi_snapshotter::plan::status::Answer;

use super::*;
use crate::build::{class, dynamic, static_};

fn listed(snapshot: Option<Snapshot>) -> Reply {
    Reply::Listed(Ok(snapshot.into_iter().collect()))
}

fn snap_x() -> Snapshot {
    Snapshot {
        handle: "snap-x".into(),
        ..snapshot(true)
    }
}

#[test]
fn snapshot_case_76_size_and_time_come_from_the_list_bound_or_not() {
    for content in [static_(), static_().bound()] {
        let plan = given(content.clone()).plan();
        assert_eq!((plan.steps, plan.next), (vec![list("snap-x")], Next::Again));
        let plan = given(content).reply(listed(Some(snap_x()))).plan();
        let written = Answer {
            handle: Some("snap-x".into()),
            creation_time: Some(100_000_000_000),
            restore_size: Some(5 << 30),
            ready: Some(true),
            ..Answer::default()
        };
        assert_eq!(
            (plan.steps, plan.next),
            (vec![answer(written)], Next::Await),
            "one request"
        );
    }
}

#[test]
fn snapshot_case_77_without_list_the_handle_is_trusted() {
    let mut given = given(static_());
    given.settings.can_look = false;
    let plan = given.plan();
    let written = Answer {
        handle: Some("snap-x".into()),
        creation_time: Some(i64::try_from(now().as_nanosecond()).unwrap()),
        ready: Some(true),
        ..Answer::default()
    };
    assert_eq!((plan.steps, plan.next), (vec![answer(written)], Next::Await));
}

#[test]
fn snapshot_case_78_an_unknown_handle_is_an_error() {
    let plan = given(static_()).reply(listed(None)).plan();
    let text = "Failed to check and update snapshot content: can not find snapshot for snapshotID snap-x";
    assert_eq!(plan.steps, [failed(text, true)]);
    assert_eq!(event(&plan), ("SnapshotContentCheckandUpdateFailed", text));
    let failing = Reply::Listed(Err(failure(
        InProgress,
        "rpc error: code = Unavailable desc = no",
    )));
    let plan = given(static_().error(text)).reply(failing).plan();
    let text = "Failed to check and update snapshot content: failed to list snapshot for content snapcontent-u: \
                \"rpc error: code = Unavailable desc = no\"";
    assert_eq!(plan.steps, [failed(text, false)]);
}

#[test]
fn snapshot_case_81_a_poll_that_brings_nothing_new_writes_nothing() {
    let waiting = Snapshot {
        ready: false,
        ..snap_x()
    };
    let plan = given(static_().bound())
        .reply(listed(Some(waiting.clone())))
        .plan();
    assert_eq!((plan.steps.len(), &plan.next), (1, &seconds(1)));
    let mut given = given(static_().bound().cut("snap-x"));
    given.memory = plan.memory;
    for wait in [1, 2, 4, 5] {
        given.now = given.memory.poll_due.unwrap();
        assert_eq!(given.plan().steps, [list("snap-x")]);
        let plan = given.clone().reply(listed(Some(Snapshot {
            size_bytes: 0,
            ..waiting.clone()
        })));
        let plan = plan.plan();
        assert_eq!((plan.steps, plan.next), (vec![], seconds(wait)));
        given.memory = plan.memory;
    }
}

#[test]
fn snapshot_case_85_a_group_id_from_the_list_is_stored() {
    let grouped = Snapshot {
        group_handle: "group-1".into(),
        ..snap_x()
    };
    let plan = given(static_()).reply(listed(Some(grouped))).plan();
    let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
        panic!("{plan:?}")
    };
    assert_eq!(answer.group_handle.as_deref(), Some("group-1"));
    assert_eq!(answer.ready, Some(true));
}

#[test]
fn a_named_class_must_exist() {
    let plan = given(static_().class("k")).class(None).plan();
    let text =
        "Failed to check and update snapshot content: failed to get snapshot class k: it does not exist";
    assert_eq!(plan.steps, [failed(text, true)]);
}

#[test]
fn snapshot_case_43_list_secrets_are_named_by_the_class() {
    let key = |part: &str| format!("csi.storage.k8s.io/snapshotter-list-secret-{part}");
    let (name, namespace) = (key("name"), key("namespace"));
    let with = |values: &[(&str, &str)]| given(static_().class("k")).class(Some(class(values)));

    let plan = with(&[
        (&name, "${volumesnapshot.name}"),
        (&namespace, "${volumesnapshot.namespace}"),
    ])
    .plan();
    let secret = SecretName {
        namespace: "ns".into(),
        name: "s".into(),
    };
    assert_eq!(plan.reads, std::slice::from_ref(&secret));
    let mut read = with(&[(&name, "s"), (&namespace, "ns")]);
    read.secret = Some(SecretRead {
        secret,
        answer: SecretAnswer::Found(Default::default()),
    });
    assert_eq!(read.plan().steps, [list("snap-x")]);

    for (values, text) in [
        (vec![(name.as_str(), "s")], "Both must be specified"),
        (
            vec![(name.as_str(), "s"), (namespace.as_str(), "")],
            "must not be empty",
        ),
        (
            vec![
                (name.as_str(), "s"),
                (namespace.as_str(), "${volumesnapshot.name}"),
            ],
            "invalid tokens: [\"volumesnapshot.name\"]",
        ),
        (
            vec![(name.as_str(), "${foo}"), (namespace.as_str(), "ns")],
            "invalid tokens: [\"foo\"]",
        ),
        (
            vec![(name.as_str(), "Not_A_Name"), (namespace.as_str(), "ns")],
            "is no valid DNS subdomain name",
        ),
        (
            vec![(name.as_str(), "s"), (namespace.as_str(), "a.b")],
            "is no valid DNS label",
        ),
    ] {
        let plan = with(&values).plan();
        assert!(event(&plan).1.contains(text), "{values:?}: {plan:?}");
        assert!(!plan.steps.contains(&list("snap-x")));
    }
}

#[test]
fn snapshot_case_108_a_list_without_the_handle_that_was_asked_for_finds_nothing() {
    let other = Snapshot {
        handle: "snap-y".into(),
        ..snapshot(true)
    };
    let others = Reply::Listed(Ok(vec![other.clone(), other.clone()]));
    let plan = given(static_()).reply(others).plan();
    let text = "Failed to check and update snapshot content: can not find snapshot for snapshotID snap-x; the driver answered \
                \"snap-y\" instead";
    assert_eq!(plan.steps, [failed(text, true)]);
    let both = Reply::Listed(Ok(vec![other, snap_x()]));
    let plan = given(static_()).reply(both).plan();
    let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
        panic!("{plan:?}")
    };
    assert_eq!(answer.handle.as_deref(), Some("snap-x"));
}

#[test]
fn snapshot_case_179_a_driver_may_list_a_handle_in_a_form_of_its_own() {
    let of = |handle: &str| Snapshot {
        handle: handle.into(),
        ready: false,
        ..snapshot(true)
    };
    for (listed, ready) in [
        (vec![of("InCluster:///pvc/snap-x")], false),
        (vec![of("snap-y"), of("SNAP-X")], false),
        (vec![of("SNAP-X"), snap_x()], true),
    ] {
        let plan = given(static_()).reply(Reply::Listed(Ok(listed))).plan();
        let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
            panic!("{plan:?}")
        };
        assert_eq!(
            (answer.handle.as_deref(), answer.ready),
            (Some("snap-x"), Some(ready))
        );
    }
}

#[test]
fn snapshot_case_107_a_handle_that_names_nothing_is_refused_at_once_and_can_be_deleted() {
    for blank in ["", " ", "\t\n"] {
        let mut content = static_();
        content.0.spec.source.snapshot_handle = Some(blank.into());
        for can_look in [true, false] {
            let mut given = given(content.clone());
            given.settings.can_look = can_look;
            let plan = given.plan();
            let text = "Failed to check and update snapshot content: spec.source.snapshotHandle is blank and names nothing; \
                        delete this content and make another one";
            assert_eq!(
                (plan.steps, plan.next),
                (vec![failed(text, true)], Next::Await),
                "{blank:?}"
            );
        }
        let bound = content.bound().being_deleted();
        let nobody = Reply::Behind(Behind::Nothing);
        assert_eq!(
            given(bound).reply(nobody).plan().steps,
            [Step::RemoveFinalizer { position: 0 }],
            "{blank:?}"
        );
    }
    let mut dynamic = dynamic();
    dynamic.0.spec.source.volume_handle = Some(String::new());
    let plan = given(dynamic.clone()).plan();
    assert!(
        event(&plan).1.contains("spec.source.volumeHandle is blank"),
        "{plan:?}"
    );
    assert_eq!(plan.steps.len(), 1, "no mark and no call: {plan:?}");
    assert_eq!(
        given(dynamic.being_deleted()).plan().steps,
        [Step::RemoveFinalizer { position: 0 }]
    );
}

#[test]
fn snapshot_case_109_a_class_of_another_driver_is_told_on_a_pre_provisioned_content_too() {
    let mut foreign = class(&[]);
    foreign.driver = "other".into();
    let plan = given(static_().class("k")).class(Some(foreign)).plan();
    let text = "Failed to check and update snapshot content: snapshot class k is of driver other, but content \
                snapcontent-u is of driver d.example.com; name a class of that driver";
    assert_eq!(plan.steps, [failed(text, true)]);
    assert_eq!(event(&plan), ("SnapshotContentCheckandUpdateFailed", text));
}
