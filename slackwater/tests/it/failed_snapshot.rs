//! A snapshot that fails in EC2: it is said, and it goes with its object.

use sandbox::ec2::{Ec2Options, Fault, When};
use sandbox::faults::Faults;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn snapshot_case_152_a_snapshot_that_fails_in_ec2_is_said_with_its_reason_and_goes_with_its_object() {
    // It fails after it was answered; and before, so that the first answer shows it failed.
    for options in [Ec2Options::default(), Ec2Options::instant()] {
        let world = World::new(5, options).await;
        world.ec2.inject("CreateSnapshot", When::Next, Fault::FailsLater);
        world.create_snapshot("s", "p", "delete");
        let says_so = |world: &World| {
            let snapshot = world.snapshot("s").unwrap();
            let message = snapshot["status"]["error"]["message"].as_str();
            message.is_some_and(|message| {
                message.contains("in the state error") && message.contains("could not be completed")
            })
        };
        let _process = world.run(Faults::none(), "the failure is said", says_so).await;
        assert!(!world.is_ready("s"));
        assert_eq!(world.ec2_snapshots().len(), 1, "and no other one is made");
        world.delete_snapshot("s");
        let is_gone = |world: &World| world.snapshot("s").is_none() && world.contents().is_empty();
        world.until("the objects are gone", is_gone).await;
        assert!(world.ec2_snapshots().is_empty(), "no EC2 snapshot is left");
    }
}
