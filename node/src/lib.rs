//! What a CSI node service needs of its machine.
//!
//! [`Host`] is the seam: its methods are primitive, and every rule (which link to try, when to format, which flags)
//! is a pure function above it. Its forms are the machine itself ([`linux::LinuxHost`]), the sandbox's node in memory,
//! and scripts in tests.
//!
//! | Module | Subject |
//! |---|---|
//! | [`host`] | the trait |
//! | [`error`] | what can go wrong, and what to do about it |
//! | [`filesystem`] | when to format, how to mount, when to grow |
//! | [`linux`] | a Linux machine |
//! | [`loops`] | files as block devices |
//! | [`nvme`] | log pages of NVMe disks |
//! | [`options`] | mount options as users write them |
//! | [`staging`] | a volume's device on its way to its pods and back |
//! | `testing` | a machine in memory whose folders are real, behind the feature of this name |
//! | [`types`] | devices, their contents, mounts, statistics |

pub mod error;
pub mod filesystem;
pub mod host;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod loops;
pub mod nvme;
pub mod options;
pub mod staging;
#[cfg(feature = "testing")]
pub mod testing;
pub mod types;

pub use error::HostError;
pub use host::Host;
pub use loops::Loops;
pub use nvme::Disks;
pub use types::{BlockDevice, Check, Contents, Mount, MountRequest, PathKind, Statistics, Usage};
