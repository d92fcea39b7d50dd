//! What a driver in this process tells of its volumes beside CSI, which finds a volume by its ID alone. It goes by no wire: a
//! driver behind a socket has no such thing, and is asked nothing.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tonic::Status;

use crate::v1;

/// A driver that knows its volumes by the names that it was asked for.
#[async_trait]
pub trait Inventory: fmt::Debug + Send + Sync {
    /// The volume that was made under the name of this request before and can serve it, once it is usable. Where it is and
    /// of which type does not matter: the request may have been another one then. Nothing is made, and what cannot
    /// serve is left as it is.
    ///
    /// # Errors
    /// The storage does not say.
    async fn made(
        &self,
        request: v1::CreateVolumeRequest,
        timeout: Duration,
    ) -> Result<Option<v1::Volume>, Status>;

    /// Whether the driver can tell this cluster's volumes from those of others.
    fn knows_its_cluster(&self) -> bool;

    /// A page of the volumes that were made for this cluster under a name and are not being deleted; the first one without a
    /// token.
    ///
    /// # Errors
    /// The storage does not say, or the driver does not know its cluster.
    async fn page(&self, token: Option<String>) -> Result<Page, Status>;
}

/// Some of the volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the storage's order.
    pub volumes: Vec<Named>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// A volume and the name that it was made under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its ID.
    pub id: String,
    /// The name.
    pub name: String,
    /// When it was made, where the storage says so.
    pub made_at: Option<Timestamp>,
}
