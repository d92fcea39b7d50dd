//! What can go wrong on a machine, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::types::Contents;

/// The longest part of a tool's output that an error carries, in bytes.
pub const MAX_OUTPUT: usize = 1024;

/// Why something could not be done on this machine.
#[derive(Debug, Error)]
pub enum HostError {
    /// There is no such device.
    #[error("there is no device {0}")]
    DeviceMissing(PathBuf),
    /// The path is no block device.
    #[error("{0} is not a block device")]
    NotADevice(PathBuf),
    /// The device or the mount point is in use.
    #[error("{path} is in use: {detail}")]
    Busy {
        /// The device or mount point.
        path: PathBuf,
        /// By whom or what, as far as it is known.
        detail: String,
    },
    /// The device is another volume's: nothing was done to it.
    #[error("the device {device} is that of volume {found}, not of {wanted}")]
    AnotherVolume {
        /// The device.
        device: PathBuf,
        /// The volume that was asked for.
        wanted: String,
        /// The volume that the device says to be.
        found: String,
    },
    /// The device holds other data than the request asks for: it was neither formatted nor mounted.
    #[error(
        "the device {device} holds {found}, and {wanted} is asked for; it was not touched. Ask for what it holds, or \
         clear the volume if its data are not needed"
    )]
    OtherData {
        /// The device.
        device: PathBuf,
        /// What lies on it.
        found: Contents,
        /// The file system that was asked for.
        wanted: String,
    },
    /// A program is not installed.
    #[error("{tool} is not installed; install {package}")]
    ToolMissing {
        /// The program.
        tool: String,
        /// Packages that usually hold it.
        package: &'static str,
    },
    /// A program failed.
    #[error("{tool} failed ({status}): {output}")]
    ToolFailed {
        /// The program.
        tool: String,
        /// Exit code or signal.
        status: String,
        /// What it said, at most [`MAX_OUTPUT`] bytes of its end, in one line.
        output: String,
    },
    /// A program did not end in time; it was killed.
    #[error("{tool} did not end within {} s and was killed", .limit.as_secs())]
    ToolTimeout {
        /// The program.
        tool: String,
        /// How long it had.
        limit: Duration,
    },
    /// The process may not do this.
    #[error("{operation} needs {capability}, which this process lacks; {advice}")]
    CapabilityLacking {
        /// What was tried.
        operation: String,
        /// The capability, such as `CAP_SYS_RESOURCE`.
        capability: &'static str,
        /// How to go on.
        advice: &'static str,
    },
    /// A mount option that is not known, or not possible here.
    #[error(
        "the mount option {option:?} is not possible for {source_path} ({fs_type}); take it out of mountOptions"
    )]
    MountOption {
        /// The option, or all that may be meant.
        option: String,
        /// What is mounted.
        source_path: PathBuf,
        /// Its file system.
        fs_type: String,
    },
    /// This form of a host cannot do it.
    #[error("{0} is not supported here")]
    Unsupported(String),
    /// The operating system refused.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was tried, such as `mount`.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },
}

/// The end of a tool's output in one line, at most [`MAX_OUTPUT`] bytes.
#[must_use]
pub fn bounded_output(output: &str) -> String {
    let lines = output.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join("; ");
    if line.len() <= MAX_OUTPUT {
        return line;
    }
    let start = (line.len() - MAX_OUTPUT + 3..line.len())
        .find(|at| line.is_char_boundary(*at))
        .unwrap_or(line.len());
    format!("…{}", &line[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_bounded_to_its_end() {
        assert_eq!(bounded_output("a \n\n b\n"), "a; b");
        let long = format!("{}end", "é".repeat(2 * MAX_OUTPUT));
        let bounded = bounded_output(&long);
        assert!(bounded.len() <= MAX_OUTPUT && bounded.ends_with("end") && bounded.starts_with('…'));
    }
}
