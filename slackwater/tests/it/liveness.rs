//! What one function writes must wake another one of the same process, whatever its watch shows and when.

use std::time::Duration;

use sandbox::ec2::Ec2Options;
use sandbox::faults::{Call, Fault, Faults, Schedule};

use crate::world::World;

/// How late the watch of claims is.
const LAG: Duration = Duration::from_millis(300);
/// Longest time to the end of an expansion without any fault.
const SOON: Duration = Duration::from_secs(60);

/// The watch of claims shows everything late.
struct LateClaims;

impl Schedule for LateClaims {
    fn fault(&self, call: &Call) -> Fault {
        if call.watch && call.name.contains("/persistentvolumeclaims") {
            Fault::LagWatch(LAG)
        } else {
            Fault::None
        }
    }
}

/// The claim is raised at any moment around the writes of the snapshot-controller, whose answers carry the new size
/// before the watch does. An expansion that was begun only by a resync would never be begun here.
#[tokio::test(start_paused = true)]
async fn an_expansion_asked_for_while_another_function_writes_the_claim_is_begun() {
    let mut missed = Vec::new();
    for moment in 0..64_u64 {
        let world = World::new(moment, Ec2Options::instant()).await;
        let faults = Faults::new(LateClaims);
        let _process = world.start(faults).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.create_snapshot("s", "p", "delete");
        tokio::time::sleep(Duration::from_millis(moment * 10)).await;
        world.expand("p", "11Gi");
        tokio::time::sleep(SOON).await;
        if !world.is_expanded("p", "11Gi") {
            missed.push(moment * 10);
        }
    }
    assert!(
        missed.is_empty(),
        "never begun when asked for after so many ms: {missed:?}"
    );
}
