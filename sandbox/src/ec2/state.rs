//! The region: all that exists in it, and what each action does to it. Synchronous and without I/O.

use std::collections::{BTreeMap, BTreeSet};

use base::Random;
use jiff::Timestamp;

use super::actions;
use super::errors::Ec2Error;
use super::model::instance::{ClusterNode, Instance};
use super::model::snapshot::Snapshot;
use super::model::volume::Volume;
use super::options::Ec2Options;
use super::query::Form;
use super::xml::Xml;

/// What an action answers.
pub(super) type Answer = Result<Xml, Ec2Error>;

/// All that exists, by ID.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) snapshots: BTreeMap<String, Snapshot>,
    /// Deleted, but still shown.
    pub(super) deleted_snapshots: BTreeMap<String, Snapshot>,
    pub(super) instances: BTreeMap<String, Instance>,
    /// Nodes of HyperPod by the IDs of their instances.
    pub(super) cluster_nodes: BTreeMap<String, ClusterNode>,
    /// By client token.
    pub(super) tokens: BTreeMap<String, Token>,
    /// The volumes that time may change: others need not be looked at.
    unsettled: BTreeSet<String>,
}

/// What a client token was used for.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// Action and parameters.
    pub(super) fingerprint: String,
    pub(super) volume_id: String,
    pub(super) used_at: Timestamp,
}

/// What an action may know beside its parameters.
pub(super) struct Call<'a> {
    pub(super) now: Timestamp,
    pub(super) options: &'a Ec2Options,
    pub(super) random: &'a Random,
    /// What is begun here fails later.
    pub(super) fails_later: bool,
}

impl Call<'_> {
    /// A new ID: the prefix and 17 hexadecimal digits.
    pub(super) fn new_id(&self, prefix: &str) -> String {
        format!("{prefix}-{:017x}", self.random.next_u64())
    }

    /// Ends a rehearsal, once the request was found sound.
    pub(super) fn rehearsal(&self, dry_run: bool) -> Result<(), Ec2Error> {
        if dry_run { Err(Ec2Error::dry_run()) } else { Ok(()) }
    }
}

impl State {
    /// Carries out one action at one moment.
    ///
    /// # Errors
    /// What EC2 answers for it; then nothing has changed.
    pub(super) fn apply(&mut self, action: &str, form: Form, call: &Call<'_>) -> Answer {
        self.settle(call);
        let act = match action {
            "AttachClusterNodeVolume" => actions::cluster_nodes::attach,
            "AttachVolume" => actions::attachments::attach,
            "CopyVolumes" => actions::create_volume::copy,
            "CreateSnapshot" => actions::snapshots::create,
            "CreateSnapshots" => actions::snapshot_sets::create,
            "CreateTags" => actions::tags::create,
            "CreateVolume" => actions::create_volume::create,
            "DeleteSnapshot" => actions::snapshots::delete,
            "DeleteTags" => actions::tags::delete,
            "DeleteVolume" => actions::volumes::delete,
            "DescribeAvailabilityZones" => actions::zones::describe,
            "DescribeFastSnapshotRestores" => actions::fast_restores::describe,
            "DescribeInstances" => actions::instances::describe,
            "DescribeInstanceTypes" => actions::instances::describe_types,
            "DescribeLockedSnapshots" => actions::locks::describe,
            "DescribeSnapshots" => actions::snapshots::describe,
            "DescribeTags" => actions::tags::describe,
            "DescribeVolumes" => actions::volumes::describe,
            "DescribeVolumesModifications" => actions::modifications::describe,
            "DescribeVolumeStatus" => actions::volume_status::describe,
            "DetachClusterNodeVolume" => actions::cluster_nodes::detach,
            "DetachVolume" => actions::attachments::detach,
            "EnableFastSnapshotRestores" => actions::fast_restores::enable,
            "LockSnapshot" => actions::locks::lock,
            "ModifyVolume" => actions::modifications::modify,
            _ => {
                return Err(Ec2Error::new(
                    "InvalidAction",
                    format!("The action {action} is not valid for this web service."),
                ));
            }
        };
        act(self, form, call)
    }

    /// Writes down what time has brought.
    pub(super) fn settle(&mut self, call: &Call<'_>) {
        let now = call.now;
        let volumes = &mut self.volumes;
        self.unsettled.retain(|id| {
            let Some(volume) = volumes.get_mut(id) else {
                return false;
            };
            if volume.deleted_until.is_some_and(|until| now >= until) {
                volumes.remove(id);
                return false;
            }
            volume.settle(now);
            !volume.is_settled()
        });
        self.deleted_snapshots.retain(|_, snapshot| snapshot.seen(now));
        let lifetime = call.options.rules.client_token_lifetime;
        self.tokens
            .retain(|_, token| now < super::model::after(token.used_at, lifetime));
    }

    /// A volume that an action is to change.
    ///
    /// # Errors
    /// `InvalidParameterValue` for what is no volume ID, `InvalidVolume.NotFound`.
    pub(super) fn volume_mut(&mut self, id: &str) -> Result<&mut Volume, Ec2Error> {
        check_id("volumeId", "vol-", id)?;
        let volume = self
            .volumes
            .get_mut(id)
            .filter(|volume| volume.deleted_until.is_none())
            .ok_or_else(|| Ec2Error::no_volume(id))?;
        self.unsettled.insert(id.to_owned());
        Ok(volume)
    }

    /// A snapshot of the account that an action is to change.
    ///
    /// # Errors
    /// `InvalidParameterValue` for what is no snapshot ID, `InvalidSnapshot.NotFound`.
    pub(super) fn own_snapshot_mut(&mut self, id: &str, call: &Call<'_>) -> Result<&mut Snapshot, Ec2Error> {
        check_id("snapshotId", "snap-", id)?;
        let lag = call.options.lag.change;
        self.snapshots
            .get_mut(id)
            .filter(|snapshot| snapshot.owner_id == call.options.account_id)
            .filter(|snapshot| call.now >= super::model::after(snapshot.started_at, lag))
            .ok_or_else(|| Ec2Error::no_snapshot(id))
    }
}

/// Refuses an ID of the wrong kind.
pub(super) fn check_id(parameter: &str, prefix: &str, id: &str) -> Result<(), Ec2Error> {
    if id.starts_with(prefix) {
        return Ok(());
    }
    Err(Ec2Error::invalid_value(
        parameter,
        id,
        &format!("Expected: '{prefix}...'."),
    ))
}

/// Refuses a list in which an ID is of the wrong kind or unknown; names all the unknown ones.
pub(super) fn check_ids(
    ids: &[String],
    (parameter, prefix): (&str, &str),
    (code, kind): (&str, &str),
    known: impl Fn(&str) -> bool,
) -> Result<(), Ec2Error> {
    for id in ids {
        check_id(parameter, prefix, id)?;
    }
    let mut unknown: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !known(id)).collect();
    unknown.dedup();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Ec2Error::not_found(code, kind, &unknown))
}
