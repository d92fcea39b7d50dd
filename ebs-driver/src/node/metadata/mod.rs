//! What instance this is. Source: spec 4.8.
//!
//! | Module | Subject |
//! |---|---|
//! | [`imds`] | the instance metadata service |
//! | [`kubernetes`] | the Node object |
//! | [`learned`] | the first source that answers, and what it said last |

pub mod imds;
pub mod kubernetes;
pub mod learned;

use async_trait::async_trait;
use kube::Client;
use thiserror::Error;

use self::imds::Imds;
use self::kubernetes::{Counts, NodeObject, Right, Unreachable};

pub use self::learned::{Learned, NoSource};

/// A source by its name in `--metadata-sources`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SourceKind {
    /// The instance metadata service.
    Imds,
    /// The Node object.
    Kubernetes,
    /// The Node object with the labels that upstream's labeler keeps.
    Labeler,
}

impl SourceKind {
    /// The source of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "imds" => Some(Self::Imds),
            "kubernetes" => Some(Self::Kubernetes),
            "metadata-labeler" => Some(Self::Labeler),
            _ => None,
        }
    }
}

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

impl MetadataError {
    /// An error of this place.
    pub(crate) fn new(place: &'static str, reason: impl Into<String>) -> Self {
        Self {
            place,
            reason: reason.into(),
        }
    }
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

/// Something that can be asked what instance this is.
#[async_trait]
pub trait Source: Send + Sync {
    /// Its name in messages.
    fn place(&self) -> &'static str;

    /// Everything.
    ///
    /// # Errors
    /// When it does not answer, or its answer lacks something that must be known.
    async fn learn(&self) -> Result<InstanceInfo, MetadataError>;

    /// What may have changed since.
    ///
    /// # Errors
    /// When it does not answer.
    async fn refresh(&self, known: &InstanceInfo) -> Result<InstanceInfo, MetadataError>;
}

/// The sources of these kinds, in this order. `kubernetes` is a client of the API server, or why there is none; `node`
/// the name of our Node object, `right` that by which it is read.
///
/// # Errors
/// When the address of the metadata service is none.
pub fn sources(
    kinds: &[SourceKind],
    kubernetes: &Result<Client, String>,
    node: Option<&str>,
    right: Right,
) -> Result<Vec<Box<dyn Source>>, MetadataError> {
    let object = |counts| -> Box<dyn Source> {
        match (kubernetes, node) {
            (Ok(client), Some(name)) => Box::new(NodeObject::new(client, name, counts, right)),
            (Ok(_), None) => Box::new(Unreachable("CSI_NODE_NAME is not set".to_owned())),
            (Err(reason), _) => Box::new(Unreachable(reason.clone())),
        }
    };
    kinds
        .iter()
        .map(|kind| {
            Ok(match kind {
                SourceKind::Imds => Box::new(Imds::new(None)?),
                SourceKind::Kubernetes => object(Counts::Assumed),
                SourceKind::Labeler => object(Counts::Labeler),
            })
        })
        .collect()
}
