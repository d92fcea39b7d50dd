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
//! | [`linux`] | a Linux machine |
//! | [`options`] | mount options as users write them |
//! | [`types`] | devices, their contents, mounts, statistics |

pub mod error;
pub mod host;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod options;
pub mod types;

pub use error::HostError;
pub use host::Host;
pub use types::{BlockDevice, Check, Contents, Mount, MountRequest, PathKind, Statistics, Usage};
