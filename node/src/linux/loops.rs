//! Loop devices, by losetup(8).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{LinuxHost, tools};
use crate::error::HostError;
use crate::loops::Loops;

#[async_trait]
impl Loops for LinuxHost {
    async fn over(&self, file: &Path) -> Result<Vec<PathBuf>, HostError> {
        let arguments = ["--list", "--noheadings", "--output=NAME", "--associated"].map(OsStr::new);
        let arguments: Vec<&OsStr> = arguments.into_iter().chain([file.as_os_str()]).collect();
        tools::losetup(&self.tools, &arguments).await
    }

    async fn attach(&self, file: &Path) -> Result<PathBuf, HostError> {
        let arguments = [OsStr::new("--find"), OsStr::new("--show"), file.as_os_str()];
        let made = tools::losetup(&self.tools, &arguments).await?;
        let made = made.into_iter().next();
        made.ok_or_else(|| HostError::DeviceMissing(file.to_owned()))
    }

    async fn follow_size(&self, device: &Path) -> Result<(), HostError> {
        let arguments = [OsStr::new("--set-capacity"), device.as_os_str()];
        tools::losetup(&self.tools, &arguments).await.map(drop)
    }

    async fn detach(&self, device: &Path) -> Result<(), HostError> {
        let arguments = [OsStr::new("--detach"), device.as_os_str()];
        tools::losetup(&self.tools, &arguments).await.map(drop)
    }
}
