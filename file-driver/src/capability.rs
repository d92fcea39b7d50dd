//! What the driver can do, and what of it is switched off.

use std::collections::BTreeSet;
use std::fmt;

use clap::ValueEnum;
use csi::v1::controller_service_capability::rpc::Type as Controller;
use csi::v1::group_controller_service_capability::rpc::Type as Group;
use csi::v1::node_service_capability::rpc::Type as Node;
use csi::v1::plugin_capability::service::Type as Service;
use csi::v1::plugin_capability::volume_expansion::Type as Expansion;

/// One capability, named as CSI names it; those of the node service have `NODE_` in front.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names and meanings are those of CSI")]
pub enum Capability {
    ControllerService,
    GroupControllerService,
    VolumeAccessibilityConstraints,
    SnapshotAccessibilityConstraints,
    Online,
    Offline,
    CreateDeleteVolume,
    PublishUnpublishVolume,
    ListVolumes,
    GetCapacity,
    CreateDeleteSnapshot,
    ListSnapshots,
    CloneVolume,
    PublishReadonly,
    ExpandVolume,
    ListVolumesPublishedNodes,
    GetVolume,
    SingleNodeMultiWriter,
    ModifyVolume,
    GetSnapshot,
    GetVolumeHealth,
    ListVolumeHealth,
    CreateDeleteGetVolumeGroupSnapshot,
    NodeStageUnstageVolume,
    NodeGetVolumeStats,
    NodeExpandVolume,
    NodeSingleNodeMultiWriter,
    NodeGetVolumeHealth,
    NodeGetStorageHealth,
}

/// Which service tells of a capability, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    Service(Service),
    Expansion(Expansion),
    Controller(Controller),
    Group(Group),
    Node(Node),
}

impl Capability {
    pub(crate) fn told(self) -> Told {
        match self {
            Self::ControllerService => Told::Service(Service::ControllerService),
            Self::GroupControllerService => Told::Service(Service::GroupControllerService),
            Self::VolumeAccessibilityConstraints => Told::Service(Service::VolumeAccessibilityConstraints),
            Self::SnapshotAccessibilityConstraints => {
                Told::Service(Service::SnapshotAccessibilityConstraints)
            }
            Self::Online => Told::Expansion(Expansion::Online),
            Self::Offline => Told::Expansion(Expansion::Offline),
            Self::CreateDeleteVolume => Told::Controller(Controller::CreateDeleteVolume),
            Self::PublishUnpublishVolume => Told::Controller(Controller::PublishUnpublishVolume),
            Self::ListVolumes => Told::Controller(Controller::ListVolumes),
            Self::GetCapacity => Told::Controller(Controller::GetCapacity),
            Self::CreateDeleteSnapshot => Told::Controller(Controller::CreateDeleteSnapshot),
            Self::ListSnapshots => Told::Controller(Controller::ListSnapshots),
            Self::CloneVolume => Told::Controller(Controller::CloneVolume),
            Self::PublishReadonly => Told::Controller(Controller::PublishReadonly),
            Self::ExpandVolume => Told::Controller(Controller::ExpandVolume),
            Self::ListVolumesPublishedNodes => Told::Controller(Controller::ListVolumesPublishedNodes),
            Self::GetVolume => Told::Controller(Controller::GetVolume),
            Self::SingleNodeMultiWriter => Told::Controller(Controller::SingleNodeMultiWriter),
            Self::ModifyVolume => Told::Controller(Controller::ModifyVolume),
            Self::GetSnapshot => Told::Controller(Controller::GetSnapshot),
            Self::GetVolumeHealth => Told::Controller(Controller::GetVolumeHealth),
            Self::ListVolumeHealth => Told::Controller(Controller::ListVolumeHealth),
            Self::CreateDeleteGetVolumeGroupSnapshot => {
                Told::Group(Group::CreateDeleteGetVolumeGroupSnapshot)
            }
            Self::NodeStageUnstageVolume => Told::Node(Node::StageUnstageVolume),
            Self::NodeGetVolumeStats => Told::Node(Node::GetVolumeStats),
            Self::NodeExpandVolume => Told::Node(Node::ExpandVolume),
            Self::NodeSingleNodeMultiWriter => Told::Node(Node::SingleNodeMultiWriter),
            Self::NodeGetVolumeHealth => Told::Node(Node::GetVolumeHealth),
            Self::NodeGetStorageHealth => Told::Node(Node::GetStorageHealth),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => fmt::Debug::fmt(self, f),
        }
    }
}

/// The capabilities of one driver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self(Capability::value_variants().iter().copied().collect())
    }

    /// All but these.
    #[must_use]
    pub fn without(off: &[Capability]) -> Self {
        let mut all = Self::all();
        all.0.retain(|capability| !off.contains(capability));
        all
    }

    /// Whether this one is there.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// How each of them is told.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told> + '_ {
        self.0.iter().map(|capability| capability.told())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named_as_csi_names_them() {
        for capability in Capability::value_variants() {
            let name = match capability.told() {
                Told::Service(service) => service.as_str_name().to_owned(),
                Told::Expansion(way) => way.as_str_name().to_owned(),
                Told::Controller(rpc) => rpc.as_str_name().to_owned(),
                Told::Group(rpc) => rpc.as_str_name().to_owned(),
                Told::Node(rpc) => format!("NODE_{}", rpc.as_str_name()),
            };
            assert_eq!(capability.to_string(), name);
        }
    }

    #[test]
    fn each_can_be_switched_off() {
        for capability in Capability::value_variants() {
            let left = Capabilities::without(&[*capability]);
            assert!(!left.has(*capability));
            assert_eq!(left.told().count(), Capabilities::all().told().count() - 1);
        }
    }
}
