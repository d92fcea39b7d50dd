//! NVMe disks, as far as their log pages are read: outside [`crate::Host`], since it is done while somebody scrapes.

use std::path::Path;

use crate::error::HostError;
use crate::types::Mount;

/// The NVMe disks of a machine. Nothing of it waits for anything but the kernel.
pub trait Disks: Send + Sync {
    /// All mounts, oldest first.
    ///
    /// # Errors
    /// When the table cannot be read.
    fn mounts(&self) -> Result<Vec<Mount>, HostError>;

    /// The serial number of a disk, if it shows one.
    fn serial(&self, disk: &Path) -> Option<String>;

    /// So many bytes of a log page, by the disk's Get Log Page.
    ///
    /// # Errors
    /// When the disk cannot be opened, is none of NVMe, or does not have the page.
    fn log_page(&self, disk: &Path, page: u8, length: usize) -> Result<Vec<u8>, HostError>;
}
