//! Contents of the members of groups: looked at, and made and deleted by their group.

use csi_snapshotter::plan::Step;

use super::*;
use crate::build::{GROUP, dynamic, static_};

#[test]
fn snapshot_case_137_nothing_is_made_or_deleted_for_a_member_alone() {
    let member = || dynamic().annotated(GROUP, "group-1");
    let plan = given(member()).plan();
    assert_eq!(
        (plan.steps.len(), plan.events.len()),
        (0, 0),
        "its group has not answered yet"
    );
    assert_eq!(plan.next, seconds(1));
    let cut = || member().cut("snap-1").group_handle("group-1");
    assert_eq!(given(cut()).plan().steps, [list("snap-1")]);
    let finalizer = [Step::RemoveFinalizer { position: 0 }];
    assert_eq!(given(cut().being_deleted()).plan().steps, finalizer);
    // As long as one of the two says so: they are not written at once.
    assert_eq!(
        given(member().cut("snap-1").being_deleted()).plan().steps,
        finalizer
    );
    assert_eq!(given(member().being_deleted()).plan().steps, finalizer);
    let marked_only = dynamic().cut("snap-1").group_handle("group-1").being_deleted();
    assert_eq!(given(marked_only).plan().steps, finalizer);
}

/// Backup tools have a snapshot deleted by a new content with its handle, and take the old annotations along.
#[test]
fn snapshot_case_137_a_copied_annotation_makes_no_member_of_a_pre_provisioned_content() {
    let copied = static_()
        .annotated(GROUP, "group-1")
        .finalizers(&[crate::build::FINALIZER])
        .being_deleted();
    let plan = given(copied).reply(Reply::Behind(Behind::Nothing)).plan();
    assert_eq!(plan.steps, [delete("snap-x")]);
}
