//! Calls of the driver. Knows no rule.

mod group;
mod snapshot;

use std::collections::BTreeMap;
use std::time::Duration;

use controller::CallFailure;
use csi::{Channel, CreateSnapshotHint, Operation, v1};
use jiff::Timestamp;
use tonic::{Request, Status};

use crate::content::Content;
use crate::observe::{Reply, Snapshot};
use crate::plan::Call;
use crate::plan::create::hint;

/// The way to the driver.
pub(crate) struct Calls {
    pub(crate) channel: Channel,
    /// Longest time of one call.
    pub(crate) timeout: Duration,
}

impl Calls {
    pub(crate) async fn call(
        &self,
        content: &dyn Content,
        call: &Call,
        secrets: BTreeMap<String, String>,
    ) -> Reply {
        let one = One {
            calls: self,
            hint: hint(content),
            secrets,
        };
        match call {
            Call::Create {
                volume_handle,
                name,
                parameters,
            } => Reply::Created(one.create(volume_handle, name, parameters).await),
            Call::List { snapshot_handle } => Reply::Listed(one.list(snapshot_handle).await),
            Call::Delete { snapshot_handle } => Reply::Deleted {
                handle: snapshot_handle.clone(),
                outcome: one.delete(snapshot_handle).await,
            },
            Call::CreateGroup {
                volume_handles,
                name,
                parameters,
            } => Reply::Created(one.create_group(volume_handles, name, parameters).await),
            Call::GetGroup {
                group_handle,
                snapshot_handles,
            } => Reply::Listed(one.get_group(group_handle, snapshot_handles).await),
            Call::DeleteGroup {
                group_handle,
                snapshot_handles,
            } => Reply::Deleted {
                handle: group_handle.clone(),
                outcome: one.delete_group(group_handle, snapshot_handles).await,
            },
        }
    }
}

/// One call.
struct One<'a> {
    calls: &'a Calls,
    hint: CreateSnapshotHint<'a>,
    secrets: BTreeMap<String, String>,
}

impl One<'_> {
    /// The message, with the deadline.
    fn request<T>(&self, message: T) -> Request<T> {
        csi::channel::request(message, self.calls.timeout)
    }

    /// The same with what is known of earlier calls. A wait is kept as it is asked for.
    fn hinted<T>(&self, message: T) -> Request<T> {
        let mut request = self.request(message);
        self.hint.attach(&mut request);
        csi::hints::attach_comes_back(&mut request);
        request
    }

    fn failure(&self, operation: Operation, status: &Status) -> CallFailure {
        CallFailure::of(operation, status, &self.secrets)
    }
}

fn described(snapshot: v1::Snapshot) -> Option<Snapshot> {
    (!snapshot.snapshot_id.is_empty()).then(|| Snapshot {
        handle: snapshot.snapshot_id,
        creation_time: snapshot.creation_time.and_then(moment),
        size_bytes: snapshot.size_bytes,
        ready: snapshot.ready_to_use,
        group_handle: snapshot.group_snapshot_id,
        volume_handle: snapshot.source_volume_id,
        members: Vec::new(),
    })
}

fn moment(time: prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}
