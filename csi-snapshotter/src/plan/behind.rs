//! Whether a VolumeSnapshot, or VolumeGroupSnapshot, stands behind a content. A role like upstream's does not show any; then this driver goes by what
//! is on the content, as upstream does.

use controller::template::can_be_named;

use super::Step;
use crate::content::Content;
use crate::observe::{Behind, Observed, Reply};

/// What is known of it in this run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asker {
    /// Nothing yet: this step asks the API server.
    Unasked(Step),
    /// Our role does not show any.
    Hidden,
    /// None does.
    Nobody,
    /// One does: it names the content back.
    Stands {
        /// It is being deleted.
        is_going: bool,
    },
}

/// What is known of it in this run.
pub(super) fn known(observed: &Observed<'_>) -> Asker {
    match observed.reply {
        Some(Reply::Behind(behind)) => answer(observed.content, behind),
        _ => match named(observed.content) {
            Some((namespace, name)) => Asker::Unasked(Step::ReadAsker { namespace, name }),
            None => Asker::Nobody,
        },
    }
}

fn answer(content: &dyn Content, behind: &Behind) -> Asker {
    let Behind::Found {
        uid,
        content: bound,
        is_going,
    } = behind
    else {
        return match behind {
            Behind::Hidden => Asker::Hidden,
            Behind::Nothing | Behind::Found { .. } => Asker::Nobody,
        };
    };
    let name = content.name();
    let wanted = content.asker_uid();
    let is_it = wanted.is_empty() || wanted == uid;
    let by_uid = content.volumes().is_some() && name == content.name_for(uid);
    if is_it && (by_uid || bound.as_deref() == Some(name)) {
        Asker::Stands { is_going: *is_going }
    } else {
        Asker::Nobody
    }
}

/// Namespace and name of the asker. What is no name is not asked for: it would be a part of the request's path, and nothing
/// can have it.
fn named(content: &dyn Content) -> Option<(String, String)> {
    let reference = content.reference();
    let (namespace, name) = (reference.namespace.as_deref()?, reference.name.as_deref()?);
    can_be_named(namespace, name).then(|| (namespace.to_owned(), name.to_owned()))
}
