//! Claims that wait for their volume, counted.

use controller::testing::seconds;
use tonic::Status;

use crate::world::{DRIVER, World};

#[tokio::test(start_paused = true)]
async fn journeys_case_105_claims_are_counted_from_the_time_that_their_volume_is_due() {
    let world = World::with_nodes();
    world.driver.refuse_volumes(&Status::unavailable("later"), 4);
    let process = world.start();
    let count = || {
        let labels = [("driver_name", DRIVER), ("phase", "creating")];
        let oldest = process.metric("slackwater_pvc_provision_oldest_seconds", &labels);
        (process.metric("slackwater_pvc_provisions", &labels), oldest)
    };
    world.claim(|_| {});
    seconds(10).await;
    assert_eq!(count(), (0.0, 0.0), "no pod wants it yet");
    world.select("n1");
    seconds(10).await;
    let (waiting, oldest) = count();
    assert!(
        waiting == 1.0 && (9.0..=10.0).contains(&oldest),
        "{waiting} {oldest}"
    );
    seconds(60).await;
    assert_eq!((world.phase("c"), count()), ("Bound".to_owned(), (0.0, 0.0)));
}
