//! Random schedules: users create, import, delete, expand, attach, detach and ask for another class while calls are refused, lost, delayed and repeated,
//! watches lag and break, and processes die at any call. When the weather clears, everything is in
//! order: no EC2 snapshot without an owner, none twice, none lost, also where somebody edits or deletes contents under their
//! snapshots, no finalizer left, nothing stuck, and no volume modified twice for the same growth or class. All functions run in one process, or each in its own.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Random;
use sandbox::ec2::Ec2Options;
use serde_json::Value;

use crate::fleet::{Fleet, Form};
use crate::seeds::{STEP, STEPS, every_seed_passes, storm};
use crate::world::{CONTENTS, World};

const BEING_DELETED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";

/// Seeds of one run in each form.
const SEEDS: std::ops::Range<u64> = 0..500;

/// What the users have done, and so what must be there in the end.
#[derive(Default)]
struct Ledger {
    created: u64,
    alive: BTreeMap<String, Kind>,
    /// Times that the claim was made larger. EC2 allows four in a day.
    grown: u64,
    /// The claim asks for another attributes class: one of the four.
    changed: bool,
    /// The volume is wanted at the node.
    attached: bool,
    /// EC2 snapshots that stay whatever happens: imported with Retain.
    foreign: Vec<String>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Delete,
    Retain,
    Import,
}

impl Ledger {
    fn act(&mut self, world: &World, random: &Random) {
        match random.below(12) {
            0..=1 => self.create(world, Kind::Delete),
            2 => self.create(world, Kind::Retain),
            3 => self.create(world, Kind::Import),
            4 => self.delete(world, random),
            7 => self.move_volume(world),
            5 => self.edit(world, random),
            6 if !self.changed => {
                self.changed = true;
                world.want_class("p", "fast");
            }
            10..=11 if self.grown < 3 => {
                self.grown += 1;
                world.expand("p", &self.size());
            }
            _ => {}
        }
    }

    /// A pod comes to the node, or goes. The attach-detach controller waits for the end of a detachment.
    fn move_volume(&mut self, world: &World) {
        if self.attached {
            world.detach("p");
        } else if world.attachment("p").is_none() {
            world.attach("p", "node");
        } else {
            return;
        }
        self.attached = !self.attached;
    }

    /// What the claim asks for.
    fn size(&self) -> String {
        format!("{}Gi", 10 + self.grown)
    }

    fn create(&mut self, world: &World, kind: Kind) {
        if self.created == 4 {
            return;
        }
        self.created += 1;
        let name = format!("s{}", self.created);
        match kind {
            Kind::Delete => world.create_snapshot(&name, "p", "delete"),
            Kind::Retain => world.create_snapshot(&name, "p", "retain"),
            Kind::Import => {
                let handle = world.ec2.create_snapshot_fixture(&world.volume, &[]).unwrap();
                world.import_snapshot(&name, &handle, "Retain");
                self.foreign.push(handle);
            }
        }
        self.alive.insert(name, kind);
    }

    /// Somebody edits the content of a living snapshot by hand: takes away the UID, as a tool that applies it again, marks it
    /// as its former life may have left it, or deletes it.
    fn edit(&self, world: &World, random: &Random) {
        let contents = world.contents();
        let (Some(content), edit) = (contents.get(random.below(8) as usize), random.below(3)) else {
            return;
        };
        let name = content["metadata"]["name"].as_str().unwrap_or_default();
        let of = content["spec"]["volumeSnapshotRef"]["name"]
            .as_str()
            .unwrap_or_default();
        let Some(snapshot) = world.snapshot(of).filter(|_| self.alive.contains_key(of)) else {
            return;
        };
        // On a content of a volume the mark can be nobody's but the controller's.
        let is_import = self.alive.get(of) == Some(&Kind::Import);
        let is_bound = snapshot["status"]["boundVolumeSnapshotContentName"] == name;
        let change = |content: &mut Value| match edit {
            0 => drop(
                content["spec"]["volumeSnapshotRef"]
                    .as_object_mut()
                    .map(|reference| reference.remove("uid")),
            ),
            _ => content["metadata"]["annotations"][BEING_DELETED] = "yes".into(),
        };
        // Before it is bound a deletion is a wish of its own; and what Retain keeps then has no owner any more.
        let is_told = is_import || self.alive.get(of) == Some(&Kind::Delete);
        if edit == 2 && is_bound && is_told {
            world.store().delete(CONTENTS, "", name, None).unwrap();
        } else if is_bound && (edit == 0 || (edit == 1 && is_import)) {
            world.store().update(CONTENTS, "", name, change).unwrap();
        }
    }

    fn delete(&mut self, world: &World, random: &Random) {
        let names: Vec<String> = self.alive.keys().cloned().collect();
        if let Some(name) = names.get(random.below(names.len() as u64) as usize) {
            world.delete_snapshot(name);
            self.alive.remove(name);
        }
    }
}

async fn weather(seed: u64, form: Form) {
    let world = World::new(seed, Ec2Options::default()).await;
    let random = world.random.fork();
    let storm = || storm(&world, &random, true);
    world.add_node("node");
    let mut ledger = Ledger::default();
    ledger.create(&world, Kind::Delete);
    let mut fleet = Fleet::start(&world, form, |_| storm()).await;
    for _ in 0..STEPS {
        tokio::time::sleep(STEP).await;
        ledger.act(&world, &random);
        fleet.revive(storm).await;
    }
    if seed.is_multiple_of(2) {
        fleet.calm().await;
    } else {
        // A process that starts anew looks at everything; one that goes on must have lost nothing.
        fleet.clear();
    }
    let (alive, size, changed) = (ledger.alive.clone(), ledger.size(), ledger.changed);
    let attached = ledger.attached;
    let what = format!(
        "seed {seed}, {form:?}: everything alive is ready and as large as asked for, everything deleted is gone"
    );
    fleet
        .until(&what, |world| {
            let snapshots = world.store().list(crate::world::SNAPSHOTS, None);
            snapshots.len() == alive.len()
                && alive.keys().all(|name| world.is_ready(name))
                && world.is_expanded("p", &size)
                && (!changed || world.is_fast("p"))
                && (attached == world.is_attached("p"))
                && (attached == world.attachment("p").is_some())
        })
        .await;
    fleet.rest(Duration::from_secs(400)).await;
    if std::env::var_os("STORM_TRACE").is_some() {
        trace(&world);
    }
    check(seed, &world, &ledger);
}

/// What EC2 and the API server were asked for, for the search for a cause: `STORM_TRACE=1`.
fn trace(world: &World) {
    let changes = world.api.audit().into_iter();
    for change in
        changes.filter(|change| change.resource.starts_with("volumesnapshot") && change.verb != "watch")
    {
        println!("{change:?}");
    }
    for call in world.ec2.calls() {
        println!(
            "{} {} {:?} {:?}",
            call.at, call.action, call.code, call.parameters
        );
    }
    println!("{:#?}", world.ec2_snapshots());
}

fn check(seed: u64, world: &World, ledger: &Ledger) {
    let contents = world.contents();
    let mut owned: Vec<String> = contents.iter().map(|content| handle(seed, content)).collect();
    owned.sort();
    let mut unique = owned.clone();
    unique.dedup();
    assert_eq!(owned, unique, "seed {seed}: a handle has two owners");
    for snapshot in world.ec2_snapshots() {
        let known = owned.contains(&snapshot.id) || ledger.foreign.contains(&snapshot.id);
        assert!(
            known,
            "seed {seed}: {} has no owner and leaks; its tags are {:?}",
            snapshot.id, snapshot.tags
        );
    }
    let present: Vec<String> = world
        .ec2_snapshots()
        .into_iter()
        .map(|snapshot| snapshot.id)
        .collect();
    for handle in owned.iter().chain(&ledger.foreign) {
        assert!(present.contains(handle), "seed {seed}: {handle} is lost");
    }
    nothing_is_stuck(seed, world, &contents, ledger);
    everything_is_bound(seed, world, ledger);
    assert_eq!(
        world.ec2_size(),
        10 + ledger.grown,
        "seed {seed}: EC2 has grown to another size"
    );
    assert_eq!(
        world.instances_of(&world.volume).len(),
        usize::from(ledger.attached),
        "seed {seed}: EC2 has it attached otherwise"
    );
    // A growth that the next one overtakes may be left out, but none is made twice.
    let sizes = world.modifications();
    assert!(
        sizes.windows(2).all(|pair| pair[0] < pair[1]),
        "seed {seed}: EC2 was asked to grow to {sizes:?}"
    );
    let changes = world.changes();
    assert_eq!(
        changes.len(),
        usize::from(ledger.changed),
        "seed {seed}: {changes:?}"
    );
}

fn nothing_is_stuck(seed: u64, world: &World, contents: &[Value], ledger: &Ledger) {
    let claim = world.claim("p").unwrap()["metadata"]["finalizers"].to_string();
    assert!(
        !claim.contains("as-source-protection"),
        "seed {seed}: the claim is still protected: {claim}"
    );
    for content in contents {
        let metadata = &content["metadata"];
        let of = content["spec"]["volumeSnapshotRef"]["name"]
            .as_str()
            .unwrap_or_default();
        let lives = ledger.alive.contains_key(of);
        assert!(
            metadata["deletionTimestamp"].is_null() || lives,
            "seed {seed}: a content is stuck: {content:#}"
        );
        let marks = metadata["annotations"].to_string();
        assert!(
            !marks.contains("being-created"),
            "seed {seed}: a content is still marked: {content:#}"
        );
        assert!(
            !(lives && marks.contains("being-deleted")),
            "seed {seed}: a content is marked under its snapshot: {content:#}"
        );
        // Its user took the UID away, and nobody is left who would put it back: that is told.
        let is_cut = !lives && content["spec"]["volumeSnapshotRef"]["uid"].is_null();
        assert!(
            is_cut || content["status"]["error"].is_null(),
            "seed {seed}: an error stayed: {content:#}"
        );
    }
}

fn everything_is_bound(seed: u64, world: &World, ledger: &Ledger) {
    for (name, kind) in &ledger.alive {
        let snapshot = world.snapshot(name).unwrap();
        assert!(
            snapshot["status"]["error"].is_null(),
            "seed {seed}: an error stayed: {snapshot:#}"
        );
        let bound = snapshot["status"]["boundVolumeSnapshotContentName"]
            .as_str()
            .unwrap_or_default();
        let expected = match kind {
            Kind::Import => format!("content-{name}"),
            _ => format!(
                "snapcontent-{}",
                snapshot["metadata"]["uid"].as_str().unwrap_or_default()
            ),
        };
        assert_eq!(bound, expected, "seed {seed}");
    }
}

fn handle(seed: u64, content: &Value) -> String {
    let handle = content["status"]["snapshotHandle"]
        .as_str()
        .or(content["spec"]["source"]["snapshotHandle"].as_str());
    handle
        .unwrap_or_else(|| panic!("seed {seed}: a content has no handle: {content:#}"))
        .to_owned()
}

#[test]
fn every_storm_passes_in_one_process() {
    every_seed_passes("storm", SEEDS, Form::One, weather);
}

#[test]
fn every_storm_passes_with_each_function_in_its_own_process() {
    every_seed_passes("storm", SEEDS, Form::Each, weather);
}
