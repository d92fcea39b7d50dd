//! Any calls in any order, with the process dying at any step: the driver has what its answers said, once.

use std::collections::{BTreeMap, BTreeSet};

use file_driver::folder::Files;
use proptest::prelude::*;

use crate::world::{Process, Reply, World, of_snapshot, of_volume, volume};

#[derive(Clone, Copy, Debug)]
enum Call {
    Create(u8),
    Clone(u8, u8),
    Restore(u8, u8),
    Delete(u8),
    Take(u8, u8),
    DeleteSnapshot(u8),
    TakeGroup(u8, u8, u8),
    DeleteGroup(u8),
    Publish(u8),
    Unpublish(u8),
}

fn call() -> impl Strategy<Value = Call> {
    let name = || 0_u8..3;
    prop_oneof![
        name().prop_map(Call::Create),
        (name(), name()).prop_map(|(one, other)| Call::Clone(one, other)),
        (name(), name()).prop_map(|(one, other)| Call::Restore(one, other)),
        name().prop_map(Call::Delete),
        (name(), name()).prop_map(|(one, other)| Call::Take(one, other)),
        name().prop_map(Call::DeleteSnapshot),
        (name(), name(), name()).prop_map(|(name, one, other)| Call::TakeGroup(name, one, other)),
        name().prop_map(Call::DeleteGroup),
        name().prop_map(Call::Publish),
        name().prop_map(Call::Unpublish),
    ]
}

fn volume_id(name: u8) -> String {
    use file_driver::folder::{Id, Kind};
    Id::named(Kind::Volume, &name.to_string()).to_string()
}

fn snapshot_id(name: u8) -> String {
    use file_driver::folder::{Id, Kind};
    Id::named(Kind::Snapshot, &name.to_string()).to_string()
}

fn group_id(name: u8) -> String {
    use file_driver::folder::{Id, Kind};
    Id::named(Kind::Group, &name.to_string()).to_string()
}

async fn send(driver: &Process, call: Call) -> Reply<()> {
    match call {
        Call::Create(name) => driver.create(volume(&name.to_string())).await.map(drop),
        Call::Clone(name, source) => {
            let request = of_volume(&name.to_string(), &volume_id(source));
            driver.create(request).await.map(drop)
        }
        Call::Restore(name, source) => {
            let request = of_snapshot(&name.to_string(), &snapshot_id(source));
            driver.create(request).await.map(drop)
        }
        Call::Delete(name) => driver.delete(&volume_id(name)).await,
        Call::Take(name, source) => {
            let taken = driver.take(&name.to_string(), &volume_id(source)).await;
            taken.map(drop)
        }
        Call::DeleteSnapshot(name) => driver.delete_snapshot(&snapshot_id(name)).await,
        Call::TakeGroup(name, one, other) => {
            let volumes = [volume_id(one), volume_id(other)];
            let volumes = volumes.iter().map(String::as_str).collect::<Vec<_>>();
            driver.take_group(&name.to_string(), &volumes).await.map(drop)
        }
        Call::DeleteGroup(name) => driver.delete_group(&group_id(name), &[]).await,
        Call::Publish(name) => driver.publish(&volume_id(name), false).await,
        Call::Unpublish(name) => driver.unpublish(&volume_id(name), "").await,
    }
}

/// What there must be, by what the answers said.
#[derive(Debug, Default, PartialEq)]
struct Model {
    volumes: BTreeSet<String>,
    snapshots: BTreeSet<String>,
    /// Volumes of each group.
    groups: BTreeMap<String, BTreeSet<String>>,
}

impl Model {
    /// A call was answered with OK.
    fn done(&mut self, call: Call) {
        match call {
            Call::Create(name) | Call::Clone(name, _) | Call::Restore(name, _) => {
                self.volumes.insert(volume_id(name));
            }
            Call::Delete(name) => {
                self.volumes.remove(&volume_id(name));
            }
            Call::Take(name, _) => {
                self.snapshots.insert(snapshot_id(name));
            }
            Call::DeleteSnapshot(name) => {
                self.snapshots.remove(&snapshot_id(name));
            }
            Call::TakeGroup(name, one, other) => {
                let volumes = BTreeSet::from([volume_id(one), volume_id(other)]);
                self.groups.insert(group_id(name), volumes);
            }
            Call::DeleteGroup(name) => {
                self.groups.remove(&group_id(name));
            }
            Call::Publish(_) | Call::Unpublish(_) => {}
        }
    }

    async fn of(driver: &Process) -> Self {
        let volumes = driver.volumes().await;
        let mut model = Self {
            volumes: volumes.iter().cloned().collect(),
            ..Self::default()
        };
        assert_eq!(model.volumes.len(), volumes.len(), "none is shown twice");
        for snapshot in driver.snapshots().await {
            if snapshot.group_snapshot_id.is_empty() {
                assert!(model.snapshots.insert(snapshot.snapshot_id));
            } else {
                let group = model.groups.entry(snapshot.group_snapshot_id).or_default();
                assert!(group.insert(snapshot.source_volume_id));
            }
        }
        model
    }
}

async fn play(calls: Vec<(Call, Option<u32>)>) {
    let world = World::new();
    let mut model = Model::default();
    for (call, cut) in calls {
        let mut outcome = None;
        if let Some(steps) = cut {
            let files = Files::dying_after(steps);
            let answer = send(&world.start_with(files.clone()), call).await;
            // The caller of a process that died has no answer, and asks again.
            outcome = (!files.are_dead()).then_some(answer);
        }
        let answer = match outcome {
            Some(answer) => answer,
            None => send(&world.start(), call).await,
        };
        match answer {
            Ok(()) => model.done(call),
            Err(status) => assert_ne!(status.code(), tonic::Code::Internal, "{call:?}: {status:?}"),
        }
        assert_eq!(Model::of(&world.start()).await, model, "after {call:?}");
    }
    let left = world.picture();
    assert!(left.keys().all(|name| !name.starts_with("scratch")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_driver_has_what_its_answers_said(
        calls in proptest::collection::vec((call(), proptest::option::of(0_u32..14)), 1..24)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(play(calls));
    }
}
