//! Flags of upstream's driver, with its names and defaults. Source: spec 5, Q25, Q26.

mod config;
mod node;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use base::args::{GoDuration, LogArgs, parse_bool};
use clap::ArgAction::{Append, Set};

pub use config::{ArgsError, Config};
pub use node::{NodeOptions, Role};

/// The command line of `aws-ebs-csi-driver`: the mode first, then flags. Read it with
/// [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "aws-ebs-csi-driver",
    disable_version_flag = true,
    about = "The EBS CSI driver"
)]
pub struct Args {
    /// What to do: controller, node, all, metadataLabeler or pre-stop-hook
    #[arg(value_name = "MODE", default_value = "all")]
    pub mode: String,

    /// Address of the CSI socket; unix: and tcp: schemes
    #[arg(long, default_value = "unix://tmp/csi.sock")]
    pub endpoint: String,

    /// Address of the metrics server, such as :3301; empty means none
    #[arg(long, default_value = "")]
    pub http_endpoint: String,

    /// Certificate of the metrics server
    #[arg(long)]
    pub metrics_cert_file: Option<PathBuf>,

    /// Key of the metrics server
    #[arg(long)]
    pub metrics_key_file: Option<PathBuf>,

    /// Where instance, region and zone are learned from, in order; may be given several times
    #[arg(long, action = Append, default_value = "imds,kubernetes")]
    pub metadata_sources: Vec<String>,

    /// Path of a kubeconfig; empty means in-cluster
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,

    /// Print the version and exit
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = Set)]
    pub version: bool,

    /// Flags of the modes that call EC2.
    #[command(flatten)]
    pub cloud: CloudArgs,

    /// Flags of the controller.
    #[command(flatten)]
    pub controller: ControllerArgs,

    /// Flags of the node.
    #[command(flatten)]
    pub node: NodeArgs,

    /// What the environment says of the machine.
    #[command(flatten)]
    pub machine: MachineArgs,

    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Flags of the modes that call EC2: controller, all, metadataLabeler.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CloudArgs {
    /// Added to the user agent
    #[arg(long)]
    pub user_agent_extra: Option<String>,

    /// Log the bodies of requests to EC2 and of their answers
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = parse_bool)]
    pub aws_sdk_debug_log: Option<bool>,

    /// Region of EC2
    #[arg(long, env = "AWS_REGION", hide = true)]
    pub aws_region: Option<String>,

    /// Address of EC2
    #[arg(long, env = "AWS_EC2_ENDPOINT", hide = true)]
    pub aws_ec2_endpoint: Option<String>,

    /// Address of SageMaker
    #[arg(long, env = "AWS_SAGEMAKER_ENDPOINT", hide = true)]
    pub aws_sagemaker_endpoint: Option<String>,
}

/// Flags of the modes controller and all.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ControllerArgs {
    /// Tags of every volume and snapshot: key=value,key=value; may be given several times
    #[arg(long, action = Append)]
    pub extra_tags: Vec<String>,

    /// Older name of --extra-tags, which wins over it
    #[arg(long, action = Append)]
    pub extra_volume_tags: Vec<String>,

    /// Cluster ID for the cluster tags
    #[arg(long)]
    pub k8s_tag_cluster_id: Option<String>,

    /// Drop invalid tags of a class with a log line instead of refusing the request
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = parse_bool)]
    pub warn_on_invalid_tag: Option<bool>,

    /// Merge Describe calls; on unless `--batching=false`
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = parse_bool)]
    pub batching: Option<bool>,

    /// Keep to the request limits that AWS publishes from the start; `=false` waits for the first refusal, for endpoints
    /// that have none
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = parse_bool)]
    pub ec2_published_limits: Option<bool>,

    /// How long to wait for further changes of the same volume; 2s unless given
    #[arg(long)]
    pub modify_volume_request_handler_timeout: Option<GoDuration>,

    /// Keep the metric names of old versions beside the present ones
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = parse_bool)]
    pub deprecated_metrics: Option<bool>,

    /// Accept volume handles that name a device present on every node
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = parse_bool)]
    pub enable_node_local_volumes: Option<bool>,
}

/// Flags of the modes node and all.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NodeArgs {
    /// Most volumes of a node; negative means computed
    #[arg(long, allow_negative_numbers = true)]
    pub volume_attach_limit: Option<i64>,

    /// Attachments kept for other uses; negative means computed
    #[arg(long, allow_negative_numbers = true)]
    pub reserved_volume_attachments: Option<i64>,

    /// Accepted and without effect: there is no node service for Windows
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = parse_bool)]
    pub windows_host_process: Option<bool>,

    /// Format xfs so that old kernels can mount it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = parse_bool)]
    pub legacy_xfs: Option<bool>,

    /// Folder below which the volumes are mounted whose NVMe statistics are served; empty serves none
    #[arg(long)]
    pub csi_mount_point_prefix: Option<String>,
}

/// What the environment says of the machine. Flags only so that the environment is read in one place.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MachineArgs {
    /// Name of the Node object
    #[arg(long, env = "CSI_NODE_NAME", hide = true)]
    pub csi_node_name: Option<String>,

    /// Whether the instance metadata service is out of bounds
    #[arg(long, env = "AWS_EC2_METADATA_DISABLED", hide = true)]
    pub aws_ec2_metadata_disabled: Option<String>,

    /// Any value leaves the start-up taint alone
    #[arg(long, env = "DISABLE_TAINT_WATCHER", hide = true)]
    pub disable_taint_watcher: Option<String>,
}

/// The first flag of a group that was given.
fn first<const N: usize>(flags: [(&'static str, bool); N]) -> Option<&'static str> {
    flags
        .into_iter()
        .find(|(_, is_given)| *is_given)
        .map(|(flag, _)| flag)
}

impl CloudArgs {
    fn first_given(&self) -> Option<&'static str> {
        first([
            ("--user-agent-extra", self.user_agent_extra.is_some()),
            ("--aws-sdk-debug-log", self.aws_sdk_debug_log.is_some()),
        ])
    }
}

impl ControllerArgs {
    fn first_given(&self) -> Option<&'static str> {
        first([
            ("--extra-tags", !self.extra_tags.is_empty()),
            ("--extra-volume-tags", !self.extra_volume_tags.is_empty()),
            ("--k8s-tag-cluster-id", self.k8s_tag_cluster_id.is_some()),
            ("--warn-on-invalid-tag", self.warn_on_invalid_tag.is_some()),
            ("--batching", self.batching.is_some()),
            ("--ec2-published-limits", self.ec2_published_limits.is_some()),
            (
                "--modify-volume-request-handler-timeout",
                self.modify_volume_request_handler_timeout.is_some(),
            ),
            ("--deprecated-metrics", self.deprecated_metrics.is_some()),
            (
                "--enable-node-local-volumes",
                self.enable_node_local_volumes.is_some(),
            ),
        ])
    }
}

impl NodeArgs {
    fn first_given(&self) -> Option<&'static str> {
        first([
            ("--volume-attach-limit", self.volume_attach_limit.is_some()),
            (
                "--reserved-volume-attachments",
                self.reserved_volume_attachments.is_some(),
            ),
            ("--windows-host-process", self.windows_host_process.is_some()),
            ("--legacy-xfs", self.legacy_xfs.is_some()),
            ("--csi-mount-point-prefix", self.csi_mount_point_prefix.is_some()),
        ])
    }
}
