//! The snapshot API types and the custom resource definitions generated from them
