//! The same seed twice gives the same requests at the same moments (decision 30).

use std::time::Duration;

use ebs_driver::Config;
use sandbox::ec2::{CallRecord, Ec2Options, Fault, When};

use crate::world::{World, snapshot, volume};

async fn transcript() -> Vec<CallRecord> {
    let world = World::with(Ec2Options::default(), Config::default());
    world.ec2.inject(
        "CreateVolume",
        When::Times(3),
        Fault::error("RequestLimitExceeded"),
    );
    world
        .ec2
        .inject("DescribeSnapshots", When::Nth(2), Fault::error("InternalError"));
    world
        .ec2
        .inject("CreateSnapshot", When::Nth(2), Fault::LostAnswer);
    let one = async |number: u32| {
        let made = world
            .create_volume(volume(&format!("pvc-{number}"), &[]))
            .await
            .unwrap();
        let name = format!("snapshot-{number}");
        loop {
            match world.create_snapshot(snapshot(&name, &made.volume_id, &[])).await {
                Ok(snapshot) if snapshot.ready_to_use => break,
                _ => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    };
    futures::future::join_all((0..8).map(one)).await;
    assert_eq!(world.ec2.state().snapshots.len(), 8);
    world.ec2.calls()
}

#[test]
fn equal_seeds_give_equal_transcripts() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(transcript())
    };
    let first = run();
    assert!(first.len() > 20);
    assert_eq!(first, run());
}
