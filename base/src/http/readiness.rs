//! What `/readyz` answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The conditions under which a process counts as ready. Cheap to clone; clones share them.
///
/// Without conditions it is ready at once.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<String, Condition>>>,
}

#[derive(Clone, Debug)]
enum Condition {
    Ready,
    NotReady(String),
    /// Listed, but without effect on the answer.
    Remark(String),
}

/// One condition. Dropping the handle leaves the condition as it is.
#[derive(Clone, Debug)]
pub struct ReadyHandle {
    name: String,
    readiness: Readiness,
}

impl Readiness {
    /// Adds a condition that is not fulfilled yet, with what it waits for.
    #[must_use]
    pub fn condition(&self, name: &str, waiting_for: &str) -> ReadyHandle {
        let handle = ReadyHandle {
            name: name.to_owned(),
            readiness: self.clone(),
        };
        handle.not_ready(waiting_for);
        handle
    }

    /// Adds an entry that `?verbose` lists and that never makes the process unready (decision 4: a driver
    /// pod becomes ready in a cluster without snapshot CRDs).
    #[must_use]
    pub fn remark(&self, name: &str, text: &str) -> ReadyHandle {
        let handle = ReadyHandle {
            name: name.to_owned(),
            readiness: self.clone(),
        };
        handle.remark(text);
        handle
    }

    /// Whether every condition is fulfilled.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.with(|conditions| {
            !conditions
                .values()
                .any(|condition| matches!(condition, Condition::NotReady(_)))
        })
    }

    /// Whether the process is ready, and one line for each condition as the API server words it.
    #[must_use]
    pub fn report(&self) -> (bool, String) {
        let ready = self.is_ready();
        let mut text = String::new();
        self.with(|conditions| {
            for (name, condition) in conditions.iter() {
                text.push_str(&match condition {
                    Condition::Ready => format!("[+]{name} ok\n"),
                    Condition::NotReady(why) => format!("[-]{name} failed: {why}\n"),
                    Condition::Remark(remark) => format!("[+]{name} ok: {remark}\n"),
                });
            }
        });
        text.push_str(if ready {
            "readyz check passed\n"
        } else {
            "readyz check failed\n"
        });
        (ready, text)
    }

    fn with<T>(&self, see: impl FnOnce(&mut BTreeMap<String, Condition>) -> T) -> T {
        see(&mut self.conditions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ReadyHandle {
    /// The condition is fulfilled.
    pub fn ready(&self) {
        self.set(Condition::Ready);
    }

    /// The condition is not, or no longer, fulfilled.
    pub fn not_ready(&self, why: &str) {
        self.set(Condition::NotReady(why.to_owned()));
    }

    /// The entry only informs.
    pub fn remark(&self, text: &str) {
        self.set(Condition::Remark(text.to_owned()));
    }

    fn set(&self, condition: Condition) {
        self.readiness
            .with(|conditions| conditions.insert(self.name.clone(), condition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_decide_and_remarks_inform() {
        let readiness = Readiness::default();
        assert!(readiness.is_ready());
        let caches = readiness.condition("caches", "first list");
        let crds = readiness.remark("crds", "waiting for volumesnapshots");
        assert_eq!(
            readiness.report(),
            (
                false,
                "[-]caches failed: first list\n[+]crds ok: waiting for volumesnapshots\nreadyz check failed\n"
                    .to_owned()
            )
        );
        caches.ready();
        assert!(readiness.is_ready());
        crds.ready();
        assert_eq!(
            readiness.report().1,
            "[+]caches ok\n[+]crds ok\nreadyz check passed\n"
        );
    }
}
