//! Metrics of several registries as one text.

use std::collections::BTreeMap;

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, Registry, TextEncoder};

/// Media type of [`exposition`].
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of these registries in Prometheus' text format, families in the order of their names.
/// Families of one name and type are merged. Of counters and histograms series with the same labels are added up: functions that
/// share an address tell of their requests together. Of gauges, which say whether or how long, the largest counts. Of different
/// type the first registry's stays.
pub(super) fn exposition(registries: &[Registry]) -> Result<Vec<u8>, prometheus::Error> {
    let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
    for family in registries.iter().flat_map(Registry::gather) {
        match families.get_mut(family.name()) {
            None => {
                families.insert(family.name().to_owned(), family);
            }
            Some(first) if first.get_field_type() == family.get_field_type() => merge(first, &family),
            Some(_) => tracing::warn!(
                family = family.name(),
                "two registries hold it with different types"
            ),
        }
    }
    let families: Vec<MetricFamily> = families.into_values().collect();
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text)?;
    Ok(text)
}

/// Families of one registry hold no series twice.
fn merge(first: &mut MetricFamily, other: &MetricFamily) {
    let kind = first.get_field_type();
    let mut metrics = first.take_metric();
    let places: BTreeMap<_, _> = metrics
        .iter()
        .enumerate()
        .map(|(place, metric)| (labels(metric), place))
        .collect();
    for metric in other.get_metric() {
        match places.get(&labels(metric)) {
            Some(place) => add(&mut metrics[*place], metric, kind),
            None => metrics.push(metric.clone()),
        }
    }
    first.set_metric(metrics);
}

fn labels(metric: &Metric) -> Vec<(String, String)> {
    let owned = |pair: &LabelPair| (pair.name().to_owned(), pair.value().to_owned());
    metric.get_label().iter().map(owned).collect()
}

/// No summaries: there are none.
fn add(sum: &mut Metric, other: &Metric, kind: MetricType) {
    match kind {
        MetricType::COUNTER => {
            let mut counter = sum.get_counter().clone();
            counter.set_value(counter.get_value() + other.get_counter().get_value());
            sum.set_counter(counter);
        }
        MetricType::GAUGE => {
            let mut gauge = sum.get_gauge().clone();
            gauge.set_value(gauge.get_value().max(other.get_gauge().get_value()));
            sum.set_gauge(gauge);
        }
        MetricType::HISTOGRAM => {
            let histogram = added(sum.get_histogram(), other.get_histogram());
            sum.set_histogram(histogram);
        }
        MetricType::SUMMARY | MetricType::UNTYPED => {}
    }
}

/// Both have the buckets of their name.
fn added(one: &Histogram, other: &Histogram) -> Histogram {
    let mut sum = one.clone();
    sum.set_sample_count(one.get_sample_count() + other.get_sample_count());
    sum.set_sample_sum(one.get_sample_sum() + other.get_sample_sum());
    let buckets = one.get_bucket().iter().zip(other.get_bucket());
    let buckets = buckets.map(|(one, other)| {
        let mut bucket = one.clone();
        bucket.set_cumulative_count(one.cumulative_count() + other.cumulative_count());
        bucket
    });
    sum.set_bucket(buckets.collect());
    sum
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};

    use super::*;

    #[test]
    fn registries_are_merged_by_family() {
        let (left, right) = (Registry::new(), Registry::new());
        for (registry, queue) in [(&left, "a"), (&right, "b")] {
            let adds = IntCounterVec::new(Opts::new("workqueue_adds_total", "help"), &["name"]).unwrap();
            adds.with_label_values(&[queue]).inc();
            registry.register(Box::new(adds)).unwrap();
        }
        right
            .register(Box::new(IntCounter::new("alone_total", "help").unwrap()))
            .unwrap();
        let text = String::from_utf8(exposition(&[left, right]).unwrap()).unwrap();
        assert_eq!(
            text,
            "# HELP alone_total help\n# TYPE alone_total counter\nalone_total 0\n\
             # HELP workqueue_adds_total help\n# TYPE workqueue_adds_total counter\n\
             workqueue_adds_total{name=\"a\"} 1\nworkqueue_adds_total{name=\"b\"} 1\n"
        );
        assert_eq!(exposition(&[]).unwrap(), b"");
    }

    #[test]
    fn series_of_the_same_labels_are_one() {
        let registries = [Registry::new(), Registry::new()];
        for (registry, requests, waited) in [(&registries[0], 2, 0.5), (&registries[1], 3, 2.0)] {
            let total = IntCounterVec::new(Opts::new("requests_total", "help"), &["code"]).unwrap();
            total.with_label_values(&["200"]).inc_by(requests);
            let leads = IntGauge::new("leads", "help").unwrap();
            leads.set(1);
            let options = HistogramOpts::new("seconds", "help").buckets(vec![1.0]);
            let seconds = prometheus::Histogram::with_opts(options).unwrap();
            seconds.observe(waited);
            registry.register(Box::new(total)).unwrap();
            registry.register(Box::new(leads)).unwrap();
            registry.register(Box::new(seconds)).unwrap();
        }
        let text = String::from_utf8(exposition(&registries).unwrap()).unwrap();
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            series,
            [
                "leads 1",
                "requests_total{code=\"200\"} 5",
                "seconds_bucket{le=\"1\"} 1",
                "seconds_bucket{le=\"+Inf\"} 2",
                "seconds_sum 2.5",
                "seconds_count 2",
            ]
        );
    }
}
