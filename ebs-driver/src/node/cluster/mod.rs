//! What is done in the cluster besides the services. Source: spec 4.9, 4.10.
//!
//! | Module | Subject |
//! |---|---|
//! | [`drain`] | waiting, before the end, until the volumes of a drained node are detached |
//! | [`labels`] | the metadata labeler |
//! | [`objects`] | Node and VolumeAttachment, as far as they are read |
//! | [`taint`] | taking the start-up taint away |

pub mod drain;
pub mod labels;
pub mod objects;
pub mod taint;
