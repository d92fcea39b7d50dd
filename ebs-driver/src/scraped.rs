//! Series whose values are read when somebody scrapes. Source: spec 6.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, Opts};

/// The values of the labels, and the value.
pub type Sample = (Vec<String>, f64);
type Read = Box<dyn Fn() -> Vec<Sample> + Send + Sync>;

/// Of which kind the series are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A counter.
    Counter,
    /// A gauge.
    Gauge,
}

/// One family that is read from elsewhere.
pub struct Scraped {
    opts: Opts,
    kind: Kind,
    labels: &'static [&'static str],
    desc: Vec<Desc>,
    read: Read,
}

impl Scraped {
    /// A family of this kind.
    ///
    /// # Errors
    /// When name or labels are no valid ones.
    pub fn new(
        kind: Kind,
        name: &str,
        help: &str,
        labels: &'static [&'static str],
        read: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(name, help);
        let desc = GaugeVec::new(opts.clone(), labels)?
            .desc()
            .into_iter()
            .cloned()
            .collect();
        Ok(Self {
            opts,
            kind,
            labels,
            desc,
            read: Box::new(read),
        })
    }

    fn families(&self) -> Result<Vec<MetricFamily>, prometheus::Error> {
        match self.kind {
            Kind::Counter => {
                let family = CounterVec::new(self.opts.clone(), self.labels)?;
                for (labels, value) in (self.read)() {
                    family.get_metric_with_label_values(&labels)?.inc_by(value);
                }
                Ok(family.collect())
            }
            Kind::Gauge => {
                let family = GaugeVec::new(self.opts.clone(), self.labels)?;
                for (labels, value) in (self.read)() {
                    family.get_metric_with_label_values(&labels)?.set(value);
                }
                Ok(family.collect())
            }
        }
    }
}

impl Collector for Scraped {
    fn desc(&self) -> Vec<&Desc> {
        self.desc.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = self.families().unwrap_or_default();
        families
            .into_iter()
            .filter(|family| !family.get_metric().is_empty())
            .collect()
    }
}
