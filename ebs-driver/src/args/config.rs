//! The checked form of the flags.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base::args::GoDuration;
use csi::Address;
use thiserror::Error;

use super::Args;
use crate::ec2::batch::Batching;
use crate::ec2::client::Endpoint;
use crate::ec2::limit::bucket::Assume;
use crate::metrics::DeprecatedNames;
use crate::names::VERSION;
use crate::tags::{self, InvalidTags, TagError, TagPolicy};

/// The mode that the user agent names.
const LABELER: &str = "metadataLabeler";

/// Why the command line is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ArgsError {
    /// No such mode.
    #[error("unknown mode {0:?}; known are controller, node, all, metadataLabeler and pre-stop-hook")]
    UnknownMode(String),
    /// A flag that the mode does not have. A parse error upstream.
    #[error("the mode {mode} has no flag {flag}")]
    NotOfMode {
        /// The mode.
        mode: &'static str,
        /// The flag.
        flag: &'static str,
    },
    /// Two flags exclude each other.
    #[error("{0} and {1} exclude each other")]
    Exclusive(&'static str, &'static str),
    /// A flag needs others.
    #[error("{0} needs {1}")]
    Needs(&'static str, &'static str),
    /// A duration must be above 0.
    #[error("{0} must be above 0")]
    Zero(&'static str),
    /// No such metadata source.
    #[error("unknown metadata source {0:?}; known are imds, kubernetes and metadata-labeler")]
    MetadataSource(String),
    /// A tag flag cannot be read.
    #[error("{flag}: {source}")]
    Tags {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        source: TagError,
    },
    /// The endpoint cannot be read.
    #[error("--endpoint: {0}")]
    Endpoint(#[from] csi::address::InvalidAddress),
}

impl ArgsError {
    /// The exit code: 2 for what upstream's parser refuses, 1 for the rest (Q26).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotOfMode { .. } => 2,
            _ => 1,
        }
    }
}

/// What the driver is told at its start, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the CSI services listen.
    pub endpoint: Address,
    /// Where the caller serves the metrics, if anywhere.
    pub http_endpoint: Option<String>,
    /// Certificate and key of the metrics server.
    pub metrics_tls: Option<(PathBuf, PathBuf)>,
    /// Tags of flags.
    pub tags: TagPolicy,
    /// Whether Describe calls are merged.
    pub batching: Batching,
    /// How long further changes of a volume are waited for.
    pub modify_window: Duration,
    /// How far EC2's Describe answers may lag behind what was done (decision 22). No flag of upstream.
    pub consistency_delay: Duration,
    /// What is supposed of EC2's request limits before it refuses anything. No flag of upstream.
    pub limits: Assume,
    /// Whether old metric names are kept.
    pub deprecated_names: DeprecatedNames,
    /// Whether `local-ebs://` handles are accepted.
    pub has_node_local_volumes: bool,
    /// EC2's address, region and user agent.
    pub ec2: Endpoint,
}

impl Default for Config {
    /// What no flag at all gives, with batching on as the chart sets it.
    fn default() -> Self {
        Self {
            endpoint: Address::Unix("/tmp/csi.sock".into()),
            http_endpoint: None,
            metrics_tls: None,
            tags: TagPolicy::default(),
            batching: Batching::On,
            modify_window: Duration::from_secs(2),
            consistency_delay: Duration::from_secs(5),
            limits: Assume::Published,
            deprecated_names: DeprecatedNames::Off,
            has_node_local_volumes: false,
            ec2: Endpoint {
                user_agent: user_agent(&[]),
                ..Endpoint::default()
            },
        }
    }
}

fn user_agent(extra: &[Option<&str>]) -> String {
    let given = extra.iter().flatten().filter(|extra| !extra.is_empty());
    given.fold(format!("aws-ebs-csi-driver-{VERSION}"), |name, extra| {
        format!("{name}-{extra}")
    })
}

impl Args {
    /// Checks the flags together.
    ///
    /// # Errors
    /// The first combination that cannot be served; [`ArgsError::exit_code`] is the code to end with.
    pub fn config(&self) -> Result<Config, ArgsError> {
        let mode = self.mode_name()?;
        self.check_flags_of_mode(mode)?;
        self.check_combinations()?;
        let tags = self.tags()?;
        let controller = &self.controller;
        let on = |flag: Option<bool>| flag == Some(true);
        let defaults = Config::default();
        let of_labeler = (mode == LABELER).then_some(LABELER);
        Ok(Config {
            endpoint: self.endpoint.parse()?,
            http_endpoint: Some(self.http_endpoint.clone()).filter(|address| !address.is_empty()),
            metrics_tls: self.metrics_cert_file.clone().zip(self.metrics_key_file.clone()),
            tags,
            // Unset means on: a merged call of ours costs a millisecond, upstream's half a second.
            batching: if controller.batching == Some(false) {
                Batching::Off
            } else {
                Batching::On
            },
            modify_window: self.modify_window()?,
            limits: if controller.ec2_published_limits == Some(false) {
                Assume::Nothing
            } else {
                Assume::Published
            },
            deprecated_names: if on(controller.deprecated_metrics) {
                DeprecatedNames::On
            } else {
                DeprecatedNames::Off
            },
            has_node_local_volumes: on(controller.enable_node_local_volumes),
            ec2: Endpoint {
                url: self.cloud.aws_ec2_endpoint.clone().filter(|url| !url.is_empty()),
                sagemaker_url: self
                    .cloud
                    .aws_sagemaker_endpoint
                    .clone()
                    .filter(|url| !url.is_empty()),
                region: self.cloud.aws_region.clone().filter(|region| !region.is_empty()),
                user_agent: user_agent(&[self.cloud.user_agent_extra.as_deref(), of_labeler]),
                logs_bodies: on(self.cloud.aws_sdk_debug_log),
            },
            ..defaults
        })
    }

    /// Refuses flags that the mode does not have.
    fn check_flags_of_mode(&self, mode: &'static str) -> Result<(), ArgsError> {
        let groups = [
            (&["controller", "all", LABELER][..], self.cloud.first_given()),
            (&["controller", "all"], self.controller.first_given()),
            (&["node", "all"], self.node.first_given()),
        ];
        for (modes, flag) in groups {
            if let Some(flag) = flag.filter(|_| !modes.contains(&mode)) {
                return Err(ArgsError::NotOfMode { mode, flag });
            }
        }
        Ok(())
    }

    fn check_combinations(&self) -> Result<(), ArgsError> {
        let is_set = |value: Option<i64>| value.is_some_and(|value| value >= 0);
        if is_set(self.node.volume_attach_limit) && is_set(self.node.reserved_volume_attachments) {
            return Err(ArgsError::Exclusive(
                "--volume-attach-limit",
                "--reserved-volume-attachments",
            ));
        }
        match (&self.metrics_cert_file, &self.metrics_key_file) {
            (Some(_), None) => return Err(ArgsError::Needs("--metrics-cert-file", "--metrics-key-file")),
            (None, Some(_)) => return Err(ArgsError::Needs("--metrics-key-file", "--metrics-cert-file")),
            (Some(_), Some(_)) if self.http_endpoint.is_empty() => {
                return Err(ArgsError::Needs("--metrics-cert-file", "--http-endpoint"));
            }
            _ => {}
        }
        self.modify_window()?;
        self.sources().map(drop)
    }

    fn modify_window(&self) -> Result<Duration, ArgsError> {
        match self.controller.modify_volume_request_handler_timeout {
            None => Ok(Config::default().modify_window),
            Some(GoDuration(Duration::ZERO)) => {
                Err(ArgsError::Zero("--modify-volume-request-handler-timeout"))
            }
            Some(GoDuration(window)) => Ok(window),
        }
    }

    fn tags(&self) -> Result<TagPolicy, ArgsError> {
        let controller = &self.controller;
        // A flag that is given again adds to what it said before (Go's cliflag.MapStringString).
        let read = |flag, texts: &[String]| -> Result<BTreeMap<String, String>, ArgsError> {
            let mut tags = BTreeMap::new();
            for text in texts {
                tags.extend(tags::parse_flag(text).map_err(|source| ArgsError::Tags { flag, source })?);
            }
            Ok(tags)
        };
        let mut extra = read("--extra-volume-tags", &controller.extra_volume_tags)?;
        extra.extend(read("--extra-tags", &controller.extra_tags)?);
        Ok(TagPolicy {
            extra,
            cluster_id: controller.k8s_tag_cluster_id.clone().filter(|id| !id.is_empty()),
            invalid: if controller.warn_on_invalid_tag == Some(true) {
                InvalidTags::Drop
            } else {
                InvalidTags::Refuse
            },
        })
    }
}
