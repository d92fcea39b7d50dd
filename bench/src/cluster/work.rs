//! What `bench cluster` has the programs do, phase by phase.

use anyhow::ensure;

use super::programs::SNAPSHOTS_AND_SIZES;
use crate::load::{Binder, Load, Timing};

/// A phase, in the order in which they come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, clap::ValueEnum)]
pub enum Work {
    /// A volume for each claim, until it is bound to it.
    Claims,
    /// Each volume to a node, until it is attached.
    Attachments,
    /// Of each claim one, until it is ready.
    Snapshots,
    /// Each claim grows, until the controller's part is done.
    Expansions,
    /// The snapshots go.
    SnapshotDeletions,
    /// The volumes leave their nodes.
    Detachments,
    /// The claims go, until their volumes have.
    VolumeDeletions,
}

impl Work {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Claims,
        Self::Attachments,
        Self::Snapshots,
        Self::Expansions,
        Self::SnapshotDeletions,
        Self::Detachments,
        Self::VolumeDeletions,
    ];

    /// Its name in the figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::Attachments => "attachments",
            Self::Snapshots => "snapshots",
            Self::Expansions => "expansions",
            Self::SnapshotDeletions => "snapshot deletions",
            Self::Detachments => "detachments",
            Self::VolumeDeletions => "volume deletions",
        }
    }

    /// The user asks for it, until all of it is done.
    ///
    /// # Errors
    /// What the API server refuses, or nothing happening for two minutes.
    pub async fn done(self, load: &Load, count: usize, binder: Binder) -> anyhow::Result<Timing> {
        match self {
            Self::Claims => load.dynamic_claims(count, binder).await,
            Self::Attachments => load.attachments(count).await,
            Self::Snapshots => load.snapshots(count).await,
            Self::Expansions => load.expansions(count).await,
            Self::SnapshotDeletions => load.deletions(count).await,
            Self::Detachments => load.detachments(count).await,
            Self::VolumeDeletions => load.volume_deletions(count, binder).await,
        }
    }

    /// The phase that makes what this one takes away.
    fn needs(self) -> Option<Self> {
        match self {
            Self::SnapshotDeletions => Some(Self::Snapshots),
            Self::Detachments => Some(Self::Attachments),
            Self::VolumeDeletions => Some(Self::Claims),
            _ => None,
        }
    }

    /// The controllers whose work it is.
    fn controllers(self) -> &'static [&'static str] {
        match self {
            Self::Claims | Self::VolumeDeletions => &["csi-provisioner"],
            Self::Attachments | Self::Detachments => &["csi-attacher"],
            Self::Snapshots | Self::SnapshotDeletions => &["snapshot-controller", "csi-snapshotter"],
            Self::Expansions => &["csi-resizer"],
        }
    }
}

/// The phases of a run, in their order.
///
/// # Errors
/// When one takes away what none has made.
pub fn ordered(chosen: &[Work]) -> anyhow::Result<Vec<Work>> {
    let ordered: Vec<Work> = Work::ALL
        .into_iter()
        .filter(|work| chosen.contains(work))
        .collect();
    for work in &ordered {
        if let Some(before) = work.needs() {
            ensure!(
                ordered.contains(&before),
                "the phase of {} needs the one of {} too",
                work.name(),
                before.name()
            );
        }
    }
    Ok(ordered)
}

/// The controllers that the phases need.
pub fn controllers(works: &[Work]) -> Vec<&'static str> {
    let all = SNAPSHOTS_AND_SIZES
        .into_iter()
        .chain(["csi-provisioner", "csi-attacher"]);
    all.filter(|name| works.iter().any(|work| work.controllers().contains(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_come_in_their_order_with_their_controllers() {
        let chosen = [Work::VolumeDeletions, Work::Claims, Work::Attachments];
        let works = ordered(&chosen).unwrap();
        assert_eq!(works, [Work::Claims, Work::Attachments, Work::VolumeDeletions]);
        assert_eq!(controllers(&works), ["csi-provisioner", "csi-attacher"]);
        assert_eq!(controllers(&Work::ALL).len(), 5);
        let error = ordered(&[Work::Claims, Work::Detachments]).unwrap_err();
        assert!(
            error.to_string().contains("needs the one of attachments"),
            "{error}"
        );
    }
}
