//! The same seed twice gives the same transcript, byte for byte.

use std::fmt::Write as _;

use sandbox::ec2::Ec2Options;
use sandbox::faults::{Faults, Storm};

use crate::world::World;

async fn transcript(seed: u64) -> String {
    let world = World::new(seed, Ec2Options::default()).await;
    let faults = Faults::new(Storm {
        random: world.random.fork(),
        share: 0.2,
        crashes: true,
    });
    world.create_snapshot("s", "p", "delete");
    world.create_snapshot("t", "p", "retain");
    let process = world
        .run(faults.clone(), "both ready", |world| {
            world.is_ready("s") && world.is_ready("t")
        })
        .await;
    world.expand("p", "11Gi");
    world
        .until("p has grown", |world| world.is_expanded("p", "11Gi"))
        .await;
    world.delete_snapshot("s");
    world
        .until("s is gone", |world| world.snapshot("s").is_none())
        .await;
    drop(process);
    let mut text = String::new();
    for (call, fault) in faults.calls() {
        writeln!(text, "{call:?} {fault:?}").unwrap();
    }
    for request in world.api.audit() {
        writeln!(text, "{request:?}").unwrap();
    }
    for call in world.ec2.calls() {
        writeln!(text, "{call:?}").unwrap();
    }
    writeln!(text, "{:#}", world.api.dump()).unwrap();
    text
}

/// Each transcript on a runtime of its own, as a new process would have.
fn run(seed: u64) -> String {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(transcript(seed))
}

#[test]
fn equal_seeds_give_equal_transcripts() {
    for seed in 1..=5 {
        let (first, second) = (run(seed), run(seed));
        assert!(first.lines().count() > 30);
        if first != second {
            let difference = first
                .lines()
                .zip(second.lines())
                .find(|(left, right)| left != right);
            panic!("seed {seed} differs at {difference:#?}");
        }
    }
    assert_ne!(run(1), run(2));
}
