//! Leader election against a small API server.

mod exclusion;
mod terms;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base::{Clock, Random};
use prometheus::Registry;
use runtime::leader::{ElectionOptions, LeaderElector};

use crate::store::Store;

pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
pub const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/snapshot-controller-leader";

pub fn options(identity: &str) -> ElectionOptions {
    ElectionOptions {
        lease: "snapshot-controller-leader".to_owned(),
        namespace: "kube-system".to_owned(),
        identity: identity.to_owned(),
        component: "snapshot-controller".to_owned(),
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(5),
        labels: BTreeMap::new(),
        drain: Duration::from_secs(25),
    }
}

/// `skew` seconds are added to the wall clock of this elector.
pub fn elector(store: &Store, identity: &str, seed: u64, skew: i64) -> LeaderElector {
    let base = jiff::Timestamp::from_second(1_800_000_000 + skew).unwrap();
    LeaderElector::new(
        &store.client(),
        &Clock::simulated(base),
        &Random::seeded(seed),
        &Registry::new(),
        options(identity),
        None,
    )
    .unwrap()
}

/// How many lead at the moment; leaving the guarded block counts down, also when it is dropped.
#[derive(Clone, Default)]
pub struct Leaders(Arc<AtomicI64>);

pub struct Leading(Leaders);

impl Leaders {
    pub fn enter(&self) -> Leading {
        assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "two lead at once");
        Leading(self.clone())
    }

    pub fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
