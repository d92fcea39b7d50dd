//! How far a file system reaches: from its superblock, or for a mounted xfs, whose superblock on the device may be
//! behind, from the kernel.

use std::path::Path;

use super::devices::read_at;
use super::host::blocking;
use super::tools::{self, Tools};
use crate::error::HostError;

/// Bytes up to which the file system reaches.
pub(super) async fn of(
    tools: &Tools,
    device: &Path,
    fs_type: &str,
    mount_point: Option<&Path>,
) -> Result<u64, HostError> {
    let unknown = || HostError::Unsupported(format!("the size of a {fs_type} on {}", device.display()));
    match (fs_type, mount_point) {
        ("ext2" | "ext3" | "ext4", _) => ext(&block(device, 1024, 1024).await?).ok_or_else(unknown),
        ("xfs", None) => xfs(&block(device, 0, 512).await?).ok_or_else(unknown),
        ("xfs", Some(at)) => {
            let output = tools::geometry(tools, at).await?;
            geometry(&output).ok_or_else(unknown)
        }
        ("btrfs", _) => btrfs(&block(device, 0x10000, 512).await?).ok_or_else(unknown),
        _ => Err(unknown()),
    }
}

/// A part of the device, which may not answer for a long time.
async fn block(device: &Path, offset: u64, length: usize) -> Result<Vec<u8>, HostError> {
    let of_act = device.to_owned();
    blocking(device, move || read_at(&of_act, offset, length)).await
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn ext(block: &[u8]) -> Option<u64> {
    let low = u32::from_le_bytes(number(block, 4)?);
    let magic = u16::from_le_bytes(number(block, 0x38)?);
    let incompatible = u32::from_le_bytes(number(block, 0x60)?);
    let has_high = incompatible & 0x80 != 0;
    let high = if has_high {
        u32::from_le_bytes(number(block, 0x150)?)
    } else {
        0
    };
    let block_size = 1024_u64.checked_shl(u32::from_le_bytes(number(block, 24)?))?;
    let blocks = u64::from(high) << 32 | u64::from(low);
    (magic == 0xEF53).then(|| blocks.saturating_mul(block_size))
}

fn xfs(block: &[u8]) -> Option<u64> {
    let block_size = u32::from_be_bytes(number(block, 4)?);
    let blocks = u64::from_be_bytes(number(block, 8)?);
    block
        .starts_with(b"XFSB")
        .then(|| blocks.saturating_mul(block_size.into()))
}

fn btrfs(block: &[u8]) -> Option<u64> {
    let total = u64::from_le_bytes(number(block, 0x70)?);
    (block.get(0x40..0x48)? == b"_BHRfS_M").then_some(total)
}

/// The line `data = bsize=4096 blocks=65536, imaxpct=25` of the geometry.
fn geometry(output: &str) -> Option<u64> {
    let line = output
        .lines()
        .find(|line| line.trim_start().starts_with("data"))?;
    let value = |key: &str| -> Option<u64> {
        let rest = &line[line.find(key)? + key.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    value("bsize=")?.checked_mul(value("blocks=")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_geometry_of_xfs_is_read() {
        let output = "meta-data=/dev/loop0 isize=512 agcount=4\n\
                      data     =                       bsize=4096   blocks=65536, imaxpct=25\n";
        assert_eq!(geometry(output), Some(65536 * 4096));
        assert_eq!(geometry("nothing"), None);
    }

    #[test]
    fn what_is_no_superblock_has_no_size() {
        assert_eq!(ext(&[0; 1024]), None);
        assert_eq!(xfs(&[0; 512]), None);
        assert_eq!(btrfs(&[0; 512]), None);
        assert_eq!(ext(&[]), None);
    }
}
