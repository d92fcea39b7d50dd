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

/// Says why a condition is not fulfilled at the moment.
type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

#[derive(Clone)]
enum Condition {
    Ready,
    NotReady(String),
    /// Listed, but without effect on the answer.
    Remark(String),
    /// Asked each time.
    Asked(Check),
}

impl Condition {
    /// As it is at the moment.
    fn now(&self) -> Self {
        match self {
            Self::Asked(check) => check().map_or_else(Self::NotReady, |()| Self::Ready),
            told => told.clone(),
        }
    }
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready => formatter.write_str("Ready"),
            Self::NotReady(why) => formatter.debug_tuple("NotReady").field(why).finish(),
            Self::Remark(text) => formatter.debug_tuple("Remark").field(text).finish(),
            Self::Asked(_) => formatter.write_str("Asked"),
        }
    }
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

    /// Adds a condition that is asked at each look, for what becomes true or false by time alone. The error says why
    /// the process is not ready.
    pub fn check(&self, name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        let condition = Condition::Asked(Arc::new(check));
        self.with(|conditions| conditions.insert(name.to_owned(), condition));
    }

    /// Whether every condition is fulfilled.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.report().0
    }

    /// Whether the process is ready, and one line for each condition as the API server words it.
    #[must_use]
    pub fn report(&self) -> (bool, String) {
        let conditions = self.with(|conditions| conditions.clone());
        let (mut ready, mut text) = (true, String::new());
        for (name, condition) in conditions {
            text.push_str(&match condition.now() {
                Condition::Ready | Condition::Asked(_) => format!("[+]{name} ok\n"),
                Condition::Remark(remark) => format!("[+]{name} ok: {remark}\n"),
                Condition::NotReady(why) => {
                    ready = false;
                    format!("[-]{name} failed: {why}\n")
                }
            });
        }
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

    #[test]
    fn a_check_is_asked_at_each_look() {
        let (readiness, since) = (Readiness::default(), Arc::new(Mutex::new(None::<u32>)));
        let asked = since.clone();
        readiness.check("caches", move || match *asked.lock().unwrap() {
            Some(minutes) => Err(format!("nothing heard for {minutes} min")),
            None => Ok(()),
        });
        assert_eq!(
            readiness.report(),
            (true, "[+]caches ok\nreadyz check passed\n".to_owned())
        );
        *since.lock().unwrap() = Some(12);
        let failed = "[-]caches failed: nothing heard for 12 min\nreadyz check failed\n";
        assert_eq!(readiness.report(), (false, failed.to_owned()));
        assert!(!readiness.is_ready());
        *since.lock().unwrap() = None;
        assert!(readiness.is_ready());
    }
}
