//! Upstream's flags (sidecars.md 1.1, 2.1) and the checked configuration.

use std::num::NonZeroUsize;
use std::time::Duration;

use base::RateLimit;
use base::args::{Environment, Gate, GoDuration, Stage, parse_bool, parse_interval};
use controller::args::{ArgsError, DriverArgs, DriverConfig};
use runtime::args::{CommonArgs, CommonConfig, KubeArgs};

/// The command line of `slackwater csi-provisioner`. Read it with [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "csi-provisioner",
    disable_version_flag = true,
    about = "Makes and deletes volumes as PersistentVolumeClaims and PersistentVolumes ask for"
)]
pub struct Args {
    /// What every controller has.
    #[command(flatten)]
    pub common: CommonArgs,
    /// What only this function has.
    #[command(flatten)]
    pub own: OwnArgs,
    /// Published capacity.
    #[command(flatten)]
    pub capacity: CapacityArgs,
    /// One process a node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Flags of this function alone.
#[derive(Clone, Debug, clap::Args)]
pub struct OwnArgs {
    /// Address of the API server, instead of the kubeconfig's; without a kubeconfig it is asked without credentials.
    #[arg(long, value_name = "URL", default_value = "")]
    pub master: String,

    /// How to reach the driver.
    #[command(flatten)]
    pub driver: DriverArgs,

    /// Longest time of one CSI call.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub timeout: GoDuration,

    /// Claims, and volumes, that are worked on at the same time.
    #[arg(long, value_name = "NUMBER", default_value = "100")]
    pub worker_threads: NonZeroUsize,

    /// How often every claim and volume is looked at without a change.
    #[arg(long, value_name = "DURATION", default_value = "15m",
          value_parser = parse_interval, allow_hyphen_values = true)]
    pub resync_period: GoDuration,

    /// Beginning of the names of volumes.
    #[arg(long, value_name = "PREFIX", default_value = "pvc", value_parser = parse_prefix)]
    pub volume_name_prefix: String,

    /// Characters of the claim's UID in the names of volumes, 1 to 32; -1 is the whole UID with its dashes.
    #[arg(long, value_name = "NUMBER", default_value = "-1", allow_negative_numbers = true,
          value_parser = parse_uid_length)]
    pub volume_name_uuid_length: UidLength,

    /// Ask for the topology of the selected node alone.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub strict_topology: bool,

    /// Tell the driver for a class that binds at once where the cluster has nodes.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub immediate_topology: bool,

    /// Pass the names of claim and volume to CreateVolume.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub extra_create_metadata: bool,

    /// File system of volumes whose class names none.
    #[arg(long, value_name = "TYPE", default_value = "")]
    pub default_fstype: String,

    /// Volumes whose claim has the single mode ReadOnlyMany are attached for reading.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub controller_publish_readonly: bool,

    /// Restore a snapshot in another volume mode only where its content allows it.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub prevent_volume_mode_conversion: bool,

    /// Sources of clones that are worked on at the same time; 0 lets none of them go.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub cloning_protection_threads: usize,

    /// How often snapshots are looked for that a restore left protected; 0s is never.
    #[arg(long, value_name = "DURATION", default_value = "5m",
          value_parser = parse_interval, allow_hyphen_values = true)]
    pub snapshot_orphan_sweep_interval: GoDuration,

    /// How often volumes that nobody owns are looked for, where the driver runs in this process; 0s is never.
    #[arg(long, value_name = "DURATION", default_value = "1h",
          value_parser = parse_interval, allow_hyphen_values = true)]
    pub orphan_volumes_interval: GoDuration,

    /// Accepted for upstream's manifests: there is nothing of Go to profile.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set, hide = true)]
    pub enable_pprof: bool,
}

/// Flags about capacity that is published for the scheduler (sidecars.md 2.11).
#[derive(Clone, Debug, clap::Args)]
pub struct CapacityArgs {
    /// Publish how much room the driver says that there is, as CSIStorageCapacity objects.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub enable_capacity: bool,

    /// CSIStorageCapacity objects that are worked on at the same time; 0 publishes none.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub capacity_threads: usize,

    /// How often the driver is asked for its capacity without a reason; 0s is never.
    #[arg(long, value_name = "DURATION", default_value = "1m",
          value_parser = parse_interval, allow_hyphen_values = true)]
    pub capacity_poll_interval: GoDuration,

    /// Publish it for classes that bind at once too, which no scheduler needs.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub capacity_for_immediate_binding: bool,

    /// Whose the objects are: 0 is the pod, 1 what controls it, 2 what controls that; -1 is nobody's.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "1",
        allow_negative_numbers = true
    )]
    pub capacity_ownerref_level: i32,

    /// Writes of CSIStorageCapacity objects a second on average; unset, 0 or negative means no limit.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub kube_api_capacity_qps: Option<f32>,

    /// Such writes at once when --kube-api-capacity-qps is set; unset means 5, 0 or negative no limit.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub kube_api_capacity_burst: Option<i32>,
}

/// Flags of a process that serves one node alone (sidecars.md 2.12).
#[derive(Clone, Debug, clap::Args)]
pub struct NodeArgs {
    /// Serve the node NODE_NAME alone, beside the driver that runs on it.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub node_deployment: bool,

    /// Take claims that bind at once too: the first node that has room and takes it makes the volume.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub node_deployment_immediate_binding: bool,

    /// How long at most such a claim is left to other nodes first.
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pub node_deployment_base_delay: GoDuration,

    /// The same after lost races, each of which doubles it.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub node_deployment_max_delay: GoDuration,
}

/// How much of a claim's UID is in the name of its volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UidLength {
    /// All of it, with its dashes.
    Whole,
    /// So many characters of it without its dashes: 1 to 32.
    Characters(usize),
}

/// Another text would be the start of no name (Q15).
fn parse_prefix(text: &str) -> Result<String, String> {
    let is_inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let begins = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if text.bytes().all(is_inner) && text.as_bytes().first().is_some_and(begins) {
        return Ok(text.to_owned());
    }
    Err(
        "names of volumes begin with it: write lower-case letters, digits and dashes, at least one"
            .to_owned(),
    )
}

/// One name for all claims, and names that no UID is long enough for, are refused (Q16).
fn parse_uid_length(text: &str) -> Result<UidLength, String> {
    match text.parse() {
        Ok(-1) => Ok(UidLength::Whole),
        Ok(number @ 1..=32_i32) => Ok(UidLength::Characters(number.unsigned_abs() as usize)),
        _ => Err("write -1 for the whole UID, or 1 to 32".to_owned()),
    }
}

const TOPOLOGY: &str = "Topology";
const ATTRIBUTES: &str = "VolumeAttributesClass";
const CROSS_NAMESPACE: &str = "CrossNamespaceVolumeDataSource";

/// The gates that upstream knows, and those that it knew.
const GATES: [Gate; 6] = [
    Gate {
        name: TOPOLOGY,
        default: true,
        stage: Stage::Ga,
    },
    Gate {
        name: ATTRIBUTES,
        default: true,
        stage: Stage::Ga,
    },
    Gate {
        name: CROSS_NAMESPACE,
        default: false,
        stage: Stage::Alpha,
    },
    Gate {
        name: "ReleaseLeaderElectionOnExit",
        default: false,
        stage: Stage::Alpha,
    },
    Gate {
        name: "HonorPVReclaimPolicy",
        default: true,
        stage: Stage::Removed,
    },
    Gate {
        name: "CSINodeExpandSecret",
        default: true,
        stage: Stage::Removed,
    },
];

/// Shorter parts of a UID may be those of two claims.
const SAFE_UID_LENGTH: usize = 8;

/// Flags that contradict each other, or the surroundings of the process. It ends before any call.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// As of every sidecar.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// Something about the pod must be known that nobody says.
    #[error("--{flag} needs to know {what}: set the environment variable {variable} from {field}")]
    Unknown {
        /// The flag.
        flag: &'static str,
        /// What it is.
        what: &'static str,
        /// The variable that says it.
        variable: &'static str,
        /// The field of the downward API that it comes from.
        field: &'static str,
    },
    /// Of the nodes only one would ever work.
    #[error(
        "--node-deployment serves each node by a process of its own, of which --leader-election lets only one work: leave it out"
    )]
    NodesElect,
}

/// How capacity is published.
#[derive(Clone, Debug, PartialEq)]
pub struct CapacityConfig {
    /// Objects at the same time; none publishes nothing.
    pub workers: usize,
    /// How often the driver is asked; zero means never.
    pub poll: Duration,
    /// For classes that bind at once too.
    pub immediate: bool,
    /// How far above the pod the owner is, and the pod; none for objects of nobody.
    pub owner: Option<(u32, String)>,
    /// Of the writes.
    pub limit: Option<RateLimit>,
    /// Where the objects are.
    pub namespace: String,
}

/// The node that a process serves alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its name.
    pub name: String,
    /// Claims that nobody chose a node for are taken too.
    pub immediate: bool,
    /// How long they are left to others first, and at most after lost races.
    pub delays: (Duration, Duration),
}

/// What `run` is given: flags that were checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every controller has.
    pub common: CommonConfig,
    /// How to reach the driver.
    pub driver: DriverConfig,
    /// Claims, and volumes, at the same time.
    pub workers: usize,
    /// Zero means never.
    pub resync_period: Duration,
    /// Beginning of the names of volumes.
    pub volume_name_prefix: String,
    /// How much of the UID follows it.
    pub uid_length: UidLength,
    /// Ask for the topology of the selected node alone.
    pub strict_topology: bool,
    /// Tell the driver for a class that binds at once where the cluster has nodes.
    pub immediate_topology: bool,
    /// Pass the names of claim and volume to CreateVolume.
    pub extra_create_metadata: bool,
    /// File system of volumes whose class names none; may be empty.
    pub default_fs_type: String,
    /// Volumes of claims that only read are attached for reading.
    pub publish_read_only: bool,
    /// Restore a snapshot in another volume mode only where its content allows it.
    pub prevent_mode_conversion: bool,
    /// Sources of clones at the same time; with none they stay protected.
    pub protection_workers: usize,
    /// How often orphaned protections of snapshots are looked for; zero means never.
    pub sweep_interval: Duration,
    /// How often volumes that nobody owns are looked for; zero means never.
    pub orphans_interval: Duration,
    /// Gate Topology.
    pub topology: bool,
    /// Gate VolumeAttributesClass.
    pub attributes_classes: bool,
    /// The flags switch it on by its name: no volume is made without the class that its claim names.
    pub attributes_demanded: bool,
    /// Where the API server has no attributes classes of `v1`, those of `v1beta1`.
    pub attributes_fallback: bool,
    /// Gate CrossNamespaceVolumeDataSource.
    pub cross_namespace: bool,
    /// None where no capacity is published.
    pub capacity: Option<CapacityConfig>,
    /// None for a process that serves the cluster.
    pub node: Option<NodeConfig>,
}

impl Args {
    /// How to reach the API server: as upstream's, with the file that `KUBECONFIG` names before that of the flag.
    #[must_use]
    pub fn connection(&self, environment: &Environment) -> KubeArgs {
        let flags = &self.common.kube;
        KubeArgs {
            kubeconfig: environment
                .kubeconfig
                .clone()
                .unwrap_or_else(|| flags.kubeconfig.clone()),
            master: self.own.master.clone(),
            ..flags.clone()
        }
    }

    /// Checks the flags. Source: sidecars.md 2.1.
    ///
    /// # Errors
    /// The first contradiction, before anything is called.
    pub fn config(&self, environment: &Environment) -> Result<Config, ConfigError> {
        let own = &self.own;
        let mut common = self.common.config(&GATES).map_err(ArgsError::from)?;
        common.gates.warnings.extend(self.warnings());
        let node = self.node.config(environment)?;
        if node.is_some() && common.election.is_some() {
            return Err(ConfigError::NodesElect);
        }
        Ok(Config {
            capacity: self.capacity.config(environment)?,
            node,
            driver: own.driver.config(own.timeout)?,
            workers: own.worker_threads.get(),
            resync_period: own.resync_period.0,
            volume_name_prefix: own.volume_name_prefix.clone(),
            uid_length: own.volume_name_uuid_length,
            strict_topology: own.strict_topology,
            immediate_topology: own.immediate_topology,
            extra_create_metadata: own.extra_create_metadata,
            default_fs_type: own.default_fstype.clone(),
            publish_read_only: own.controller_publish_readonly,
            prevent_mode_conversion: own.prevent_volume_mode_conversion,
            protection_workers: own.cloning_protection_threads.max(1),
            sweep_interval: own.snapshot_orphan_sweep_interval.0,
            orphans_interval: own.orphan_volumes_interval.0,
            topology: common.gates.enabled(TOPOLOGY),
            attributes_classes: common.gates.enabled(ATTRIBUTES),
            attributes_demanded: common.gates.demanded(ATTRIBUTES),
            attributes_fallback: environment.vac_fallback,
            cross_namespace: common.gates.enabled(CROSS_NAMESPACE),
            common,
        })
    }

    /// What is accepted as upstream accepts it, and is hardly meant.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let UidLength::Characters(number) = self.own.volume_name_uuid_length
            && number < SAFE_UID_LENGTH
        {
            warnings.push(format!(
                "--volume-name-uuid-length={number}: two claims may get one name of a volume; use {SAFE_UID_LENGTH} or more"
            ));
        }
        if self.own.cloning_protection_threads == 0 {
            let text = "--cloning-protection-threads=0: one is at work all the same, or no claim that was cloned could be deleted";
            warnings.push(text.to_owned());
        }
        if self.capacity.enable_capacity && self.capacity.capacity_threads == 0 {
            warnings.push("--capacity-threads=0: no capacity is published".to_owned());
        }
        warnings
    }
}

impl CapacityArgs {
    fn config(&self, environment: &Environment) -> Result<Option<CapacityConfig>, ConfigError> {
        if !self.enable_capacity {
            return Ok(None);
        }
        let unknown = |what, variable, field| ConfigError::Unknown {
            flag: "enable-capacity",
            what,
            variable,
            field,
        };
        let own = environment
            .namespace
            .as_ref()
            .or(environment.pod_namespace.as_ref());
        let namespace = own.or(environment.service_account_namespace.as_ref());
        let no_namespace = || unknown("its namespace", "NAMESPACE", "metadata.namespace");
        let owner = match u32::try_from(self.capacity_ownerref_level) {
            Ok(levels) => {
                let pod = environment.pod_name.as_ref().or(environment.host_name.as_ref());
                let no_pod = || unknown("its pod", "POD_NAME", "metadata.name");
                Some((levels, pod.ok_or_else(no_pod)?.clone()))
            }
            Err(_) => None,
        };
        Ok(Some(CapacityConfig {
            workers: self.capacity_threads,
            poll: self.capacity_poll_interval.0,
            immediate: self.capacity_for_immediate_binding,
            owner,
            limit: self.limit(),
            namespace: namespace.ok_or_else(no_namespace)?.clone(),
        }))
    }

    fn limit(&self) -> Option<RateLimit> {
        let qps = self
            .kube_api_capacity_qps
            .filter(|qps| *qps > 0.0 && qps.is_finite())?;
        let burst = u32::try_from(self.kube_api_capacity_burst.unwrap_or(5)).ok();
        Some(RateLimit {
            qps: f64::from(qps),
            burst: burst.filter(|burst| *burst > 0)?,
        })
    }
}

impl NodeArgs {
    fn config(&self, environment: &Environment) -> Result<Option<NodeConfig>, ConfigError> {
        if !self.node_deployment {
            return Ok(None);
        }
        let Some(name) = environment.node_name.clone() else {
            return Err(ConfigError::Unknown {
                flag: "node-deployment",
                what: "its node",
                variable: "NODE_NAME",
                field: "spec.nodeName",
            });
        };
        Ok(Some(NodeConfig {
            name,
            immediate: self.node_deployment_immediate_binding,
            delays: (
                self.node_deployment_base_delay.0,
                self.node_deployment_max_delay.0,
            ),
        }))
    }
}
