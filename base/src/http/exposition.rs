//! Metrics of several registries as one text.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;
use prometheus::{Encoder, Registry, TextEncoder};

/// Media type of [`exposition`].
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of these registries in Prometheus' text format, families in the order of their names.
/// Families of one name and type are merged; of different type the first registry's stays.
pub(super) fn exposition(registries: &[Registry]) -> Result<Vec<u8>, prometheus::Error> {
    let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
    for family in registries.iter().flat_map(Registry::gather) {
        match families.get_mut(family.name()) {
            None => {
                families.insert(family.name().to_owned(), family);
            }
            Some(first) if first.get_field_type() == family.get_field_type() => {
                let mut metrics = first.take_metric();
                metrics.extend(family.get_metric().iter().cloned());
                first.set_metric(metrics);
            }
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

#[cfg(test)]
mod tests {
    use prometheus::{IntCounter, IntCounterVec, Opts};

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
}
