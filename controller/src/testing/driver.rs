//! A CSI driver in memory whose answers are scripted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use csi::v1::controller_server::ControllerServer;
use csi::v1::controller_service_capability::rpc;
use csi::v1::group_controller_server::GroupControllerServer;
use csi::v1::identity_server::IdentityServer;
use csi::v1::node_server::NodeServer;
use csi::v1::{
    ControllerExpandVolumeRequest, ControllerModifyVolumeRequest, CreateSnapshotRequest,
    DeleteSnapshotRequest, Snapshot,
};
use tokio::time::Instant;
use tonic::Status;
use tonic::service::Routes;

use super::attaching::Attaching;
use super::group::Groups;
use super::volumes::Volumes;

/// A driver that makes, expands and changes volumes and takes snapshots. Clones are the same driver.
#[derive(Clone)]
pub struct Driver {
    state: Arc<Mutex<DriverState>>,
}

/// What the driver holds, how it behaves, and what it was asked.
pub struct DriverState {
    /// Its name.
    pub name: String,
    /// What its controller says that it can do.
    pub capabilities: Vec<rpc::Type>,
    /// Whether it says that it has a controller.
    pub serves_controller: bool,
    /// Whether its nodes say that they grow volumes; none where Node is not served here.
    pub nodes_expand: Option<bool>,
    /// Answers to the next Probe calls; ready without one.
    pub probe: VecDeque<Result<bool, Status>>,

    /// Calls since the start, but Identity's: seconds, and the name with its main argument.
    pub calls: Vec<(u64, String)>,
    /// What was asked for by CreateSnapshot.
    pub created: Vec<CreateSnapshotRequest>,
    /// What was asked for by DeleteSnapshot.
    pub deleted: Vec<DeleteSnapshotRequest>,
    /// What was asked for by ControllerExpandVolume.
    pub expanded: Vec<ControllerExpandVolumeRequest>,
    /// What was asked for by ControllerModifyVolume.
    pub modified: Vec<ControllerModifyVolumeRequest>,
    /// The last expansion or change came with the word that nothing else is pending.
    pub single_change: bool,

    /// Answers to the next CreateSnapshot calls; `None` means "as usual".
    pub create: VecDeque<Option<Answer>>,
    /// Refusals of the next DeleteSnapshot calls.
    pub delete: VecDeque<Option<Status>>,
    /// Answers to the next ControllerExpandVolume calls.
    pub expand: VecDeque<Option<Answer>>,
    /// Refusals of the next ControllerModifyVolume calls.
    pub modify: VecDeque<Option<Status>>,

    /// Attachments.
    pub attaching: Attaching,
    /// Volumes.
    pub volumes: Volumes,
    /// Groups of snapshots.
    pub groups: Groups,
    /// Snapshots by handle.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Handles by name: CreateSnapshot is repeatable.
    names: BTreeMap<String, String>,
    taken: BTreeMap<String, Instant>,
    /// Snapshots are ready this long after they were taken.
    pub ready_after: Duration,

    /// Whether kubelet has to finish an expansion.
    pub node_stage: bool,
    /// How long an expansion takes.
    pub takes: Duration,
    /// How long a change takes.
    pub modify_takes: Duration,
    /// Expansions at this moment.
    pub(super) running: usize,
    /// The most expansions at one moment.
    pub most_running: usize,
    started: Instant,
}

/// A scripted answer.
pub enum Answer {
    /// Nothing is done.
    Refuse(Status),
    /// The snapshot is taken and the caller does not learn it.
    TakeAndFail(Status),
    /// OK without a snapshot.
    Empty,
    /// Another snapshot than before.
    Other(String),
    /// The answer comes after this time.
    After(Duration),
    /// The volume has this capacity in bytes.
    Capacity(i64),
}

impl Driver {
    /// A driver of this name that can do this.
    #[must_use]
    pub fn new(name: &str, capabilities: &[rpc::Type]) -> Self {
        let state = DriverState {
            name: name.to_owned(),
            capabilities: capabilities.to_vec(),
            serves_controller: true,
            nodes_expand: None,
            probe: VecDeque::new(),
            calls: Vec::new(),
            created: Vec::new(),
            deleted: Vec::new(),
            expanded: Vec::new(),
            modified: Vec::new(),
            single_change: false,
            create: VecDeque::new(),
            delete: VecDeque::new(),
            expand: VecDeque::new(),
            modify: VecDeque::new(),
            attaching: Attaching::default(),
            volumes: Volumes::default(),
            groups: Groups::default(),
            snapshots: BTreeMap::new(),
            names: BTreeMap::new(),
            taken: BTreeMap::new(),
            ready_after: Duration::ZERO,
            node_stage: true,
            takes: Duration::ZERO,
            modify_takes: Duration::ZERO,
            running: 0,
            most_running: 0,
            started: Instant::now(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// All of it, to script and to look at.
    pub fn state(&self) -> MutexGuard<'_, DriverState> {
        self.state.lock().unwrap()
    }

    /// Its services.
    #[must_use]
    pub fn routes(&self) -> Routes {
        Routes::new(IdentityServer::new(self.clone()))
            .add_service(ControllerServer::new(self.clone()))
            .add_service(GroupControllerServer::new(self.clone()))
            .add_service(NodeServer::new(self.clone()))
    }

    /// The calls of one RPC: seconds since the start.
    #[must_use]
    pub fn times(&self, rpc: &str) -> Vec<u64> {
        let state = self.state();
        let of_rpc = |(_, call): &&(u64, String)| call.split(' ').next() == Some(rpc);
        state.calls.iter().filter(of_rpc).map(|(at, _)| *at).collect()
    }

    /// How many calls of one RPC there were.
    #[must_use]
    pub fn count(&self, rpc: &str) -> usize {
        self.times(rpc).len()
    }

    /// The sizes asked for by expansions, in GiB.
    #[must_use]
    pub fn asked(&self) -> Vec<i64> {
        let gibibytes = |request: &ControllerExpandVolumeRequest| bytes_of(request) >> 30;
        self.state().expanded.iter().map(gibibytes).collect()
    }

    /// The parameter of this name of each change.
    #[must_use]
    pub fn changed(&self, parameter: &str) -> Vec<String> {
        let state = self.state();
        let value = |request: &ControllerModifyVolumeRequest| {
            request
                .mutable_parameters
                .get(parameter)
                .cloned()
                .unwrap_or_default()
        };
        state.modified.iter().map(value).collect()
    }

    /// Refuses so many of the next changes.
    pub fn refuse_changes(&self, status: &Status, times: usize) {
        let refusals = std::iter::repeat_with(|| Some(status.clone()));
        self.state().modify.extend(refusals.take(times));
    }

    /// Refuses so many of the next expansions.
    pub fn refuse(&self, status: &Status, times: usize) {
        let refusals = std::iter::repeat_with(|| Some(Answer::Refuse(status.clone())));
        self.state().expand.extend(refusals.take(times));
    }
}

impl DriverState {
    pub(super) fn note(&mut self, call: String) {
        let at = self.started.elapsed().as_secs();
        self.calls.push((at, call));
    }

    /// A snapshot that is there without a call.
    pub fn add(&mut self, handle: &str, volume: &str, size_bytes: i64) {
        let snapshot = Snapshot {
            snapshot_id: handle.into(),
            source_volume_id: volume.into(),
            size_bytes,
            creation_time: Some(prost_types::Timestamp {
                seconds: 100,
                nanos: 0,
            }),
            ..Snapshot::default()
        };
        self.snapshots.insert(handle.into(), snapshot);
        self.taken.insert(handle.into(), Instant::now());
    }

    /// The snapshot of this name, taken now if there is none.
    pub(super) fn take(&mut self, request: &CreateSnapshotRequest) -> Option<Snapshot> {
        if !self.names.contains_key(&request.name) {
            let handle = format!("snap-{}", self.names.len() + 1);
            self.add(&handle, &request.source_volume_id, 5 << 30);
            self.names.insert(request.name.clone(), handle);
        }
        self.described(&self.names[&request.name])
    }

    /// The snapshot as it is now.
    pub(super) fn described(&self, handle: &str) -> Option<Snapshot> {
        let ready_to_use = self.taken.get(handle)?.elapsed() >= self.ready_after;
        let snapshot = self.snapshots.get(handle)?.clone();
        Some(Snapshot {
            ready_to_use,
            ..snapshot
        })
    }
}

/// The bytes that an expansion asks for.
pub(super) fn bytes_of(request: &ControllerExpandVolumeRequest) -> i64 {
    request.capacity_range.as_ref().unwrap().required_bytes
}
