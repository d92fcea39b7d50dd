//! Programs, and what their ends mean. Those that a large file system holds up for hours, and that may damage it when they
//! are cut off, have no time limit; a program whose caller has gone is killed.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::error::{HostError, bounded_output};
use crate::types::{Check, Contents, MountRequest};

/// Questions.
const SHORT: Option<Duration> = Some(Duration::from_secs(30));
/// Making file systems, and growing mounted ones.
const LONG: Option<Duration> = Some(Duration::from_secs(600));
/// Checking, and growing what is not mounted: begun anew they would take as long again, and repairs that are cut off leave
/// less than there was.
const WHATEVER_IT_TAKES: Option<Duration> = None;

/// How a program ended.
#[derive(Debug)]
struct Ended {
    tool: String,
    code: Option<i32>,
    output: String,
}

impl Ended {
    fn failed(self) -> HostError {
        HostError::ToolFailed {
            tool: self.tool,
            status: self.code.map_or_else(
                || "killed by a signal".to_owned(),
                |code| format!("exit code {code}"),
            ),
            output: bounded_output(&self.output),
        }
    }

    fn success(self) -> Result<String, HostError> {
        if self.code == Some(0) {
            Ok(self.output)
        } else {
            Err(self.failed())
        }
    }
}

/// Where programs are.
#[derive(Clone, Debug, Default)]
pub(super) struct Tools {
    /// The only folder in which they are looked for; where absent, those of `PATH`.
    pub(super) folder: Option<PathBuf>,
}

impl Tools {
    fn program(&self, tool: &str) -> PathBuf {
        match &self.folder {
            Some(folder) => folder.join(tool),
            None => tool.into(),
        }
    }
}

async fn run<A: AsRef<OsStr>>(
    tools: &Tools,
    tool: &str,
    package: &'static str,
    limit: Option<Duration>,
    arguments: impl IntoIterator<Item = A>,
) -> Result<Ended, HostError> {
    let mut command = Command::new(tools.program(tool));
    command.args(arguments).env("LC_ALL", "C");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = match limit {
        None => command.output().await,
        Some(limit) => {
            let in_time = tokio::time::timeout(limit, command.output()).await;
            in_time.map_err(|_| HostError::ToolTimeout {
                tool: tool.to_owned(),
                limit,
            })?
        }
    };
    let output = match ended {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(HostError::ToolMissing {
                tool: tool.to_owned(),
                package,
            });
        }
        Err(error) => return Err(super::devices::io("run", Path::new(tool))(error)),
        Ok(output) => output,
    };
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push('\n');
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Ended {
        tool: tool.to_owned(),
        code: output.status.code(),
        output: text,
    })
}

/// The package that usually holds the tools of a file system.
fn package(fs_type: &str) -> &'static str {
    match fs_type {
        "xfs" => "xfsprogs",
        "btrfs" => "btrfs-progs",
        _ => "e2fsprogs",
    }
}

pub(super) async fn contents(tools: &Tools, device: &Path) -> Result<Contents, HostError> {
    let arguments = ["-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export"].map(OsStr::new);
    let arguments = arguments.into_iter().chain([device.as_os_str()]);
    let ended = run(tools, "blkid", "util-linux", SHORT, arguments).await?;
    match ended.code {
        Some(0) => Ok(signature(&ended.output)),
        // No signature at all: the device could be read, which the caller has seen to.
        Some(2) if ended.output.trim().is_empty() => Ok(Contents::Blank),
        _ => Err(ended.failed()),
    }
}

fn signature(output: &str) -> Contents {
    let value = |key: &str| {
        let mut lines = output.lines().filter_map(|line| line.strip_prefix(key));
        lines.next().map(|value| value.trim().to_owned())
    };
    if let Some(table) = value("PTTYPE=") {
        return Contents::PartitionTable(table);
    }
    Contents::FileSystem(value("TYPE=").unwrap_or_else(|| "unknown".to_owned()))
}

pub(super) async fn format(
    tools: &Tools,
    device: &Path,
    fs_type: &str,
    options: &[String],
) -> Result<(), HostError> {
    let tool = format!("mkfs.{fs_type}");
    let arguments = options.iter().map(OsStr::new).chain([device.as_os_str()]);
    run(tools, &tool, package(fs_type), LONG, arguments)
        .await?
        .success()
        .map(drop)
}

pub(super) async fn check(tools: &Tools, device: &Path) -> Result<Check, HostError> {
    let arguments = [OsStr::new("-a"), device.as_os_str()];
    match run(tools, "fsck", "util-linux", WHATEVER_IT_TAKES, arguments).await {
        Ok(ended) => Ok(judge(ended)),
        Err(HostError::ToolMissing { tool, .. }) => Ok(Check::Unknown(format!("{tool} is not installed"))),
        Err(error) => Err(error),
    }
}

fn judge(ended: Ended) -> Check {
    match ended.code {
        Some(0) => Check::Clean,
        Some(1) => Check::Repaired,
        Some(4) => Check::Broken(bounded_output(&ended.output)),
        _ => Check::Unknown(ended.failed().to_string()),
    }
}

/// What `xfs_growfs` tells without growing.
pub(super) async fn geometry(tools: &Tools, mount_point: &Path) -> Result<String, HostError> {
    let arguments = [OsStr::new("-n"), mount_point.as_os_str()];
    run(tools, "xfs_growfs", package("xfs"), SHORT, arguments)
        .await?
        .success()
}

pub(super) async fn grow(
    tools: &Tools,
    device: &Path,
    fs_type: &str,
    mount_point: Option<&Path>,
) -> Result<(), HostError> {
    let package = package(fs_type);
    match (fs_type, mount_point) {
        ("ext2" | "ext3" | "ext4", Some(_)) => {
            let ended = run(tools, "resize2fs", package, LONG, [device]).await?;
            if ended.code != Some(0) && lacks_capability(&ended.output) {
                return Err(HostError::CapabilityLacking {
                    operation: format!("growing the mounted {fs_type} on {}", device.display()),
                    capability: "CAP_SYS_RESOURCE",
                    advice: "grant it, use xfs, or let the volume be staged anew, which grows it unmounted",
                });
            }
            ended.success().map(drop)
        }
        ("ext2" | "ext3" | "ext4", None) => {
            // resize2fs wants a file system that was just checked.
            let arguments = [OsStr::new("-f"), OsStr::new("-p"), device.as_os_str()];
            let ended = run(tools, "e2fsck", package, WHATEVER_IT_TAKES, arguments).await?;
            if !matches!(ended.code, Some(0 | 1)) {
                return Err(ended.failed());
            }
            run(tools, "resize2fs", package, WHATEVER_IT_TAKES, [device])
                .await?
                .success()
                .map(drop)
        }
        ("xfs", Some(at)) => {
            let arguments = [OsStr::new("-d"), at.as_os_str()];
            run(tools, "xfs_growfs", package, LONG, arguments)
                .await?
                .success()
                .map(drop)
        }
        ("btrfs", Some(at)) => {
            let arguments = ["filesystem", "resize", "max"].map(OsStr::new);
            let arguments = arguments.into_iter().chain([at.as_os_str()]);
            run(tools, "btrfs", package, LONG, arguments)
                .await?
                .success()
                .map(drop)
        }
        ("xfs" | "btrfs", None) => Err(HostError::Unsupported(format!(
            "growing {fs_type} while it is not mounted"
        ))),
        _ => Err(HostError::Unsupported(format!("growing {fs_type}"))),
    }
}

/// What resize2fs says when the kernel forbids the process to grow a mounted file system.
fn lacks_capability(output: &str) -> bool {
    let output = output.to_lowercase();
    output.contains("permission denied to resize") || output.contains("operation not permitted")
}

/// Mounts through mount(8), for types that need a helper.
pub(super) async fn mount(tools: &Tools, request: &MountRequest) -> Result<(), HostError> {
    let options = request.options.join(",");
    let mut arguments: Vec<&OsStr> = Vec::new();
    if let Some(fs_type) = &request.fs_type {
        arguments.extend([OsStr::new("-t"), OsStr::new(fs_type)]);
    }
    if !options.is_empty() {
        arguments.extend([OsStr::new("-o"), OsStr::new(&options)]);
    }
    arguments.extend([OsStr::new(&request.source), request.target.as_os_str()]);
    run(tools, "mount", "util-linux", LONG, arguments)
        .await?
        .success()
        .map(drop)
}

/// What losetup prints with these arguments: a device a line, or nothing.
pub(super) async fn losetup(tools: &Tools, arguments: &[&OsStr]) -> Result<Vec<PathBuf>, HostError> {
    let ended = run(tools, "losetup", "util-linux", SHORT, arguments).await?;
    let lines = ended.success()?;
    let devices = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(devices.map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32) -> Ended {
        Ended {
            tool: "fsck".into(),
            code: Some(code),
            output: "text".into(),
        }
    }

    #[test]
    fn ends_of_fsck_have_meanings() {
        assert_eq!(judge(ended(0)), Check::Clean);
        assert_eq!(judge(ended(1)), Check::Repaired);
        assert_eq!(judge(ended(4)), Check::Broken("text".into()));
        assert!(matches!(judge(ended(8)), Check::Unknown(_)));
    }

    #[test]
    fn a_partition_table_counts_before_a_type() {
        assert_eq!(
            signature("DEVNAME=/dev/a\nTYPE=ext4\n"),
            Contents::FileSystem("ext4".into())
        );
        assert_eq!(
            signature("TYPE=x\nPTTYPE=gpt\n"),
            Contents::PartitionTable("gpt".into())
        );
    }

    #[test]
    fn the_missing_capability_is_recognised() {
        assert!(lacks_capability(
            "resize2fs: Permission denied to resize filesystem"
        ));
        assert!(lacks_capability(
            "resize2fs: Operation not permitted While checking for on-line resizing support"
        ));
        assert!(!lacks_capability("resize2fs: No space left on device"));
    }

    #[tokio::test]
    async fn a_missing_tool_is_named_with_its_package() {
        let error = format(&Tools::default(), Path::new("/dev/null"), "nosuchtype", &[])
            .await
            .unwrap_err();
        let text = "mkfs.nosuchtype is not installed; install e2fsprogs";
        assert_eq!(error.to_string(), text);
    }
}
