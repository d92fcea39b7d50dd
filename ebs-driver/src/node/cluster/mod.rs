//! What the node does in the cluster besides its services. Source: spec 4.10.
//!
//! | Module | Subject |
//! |---|---|
//! | [`drain`] | waiting, before the end, until the volumes of a drained node are detached |
//! | [`objects`] | Node and VolumeAttachment, as far as they are read |
//! | [`taint`] | taking the start-up taint away |

pub mod drain;
pub mod labels;
pub mod objects;
pub mod taint;
