//! The Node service: a volume's file as a loop device, and that where pods see it.

mod publish;
mod services;
mod stage;
mod watch;

use std::path::{Path, PathBuf};

use node::{BlockDevice, HostError, Mount};
use tonic::Status;

pub(crate) use services::NodeService;

use crate::capability::Capability;
use crate::driver::Core;
use crate::folder::Volume;
use crate::plan::Refusal;
use crate::plan::usage::{self, Usage};
use crate::rpc::status::of_host;
use crate::rpc::volume_in;

impl Core {
    /// The volume with this ID.
    async fn volume(&self, id: &str) -> Result<Volume, Status> {
        let id = id.to_owned();
        self.in_folder(move |folder| volume_in(folder, &id, "volume_id"))
            .await
    }

    /// How a volume is to be used on this node.
    fn usage(&self, asked: Option<&csi::v1::VolumeCapability>) -> Result<Usage, Refusal> {
        const FIELD: &str = "volume_capability";
        let asked = asked.ok_or_else(|| Refusal::invalid(FIELD, "is missing"))?;
        usage::read(asked, FIELD, self.has(Capability::NodeSingleNodeMultiWriter))
    }

    /// The path as the table of mounts has it: kubelet's own folder may be a link.
    async fn resolved(&self, path: &str) -> Result<PathBuf, Status> {
        let resolved = self.machine.host.resolved(Path::new(path)).await;
        resolved.map_err(|error| of_host(&error))
    }

    /// The device over a volume's file, which is attached where it is not, and as large as the file.
    async fn attach(&self, volume: &Volume) -> Result<BlockDevice, HostError> {
        let (host, loops) = (&self.machine.host, &self.machine.loops);
        let path = match loops.over(&volume.data).await?.into_iter().next() {
            Some(path) => {
                loops.follow_size(&path).await?;
                path
            }
            None => loops.attach(&volume.data).await?,
        };
        let device = host.block_device(&path).await?;
        device.ok_or(HostError::DeviceMissing(path))
    }

    /// Detaches the devices over a volume's file that nothing is mounted from.
    async fn release(&self, volume: &Volume) -> Result<(), HostError> {
        let (host, loops) = (&self.machine.host, &self.machine.loops);
        let mounts = host.mounts().await?;
        for device in loops.over(&volume.data).await? {
            if !mounts.iter().any(|mount| shows(mount, &device, host.dev())) {
                loops.detach(&device).await?;
            }
        }
        Ok(())
    }

    /// The same of a volume that may be gone already.
    async fn release_if_there(&self, id: &str) -> Result<(), Status> {
        match self.volume(id).await {
            Ok(volume) if volume.bytes.is_some() => {
                self.release(&volume).await.map_err(|error| of_host(&error))
            }
            Ok(_) => Ok(()),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
            Err(status) => Err(status),
        }
    }
}

/// Whether a mount is of this device: of its file system, or of the device as a file, whose mount has the device's name
/// as root.
fn shows(mount: &Mount, device: &Path, dev: &Path) -> bool {
    let name = device.strip_prefix(dev).unwrap_or(device);
    Path::new(&mount.source) == device || mount.root.strip_prefix("/").is_ok_and(|root| root == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_of_a_device_or_of_its_file() {
        let mount = |source: &str, root: &str| Mount {
            source: source.to_owned(),
            root: root.into(),
            ..Mount::default()
        };
        let device = Path::new("/dev/loop1");
        for (source, root, expected) in [
            ("/dev/loop1", "/", true),
            ("devtmpfs", "/loop1", true),
            ("/dev/loop10", "/", false),
            ("devtmpfs", "/loop10", false),
            ("devtmpfs", "/", false),
        ] {
            let mount = mount(source, root);
            assert_eq!(
                shows(&mount, device, Path::new("/dev")),
                expected,
                "{source} {root}"
            );
        }
    }
}
