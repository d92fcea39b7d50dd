//! Gauges of the objects that are under way, by the stage they are in, and of how long the first has been in it. They are
//! counted as they change, so that a scrape looks at those alone that are under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Clock;
use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use runtime::ObjectKey;

/// What the gauges are called.
#[derive(Clone, Copy, Debug)]
pub struct Gauges {
    /// The label of the stage; the other one is `driver_name`.
    pub label: &'static str,
    /// Name and help of the number of objects.
    pub count: [&'static str; 2],
    /// Name and help of the time that the first of them has been in its stage, where that is known.
    pub oldest: Option<[&'static str; 2]>,
}

/// The objects of one function that are under way. Clones share them.
#[derive(Clone)]
pub struct Stages {
    known: Arc<Mutex<Known>>,
    clock: Clock,
}

type Known = BTreeMap<ObjectKey, (&'static str, Timestamp)>;

impl Stages {
    /// Registers the gauges.
    ///
    /// # Errors
    /// The registry has them already.
    pub fn new(
        registry: &Registry,
        clock: &Clock,
        driver: &str,
        gauges: &Gauges,
    ) -> Result<Self, prometheus::Error> {
        let stages = Self {
            known: Arc::default(),
            clock: clock.clone(),
        };
        registry.register(Box::new(AtScrape::new(&stages, driver, gauges)?))?;
        Ok(stages)
    }

    /// The object is in this stage, since then; where nobody says since when, since it was first told of. None: it is not
    /// under way any more.
    pub fn set(&self, key: &ObjectKey, stage: Option<(&'static str, Option<Timestamp>)>) {
        let mut known = lock(&self.known);
        let Some((stage, since)) = stage else {
            known.remove(key);
            return;
        };
        let before = known.get(key).filter(|(before, _)| *before == stage);
        let since = since.or(before.map(|(_, since)| *since));
        known.insert(key.clone(), (stage, since.unwrap_or_else(|| self.clock.now())));
    }

    /// Counts for one term of leadership: dropping it forgets what is counted. The next term sees every object anew.
    #[must_use]
    pub fn term(&self) -> StagesTerm {
        StagesTerm(self.known.clone())
    }
}

/// See [`Stages::term`].
pub struct StagesTerm(Arc<Mutex<Known>>);

impl Drop for StagesTerm {
    fn drop(&mut self) {
        lock(&self.0).clear();
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gauges that are computed when they are asked for.
struct AtScrape {
    stages: Stages,
    driver: String,
    count: IntGaugeVec,
    oldest: Option<GaugeVec>,
}

impl AtScrape {
    fn new(stages: &Stages, driver: &str, gauges: &Gauges) -> Result<Self, prometheus::Error> {
        let labels = ["driver_name", gauges.label];
        let [name, help] = gauges.count;
        let oldest = |[name, help]: [&str; 2]| GaugeVec::new(Opts::new(name, help), &labels);
        Ok(Self {
            stages: stages.clone(),
            driver: driver.to_owned(),
            count: IntGaugeVec::new(Opts::new(name, help), &labels)?,
            oldest: gauges.oldest.map(oldest).transpose()?,
        })
    }

    fn refresh(&self) {
        self.count.reset();
        if let Some(oldest) = &self.oldest {
            oldest.reset();
        }
        let now = self.stages.clock.now();
        for (stage, since) in lock(&self.stages.known).values() {
            let labels = [self.driver.as_str(), stage];
            self.count.with_label_values(&labels).inc();
            if let Some(oldest) = &self.oldest {
                let oldest = oldest.with_label_values(&labels);
                oldest.set(oldest.get().max(now.duration_since(*since).as_secs_f64()));
            }
        }
    }
}

impl Collector for AtScrape {
    fn desc(&self) -> Vec<&Desc> {
        let oldest = self.oldest.iter().flat_map(Collector::desc);
        self.count.desc().into_iter().chain(oldest).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        let oldest = self.oldest.iter().flat_map(Collector::collect);
        self.count.collect().into_iter().chain(oldest).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GAUGES: Gauges = Gauges {
        label: "phase",
        count: ["things", "Things."],
        oldest: Some(["thing_seconds", "Their age."]),
    };

    /// Name, phase and value of each series.
    fn series(registry: &Registry) -> Vec<(String, String, f64)> {
        let families = registry.gather();
        let of = |family: &MetricFamily| {
            let name = family.name().to_owned();
            let series = family.get_metric().iter().map(|metric| {
                let phase = metric.get_label().iter().find(|label| label.name() == "phase");
                let phase = phase.map(|label| label.value().to_owned()).unwrap_or_default();
                (name.clone(), phase, metric.get_gauge().get_value())
            });
            series.collect::<Vec<_>>()
        };
        families.iter().flat_map(of).collect()
    }

    fn row(name: &str, phase: &str, value: f64) -> (String, String, f64) {
        (name.to_owned(), phase.to_owned(), value)
    }

    #[tokio::test(start_paused = true)]
    async fn objects_are_counted_by_their_stage_until_they_are_done_or_the_term_ends() {
        let clock = Clock::simulated("2026-01-01T01:00:00Z".parse().unwrap());
        let registry = Registry::new();
        let stages = Stages::new(&registry, &clock, "d.csi", &GAUGES).unwrap();
        let [a, b] = ["a", "b"].map(|name| ObjectKey::new("n", name));
        let term = stages.term();
        stages.set(&a, Some(("coming", None)));
        tokio::time::sleep(Duration::from_secs(30)).await;
        // Told of again, it is no younger; and the first of several is shown.
        stages.set(&a, Some(("coming", None)));
        stages.set(&b, Some(("coming", None)));
        let expected = [row("thing_seconds", "coming", 30.0), row("things", "coming", 2.0)];
        assert_eq!(series(&registry), expected);
        // Another stage begins anew, but where the object says since when.
        stages.set(&a, Some(("going", None)));
        stages.set(
            &b,
            Some(("done soon", Some("2026-01-01T00:00:00Z".parse().unwrap()))),
        );
        let expected = [
            row("thing_seconds", "done soon", 3630.0),
            row("thing_seconds", "going", 0.0),
            row("things", "done soon", 1.0),
            row("things", "going", 1.0),
        ];
        assert_eq!(series(&registry), expected);
        stages.set(&a, None);
        assert_eq!(series(&registry), [expected[0].clone(), expected[2].clone()]);
        drop(term);
        assert_eq!(series(&registry), []);
    }
}
