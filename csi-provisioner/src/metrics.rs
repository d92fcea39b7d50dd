//! Upstream's counts of volumes that were made and deleted. Source: sidecars.md 2.13.

use std::time::Duration;

use base::metrics::register;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Counts and durations. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    provisions: Outcomes,
    deletions: Outcomes,
}

#[derive(Clone, Debug)]
struct Outcomes {
    total: IntCounterVec,
    failed: IntCounterVec,
    seconds: HistogramVec,
}

impl Outcomes {
    fn new(registry: &Registry, of: &str, what: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        let total = Opts::new(format!("{of}_total"), format!("Volumes that were {what}."));
        let failed = Opts::new(
            format!("{of}_failed_total"),
            format!("Attempts after which a volume was not {what}."),
        );
        let seconds = HistogramOpts::new(
            format!("{of}_duration_seconds"),
            format!("How long the driver took for volumes that were {what}, in seconds."),
        );
        Ok(Self {
            total: register(registry, IntCounterVec::new(total, labels)?)?,
            failed: register(registry, IntCounterVec::new(failed, labels)?)?,
            seconds: register(registry, HistogramVec::new(seconds, labels)?)?,
        })
    }

    fn succeeded(&self, labels: &[&str], took: Duration) {
        self.total.with_label_values(labels).inc();
        self.seconds.with_label_values(labels).observe(took.as_secs_f64());
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let claim = "controller_persistentvolumeclaim_provision";
        Ok(Self {
            provisions: Outcomes::new(registry, claim, "made", &["class", "source"])?,
            deletions: Outcomes::new(
                registry,
                "controller_persistentvolume_delete",
                "deleted",
                &["class"],
            )?,
        })
    }

    pub(crate) fn made(&self, [class, source]: &[String; 2], took: Duration) {
        self.provisions.succeeded(&[class, source], took);
    }

    pub(crate) fn not_made(&self, [class, source]: &[String; 2]) {
        self.provisions.failed.with_label_values(&[class, source]).inc();
    }

    pub(crate) fn deleted(&self, class: &str, took: Duration) {
        self.deletions.succeeded(&[class], took);
    }

    pub(crate) fn not_deleted(&self, class: &str) {
        self.deletions.failed.with_label_values(&[class]).inc();
    }
}
