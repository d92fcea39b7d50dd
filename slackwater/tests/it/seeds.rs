//! Many random schedules, each from a seed of its own, by which one that fails is played again.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Random;
use sandbox::faults::{Faults, Storm};

use crate::fleet::Form;
use crate::world::World;

/// How long a storm lasts, in steps of [`STEP`].
pub const STEPS: u64 = 40;
pub const STEP: Duration = Duration::from_millis(1_500);

/// The weather of one process: a share of 2 to 21 % of its calls is refused, lost, delayed or repeated, or with `crashes` its last.
pub fn storm(world: &World, random: &Random, crashes: bool) -> Faults {
    let share = 0.02 + 0.01 * random.below(20) as f64;
    Faults::new(Storm {
        random: world.random.fork(),
        share,
        crashes,
    })
}

/// Plays the schedule of every seed, on all processors. `STORM_SEEDS=7..8` replays one instead of these, `STORM_SEEDS=0..5000`
/// plays many; `module` is where its tests are.
pub fn every_seed_passes(
    module: &str,
    seeds: Range<u64>,
    form: Form,
    schedule: impl AsyncFn(u64, Form) + Sync,
) {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let seeds = asked_for().unwrap_or(seeds);
    let next = AtomicU64::new(seeds.start);
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            if !passes(seed, form, &schedule) {
                let one = seed..seed + 1;
                failures.lock().unwrap().push(format!(
                    "seed {seed} in {form:?} failed; replay it with\n  STORM_SEEDS={one:?} cargo test -p slackwater --test it {module}::"
                ));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} seeds failed\n{}",
        failures.len(),
        seeds.end - seeds.start,
        failures.join("\n")
    );
}

fn asked_for() -> Option<Range<u64>> {
    let text = std::env::var("STORM_SEEDS").ok()?;
    let (from, to) = text.split_once("..").expect("STORM_SEEDS is written as 7..8");
    Some(from.parse().unwrap()..to.parse().unwrap())
}

/// One seed, on a runtime of its own.
fn passes(seed: u64, form: Form, schedule: impl AsyncFn(u64, Form)) -> bool {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(schedule(seed, form));
    }));
    outcome.is_ok()
}
