//! Sparse files and their copies: by reflink where the file system can, else of what is not a hole.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{SeekFrom, ioctl_ficlone, seek};
use rustix::io::Errno;

use super::{StorageError, io};

/// Bytes that are copied at a time.
const PIECE: usize = 1 << 20;

/// A new empty file.
pub(super) fn create(path: &Path) -> Result<(), StorageError> {
    new(path).map(drop)
}

fn new(path: &Path) -> Result<File, StorageError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options.open(path).map_err(io("make", path))
}

/// Gives a file this size; what is new is a hole.
pub(super) fn resize(path: &Path, bytes: u64) -> Result<(), StorageError> {
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|file| file.set_len(bytes))
        .map_err(io("resize", path))
}

/// Removes a file; OK when it is not there.
pub(super) fn remove(path: &Path) -> Result<(), StorageError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Copies a file; one that is not there counts as empty. With reflink the copy is of one moment. Without, what is
/// written meanwhile may be in it or not, so that a writer should pause.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StorageError> {
    let copied = match File::open(from) {
        Ok(source) => {
            let target = new(to)?;
            match ioctl_ficlone(&target, &source) {
                Ok(()) => Ok(()),
                Err(_) => copy_data(&source, &target).map_err(io("copy to", to)),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => create(to),
        Err(error) => Err(io("open", from)(error)),
    };
    if copied.is_err() {
        // What is half there would be taken for data.
        let _ = std::fs::remove_file(to);
    }
    copied
}

fn copy_data(source: &File, target: &File) -> io::Result<()> {
    target.set_len(source.metadata()?.len())?;
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        let begin = match seek(source, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Only a hole is left.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        at = seek(source, SeekFrom::Hole(begin))?;
        let mut done = begin;
        while done < at {
            let left = usize::try_from(at - done).unwrap_or(PIECE);
            let piece = &mut buffer[..left.min(PIECE)];
            let read = source.read_at(piece, done)?;
            if read == 0 {
                return Ok(());
            }
            target.write_all_at(&piece[..read], done)?;
            done += read as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn copies_keep_data_and_holes() {
        let folder = std::env::temp_dir().join(format!("slackwater-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("from"), folder.join("to"));
        create(&from).unwrap();
        resize(&from, 1 << 30).unwrap();
        let file = OpenOptions::new().write(true).open(&from).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(b"later", 700 << 20).unwrap();
        drop(file);
        copy(&from, &to).unwrap();
        let (copied, mut text) = (File::open(&to).unwrap(), [0; 5]);
        copied.read_exact_at(&mut text, 700 << 20).unwrap();
        assert_eq!(&text, b"later");
        let metadata = copied.metadata().unwrap();
        assert_eq!(metadata.len(), 1 << 30);
        assert!(metadata.blocks() * 512 < 1 << 20, "holes stay holes");
        copy(&folder.join("missing"), &to).unwrap();
        assert_eq!(std::fs::metadata(&to).unwrap().len(), 0);
        remove(&to).unwrap();
        remove(&to).unwrap();
        let bad = copy(&from, &folder.join("no/where"));
        assert!(matches!(bad, Err(StorageError::Io { .. })), "{bad:?}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
