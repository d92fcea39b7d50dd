//! What has been used so far. The difference of two readings is what a phase cost.

use std::collections::BTreeMap;
use std::iter::Sum;

use serde::Serialize;

/// Whose request it was, and what it asked for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RequestKind {
    /// The user.
    pub user: String,
    /// `create`, `patch` and so on.
    pub verb: String,
    /// `volumesnapshots/status` for example.
    pub resource: String,
}

/// What one process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Memory now.
    pub memory: Memory,
}

/// Memory of one process, or of several together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Memory {
    /// `RssAnon`: what the process has made itself. It is what counts: pages of the binary can be read again.
    pub anonymous_bytes: u64,
    /// `VmRSS`: all of it that is in memory.
    pub resident_bytes: u64,
}

impl Sum for Memory {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            anonymous_bytes: sum.anonymous_bytes + one.anonymous_bytes,
            resident_bytes: sum.resident_bytes + one.resident_bytes,
        })
    }
}

/// Everything that is counted.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// API requests; those for leases apart.
    pub requests: BTreeMap<RequestKind, u64>,
    /// EC2 calls by action.
    pub ec2: BTreeMap<String, u64>,
    /// Processes by name.
    pub processes: BTreeMap<String, Usage>,
}

/// Something that can be read again and again.
pub trait Meter {
    /// What has been used so far.
    ///
    /// # Errors
    /// When a process has ended, or a log cannot be read.
    fn read(&mut self) -> impl Future<Output = anyhow::Result<Reading>> + Send;
}

impl Reading {
    /// What was used since an earlier reading. Memory is not a sum: it stays as it is now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let processes = self.processes.iter().map(|(name, usage)| {
            let before = earlier.processes.get(name).copied().unwrap_or_default();
            let usage = Usage {
                cpu_seconds: usage.cpu_seconds - before.cpu_seconds,
                memory: usage.memory,
            };
            (name.clone(), usage)
        });
        Self {
            requests: difference(&self.requests, &earlier.requests),
            ec2: difference(&self.ec2, &earlier.ec2),
            processes: processes.collect(),
        }
    }
}

fn difference<K: Clone + Ord>(now: &BTreeMap<K, u64>, before: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    now.iter()
        .map(|(key, count)| {
            (
                key.clone(),
                count - before.get(key).copied().unwrap_or_default().min(*count),
            )
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_holds_what_is_new() {
        let kind = |verb: &str| RequestKind {
            user: "u".to_owned(),
            verb: verb.to_owned(),
            resource: "pods".to_owned(),
        };
        let usage = |cpu_seconds, resident_bytes| Usage {
            cpu_seconds,
            memory: Memory {
                anonymous_bytes: 1,
                resident_bytes,
            },
        };
        let before = Reading {
            requests: [(kind("get"), 2), (kind("patch"), 1)].into(),
            ec2: [("CreateSnapshot".to_owned(), 4)].into(),
            processes: [("p".to_owned(), usage(1.0, 10))].into(),
        };
        let after = Reading {
            requests: [(kind("get"), 2), (kind("patch"), 4), (kind("create"), 1)].into(),
            ec2: [("CreateSnapshot".to_owned(), 4)].into(),
            processes: [("p".to_owned(), usage(1.5, 20)), ("q".to_owned(), usage(0.25, 5))].into(),
        };
        let spent = after.since(&before);
        assert_eq!(spent.requests, [(kind("patch"), 3), (kind("create"), 1)].into());
        assert!(spent.ec2.is_empty());
        let seconds: Vec<f64> = spent.processes.values().map(|usage| usage.cpu_seconds).collect();
        assert_eq!(seconds, [0.5, 0.25]);
        assert_eq!(spent.processes["p"].memory.resident_bytes, 20);
        let together: Memory = spent.processes.values().map(|usage| usage.memory).sum();
        assert_eq!((together.anonymous_bytes, together.resident_bytes), (2, 25));
    }
}
