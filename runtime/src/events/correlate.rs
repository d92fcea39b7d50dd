//! What becomes of an occurrence: a new Event, a repeat of one, or nothing. Pure but for its memory.
//!
//! Source: decision 35 (repeats after 5 minutes, then doubling to an hour), snapshot 2.12 (more than 10
//! similar events within 10 minutes are merged).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::recent::Recent;
use super::{Occurrence, cut};

/// Entries of each memory of a lane.
const REMEMBERED: usize = 1_024;
/// Different messages about the same thing before they are merged.
const SIMILAR: usize = 10;
/// A pause of this length between similar events starts their count anew.
const SIMILAR_WINDOW: SignedDuration = SignedDuration::from_mins(10);
const FIRST_REPEAT: Duration = Duration::from_secs(5 * 60);
const LONGEST_REPEAT: Duration = Duration::from_secs(60 * 60);
const MERGED: &str = "(combined from similar events): ";

/// Hash of which object, who says it, type and reason: thousands are remembered. Two of them that have the same one by
/// chance would count as one; nobody will see that.
type Subject = u64;

/// A subject with its message, or without one for the merged events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

#[derive(Debug)]
struct Similar {
    /// Hashes of the messages, at most [`SIMILAR`].
    messages: Vec<u64>,
    last: Timestamp,
}

/// An Event object that stands in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) name: Box<str>,
}

#[derive(Debug, Default)]
struct Said {
    count: i32,
    first: Option<Timestamp>,
    standing: Option<Standing>,
    /// Not to be written again before.
    next: Option<Timestamp>,
    wait: Duration,
}

/// What to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Create {
        count: i32,
        first: Timestamp,
    },
    Update {
        count: i32,
        first: Timestamp,
        standing: Standing,
    },
    Nothing,
}

#[derive(Debug)]
pub(super) struct Correlator {
    similar: Recent<Subject, Similar>,
    said: Recent<Key, Said>,
}

impl Correlator {
    pub(super) fn new() -> Self {
        Self {
            similar: Recent::new(REMEMBERED),
            said: Recent::new(REMEMBERED),
        }
    }

    /// Decides about an occurrence, whose message is changed when it is merged with similar ones.
    pub(super) fn judge(&mut self, occurrence: &mut Occurrence) -> (Key, Verdict) {
        let key = self.key(occurrence);
        let said = self.said.entry(&key, Said::default);
        said.count = said.count.saturating_add(1);
        let first = *said.first.get_or_insert(occurrence.at);
        if said.next.is_some_and(|next| occurrence.at < next) {
            return (key, Verdict::Nothing);
        }
        let count = said.count;
        let verdict = match said.standing.clone() {
            Some(standing) => Verdict::Update {
                count,
                first,
                standing,
            },
            None => Verdict::Create { count, first },
        };
        (key, verdict)
    }

    /// Remembers that the Event was written, which delays the next write of the same.
    pub(super) fn written(&mut self, key: &Key, standing: Standing, at: Timestamp) {
        let said = self.said.entry(key, Said::default);
        said.wait = if said.wait.is_zero() {
            FIRST_REPEAT
        } else {
            (said.wait * 2).min(LONGEST_REPEAT)
        };
        said.standing = Some(standing);
        let wait = SignedDuration::try_from(said.wait).unwrap_or(SignedDuration::MAX);
        said.next = Some(at.checked_add(wait).unwrap_or(Timestamp::MAX));
    }

    fn key(&mut self, occurrence: &mut Occurrence) -> Key {
        let about = &occurrence.about;
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let subject: Subject = hash(&(
            [&about.namespace, &about.name, &about.uid, &about.kind].map(text),
            &occurrence.component,
            occurrence.kind.as_str(),
            occurrence.reason,
        ));
        let message = hash(&occurrence.message);
        let at = occurrence.at;
        let similar = self.similar.entry(&subject, || Similar {
            messages: Vec::new(),
            last: at,
        });
        if at.duration_since(similar.last) > SIMILAR_WINDOW {
            similar.messages.clear();
        }
        similar.last = at;
        let known = similar.messages.contains(&message);
        if !known && similar.messages.len() >= SIMILAR {
            occurrence.message = cut(format!("{MERGED}{}", occurrence.message));
            return Key(hash(&(subject, None::<u64>)));
        }
        if !known {
            similar.messages.reserve_exact(1);
            similar.messages.push(message);
        }
        Key(hash(&(subject, Some(message))))
    }
}

/// The same for the same thing in every process.
pub(super) fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;

    use super::super::EventType;
    use super::*;

    fn occurrence(second: i64, message: &str) -> Occurrence {
        Occurrence {
            about: ObjectReference {
                name: Some("s".to_owned()),
                uid: Some("u".to_owned()),
                ..Default::default()
            },
            component: "test".into(),
            kind: EventType::Warning,
            reason: "Failed",
            message: message.to_owned(),
            at: Timestamp::from_second(second).unwrap(),
        }
    }

    fn standing() -> Standing {
        Standing { name: "s.1".into() }
    }

    /// Judges at `second`; a write succeeds. The count that was written, if any.
    fn say(correlator: &mut Correlator, second: i64, message: &str) -> Option<i32> {
        let mut occurrence = occurrence(second, message);
        let (key, verdict) = correlator.judge(&mut occurrence);
        let count = match verdict {
            Verdict::Create { count, .. } | Verdict::Update { count, .. } => count,
            Verdict::Nothing => return None,
        };
        correlator.written(&key, standing(), occurrence.at);
        Some(count)
    }

    #[test]
    fn equal_events_repeat_after_5_minutes_then_doubling_to_an_hour() {
        let mut correlator = Correlator::new();
        let written: Vec<i64> = (0..5 * 3600)
            .step_by(60)
            .filter(|second| say(&mut correlator, *second, "same").is_some())
            .map(|second| second / 60)
            .collect();
        assert_eq!(written, [0, 5, 15, 35, 75, 135, 195, 255]);
    }

    #[test]
    fn repeats_carry_every_occurrence_in_their_count() {
        let mut correlator = Correlator::new();
        assert_eq!(say(&mut correlator, 0, "same"), Some(1));
        assert_eq!(say(&mut correlator, 1, "same"), None);
        assert_eq!(say(&mut correlator, 300, "same"), Some(3));
    }

    #[test]
    fn a_failed_write_is_tried_again_with_the_next_occurrence() {
        let mut correlator = Correlator::new();
        let (_, first) = correlator.judge(&mut occurrence(0, "same"));
        let (_, second) = correlator.judge(&mut occurrence(1, "same"));
        let at = Timestamp::from_second(0).unwrap();
        assert_eq!(first, Verdict::Create { count: 1, first: at });
        assert_eq!(second, Verdict::Create { count: 2, first: at });
    }

    #[test]
    fn the_eleventh_similar_event_is_merged() {
        let mut correlator = Correlator::new();
        for number in 0..10 {
            assert_eq!(
                say(&mut correlator, number, &format!("message {number}")),
                Some(1)
            );
        }
        let mut eleventh = occurrence(10, "message 10");
        let (key, verdict) = correlator.judge(&mut eleventh);
        assert_eq!(eleventh.message, "(combined from similar events): message 10");
        assert!(matches!(verdict, Verdict::Create { count: 1, .. }));
        correlator.written(&key, standing(), eleventh.at);
        assert_eq!(
            say(&mut correlator, 11, "message 11"),
            None,
            "the merged event repeats like others"
        );
        assert_eq!(say(&mut correlator, 311, "message 12"), Some(3));
        assert_eq!(
            say(&mut correlator, 311 + 601, "message 13"),
            Some(1),
            "a pause starts anew"
        );
    }
}
