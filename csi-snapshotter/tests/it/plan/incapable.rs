//! Contents of groups whose driver takes none.

use crds::group::v1::VolumeGroupSnapshotClass;
use k8s_openapi::api::core::v1::ObjectReference;
use proptest::prelude::*;

use super::group_properties::contents;
use super::groups::{group, taken};
use super::properties::behind;
use super::*;
use crate::groups::{Group, by_hand, dynamic, static_};

const MESSAGE: &str = "the CSI driver d.example.com takes no group snapshots: it lacks the capability \
                       CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT; take a VolumeSnapshot of each claim instead";
const REMOVE: Step = Step::RemoveFinalizer { position: 0 };

fn incapable(content: Group) -> Given<Group, VolumeGroupSnapshotClass> {
    let mut given = group(content);
    given.settings.can_take = false;
    given
}

/// The VolumeGroupSnapshot `ns/g` of UID `u`.
fn asker() -> ObjectReference {
    ObjectReference {
        api_version: Some("groupsnapshot.storage.k8s.io/v1".into()),
        kind: Some("VolumeGroupSnapshot".into()),
        namespace: Some("ns".into()),
        name: Some("g".into()),
        uid: Some("u".into()),
        ..ObjectReference::default()
    }
}

/// The event of that message, about what.
fn told(about: Option<ObjectReference>) -> Event {
    Event {
        kind: EventType::Warning,
        reason: "GroupSnapshotNotSupported",
        message: MESSAGE.into(),
        about,
    }
}

#[test]
fn snapshot_case_162_whoever_waits_is_told_on_both_objects_without_a_call() {
    for (content, not_ready) in [
        (dynamic(), true),
        (by_hand(), true),
        (dynamic().marked(), true),
        (dynamic().error("another error"), false),
        (dynamic().cut(), false),
        (static_().bound(), true),
        (dynamic().terminating(), true),
    ] {
        let plan = incapable(content.clone()).plan();
        assert_eq!(plan.steps, [failed(MESSAGE, not_ready)], "{content:?}");
        assert_eq!(plan.events, [told(None), told(Some(asker()))], "{content:?}");
        assert_eq!((plan.next, plan.reads.len()), (Next::Await, 0));
        let absent = incapable(content).class(None).plan();
        assert_eq!(absent.steps, [failed(MESSAGE, not_ready)], "no class is needed");
    }
}

#[test]
fn snapshot_case_162_of_what_is_not_bound_the_content_alone_is_told() {
    let plan = incapable(static_()).plan();
    assert_eq!(plan.steps, [failed(MESSAGE, true)]);
    assert_eq!(plan.events, [told(None)]);
    for namespace in ["..", "a/b"] {
        let content = dynamic().change(|content| {
            content.spec.volume_group_snapshot_ref.namespace = Some(namespace.into());
        });
        assert_eq!(
            incapable(content).plan().events,
            [told(None)],
            "it would be a part of the path"
        );
    }
}

#[test]
fn snapshot_case_162_what_the_status_says_is_not_told_again() {
    for content in [
        dynamic().error(MESSAGE),
        by_hand().error(MESSAGE),
        dynamic().cut().error(MESSAGE),
        static_().error(MESSAGE),
        dynamic().ready(),
        dynamic().ready().terminating(),
    ] {
        let plan = incapable(content.clone()).plan();
        assert_eq!((plan.steps, plan.events), (vec![], vec![]), "{content:?}");
        assert_eq!(plan.next, Next::Await);
    }
    let settled = incapable(dynamic().cut().marked().error(MESSAGE)).plan();
    assert_eq!(
        settled.steps,
        [Step::Settle],
        "the mark of a call that is over goes"
    );
}

#[test]
fn snapshot_case_163_with_groups_the_content_is_taken_and_the_error_goes() {
    let plan = group(dynamic().error(MESSAGE)).plan();
    assert!(
        matches!(
            &plan.steps[..],
            [Step::Mark, Step::Call(Call::CreateGroup { .. })]
        ),
        "{plan:?}"
    );
    let reply = Reply::Created(Ok(taken(true)));
    let plan = group(dynamic().marked().error(MESSAGE)).reply(reply).plan();
    let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
        panic!("{plan:?}")
    };
    assert!(answer.clear_error && answer.ready == Some(true));
}

#[test]
fn snapshot_case_163_where_nothing_was_taken_the_finalizer_goes() {
    let blank = dynamic().marked().change(|content| {
        content.spec.source.volume_handles = Some(Vec::new());
    });
    for content in [
        dynamic(),
        dynamic().error(MESSAGE),
        dynamic().retain(),
        by_hand(),
        blank,
    ] {
        let plan = incapable(content.being_deleted()).plan();
        assert_eq!((plan.steps, plan.events), (vec![REMOVE], vec![]));
        assert_eq!(plan.next, Next::Await);
    }
    // Whether a VolumeGroupSnapshot is bound to it is asked of the API server, as ever.
    let imported = incapable(static_().bound().being_deleted());
    assert!(matches!(&imported.plan().steps[..], [Step::ReadAsker { .. }]));
    let plan = imported.reply(Reply::Behind(Behind::Nothing)).plan();
    assert_eq!(
        (plan.steps, plan.events),
        (vec![REMOVE], vec![]),
        "it was never seen"
    );
}

#[test]
fn snapshot_case_163_what_was_or_may_have_been_taken_is_not_left_behind() {
    for (content, what) in [
        (dynamic().ready(), "group group-1 exists"),
        (dynamic().cut(), "group group-1 exists"),
        (dynamic().marked(), "a call that was begun may have taken one"),
    ] {
        let plan = incapable(content.clone().being_deleted()).plan();
        assert_eq!(plan.steps, [], "the finalizer stays");
        let (reason, message) = event(&plan);
        assert_eq!(reason, "GroupSnapshotDeleteError");
        for part in [what, "d.example.com takes no group snapshots any more", "Retain"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(matches!(plan.next, Next::Backoff(_)), "{plan:?}");
        let plan = incapable(content.retain().being_deleted()).plan();
        assert_eq!(plan.steps, [REMOVE], "the way out");
    }
}

proptest! {
    // A failure prints its input; it becomes a row of a table.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn snapshot_case_162_such_a_driver_is_never_called(content in contents(), behind in proptest::option::of(behind())) {
        let mut given = incapable(content);
        given.reply = behind.map(Reply::Behind);
        let plan = given.plan();
        prop_assert!(plan.steps.iter().all(|step| !matches!(step, Step::Call(_) | Step::Mark)), "{:?}", plan);
        prop_assert!(plan.reads.is_empty(), "{:?}", plan);
        let spins = plan.steps.is_empty() && plan.next == Next::Again;
        prop_assert!(!spins, "{:?}", plan);
    }
}
