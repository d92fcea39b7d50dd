//! The EC2 side of a CreateVolume: create or copy, resolve a used token, wait.

use tokio::time::Instant;
use tonic::Status;

use super::ask::{Ask, Source};
use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::codes::{Meaning, Purpose};
use crate::ec2::errors::Ec2Error;
use crate::ec2::types::{NewVolume, Selection, Volume, VolumeCopy};
use crate::iops::{self, BelowMinimum};
use crate::names::TAG_VOLUME_NAME;
use crate::rpc::expand_volume::ceiling;
use crate::topology::Place;
use crate::volume::{
    Existing, Readiness, Wanted, copy_encryption, existing, readiness, ready_pauses, serving,
};
use crate::waits::Interrupted;

/// So many tokens are tried in one call.
const TOKENS: u32 = 5;

/// A request to EC2 that a used token may be given up for.
enum Request {
    New(NewVolume),
    Copy(VolumeCopy),
}

pub(super) async fn create(core: &Core, ask: &Ask, deadline: Deadline) -> Result<Volume, Status> {
    let source = source(core, ask, deadline).await?;
    let place = place(core, ask, source.as_ref(), deadline).await?;
    let iops = fitted_iops(core, ask, &place, deadline).await?;
    let wanted = wanted(ask, &place);
    let mut request = match source {
        Some(source) => Request::Copy(copy_of(ask, &source, iops)),
        None => Request::New(new(ask, place, iops)),
    };
    for _ in 0..TOKENS {
        let error = match send(core, &ask.name, &mut request, deadline).await {
            Ok(volume) => return ready(core, ask, volume, deadline).await,
            Err(error) => error,
        };
        let is_mismatch = error.meaning() == Meaning::TokenMismatch;
        if !Purpose::CreateVolume.looks_first(&error) {
            return Err(Purpose::CreateVolume.status(&error));
        }
        match resolve(core, ask, &wanted, is_mismatch, deadline).await? {
            Existing::Adopt(volume) => return ready(core, ask, *volume, deadline).await,
            Existing::Taken(id) => {
                return Err(Status::already_exists(format!(
                    "volume {id} bears the name {} and is not what is asked for",
                    ask.name
                )));
            }
            Existing::None { .. } if !is_mismatch => return Err(Purpose::CreateVolume.status(&error)),
            Existing::None { failed } => {
                for id in failed {
                    // It is of no use to fail when that does not work: the token is used up.
                    if let Err(error) = delete(core, &id, deadline).await {
                        tracing::warn!(volume = id, "a failed volume could not be deleted: {error}");
                    }
                }
                core.tokens.burn(&ask.name);
            }
        }
    }
    Err(Status::aborted(format!(
        "no unused client token was found for volume {}",
        ask.name
    )))
}

/// The volume that was made under the name before and can serve, once it can be used.
pub(super) async fn made(core: &Core, ask: &Ask, deadline: Deadline) -> Result<Option<Volume>, Status> {
    let found = core.lookups.volumes_by_name.get(&ask.name, deadline).await;
    let found = found.map_err(|error| read(&error))?.unwrap_or_default();
    match serving(&found, &wanted(ask, &ask.requirement.place())) {
        Some(volume) => {
            let volume = volume.clone();
            ready(core, ask, volume, deadline).await.map(Some)
        }
        None => Ok(None),
    }
}

/// The volume to copy, where one is.
async fn source(core: &Core, ask: &Ask, deadline: Deadline) -> Result<Option<Volume>, Status> {
    let Source::Volume(id) = &ask.source else {
        return Ok(None);
    };
    let source = core
        .lookups
        .volumes
        .get(id, deadline)
        .await
        .map_err(|error| read(&error))?
        .ok_or_else(|| Status::not_found(format!("there is no volume {id} to copy")))?;
    if !ask.requirement.allows_copy_at(&source.place) {
        return Err(Status::resource_exhausted(format!(
            "a copy of {id} is made in {}, which the topology does not allow",
            source.place.zone.as_deref().unwrap_or("an unknown zone")
        )));
    }
    Ok(Some(source))
}

/// Where the volume is made; for a copy, where its source is.
async fn place(core: &Core, ask: &Ask, source: Option<&Volume>, deadline: Deadline) -> Result<Place, Status> {
    if let Some(source) = source {
        return Ok(source.place.clone());
    }
    let place = ask.requirement.place();
    if place.zone.is_some() || place.zone_id.is_some() {
        return Ok(place);
    }
    let zones = core
        .ec2
        .describe_zones(deadline)
        .await
        .map_err(|error| read(&error))?;
    let zone = zones
        .into_iter()
        .next()
        .ok_or_else(|| Status::aborted("EC2 names no availability zone"))?;
    Ok(Place {
        zone: Some(zone),
        ..place
    })
}

/// Fits the requested IOPS to the type; EC2 is asked for its ceiling only where IOPS are requested (Q7).
async fn fitted_iops(
    core: &Core,
    ask: &Ask,
    place: &Place,
    deadline: Deadline,
) -> Result<Option<i32>, Status> {
    let Some(requested) = ask.requested_iops else {
        return Ok(None);
    };
    let probe = NewVolume {
        volume_type: ask.volume_type.clone(),
        place: place.clone(),
        tags: ask.tags.clone(),
        ..NewVolume::default()
    };
    let ceiling = ceiling(core.ec2.as_ref(), &core.ceilings, &probe, deadline).await;
    let ceiling = ceiling.map_err(|error| read(&error))?;
    let below = if ask.parameters.raise_iops {
        BelowMinimum::Raise
    } else {
        BelowMinimum::Keep
    };
    let fitted = iops::fitted(requested, ask.size_gib, &ask.volume_type, ceiling, below);
    Ok(Some(i32::try_from(fitted).unwrap_or(i32::MAX)))
}

fn wanted(ask: &Ask, place: &Place) -> Wanted {
    // Where no place was asked for, or a copy is made, any place fits.
    let asked = ask.requirement.place();
    let is_asked = asked.zone.is_some() || asked.zone_id.is_some();
    let (snapshot_id, source_volume_id) = match &ask.source {
        Source::Nothing => (None, None),
        Source::Snapshot(id) => (Some(id.clone()), None),
        Source::Volume(id) => (None, Some(id.clone())),
    };
    Wanted {
        min_gib: ask.size_gib,
        limit_bytes: ask.limit_bytes,
        volume_type: ask.volume_type.clone(),
        must_be_encrypted: ask.is_encrypted(),
        must_be_multi_attach: ask.is_multi_attach,
        place: if is_asked { place.clone() } else { Place::default() },
        snapshot_id,
        source_volume_id,
    }
}

fn copy_of(ask: &Ask, source: &Volume, iops: Option<i32>) -> VolumeCopy {
    let key = ask.parameters.kms_key_id.as_deref();
    let (is_encrypted, key) = copy_encryption(source, ask.is_encrypted(), key);
    VolumeCopy {
        client_token: String::new(),
        source_volume_id: source.id.clone(),
        size_gib: ask.size_gib,
        volume_type: ask.volume_type.clone(),
        is_encrypted,
        kms_key_id: key.map(str::to_owned),
        is_multi_attach: ask.is_multi_attach,
        iops,
        throughput: ask.throughput(),
        tags: ask.tags.clone(),
    }
}

fn new(ask: &Ask, place: Place, iops: Option<i32>) -> NewVolume {
    let snapshot_id = match &ask.source {
        Source::Snapshot(id) => Some(id.clone()),
        _ => None,
    };
    NewVolume {
        client_token: String::new(),
        size_gib: ask.size_gib,
        volume_type: ask.volume_type.clone(),
        is_encrypted: ask.is_encrypted(),
        is_multi_attach: ask.is_multi_attach,
        place,
        kms_key_id: ask.parameters.kms_key_id.clone(),
        initialization_rate: ask
            .parameters
            .initialization_rate
            .filter(|_| snapshot_id.is_some()),
        snapshot_id,
        iops,
        throughput: ask.throughput(),
        tags: ask.tags.clone(),
    }
}

async fn send(
    core: &Core,
    name: &str,
    request: &mut Request,
    deadline: Deadline,
) -> Result<Volume, Ec2Error> {
    let token = core.tokens.current(name);
    match request {
        Request::New(volume) => {
            volume.client_token = token;
            core.ec2.create_volume(volume, deadline).await
        }
        Request::Copy(copy) => {
            copy.client_token = token;
            core.ec2.copy_volume(copy, deadline).await
        }
    }
}

/// Looks for volumes of the name. After a mismatch EC2 knows one that it may not show yet, so that nothing
/// found counts only a consistency delay later.
async fn resolve(
    core: &Core,
    ask: &Ask,
    wanted: &Wanted,
    is_mismatch: bool,
    deadline: Deadline,
) -> Result<Existing, Status> {
    let look = async || Ok::<_, Status>(existing(&by_name(core, ask, deadline).await?, wanted));
    let found = look().await?;
    if !is_mismatch || !matches!(&found, Existing::None { failed } if failed.is_empty()) {
        return Ok(found);
    }
    core.waits
        .pause(core.consistency_delay(), deadline)
        .await
        .map_err(interrupted)?;
    look().await
}

/// The volumes that bear the name.
async fn by_name(core: &Core, ask: &Ask, deadline: Deadline) -> Result<Vec<Volume>, Status> {
    let selection = Selection::Tag {
        key: TAG_VOLUME_NAME,
        values: vec![ask.name.clone()],
    };
    let found = core.ec2.describe_volumes(&selection, deadline).await;
    found.map_err(|error| read(&error))
}

/// Waits until the volume can be used. What is answered, adopted or found is as good as shown: only one that is then not
/// shown for the consistency delay may be gone.
async fn ready(core: &Core, ask: &Ask, created: Volume, deadline: Deadline) -> Result<Volume, Status> {
    let (mut volume, mut last_shown) = (created, Instant::now());
    let mut pauses = ready_pauses();
    loop {
        match readiness(Some(volume.state)) {
            // Not before: one that is still being made cannot be deleted.
            Readiness::Ready if ask.is_encrypted() && !volume.is_encrypted => {
                let why = format!("EC2 did not encrypt volume {} as the class asks", volume.id);
                return Err(given_up(core, ask, &volume.id, &why, deadline).await);
            }
            Readiness::Ready => return Ok(volume),
            Readiness::Failed => {
                let why = format!("EC2 could not make volume {}{}", volume.id, likely_cause(ask));
                return Err(given_up(core, ask, &volume.id, &why, deadline).await);
            }
            Readiness::NotYet => {}
        }
        let Some(pause) = pauses.next() else {
            return Err(Status::aborted(format!(
                "volume {} is not available yet",
                volume.id
            )));
        };
        core.waits.poll(pause, deadline).await.map_err(interrupted)?;
        let shown = core.lookups.volumes.get(&volume.id, deadline).await;
        match shown.map_err(|error| read(&error))? {
            Some(shown) => (volume, last_shown) = (shown, Instant::now()),
            None if last_shown.elapsed() < core.consistency_delay() => {}
            None => {
                check_taken_back(core, ask, &volume.id, deadline).await?;
                last_shown = Instant::now();
            }
        }
    }
}

/// Deletes a volume that will never be of use. Its token is given up only once that is done: else the next attempt could
/// not find it any more, and would make another one beside it.
async fn given_up(core: &Core, ask: &Ask, id: &str, why: &str, deadline: Deadline) -> Status {
    match delete(core, id, deadline).await {
        Ok(()) => {
            core.tokens.burn(&ask.name);
            Status::aborted(format!("{why}; it was deleted, and the next attempt begins anew"))
        }
        Err(error) => Status::aborted(format!("{why}; it could not be deleted yet: {error}")),
    }
}

/// EC2 makes volumes after it has answered, and takes them back without a word where it cannot: such a volume is shown
/// neither by ID nor by name. One that is shown late looks the same, so the token is kept: it brings that one again, and is
/// refused where it was taken back.
async fn check_taken_back(core: &Core, ask: &Ask, id: &str, deadline: Deadline) -> Result<(), Status> {
    let found = by_name(core, ask, deadline).await?;
    if found.iter().any(|volume| volume.id == id) {
        return Ok(());
    }
    Err(Status::aborted(format!(
        "EC2 made volume {id} and took it back, or shows it late{}; it is asked for again",
        likely_cause(ask)
    )))
}

/// Why EC2 does not make a volume that it has accepted, which it tells nobody.
fn likely_cause(ask: &Ask) -> String {
    match &ask.parameters.kms_key_id {
        Some(key) => format!(
            "; most likely the role of the driver may not use the KMS key {key}, or the key is disabled or of another region"
        ),
        None => "; most likely the role of the driver may not use the KMS key by which it, its snapshot or all volumes \
                 of the account are encrypted"
            .to_owned(),
    }
}

async fn delete(core: &Core, id: &str, deadline: Deadline) -> Result<(), Ec2Error> {
    match core.ec2.delete_volume(id, deadline).await {
        Err(error) if !Purpose::DeleteVolume.is_done(&error) => Err(error),
        _ => Ok(()),
    }
}

/// What cannot be looked up says nothing about the volume.
fn read(error: &Ec2Error) -> Status {
    Purpose::CreateVolumeRead.status(error)
}

fn interrupted(error: Interrupted) -> Status {
    Status::aborted(format!("{error}; a volume may be in the making"))
}
