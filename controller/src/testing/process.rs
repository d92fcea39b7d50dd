//! A function that runs.

use std::sync::{Arc, Mutex};

use base::Scope;
use prometheus::Registry;
use sandbox::faults::Faults;

use crate::Error;

/// A running process of one function. Dropping it kills it.
pub struct Process {
    /// All that runs in it.
    pub scope: Scope,
    /// Its metrics.
    pub registry: Registry,
    /// How it has ended; none while it runs.
    pub ended: Arc<Mutex<Option<Result<(), Error>>>>,
    /// What its calls meet.
    pub faults: Faults,
}

impl Process {
    /// Kills it: nothing that runs goes on.
    pub async fn kill(self) {
        self.scope.abort();
        self.scope.finished().await;
    }

    /// Asks it to stop; how it ended.
    pub async fn stop(self) -> Option<Result<(), Error>> {
        self.scope.stop();
        self.scope.finished().await;
        self.ended.lock().unwrap().take()
    }

    /// Whether it was killed by a fault, or ended by itself.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.faults.has_crashed() || self.ended.lock().unwrap().is_some()
    }

    /// The text with which it ended by itself.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let ended = self.ended.lock().unwrap();
        Some(ended.as_ref()?.as_ref().err()?.to_string())
    }

    /// Value of a gauge or counter with these labels, or the count of a histogram; 0 if it is not there.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.registry.gather();
        let metrics = families.iter().filter(|family| family.name() == name);
        let found = metrics.flat_map(|family| family.get_metric()).find(|metric| {
            labels.iter().all(|(name, value)| {
                let is_it =
                    |label: &prometheus::proto::LabelPair| label.name() == *name && label.value() == *value;
                metric.get_label().iter().any(is_it)
            })
        });
        found.map_or(0.0, |metric| match metric.get_histogram().get_sample_count() {
            0 => metric.get_gauge().get_value() + metric.get_counter().get_value(),
            count => count as f64,
        })
    }
}
