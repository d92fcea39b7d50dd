//! Who looks at the metrics.

use std::collections::BTreeMap;

use prometheus::{Encoder as _, TextEncoder};
use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use slackwater::controller::Function;

use super::{now, seconds};
use crate::world::World;

/// Claims and volumes together: a scrape takes as long as there are series, not objects.
const MANY: usize = 5_000;
/// Seconds of scraping: a multiple of two minutes, after which it is asked again whether groups are served.
const SCRAPES: u64 = 360;

/// The requests of some minutes but for what goes on whether anybody looks or not: leases and watches.
async fn asked(world: &World, mut look: impl FnMut()) -> BTreeMap<String, usize> {
    let begun = now(world);
    for _ in 0..SCRAPES {
        look();
        seconds(1).await;
    }
    let mut asked = BTreeMap::<String, usize>::new();
    for request in world.api.audit_since(begun) {
        if request.resource != "leases" && request.verb != "watch" {
            *asked
                .entry(format!("{} {}", request.verb, request.resource))
                .or_default() += 1;
        }
    }
    asked
}

/// The driver's own limit of scrapes is told by its process (`tests/it/process.rs`).
#[tokio::test(start_paused = true)]
async fn journeys_case_96_scrapes_ask_nobody_anything() {
    let world = World::new(29, Ec2Options::default()).await;
    for number in 0..MANY / 2 {
        world.add_claim(
            &format!("c-{number}"),
            &format!("vol-{number:017x}"),
            "Filesystem",
        );
    }
    let (scope, faults) = (world.scope.child(), Faults::none());
    let outside = world.outside(&Function::ALL, &faults, "replica", &scope);
    let registries = outside.registries.clone();
    let _process = world
        .start_reaching(outside, &Function::ALL, faults, &[], scope)
        .await;
    seconds(120).await;
    let calls = world.ec2.calls().len();
    let unwatched = asked(&world, || {}).await;
    let mut bytes = 0;
    let scrape = || {
        for registry in registries.values() {
            let mut text = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
            bytes += text.len();
        }
    };
    assert_eq!(asked(&world, scrape).await, unwatched);
    assert_eq!(world.ec2.calls().len(), calls);
    assert!(bytes > 1_000_000, "{bytes}");
}
