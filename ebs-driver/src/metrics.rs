//! Metrics of the EC2 side. Source: spec 6; journeys 7.3 for the names of our own.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::ec2::codes::Meaning;
use crate::ec2::errors::{Action, Ec2Error, Failure};

/// The actions whose series exist before the first call, as users of `absent()` expect.
const PRE_CREATED: [&str; 16] = [
    "AttachVolume",
    "CreateSnapshot",
    "CreateTags",
    "CreateVolume",
    "DeleteSnapshot",
    "DeleteTags",
    "DeleteVolume",
    "DescribeAvailabilityZones",
    "DescribeInstances",
    "DescribeSnapshots",
    "DescribeTags",
    "DescribeVolumes",
    "DescribeVolumesModifications",
    "DetachVolume",
    "EnableFastSnapshotRestores",
    "ModifyVolume",
];

/// What the driver counts. Clones count into the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    families: Vec<Family>,
    lost: IntCounterVec,
    batch_size: HistogramVec,
    batch_wait: HistogramVec,
    waits: HistogramVec,
}

/// Durations, errors and throttles under one set of names.
#[derive(Clone, Debug)]
struct Family {
    duration: HistogramVec,
    errors: IntCounterVec,
    throttles: IntCounterVec,
}

impl Family {
    fn new(registry: &Registry, [duration, errors, throttles]: [&str; 3]) -> Result<Self, prometheus::Error> {
        let family = Self {
            duration: HistogramVec::new(
                HistogramOpts::new(duration, "Duration of successful EC2 requests in seconds"),
                &["request"],
            )?,
            errors: counter(
                errors,
                "EC2 requests answered with an error",
                &["request", "code"],
            )?,
            throttles: counter(throttles, "EC2 requests refused as too many", &["operation_name"])?,
        };
        registry.register(Box::new(family.duration.clone()))?;
        registry.register(Box::new(family.errors.clone()))?;
        registry.register(Box::new(family.throttles.clone()))?;
        for request in PRE_CREATED {
            family.duration.with_label_values(&[request]);
        }
        Ok(family)
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

/// Whether the names of old versions are kept beside the present ones (`--deprecated-metrics`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DeprecatedNames {
    /// Only the present names.
    #[default]
    Off,
    /// Both.
    On,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// When the registry already has one of these names.
    pub fn new(registry: &Registry, deprecated: DeprecatedNames) -> Result<Self, prometheus::Error> {
        let mut families = vec![Family::new(
            registry,
            [
                "aws_ebs_csi_api_request_duration_seconds",
                "aws_ebs_csi_api_request_errors_total",
                "aws_ebs_csi_api_request_throttles_total",
            ],
        )?];
        if deprecated == DeprecatedNames::On {
            families.push(Family::new(
                registry,
                [
                    "cloudprovider_aws_api_request_duration_seconds",
                    "cloudprovider_aws_api_request_errors",
                    "cloudprovider_aws_api_throttled_requests_total",
                ],
            )?);
        }
        let metrics = Self {
            families,
            lost: counter(
                "slackwater_ec2_errors_total",
                "EC2 requests without an answer to go by",
                &["request", "kind"],
            )?,
            batch_size: HistogramVec::new(
                HistogramOpts::new("slackwater_ec2_batch_size", "Lookups merged into one EC2 request")
                    .buckets(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]),
                &["batcher"],
            )?,
            batch_wait: HistogramVec::new(
                HistogramOpts::new(
                    "slackwater_ec2_batch_wait_seconds",
                    "Time from the first lookup of a batch to its EC2 request",
                ),
                &["batcher"],
            )?,
            waits: HistogramVec::new(
                HistogramOpts::new(
                    "slackwater_ec2_wait_seconds",
                    "Time that requests waited for their turn at a bucket or a quota of EC2",
                )
                .buckets(vec![0.01, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0]),
                &["bucket"],
            )?,
        };
        registry.register(Box::new(metrics.lost.clone()))?;
        registry.register(Box::new(metrics.batch_size.clone()))?;
        registry.register(Box::new(metrics.batch_wait.clone()))?;
        registry.register(Box::new(metrics.waits.clone()))?;
        Ok(metrics)
    }

    /// Records one attempt.
    pub fn attempt<T>(&self, action: Action, duration: Duration, outcome: &Result<T, Ec2Error>) {
        match outcome {
            Ok(_) => self.each(|family| {
                family
                    .duration
                    .with_label_values(&[action.name()])
                    .observe(duration.as_secs_f64());
            }),
            Err(error) => self.failure(action, error),
        }
    }

    fn failure(&self, action: Action, error: &Ec2Error) {
        let name = action.name();
        match &error.failure {
            Failure::Waits { .. } => {}
            _ if error.meaning() == Meaning::Throttled => {
                self.each(|family| family.throttles.with_label_values(&[name]).inc());
            }
            Failure::Answer { code, .. } => {
                self.each(|family| family.errors.with_label_values(&[name, code]).inc());
            }
            Failure::Lost { why, .. } => self.lost.with_label_values(&[name, why.label()]).inc(),
        }
    }

    fn each(&self, record: impl Fn(&Family)) {
        self.families.iter().for_each(record);
    }

    /// Records how long a request waited until it could go.
    pub fn waited(&self, bucket: &str, wait: Duration) {
        self.waits
            .with_label_values(&[bucket])
            .observe(wait.as_secs_f64());
    }

    /// Records that a batch was sent.
    pub fn batch(&self, batcher: &str, size: usize, waited: Duration) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a batch has at most some thousand entries"
        )]
        self.batch_size.with_label_values(&[batcher]).observe(size as f64);
        self.batch_wait
            .with_label_values(&[batcher])
            .observe(waited.as_secs_f64());
    }
}
