//! VolumeSnapshots, which ask for contents. Upstream's role shows none of them, so the right to read one is asked for before
//! the first is read, and a process that never has to read one never asks.

use std::time::Duration;

use base::Random;
use crds::names;
use crds::v1::VolumeSnapshot;
use kube::Client;
use runtime::access::{self, Permission};
use runtime::{ApiError, ApiErrorClass, ObjectKey, Writer};
use tokio::sync::OnceCell;

use crate::observe::Behind;

/// How long the answer about the right may take.
const PATIENCE: Duration = Duration::from_secs(10);
const READ: Permission = Permission {
    verb: "get",
    group: names::GROUP,
    resource: "volumesnapshots",
};

/// Reads VolumeSnapshots, where that is allowed.
pub(crate) struct Askers {
    client: Client,
    random: Random,
    snapshots: Writer<VolumeSnapshot>,
    may_read: OnceCell<bool>,
}

impl Askers {
    pub(crate) fn new(client: &Client, random: Random, manager: &'static str) -> Self {
        Self {
            client: client.clone(),
            random,
            snapshots: Writer::new(client, manager),
            may_read: OnceCell::new(),
        }
    }

    /// GET of one.
    pub(crate) async fn read(&self, namespace: &str, name: &str) -> Result<Behind, ApiError> {
        let ask = self
            .may_read
            .get_or_init(|| access::may(&self.client, &self.random, READ));
        // An API server that is away must not hold up the end of the process.
        let Ok(may_read) = tokio::time::timeout(PATIENCE, ask).await else {
            return Err(ApiError::no_answer(
                "no answer whether VolumeSnapshots may be read",
            ));
        };
        if !may_read {
            return Ok(Behind::Hidden);
        }
        match self.snapshots.get(&ObjectKey::new(namespace, name)).await {
            Ok(found) => Ok(Behind::Found {
                is_going: found.metadata.deletion_timestamp.is_some(),
                uid: found.metadata.uid.unwrap_or_default(),
                content: found
                    .status
                    .and_then(|status| status.bound_volume_snapshot_content_name),
            }),
            Err(error) => match error.class() {
                ApiErrorClass::NotFound => Ok(Behind::Nothing),
                // The right was taken away.
                ApiErrorClass::Forbidden => Ok(Behind::Hidden),
                _ => Err(error),
            },
        }
    }
}
