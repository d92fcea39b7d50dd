//! The machine of an instance, in memory: devices are the volumes that EC2 says are attached, and what lies on them
//! belongs to the volumes: file systems, their sizes, and the files that somebody writes in place of a container.
//!
//! | Module | Subject |
//! |---|---|
//! | `devices` | attached volumes as devices |
//! | `files` | texts on volumes |
//! | `host` | the trait |
//! | `mounts` | mounts, and what is seen at a path |

mod devices;
mod files;
mod host;
mod mounts;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::node::{HostError, Mount, PathKind};

use self::devices::Device;
use crate::ec2::Ec2;

/// The machine of an instance of the sandbox's EC2. Clones are the same machine.
///
/// It is like a Linux machine on Nitro: volumes are NVMe devices with their IDs as serial numbers, and there are links
/// by the name that was given to AttachVolume and by ID. A volume that is detached while it is mounted leaves a mount
/// that does not answer. Growing what is mounted is always allowed.
#[derive(Clone, Debug)]
pub struct MemoryHost {
    ec2: Ec2,
    instance_id: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of each device, by volume.
    numbers: BTreeMap<String, u32>,
    /// Directories and files, but not what lies in volumes.
    paths: BTreeMap<PathBuf, PathKind>,
    /// Oldest first.
    mounts: Vec<Mounted>,
}

/// A mount, and what it is of.
#[derive(Clone, Debug)]
struct Mounted {
    mount: Mount,
    /// None for what does not lie on an attached volume.
    volume_id: Option<String>,
    /// A device file is bound there.
    is_block: bool,
}

/// The machine at one moment.
struct View<'a> {
    state: &'a mut State,
    devices: Vec<Device>,
    ec2: &'a Ec2,
}

impl MemoryHost {
    /// The machine of an instance.
    #[must_use]
    pub fn new(ec2: Ec2, instance_id: &str) -> Self {
        Self {
            ec2,
            instance_id: instance_id.to_owned(),
            state: Arc::default(),
        }
    }

    /// Acts at one moment.
    fn at_once<T>(&self, act: impl FnOnce(&mut View<'_>) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let volumes = self.ec2.attached_volumes(&self.instance_id);
        let devices = devices::of(&mut state.numbers, volumes);
        act(&mut View {
            state: &mut state,
            devices,
            ec2: &self.ec2,
        })
    }
}

fn refused(operation: &'static str, path: &Path, kind: io::ErrorKind) -> HostError {
    HostError::Io {
        operation,
        path: path.to_owned(),
        source: kind.into(),
    }
}
