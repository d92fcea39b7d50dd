//! Instances, as far as volumes need them.

use jiff::Timestamp;

use super::super::options::{InstanceType, Zone};
use super::super::tags::Tags;

/// An instance.
#[derive(Clone, Debug)]
pub(in crate::ec2) struct Instance {
    pub(in crate::ec2) id: String,
    pub(in crate::ec2) kind: InstanceType,
    pub(in crate::ec2) zone: Zone,
    pub(in crate::ec2) state: InstanceState,
    pub(in crate::ec2) launched_at: Timestamp,
    pub(in crate::ec2) root_device: String,
    pub(in crate::ec2) tags: Tags,
}

/// A node of a cluster of SageMaker HyperPod, whose instance belongs to the service.
#[derive(Clone, Debug)]
pub(in crate::ec2) struct ClusterNode {
    /// The ID of the instance.
    pub(in crate::ec2) id: String,
    pub(in crate::ec2) cluster: String,
    pub(in crate::ec2) kind: InstanceType,
    pub(in crate::ec2) zone: Zone,
}

/// The state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// It runs.
    Running,
    /// It is stopped; volumes may still be attached and detached.
    Stopped,
    /// It is gone, and still shown.
    Terminated,
}

impl InstanceState {
    /// The name in answers.
    pub(in crate::ec2) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Terminated => "terminated",
        }
    }

    /// The number in answers.
    pub(in crate::ec2) fn code(self) -> u32 {
        match self {
            Self::Running => 16,
            Self::Stopped => 80,
            Self::Terminated => 48,
        }
    }
}
