//! Attachments that are under way, counted.

use controller::testing::seconds;
use tonic::Status;

use crate::world::{DRIVER, World};

#[tokio::test(start_paused = true)]
async fn journeys_case_105_attachments_are_counted_until_their_volume_is_there_or_gone() {
    let world = World::new();
    world.driver.state().attaching.publish = vec![Some(Status::unavailable("later")); 4].into();
    let process = world.start();
    let count = |phase: &str| {
        let labels = [("driver_name", DRIVER), ("phase", phase)];
        let oldest = process.metric("slackwater_volumeattachment_oldest_seconds", &labels);
        (process.metric("slackwater_volumeattachments", &labels), oldest)
    };
    world.attach();
    seconds(10).await;
    let (waiting, oldest) = count("attaching");
    assert!(
        waiting == 1.0 && (9.0..=10.0).contains(&oldest),
        "{waiting} {oldest}"
    );
    seconds(20).await;
    assert!(world.is_attached());
    assert_eq!((count("attaching"), count("detaching")), ((0.0, 0.0), (0.0, 0.0)));
    world.driver.state().attaching.unpublish = vec![Some(Status::unavailable("later")); 4].into();
    world.detach();
    seconds(10).await;
    let (waiting, oldest) = count("detaching");
    assert!(
        waiting == 1.0 && (9.0..=11.0).contains(&oldest),
        "{waiting} {oldest}"
    );
    seconds(20).await;
    assert!(world.attachment().is_none());
    assert_eq!(count("detaching"), (0.0, 0.0));
}
