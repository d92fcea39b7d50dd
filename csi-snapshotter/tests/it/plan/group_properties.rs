//! What holds of every plan for a group, whatever is observed.

use crds::group::v1::VolumeGroupSnapshotClass;
use csi_snapshotter::observe::Reply;
use csi_snapshotter::plan::{StatusChange, Step};
use proptest::prelude::*;

use super::groups::{group, taken};
use super::properties::{behind, outcomes};
use super::*;
use crate::groups::{
    BEING_CREATED, BEING_DELETED, Group, SECRET_NAME, SECRET_NAMESPACE, by_hand, dynamic, static_,
};

pub fn contents() -> impl Strategy<Value = Group> {
    let flags = proptest::collection::vec(any::<bool>(), 8);
    (flags, 0..3_u8, 0..5_u8).prop_map(|(flags, kind, status)| {
        let mut content = match kind {
            0 => dynamic(),
            1 => by_hand(),
            _ => static_(),
        };
        let mut change = |wanted: bool, change: fn(Group) -> Group| {
            if wanted {
                content = change(content.clone());
            }
        };
        change(flags[0], Group::marked);
        change(flags[1], Group::terminating);
        change(flags[2], Group::being_deleted);
        change(flags[3], Group::retain);
        change(flags[4], Group::bound);
        change(flags[5], |content| {
            content
                .annotated(SECRET_NAME, "sec")
                .annotated(SECRET_NAMESPACE, "sns")
        });
        change(flags[6], |content| {
            content.change(|content| {
                let source = &mut content.spec.source;
                source.volume_handles = source.volume_handles.as_ref().map(|_| Vec::new());
            })
        });
        change(flags[7], |content| {
            content.change(|content| content.metadata.finalizers = None)
        });
        match status {
            0 => content,
            1 => content.error("an error"),
            2 => content.cut(),
            3 => content
                .cut()
                .status(|status| status.volume_snapshot_info_list = None),
            _ => content.ready(),
        }
    })
}

fn replies() -> impl Strategy<Value = Reply> {
    let handle = prop_oneof![Just("group-1"), Just("group-2")];
    let described = (handle.clone(), any::<[bool; 3]>()).prop_map(|(handle, [ready, lacks, other])| {
        let mut found = Snapshot {
            handle: handle.into(),
            ..taken(ready)
        };
        if lacks {
            found.members.pop();
        }
        if let (true, Some(first)) = (other, found.members.first_mut()) {
            first.handle = "snap-9".into();
        }
        found
    });
    prop_oneof![
        described
            .clone()
            .prop_flat_map(|found| outcomes(found).prop_map(Reply::Created)),
        proptest::collection::vec(described, 0..2)
            .prop_flat_map(|found| outcomes(found).prop_map(Reply::Listed)),
        behind().prop_map(Reply::Behind),
        (handle, outcomes(())).prop_map(|(handle, outcome)| Reply::Deleted {
            handle: handle.into(),
            outcome
        }),
    ]
}

fn situations() -> impl Strategy<Value = Given<Group, VolumeGroupSnapshotClass>> {
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
        .prop_map(|(content, [has_class, has_members], reply, secret)| {
            let mut given = group(content);
            if !has_class {
                given.class = None;
            }
            if has_members {
                given.members = crate::groups::texts(&["snap-7"]);
            }
            given.reply = reply;
            match secret {
                Some(answer) => given.secret(answer),
                None => given,
            }
        })
}

fn is_annotated(content: &Group, key: &str) -> bool {
    let annotations = content.0.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(key))
}

proptest! {
    // A failure prints its input; it becomes a row of a table.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_group_is_made_only_under_the_mark_or_with_a_stored_handle(given in situations()) {
        let plan = given.plan();
        if plan.steps.iter().any(|step| matches!(step, Step::Call(Call::CreateGroup { .. }))) {
            let stored = given.content.0.status.as_ref().is_some_and(|status| status.volume_group_snapshot_handle.is_some());
            let marked = is_annotated(&given.content, BEING_CREATED);
            prop_assert!(marked || stored || plan.steps.first() == Some(&Step::Mark), "{:?}", plan);
            prop_assert!(given.content.0.spec.source.volume_handles.as_ref().is_some_and(|all| !all.is_empty()));
        }
    }

    #[test]
    fn a_group_goes_only_by_its_policy_and_with_its_snapshots(given in situations()) {
        let plan = given.plan();
        // A second group of a broken driver is nobody's.
        let second = matches!(&given.reply, Some(Reply::Created(Ok(_))));
        for step in &plan.steps {
            let Step::Call(Call::DeleteGroup { group_handle, snapshot_handles }) = step else { continue };
            prop_assert!(!snapshot_handles.is_empty() && !group_handle.is_empty());
            if !second {
                prop_assert_eq!(given.content.0.spec.deletion_policy, crds::v1::DeletionPolicy::Delete);
                prop_assert!(given.content.0.metadata.deletion_timestamp.is_some());
                let lone = given.content.0.spec.source.group_snapshot_handles.is_some();
                prop_assert!(is_annotated(&given.content, BEING_DELETED) || lone, "{:?}", plan);
            }
        }
        prop_assert!(plan.steps.iter().all(|step| !matches!(step,
            Step::Call(Call::Create { .. } | Call::Delete { .. } | Call::List { .. }))), "{:?}", plan);
    }

    #[test]
    fn the_finalizer_goes_only_when_the_group_may(given in situations()) {
        let plan = given.plan();
        if plan.steps.iter().any(|step| matches!(step, Step::RemoveFinalizer { .. })) {
            let content = &given.content.0;
            prop_assert!(content.metadata.deletion_timestamp.is_some());
            let stored = content.status.as_ref().and_then(|status| status.volume_group_snapshot_handle.clone());
            if content.spec.deletion_policy == crds::v1::DeletionPolicy::Delete && stored.is_some() {
                let done = matches!(&given.reply, Some(Reply::Deleted { outcome: Ok(()), handle }) if Some(handle) == stored.as_ref());
                prop_assert!(done, "{:?}", plan);
            }
        }
    }

    #[test]
    fn a_group_that_is_not_whole_is_never_ready(given in situations()) {
        if let Some(Reply::Created(Ok(shown))) = &given.reply {
            let volumes = given.content.0.spec.source.volume_handles.as_ref().map_or(0, Vec::len);
            let ready = given.plan().steps.iter().any(|step| matches!(step,
                Step::Status(StatusChange::Answer(answer)) if answer.ready == Some(true)));
            prop_assert!(!ready || shown.members.len() >= volumes);
        }
    }

    #[test]
    fn a_plan_for_a_group_that_does_nothing_does_not_spin(given in situations()) {
        let plan = given.plan();
        let spins = plan.steps.is_empty() && plan.reads.is_empty() && plan.next == Next::Again;
        prop_assert!(!spins || given.reply.is_some(), "{:?}", plan);
    }
}
