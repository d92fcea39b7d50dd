//! What keeps an attachment from being done, and how that is told. Source: sidecars.md 7.3 A5, D3; Q36.

use std::time::Duration;

use controller::plan::Trouble;
use controller::{CallFailure, Next, SecretAnswer, SecretRead, UNTIL_GROWN};
use jiff::{SignedDuration, Timestamp};
use runtime::objects::{AttachmentError, SecretName};

use super::{Plan, Status, Step, memory, moment};
use crate::observe::Observed;

/// An error that is still the same is written again so that it is seen to last.
const REPEATED_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// Each kind comes by a watch of its own: what is named may be there already.
const LAG: SignedDuration = SignedDuration::from_secs(1);
/// The API server takes no longer message of an error, in bytes. Source: validation of VolumeAttachment.
const LONGEST_MESSAGE: usize = 1024;
const CUT: &str = "...";
/// The longest wait that a driver may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Why nothing more can be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// For the user.
    pub(super) message: String,
    /// What was tried: trying something else is not held back by it.
    pub(super) of: String,
    /// The code of the driver.
    code: Option<i32>,
    /// It may come any moment.
    is_missing: bool,
    /// The driver asked to wait this long.
    asked: Option<Duration>,
}

impl Problem {
    /// Something that must change first. It is looked at again when it does.
    pub(super) fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            of: message.clone(),
            message,
            code: None,
            is_missing: false,
            asked: None,
        }
    }

    /// Something that is not known, and may only not be known yet.
    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self {
            is_missing: true,
            ..Self::new(message)
        }
    }

    /// A call that failed.
    pub(super) fn of_call(failure: &CallFailure, of: String) -> Self {
        Self {
            message: failure.text.clone(),
            of,
            code: failure.code.map(i32::from),
            is_missing: false,
            asked: failure.wait(LONGEST_WAIT),
        }
    }
}

/// Which error of the status it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Attachment,
    Detachment,
}

/// Tells what is wrong, where that is news, and waits.
pub(super) fn told(observed: &Observed<'_>, of: Of, problem: &Problem, now: Timestamp) -> Plan {
    let mut plan = Plan::resting(memory(observed));
    if problem.is_missing {
        let since = *plan.memory.missing_since.get_or_insert(now);
        if now.duration_since(since) < LAG {
            return plan.then(Next::After(UNTIL_GROWN));
        }
    } else {
        plan.memory.missing_since = None;
    }
    plan.memory.settled_difference = observed.differs_since;
    let code = problem
        .code
        .filter(|_| observed.settings.error_codes && of == Of::Attachment);
    let error = AttachmentError {
        message: cut(&problem.message),
        time: moment(now),
        error_code: code,
    };
    if is_news(present(observed, of), &error, now) {
        plan = plan.step(Step::Status(match of {
            Of::Attachment => Status::AttachError(error),
            Of::Detachment => Status::DetachError(error),
        }));
    }
    if let Some(wait) = problem.asked {
        let until = now.checked_add(wait).unwrap_or(now);
        plan.memory.not_before = Some((problem.of.clone(), until));
        return plan.then(Next::After(wait));
    }
    plan.then(Next::Backoff(Trouble {
        why: problem.message.clone(),
        of: problem.of.clone(),
    }))
}

/// As much of a message as the status can hold; the log has it whole.
fn cut(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(LONGEST_MESSAGE - CUT.len());
    format!("{}{CUT}", &message[..end])
}

fn present<'a>(observed: &Observed<'a>, of: Of) -> Option<&'a AttachmentError> {
    let status = observed.attachment.status.as_ref()?;
    match of {
        Of::Attachment => status.attach_error.as_ref(),
        Of::Detachment => status.detach_error.as_ref(),
    }
}

fn is_news(present: Option<&AttachmentError>, error: &AttachmentError, now: Timestamp) -> bool {
    let Some(present) = present else { return true };
    let is_old = |written: Timestamp| now.duration_since(written) >= REPEATED_AFTER;
    // An API server without the field keeps none.
    let is_other_code = present.error_code.is_some() && present.error_code != error.error_code;
    is_other_code
        || csi::mask::mask(&present.message) != csi::mask::mask(&error.message)
        || present.time.as_ref().is_none_or(|time| is_old(time.0))
}

/// Until when nothing is tried: the driver asked for time, or the back-off of what would be tried lasts.
pub(super) fn held(observed: &Observed<'_>, of: &str, now: Timestamp) -> Option<Timestamp> {
    let asked = observed.memory.not_before.as_ref();
    let asked = asked.filter(|(asked, until)| asked == of && now < *until);
    asked
        .map(|(_, until)| *until)
        .or_else(|| observed.retries.held(of, now))
}

/// The Secret of a call.
pub(super) enum Secret {
    /// None is needed, or it was read.
    Ready,
    /// It is to be read.
    Unread(SecretName),
}

/// Whether the Secret is there.
pub(super) fn secret(observed: &Observed<'_>, wanted: Option<&SecretName>) -> Result<Secret, Problem> {
    let Some(wanted) = wanted else {
        return Ok(Secret::Ready);
    };
    let read = observed.secret.filter(|read| read.secret == *wanted);
    let SecretName { namespace, name } = wanted;
    match read.map(|SecretRead { answer, .. }| answer) {
        None => Ok(Secret::Unread(wanted.clone())),
        Some(SecretAnswer::Found(_)) => Ok(Secret::Ready),
        Some(SecretAnswer::NotFound) => Err(Problem::new(format!(
            "the Secret {namespace}/{name} of controllerPublishSecretRef does not exist: create it"
        ))),
        Some(SecretAnswer::Refused(text)) => Err(Problem::new(format!(
            "the Secret {namespace}/{name} of controllerPublishSecretRef cannot be used: {text}"
        ))),
    }
}
