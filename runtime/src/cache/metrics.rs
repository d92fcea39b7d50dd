//! `slackwater_informer_objects`, `_last_event_seconds` and `_relists_total` (spec journeys 7.3), computed from
//! the caches when scraped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::hub::AnyHub;

/// The kind of one cache, and its figures.
type Followed = (String, Weak<dyn AnyHub>);

/// The series of all caches of one [`super::Watches`]. Clones share them.
#[derive(Clone)]
pub(super) struct Metrics {
    caches: Arc<Mutex<Vec<Followed>>>,
    objects: IntGaugeVec,
    last_event: GaugeVec,
    relists: IntCounterVec,
}

impl Metrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let objects = Opts::new("slackwater_informer_objects", "Objects in the watch caches.");
        let last_event = Opts::new(
            "slackwater_informer_last_event_seconds",
            "Seconds since the API server last sent an event, a bookmark or a list to the watch.",
        );
        let relists = Opts::new(
            "slackwater_informer_relists_total",
            "Lists after the first one, by what made them necessary.",
        );
        Ok(Self {
            caches: Arc::default(),
            objects: IntGaugeVec::new(objects, &["kind"])?,
            last_event: GaugeVec::new(last_event, &["kind"])?,
            relists: IntCounterVec::new(relists, &["kind", "reason"])?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.clone()))
    }

    pub(super) fn unregister(&self, registry: &Registry) {
        // Fails only where registering had failed.
        let _ = registry.unregister(Box::new(self.clone()));
    }

    pub(super) fn add(&self, kind: &str, hub: &Arc<dyn AnyHub>) {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.push((kind.to_owned(), Arc::downgrade(hub)));
    }

    pub(super) fn relisted(&self, kind: &str, reason: &str) {
        self.relists.with_label_values(&[kind, reason]).inc();
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.objects.desc();
        all.extend(self.last_event.desc());
        all.extend(self.relists.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut kinds: BTreeMap<String, (i64, f64)> = BTreeMap::new();
        {
            let caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
            for (kind, cache) in caches.iter() {
                let Some(cache) = cache.upgrade() else { continue };
                let (objects, silence) = kinds.entry(kind.clone()).or_default();
                *objects += i64::try_from(cache.objects()).unwrap_or(i64::MAX);
                *silence = silence.max(cache.last_word().elapsed().as_secs_f64());
            }
        }
        for (kind, (objects, silence)) in kinds {
            self.objects.with_label_values(&[&kind]).set(objects);
            self.last_event.with_label_values(&[&kind]).set(silence);
        }
        let mut all = self.objects.collect();
        all.extend(self.last_event.collect());
        all.extend(self.relists.collect());
        all
    }
}
