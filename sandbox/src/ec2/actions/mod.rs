//! What each action does: one file a group.

pub(super) mod attachments;
pub(super) mod cluster_nodes;
pub(super) mod create_volume;
pub(super) mod fast_restores;
pub(super) mod instances;
pub(super) mod locks;
pub(super) mod modifications;
pub(super) mod placement;
pub(super) mod snapshot_sets;
pub(super) mod snapshots;
pub(super) mod tags;
pub(super) mod volume_status;
pub(super) mod volumes;
pub(super) mod zones;
