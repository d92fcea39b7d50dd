//! Which step of the life of a certificate is due. Pure: no request, no clock, no key is made here.

use jiff::{SignedDuration, Timestamp};

/// How long a pair is valid.
pub const LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long before its end the next pair is prepared.
const RENEWAL: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long the definition has to show the next authority before a certificate of it is served: API servers follow
/// definitions by a watch, which takes seconds.
const SETTLED: SignedDuration = SignedDuration::from_mins(5);

/// A certificate authority and the serving certificate that it signed. The key of the authority is not kept: it signs nothing
/// else.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The authority, as PEM.
    pub authority: String,
    /// The serving certificate, as PEM.
    pub certificate: String,
    /// Its key, as PEM.
    pub key: String,
    /// The names of the server.
    pub names: Vec<String>,
    /// When both end.
    pub not_after: Timestamp,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It holds a key.
        let mut shown = f.debug_struct("Pair");
        shown
            .field("names", &self.names)
            .field("not_after", &self.not_after);
        shown.finish_non_exhaustive()
    }
}

/// What all replicas share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What is served.
    pub current: Pair,
    /// What will be, once its authority is trusted.
    pub next: Option<Pair>,
    /// The authority of the pair before: a replica may still serve it.
    pub former: Option<String>,
}

impl Stored {
    /// The authorities that API servers are to trust, as PEM.
    #[must_use]
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|pair| &pair.authority);
        let all = [Some(&self.current.authority), next, self.former.as_ref()];
        all.into_iter().flatten().map(String::as_str).collect()
    }

    /// A first pair. Nothing that was served before is of use.
    #[must_use]
    pub fn begun(current: Pair) -> Self {
        Self {
            current,
            next: None,
            former: None,
        }
    }

    /// With the next pair. By now all replicas serve the present one.
    #[must_use]
    pub fn prepared(self, next: Pair) -> Self {
        Self {
            next: Some(next),
            former: None,
            ..self
        }
    }

    /// The next pair is the present one.
    #[must_use]
    pub fn promoted(self) -> Self {
        match self.next {
            None => self,
            Some(next) => Self {
                current: next,
                next: None,
                former: Some(self.current.authority),
            },
        }
    }
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What is stored; none where there is no Secret, or no use in it.
    pub stored: Option<&'a Stored>,
    /// The names that the API server uses for the server.
    pub names: &'a [String],
    /// What the definition says; none where there is no definition, or we may not see it.
    pub trust: Option<Trust>,
    /// Now.
    pub now: Timestamp,
}

/// What the definition says of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It names another server, or other authorities.
    Lacking,
    /// It has named this one and all that are stored, since this moment as far as this process has seen.
    Since(Timestamp),
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a pair and store it as the first one.
    Begin,
    /// Write webhook and authorities into the definition.
    Trust,
    /// Make the next pair and store it beside the present one.
    Prepare,
    /// Store the next pair as the present one.
    Promote,
}

/// Decides what is due; nothing most of the time.
#[must_use]
pub fn plan(seen: &Seen<'_>) -> Option<Step> {
    let Some(stored) = seen.stored.filter(|stored| seen.now < stored.current.not_after) else {
        return Some(Step::Begin);
    };
    if seen.trust == Some(Trust::Lacking) {
        return Some(Step::Trust);
    }
    let is_due = |pair: &Pair| seen.now >= starts_to_end(pair) || pair.names != seen.names;
    match &stored.next {
        // It was prepared and then left alone for long, or for other names.
        Some(next) if is_due(next) => Some(Step::Prepare),
        Some(_) => match seen.trust {
            Some(Trust::Since(since)) if seen.now.duration_since(since) >= SETTLED => Some(Step::Promote),
            _ => None,
        },
        None => is_due(&stored.current).then_some(Step::Prepare),
    }
}

fn starts_to_end(pair: &Pair) -> Timestamp {
    pair.not_after.checked_sub(RENEWAL).unwrap_or(Timestamp::MIN)
}
