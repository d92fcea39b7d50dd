//! The registration socket. The folder belongs to the node: another pod of the driver may take the path, and then the
//! socket is no longer ours.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use csi::Address;
use csi::server::{Listener, ServeError};
use rustix::fs::Mode;
use rustix::process::umask;
use tokio::net::UnixStream;

/// How often it is looked whether the driver is gone.
const LOOK_AT_DRIVER: Duration = Duration::from_millis(100);

/// Which file a path led to: device and inode.
type Identity = (u64, u64);

/// A socket of ours, which listens.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    identity: Option<Identity>,
}

/// What has become of a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It is there.
    Ours,
    /// It is gone, or what is there answers nobody.
    Lost,
    /// Somebody else listens there.
    Taken,
}

fn identity(path: &Path) -> Option<Identity> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Whether the path is a socket; none where nothing is there.
pub(crate) fn is_socket(path: &Path) -> std::io::Result<Option<bool>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found.file_type().is_socket())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether somebody listens at a path.
async fn listens(path: &Path) -> bool {
    UnixStream::connect(path).await.is_ok()
}

/// Resolves once the driver that listens at an address now listens there no more.
pub(crate) async fn gone(driver: &Address) {
    // Others are not seen to go; kubelet's drivers all have a socket.
    let Address::Unix(path) = driver else { return };
    let present = identity(path);
    while present.is_some() && identity(path) == present && listens(path).await {
        tokio::time::sleep(LOOK_AT_DRIVER).await;
    }
}

/// Removes a socket that a former process left behind: nobody listens there.
pub(crate) async fn remove_stale(path: &Path) {
    if matches!(is_socket(path), Ok(Some(true))) && !listens(path).await {
        match std::fs::remove_file(path) {
            Ok(()) => tracing::info!(socket = %path.display(), "removed a socket at which nobody listens"),
            Err(error) => tracing::warn!(socket = %path.display(), %error, "cannot remove a stale socket"),
        }
    }
}

impl Socket {
    /// Listens at the path, in the place of whatever socket is there; only this user may connect.
    ///
    /// # Errors
    /// Something else than a socket is there, or the folder is not.
    pub(crate) async fn bind(path: &Path) -> Result<(Self, Listener), ServeError> {
        let former = umask(Mode::from_raw_mode(0o077));
        let bound = Listener::bind(&Address::Unix(path.to_owned())).await;
        umask(former);
        let socket = Self {
            path: path.to_owned(),
            identity: identity(path),
        };
        Ok((socket, bound?))
    }

    pub(crate) async fn fate(&self) -> Fate {
        match identity(&self.path) {
            found if found.is_some() && found == self.identity => Fate::Ours,
            Some(_) if listens(&self.path).await => Fate::Taken,
            _ => Fate::Lost,
        }
    }

    /// Removes the socket where it is ours.
    pub(crate) fn remove(&self) {
        if self.identity.is_some() && self.identity == identity(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The path of the registration socket of a driver.
pub(crate) fn path_of(folder: &Path, driver: &str) -> PathBuf {
    folder.join(format!("{driver}-reg.sock"))
}

/// Where a former process of this driver probably left its socket: kubelet's folder of a driver has its name.
pub(crate) fn likely_path(folder: &Path, kubelet_path: &str) -> Option<PathBuf> {
    let parent = Path::new(kubelet_path).parent()?;
    let driver = parent.file_name()?.to_str()?;
    Some(path_of(folder, driver))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_driver_has_its_name() {
        let folder = Path::new("/registration");
        let path = "/var/lib/kubelet/plugins/ebs.csi.aws.com/csi.sock";
        let expected = Some(PathBuf::from("/registration/ebs.csi.aws.com-reg.sock"));
        assert_eq!(likely_path(folder, path), expected);
        assert_eq!(likely_path(folder, "csi.sock"), None);
    }

    #[tokio::test]
    async fn a_socket_of_somebody_else_is_told_from_a_lost_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d-reg.sock");
        let (socket, listener) = Socket::bind(&path).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "only this user may connect");
        assert_eq!(socket.fate().await, Fate::Ours);
        std::fs::rename(&path, folder.path().join("aside")).unwrap();
        assert_eq!(socket.fate().await, Fate::Lost);
        let (other, listener_of_other) = Socket::bind(&path).await.unwrap();
        assert_eq!(socket.fate().await, Fate::Taken);
        socket.remove();
        assert_eq!(other.fate().await, Fate::Ours, "it is not ours to remove");
        drop(listener_of_other);
        assert_eq!(socket.fate().await, Fate::Lost, "nobody listens any more");
        other.remove();
        assert!(!path.exists());
        drop(listener);
    }
}
