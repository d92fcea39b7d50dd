//! Whether a VolumeSnapshot stands behind a content. A role like upstream's does not show any; then this driver goes by what
//! is on the content, as upstream does.

use controller::Next;
use controller::template::{is_dns_label, is_dns_subdomain};
use crds::names;
use crds::v1::VolumeSnapshotContent;

use super::{Plan, Step};
use crate::observe::{Behind, ContentExt as _, Observed, Reply};

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Our role does not show any.
    Hidden,
    /// None does.
    Nothing,
    /// One does: it names the content back.
    Stands,
}

/// What is known of it in this run, or the plan that asks.
///
/// # Errors
/// The plan that asks the API server.
pub(super) fn ask(observed: &Observed<'_>, plan: &Plan) -> Result<Answer, Plan> {
    match observed.reply {
        Some(Reply::Behind(behind)) => Ok(answer(observed.content, behind)),
        _ => match named(observed.content) {
            Some((namespace, name)) => Err(plan
                .clone()
                .step(Step::ReadSnapshot { namespace, name })
                .then(Next::Again)),
            None => Ok(Answer::Nothing),
        },
    }
}

fn answer(content: &VolumeSnapshotContent, behind: &Behind) -> Answer {
    let Behind::Found { uid, content: bound } = behind else {
        return match behind {
            Behind::Hidden => Answer::Hidden,
            Behind::Nothing | Behind::Found { .. } => Answer::Nothing,
        };
    };
    let name = content.name();
    let wanted = content.snapshot_uid();
    let is_it = wanted.is_empty() || wanted == uid;
    let by_uid = content.volume_handle().is_some() && name == names::dynamic_content_name(uid);
    if is_it && (by_uid || bound.as_deref() == Some(name)) {
        Answer::Stands
    } else {
        Answer::Nothing
    }
}

/// Namespace and name of the VolumeSnapshot. What is no name is not asked for: it would be a part of the request's path,
/// and nothing can have it.
fn named(content: &VolumeSnapshotContent) -> Option<(String, String)> {
    let reference = &content.spec.volume_snapshot_ref;
    let namespace = reference
        .namespace
        .clone()
        .filter(|namespace| is_dns_label(namespace))?;
    let name = reference.name.clone().filter(|name| is_dns_subdomain(name))?;
    Some((namespace, name))
}
