//! Who the driver is and what it can do for snapshots. Source: snapshot.md 3.1.

use std::time::Duration;

use controller::Error;
use csi::Channel;
use csi::identity::{ControllerCapability, controller_capabilities, plugin_info, wait_until_ready};

/// A driver that has snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Driver {
    name: String,
    /// By ListSnapshots it can be asked whether a snapshot is ready.
    pub(crate) lists: bool,
}

impl controller::Driver for Driver {
    fn name(&self) -> &str {
        &self.name
    }

    fn text(&self) -> String {
        let lists = if self.lists { "with" } else { "without" };
        format!("{} (snapshots, {lists} lists)", self.name)
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
        })
    }
}
