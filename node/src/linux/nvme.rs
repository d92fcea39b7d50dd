//! The one place that needs `unsafe`: the ioctl of an NVMe admin command, for which neither the standard library nor
//! `rustix` has a function. Source: linux/nvme_ioctl.h; NVM Express base specification, Get Log Page.
#![allow(unsafe_code, reason = "an ioctl; see each block")]

use std::fs::File;
use std::path::Path;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

use super::devices::io;
use crate::error::HostError;

const GET_LOG_PAGE: u8 = 0x02;
/// The namespace of an EBS volume.
const NAMESPACE: u32 = 1;
/// How long a disk may take: the kernel would wait a minute for one that is on its way out.
const PATIENCE_MS: u32 = 2000;

/// `struct nvme_passthru_cmd`.
#[repr(C)]
#[derive(Debug, Default)]
struct Command {
    opcode: u8,
    flags: u8,
    reserved: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    addr: u64,
    metadata_len: u32,
    data_len: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

/// An admin command, and the bytes that the disk writes.
struct Admin<'a> {
    command: Command,
    _data: &'a mut [u8],
}

impl<'a> Admin<'a> {
    fn get_log_page(page: u8, data: &'a mut [u8]) -> Self {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        // The number of double words, counted from 0, in the upper half.
        let words = (length / 4).saturating_sub(1) & 0xffff;
        Self {
            command: Command {
                opcode: GET_LOG_PAGE,
                nsid: NAMESPACE,
                addr: data.as_mut_ptr() as u64,
                data_len: length,
                cdw10: u32::from(page) | words << 16,
                timeout_ms: PATIENCE_MS,
                ..Command::default()
            },
            _data: data,
        }
    }
}

// SAFETY: the opcode is NVME_IOCTL_ADMIN_CMD, whose argument is a `struct nvme_passthru_cmd`, which `Command` is by its
// layout. The kernel writes `result` of it, and at most `data_len` bytes at `addr`: memory that `_data` borrows for as long
// as this value lives. `Output` is made of the status alone.
unsafe impl Ioctl for Admin<'_> {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<Command>(b'N', 0x41)
    }

    fn as_ptr(&mut self) -> *mut core::ffi::c_void {
        (&raw mut self.command).cast()
    }

    unsafe fn output_from_ptr(
        status: IoctlOutput,
        _: *mut core::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        Ok(status)
    }
}

/// So many bytes of a log page.
pub(super) fn log_page(disk: &Path, page: u8, length: usize) -> Result<Vec<u8>, HostError> {
    let failed = io("read the log of", disk);
    let file = File::open(disk).map_err(io("open", disk))?;
    let mut data = vec![0; length];
    // SAFETY: `Admin` is an ioctl as its implementation says; other devices than those of NVMe refuse its opcode.
    let status = unsafe { ioctl(&file, Admin::get_log_page(page, &mut data)) };
    match status {
        Ok(0) => Ok(data),
        Ok(status) => Err(failed(std::io::Error::other(format!("NVMe status {status:#x}")))),
        Err(error) => Err(failed(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_that_of_the_kernel() {
        assert_eq!(size_of::<Command>(), 72);
        let mut data = [0; 3600];
        let admin = Admin::get_log_page(0xd0, &mut data);
        assert_eq!(admin.opcode() as u64 & 0xffff_ffff, 0xc048_4e41);
        assert_eq!(
            (
                admin.command.cdw10,
                admin.command.data_len,
                admin.command.timeout_ms
            ),
            (0xd0 | 899 << 16, 3600, 2000)
        );
    }

    #[test]
    fn what_is_no_disk_of_nvme_is_refused() {
        for path in ["/dev/null", "/dev/no-such-disk", "/proc/self/status"] {
            let error = log_page(Path::new(path), 0xd0, 3600).unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
    }
}
