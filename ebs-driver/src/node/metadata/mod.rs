//! What instance this is. Source: spec 4.8.

use async_trait::async_trait;
use thiserror::Error;

/// What the node service says of its instance.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct InstanceInfo {
    /// ID.
    pub instance_id: String,
    /// Instance type.
    pub instance_type: String,
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// ARN of the Outpost it is on.
    pub outpost_arn: Option<String>,
    /// Attached network interfaces.
    pub interfaces: u32,
    /// Volumes that were attached when the instance began, besides the root volume.
    pub extra_volumes: u32,
}

/// The instance could not be learned about.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{place}: {reason}")]
pub struct MetadataError {
    /// Where it was asked for.
    pub place: &'static str,
    /// Why there is no answer.
    pub reason: String,
}

/// A source of what is known of the instance: its metadata service, its Node object, or a fixed answer.
#[async_trait]
pub trait Metadata: Send + Sync {
    /// What is known now. A source that fails to learn anew answers what it knew before.
    ///
    /// # Errors
    /// When nothing was ever learned.
    async fn instance(&self) -> Result<InstanceInfo, MetadataError>;
}

/// A fixed answer.
#[async_trait]
impl Metadata for InstanceInfo {
    async fn instance(&self) -> Result<InstanceInfo, MetadataError> {
        Ok(self.clone())
    }
}
