//! Many failures, and programs that go.

use std::time::Duration;

use sandbox::ec2::{Ec2Options, Fault, When};
use sandbox::faults::Faults;

use super::{now, seconds};
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn journeys_case_103_failing_snapshots_are_no_storm_of_events() {
    const MANY: usize = 100;
    let world = World::new(5, Ec2Options::default()).await;
    world.ec2.inject(
        "CreateSnapshot",
        When::Always,
        Fault::error("UnauthorizedOperation"),
    );
    for number in 0..MANY {
        world.create_snapshot(&format!("s-{number}"), "p", "delete");
    }
    let _process = world.start(Faults::none()).await;
    seconds(120).await;
    let begun = now(&world);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let written = world.api.audit_since(begun).into_iter();
    let written = written.filter(|request| request.resource == "events").count();
    // What is left of the first events, then nothing: each was told.
    assert!(written < 3 * MANY, "{written}");
    for number in [0, MANY / 2, MANY - 1] {
        let events = world.events(&format!("s-{number}"));
        let mut texts: Vec<_> = events.clone();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), events.len(), "the same text twice: {events:?}");
        assert!(!events.is_empty());
    }
}
