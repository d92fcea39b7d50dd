//! Flags.

use std::path::PathBuf;

use base::args::{Environment, GoDuration, LogArgs, ProcessArgs};
use csi::Address;
use csi::address::InvalidAddress;
use thiserror::Error;

use crate::capability::{Capabilities, Capability};
use crate::driver::Config;

/// The longest name that CSI allows a driver.
const LONGEST_NAME: usize = 63;

/// The command line of `slackwater file-csi-driver`. Read it with [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "file-csi-driver",
    disable_version_flag = true,
    about = "A CSI driver over files in a folder: for tests and demonstrations"
)]
pub struct Args {
    /// Address of the CSI socket; unix: and tcp: schemes
    #[arg(long, default_value = "unix:///csi/csi.sock")]
    pub endpoint: String,

    /// Folder of the volumes and snapshots; one process at a time uses it
    #[arg(long, default_value = "/var/lib/file-csi-driver")]
    pub data_dir: PathBuf,

    /// Name of the driver
    #[arg(long, default_value = crate::NAME)]
    pub driver_name: String,

    /// Name of this node; empty means NODE_NAME of the environment, or the host name
    #[arg(long, default_value = "")]
    pub node_id: String,

    /// How much all volumes and snapshots may have together; they are sparse
    #[arg(long, value_name = "GIB", default_value_t = 1024)]
    pub capacity_gib: u64,

    /// How many volumes may be attached to this node; 0 means any number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub max_volumes_per_node: u32,

    /// How long after its creation a snapshot becomes ready to use
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub snapshots_ready_after: GoDuration,

    /// Capabilities that the driver is to lack, named as CSI names them
    #[arg(
        long,
        value_name = "CAPABILITY,...",
        value_enum,
        value_delimiter = ',',
        ignore_case = true
    )]
    pub without: Vec<Capability>,

    /// The process itself.
    #[command(flatten)]
    pub process: ProcessArgs,

    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Flags that cannot be worked with; the process ends with exit 1.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ArgsError {
    /// `--endpoint`.
    #[error("--endpoint: {0}")]
    Endpoint(#[from] InvalidAddress),
    /// `--driver-name`.
    #[error(
        "--driver-name {0:?} is no name of a CSI driver: at most {LONGEST_NAME} letters, digits, dashes and dots, with a \
         letter or digit at both ends"
    )]
    Name(String),
    /// `--node-id`.
    #[error("--node-id is empty, and neither NODE_NAME nor a host name tells what node this is")]
    Node,
    /// `--capacity-gib`.
    #[error("--capacity-gib {0} is not possible: at least 1, at most {most}", most = u64::MAX >> 31)]
    Capacity(u64),
}

impl Args {
    /// The address to serve, and how the driver is to be.
    ///
    /// # Errors
    /// The first flag that cannot be worked with.
    pub fn config(&self, environment: &Environment) -> Result<(Address, Config), ArgsError> {
        let address: Address = self.endpoint.parse()?;
        if !is_driver_name(&self.driver_name) {
            return Err(ArgsError::Name(self.driver_name.clone()));
        }
        let told = [environment.node_name.clone(), environment.host_name.clone()];
        let node = Some(self.node_id.clone()).filter(|node| !node.is_empty());
        let node_id = node.or_else(|| told.into_iter().flatten().next());
        let capacity = self.capacity_gib.checked_mul(1 << 30);
        let capacity = capacity.filter(|bytes| (1..=i64::MAX as u64).contains(bytes));
        let config = Config {
            name: self.driver_name.clone(),
            node_id: node_id.ok_or(ArgsError::Node)?,
            capacity_bytes: capacity.ok_or(ArgsError::Capacity(self.capacity_gib))?,
            max_volumes: self.max_volumes_per_node,
            capabilities: Capabilities::without(&self.without),
            ready_after: self.snapshots_ready_after.0,
        };
        Ok((address, config))
    }
}

fn is_driver_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.len() <= LONGEST_NAME
        && name.chars().all(is_inner)
        && is_end(name.chars().next())
        && is_end(name.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Result<(Address, Config), ArgsError> {
        let words = std::iter::once("file-csi-driver").chain(flags.iter().copied());
        let args: Args = base::args::parse(words.map(Into::into)).unwrap();
        let environment = Environment {
            host_name: Some("host".to_owned()),
            ..Environment::default()
        };
        args.config(&environment)
    }

    #[test]
    fn the_defaults_are_a_whole_driver() {
        let (address, config) = config(&[]).unwrap();
        assert_eq!(address.to_string(), "unix:///csi/csi.sock");
        assert_eq!(
            (config.name.as_str(), config.node_id.as_str()),
            ("file.csi.slackwater", "host")
        );
        assert_eq!(config.capacity_bytes, 1 << 40);
        assert_eq!(config.capabilities, Capabilities::all());
    }

    #[test]
    fn capabilities_are_switched_off_by_name() {
        let (_, config) = config(&[
            "--without=CREATE_DELETE_SNAPSHOT,expand_volume",
            "--without=NODE_EXPAND_VOLUME",
        ])
        .unwrap();
        for off in [
            Capability::CreateDeleteSnapshot,
            Capability::ExpandVolume,
            Capability::NodeExpandVolume,
        ] {
            assert!(!config.capabilities.has(off), "{off}");
        }
        assert!(config.capabilities.has(Capability::ModifyVolume));
        let words = ["file-csi-driver", "--without=SNAPSHOTS"].map(Into::into);
        let error = base::args::parse::<Args>(words).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("CREATE_DELETE_SNAPSHOT"), "{error}");
    }

    #[test]
    fn what_cannot_be_worked_with_is_named() {
        for (flags, says) in [
            ("--endpoint=nowhere", "--endpoint"),
            ("--driver-name=a/b", "--driver-name"),
            ("--driver-name=-a", "--driver-name"),
            ("--driver-name=", "--driver-name"),
            ("--capacity-gib=0", "--capacity-gib"),
            ("--capacity-gib=18446744073709551615", "--capacity-gib"),
        ] {
            let error = config(&[flags]).unwrap_err().to_string();
            assert!(error.contains(says), "{flags}: {error}");
        }
    }
}
