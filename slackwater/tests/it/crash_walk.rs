//! The crash walk: a process is killed at every single call, before its effect and after it, and started
//! again. Whatever the call, the world ends in the same state, with one EC2 snapshot or none and with each volume
//! modified once or never. It is walked with all functions in one process, and with each in its own: then one of
//! them is killed, the driver also at the calls that it serves.

use std::time::Duration;

use sandbox::ec2::Ec2Options;
use sandbox::faults::{At, Fault, Faults};

use crate::fleet::{Fleet, Form};
use crate::world::World;

const SEED: u64 = 41;

/// What is walked through.
struct Scenario {
    name: &'static str,
    /// Done by a healthy process, before the one that is killed.
    prepare: fn(&World),
    prepared: fn(&World) -> bool,
    /// Done by the user once the process that will be killed is there.
    act: fn(&World),
    done: fn(&World) -> bool,
    /// EC2 snapshots at the end.
    snapshots: usize,
    /// Sizes to which EC2 was asked to grow the volume, in GiB.
    sizes: &'static [u64],
    /// IOPS to which EC2 was asked to change the volume.
    iops: &'static [u64],
}

fn nothing(_: &World) {}

fn always(_: &World) -> bool {
    true
}

const CREATION: Scenario = Scenario {
    name: "creation",
    prepare: nothing,
    prepared: always,
    act: |world| world.create_snapshot("s", "p", "delete"),
    done: |world| world.is_ready("s") && settled(world),
    snapshots: 1,
    sizes: &[],
    iops: &[],
};

const DELETION: Scenario = Scenario {
    name: "deletion under Delete",
    prepare: |world| world.create_snapshot("s", "p", "delete"),
    prepared: |world| world.is_ready("s") && settled(world),
    act: |world| world.delete_snapshot("s"),
    done: |world| world.snapshot("s").is_none() && world.contents().is_empty(),
    snapshots: 0,
    sizes: &[],
    iops: &[],
};

const RETENTION: Scenario = Scenario {
    name: "deletion under Retain",
    prepare: |world| world.create_snapshot("s", "p", "retain"),
    prepared: |world| world.is_ready("s") && settled(world),
    act: |world| world.delete_snapshot("s"),
    done: |world| world.snapshot("s").is_none(),
    snapshots: 1,
    sizes: &[],
    iops: &[],
};

const IMPORT: Scenario = Scenario {
    name: "import",
    prepare: |world| {
        world.ec2.create_snapshot_fixture(&world.volume, &[]).unwrap();
    },
    prepared: always,
    act: |world| {
        let handle = world.ec2_snapshots()[0].id.clone();
        world.import_snapshot("s", &handle, "Retain");
    },
    done: |world| world.is_ready("s") && settled(world),
    snapshots: 1,
    sizes: &[],
    iops: &[],
};

const EXPANSION: Scenario = Scenario {
    name: "expansion",
    prepare: nothing,
    prepared: always,
    act: |world| world.expand("p", "12Gi"),
    done: |world| world.is_expanded("p", "12Gi"),
    snapshots: 0,
    sizes: &[12],
    iops: &[],
};

const CHANGE: Scenario = Scenario {
    name: "change by class",
    prepare: nothing,
    prepared: always,
    act: |world| world.want_class("p", "fast"),
    done: |world| world.is_fast("p"),
    snapshots: 0,
    sizes: &[],
    iops: &[4_000],
};

const ATTACHMENT: Scenario = Scenario {
    name: "attachment",
    prepare: |world| drop(world.add_node("node")),
    prepared: always,
    act: |world| world.attach("p", "node"),
    done: |world| {
        world.is_attached("p")
            && world.done("AttachVolume") == 1
            && world.instances_of(&world.volume).len() == 1
    },
    snapshots: 0,
    sizes: &[],
    iops: &[],
};

const DETACHMENT: Scenario = Scenario {
    name: "detachment",
    prepare: |world| {
        world.add_node("node");
        world.attach("p", "node");
    },
    prepared: |world| world.is_attached("p"),
    act: |world| world.detach("p"),
    done: |world| {
        world.attachment("p").is_none()
            // EC2 takes it again while it detaches.
            && (1..=2).contains(&world.done("DetachVolume"))
            && world.instances_of(&world.volume).is_empty()
    },
    snapshots: 0,
    sizes: &[],
    iops: &[],
};

/// No claim is protected any more and no content is being created.
fn settled(world: &World) -> bool {
    let claim_is_free = world.claim("p").is_some_and(|claim| {
        let finalizers = claim["metadata"]["finalizers"].to_string();
        !finalizers.contains("pvc-as-source-protection")
    });
    let being_created = world.contents().iter().any(|content| {
        content["metadata"]["annotations"]
            .to_string()
            .contains("volumesnapshot-being-created")
    });
    claim_is_free && !being_created
}

/// Plays a scenario while one process meets faults; answers the final state and the calls of that process.
async fn play(scenario: &Scenario, form: Form, number: usize, faults: Faults) -> (String, usize) {
    let world = World::new(SEED, Ec2Options::default()).await;
    (scenario.prepare)(&world);
    let preparing = world.run(Faults::none(), scenario.name, scenario.prepared).await;
    drop(preparing);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let of = |process| {
        if process == number {
            faults.clone()
        } else {
            Faults::none()
        }
    };
    let mut fleet = Fleet::start(&world, form, of).await;
    (scenario.act)(&world);
    fleet.until(scenario.name, scenario.done).await;
    // Whatever is still to come comes: polls, clean-up of duplicates, late events.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(
        (scenario.done)(&world),
        "{}: done, and then undone",
        scenario.name
    );
    assert_eq!(
        world.ec2_snapshots().len(),
        scenario.snapshots,
        "{}",
        scenario.name
    );
    assert_eq!(world.modifications(), scenario.sizes, "{}", scenario.name);
    assert_eq!(world.changes(), scenario.iops, "{}", scenario.name);
    (world.final_state(), faults.calls().len())
}

async fn walk(scenario: &Scenario) {
    let (expected, calls) = play(scenario, Form::One, 0, Faults::none()).await;
    assert!(calls > 8, "{}: only {calls} calls", scenario.name);
    for form in [Form::One, Form::Each] {
        for (process, functions) in form.processes().iter().enumerate() {
            let (state, calls) = play(scenario, form, process, Faults::none()).await;
            assert_eq!(state, expected, "{}: {form:?}", scenario.name);
            for number in 1..=calls as u64 {
                for fault in [Fault::CrashBefore, Fault::CrashAfter] {
                    let faults = Faults::new(At {
                        number,
                        fault: fault.clone(),
                    });
                    let (state, _) = play(scenario, form, process, faults.clone()).await;
                    let at = faults
                        .calls()
                        .get(number as usize - 1)
                        .map(|(call, _)| call.name.clone());
                    assert_eq!(
                        state, expected,
                        "{}: {fault:?} of {functions:?} at call {number}, {at:?}",
                        scenario.name
                    );
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn creation_survives_a_crash_at_every_call() {
    walk(&CREATION).await;
}

#[tokio::test(start_paused = true)]
async fn deletion_survives_a_crash_at_every_call() {
    walk(&DELETION).await;
}

#[tokio::test(start_paused = true)]
async fn retention_survives_a_crash_at_every_call() {
    walk(&RETENTION).await;
}

#[tokio::test(start_paused = true)]
async fn import_survives_a_crash_at_every_call() {
    walk(&IMPORT).await;
}

#[tokio::test(start_paused = true)]
async fn expansion_survives_a_crash_at_every_call() {
    walk(&EXPANSION).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_by_class_survives_a_crash_at_every_call() {
    walk(&CHANGE).await;
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_154_attachment_survives_a_crash_at_every_call() {
    walk(&ATTACHMENT).await;
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_154_detachment_survives_a_crash_at_every_call() {
    walk(&DETACHMENT).await;
}
