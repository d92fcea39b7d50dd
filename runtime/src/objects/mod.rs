//! Names of objects, and core types that hold only the fields that are read.
//!
//! The full PVC and PV of a cluster are most of upstream's memory (spec snapshot Q44): [`Claim`] and
//! [`Volume`] decode the needed fields only, so that the others are never allocated.

mod attachment;
mod attributes_class;
mod claim;
mod csi_node;
mod key;
mod metadata;
mod node_labels;
mod pack;
mod packed_claim;
mod packed_volume;
mod part;
mod quantity;
mod volume;

pub use attachment::{Attachment, AttachmentError, AttachmentStatus, NODE_ID, VOLUME_HANDLE};
pub use attributes_class::AttributesClass;
pub use claim::{Attributes, Claim, ClaimPhase, DataSource, Modify, ModifyStatus, ResizeStatus, Wish};
pub use csi_node::{CsiNode, NodeDriver};
pub use key::ObjectKey;
pub use node_labels::NodeLabels;
pub use quantity::Quantity;
pub use volume::{
    AccessModes, ClaimReference, CsiSource, DeletionSecret, ElasticBlockStore, PROVISIONER_FINALIZER,
    ReclaimPolicy, SecretName, Volume, VolumeMode, VolumePhase, ZoneLabels, attacher_finalizer,
};
pub(crate) use volume::{BETA_ZONE, ZONE};
