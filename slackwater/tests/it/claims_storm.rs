//! Random schedules around claims: users make claims of nothing, of snapshots and of other claims, run pods on them, and delete
//! all of these in any order and under the same names, while calls are refused, lost, delayed and repeated and processes die
//! at any call. When the weather clears, each claim that can have a volume has one and its pod runs, EC2 holds those volumes
//! and snapshots and no other, attached where a pod runs and nowhere else; and when all is deleted nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::Random;
use controller::testing::resources::{PODS, STORAGE_CLASSES};
use sandbox::ec2::Ec2Options;
use serde_json::{Value, json};

use crate::fleet::{Fleet, Form};
use crate::lifecycle::{cluster_is_empty, create_claim, create_pod, is_running, made};
use crate::seeds::{STEP, STEPS, every_seed_passes, storm};
use crate::world::{ATTACHMENTS, CLAIMS, VOLUMES, World};

/// Seeds of one run in each form.
const SEEDS: std::ops::Range<u64> = 0..60;
const CLAIM_NAMES: [&str; 4] = ["a", "b", "c", "d"];
const SNAPSHOT_NAMES: [&str; 2] = ["s", "t"];

enum Source {
    Nothing,
    Snapshot(&'static str),
    Claim(&'static str),
}

struct Claim {
    source: Source,
    /// Its class does not wait for a pod.
    is_immediate: bool,
}

/// What the users want to be there.
#[derive(Default)]
struct Wishes {
    claims: BTreeMap<&'static str, Claim>,
    /// The claims that a pod uses.
    pods: BTreeSet<&'static str>,
    /// The claim that each snapshot is of.
    snapshots: BTreeMap<&'static str, &'static str>,
}

impl Wishes {
    fn act(&mut self, world: &World, random: &Random) {
        let claim = CLAIM_NAMES[random.below(4) as usize];
        match random.below(10) {
            0..=3 => self.create(world, random, claim),
            4 => self.toggle_pod(world, claim),
            5 => self.delete_claim(world, random, claim),
            6..=7 => self.create_snapshot(world, random, claim),
            8 => self.delete_snapshot(world, random),
            _ => {}
        }
    }

    fn create(&mut self, world: &World, random: &Random, name: &'static str) {
        if world.claim(name).is_some() {
            return;
        }
        let snapshot = self.snapshots.keys().next().copied();
        let other = self.claims.keys().copied().find(|other| *other != name);
        let source = match (random.below(3), snapshot, other) {
            (1, Some(snapshot), _) => Source::Snapshot(snapshot),
            (2, _, Some(other)) => Source::Claim(other),
            _ => Source::Nothing,
        };
        let data_source = match source {
            Source::Nothing => Value::Null,
            Source::Snapshot(name) => {
                json!({ "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name })
            }
            Source::Claim(name) => json!({ "kind": "PersistentVolumeClaim", "name": name }),
        };
        let is_immediate = random.below(3) == 0;
        let class = if is_immediate { "at-once" } else { "late" };
        create_claim(world, name, class, &data_source);
        let claim = Claim { source, is_immediate };
        self.claims.insert(name, claim);
        self.create_pod(world, name);
    }

    fn create_pod(&mut self, world: &World, name: &'static str) {
        if world.store().get(PODS, "ns", name).is_none() {
            create_pod(world, name);
            self.pods.insert(name);
        }
    }

    fn toggle_pod(&mut self, world: &World, name: &'static str) {
        if self.pods.remove(name) {
            world.store().delete(PODS, "ns", name, None).unwrap();
        } else if self.claims.contains_key(name) {
            self.create_pod(world, name);
        }
    }

    /// The claim and its pod, in either order.
    fn delete_claim(&mut self, world: &World, random: &Random, name: &'static str) {
        if self.claims.remove(name).is_none() {
            return;
        }
        let has_pod = self.pods.remove(name);
        let claim_first = random.below(2) == 0;
        if claim_first {
            world.store().delete(CLAIMS, "ns", name, None).unwrap();
        }
        if has_pod {
            world.store().delete(PODS, "ns", name, None).unwrap();
        }
        if !claim_first {
            world.store().delete(CLAIMS, "ns", name, None).unwrap();
        }
    }

    fn create_snapshot(&mut self, world: &World, random: &Random, claim: &'static str) {
        let name = SNAPSHOT_NAMES[random.below(2) as usize];
        if self.claims.contains_key(claim) && world.snapshot(name).is_none() {
            world.create_snapshot(name, claim, "delete");
            self.snapshots.insert(name, claim);
        }
    }

    fn delete_snapshot(&mut self, world: &World, random: &Random) {
        let name = SNAPSHOT_NAMES[random.below(2) as usize];
        if self.snapshots.remove(name).is_some() {
            world.delete_snapshot(name);
        }
    }

    fn delete_all(&mut self, world: &World, random: &Random) {
        for name in self.snapshots.keys() {
            world.delete_snapshot(name);
        }
        self.snapshots.clear();
        for name in CLAIM_NAMES {
            self.delete_claim(world, random, name);
        }
    }

    /// Whether the claim must get its volume. One that waits for a pod that went, or is made of what was deleted, may wait.
    fn must_be_bound(&self, name: &str, depth: usize) -> bool {
        // Claims that are clones of each other, made anew under each other's names, have no beginning.
        let Some(claim) = self.claims.get(name).filter(|_| depth < 8) else {
            return false;
        };
        let is_wanted = self.pods.contains(name) || claim.is_immediate;
        is_wanted
            && match claim.source {
                Source::Nothing => true,
                Source::Snapshot(name) => self.must_be_ready(name, depth + 1),
                Source::Claim(name) => self.must_be_bound(name, depth + 1),
            }
    }

    fn must_be_ready(&self, snapshot: &str, depth: usize) -> bool {
        let claim = self.snapshots.get(snapshot);
        claim.is_some_and(|claim| self.must_be_bound(claim, depth + 1))
    }

    fn are_fulfilled(&self, world: &World) -> bool {
        let bound = self.claims.keys().all(|name| {
            !self.must_be_bound(name, 0) || (is_bound(world, name) && self.runs_if_wanted(world, name))
        });
        let ready = self.snapshots.keys();
        let ready = ready
            .into_iter()
            .all(|name| !self.must_be_ready(name, 0) || world.is_ready(name));
        let claims = world.store().list(CLAIMS, None).len();
        bound && ready && claims == self.claims.len()
    }

    fn runs_if_wanted(&self, world: &World, name: &str) -> bool {
        !self.pods.contains(name) || is_running(world, name)
    }
}

fn is_bound(world: &World, name: &str) -> bool {
    world
        .claim(name)
        .is_some_and(|claim| claim["status"]["phase"] == "Bound")
}

fn classes(world: &World) {
    for (name, mode) in [("late", "WaitForFirstConsumer"), ("at-once", "Immediate")] {
        let class = json!({
            "metadata": { "name": name }, "provisioner": "ebs.csi.aws.com",
            "volumeBindingMode": mode, "reclaimPolicy": "Delete",
        });
        world.store().create(STORAGE_CLASSES, class).unwrap();
    }
}

async fn schedule(seed: u64, form: Form) {
    let world = World::with_machine(seed, Ec2Options::default()).await;
    classes(&world);
    let random = world.random.fork();
    let has_crashes = !seed.is_multiple_of(3);
    let storm = || storm(&world, &random, has_crashes);
    let mut wishes = Wishes::default();
    let mut fleet = Fleet::start(&world, form, |_| storm()).await;
    for _ in 0..STEPS {
        tokio::time::sleep(STEP).await;
        wishes.act(&world, &random);
        fleet.revive(storm).await;
    }
    if has_crashes && seed.is_multiple_of(2) {
        fleet.calm().await;
    } else {
        // A process that starts anew looks at everything; one that goes on must have lost nothing.
        fleet.clear();
    }
    let what = format!("seed {seed}, {form:?}: every claim that can have a volume has one");
    fleet.until(&what, |world| wishes.are_fulfilled(world)).await;
    fleet.rest(Duration::from_secs(400)).await;
    let orphans = check(seed, &world, fleet.has_had_deaths());
    wishes.delete_all(&world, &random);
    let what = format!("seed {seed}, {form:?}: nothing is left");
    fleet
        .until(&what, |world| cluster_is_empty(world) && made(world) == orphans)
        .await;
}

/// Volumes that EC2 holds and that have no owner: only of claims that were deleted while a process died in CreateVolume, of
/// which nobody knows (sidecars Q5).
fn orphans(seed: u64, world: &World, owned: &[String], had_deaths: bool) -> Vec<String> {
    let volumes = world.ec2.state().volumes;
    let claims = world.store().list(CLAIMS, None);
    let mut orphans = made(world);
    for volume in owned {
        assert!(orphans.contains(volume), "seed {seed}: {volume} is lost");
    }
    orphans.retain(|volume| !owned.contains(volume));
    for volume in &orphans {
        let name = &volumes[volume].tags["CSIVolumeName"];
        let mut uids = claims
            .iter()
            .filter_map(|claim| claim.value()["metadata"]["uid"].as_str());
        let is_claimed = uids.any(|uid| *name == format!("pvc-{uid}"));
        assert!(had_deaths && !is_claimed, "seed {seed}: {volume}, {name}, leaks");
    }
    orphans
}

/// Answers the orphans.
fn check(seed: u64, world: &World, had_deaths: bool) -> Vec<String> {
    let volumes = world.store().list(VOLUMES, None);
    let mut owned = Vec::new();
    for volume in volumes.iter().map(|volume| volume.value()) {
        let handle = volume["spec"]["csi"]["volumeHandle"].as_str().unwrap();
        let name = volume["spec"]["claimRef"]["name"].as_str().unwrap();
        let claim = world.claim(name);
        let uid = claim.as_ref().map(|claim| &claim["metadata"]["uid"]);
        assert_eq!(
            uid,
            Some(&volume["spec"]["claimRef"]["uid"]),
            "seed {seed}: a volume of no claim: {volume:#}"
        );
        assert_eq!(
            world.instances_of(handle).len(),
            usize::from(is_running(world, name)),
            "seed {seed}: {handle} of {name}, attached where its pod runs"
        );
        owned.push(handle.to_owned());
    }
    let running = CLAIM_NAMES.iter().filter(|name| is_running(world, name)).count();
    let attachments = world.store().list(ATTACHMENTS, None).len();
    assert_eq!(
        attachments, running,
        "seed {seed}: one attachment for each pod that runs"
    );
    let mut snapshots: Vec<_> = world
        .ec2_snapshots()
        .into_iter()
        .map(|snapshot| snapshot.id)
        .collect();
    snapshots.sort();
    let contents = world.contents();
    let handles = contents
        .iter()
        .filter_map(|content| content["status"]["snapshotHandle"].as_str());
    let mut handles: Vec<_> = handles.map(str::to_owned).collect();
    handles.sort();
    assert_eq!(
        snapshots, handles,
        "seed {seed}: the snapshots that EC2 holds, and those that have an owner"
    );
    for claim in world.store().list(CLAIMS, None) {
        let finalizers = claim.value()["metadata"]["finalizers"].to_string();
        // That of clones stays until their source is deleted, as upstream's.
        assert!(
            !finalizers.contains("as-source-protection"),
            "seed {seed}: a claim is still protected: {finalizers}"
        );
    }
    orphans(seed, world, &owned, had_deaths)
}

#[test]
fn every_storm_passes_in_one_process() {
    every_seed_passes("claims_storm", SEEDS, Form::One, schedule);
}

#[test]
fn every_storm_passes_with_each_function_in_its_own_process() {
    every_seed_passes("claims_storm", SEEDS, Form::Each, schedule);
}
