//! DeleteSnapshot and the finalizer.

use csi::Class::{Final, InProgress};
use csi_snapshotter::observe::Reply;
use csi_snapshotter::plan::{StatusChange, Step};

use super::*;
use crate::build::{FINALIZER, GROUP, SECRET_NAME, SECRET_NAMESPACE, dynamic, static_};

fn deleted(handle: &str, outcome: Result<(), CallFailure>) -> Reply {
    Reply::Deleted {
        handle: handle.into(),
        outcome,
    }
}

const REMOVE: Step = Step::RemoveFinalizer { position: 0 };

#[test]
fn snapshot_case_58_the_snapshot_goes_then_the_finalizer() {
    let content = dynamic().ready("snap-1").being_deleted();
    let plan = given(content.clone()).plan();
    assert_eq!((plan.steps, plan.next), (vec![delete("snap-1")], Next::Again));
    let plan = given(content).reply(deleted("snap-1", Ok(()))).plan();
    assert_eq!(
        (plan.steps, plan.next),
        (vec![REMOVE], Next::Await),
        "one request, no status"
    );
}

#[test]
fn snapshot_case_59_retain_keeps_the_snapshot() {
    let plan = given(dynamic().ready("snap-1").retain().being_deleted()).plan();
    assert_eq!((plan.steps, plan.next), (vec![REMOVE], Next::Await));
}

#[test]
fn snapshot_case_154_a_mark_on_what_no_driver_can_cut_holds_up_no_deletion() {
    for handle in [" ", ""] {
        let mut content = dynamic().marked().error("an error").being_deleted();
        content.0.spec.source.volume_handle = Some(handle.into());
        let plan = given(content).plan();
        assert_eq!((plan.steps, plan.next), (vec![REMOVE], Next::Await));
    }
    let member = dynamic().annotated(GROUP, "group-1").marked().being_deleted();
    let plan = given(member).plan();
    assert_eq!(
        (plan.steps, plan.next),
        (vec![REMOVE], Next::Await),
        "its group takes it"
    );
}

#[test]
fn snapshot_case_60_a_retained_content_deleted_by_hand() {
    // It carries being-deleted since its VolumeSnapshot went.
    let plan = given(dynamic().ready("snap-1").retain().being_deleted()).plan();
    assert_eq!(plan.steps, [REMOVE], "the snapshot is kept");
    let flipped = dynamic().ready("snap-1").being_deleted();
    assert_eq!(
        given(flipped).plan().steps,
        [delete("snap-1")],
        "flipped to Delete first"
    );
}

#[test]
fn snapshot_case_62_a_failing_delete_is_told_and_retried() {
    let content = dynamic().ready("snap-1").being_deleted();
    for class in [Final, InProgress] {
        let outcome = Err(failure(class, "rpc error: code = Internal desc = no"));
        let plan = given(content.clone()).reply(deleted("snap-1", outcome)).plan();
        assert!(plan.steps.is_empty(), "the status is left alone: {plan:?}");
        let text = "Failed to delete snapshot: rpc error: code = Internal desc = no";
        assert_eq!(event(&plan), ("SnapshotDeleteError", text));
        assert!(matches!(plan.next, Next::Backoff(_)));
    }
    let outcome = Err(failure(Final, "rpc error: code = NotFound desc = gone"));
    let plan = given(content).reply(deleted("snap-1", outcome)).plan();
    assert!(
        plan.steps.is_empty(),
        "NotFound is an error of the driver: {plan:?}"
    );
}

#[test]
fn snapshot_case_63_what_was_deleted_is_not_deleted_again() {
    let content = dynamic().ready("snap-1").being_deleted();
    let plan = given(content.clone()).reply(deleted("snap-1", Ok(()))).plan();
    let mut given = given(content);
    given.memory = plan.memory;
    assert_eq!(given.plan().steps, [REMOVE]);
}

#[test]
fn snapshot_case_64_foreign_finalizers_stay_and_the_status_is_cleared_for_them() {
    let content = dynamic()
        .ready("snap-1")
        .being_deleted()
        .finalizers(&["velero.io/keep", FINALIZER]);
    let plan = given(content).reply(deleted("snap-1", Ok(()))).plan();
    assert_eq!(
        plan.steps,
        [
            Step::Status(StatusChange::Cleared),
            Step::RemoveFinalizer { position: 1 }
        ]
    );
    // Ours is gone, the other one still holds the object: nothing more, whatever wakes it.
    let mut content = dynamic().being_deleted().finalizers(&["velero.io/keep"]);
    content.0.status = Some(Default::default());
    assert!(given(content).plan().steps.is_empty());
}

#[test]
fn only_a_foreign_finalizer_still_deletes_the_snapshot() {
    let content = dynamic()
        .ready("snap-1")
        .being_deleted()
        .finalizers(&["velero.io/keep"]);
    assert_eq!(given(content.clone()).plan().steps, [delete("snap-1")]);
    let plan = given(content).reply(deleted("snap-1", Ok(()))).plan();
    assert_eq!(plan.steps, [Step::Status(StatusChange::Cleared)]);
}

#[test]
fn snapshot_case_69_a_content_deleted_under_a_living_snapshot_waits() {
    let plan = given(dynamic().ready("snap-1").terminating()).plan();
    assert!(plan.steps.is_empty() && plan.next == Next::Await);
}

#[test]
fn snapshot_case_70_being_deleted_set_later_lets_it_go() {
    let plan = given(dynamic().ready("snap-1").being_deleted()).plan();
    assert_eq!(plan.steps, [delete("snap-1")]);
}

#[test]
fn snapshot_case_83_an_unbound_static_content_goes_with_its_source_handle() {
    let content = static_().finalizers(&[FINALIZER]).terminating();
    let plan = given(content.clone()).plan();
    assert_eq!((plan.steps, plan.next), (vec![read_snapshot()], Next::Again));
    // Nobody, and somebody who was never bound to it.
    for reply in [
        Reply::Behind(Behind::Nothing),
        found("u", None),
        found("u", Some("other")),
    ] {
        assert_eq!(
            given(content.clone()).reply(reply).plan().steps,
            [delete("snap-x")]
        );
    }
    for outcome in [
        Ok(()),
        Err(failure(Final, "rpc error: code = NotFound desc = gone")),
    ] {
        let plan = given(content.clone()).reply(deleted("snap-x", outcome)).plan();
        assert_eq!((plan.steps, plan.next), (vec![REMOVE], Next::Await));
    }
    let nobody = || Reply::Behind(Behind::Nothing);
    let plan = given(content.clone().retain()).reply(nobody()).plan();
    assert_eq!(plan.steps, [REMOVE]);
    let marked = content.marked();
    assert_eq!(
        given(marked).reply(nobody()).plan().steps,
        [delete("snap-x")],
        "copied marks do not hold it"
    );
}

#[test]
fn snapshot_case_104_a_content_that_has_lost_its_uid_waits_for_the_snapshot_that_names_it() {
    let content = static_().ready("snap-x").finalizers(&[FINALIZER]).terminating();
    let plan = given(content.clone())
        .reply(found("u", Some("snapcontent-u")))
        .plan();
    assert_eq!((plan.steps, plan.next), (vec![], seconds(60)));
    // Where our role shows no VolumeSnapshot, the controller has a minute to give the UID back or to say that it may go.
    let mut given = given(content.clone()).reply(Reply::Behind(Behind::Hidden));
    for (left, next) in [(60, 20), (40, 50), (10, 60)] {
        let plan = given.plan();
        assert_eq!((plan.steps, plan.next), (vec![], seconds(left)));
        given.memory = plan.memory;
        given.now = Timestamp::from_second(now().as_second() + next).unwrap();
    }
    assert_eq!(given.plan().steps, [delete("snap-x")]);
    given.content = content.being_deleted();
    given.memory = Default::default();
    assert_eq!(given.plan().steps, [delete("snap-x")], "the controller's word");
}

#[test]
fn a_mark_of_a_call_that_a_static_content_cannot_have_holds_up_no_deletion() {
    let content = static_().bound().marked().being_deleted();
    let given = given(content).reply(Reply::Behind(Behind::Nothing));
    assert_eq!(given.plan().steps, [delete("snap-x")]);
}

#[test]
fn snapshot_case_103_a_mark_of_a_former_life_deletes_nothing_under_a_living_snapshot() {
    for content in [
        static_().bound().ready("snap-x").being_deleted(),
        static_().bound().ready("snap-x").retain().being_deleted(),
    ] {
        assert_eq!(given(content.clone()).plan().steps, [read_snapshot()]);
        let living = given(content.clone()).reply(found("u", Some("snapcontent-u")));
        let plan = living.plan();
        assert_eq!((plan.steps, plan.next), (vec![], seconds(60)));
        let going = Reply::Behind(Behind::Found {
            uid: "u".into(),
            content: Some("snapcontent-u".into()),
            is_going: true,
        });
        for reply in [
            going,
            Reply::Behind(Behind::Nothing),
            Reply::Behind(Behind::Hidden),
        ] {
            assert_eq!(
                given(content.clone()).reply(reply).plan().steps.len(),
                1,
                "the mark is right"
            );
        }
    }
}

#[test]
fn snapshot_case_84_without_finalizer_there_is_nothing_to_do() {
    assert!(given(static_().terminating()).plan().steps.is_empty());
}

#[test]
fn members_of_a_group_lose_only_their_finalizer() {
    let content = dynamic().ready("snap-1").group_handle("group-1").being_deleted();
    assert_eq!(given(content).plan().steps, [REMOVE]);
}

#[test]
fn deletion_needs_no_class_and_no_secret_that_is_gone() {
    let content = dynamic()
        .annotated(SECRET_NAME, "sec")
        .annotated(SECRET_NAMESPACE, "sns")
        .ready("snap-1")
        .being_deleted();
    let given = given(content).class(None);
    assert_eq!(given.plan().reads, [secret_ref()]);
    let missing = given.clone().secret(SecretAnswer::NotFound);
    assert_eq!(missing.plan().steps, [delete("snap-1")]);
    let refused = given.secret(SecretAnswer::Refused("forbidden".into()));
    let plan = refused.plan();
    assert!(plan.steps.is_empty());
    assert!(
        event(&plan).1.starts_with("Failed to get snapshot credentials"),
        "{plan:?}"
    );
}
