//! ControllerExpandVolume, and the execution of merged changes. Source: spec 1.6, 3.5, Q15-Q18; decisions 21, 23.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Clock;
use csi::v1::{ControllerExpandVolumeRequest, ControllerExpandVolumeResponse};
use futures::FutureExt;
use jiff::Timestamp;
use thiserror::Error;
use tonic::{Code, Status};

use super::{Call, capability, required, status};
use crate::coalesce::{Execute, Window};
use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::Ec2;
use crate::ec2::errors::Ec2Error;
use crate::ec2::lookups::Lookups;
use crate::ec2::types::{Modification, NewVolume, Volume, VolumeChange};
use crate::expand::{self, Change, Progress, RatioNotAllowed, Step};
use crate::iops::{self, BelowMinimum, Ceiling, CeilingKey, Ceilings};
use crate::names::{NODE_LOCAL_PREFIX, TAG_MANAGED, TAG_VOLUME_NAME};
use crate::size;
use crate::waiting::{Reason, Waiting};
use crate::waits::{Interrupted, Waits};

/// How long one EC2 call of an execution may be repeated.
const EC2_CALL: Duration = Duration::from_secs(15);
/// An execution that has to wait longer than its callers ends so much before them, so that they get its answer.
const MARGIN: Duration = Duration::from_millis(100);

/// EC2's code for too many modifications of a volume.
const RATE_EXCEEDED: &str = "VolumeModificationRateExceeded";

/// The size in GiB after an execution, or why there is none.
pub(crate) type Expansion = Result<i64, ExpandError>;

/// What came of a merged change, for those that asked for a size and for those that asked for anything else. They differ
/// only where EC2 refuses one of the two for what it asks.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(super) size: Expansion,
    pub(super) attributes: Expansion,
}

/// Why a volume was not changed.
#[derive(Clone, Debug, Error)]
pub(crate) enum ExpandError {
    #[error("there is no volume {0}")]
    NotFound(String),
    #[error(transparent)]
    Ec2(#[from] Ec2Error),
    #[error(transparent)]
    Ratio(#[from] RatioNotAllowed),
    #[error("the last modification of volume {0} is still optimizing; EC2 allows the next one after that")]
    Optimizing(String),
    #[error("EC2 refuses a further modification until {until}: {message}")]
    RefusedUntil {
        until: Timestamp,
        wait: Duration,
        message: String,
    },
    #[error("EC2 could not modify volume {id}: {reason}")]
    Failed { id: String, reason: String },
    #[error("volume {0} is still being modified by an earlier request; it does not have what is asked yet")]
    Earlier(String),
    #[error("volume {0} is still being modified")]
    StillModifying(String),
    #[error("volume {id} is being modified, but EC2 cannot be asked how far it is: {error}")]
    Unseen { id: String, error: Ec2Error },
    #[error("{0}; the volume may still be modified")]
    Interrupted(#[from] Interrupted),
}

impl From<ExpandError> for Status {
    fn from(error: ExpandError) -> Self {
        let message = error.to_string();
        match error {
            ExpandError::NotFound(_) => Self::not_found(message),
            ExpandError::Ec2(error) => status::change_volume(&error),
            ExpandError::Ratio(_) => Self::invalid_argument(message),
            ExpandError::RefusedUntil { wait, .. } => {
                csi::retry::status_with_delay(Code::Internal, message, wait)
            }
            ExpandError::Optimizing(_) | ExpandError::Failed { .. } | ExpandError::Earlier(_) => {
                Self::internal(message)
            }
            ExpandError::StillModifying(_) | ExpandError::Unseen { .. } | ExpandError::Interrupted(_) => {
                Self::unavailable(message)
            }
        }
    }
}

impl ExpandError {
    /// Whether what is asked for is at fault.
    fn is_of_request(&self) -> bool {
        Status::from(self.clone()).code() == Code::InvalidArgument
    }
}

/// What EC2 waits for before it allows the change, where that is why it was refused.
fn waits_for(error: &ExpandError) -> Option<Reason> {
    match error {
        ExpandError::Optimizing(_) => Some(Reason::Optimizing),
        ExpandError::RefusedUntil { .. } => Some(Reason::RateExceeded),
        ExpandError::Ec2(error) if error.code() == Some(RATE_EXCEEDED) => Some(Reason::RateExceeded),
        _ => None,
    }
}

pub(super) async fn call(
    core: &Core,
    request: &ControllerExpandVolumeRequest,
    call: Call,
) -> Result<ControllerExpandVolumeResponse, Status> {
    let id = required(&request.volume_id, "volume_id")?;
    if id.starts_with(NODE_LOCAL_PREFIX) {
        return Err(Status::invalid_argument("a node-local volume cannot be expanded"));
    }
    let range = request
        .capacity_range
        .as_ref()
        .ok_or_else(|| Status::invalid_argument("capacity_range is missing"))?;
    let change = Change {
        size_gib: Some(size::required_gib(range.required_bytes, range.limit_bytes).map_err(status::bad)?),
        ..Change::default()
    };
    let gib = changed(core, id, change, call).await?.size?;
    let is_block = request
        .volume_capability
        .as_ref()
        .is_some_and(capability::is_block);
    Ok(ControllerExpandVolumeResponse {
        capacity_bytes: size::bytes(gib),
        node_expansion_required: !is_block,
    })
}

/// Merges a change with others of its volume and waits for what comes of it.
pub(super) async fn changed(core: &Core, id: &str, change: Change, call: Call) -> Result<Changed, Status> {
    let window = if call.is_single_change {
        Window::Close
    } else {
        Window::Wait
    };
    let execution = core
        .changes
        .change(id, change, window, call.deadline.sooner(MARGIN));
    call.deadline
        .limit(execution)
        .await
        .ok_or_else(|| Status::unavailable(format!("no answer in time; volume {id} may still be modified")))?
        .map_err(|conflict| Status::aborted(conflict.to_string()))
}

/// Executes merged changes.
pub(crate) struct Expander {
    ec2: Arc<dyn Ec2>,
    lookups: Lookups,
    ceilings: Arc<Ceilings>,
    waits: Waits,
    clock: Clock,
    /// Until when EC2 refuses further modifications, where that is known.
    refused: Mutex<BTreeMap<String, (Timestamp, String)>>,
    /// When modifications of a volume were begun here in the last day.
    begun: Mutex<BTreeMap<String, Vec<Timestamp>>>,
}

impl Expander {
    pub(crate) fn new(
        ec2: Arc<dyn Ec2>,
        lookups: Lookups,
        ceilings: Arc<Ceilings>,
        waits: Waits,
        clock: Clock,
    ) -> Self {
        Self {
            ec2,
            lookups,
            ceilings,
            waits,
            clock,
            refused: Mutex::default(),
            begun: Mutex::default(),
        }
    }

    /// The work of the coalescer.
    pub(crate) fn execute(self, waiting: Waiting) -> Execute<Changed> {
        let this = Arc::new(self);
        Arc::new(move |id, change, deadline| {
            let (this, waiting) = (this.clone(), waiting.clone());
            async move {
                let changed = this.run(&id, &change, deadline).await;
                let failed = [&changed.size, &changed.attributes].into_iter();
                let reason = failed
                    .filter_map(|outcome| outcome.as_ref().err())
                    .find_map(waits_for);
                waiting.note(&id, reason);
                changed
            }
            .boxed()
        })
    }

    /// A class that EC2 refuses holds no growth up, nor the other way round: then each is asked for by itself.
    async fn run(&self, id: &str, change: &Change, deadline: Deadline) -> Changed {
        let outcome = self.attempt(id, change.clone(), deadline).await;
        let refused = outcome.as_ref().err().is_some_and(ExpandError::is_of_request);
        if !refused || !change.is_mixed() {
            return Changed {
                size: outcome.clone(),
                attributes: outcome,
            };
        }
        let size = self.attempt(id, change.only_size(), deadline).await;
        let attributes = if size.is_ok() {
            outcome
        } else {
            self.attempt(id, change.without_size(), deadline).await
        };
        Changed { size, attributes }
    }

    async fn attempt(&self, id: &str, asked: Change, deadline: Deadline) -> Expansion {
        if asked.is_of_tags_only() {
            // Nobody reads the size.
            self.tag(id, &asked, deadline).await?;
            return Ok(0);
        }
        // In this order: what a modification has brought by the time it is looked at, the volume has after that.
        let modification = self.lookups.modifications.get(id, one_call(deadline)).await?;
        let (mut volume, mut change) = self.look(id, &asked, deadline).await?;
        if expand::is_behind(&volume, modification.as_ref(), &change) {
            (volume, change) = self.look(id, &asked, deadline).await?;
        }
        let step = expand::plan(&volume, modification.as_ref(), &change);
        // Tags change only with what they belong to: first what needs no call is refused.
        match &step {
            Step::Optimizing => return Err(ExpandError::Optimizing(id.to_owned())),
            Step::Modify(_) => self.check_refusal(id)?,
            Step::Done | Step::Wait => {}
        }
        self.tag(id, &change, deadline).await?;
        match step {
            Step::Done | Step::Optimizing => Ok(volume.size_gib),
            Step::Wait => {
                let volume = self.wait(&volume, None).await?;
                if expand::is_met(&volume, &change) {
                    Ok(volume.size_gib)
                } else {
                    Err(ExpandError::Earlier(id.to_owned()))
                }
            }
            Step::Modify(wanted) => self.modify(&volume, &wanted, deadline).await,
        }
    }

    /// The volume, and the change with the IOPS to ask for.
    async fn look(
        &self,
        id: &str,
        asked: &Change,
        deadline: Deadline,
    ) -> Result<(Volume, Change), ExpandError> {
        let volume = self.lookups.volumes.get(id, one_call(deadline)).await?;
        let volume = volume.ok_or_else(|| ExpandError::NotFound(id.to_owned()))?;
        let change = self.with_iops(&volume, asked.clone(), deadline).await?;
        Ok((volume, change))
    }

    /// Removes and sets the tags that are asked for.
    async fn tag(&self, id: &str, change: &Change, deadline: Deadline) -> Result<(), Ec2Error> {
        let (set, removed) = (&change.tags.set, &change.tags.removed);
        if !removed.is_empty() {
            self.ec2.delete_tags(id, removed, one_call(deadline)).await?;
        }
        if !set.is_empty() {
            self.ec2.create_tags(id, set, one_call(deadline)).await?;
        }
        Ok(())
    }

    async fn modify(&self, volume: &Volume, wanted: &VolumeChange, deadline: Deadline) -> Expansion {
        // Its turn may be some time away: whoever waits decides how long.
        let limit = match deadline {
            Deadline::NONE => one_call(deadline),
            deadline => deadline,
        };
        let answer = self.ec2.modify_volume(wanted, limit).await;
        let begun = answer.map_err(|error| self.refusal(&volume.id, error))?;
        self.remember_begun(&volume.id);
        let volume = match self.judge(volume, Some(&begun), None)? {
            Some(volume) => volume,
            None => self.wait(volume, begun.started).await?,
        };
        Ok(volume.size_gib)
    }

    /// Polls the modification of a volume, that which began then, until it is in effect: the volume as it is then.
    async fn wait(&self, volume: &Volume, begun: Option<Timestamp>) -> Result<Volume, ExpandError> {
        for pause in expand::modification_pauses() {
            self.waits.poll(pause, Deadline::NONE).await?;
            let modification = self
                .lookups
                .modifications
                .get(&volume.id, Deadline::within(EC2_CALL))
                .await
                .map_err(|error| ExpandError::Unseen {
                    id: volume.id.clone(),
                    error,
                })?;
            if let Some(volume) = self.judge(volume, modification.as_ref(), begun)? {
                return Ok(volume);
            }
        }
        Err(ExpandError::StillModifying(volume.id.clone()))
    }

    #[expect(clippy::unused_self, reason = "reads as a step of the execution")]
    fn judge(
        &self,
        volume: &Volume,
        modification: Option<&Modification>,
        begun: Option<Timestamp>,
    ) -> Result<Option<Volume>, ExpandError> {
        match (expand::progress(modification, begun), modification) {
            (Progress::InEffect, Some(modification)) => Ok(Some(expand::after(volume, modification))),
            (Progress::Failed(reason), _) => Err(ExpandError::Failed {
                id: volume.id.clone(),
                reason,
            }),
            _ => Ok(None),
        }
    }

    /// The change with the IOPS to ask for, fitted to the type; EC2 is asked for its ceiling only where any are asked for.
    async fn with_iops(
        &self,
        volume: &Volume,
        change: Change,
        deadline: Deadline,
    ) -> Result<Change, ExpandError> {
        let Some(requested) = expand::requested_iops(volume, &change)? else {
            return Ok(change);
        };
        let volume_type = change.volume_type.as_deref().unwrap_or(&volume.volume_type);
        let probe = NewVolume {
            volume_type: volume_type.to_owned(),
            place: volume.place.clone(),
            // The volume may have none that a policy asks for, and some that nobody may set.
            tags: [(TAG_VOLUME_NAME, "IopsLimitDryRun"), (TAG_MANAGED, "true")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..NewVolume::default()
        };
        let ceiling = ceiling(self.ec2.as_ref(), &self.ceilings, &probe, one_call(deadline)).await?;
        let size_gib = change.size_gib.unwrap_or_default().max(volume.size_gib);
        let below = BelowMinimum::Raise;
        let fitted = iops::fitted(requested.iops, size_gib, volume_type, ceiling, below);
        let is_same_type = volume_type.eq_ignore_ascii_case(&volume.volume_type);
        let is_supposed = ceiling == Ceiling::Fallback && is_same_type;
        Ok(Change {
            iops: Some(expand::settled_iops(volume, requested, fitted, is_supposed)),
            ..change
        })
    }

    fn remember_begun(&self, id: &str) {
        let now = self.clock.now();
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.retain(|_, times| expand::keep_counted(times, now));
        begun.entry(id.to_owned()).or_default().push(now);
    }

    /// Refuses while a date that is known has not come.
    fn check_refusal(&self, id: &str) -> Result<(), ExpandError> {
        let now = self.clock.now();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, (until, _)| *until > now);
        match refused.get(id) {
            Some((until, message)) => Err(refused_until(*until, now, message.clone())),
            None => Ok(()),
        }
    }

    /// An error of ModifyVolume, with the date that it names, else with that at which the oldest of those begun here no
    /// longer counts.
    fn refusal(&self, id: &str, error: Ec2Error) -> ExpandError {
        let now = self.clock.now();
        let own = || {
            let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            expand::free_again(begun.get(id).map(Vec::as_slice).unwrap_or_default())
        };
        let until = (error.code() == Some(RATE_EXCEEDED))
            .then(|| expand::refused_until(error.message()).or_else(own))
            .flatten()
            .filter(|until| *until > now);
        let Some(until) = until else {
            return error.into();
        };
        let message = error.to_string();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(id.to_owned(), (until, message.clone()));
        refused_until(until, now, message)
    }
}

/// The limit of one call of EC2.
fn one_call(deadline: Deadline) -> Deadline {
    deadline.earlier(Deadline::within(EC2_CALL))
}

fn refused_until(until: Timestamp, now: Timestamp, message: String) -> ExpandError {
    ExpandError::RefusedUntil {
        until,
        wait: until.duration_since(now).try_into().unwrap_or_default(),
        message,
    }
}

/// The most IOPS that EC2 allows for such a volume: as remembered, or asked for by a dry run.
///
/// # Errors
/// When EC2 gave no answer to go by: what the driver itself supposes may be far less than the volume has.
pub(super) async fn ceiling(
    ec2: &dyn Ec2,
    ceilings: &Ceilings,
    probe: &NewVolume,
    deadline: Deadline,
) -> Result<Ceiling, Ec2Error> {
    let key = CeilingKey {
        volume_type: probe.volume_type.to_lowercase(),
        zone: probe.place.zone.clone(),
        zone_id: probe.place.zone_id.clone(),
        outpost_arn: probe.place.outpost_arn.clone(),
    };
    if let Some(known) = ceilings.get(&key) {
        return Ok(known);
    }
    let ceiling = match ec2.probe_iops(probe, deadline).await {
        Ok(()) => Ceiling::Fallback,
        Err(error) if error.meaning().is_transient() => return Err(error),
        Err(error) => iops::ceiling_from_refusal(error.message()),
    };
    ceilings.put(key, ceiling);
    Ok(ceiling)
}
