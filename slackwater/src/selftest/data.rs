//! What the pods of the selftest do on a volume. The data follow from a number, so that whoever knows it compares every byte.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use base::Random;

/// The file on the volume.
const FILE: &str = "data";
/// Its length: more than what fits beside the metadata of a file system.
const PIECES: usize = 128;
/// One piece of it.
const PIECE: usize = 64 << 10;

/// Why a volume is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    #[error("{}: byte {at} is not what was written", path.display())]
    Differs { path: PathBuf, at: usize },
    #[error("{}: the file system has {bytes} bytes, expected {expected} at least", path.display())]
    Small {
        path: PathBuf,
        bytes: u64,
        expected: u64,
    },
}

fn io(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| Error::Io {
        what,
        path: path.to_owned(),
        error,
    }
}

/// The pieces of the data of a number.
fn pieces(seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let random = Random::seeded(seed);
    (0..PIECES).map(move |_| {
        let words = (0..PIECE / 8).flat_map(|_| random.next_u64().to_le_bytes());
        words.collect()
    })
}

/// Writes the data of a number, and returns when they are on the device.
pub(super) fn write(folder: &Path, seed: u64) -> Result<String, Error> {
    let path = folder.join(FILE);
    let mut file = File::create(&path).map_err(io("make", &path))?;
    for piece in pieces(seed) {
        file.write_all(&piece).map_err(io("write", &path))?;
    }
    file.sync_all().map_err(io("sync", &path))?;
    // The name of the file too.
    let entries = File::open(folder).and_then(|folder| folder.sync_all());
    entries.map_err(io("sync", folder))?;
    Ok(format!("{} bytes are written and synced", PIECES * PIECE))
}

/// Compares the file with the data of a number, and the file system with a size.
pub(super) fn check(folder: &Path, seed: u64, at_least: u64) -> Result<String, Error> {
    let path = folder.join(FILE);
    let mut file = File::open(&path).map_err(io("open", &path))?;
    let mut found = vec![0; PIECE];
    for (number, piece) in pieces(seed).enumerate() {
        file.read_exact(&mut found).map_err(io("read", &path))?;
        if let Some(at) = piece.iter().zip(&found).position(|(one, other)| one != other) {
            let at = number * PIECE + at;
            return Err(Error::Differs { path, at });
        }
    }
    if file.read(&mut found).map_err(io("read", &path))? > 0 {
        let at = PIECES * PIECE;
        return Err(Error::Differs { path, at });
    }
    let bytes = size(folder)?;
    if bytes < at_least {
        return Err(Error::Small {
            path: folder.to_owned(),
            bytes,
            expected: at_least,
        });
    }
    Ok(format!(
        "{} bytes are as they were written; the file system has {bytes}",
        PIECES * PIECE
    ))
}

/// The size of the file system of a folder.
fn size(folder: &Path) -> Result<u64, Error> {
    let failed = |error: rustix::io::Errno| io("statfs", folder)(error.into());
    let statistics = rustix::fs::statvfs(folder).map_err(failed)?;
    Ok(statistics.f_blocks * statistics.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_found_again_and_every_change_is() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, 7).unwrap();
        check(folder, 7, 1).unwrap();
        let other = check(folder, 8, 0).unwrap_err().to_string();
        assert!(other.ends_with("data: byte 0 is not what was written"), "{other}");
        let small = check(folder, 7, u64::MAX).unwrap_err();
        assert!(matches!(small, Error::Small { .. }), "{small}");

        let path = folder.join(FILE);
        let whole = std::fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[100_000] ^= 1;
        for (bytes, says) in [
            (changed, "byte 100000 is not"),
            (whole[..whole.len() - 1].to_vec(), "cannot read"),
            ([&whole[..], &[0]].concat(), "byte 8388608 is not"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let said = check(folder, 7, 0).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
        std::fs::remove_file(&path).unwrap();
        let said = check(folder, 7, 0).unwrap_err().to_string();
        assert!(said.starts_with("cannot open"), "{said}");
    }
}
