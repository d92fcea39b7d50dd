//! An in-memory EC2: volumes, snapshots and what belongs to them, over the Query protocol.
//!
//! An unmodified AWS SDK talks to it, in process ([`Ec2`] is a tower service) or over HTTP on loopback
//! ([`Ec2::serve`]). Time is that of its [`Clock`], IDs come from its [`Random`]: equal seeds and equal requests give
//! equal answers. A request takes effect as a whole when its future is first polled; a future dropped before that has
//! no effect, one dropped after it has all of it.
//!
//! | Module | Subject |
//! |---|---|
//! | `query`, `xml`, `json` | the protocol, and that of SageMaker |
//! | `errors`, `limits` | error codes; what each volume type allows |
//! | `options` | how the region looks and how fast it works |
//! | `state`, `model` | what exists; a pure function of what was written and the present moment |
//! | `actions` | what each action does, one file a group |
//! | `filters`, `tags` | filters and pages; tags with the time from which they are seen |
//! | `throttle`, `faults` | `RequestLimitExceeded`; faults on request |
//! | `service`, `serve` | in process; over HTTP |
//! | `disk` | what lies on volumes |
//! | `storage` | volumes with data: sparse files and loop devices |
//! | `fixtures`, `view` | what is there from the beginning; what exists, for assertions |
//!
//! Its simplifications are in `docs/sandbox.md`.

mod actions;
mod disk;
mod errors;
mod faults;
mod filters;
mod fixtures;
mod json;
mod limits;
mod model;
mod options;
mod query;
mod serve;
mod service;
mod state;
#[cfg(target_os = "linux")]
mod storage;
mod tags;
mod throttle;
mod view;
mod xml;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Clock, Random};
use http::StatusCode;
use jiff::Timestamp;

pub use disk::{AttachedVolume, Disk};
pub use errors::{Ec2Error, status_of};
pub use faults::{Fault, When};
pub use fixtures::OTHER_ACCOUNT;
pub use limits::{Iops, TYPES as VOLUME_TYPES, TypeLimits};
pub use model::instance::InstanceState;
pub use options::{
    Ec2Options, InstanceType, Lag, ModificationRate, Outpost, Rules, SharedBucket, Takes, Throttle,
    Throttles, Timing, Zone,
};
pub use serve::ServeError;
#[cfg(target_os = "linux")]
pub use storage::{Storage, StorageError};
pub use view::{Ec2State, SnapshotView, VolumeView};

/// The simulated EC2. Clones share everything.
#[derive(Clone, Debug)]
pub struct Ec2 {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Clock,
    random: Random,
    region: Mutex<Region>,
}

/// Everything that requests and tests change.
#[derive(Debug)]
struct Region {
    options: Ec2Options,
    state: state::State,
    #[cfg(target_os = "linux")]
    storage: Option<Storage>,
    buckets: throttle::Buckets,
    faults: faults::Faults,
    log: VecDeque<CallRecord>,
    counts: BTreeMap<String, u64>,
    refusals: BTreeMap<String, u64>,
    number: u64,
}

/// One request, as [`Ec2::calls`] remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// Counted from 1.
    pub number: u64,
    /// The action, as `CreateVolume`; empty when the request had none.
    pub action: String,
    /// The parameters as sent, without action and version.
    pub parameters: BTreeMap<String, String>,
    /// The error code answered; `None` for a success, and where no answer was given.
    pub code: Option<String>,
    /// The HTTP status answered; `None` where no answer was given.
    pub status: Option<StatusCode>,
    /// When it took effect.
    pub at: Timestamp,
    /// Whether it was only a rehearsal.
    pub dry_run: bool,
    /// The access key that it was signed with; signatures are not checked.
    pub signed_by: Option<String>,
}

impl Ec2 {
    /// An empty region.
    #[must_use]
    pub fn new(clock: Clock, random: Random, options: Ec2Options) -> Self {
        let region = Region {
            options,
            state: state::State::default(),
            #[cfg(target_os = "linux")]
            storage: None,
            buckets: throttle::Buckets::default(),
            faults: faults::Faults::default(),
            log: VecDeque::new(),
            counts: BTreeMap::new(),
            refusals: BTreeMap::new(),
            number: 0,
        };
        Self {
            inner: Arc::new(Inner {
                clock,
                random,
                region: Mutex::new(region),
            }),
        }
    }

    /// The requests so far, oldest first; of many only the latest ([`Ec2Options::call_log`]).
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.with(|region| region.log.iter().cloned().collect())
    }

    /// The requests after the one with this number.
    #[must_use]
    pub fn calls_since(&self, number: u64) -> Vec<CallRecord> {
        self.with(|region| {
            let later = region.log.iter().filter(|call| call.number > number);
            later.cloned().collect()
        })
    }

    /// How many requests there were, by action.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.with(|region| region.counts.clone())
    }

    /// How many requests were answered with an error, by its code.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.with(|region| region.refusals.clone())
    }

    /// How many requests of an action there were.
    #[must_use]
    pub fn count(&self, action: &str) -> u64 {
        self.with(|region| region.counts.get(action).copied().unwrap_or_default())
    }

    /// What exists now.
    #[must_use]
    pub fn state(&self) -> Ec2State {
        let now = self.clock().now();
        self.settled(|region| Ec2State::of(&region.state, now))
    }

    /// Name of the region.
    #[must_use]
    pub fn region(&self) -> String {
        self.with(|region| region.options.region.clone())
    }

    /// Changes the options from now on.
    pub fn configure(&self, change: impl FnOnce(&mut Ec2Options)) {
        self.with(|region| change(&mut region.options));
    }

    /// Lets a fault wait for requests of an action; `*` is any action. Of several the oldest is met first.
    pub fn inject(&self, action: &str, when: When, fault: Fault) {
        self.with(|region| region.faults.add(action, when, fault));
    }

    /// Forgets all faults that still wait.
    pub fn clear_faults(&self) {
        self.with(|region| region.faults.clear());
    }

    fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    fn random(&self) -> &Random {
        &self.inner.random
    }

    fn with<T>(&self, act: impl FnOnce(&mut Region) -> T) -> T {
        act(&mut self.inner.region.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Region {
    /// Brings the data that are kept in line with what exists.
    #[cfg(target_os = "linux")]
    fn reconcile(&mut self, now: Timestamp) -> Result<(), StorageError> {
        match &mut self.storage {
            Some(storage) => storage.reconcile(&mut self.state, now),
            None => Ok(()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn reconcile(&mut self, _now: Timestamp) -> Result<(), std::convert::Infallible> {
        Ok(())
    }

    /// The same where nobody waits for an answer; the next request tells what fails.
    fn reconcile_quietly(&mut self, now: Timestamp) {
        if let Err(error) = self.reconcile(now) {
            tracing::error!(%error, "the data of volumes lag behind");
        }
    }

    /// Remembers a request.
    fn record(&mut self, mut record: CallRecord) {
        self.number += 1;
        record.number = self.number;
        *self.counts.entry(record.action.clone()).or_default() += 1;
        if let Some(code) = &record.code {
            *self.refusals.entry(code.clone()).or_default() += 1;
        }
        self.log.push_back(record);
        while self.log.len() > self.options.call_log {
            self.log.pop_front();
        }
    }
}
