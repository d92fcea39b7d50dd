//! What runs on the node, and what is mounted there, seen from the machine.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use super::OneNode;
use crate::Error;

/// Where kubelet keeps what belongs to a pod.
const PODS: &str = "/var/lib/kubelet/pods";

impl OneNode {
    /// The processes whose command line begins with these words.
    ///
    /// # Errors
    /// When the processes cannot be listed.
    pub fn running(&self, words: &[&str]) -> Result<Vec<Pid>, Error> {
        let begins: Vec<u8> = words
            .iter()
            .flat_map(|word| [word.as_bytes(), b"\0"].concat())
            .collect();
        let entries = std::fs::read_dir("/proc").map_err(Error::system("list /proc"))?;
        let names = entries.flatten().map(|entry| entry.file_name());
        let pids = names.filter_map(|name| name.to_str()?.parse().ok().and_then(Pid::from_raw));
        // One may have ended since.
        let is_wanted = |pid: &Pid| {
            let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
            line.is_ok_and(|line| line.starts_with(&begins))
        };
        Ok(pids.filter(is_wanted).collect())
    }

    /// The program files of these processes, as they are named in their containers.
    ///
    /// # Errors
    /// When the processes cannot be listed.
    pub fn programs(&self, words: &[&str]) -> Result<Vec<PathBuf>, Error> {
        let files = self.running(words)?.into_iter().map(|pid| {
            // One may have ended since.
            std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero())).ok()
        });
        Ok(files.flatten().collect())
    }

    /// Kills the processes whose command line begins with these words, as `kill -9`; how many there were.
    ///
    /// # Errors
    /// When one cannot be killed.
    pub fn kill(&self, words: &[&str]) -> Result<usize, Error> {
        let running = self.running(words)?;
        for pid in &running {
            kill_process(*pid, Signal::KILL)
                .map_err(|error| Error::system(format!("kill {words:?}"))(error.into()))?;
        }
        Ok(running.len())
    }

    /// Where kubelet has mounted a volume for a pod.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is mounted for none.
    pub fn mounted(&self, volume: &str) -> Result<PathBuf, Error> {
        let entries = std::fs::read_dir(PODS).map_err(Error::system(format!("list {PODS}")))?;
        let below = format!("volumes/kubernetes.io~csi/{volume}/mount");
        let mut mounts = entries.flatten().map(|entry| entry.path().join(&below));
        mounts.find(|path| path.exists()).ok_or_else(|| Error::Refused {
            what: format!("a pod with volume {volume}"),
            answer: "there is none".to_owned(),
        })
    }
}
