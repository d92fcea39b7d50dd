//! A machine as a test says it is: it does what it is told and writes down what that was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use node::{BlockDevice, Check, Contents, Host, HostError, Mount, MountRequest, PathKind, Statistics, Usage};

#[derive(Default)]
pub struct State {
    /// Links and devices by path.
    pub devices: BTreeMap<PathBuf, BlockDevice>,
    pub contents: BTreeMap<PathBuf, Contents>,
    pub sizes: BTreeMap<PathBuf, u64>,
    pub mounts: Vec<Mount>,
    pub paths: BTreeMap<PathBuf, PathKind>,
    /// What the next act of this name answers.
    pub failing: BTreeMap<&'static str, HostError>,
    pub check: Option<Check>,
    /// Growing what is mounted is not allowed.
    pub lacks_capability: bool,
    /// Acts that are held up until the test lets go.
    pub held: BTreeSet<&'static str>,
    pub log: Vec<String>,
}

#[derive(Default)]
pub struct Scripted(Mutex<State>);

impl Scripted {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A device of one GiB at these names.
    pub fn device(&self, path: &str, serial: &str, names: &[&str]) {
        let device = BlockDevice {
            path: path.into(),
            serial: Some(serial.into()),
            size: 1 << 30,
            is_read_only: false,
            is_partition: false,
        };
        let mut state = self.state();
        for name in names.iter().chain([&path]) {
            state.devices.insert(name.into(), device.clone());
        }
    }

    /// The acts since the last time.
    pub fn acts(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    fn act(&self, name: &'static str, text: String) -> Result<(), HostError> {
        let mut state = self.state();
        state.log.push(text);
        state.failing.remove(name).map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Host for Scripted {
    fn dev(&self) -> &Path {
        Path::new("/dev")
    }

    async fn block_device(&self, path: &Path) -> Result<Option<BlockDevice>, HostError> {
        Ok(self.state().devices.get(path).cloned())
    }

    async fn contents(&self, device: &Path) -> Result<Contents, HostError> {
        let found = self.state().contents.get(device).cloned();
        Ok(found.unwrap_or(Contents::Blank))
    }

    async fn format(&self, device: &Path, fs_type: &str, options: &[String]) -> Result<(), HostError> {
        let text = format!("mkfs.{fs_type} {} {}", options.join(" "), device.display());
        self.act("format", text)?;
        let mut state = self.state();
        state
            .contents
            .insert(device.into(), Contents::FileSystem(fs_type.into()));
        let size = state.devices[device].size;
        state.sizes.insert(device.into(), size);
        Ok(())
    }

    async fn check(&self, device: &Path) -> Result<Check, HostError> {
        self.act("check", format!("fsck {}", device.display()))?;
        Ok(self.state().check.clone().unwrap_or(Check::Clean))
    }

    async fn file_system_size(&self, device: &Path, _: &str, _: Option<&Path>) -> Result<u64, HostError> {
        Ok(self.state().sizes[device])
    }

    async fn grow(&self, device: &Path, fs_type: &str, at: Option<&Path>) -> Result<(), HostError> {
        let at = at.map_or("unmounted".into(), |at| at.display().to_string());
        self.act("grow", format!("grow {fs_type} {} {at}", device.display()))?;
        let mut state = self.state();
        if state.lacks_capability && at != "unmounted" {
            return Err(HostError::CapabilityLacking {
                operation: "growing a mounted ext4".into(),
                capability: "CAP_SYS_RESOURCE",
                advice: "grow it unmounted",
            });
        }
        let size = state.devices[device].size;
        state.sizes.insert(device.into(), size);
        Ok(())
    }

    async fn mounts(&self) -> Result<Vec<Mount>, HostError> {
        Ok(self.state().mounts.clone())
    }

    async fn mount(&self, request: &MountRequest) -> Result<(), HostError> {
        let text = format!(
            "mount {} {} {} {}",
            request.fs_type.as_deref().unwrap_or("-"),
            request.options.join(","),
            request.source,
            request.target.display()
        );
        self.act("mount", text)?;
        while self.state().held.contains("mount") {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut state = self.state();
        let source = state
            .mounts
            .iter()
            .find(|mount| mount.target == Path::new(&request.source))
            .map_or(request.source.clone(), |mount| mount.source.clone());
        state.mounts.push(Mount {
            source,
            root: "/".into(),
            target: request.target.clone(),
            fs_type: request.fs_type.clone().unwrap_or("ext4".into()),
            options: request.options.clone(),
        });
        Ok(())
    }

    async fn unmount(&self, target: &Path) -> Result<(), HostError> {
        self.act("unmount", format!("unmount {}", target.display()))?;
        let mut state = self.state();
        if let Some(at) = state.mounts.iter().rposition(|mount| mount.target == target) {
            state.mounts.remove(at);
        }
        if state.paths.get(target) == Some(&PathKind::Corrupted) {
            state.paths.insert(target.into(), PathKind::Directory);
        }
        Ok(())
    }

    async fn kind(&self, path: &Path) -> Result<Option<PathKind>, HostError> {
        Ok(self.state().paths.get(path).copied())
    }

    async fn make_directory(&self, path: &Path) -> Result<(), HostError> {
        self.state()
            .paths
            .entry(path.into())
            .or_insert(PathKind::Directory);
        Ok(())
    }

    async fn make_file(&self, path: &Path) -> Result<(), HostError> {
        self.state().paths.entry(path.into()).or_insert(PathKind::File);
        Ok(())
    }

    async fn remove(&self, path: &Path) -> Result<(), HostError> {
        self.state().paths.remove(path);
        Ok(())
    }

    async fn statistics(&self, _: &Path) -> Result<Statistics, HostError> {
        let usage = Usage {
            total: 10,
            used: 4,
            available: 6,
        };
        Ok(Statistics {
            bytes: usage,
            inodes: Some(usage),
        })
    }
}
