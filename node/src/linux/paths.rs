//! Paths as the mount table has them: without links.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::devices::io;
use crate::error::HostError;

/// The path with every link in it followed, as far as it is there; the rest of it is kept.
pub(super) fn resolved(path: &Path) -> Result<PathBuf, HostError> {
    // A slash at the end would follow a link.
    let path: PathBuf = path.components().collect();
    let path = path.as_path();
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let mut missing = Vec::new();
    let mut there = path;
    if !is_link {
        // What is mounted there may not answer: it is not asked.
        (there, missing) = above(path, missing)?;
    }
    loop {
        match std::fs::canonicalize(there) {
            Ok(found) => return Ok(missing.iter().rev().fold(found, |path, part| path.join(part))),
            Err(error) if error.kind() == ErrorKind::NotFound => (there, missing) = above(there, missing)?,
            Err(error) => return Err(io("resolve", path)(error)),
        }
    }
}

/// One step up; what is left behind is the last of `missing`.
fn above<'a>(
    path: &'a Path,
    missing: Vec<&'a std::ffi::OsStr>,
) -> Result<(&'a Path, Vec<&'a std::ffi::OsStr>), HostError> {
    let mut missing = missing;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => {
            missing.push(name);
            Ok((parent, missing))
        }
        _ => Err(HostError::Unsupported(format!(
            "the path {}, which is not absolute or goes up,",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn ebs_case_113_links_are_followed_as_far_as_there_are_any() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        let link = folder.path().join("link");
        symlink(&real, &link).unwrap();
        for rest in ["pods", "pods/a/volumes", ""] {
            assert_eq!(resolved(&link.join(rest)).unwrap(), real.join(rest), "{rest}");
        }
        symlink("real", folder.path().join("relative")).unwrap();
        assert_eq!(
            resolved(&folder.path().join("relative/a")).unwrap(),
            real.join("a")
        );
        for wrong in ["a/b", "missing/../b"] {
            let path = if wrong.starts_with('a') {
                PathBuf::from(wrong)
            } else {
                folder.path().join(wrong)
            };
            resolved(&path).unwrap_err();
        }
    }
}
