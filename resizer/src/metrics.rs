//! Metrics of claims that grow or change (journeys 7.3). Counted as the claims change; a scrape looks at those alone that
//! are under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Clock;
use controller::Difference;
use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use runtime::ObjectKey;
use runtime::objects::Claim;

/// The conditions that tell since when a claim is in its stage.
const OF_GROWTH: [&str; 2] = ["Resizing", "FileSystemResizePending"];

/// Claims that grow or change, by the stage they are in.
#[derive(Clone)]
pub(crate) struct Metrics {
    stages: Arc<Mutex<Stages>>,
}

/// By claim.
#[derive(Default)]
struct Stages {
    driver: String,
    growing: BTreeMap<ObjectKey, (&'static str, Timestamp)>,
    changing: BTreeMap<ObjectKey, &'static str>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, clock: &Clock, driver: &str) -> Result<Self, prometheus::Error> {
        let stages = Stages {
            driver: driver.to_owned(),
            ..Stages::default()
        };
        let stages = Arc::new(Mutex::new(stages));
        registry.register(Box::new(AtScrape::new(&stages, clock)?))?;
        Ok(Self { stages })
    }

    /// Counts a claim as it is now, if `is_ours`.
    pub(crate) fn count(
        &self,
        change: Difference<'_, Claim>,
        is_ours: impl Fn(&Claim) -> bool,
        now: Timestamp,
    ) {
        let claim = change.new.filter(|claim| {
            let is_under_way = claim.resize.is_some() || claim.modify().is_some();
            is_under_way && is_ours(claim)
        });
        let mut stages = lock(&self.stages);
        match claim.and_then(|claim| Some((claim.resize?.as_str(), since(claim).unwrap_or(now)))) {
            Some(stage) => drop(stages.growing.insert(change.key.clone(), stage)),
            None => drop(stages.growing.remove(change.key)),
        }
        match claim.and_then(Claim::modify) {
            Some(modify) => drop(stages.changing.insert(change.key.clone(), modify.status.as_str())),
            None => drop(stages.changing.remove(change.key)),
        }
    }

    /// Counts for one term of leadership: dropping it forgets what is counted. The next term sees every claim anew.
    pub(crate) fn term(&self) -> Term {
        Term(self.stages.clone())
    }
}

/// See [`Metrics::term`].
pub(crate) struct Term(Arc<Mutex<Stages>>);

impl Drop for Term {
    fn drop(&mut self) {
        let mut stages = lock(&self.0);
        stages.growing.clear();
        stages.changing.clear();
    }
}

fn lock(stages: &Mutex<Stages>) -> MutexGuard<'_, Stages> {
    stages.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Since when a claim is in its stage, as its conditions say.
fn since(claim: &Claim) -> Option<Timestamp> {
    let of_growth = claim
        .conditions
        .iter()
        .filter(|condition| OF_GROWTH.contains(&condition.type_.as_str()));
    of_growth
        .filter_map(|condition| Some(condition.last_transition_time.as_ref()?.0))
        .max()
}

/// Gauges that are computed when they are asked for.
struct AtScrape {
    stages: Arc<Mutex<Stages>>,
    clock: Clock,
    growing: IntGaugeVec,
    oldest: GaugeVec,
    changing: IntGaugeVec,
}

impl AtScrape {
    fn new(stages: &Arc<Mutex<Stages>>, clock: &Clock) -> Result<Self, prometheus::Error> {
        let labels = ["driver_name", "status"];
        let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &labels);
        let oldest = Opts::new(
            "slackwater_pvc_resize_oldest_seconds",
            "For how long a PersistentVolumeClaim has been in this stage of its expansion.",
        );
        Ok(Self {
            stages: stages.clone(),
            clock: clock.clone(),
            growing: gauge(
                "slackwater_pvc_resizes",
                "PersistentVolumeClaims by the stage of their expansion.",
            )?,
            oldest: GaugeVec::new(oldest, &labels)?,
            changing: gauge(
                "slackwater_pvc_modifies",
                "PersistentVolumeClaims by the stage of their change by VolumeAttributesClass.",
            )?,
        })
    }

    fn refresh(&self) {
        for gauge in [&self.growing, &self.changing] {
            gauge.reset();
        }
        self.oldest.reset();
        let now = self.clock.now();
        let stages = lock(&self.stages);
        let driver = stages.driver.as_str();
        for (status, since) in stages.growing.values() {
            self.growing.with_label_values(&[driver, status]).inc();
            let oldest = self.oldest.with_label_values(&[driver, status]);
            oldest.set(oldest.get().max(now.duration_since(*since).as_secs_f64()));
        }
        for status in stages.changing.values() {
            self.changing.with_label_values(&[driver, status]).inc();
        }
    }
}

impl Collector for AtScrape {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.growing.desc();
        all.extend(self.oldest.desc());
        all.extend(self.changing.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        let mut all = self.growing.collect();
        all.extend(self.oldest.collect());
        all.extend(self.changing.collect());
        all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim(status: &Value) -> Claim {
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "n"}, "status": status}))
            .unwrap()
    }

    /// Name, label `status` and value of each series.
    fn series(registry: &Registry) -> Vec<(String, String, f64)> {
        let families = registry.gather();
        let of = |family: &MetricFamily| {
            let name = family.name().to_owned();
            let series = family.get_metric().iter().map(|metric| {
                let status = metric.get_label().iter().find(|label| label.name() == "status");
                let status = status.map(|label| label.value().to_owned()).unwrap_or_default();
                (name.clone(), status, metric.get_gauge().get_value())
            });
            series.collect::<Vec<_>>()
        };
        families.iter().flat_map(of).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn claims_are_counted_by_their_stage_until_they_are_done_or_go() {
        let (registry, clock) = (
            Registry::new(),
            Clock::simulated("2026-01-01T01:00:00Z".parse().unwrap()),
        );
        let metrics = Metrics::new(&registry, &clock, "d.csi").unwrap();
        let key = ObjectKey::new("n", "a");
        let count = |status: Option<Value>, is_ours: bool| {
            let claim = status.map(|status| claim(&status));
            let change = Difference {
                key: &key,
                old: None,
                new: claim.as_ref(),
            };
            metrics.count(change, |_| is_ours, clock.now());
        };
        let waiting = json!({
            "allocatedResourceStatuses": {"storage": "NodeResizePending"},
            "modifyVolumeStatus": {"status": "Infeasible", "targetVolumeAttributesClassName": "gold"},
            "conditions": [
                {"type": "Unused", "status": "True", "lastTransitionTime": "2026-01-01T00:59:00Z"},
                {"type": "FileSystemResizePending", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ],
        });
        let row = |name: &str, status: &str, value| (name.to_owned(), status.to_owned(), value);
        let _term = metrics.term();
        count(Some(waiting.clone()), true);
        let expected = [
            row("slackwater_pvc_modifies", "Infeasible", 1.0),
            row(
                "slackwater_pvc_resize_oldest_seconds",
                "NodeResizePending",
                3600.0,
            ),
            row("slackwater_pvc_resizes", "NodeResizePending", 1.0),
        ];
        assert_eq!(series(&registry), expected);
        for (status, is_ours) in [
            (Some(json!({})), true),
            (Some(waiting.clone()), false),
            (None, true),
        ] {
            count(Some(waiting.clone()), true);
            count(status, is_ours);
            assert_eq!(series(&registry), []);
        }
        count(Some(waiting), true);
        drop(metrics.term());
        assert_eq!(series(&registry), []);
    }
}
