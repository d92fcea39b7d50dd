//! What holds of every plan, whatever is observed.

use csi::Class as ErrorClass;
use csi_snapshotter::observe::Reply;
use csi_snapshotter::plan::{StatusChange, Step};
use proptest::prelude::*;

use super::*;
use crate::build::{
    BEING_CREATED, BEING_DELETED, Content, FINALIZER, GROUP, SECRET_NAME, SECRET_NAMESPACE, by_hand, class,
    dynamic, static_,
};

pub fn contents() -> impl Strategy<Value = Content> {
    let flags = proptest::collection::vec(any::<bool>(), 11);
    (flags, 0..4_u8).prop_map(|(flags, status)| {
        let mut content = match (flags[0], flags[9]) {
            (true, true) => dynamic(),
            (true, false) => by_hand(),
            (false, _) => static_(),
        };
        let mut change = |wanted: bool, change: fn(Content) -> Content| {
            if wanted {
                content = change(content.clone());
            }
        };
        change(flags[1], Content::marked);
        change(flags[2], Content::terminating);
        change(flags[3], Content::being_deleted);
        change(flags[4], Content::retain);
        change(flags[5], Content::bound);
        change(flags[6], |content| {
            content.finalizers(&["velero.io/keep", FINALIZER])
        });
        change(flags[7], |content| content.annotated(GROUP, "group-1"));
        change(flags[10], |mut content| {
            let source = &mut content.0.spec.source;
            for handle in [&mut source.volume_handle, &mut source.snapshot_handle] {
                *handle = handle.as_ref().map(|_| " ".into());
            }
            content
        });
        change(flags[8], |content| {
            content
                .annotated(SECRET_NAME, "sec")
                .annotated(SECRET_NAMESPACE, "sns")
        });
        match status {
            0 => content,
            1 => content.error("an error"),
            2 => content.cut("snap-1"),
            _ => content.ready("snap-1"),
        }
    })
}

pub fn outcomes<T: Clone + std::fmt::Debug + 'static>(
    good: T,
) -> impl Strategy<Value = Result<T, CallFailure>> {
    let classes = prop_oneof![Just(ErrorClass::Final), Just(ErrorClass::InProgress)];
    let failures = (classes, any::<bool>()).prop_map(|(class, not_found)| {
        let code = if not_found { "NotFound" } else { "Internal" };
        Err(failure(class, &format!("rpc error: code = {code} desc = no")))
    });
    prop_oneof![Just(Ok(good)), failures]
}

/// What the API server says of the VolumeSnapshot.
pub fn behind() -> impl Strategy<Value = Behind> {
    let found = (
        prop_oneof![Just("u"), Just("v")],
        proptest::option::of(Just("snapcontent-u")),
        any::<bool>(),
    );
    let found = found.prop_map(|(uid, content, is_going)| Behind::Found {
        is_going,
        uid: uid.into(),
        content: content.map(str::to_owned),
    });
    prop_oneof![Just(Behind::Hidden), Just(Behind::Nothing), found]
}

/// What the driver answers to a call, or the API server to a read.
fn replies() -> impl Strategy<Value = Reply> {
    let handle = prop_oneof![Just("snap-1"), Just("snap-2")];
    let described = (handle.clone(), any::<bool>()).prop_map(|(handle, ready)| Snapshot {
        handle: handle.into(),
        ..snapshot(ready)
    });
    prop_oneof![
        described
            .clone()
            .prop_flat_map(|found| outcomes(found).prop_map(Reply::Created)),
        proptest::collection::vec(described, 0..3)
            .prop_flat_map(|found| outcomes(found).prop_map(Reply::Listed)),
        behind().prop_map(Reply::Behind),
        (handle, outcomes(())).prop_map(|(handle, outcome)| Reply::Deleted {
            handle: handle.into(),
            outcome
        }),
    ]
}

fn situations() -> impl Strategy<Value = Given> {
    let secret = prop_oneof![
        Just(None),
        Just(Some(SecretAnswer::NotFound)),
        Just(Some(SecretAnswer::Found(Default::default()))),
    ];
    (
        contents(),
        any::<[bool; 2]>(),
        proptest::option::of(replies()),
        secret,
    )
        .prop_map(|(content, [has_class, can_look], reply, secret)| {
            let mut given = given(content);
            given.class = has_class.then(|| class(&[]));
            given.settings.can_look = can_look;
            given.reply = reply;
            match secret {
                Some(answer) => given.secret(answer),
                None => given,
            }
        })
}

fn calls(plan: &Planned, wanted: fn(&Call) -> bool) -> bool {
    plan.steps
        .iter()
        .any(|step| matches!(step, Step::Call(call) if wanted(call)))
}

proptest! {
    // A failure prints its input; it becomes a row of a table.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn create_is_called_only_under_the_mark_or_with_a_stored_handle(given in situations()) {
        let plan = given.plan();
        if calls(&plan, |call| matches!(call, Call::Create { .. })) {
            let content = &given.content.0;
            let marked = content.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(BEING_CREATED));
            let stored = content.status.as_ref().is_some_and(|status| status.snapshot_handle.is_some());
            prop_assert!(marked || stored || plan.steps.first() == Some(&Step::Mark), "{:?}", plan);
            prop_assert!(content.spec.source.volume_handle.is_some());
            prop_assert!(!content.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(GROUP)));
        }
    }

    #[test]
    fn retain_never_deletes_the_stored_snapshot(given in situations()) {
        let plan = given.plan();
        if given.content.0.spec.deletion_policy == crds::v1::DeletionPolicy::Retain {
            let own = |call: &Call| matches!(call, Call::Delete { snapshot_handle } if snapshot_handle == "snap-1" || snapshot_handle == "snap-x");
            prop_assert!(!calls(&plan, own), "{:?}", plan);
        }
    }

    #[test]
    fn the_finalizer_goes_only_when_the_snapshot_may(given in situations()) {
        let plan = given.plan();
        let content = &given.content.0;
        if plan.steps.iter().any(|step| matches!(step, Step::RemoveFinalizer { .. })) {
            prop_assert!(content.metadata.deletion_timestamp.is_some());
            let stored = content.status.as_ref().and_then(|status| status.snapshot_handle.clone());
            let deletes = content.spec.deletion_policy == crds::v1::DeletionPolicy::Delete;
            // Its group takes a member along.
            let is_member = content.spec.source.volume_handle.is_some()
                && content.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(GROUP));
            if deletes && stored.is_some() && !is_member {
                let done = matches!(&given.reply, Some(Reply::Deleted { outcome: Ok(()), handle }) if Some(handle) == stored.as_ref());
                prop_assert!(done, "{:?}", plan);
            }
        }
    }

    #[test]
    fn the_own_snapshot_is_deleted_only_by_the_controllers_word_or_where_no_snapshot_is_bound(given in situations()) {
        let plan = given.plan();
        let content = &given.content.0;
        let own = content.status.as_ref().and_then(|status| status.snapshot_handle.clone())
            .or(content.spec.source.snapshot_handle.clone());
        let deletes = plan.steps.iter().any(|step| matches!(step, Step::Call(Call::Delete { snapshot_handle }) if Some(snapshot_handle) == own.as_ref()));
        if deletes {
            let marked = content.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(BEING_DELETED));
            let bound = matches!(&given.reply, Some(Reply::Behind(Behind::Found { uid, content: Some(_), is_going: false }))
                if content.spec.volume_snapshot_ref.uid.as_ref().is_none_or(|wanted| wanted == uid));
            prop_assert!(!(bound && content.spec.source.snapshot_handle.is_some()), "{:?}", plan);
            let lone = matches!(&given.reply, Some(Reply::Behind(Behind::Nothing | Behind::Found { content: None, .. })));
            prop_assert!(content.metadata.deletion_timestamp.is_some());
            prop_assert!(marked || (lone && content.spec.source.snapshot_handle.is_some()), "{:?}", plan);
        }
    }

    #[test]
    fn what_is_answered_is_asked_for_by_its_name(given in situations()) {
        for step in given.plan().steps {
            if let Step::Call(Call::List { snapshot_handle } | Call::Delete { snapshot_handle }) = step {
                prop_assert!(!snapshot_handle.trim().is_empty());
            }
        }
    }

    #[test]
    fn nothing_is_written_that_is_there(given in situations()) {
        let seen = given.content.0.status.clone().unwrap_or_default();
        for step in given.plan().steps {
            let Step::Status(StatusChange::Answer(answer)) = step else { continue };
            let changes = [
                answer.handle.is_some().then(|| answer.handle != seen.snapshot_handle),
                answer.creation_time.is_some().then(|| answer.creation_time != seen.creation_time),
                answer.restore_size.is_some().then(|| answer.restore_size != seen.restore_size),
                answer.ready.is_some().then(|| answer.ready != seen.ready_to_use),
                answer.group_handle.is_some().then(|| answer.group_handle != seen.volume_group_snapshot_handle),
                answer.clear_error.then(|| seen.error.is_some()),
            ];
            let written: Vec<bool> = changes.into_iter().flatten().collect();
            prop_assert!(!written.is_empty() && !written.contains(&false), "{:?} over {:?}", answer, seen);
        }
    }

    #[test]
    fn a_plan_that_does_nothing_does_not_spin(given in situations()) {
        // A reply is consumed, so the next round differs.
        let spins = |plan: &Planned| plan.steps.is_empty() && plan.reads.is_empty() && plan.next == Next::Again;
        let plan = given.plan();
        prop_assert!(!spins(&plan) || given.reply.is_some(), "{:?}", plan);
    }
}
