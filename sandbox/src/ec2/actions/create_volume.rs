//! CreateVolume and CopyVolumes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::disk::Disk;
use super::super::errors::Ec2Error;
use super::super::limits::{self, TypeLimits};
use super::super::model::after;
use super::super::model::volume::{Shape, Volume};
use super::super::options::Zone;
use super::super::query::Form;
use super::super::state::{Answer, Call, State, Token, check_id};
use super::super::tags::{Tags, take_specification};
use super::super::xml::Xml;
use super::placement::{Encrypted, Encryption, Placement, Source};

const LONGEST_TOKEN: usize = 64;
const INITIALIZATION_RATES: std::ops::RangeInclusive<u32> = 100..=300;

/// What both actions have in common.
struct Wish {
    token: Option<String>,
    fingerprint: String,
    dry_run: bool,
    size_gib: Option<u32>,
    volume_type: Option<String>,
    iops: Option<u32>,
    throughput: Option<u32>,
    multi_attach: bool,
    encryption: Encryption,
    tags: BTreeMap<String, String>,
}

/// Where a new volume comes from and goes to.
struct Origin {
    zone: Zone,
    outpost_arn: Option<String>,
    encrypted: Encrypted,
    snapshot_id: Option<String>,
    source_volume_id: Option<String>,
    initialization_rate: Option<u32>,
    disk: Disk,
}

/// Carries out CreateVolume.
pub(in crate::ec2) fn create(state: &mut State, form: Form, call: &Call<'_>) -> Answer {
    let volume = created(state, form, call)?;
    let mut xml = Xml::new();
    volume.write(&mut xml, call.now);
    Ok(xml)
}

/// The volume that CreateVolume makes, or has made when its client token was used before.
pub(in crate::ec2) fn created<'a>(
    state: &'a mut State,
    mut form: Form,
    call: &Call<'_>,
) -> Result<&'a Volume, Ec2Error> {
    let wish = Wish::take("CreateVolume", &mut form)?;
    let placement = Placement::take(&mut form);
    let snapshot_id = form.text("SnapshotId").filter(|id| !id.is_empty());
    let rate = form.count("VolumeInitializationRate")?;
    form.text("Operator.Principal");
    form.finish()?;
    if let Some(id) = wish.repeated(state)? {
        return state.volumes.get(&id).ok_or_else(|| Ec2Error::no_volume(&id));
    }
    let zone = placement.zone(call)?;
    let source = source_snapshot(state, snapshot_id.as_deref(), call)?;
    check_rate(rate, snapshot_id.is_some())?;
    let shape = wish.shape(limits::DEFAULT_TYPE, source.as_ref())?;
    let encrypted = wish.encryption.of(source.as_ref(), call)?;
    let snapshot = snapshot_id.as_ref().and_then(|id| state.snapshots.get(id));
    let disk = snapshot.map(|snapshot| snapshot.disk.clone()).unwrap_or_default();
    let origin = Origin {
        zone,
        outpost_arn: placement.outpost_arn,
        encrypted,
        snapshot_id,
        source_volume_id: None,
        initialization_rate: rate,
        disk,
    };
    wish.make(state, shape, origin, call)
}

/// Carries out CopyVolumes.
pub(in crate::ec2) fn copy(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let wish = Wish::take("CopyVolumes", &mut form)?;
    let source_id = form.required("SourceVolumeId")?;
    form.finish()?;
    let list = |volume: &Volume| {
        let mut xml = Xml::new();
        xml.list("volumeSet", [volume], |xml, volume| volume.write(xml, call.now));
        xml
    };
    if let Some(id) = wish.repeated(state)? {
        return state
            .volumes
            .get(&id)
            .map(list)
            .ok_or_else(|| Ec2Error::no_volume(&id));
    }
    let source = state.volume_mut(&source_id)?.clone();
    if !source.usable(call.now) {
        return Err(Ec2Error::state(format!(
            "The volume '{source_id}' is in the state '{}' and cannot be copied.",
            source.status(call.now)
        )));
    }
    // Unlike CreateVolume, which keeps the key of a snapshot: a copy that is to be encrypted gets the default key, unless one is
    // named.
    let is_asked_for = wish.encryption.is_asked_for();
    let filled_from = Source {
        size_gib: source.shape.size_gib,
        encrypted: source.encrypted,
        kms_key_id: source.kms_key_id.filter(|_| !is_asked_for),
    };
    let shape = wish.shape(source.shape.limits.name, Some(&filled_from))?;
    let encrypted = wish.encryption.of(Some(&filled_from), call)?;
    let origin = Origin {
        zone: source.zone,
        outpost_arn: source.outpost_arn,
        encrypted,
        snapshot_id: None,
        source_volume_id: Some(source_id),
        initialization_rate: None,
        disk: source.disk,
    };
    wish.make(state, shape, origin, call).map(list)
}

fn source_snapshot(state: &State, id: Option<&str>, call: &Call<'_>) -> Result<Option<Source>, Ec2Error> {
    let Some(id) = id else {
        return Ok(None);
    };
    check_id("snapshotId", "snap-", id)?;
    let snapshot = state
        .snapshots
        .get(id)
        .filter(|snapshot| snapshot.public || snapshot.owner_id == call.options.account_id)
        .ok_or_else(|| Ec2Error::no_snapshot(id))?;
    let status = snapshot.status(call.now);
    if status != "completed" {
        return Err(Ec2Error::state(format!(
            "Snapshot is in invalid state - {status}"
        )));
    }
    Ok(Some(Source {
        size_gib: snapshot.size_gib,
        encrypted: snapshot.encrypted,
        kms_key_id: snapshot.kms_key_id.clone(),
    }))
}

fn check_rate(rate: Option<u32>, from_snapshot: bool) -> Result<(), Ec2Error> {
    match rate {
        None => Ok(()),
        Some(_) if !from_snapshot => Err(Ec2Error::combination(
            "The parameter VolumeInitializationRate needs the parameter SnapshotId",
        )),
        Some(rate) if !INITIALIZATION_RATES.contains(&rate) => Err(Ec2Error::invalid_value(
            "volumeInitializationRate",
            &rate.to_string(),
            "It must be from 100 to 300 MiB/s.",
        )),
        Some(_) => Ok(()),
    }
}

impl Wish {
    fn take(action: &str, form: &mut Form) -> Result<Self, Ec2Error> {
        let fingerprint = format!("{action}?{}", form.fingerprint());
        let token = form.text("ClientToken").filter(|token| !token.is_empty());
        if let Some(token) = token.as_ref().filter(|token| token.len() > LONGEST_TOKEN) {
            return Err(Ec2Error::invalid_value(
                "clientToken",
                token,
                &format!("It must have at most {LONGEST_TOKEN} characters."),
            ));
        }
        Ok(Self {
            token,
            fingerprint,
            dry_run: form.dry_run()?,
            size_gib: form.count("Size")?,
            volume_type: form.text("VolumeType"),
            iops: form.count("Iops")?,
            throughput: form.count("Throughput")?,
            multi_attach: form.boolean("MultiAttachEnabled")?.unwrap_or_default(),
            encryption: Encryption::take(form)?,
            tags: take_specification(form, "volume")?,
        })
    }

    /// The ID of the volume that an equal request with this token has made.
    fn repeated(&self, state: &State) -> Result<Option<String>, Ec2Error> {
        let Some(token) = self.token.as_ref().and_then(|token| state.tokens.get(token)) else {
            return Ok(None);
        };
        if token.fingerprint != self.fingerprint {
            return Err(Ec2Error::new(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            ));
        }
        let volume = state.volumes.get(&token.volume_id);
        volume
            .filter(|volume| volume.deleted_until.is_none())
            .map(|volume| Some(volume.id.clone()))
            .ok_or_else(|| {
                Ec2Error::new(
                    "IdempotentParameterMismatch",
                    "The client token you have provided is associated with a resource that is already deleted. \
                     Please use a different client token.",
                )
            })
    }

    fn shape(&self, default_type: &str, source: Option<&Source>) -> Result<Shape, Ec2Error> {
        let limits = limits::volume_type(self.volume_type.as_deref().unwrap_or(default_type))?;
        let source_gib = source.map(|source| source.size_gib);
        let size_gib = self
            .size_gib
            .or(source_gib)
            .ok_or_else(|| Ec2Error::missing("size/snapshot"))?;
        limits.check_size(size_gib)?;
        if let Some(least) = source_gib.filter(|least| size_gib < *least) {
            return Err(Ec2Error::invalid(format!(
                "Volume of {size_gib}GiB is smaller than its source of {least}GiB."
            )));
        }
        limits.check_multi_attach(self.multi_attach)?;
        self.performance(limits, size_gib)
    }

    fn performance(&self, limits: &'static TypeLimits, size_gib: u32) -> Result<Shape, Ec2Error> {
        let iops = limits.iops(size_gib, self.iops)?;
        Ok(Shape {
            size_gib,
            limits,
            iops,
            throughput: limits.throughput(iops, self.throughput)?,
        })
    }

    fn make<'a>(
        self,
        state: &'a mut State,
        shape: Shape,
        origin: Origin,
        call: &Call<'_>,
    ) -> Result<&'a Volume, Ec2Error> {
        if let Some(most) = call
            .options
            .rules
            .volumes
            .filter(|most| state.volumes.len() >= *most)
        {
            return Err(Ec2Error::new(
                "VolumeLimitExceeded",
                format!("You have exceeded your maximum of {most} volumes in this region."),
            ));
        }
        call.rehearsal(self.dry_run)?;
        let id = call.new_id("vol");
        if let Some(token) = self.token {
            let used = Token {
                fingerprint: self.fingerprint,
                volume_id: id.clone(),
                used_at: call.now,
            };
            state.tokens.insert(token, used);
        }
        let mut volume = new_volume(&id, shape, origin, self.tags, call);
        volume.multi_attach = self.multi_attach;
        Ok(state.volumes.entry(id).insert_entry(volume).into_mut())
    }
}

fn new_volume(
    id: &str,
    shape: Shape,
    origin: Origin,
    tags: BTreeMap<String, String>,
    call: &Call<'_>,
) -> Volume {
    let (now, options) = (call.now, call.options);
    let from_source = origin.snapshot_id.is_some() || origin.source_volume_id.is_some();
    let filling = match (from_source, origin.initialization_rate) {
        (false, _) => Duration::ZERO,
        (true, Some(rate)) => Duration::from_secs(u64::from(shape.size_gib) * 1024 / u64::from(rate.max(1))),
        (true, None) => options.timing.initialization_per_gib * shape.size_gib,
    };
    let ready_at = after(now, options.timing.volume_creation);
    let filled_from = if from_source { ready_at } else { now };
    Volume {
        id: id.to_owned(),
        shape,
        zone: origin.zone,
        outpost_arn: origin.outpost_arn,
        encrypted: origin.encrypted.encrypted,
        kms_key_id: origin.encrypted.kms_key_id,
        snapshot_id: origin.snapshot_id,
        source_volume_id: origin.source_volume_id,
        multi_attach: false,
        tags: Tags::at_birth(tags, after(now, options.lag.tag)),
        created_at: now,
        ready_at,
        fails: call.fails_later || !origin.encrypted.key_exists,
        seen_from: after(now, options.lag.volume),
        deleted_until: None,
        attachments: Vec::new(),
        former: Vec::new(),
        modification: None,
        former_modification: None,
        modified_at: Vec::new(),
        initialization_rate: origin.initialization_rate,
        initialized_at: after(filled_from, filling),
        snapshot_at: None,
        disk: origin.disk,
    }
}
