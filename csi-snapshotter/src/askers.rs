//! What asks for contents. Upstream's role shows none of it, so the right to read one is asked for before the first is read,
//! and a process that never has to read one never asks.

use std::time::Duration;

use base::Random;
use crds::group::v1::VolumeGroupSnapshot;
use crds::names;
use crds::v1::VolumeSnapshot;
use kube::{Client, Resource};
use runtime::access::{self, Permission};
use runtime::{ApiError, ApiErrorClass, ObjectKey, Writer};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::observe::Behind;

/// How long the answer about the right may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A kind that asks for contents.
pub(crate) trait Asker: Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static {
    /// Reading one.
    const READ: Permission;

    /// The content that its status names.
    fn content(self) -> Option<String>;
}

impl Asker for VolumeSnapshot {
    const READ: Permission = Permission {
        verb: "get",
        group: names::GROUP,
        resource: "volumesnapshots",
    };

    fn content(self) -> Option<String> {
        self.status?.bound_volume_snapshot_content_name
    }
}

impl Asker for VolumeGroupSnapshot {
    const READ: Permission = Permission {
        verb: "get",
        group: names::group::GROUP,
        resource: "volumegroupsnapshots",
    };

    fn content(self) -> Option<String> {
        self.status?.bound_volume_group_snapshot_content_name
    }
}

/// Reads askers of one kind, where that is allowed.
pub(crate) struct Askers<K> {
    client: Client,
    random: Random,
    objects: Writer<K>,
    may_read: OnceCell<bool>,
}

impl<K: Asker> Askers<K> {
    pub(crate) fn new(client: &Client, random: Random, manager: &'static str) -> Self {
        Self {
            client: client.clone(),
            random,
            objects: Writer::new(client, manager),
            may_read: OnceCell::new(),
        }
    }

    /// GET of one.
    pub(crate) async fn read(&self, namespace: &str, name: &str) -> Result<Behind, ApiError> {
        let ask = self
            .may_read
            .get_or_init(|| access::may(&self.client, &self.random, K::READ));
        // An API server that is away must not hold up the end of the process.
        let Ok(may_read) = tokio::time::timeout(PATIENCE, ask).await else {
            let kind = K::kind(&());
            return Err(ApiError::no_answer(&format!(
                "no answer whether a {kind} may be read"
            )));
        };
        if !may_read {
            return Ok(Behind::Hidden);
        }
        match self.objects.get(&ObjectKey::new(namespace, name)).await {
            Ok(found) => Ok(Behind::Found {
                is_going: found.meta().deletion_timestamp.is_some(),
                uid: found.meta().uid.clone().unwrap_or_default(),
                content: found.content(),
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
