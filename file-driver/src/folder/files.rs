//! The steps that change the folder. Each is whole or has no effect that counts, whenever the process dies; what it has
//! done is on the disk before the next one begins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use super::FolderError;

/// Does the steps.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// How many steps are left before the process dies; for tests.
    left: Option<Arc<AtomicI64>>,
}

/// A step that changes nothing when it is cut off.
fn nothing() -> io::Result<()> {
    Ok(())
}

impl Files {
    /// For tests: does so many steps, then half of one, as far as it has halves, and none from there on.
    #[must_use]
    pub fn dying_after(steps: u32) -> Self {
        Self {
            left: Some(Arc::new(AtomicI64::new(steps.into()))),
        }
    }

    /// Whether the process would have died.
    #[must_use]
    pub fn are_dead(&self) -> bool {
        let left = self.left.as_ref().map(|left| left.load(Ordering::SeqCst));
        left.is_some_and(|left| left < 0)
    }

    fn step(
        &self,
        operation: &'static str,
        path: &Path,
        half: impl FnOnce() -> io::Result<()>,
        whole: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), FolderError> {
        let left = self
            .left
            .as_ref()
            .map_or(1, |left| left.fetch_sub(1, Ordering::SeqCst));
        let done = match left {
            1.. => whole(),
            0 => half().and_then(|()| Err(io::Error::other("cut off"))),
            _ => Err(io::Error::other("cut off before")),
        };
        done.map_err(FolderError::io(operation, path))
    }

    /// Makes a folder.
    pub(super) fn make_folder(&self, path: &Path) -> Result<(), FolderError> {
        self.step("make", path, nothing, || fs::create_dir(path))
    }

    /// Makes a file with this content.
    pub(super) fn write(&self, path: &Path, content: &[u8]) -> Result<(), FolderError> {
        let write = |content: &[u8]| {
            let mut file = File::create(path)?;
            file.write_all(content)?;
            file.sync_all()
        };
        let half = &content[..content.len() / 2];
        self.step("write", path, || write(half), || write(content))
    }

    /// Gives a file this content: readers see the old one or the new one.
    pub(super) fn replace(&self, path: &Path, content: &[u8]) -> Result<(), FolderError> {
        let new = path.with_extension("new");
        self.write(&new, content)?;
        self.rename(&new, path)
    }

    /// Makes a sparse file of this many bytes.
    pub(super) fn make_sparse(&self, path: &Path, bytes: u64) -> Result<(), FolderError> {
        let make = |bytes| {
            let file = File::create(path)?;
            file.set_len(bytes)?;
            file.sync_all()
        };
        self.step("make", path, || make(bytes / 2), || make(bytes))
    }

    /// Copies a file, holes as holes, to a new one of at least as many bytes.
    pub(super) fn copy(&self, from: &Path, to: &Path, bytes: u64) -> Result<(), FolderError> {
        let copy = || {
            let (from, to) = (File::open(from)?, File::create(to)?);
            copy_data(&from, &to)?;
            to.set_len(bytes)?;
            to.sync_all()
        };
        let half = || File::create(to)?.set_len(bytes / 2);
        self.step("copy to", to, half, copy)
    }

    /// Lets a file be this large.
    pub(super) fn resize(&self, path: &Path, bytes: u64) -> Result<(), FolderError> {
        self.step("resize", path, nothing, || {
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(bytes)?;
            file.sync_all()
        })
    }

    /// Gives a file all the space that it can take.
    pub(super) fn allocate(&self, path: &Path, bytes: u64) -> Result<(), FolderError> {
        self.step("allocate", path, nothing, || {
            let file = OpenOptions::new().write(true).open(path)?;
            fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
            file.sync_all()
        })
    }

    /// Puts on the disk what is in a folder.
    pub(super) fn sync_folder(&self, path: &Path) -> Result<(), FolderError> {
        self.step("sync", path, nothing, || File::open(path)?.sync_all())
    }

    /// Renames, which is whole or not done.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), FolderError> {
        self.step("rename to", to, nothing, || {
            fs::rename(from, to)?;
            for parent in [to.parent(), from.parent()].into_iter().flatten() {
                File::open(parent)?.sync_all()?;
            }
            Ok(())
        })
    }

    /// Removes a folder with all that is in it; OK when it is not there.
    pub(super) fn remove_tree(&self, path: &Path) -> Result<(), FolderError> {
        let half = || match files_below(path)?.first() {
            Some(file) => fs::remove_file(file),
            None => Ok(()),
        };
        self.step("remove", path, half, || match fs::remove_dir_all(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }
}

fn files_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Copies what is no hole. The standard library lets the kernel do it, which shares blocks where the file system can.
fn copy_data(from: &File, to: &File) -> io::Result<()> {
    let mut at = 0;
    loop {
        let start = match seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole is left, or nothing.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = seek(from, SeekFrom::Hole(start))?;
        seek(from, SeekFrom::Start(start))?;
        seek(to, SeekFrom::Start(start))?;
        let (mut source, mut target) = (from, to);
        let copied = io::copy(&mut Read::take(&mut source, end - start), &mut target)?;
        if copied < end - start {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the file became shorter meanwhile",
            ));
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_copy_is_equal_and_as_sparse(
            blocks in proptest::collection::btree_map(0_u64..64, any::<u8>(), 0..8),
            larger in 0_u64..3,
        ) {
            const BLOCK: u64 = 64 << 10;
            let folder = tempfile::tempdir().unwrap();
            let (from, to) = (folder.path().join("from"), folder.path().join("to"));
            let file = File::create(&from).unwrap();
            file.set_len(64 * BLOCK).unwrap();
            for (block, byte) in &blocks {
                file.write_all_at(&vec![*byte; BLOCK as usize], block * BLOCK).unwrap();
            }
            let bytes = (64 + larger) * BLOCK;
            Files::default().copy(&from, &to, bytes).unwrap();
            let mut expected = fs::read(&from).unwrap();
            expected.resize(bytes as usize, 0);
            prop_assert!(fs::read(&to).unwrap() == expected);
            let taken = fs::metadata(&to).unwrap().blocks() * 512;
            prop_assert!(taken <= (blocks.len() as u64 + 1) * BLOCK, "{} bytes taken", taken);
        }
    }
}
