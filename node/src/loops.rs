//! Files as block devices.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::error::HostError;

/// The loop devices of a machine. Every method can be repeated.
#[async_trait]
pub trait Loops: Send + Sync {
    /// The devices over a file, which is there.
    ///
    /// # Errors
    /// When the tool is missing or fails.
    async fn over(&self, file: &Path) -> Result<Vec<PathBuf>, HostError>;

    /// Makes a device over a file: one more, whatever is over it already.
    ///
    /// # Errors
    /// When the tool is missing or fails, as it does where the machine has no more devices.
    async fn attach(&self, file: &Path) -> Result<PathBuf, HostError>;

    /// Lets a device be as large as its file has become.
    ///
    /// # Errors
    /// When the tool is missing or fails.
    async fn follow_size(&self, device: &Path) -> Result<(), HostError>;

    /// Takes a device from its file. One that is still in use goes when it is no longer.
    ///
    /// # Errors
    /// When the tool is missing or fails.
    async fn detach(&self, device: &Path) -> Result<(), HostError>;
}
