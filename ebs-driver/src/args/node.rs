//! Which services run, and what the node needs to be told. Source: spec 1.1, 4.7, 4.8, 4.10.

use std::path::PathBuf;

use runtime::args::KubeArgs;

use super::{Args, ArgsError};
use crate::names::HYPERPOD_PREFIX;
use crate::node::metadata::SourceKind;
use crate::node::{Limits, NodeConfig};

/// What a process does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Serves Identity and Controller.
    Controller,
    /// Serves Identity and Node.
    Node,
    /// Serves all of them on one socket.
    All,
    /// Labels the nodes of the cluster with what their instances have attached.
    Labeler,
    /// Waits for the volumes of a node that is drained to be detached.
    PreStop,
}

impl Role {
    /// The modes by their names.
    pub(super) const ALL: [(&str, Self); 5] = [
        ("controller", Self::Controller),
        ("node", Self::Node),
        ("all", Self::All),
        ("metadataLabeler", Self::Labeler),
        ("pre-stop-hook", Self::PreStop),
    ];
}

/// What the modes node, all and pre-stop-hook are told of their machine, checked.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Of the node service.
    pub config: NodeConfig,
    /// Where instance, region and zone are learned from, in order. Those that cannot be asked are left out.
    pub sources: Vec<SourceKind>,
    /// How to reach the Kubernetes API.
    pub kubernetes: KubeArgs,
    /// Name of the Node object.
    pub node_name: Option<String>,
    /// Below which folder volumes are mounted whose NVMe statistics are served.
    pub statistics_below: Option<PathBuf>,
    /// Whether the start-up taint is taken away.
    pub removes_taint: bool,
}

impl Args {
    /// The mode by its name.
    pub(super) fn mode_name(&self) -> Result<&'static str, ArgsError> {
        self.known_mode().map(|(name, _)| name)
    }

    fn known_mode(&self) -> Result<(&'static str, Role), ArgsError> {
        Role::ALL
            .into_iter()
            .find(|(name, _)| *name == self.mode)
            .ok_or_else(|| ArgsError::UnknownMode(self.mode.clone()))
    }

    /// What the process does.
    ///
    /// # Errors
    /// For a mode that is unknown.
    pub fn role(&self) -> Result<Role, ArgsError> {
        self.known_mode().map(|(_, role)| role)
    }

    /// What the node is told. [`Args::config`] checks the flags against each other.
    ///
    /// # Errors
    /// For a metadata source that is unknown.
    pub fn node_options(&self) -> Result<NodeOptions, ArgsError> {
        let given = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
        let present = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let node_name = present(&self.machine.csi_node_name);
        let is_hyperpod = node_name
            .as_ref()
            .is_some_and(|name| name.starts_with(HYPERPOD_PREFIX));
        let has_no_imds = self
            .machine
            .aws_ec2_metadata_disabled
            .as_deref()
            .is_some_and(|text| text.eq_ignore_ascii_case("true"))
            || is_hyperpod;
        let mut sources = self.sources()?;
        sources.retain(|source| *source != SourceKind::Imds || !has_no_imds);
        let kubeconfig = self.kubeconfig.as_ref();
        Ok(NodeOptions {
            config: NodeConfig {
                limits: Limits {
                    fixed: given(self.node.volume_attach_limit),
                    reserved: given(self.node.reserved_volume_attachments),
                    of_ec2: None,
                },
                has_legacy_xfs: self.node.legacy_xfs == Some(true),
            },
            sources,
            kubernetes: KubeArgs {
                kubeconfig: kubeconfig.map_or_else(String::new, |path| path.to_string_lossy().into_owned()),
                ..KubeArgs::default()
            },
            statistics_below: present(&self.node.csi_mount_point_prefix).map(PathBuf::from),
            removes_taint: present(&self.machine.disable_taint_watcher).is_none() && node_name.is_some(),
            node_name,
        })
    }

    /// The metadata sources in order. A flag that is given again adds to what it said before, and an empty one says
    /// nothing (Go's pflag.StringSlice).
    pub(super) fn sources(&self) -> Result<Vec<SourceKind>, ArgsError> {
        let given = self.metadata_sources.iter().filter(|text| !text.is_empty());
        given
            .flat_map(|text| text.split(','))
            .map(|name| {
                let name = name.trim().to_lowercase();
                SourceKind::named(&name).ok_or(ArgsError::MetadataSource(name))
            })
            .collect()
    }
}
