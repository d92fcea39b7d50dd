//! Who the driver is and what it can do for snapshots. Source: snapshot.md 3.1.

use std::time::Duration;

use controller::Error;
use csi::Channel;
use csi::identity::{
    ControllerCapability, GroupControllerCapability, IdentityError, controller_capabilities,
    group_controller_capabilities, plugin_info, wait_until_ready,
};

/// A driver that has snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Driver {
    name: String,
    /// By ListSnapshots it can be asked whether a snapshot is ready.
    pub(crate) lists: bool,
    /// It takes, shows and deletes groups.
    pub(crate) groups: bool,
}

impl controller::Driver for Driver {
    fn name(&self) -> &str {
        &self.name
    }

    fn text(&self) -> String {
        let with = |has| if has { "with" } else { "without" };
        let (lists, groups) = (with(self.lists), with(self.groups));
        format!("{} (snapshots, {lists} lists, {groups} groups)", self.name)
    }

    async fn ask(channel: &Channel, timeout: Duration) -> Result<Self, Error> {
        let driver = plugin_info(channel, timeout).await?.name;
        wait_until_ready(channel, timeout).await?;
        let capabilities = controller_capabilities(channel, timeout).await?;
        if !capabilities.contains(&ControllerCapability::CreateDeleteSnapshot) {
            let lacks =
                "does not support snapshots: it lacks the controller capability CREATE_DELETE_SNAPSHOT";
            return Err(Error::Incapable { driver, lacks });
        }
        Ok(Self {
            name: driver,
            lists: capabilities.contains(&ControllerCapability::ListSnapshots),
            groups: takes_groups(channel, timeout).await?,
        })
    }
}

/// A driver that fails this question has no groups, as upstream: it may never have heard of them. One that is away is asked
/// again.
async fn takes_groups(channel: &Channel, timeout: Duration) -> Result<bool, IdentityError> {
    match group_controller_capabilities(channel, timeout).await {
        Ok(capabilities) => {
            Ok(capabilities.contains(&GroupControllerCapability::CreateDeleteGetVolumeGroupSnapshot))
        }
        Err(error) if error.is_unreachable() => Err(error),
        Err(error) => {
            tracing::debug!(%error, "the CSI driver has no groups");
            Ok(false)
        }
    }
}
