//! Volumes of this cluster that nobody owns: neither a PersistentVolume nor a claim that waits for one. A claim that was deleted
//! while a process died in its CreateVolume leaves one, of which nobody else knows. They are counted and named in the log,
//! and never deleted: one that was retained looks the same. Source: sidecars.md Q5.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::metrics::register;
use base::{Clock, Scope};
use csi::inventory::{Inventory, Named};
use jiff::{SignedDuration, Timestamp};
use prometheus::{IntGaugeVec, Opts, Registry};
use runtime::objects::{Claim, Volume};
use runtime::{Cache, ObjectKey, migration};
use tonic::Status;

use crate::busy::Busy;
use crate::observe::Settings;
use crate::plan::request::volume_name;

/// Younger ones may be on their way to their owner.
const YOUNG: SignedDuration = SignedDuration::from_hours(1);
/// What was found is looked for again after this long: a volume may be deleted between the storage's answer and the look at
/// its owner.
const CONFIRM: Duration = Duration::from_secs(60);
/// When the storage did not say.
const AGAIN: Duration = Duration::from_secs(600);
/// So many are named in one line of the log.
const LINE: usize = 50;

/// How many there are, as a metric.
#[derive(Clone)]
pub(crate) struct Orphans(IntGaugeVec);

impl Orphans {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = Opts::new(
            "slackwater_orphan_volumes",
            "Volumes of this cluster, older than an hour, that neither a PersistentVolume nor a waiting PersistentVolumeClaim owns.",
        );
        Ok(Self(register(
            registry,
            IntGaugeVec::new(gauge, &["driver_name"])?,
        )?))
    }

    /// Counts for one term of leadership.
    pub(crate) fn term(&self) -> Term {
        Term(self.0.clone())
    }
}

/// See [`Orphans::term`].
pub(crate) struct Term(IntGaugeVec);

impl Drop for Term {
    fn drop(&mut self) {
        self.0.reset();
    }
}

/// Who may own a volume.
pub(crate) struct Owners {
    pub(crate) volumes: Cache<Volume>,
    pub(crate) claims: Cache<Claim>,
    pub(crate) busy: Busy,
    pub(crate) settings: Settings,
}

/// Looks for volumes without an owner.
pub(crate) struct Search {
    pub(crate) inventory: Arc<dyn Inventory>,
    pub(crate) owners: Owners,
    pub(crate) orphans: Orphans,
    pub(crate) clock: Clock,
    /// How often.
    pub(crate) interval: Duration,
}

impl Search {
    /// Looks at once and then again and again, until the scope is stopping.
    pub(crate) async fn run(&self, scope: &Scope) {
        if self.interval.is_zero() {
            return;
        }
        if !self.inventory.knows_its_cluster() {
            tracing::info!(
                "volumes without an owner are not looked for: without --k8s-tag-cluster-id the driver cannot tell this \
                 cluster's from others"
            );
            return;
        }
        tokio::select! {
            biased;
            () = scope.stopping() => {}
            () = self.look_on() => {}
        }
    }

    async fn look_on(&self) {
        loop {
            let pause = match self.look().await {
                Ok(orphans) => {
                    self.tell(&orphans);
                    self.interval
                }
                Err(status) => {
                    let why = csi::status::error_text(&status);
                    tracing::warn!(why, "volumes without an owner cannot be looked for now");
                    self.interval.min(AGAIN)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Those that have no owner now, and had none a moment ago.
    async fn look(&self) -> Result<Vec<Named>, Status> {
        let before = self.without_owner().await?;
        if before.is_empty() {
            return Ok(before);
        }
        tokio::time::sleep(self.interval.min(CONFIRM)).await;
        let mut now = self.without_owner().await?;
        now.retain(|volume| before.contains(volume));
        Ok(now)
    }

    /// Page by page, so that never more than these are in memory.
    async fn without_owner(&self) -> Result<Vec<Named>, Status> {
        let (mut suspects, mut token) = (Vec::new(), None);
        loop {
            let page = self.inventory.page(token).await?;
            let now = self.clock.now();
            let of_name = |name: &str| self.owners.volumes.get(&ObjectKey::cluster(name));
            suspects.extend(page.volumes.into_iter().filter(|volume| {
                let object = of_name(&volume.name);
                is_suspect(volume, object.as_deref(), now)
            }));
            token = page.next;
            if token.is_none() {
                return Ok(self.owners.disown(suspects));
            }
        }
    }

    fn tell(&self, orphans: &[Named]) {
        let driver = &self.owners.settings.driver.name;
        let number = i64::try_from(orphans.len()).unwrap_or(i64::MAX);
        self.orphans.0.with_label_values(&[driver]).set(number);
        for some in orphans.chunks(LINE) {
            let some: Vec<String> = some.iter().map(shown).collect();
            tracing::warn!(
                volumes = some.join(", "),
                "volumes have neither a PersistentVolume nor a PersistentVolumeClaim; they cost money until somebody deletes \
                 them, see docs/runbooks/OrphanVolumes.md"
            );
        }
    }
}

fn shown(volume: &Named) -> String {
    match volume.made_at {
        Some(at) => format!("{} ({}, made {at:.0})", volume.id, volume.name),
        None => format!("{} ({})", volume.id, volume.name),
    }
}

/// It is old enough to have an owner, and is not behind `object`, the PersistentVolume of its name. One of which the storage does
/// not say when it was made is old.
#[must_use]
pub fn is_suspect(volume: &Named, object: Option<&Volume>, now: Timestamp) -> bool {
    let is_young = volume
        .made_at
        .is_some_and(|made_at| now.duration_since(made_at) < YOUNG);
    !is_young && !object.is_some_and(|object| owns(object, &volume.id))
}

/// Whether the volume is behind this PersistentVolume.
fn owns(object: &Volume, id: &str) -> bool {
    migration::source_of(object).is_ok_and(|source| source.volume_handle == id)
}

impl Owners {
    /// Without those that are behind a PersistentVolume of another name, and those that a claim waits for.
    fn disown(&self, mut suspects: Vec<Named>) -> Vec<Named> {
        if suspects.is_empty() {
            return suspects;
        }
        let mut unowned: BTreeSet<String> = suspects.iter().map(|volume| volume.id.clone()).collect();
        self.volumes.each(|object| {
            if let Ok(source) = migration::source_of(object) {
                unowned.remove(&source.volume_handle);
            }
        });
        let mut wanted: BTreeSet<String> = self.busy.uids().into_iter().collect();
        self.claims.each(|claim| {
            let uid = claim.metadata.uid.clone();
            wanted.extend(uid.filter(|_| claim.volume_name.is_none()));
        });
        let names: BTreeSet<String> = wanted
            .iter()
            .map(|uid| volume_name(&self.settings, uid))
            .collect();
        suspects.retain(|volume| unowned.contains(&volume.id) && !names.contains(&volume.name));
        suspects
    }
}
