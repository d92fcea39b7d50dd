//! CreateSnapshot and the poll.

use csi::Class::{Final, InProgress};
use csi_snapshotter::observe::Reply;
use csi_snapshotter::plan::Step;
use csi_snapshotter::plan::status::Answer;
use jiff::Timestamp;

use super::*;
use crate::build::{GROUP, SECRET_NAME, SECRET_NAMESPACE, by_hand, class, dynamic, static_};

const BAD: &str = "rpc error: code = InvalidArgument desc = bad";
const BAD_STATUS: &str = "Failed to create snapshot: failed to take snapshot of the volume vol: \
                          \"rpc error: code = InvalidArgument desc = bad\"";

fn created(ready: bool) -> Reply {
    Reply::Created(Ok(snapshot(ready)))
}

fn create_failed(class: ErrorClass, text: &str) -> Reply {
    Reply::Created(Err(failure(class, text)))
}

#[test]
fn snapshot_case_19_the_mark_goes_before_the_call_and_away_after_the_status() {
    let plan = given(dynamic()).plan();
    assert_eq!(plan.steps, [Step::Mark, create()]);
    assert_eq!(plan.next, Next::Again);
    assert!(plan.events.is_empty());

    let plan = given(dynamic().marked()).reply(created(true)).plan();
    let written = Answer {
        handle: Some("snap-1".into()),
        creation_time: Some(100_000_000_000),
        restore_size: Some(5 << 30),
        ready: Some(true),
        group_handle: None,
        members: None,
        clear_error: false,
    };
    assert_eq!(plan.steps, [answer(written), Step::Settle]);
    assert_eq!(plan.next, Next::Await);
    assert!(plan.events.is_empty(), "good news is the controller's");

    let plan = given(dynamic().ready("snap-1")).plan();
    assert!(plan.steps.is_empty() && plan.next == Next::Await, "settled");
}

#[test]
fn snapshot_case_21_and_22_names_and_parameters() {
    let secret_keys = [
        "snapshotter-secret-name",
        "snapshotter-secret-namespace",
        "snapshotter-list-secret-name",
        "snapshotter-list-secret-namespace",
        "group-snapshotter-secret-name",
        "group-snapshotter-secret-namespace",
        "group-snapshotter-get-secret-name",
        "group-snapshotter-get-secret-namespace",
    ]
    .map(|key| format!("csi.storage.k8s.io/{key}"));
    let mut parameters: Vec<(&str, &str)> = secret_keys.iter().map(|key| (key.as_str(), "x")).collect();
    parameters.push(("type", "fast"));
    let plan = given(dynamic()).class(Some(class(&parameters))).plan();
    assert_eq!(plan.steps, [Step::Mark, create()]);

    let mut given = given(dynamic());
    given.content.0.spec.volume_snapshot_ref.uid = Some("01234567-89ab-cdef-0123-456789abcdef".into());
    given.settings.extra_create_metadata = true;
    given.settings.name_uid_length = Some(10);
    let expected = Step::Call(Call::Create {
        volume_handle: "vol".into(),
        name: "snapshot-0123456789".into(),
        parameters: [
            ("csi.storage.k8s.io/volumesnapshot/name", "s"),
            ("csi.storage.k8s.io/volumesnapshot/namespace", "ns"),
            ("csi.storage.k8s.io/volumesnapshotcontent/name", "snapcontent-u"),
            ("type", "fast"),
        ]
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .into(),
    });
    assert_eq!(given.plan().steps, [Step::Mark, expected]);
}

#[test]
fn snapshot_case_23_size_0_is_unknown() {
    for (size, expected) in [
        (0, None),
        (-1, None),
        (1000, Some(1000)),
        (5 << 30, Some(5 << 30)),
    ] {
        let reply = Reply::Created(Ok(Snapshot {
            size_bytes: size,
            ..snapshot(true)
        }));
        let plan = given(dynamic().marked()).reply(reply).plan();
        let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
            panic!("{plan:?}")
        };
        assert_eq!(answer.restore_size, expected);
    }
}

#[test]
fn snapshot_case_24_180_a_missing_time_and_that_of_go_is_now() {
    for creation_time in [None, Some("0001-01-01T00:00:00Z".parse().unwrap())] {
        let reply = Reply::Created(Ok(Snapshot {
            creation_time,
            ..snapshot(true)
        }));
        let plan = given(dynamic().marked()).reply(reply).plan();
        let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
            panic!("{plan:?}")
        };
        assert_eq!(i128::from(answer.creation_time.unwrap()), now().as_nanosecond());
    }
}

/// Polls of a content that is never ready, from the answer at its cut on; `wakes` looks at it between the polls.
fn polls(number: usize, wakes: fn(&Given)) -> Vec<u64> {
    let unready = || {
        Reply::Created(Ok(Snapshot {
            size_bytes: 0,
            ..snapshot(false)
        }))
    };
    let mut asked = given(dynamic().cut("snap-1"));
    let mut waits = Vec::new();
    for _ in 0..number {
        let plan = asked.clone().reply(unready()).plan();
        assert_eq!(plan.steps, [], "it says nothing new");
        let Next::After(wait) = plan.next else {
            panic!("{plan:?}")
        };
        waits.push(wait.as_secs());
        asked.memory = plan.memory;
        wakes(&asked);
        asked.now = asked.memory.poll_due.unwrap();
        assert_eq!(asked.plan().steps, [create()], "the handle is stored: no mark");
    }
    waits
}

#[test]
fn snapshot_case_26_the_poll_has_its_own_timer_and_writes_nothing() {
    let waits = polls(60, |_| {});
    assert_eq!(waits[..12], [1, 1, 2, 4, 5, 5, 5, 5, 5, 5, 5, 5]);
    let mut age = 0;
    for wait in &waits {
        age += wait;
        assert!(*wait <= 5.max(age / 10), "{wait} s at the age of {age} s");
    }
    assert_eq!(waits.last(), Some(&60));
    let mut given = given(dynamic().cut("snap-1")).reply(created(false));
    given.memory.pending_since = Some(Timestamp::from_second(now().as_second() - 3600).unwrap());
    given.settings.retry_interval_max = Duration::from_secs(7);
    assert_eq!(given.plan().next, seconds(7), "capped by --retry-interval-max");
}

#[test]
fn snapshot_case_114_what_wakes_a_pending_content_is_no_poll_and_lengthens_no_wait() {
    let woken = polls(20, |asked| {
        let mut woken = asked.clone();
        let due = asked.memory.poll_due.unwrap();
        for _ in 0..7 {
            let plan = woken.plan();
            assert_eq!((plan.steps.len(), plan.events.len()), (0, 0), "{plan:?}");
            let left = due.duration_since(woken.now).unsigned_abs();
            assert_eq!(plan.next, Next::After(left));
            woken.memory = plan.memory;
            woken.now = woken.now.checked_add(left / 10).unwrap();
        }
    });
    assert_eq!(woken, polls(20, |_| {}));
}

#[test]
fn a_clock_that_is_set_back_or_forward_delays_no_poll_for_long() {
    let plan = given(dynamic().cut("snap-1")).reply(created(false)).plan();
    for jump in [-86_400, -61, 86_400] {
        let mut later = given(dynamic().cut("snap-1"));
        later.memory = plan.memory.clone();
        later.now = Timestamp::from_second(now().as_second() + jump).unwrap();
        assert_eq!(later.plan().steps, [create()], "{jump}");
        let next = later.reply(created(false)).plan().next;
        assert!(
            matches!(next, Next::After(wait) if wait <= Duration::from_secs(60)),
            "{jump}"
        );
    }
}

#[test]
fn snapshot_case_26_ready_at_last_costs_one_write() {
    let plan = given(dynamic().cut("snap-1")).reply(created(true)).plan();
    let written = Answer {
        restore_size: Some(5 << 30),
        ready: Some(true),
        ..Answer::default()
    };
    assert_eq!((plan.steps, plan.next), (vec![answer(written)], Next::Await));
}

#[test]
fn snapshot_case_26_the_first_answer_is_stored_before_ready() {
    let plan = given(dynamic().marked()).reply(created(false)).plan();
    let written = Answer {
        handle: Some("snap-1".into()),
        creation_time: Some(100_000_000_000),
        restore_size: Some(5 << 30),
        ready: Some(false),
        ..Answer::default()
    };
    assert_eq!(
        (plan.steps, plan.next),
        (vec![answer(written), Step::Settle], seconds(1))
    );
}

#[test]
fn snapshot_case_27_another_id_is_told_once_and_the_first_one_stays() {
    for ready in [false, true] {
        let second = Reply::Created(Ok(Snapshot {
            handle: "snap-2".into(),
            ..snapshot(ready)
        }));
        let mut given = given(dynamic().cut("snap-1")).reply(second);
        let plan = given.plan();
        let (reason, message) = event(&plan);
        assert_eq!(reason, "SnapshotContentCheckandUpdateFailed");
        assert!(
            message.contains("snap-1") && message.contains("snap-2"),
            "{message}"
        );
        let deletes = |step: &Step| matches!(step, Step::Call(_));
        assert!(!plan.steps.iter().any(deletes), "{plan:?}");
        for step in &plan.steps {
            let Step::Status(StatusChange::Answer(answer)) = step else {
                continue;
            };
            assert_eq!(answer.handle, None);
        }
        given.memory = plan.memory;
        assert!(given.plan().events.is_empty());
    }
}

#[test]
fn snapshot_case_29_an_unclear_outcome_keeps_the_mark() {
    let text = "rpc error: code = DeadlineExceeded desc = late";
    let plan = given(dynamic().marked())
        .reply(create_failed(InProgress, text))
        .plan();
    let message = format!("Failed to create snapshot: failed to take snapshot of the volume vol: {text:?}");
    assert_eq!(plan.steps, [failed(&message, true)]);
    assert!(matches!(plan.next, Next::Backoff(_)));
    assert_eq!(event(&plan), ("SnapshotCreationFailed", message.as_str()));

    let content = dynamic().marked().error(&message);
    assert_eq!(
        given(content.clone()).plan().steps,
        [create()],
        "the mark is there"
    );
    let plan = given(content).reply(created(true)).plan();
    let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
        panic!("{plan:?}")
    };
    assert!(answer.clear_error);
    assert_eq!(plan.steps[1], Step::Settle);
}

#[test]
fn snapshot_case_30_a_final_error_ends_the_mark_and_is_written_once() {
    let plan = given(dynamic().marked()).reply(create_failed(Final, BAD)).plan();
    assert_eq!(plan.steps, [Step::Unmark, failed(BAD_STATUS, true)]);
    assert_eq!(event(&plan), ("SnapshotCreationFailed", BAD_STATUS));
    assert!(matches!(plan.next, Next::Backoff(_)));

    let plan = given(dynamic().error(BAD_STATUS)).plan();
    assert_eq!(
        plan.steps,
        [Step::Mark, create()],
        "a status with only an error is no cut"
    );
    let plan = given(dynamic().marked().error(BAD_STATUS))
        .reply(create_failed(Final, BAD))
        .plan();
    assert_eq!(plan.steps, [Step::Unmark]);
    assert_eq!(
        event(&plan),
        ("SnapshotCreationFailed", BAD_STATUS),
        "for the recorder to count"
    );
}

#[test]
fn snapshot_case_31_the_first_good_answer_clears_the_error_ready_or_not() {
    for ready in [true, false] {
        let plan = given(dynamic().marked().error(BAD_STATUS))
            .reply(created(ready))
            .plan();
        let Step::Status(StatusChange::Answer(answer)) = &plan.steps[0] else {
            panic!("{plan:?}")
        };
        assert!(answer.clear_error);
        assert_eq!(answer.ready, ready.then_some(true), "false is there already");
        assert!(plan.memory.told.is_empty());
    }
}

#[test]
fn snapshot_case_32_request_ids_make_no_new_error() {
    let text = |id: &str| format!("rpc error: code = InvalidArgument desc = refused, request id: {id}");
    let first = given(dynamic().marked())
        .reply(create_failed(
            Final,
            &text("7a62c49f-347e-4fc4-9331-6e8e00000000"),
        ))
        .plan();
    let stored = event(&first).1.to_string();
    let again = create_failed(Final, &text("0b11c49f-347e-4fc4-9331-6e8e11111111"));
    let mut given = given(dynamic().marked().error(&stored)).reply(again);
    given.memory = first.memory;
    let plan = given.plan();
    assert_eq!(plan.steps, [Step::Unmark], "no status");
    assert_eq!(event(&plan).1, stored, "the same event");
}

#[test]
fn alternating_errors_are_written_once_a_minute() {
    let (one, two) = (
        "rpc error: code = Internal desc = one",
        "rpc error: code = Internal desc = two",
    );
    let mut given = given(dynamic().marked()).reply(create_failed(Final, one));
    let first = given.plan();
    let text = event(&first).1.to_string();
    given = Given {
        content: dynamic().marked().error(&text),
        memory: first.memory,
        ..given
    };
    given = given.reply(create_failed(Final, two));
    let second = given.plan();
    assert_eq!(second.steps.len(), 2, "a new error");
    given = Given {
        content: dynamic().marked().error(event(&second).1),
        memory: second.memory.clone(),
        ..given
    };
    given = given.reply(create_failed(Final, one));
    assert_eq!(given.plan().steps, [Step::Unmark], "told seconds ago");
    given.now = Timestamp::from_second(now().as_second() + 60).unwrap();
    assert_eq!(given.plan().steps.len(), 2);
}

#[test]
fn a_missing_class_is_an_error_and_nothing_is_marked() {
    let plan = given(dynamic()).class(None).plan();
    let message = "Failed to create snapshot: failed to get snapshot class k: it does not exist";
    assert_eq!(plan.steps, [failed(message, true)]);
    assert_eq!(event(&plan), ("SnapshotCreationFailed", message));

    let mut polled = given(dynamic().cut("snap-1")).class(None);
    assert!(!polled.plan().steps.contains(&create()), "nothing is remembered");
    polled.memory.parameters = Some([("type".to_string(), "fast".to_string())].into());
    assert_eq!(polled.plan().steps, [create()], "the poll goes on");
}

#[test]
fn snapshot_case_109_a_class_of_another_driver_is_told_and_holds_up_no_deletion() {
    let mut foreign = class(&[]);
    foreign.driver = "other".into();
    let plan = given(dynamic()).class(Some(foreign.clone())).plan();
    let text = "Failed to create snapshot: snapshot class k is of driver other, but content snapcontent-u is of driver \
                d.example.com; name a class of that driver";
    assert_eq!(plan.steps, [failed(text, true)], "no mark and no call");
    assert_eq!(event(&plan), ("SnapshotCreationFailed", text));
    let deleted = dynamic().ready("snap-1").being_deleted();
    assert_eq!(
        given(deleted).class(Some(foreign.clone())).plan().steps,
        [delete("snap-1")]
    );
    let begun = dynamic().marked().being_deleted();
    let plan = given(begun).class(Some(foreign.clone())).plan();
    assert_eq!(plan.steps, [create_with(&[])], "a call that was begun ends");
    let ready = given(dynamic().ready("snap-1")).class(Some(foreign)).plan();
    assert!(ready.steps.is_empty() && ready.next == Next::Await);
    let mut content = dynamic();
    content.0.spec.driver = "other".into();
    assert!(given(content).plan().steps.is_empty());
}

#[test]
fn snapshot_case_112_a_class_is_not_refused_while_it_may_only_not_be_known_yet() {
    let mut foreign = class(&[]);
    foreign.driver = "other".into();
    for class in [None, Some(foreign)] {
        for content in [dynamic(), static_().class("k")] {
            let mut given = given(content).class(class.clone());
            given.is_live = false;
            let plan = given.plan();
            assert_eq!((plan.steps, plan.next), (vec![], seconds(1)));
            assert!(plan.events.is_empty());
        }
    }
}

#[test]
fn snapshot_case_116_a_class_is_not_refused_for_a_content_that_was_just_made() {
    for mut content in [dynamic(), static_().class("k")] {
        content.0.metadata.creation_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
        let mut given = given(content).class(None);
        let young = given.plan();
        assert_eq!((young.steps, young.next), (vec![], seconds(1)));
        given.now = now() + jiff::SignedDuration::from_secs(2);
        assert_eq!(given.plan().steps.len(), 1, "told a moment later");
    }
}

#[test]
fn snapshot_case_110_nothing_is_made_for_a_content_that_no_snapshot_asked_for() {
    let content = by_hand();
    let plan = given(content.clone()).plan();
    assert_eq!((plan.steps, plan.next), (vec![read_snapshot()], Next::Again));
    // Nobody of that name, a later one of that name, and one that is bound to another content.
    let copy = || {
        let mut copy = by_hand();
        copy.0.metadata.name = Some("copy".into());
        copy
    };
    for (content, reply) in [
        (content.clone(), Reply::Behind(Behind::Nothing)),
        (content.clone(), found("other", None)),
        (content.clone(), found("other", Some("snapcontent-u"))),
        (copy(), found("u", Some("snapcontent-u"))),
    ] {
        let plan = given(content).reply(reply.clone()).plan();
        let (reason, text) = event(&plan);
        assert_eq!(reason, "SnapshotCreationFailed");
        assert!(
            text.contains("no VolumeSnapshot stands behind this content"),
            "{text}"
        );
        assert_eq!(plan.steps, [failed(text, true)], "{reply:?}");
    }
    for reply in [
        Reply::Behind(Behind::Hidden),
        found("u", None),
        found("u", Some("snapcontent-u")),
    ] {
        let plan = given(content.clone()).reply(reply).plan();
        assert_eq!(plan.steps, [Step::Mark, create()]);
    }
    // What was begun goes on, and what a snapshot-controller of ours made needs no question.
    assert_eq!(given(by_hand().marked()).plan().steps, [create()]);
    assert_eq!(given(by_hand().cut("snap-1")).plan().steps, [create()]);
    assert_eq!(given(dynamic()).plan().steps, [Step::Mark, create()]);
    let mut nameless = by_hand();
    nameless.0.spec.volume_snapshot_ref.name = Some("../../secrets/x".into());
    let plan = given(nameless).plan();
    assert!(
        event(&plan).1.contains("no VolumeSnapshot stands behind"),
        "{plan:?}"
    );
}

#[test]
fn snapshot_case_111_a_secret_name_that_none_can_have_holds_up_no_deletion() {
    for (name, namespace) in [
        ("..", "sns"),
        ("a?x=y", "sns"),
        ("a#b", "sns"),
        ("a/b", "sns"),
        ("sec", "s.ns"),
        ("sec", "../kube-system"),
        ("", "sns"),
        ("sec", ""),
    ] {
        let content = dynamic()
            .annotated(SECRET_NAME, name)
            .annotated(SECRET_NAMESPACE, namespace);
        let plan = given(content.clone()).plan();
        assert!(plan.reads.is_empty(), "{name} {namespace}");
        assert_eq!(plan.steps.len(), 1, "no mark, no call: {plan:?}");
        assert!(event(&plan).1.contains("secret"), "{plan:?}");
        let plan = given(content.ready("snap-1").being_deleted()).plan();
        assert_eq!((plan.steps, plan.reads.len()), (vec![delete("snap-1")], 0));
    }
}

#[test]
fn snapshot_case_44_secrets_come_from_the_annotations() {
    let content = dynamic()
        .annotated(SECRET_NAME, "sec")
        .annotated(SECRET_NAMESPACE, "sns");
    let plan = given(content.clone()).plan();
    assert_eq!(
        (plan.steps, plan.reads, plan.next),
        (vec![], vec![secret_ref()], Next::Again)
    );
    let data = SecretAnswer::Found([("user".to_string(), "hunter2".to_string())].into());
    assert!(!format!("{data:?}").contains("hunter2"));
    let plan = given(content.clone()).secret(data).plan();
    assert_eq!(plan.steps, [Step::Mark, create()]);

    for (answer, text) in [
        (
            SecretAnswer::NotFound,
            "error getting secret sec in namespace sns: it does not exist",
        ),
        (
            SecretAnswer::Refused("get secrets sns/sec: forbidden".into()),
            "forbidden",
        ),
    ] {
        let plan = given(content.clone()).secret(answer).plan();
        assert_eq!(plan.steps.len(), 1, "no mark, no call: {plan:?}");
        assert!(event(&plan).1.contains(text), "{plan:?}");
    }
    let one_alone = dynamic().annotated(SECRET_NAME, "sec");
    assert_eq!(
        given(one_alone).plan().steps,
        [Step::Mark, create()],
        "one annotation is none"
    );
    let empty = dynamic()
        .annotated(SECRET_NAME, "")
        .annotated(SECRET_NAMESPACE, "sns");
    assert!(
        event(&given(empty).plan())
            .1
            .contains("secret name or namespace not specified")
    );
}

#[test]
fn snapshot_case_45_a_reserved_parameter_never_sets_the_mark() {
    let class = class(&[("csi.storage.k8s.io/foo", "x")]);
    let plan = given(dynamic()).class(Some(class.clone())).plan();
    let (_, message) = event(&plan);
    assert!(
        message.contains("found unknown parameter key \"csi.storage.k8s.io/foo\" with reserved namespace")
    );
    assert_eq!(plan.steps, [failed(message, true)]);
    let deleted = given(dynamic().error(message).being_deleted())
        .class(Some(class))
        .plan();
    assert_eq!(deleted.steps, [Step::RemoveFinalizer { position: 0 }]);
}

#[test]
fn snapshot_case_53_a_mark_without_an_answer_repeats_the_same_call() {
    let plan = given(dynamic().marked()).plan();
    assert_eq!((plan.steps, plan.next), (vec![create()], Next::Again));
}

#[test]
fn a_mark_beside_a_stored_handle_is_over() {
    for content in [
        dynamic().marked().cut("snap-1"),
        dynamic().marked().ready("snap-1"),
        dynamic().marked().cut("snap-1").being_deleted(),
    ] {
        let plan = given(content).plan();
        assert_eq!((plan.steps, plan.next), (vec![Step::Settle], Next::Again));
    }
}

#[test]
fn snapshot_case_54_and_55_a_begun_call_ends_before_the_content_goes() {
    let content = dynamic().marked().error("late").being_deleted();
    assert_eq!(given(content.clone()).plan().steps, [create()]);
    for ready in [true, false] {
        let plan = given(content.clone()).reply(created(ready)).plan();
        assert_eq!(plan.steps.len(), 2, "status and end of the mark");
        assert_eq!(plan.next, Next::Again, "then it is deleted at once");
    }
    let late = create_failed(InProgress, "rpc error: late");
    let plan = given(content).reply(late).plan();
    assert!(!plan.steps.contains(&Step::Unmark), "{plan:?}");
    assert!(matches!(plan.next, Next::Backoff(_)));
}

#[test]
fn snapshot_case_56_a_final_error_lets_the_content_go_without_delete() {
    let content = dynamic().marked().error(BAD_STATUS).being_deleted();
    let plan = given(content).reply(create_failed(Final, BAD)).plan();
    assert_eq!((plan.steps, plan.next), (vec![Step::Unmark], Next::Again));
    let plan = given(dynamic().error(BAD_STATUS).being_deleted()).plan();
    assert_eq!(
        (plan.steps, plan.next),
        (vec![Step::RemoveFinalizer { position: 0 }], Next::Await)
    );
}

#[test]
fn snapshot_case_57_a_begun_call_ends_without_class_and_secret() {
    let content = dynamic()
        .annotated(SECRET_NAME, "sec")
        .annotated(SECRET_NAMESPACE, "sns")
        .marked()
        .being_deleted();
    let mut given = given(content).class(None).secret(SecretAnswer::NotFound);
    let plan = given.plan();
    assert_eq!(plan.steps, [create_with(&[])], "nothing is remembered");
    assert!(plan.events[0].message.contains("snapshot class k"), "{plan:?}");
    assert!(plan.events[1].message.contains("secret sec"), "{plan:?}");
    given.memory.parameters = Some([("type".to_string(), "fast".to_string())].into());
    assert_eq!(given.plan().steps, [create()]);
}

#[test]
fn snapshot_case_178_a_call_that_may_run_is_repeated_as_it_was() {
    let fast = [("type".to_string(), "fast".to_string())];
    let mut given = given(dynamic().marked()).class(Some(class(&[("type", "slow")])));
    assert_eq!(
        given.plan().steps,
        [create_with(&[("type", "slow")])],
        "nothing is remembered"
    );
    given.memory.parameters = Some(fast.clone().into());
    for repeated in 0..5 {
        given.memory.repeated = repeated;
        let plan = given.plan();
        assert_eq!((plan.steps, plan.memory.repeated), (vec![create()], repeated + 1));
    }
    given.memory.repeated = 5;
    let plan = given.plan();
    assert_eq!(
        (plan.steps, plan.memory.repeated),
        (vec![create_with(&[("type", "slow")])], 0),
        "perhaps the class was mended"
    );
    given.memory.repeated = 0;
    let mut anew = super::given(dynamic()).class(Some(class(&[("type", "slow")])));
    anew.memory.parameters = Some(fast.into());
    assert_eq!(
        anew.plan().steps.last(),
        Some(&create_with(&[("type", "slow")])),
        "it has ended"
    );
}

#[test]
fn snapshot_case_118_a_begun_call_ends_also_where_the_reference_has_lost_the_uid() {
    let mut content = dynamic().marked().being_deleted();
    content.0.spec.volume_snapshot_ref.uid = None;
    assert_eq!(
        given(content.clone()).plan().steps,
        [create()],
        "by the UID in the name"
    );
    content.0.metadata.name = Some("by-hand".into());
    assert_eq!(
        given(content).plan().steps,
        [Step::RemoveFinalizer { position: 0 }],
        "no call can end that nothing names"
    );
    let mut alive = dynamic();
    alive.0.spec.volume_snapshot_ref.uid = None;
    let plan = given(alive).plan();
    assert!(
        matches!(plan.steps[..], [Step::Status(StatusChange::Failed { .. })]),
        "nothing is begun"
    );
}

/// Its manifest is applied by force, and the controller gives the UID back a moment later.
#[test]
fn snapshot_case_174_what_is_begun_or_cut_goes_on_where_the_reference_has_lost_the_uid() {
    for mut content in [dynamic().marked(), dynamic().cut("snap-1")] {
        content.0.spec.volume_snapshot_ref.uid = None;
        let plan = given(content.clone()).plan();
        assert_eq!((plan.steps, plan.events.len()), (vec![create()], 0));
        content.0.metadata.name = Some("by-hand".into());
        let plan = given(content).plan();
        assert!(
            matches!(plan.steps[..], [Step::Status(StatusChange::Failed { .. })]),
            "{plan:?}"
        );
    }
}

#[test]
fn the_driver_may_ask_to_wait() {
    let mut slow = failure(Final, "rpc error: rate");
    slow.retry_after = Some(Duration::from_secs(90));
    let plan = given(dynamic().marked())
        .reply(Reply::Created(Err(slow.clone())))
        .plan();
    assert_eq!(plan.next, seconds(90));
    slow.retry_after = Some(Duration::from_secs(86_400));
    let plan = given(dynamic().marked()).reply(Reply::Created(Err(slow))).plan();
    assert_eq!(plan.next, seconds(300), "--retry-interval-max");
}

#[test]
fn ebs_case_123_a_wait_is_told_as_a_wait() {
    let mut waits = failure(InProgress, "rpc error: code = Unavailable desc = waits for EC2");
    waits.retry_after = Some(Duration::from_secs(120));
    let plan = given(dynamic().marked())
        .reply(Reply::Created(Err(waits.clone())))
        .plan();
    assert_eq!(plan.next, seconds(120));
    assert!(plan.steps.is_empty(), "neither status nor mark: {:?}", plan.steps);
    let [event] = &plan.events[..] else {
        panic!("{:?}", plan.events);
    };
    assert_eq!(event.kind, EventType::Normal);
    assert_eq!(event.reason, "WaitingForStorage");
    assert_eq!(event.message, "The snapshot waits to be taken: waits for EC2");
    let woken = Given {
        memory: plan.memory,
        ..given(dynamic().marked())
    };
    let woken = woken.plan();
    assert_eq!(
        (woken.steps.len(), woken.next),
        (0, seconds(120)),
        "whatever wakes it"
    );
    let handle = "snap-1".to_owned();
    let deleted = Reply::Deleted {
        handle,
        outcome: Err(waits),
    };
    let plan = given(dynamic().cut("snap-1").being_deleted())
        .reply(deleted)
        .plan();
    assert_eq!(
        (plan.events[0].kind, plan.next),
        (EventType::Normal, seconds(120))
    );
}

#[test]
fn members_of_a_group_are_never_created() {
    let member = dynamic().annotated(GROUP, "group-1");
    let plan = given(member.clone()).plan();
    assert_eq!((plan.steps, plan.next), (vec![], seconds(1)), "row 7");
    let plan = given(member.cut("snap-1").group_handle("group-1")).plan();
    assert_eq!(plan.steps, [list("snap-1")], "row 5");
}

#[test]
fn a_content_with_no_or_two_sources_is_the_controllers_matter() {
    let mut content = dynamic();
    content.0.spec.source.snapshot_handle = Some("snap-x".into());
    assert!(given(content.clone()).plan().steps.is_empty());
    content.0.spec.source = Default::default();
    assert!(given(content).plan().steps.is_empty());
}
