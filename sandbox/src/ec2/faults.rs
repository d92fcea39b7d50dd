//! Faults that the service itself shows on request. Faults of the way to it are `sandbox::faults`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::errors::{Ec2Error, status_of};

/// What happens to a request instead of, or beside, its usual course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This answer, and no effect.
    Error(Ec2Error),
    /// The effect, and then this answer: the caller cannot know.
    ErrorAfterEffect(Ec2Error),
    /// No effect, and never an answer.
    Timeout,
    /// The effect, and never an answer.
    LostAnswer,
    /// The connection breaks; no effect.
    Disconnect,
    /// The effect at once, its answer only after this time.
    Delay(Duration),
    /// The effect, and an answer of status 200 with this body.
    Body(String),
    /// What the action begins fails later: a volume or snapshot ends in `error`, a modification in `failed`.
    FailsLater,
}

impl Fault {
    /// An answer of this code, with its usual status, and no effect.
    #[must_use]
    pub fn error(code: &str) -> Self {
        Self::Error(Ec2Error::new(code, text_of(code)))
    }

    /// An answer of this code and status, and no effect.
    #[must_use]
    pub fn error_with(code: &str, message: &str, status: StatusCode) -> Self {
        Self::Error(Ec2Error {
            code: code.to_owned(),
            message: message.to_owned(),
            status,
        })
    }
}

fn text_of(code: &str) -> &'static str {
    match code {
        "RequestLimitExceeded" => "Request limit exceeded.",
        "UnauthorizedOperation" => "You are not authorized to perform this operation.",
        "AuthFailure" => "AWS was not able to validate the provided access credentials",
        _ if status_of(code).is_server_error() => "An internal error has occurred",
        _ => "Injected by the sandbox.",
    }
}

type Predicate = Arc<dyn Fn(&BTreeMap<String, String>) -> bool + Send + Sync>;

/// Which requests of an action a fault meets.
#[derive(Clone)]
pub enum When {
    /// The next one.
    Next,
    /// Only the n-th from now on, counted from 1.
    Nth(u64),
    /// The next n.
    Times(u64),
    /// Each, until [`super::Ec2::clear_faults`].
    Always,
    /// The next one whose parameters, named as on the wire, satisfy this.
    Matching(Predicate),
}

impl When {
    /// The next request that has this parameter with this value.
    #[must_use]
    pub fn parameter(name: &str, value: &str) -> Self {
        let (name, value) = (name.to_owned(), value.to_owned());
        Self::Matching(Arc::new(move |parameters| parameters.get(&name) == Some(&value)))
    }
}

impl fmt::Debug for When {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next => formatter.write_str("Next"),
            Self::Nth(number) => write!(formatter, "Nth({number})"),
            Self::Times(number) => write!(formatter, "Times({number})"),
            Self::Always => formatter.write_str("Always"),
            Self::Matching(_) => formatter.write_str("Matching(..)"),
        }
    }
}

/// The faults that wait for their request.
#[derive(Debug, Default)]
pub(super) struct Faults {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    action: String,
    when: When,
    fault: Fault,
}

impl Faults {
    /// Lets a fault wait for an action; `*` is any action.
    pub(super) fn add(&mut self, action: &str, when: When, fault: Fault) {
        self.waiting.push(Waiting {
            action: action.to_owned(),
            when,
            fault,
        });
    }

    /// Forgets all faults.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The fault of this request: the oldest that meets it. Later ones that count requests count it too.
    pub(super) fn meet(&mut self, action: &str, parameters: &BTreeMap<String, String>) -> Option<Fault> {
        let mut met = None;
        self.waiting.retain_mut(|waiting| {
            if waiting.action != "*" && waiting.action != action {
                return true;
            }
            if met.is_some() && !matches!(waiting.when, When::Nth(_)) {
                return true;
            }
            let (hit, keep) = waiting.when.meet(parameters);
            if hit && met.is_none() {
                met = Some(waiting.fault.clone());
            }
            keep
        });
        met
    }
}

impl When {
    /// Whether a request is met, and whether to go on waiting.
    fn meet(&mut self, parameters: &BTreeMap<String, String>) -> (bool, bool) {
        match self {
            Self::Next => (true, false),
            Self::Always => (true, true),
            Self::Nth(number) => {
                *number = number.saturating_sub(1);
                (*number == 0, *number > 0)
            }
            Self::Times(number) => {
                let hit = *number > 0;
                *number = number.saturating_sub(1);
                (hit, *number > 0)
            }
            Self::Matching(predicate) => {
                let hit = predicate(parameters);
                (hit, !hit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_meet_their_requests() {
        let mut faults = Faults::default();
        faults.add("A", When::Nth(2), Fault::Timeout);
        faults.add("A", When::parameter("x", "1"), Fault::Disconnect);
        faults.add("*", When::Times(1), Fault::LostAnswer);
        let mut parameters = BTreeMap::new();
        assert_eq!(faults.meet("B", &parameters), Some(Fault::LostAnswer));
        assert_eq!(faults.meet("A", &parameters), None);
        assert_eq!(faults.meet("A", &parameters), Some(Fault::Timeout));
        assert_eq!(faults.meet("A", &parameters), None);
        parameters.insert("x".to_owned(), "1".to_owned());
        assert_eq!(faults.meet("A", &parameters), Some(Fault::Disconnect));
        assert_eq!(faults.meet("A", &parameters), None);
    }
}
