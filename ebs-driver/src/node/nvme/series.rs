//! The pages of volumes as upstream's series.

use std::collections::{BTreeMap, HashMap};

use prometheus::core::Desc;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::page::{Bin, Page};

const VOLUME: &str = "volume_id";
const INSTANCE: &str = "instance_id";

/// The unit of a count of the page.
#[derive(Clone, Copy)]
enum Unit {
    Number,
    Microseconds,
    /// Not added up.
    Length,
}

/// Name, help and unit, in the order of [`Page::counts`].
const COUNTS: [(&str, &str, Unit); 11] = [
    (
        "aws_ebs_csi_read_ops_total",
        "Reads that were completed",
        Unit::Number,
    ),
    (
        "aws_ebs_csi_write_ops_total",
        "Writes that were completed",
        Unit::Number,
    ),
    (
        "aws_ebs_csi_read_bytes_total",
        "Bytes that were read",
        Unit::Number,
    ),
    (
        "aws_ebs_csi_write_bytes_total",
        "Bytes that were written",
        Unit::Number,
    ),
    (
        "aws_ebs_csi_read_seconds_total",
        "Time that all reads took",
        Unit::Microseconds,
    ),
    (
        "aws_ebs_csi_write_seconds_total",
        "Time that all writes took",
        Unit::Microseconds,
    ),
    (
        "aws_ebs_csi_exceeded_iops_seconds_total",
        "Time in which more IOPS were asked for than the volume has",
        Unit::Microseconds,
    ),
    (
        "aws_ebs_csi_exceeded_tp_seconds_total",
        "Time in which more throughput was asked for than the volume has",
        Unit::Microseconds,
    ),
    (
        "aws_ebs_csi_ec2_exceeded_iops_seconds_total",
        "Time in which more IOPS were asked for than the instance has",
        Unit::Microseconds,
    ),
    (
        "aws_ebs_csi_ec2_exceeded_tp_seconds_total",
        "Time in which more throughput was asked for than the instance has",
        Unit::Microseconds,
    ),
    (
        "aws_ebs_csi_volume_queue_length",
        "Reads and writes that wait",
        Unit::Length,
    ),
];
const READS: (&str, &str) = (
    "aws_ebs_csi_read_io_latency_seconds",
    "Reads by how long they took",
);
const WRITES: (&str, &str) = (
    "aws_ebs_csi_write_io_latency_seconds",
    "Writes by how long they took",
);

/// What the registry must know of the families.
pub(super) fn descriptions(instance_id: &str) -> Result<Vec<Desc>, prometheus::Error> {
    let counts = COUNTS.iter().map(|(name, help, _)| (*name, *help));
    counts
        .chain([READS, WRITES])
        .map(|(name, help)| {
            let instance = HashMap::from([(INSTANCE.to_owned(), instance_id.to_owned())]);
            Desc::new(
                name.to_owned(),
                help.to_owned(),
                vec![VOLUME.to_owned()],
                instance,
            )
        })
        .collect()
}

/// The families of these volumes; none where there is no volume.
pub(super) fn families(instance_id: &str, pages: &BTreeMap<String, Page>) -> Vec<MetricFamily> {
    if pages.is_empty() {
        return Vec::new();
    }
    let counts = COUNTS.iter().enumerate().map(|(number, (name, help, unit))| {
        let kind = match unit {
            Unit::Length => MetricType::GAUGE,
            Unit::Number | Unit::Microseconds => MetricType::COUNTER,
        };
        let metrics = pages.iter().map(|(id, page)| {
            let mut metric = labelled(instance_id, id);
            let value = as_f64(page.counts[number]);
            match unit {
                Unit::Length => {
                    let mut gauge = Gauge::default();
                    gauge.set_value(value);
                    metric.set_gauge(gauge);
                }
                Unit::Number => metric.set_counter(counter(value)),
                Unit::Microseconds => metric.set_counter(counter(value / 1e6)),
            }
            metric
        });
        family(name, help, kind, metrics.collect())
    });
    let latencies = |(name, help): (&str, &str), bins: fn(&Page) -> &[Bin]| {
        let metrics = pages.iter().map(|(id, page)| {
            let mut metric = labelled(instance_id, id);
            metric.set_histogram(histogram(bins(page)));
            metric
        });
        family(name, help, MetricType::HISTOGRAM, metrics.collect())
    };
    let reads = latencies(READS, |page| &page.reads);
    let writes = latencies(WRITES, |page| &page.writes);
    counts.chain([reads, writes]).collect()
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(instance_id: &str, volume_id: &str) -> Metric {
    let pair = |name: &str, value: &str| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    let mut metric = Metric::default();
    metric.set_label(vec![pair(INSTANCE, instance_id), pair(VOLUME, volume_id)]);
    metric
}

fn counter(value: f64) -> Counter {
    let mut counter = Counter::default();
    counter.set_value(value);
    counter
}

/// Each bucket has what the ones before it have; the page knows no sum.
fn histogram(bins: &[Bin]) -> Histogram {
    let mut count = 0_u64;
    let buckets = bins.iter().map(|bin| {
        count = count.saturating_add(bin.count);
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(as_f64(bin.upper) / 1e6);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(count);
    histogram
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
