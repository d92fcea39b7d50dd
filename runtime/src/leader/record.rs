//! What is written into a lease. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

/// Who writes, and how.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) lease: String,
    pub(super) namespace: String,
    pub(super) identity: String,
    pub(super) duration: Duration,
    pub(super) labels: BTreeMap<String, String>,
}

impl Writer {
    /// A lease that does not exist yet.
    pub(super) fn first(&self, now: Timestamp) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.lease.clone()),
                namespace: Some(self.namespace.clone()),
                labels: (!self.labels.is_empty()).then(|| self.labels.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(self.seconds()),
                acquire_time: Some(MicroTime(now)),
                renew_time: Some(MicroTime(now)),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        }
    }

    /// The lease held by this writer from now on. A lease that it holds already keeps its time of
    /// acquisition and its count of transitions.
    pub(super) fn taken(&self, seen: &Lease, now: Timestamp) -> Lease {
        let mut lease = seen.clone();
        let labels = lease.metadata.labels.get_or_insert_with(BTreeMap::new);
        labels.extend(self.labels.clone());
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.lease_duration_seconds = Some(self.seconds());
        spec.renew_time = Some(MicroTime(now));
        lease
    }

    /// The lease given back: no holder, one second. Source: client-go's release.
    pub(super) fn released(&self, held: &Lease, now: Timestamp) -> Lease {
        let mut lease = held.clone();
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.acquire_time = Some(MicroTime(now));
        spec.renew_time = Some(MicroTime(now));
        lease
    }

    fn seconds(&self) -> i32 {
        i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX)
    }
}

/// Whom the lease names; empty for nobody.
pub(super) fn holder(lease: &Lease) -> &str {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// The last different record that a candidate saw, and when on its own clock. Wall clocks of others play
/// no part.
#[derive(Debug)]
pub(super) struct Observed {
    record: LeaseSpec,
    since: Instant,
}

impl Observed {
    /// Takes in what a GET answered.
    pub(super) fn update(before: Option<Self>, lease: &Lease, now: Instant) -> Self {
        let record = lease.spec.clone().unwrap_or_default();
        match before {
            Some(before) if before.record == record => before,
            _ => Self { record, since: now },
        }
    }

    /// When a candidate may take the lease; in the past when it may now.
    pub(super) fn free_at(&self, own_identity: &str) -> Instant {
        let holder = self.record.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == own_identity {
            return self.since;
        }
        let seconds = self.record.lease_duration_seconds.unwrap_or(0);
        self.since + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(identity: &str) -> Writer {
        Writer {
            lease: "l".to_owned(),
            namespace: "ns".to_owned(),
            identity: identity.to_owned(),
            duration: Duration::from_secs(15),
            labels: BTreeMap::from([("app".to_owned(), identity.to_owned())]),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_new_holder_counts_a_transition_and_an_old_one_does_not() {
        let first = writer("a").first(at(0));
        let renewed = writer("a").taken(&first, at(5));
        let spec = renewed.spec.clone().unwrap();
        assert_eq!(
            (spec.lease_transitions, spec.acquire_time),
            (Some(0), Some(MicroTime(at(0))))
        );
        assert_eq!(spec.renew_time, Some(MicroTime(at(5))));
        let taken = writer("b").taken(&renewed, at(30));
        let spec = taken.spec.clone().unwrap();
        assert_eq!(
            (spec.lease_transitions, spec.acquire_time),
            (Some(1), Some(MicroTime(at(30))))
        );
        assert_eq!(taken.metadata.labels.as_ref().unwrap()["app"], "b");
        let released = writer("b").released(&taken, at(40));
        assert_eq!(holder(&released), "");
        let spec = released.spec.unwrap();
        assert_eq!(
            (spec.lease_duration_seconds, spec.lease_transitions),
            (Some(1), Some(1))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_is_free_when_it_rested_for_its_duration_on_the_own_clock() {
        let start = Instant::now();
        let lease = writer("a").first(at(0));
        let observed = Observed::update(None, &lease, start);
        assert_eq!(observed.free_at("b"), start + Duration::from_secs(15));
        assert_eq!(
            observed.free_at("a"),
            start,
            "a restarted holder leads again at once"
        );
        let later = start + Duration::from_secs(10);
        let observed = Observed::update(Some(observed), &lease, later);
        assert_eq!(
            observed.free_at("b"),
            start + Duration::from_secs(15),
            "unchanged"
        );
        let renewed = writer("a").taken(&lease, at(10));
        let observed = Observed::update(Some(observed), &renewed, later);
        assert_eq!(observed.free_at("b"), later + Duration::from_secs(15));
        let released = writer("a").released(&renewed, at(11));
        let observed = Observed::update(Some(observed), &released, later);
        assert_eq!(observed.free_at("b"), later);
    }
}
