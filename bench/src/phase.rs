//! The figures of one phase.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::load::Timing;
use crate::reading::{Memory, Reading};

/// What a phase cost and how long it took.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// `snapshots`, `expansions`, `deletions`.
    pub name: String,
    /// How many.
    pub items: usize,
    /// From the first request of the user to the last item done.
    pub seconds: f64,
    /// Items a second.
    pub per_second: f64,
    /// From the user's request to done, as the user sees it: half of the items took no longer.
    pub median_milliseconds: f64,
    /// 99 of 100 items took no longer.
    pub p99_milliseconds: f64,
    /// API requests an item, `user verb resource`; the user's own apart.
    pub requests: BTreeMap<String, f64>,
    /// All of them but events.
    pub requests_an_item: f64,
    /// Events written, an item.
    pub events_an_item: f64,
    /// EC2 calls an item by action.
    pub ec2: BTreeMap<String, f64>,
    /// Milliseconds of processor time an item, by process.
    pub cpu_milliseconds: BTreeMap<String, f64>,
    /// Memory after it, by process.
    pub memory: BTreeMap<String, Memory>,
}

impl Phase {
    /// The phase whose items took `timing`, between whose ends `spent` was used. Requests of those whom
    /// `counts` refuses are left out.
    pub fn new(name: &str, timing: &Timing, spent: &Reading, counts: impl Fn(&str) -> bool) -> Self {
        let items = timing.latencies.len().max(1) as f64;
        let counted = || spent.requests.iter().filter(|(kind, _)| counts(&kind.user));
        let of_events = |is_event: bool| {
            let kinds = counted().filter(|(kind, _)| (kind.resource == "events") == is_event);
            kinds.map(|(_, count)| *count).sum::<u64>() as f64 / items
        };
        let mut latencies = timing.latencies.clone();
        latencies.sort();
        let seconds = timing.wall.as_secs_f64();
        Self {
            name: name.to_owned(),
            items: timing.latencies.len(),
            seconds,
            per_second: timing.latencies.len() as f64 / seconds.max(f64::EPSILON),
            median_milliseconds: quantile(&latencies, 0.5),
            p99_milliseconds: quantile(&latencies, 0.99),
            requests: counted()
                .map(|(kind, count)| {
                    let name = format!("{} {} {}", kind.user, kind.verb, kind.resource);
                    (name, *count as f64 / items)
                })
                .collect(),
            requests_an_item: of_events(false),
            events_an_item: of_events(true),
            ec2: spent
                .ec2
                .iter()
                .map(|(action, count)| (action.clone(), *count as f64 / items))
                .collect(),
            cpu_milliseconds: spent
                .processes
                .iter()
                .map(|(name, usage)| (name.clone(), usage.cpu_seconds * 1_000.0 / items))
                .collect(),
            memory: spent
                .processes
                .iter()
                .map(|(name, usage)| (name.clone(), usage.memory))
                .collect(),
        }
    }

    /// EC2 calls an item.
    #[must_use]
    pub fn ec2_an_item(&self) -> f64 {
        self.ec2.values().sum()
    }

    /// Processor time an item of the processes that satisfy `of`, in milliseconds.
    pub fn cpu_of(&self, of: impl Fn(&str) -> bool) -> f64 {
        let chosen = self.cpu_milliseconds.iter().filter(|(name, _)| of(name));
        chosen.map(|(_, milliseconds)| milliseconds).sum()
    }

    /// Memory of the processes that satisfy `of`.
    pub fn memory_of(&self, of: impl Fn(&str) -> bool) -> Memory {
        let chosen = self.memory.iter().filter(|(name, _)| of(name));
        chosen.map(|(_, memory)| *memory).sum()
    }
}

/// The smallest of the sorted values that this share of them does not exceed, in milliseconds.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.max(1) - 1)
        .map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{RequestKind, Usage};

    #[test]
    fn quantiles_are_measured_values() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(quantile(&sorted, 0.5), 100.0);
        assert_eq!(quantile(&sorted, 0.99), 198.0);
        assert_eq!(quantile(&sorted[..1], 0.99), 1.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn costs_are_an_item() {
        let kind = |user: &str, resource: &str| RequestKind {
            user: user.to_owned(),
            verb: "patch".to_owned(),
            resource: resource.to_owned(),
        };
        let usage = Usage {
            cpu_seconds: 0.5,
            memory: Memory {
                anonymous_bytes: 3,
                resident_bytes: 7,
            },
        };
        let spent = Reading {
            requests: [
                (kind("ours", "volumesnapshots"), 8),
                (kind("ours", "events"), 4),
                (kind("person", "volumesnapshots"), 4),
            ]
            .into(),
            ec2: [("CreateSnapshot".to_owned(), 4)].into(),
            processes: [("ours".to_owned(), usage)].into(),
        };
        let timing = Timing {
            wall: Duration::from_secs(2),
            latencies: vec![Duration::from_millis(10); 4],
        };
        let phase = Phase::new("snapshots", &timing, &spent, |user| user != "person");
        assert_eq!((phase.items, phase.per_second), (4, 2.0));
        assert_eq!((phase.requests_an_item, phase.events_an_item), (2.0, 1.0));
        assert_eq!(phase.requests["ours patch volumesnapshots"], 2.0);
        assert_eq!(phase.ec2_an_item(), 1.0);
        assert_eq!(phase.cpu_of(|name| name == "ours"), 125.0);
        assert_eq!(phase.memory_of(|_| true).resident_bytes, 7);
    }
}
