//! Crashes at every call: one volume, one object, nothing left.

use controller::testing::resources::{CLAIMS, SNAPSHOTS, VOLUMES};
use controller::testing::seconds;
use csi::v1::controller_service_capability::rpc;
use sandbox::faults::{At, Call, Fault, Faults};
use serde_json::Value;

use crate::world::{CLONE_FINALIZER, SNAPSHOT_FINALIZER, World, from_claim, from_snapshot};

/// What happens, and whether all is in order afterwards.
#[derive(Clone, Copy)]
struct Walk {
    world: fn() -> World,
    act: fn(&World),
    check: fn(&World) -> bool,
}

impl Walk {
    async fn calls(self) -> Vec<Call> {
        let world = (self.world)();
        let process = world.start();
        seconds(2).await;
        (self.act)(&world);
        seconds(20).await;
        assert!((self.check)(&world));
        process.faults.calls().into_iter().map(|(call, _)| call).collect()
    }

    async fn at_every_call(self) {
        let calls = self.calls().await;
        assert!(calls.len() >= 6, "{calls:?}");
        for call in &calls {
            for fault in [Fault::CrashBefore, Fault::CrashAfter] {
                let world = (self.world)();
                let process = world.start_with(Faults::new(At {
                    number: call.number,
                    fault: fault.clone(),
                }));
                seconds(2).await;
                (self.act)(&world);
                seconds(20).await;
                process.kill().await;
                let _process = world.start();
                seconds(60).await;
                assert!(
                    (self.check)(&world),
                    "{fault:?} at {call:?}: {:?}",
                    world.driver.state().calls
                );
            }
        }
    }
}

/// Deletes a claim as soon as `c` is bound.
fn delete_when_bound(world: &World, name: &'static str) {
    let person = world.api.store("person");
    world.scope.spawn(async move {
        loop {
            seconds(1).await;
            let claim = person.get(CLAIMS, "default", "c");
            if claim.is_some_and(|claim| claim.value()["status"]["phase"] == "Bound") {
                break;
            }
        }
        person.delete(CLAIMS, "default", name, None).unwrap();
    });
}

/// One volume in the driver, one object, which is bound.
fn is_bound(world: &World) -> bool {
    let volumes = world.list(VOLUMES);
    let names: Vec<&Value> = volumes
        .iter()
        .map(|volume| &volume["spec"]["csi"]["volumeHandle"])
        .collect();
    world.phase("c") == "Bound" && names.len() == world.made()
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_86_a_crash_while_a_volume_is_made_makes_one() {
    let walk = Walk {
        world: World::new,
        act: |world| drop(world.claim(|_| {})),
        check: |world| is_bound(world) && world.made() == 1,
    };
    walk.at_every_call().await;
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_98_a_crash_while_a_volume_goes_leaves_nothing() {
    let walk = Walk {
        world: || World::of(&[rpc::Type::PublishUnpublishVolume]),
        act: |world| {
            world.claim(|_| {});
            delete_when_bound(world, "c");
        },
        check: |world| world.made() == 0 && world.list(VOLUMES).is_empty() && world.list(CLAIMS).is_empty(),
    };
    walk.at_every_call().await;
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_146_a_crash_while_a_snapshot_is_restored_leaves_it_free() {
    let walk = Walk {
        world: || {
            let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
            world.snapshot();
            world
        },
        act: |world| drop(world.claim(from_snapshot)),
        check: |world| {
            let finalizers = world.finalizers(SNAPSHOTS, "default", "snap");
            is_bound(world) && !finalizers.contains(&SNAPSHOT_FINALIZER.to_owned())
        },
    };
    walk.at_every_call().await;
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_147_a_crash_while_a_claim_is_cloned_lets_it_go() {
    let walk = Walk {
        world: || World::of(&[rpc::Type::CloneVolume]),
        act: |world| {
            world.claim_named("source", |_| {});
            world.claim(from_claim);
            delete_when_bound(world, "source");
        },
        check: |world| {
            let left = world.get(CLAIMS, "default", "source");
            let holds = |claim: &Value| {
                claim["metadata"]["finalizers"]
                    .to_string()
                    .contains(CLONE_FINALIZER)
            };
            world.phase("c") == "Bound" && left.is_none_or(|claim| !holds(&claim))
        },
    };
    walk.at_every_call().await;
}
