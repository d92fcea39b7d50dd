//! Many calls at once under AWS's pace (decision 64): as fast as buckets and quotas allow, hardly a call that EC2 refuses, and
//! nobody is told of a failure. Callers have 15 s, and keep `google.rpc.RetryInfo`.

use std::time::Duration;

use csi::v1::{
    ControllerExpandVolumeRequest, ControllerPublishVolumeRequest, DeleteSnapshotRequest, DeleteVolumeRequest,
};
use ebs_driver::Config;
use futures::future::join_all;
use sandbox::ec2::{Ec2Options, InstanceType};
use tokio::time::Instant;
use tonic::{Code, Request, Status};

use crate::world::{GIB, World, mount, range, snapshot, volume};

const ZONE: &str = "us-east-1a";
/// What the sidecars give a call.
const LIMIT: Duration = Duration::from_secs(15);

/// So many things at once; `PACE_OBJECTS=1000` takes a minute.
fn many() -> usize {
    let asked = std::env::var("PACE_OBJECTS").ok();
    asked.map_or(400, |number| number.parse().unwrap())
}

fn timed<T>(message: T) -> Request<T> {
    csi::channel::request(message, LIMIT)
}

/// Calls until it is done, as long after each other as the driver asks for. Any other error fails the test.
async fn persist<T>(mut call: impl AsyncFnMut() -> Result<T, Status>) -> T {
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(status) => {
                let retriable = matches!(status.code(), Code::Unavailable | Code::Aborted);
                let delay = csi::retry::delay(&status).filter(|_| retriable);
                tokio::time::sleep(delay.unwrap_or_else(|| panic!("{status:?}"))).await;
            }
        }
    }
}

/// A driver that has been there for a while, under AWS's pace.
async fn world(change: impl FnOnce(&mut Ec2Options)) -> World {
    let mut options = Ec2Options::aws();
    options.call_log = 100_000;
    change(&mut options);
    let world = World::with(options, Config::default());
    world.settle().await;
    world
}

/// What it took, beside what it takes at least: a bucket of this size is spent, then it fills by this many a second; each
/// takes a while by itself.
struct Spent {
    calls: usize,
    throttled: usize,
    took: Duration,
}

impl Spent {
    async fn by(world: &World, work: impl Future<Output = ()>) -> Self {
        let (before, begun) = (world.calls(), Instant::now());
        work.await;
        let took = begun.elapsed();
        let calls = world.ec2.calls_since(before);
        let refused = calls
            .iter()
            .filter(|call| call.code.as_deref() == Some("RequestLimitExceeded"));
        Self {
            calls: calls.len(),
            throttled: refused.count(),
            took,
        }
    }

    fn check(&self, what: &str, capacity: usize, refill: f64, each: Duration) {
        let beyond = many().saturating_sub(capacity) as f64 / refill;
        let floor = Duration::from_secs_f64(beyond) + each;
        let Self {
            calls,
            throttled,
            took,
        } = self;
        println!(
            "{} {what}: {took:?}, at least {floor:?}, {calls} calls, {throttled} throttled",
            many()
        );
        assert!(
            *took <= floor.mul_f64(1.1),
            "{what} took {took:?}, at least {floor:?}"
        );
        assert!(
            throttled * 100 <= *calls,
            "{throttled} of {calls} calls throttled"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_124_volumes_are_made_and_deleted_as_fast_as_their_bucket_fills() {
    let world = world(|_| ()).await;
    let made = std::sync::Mutex::new(Vec::new());
    let create = async |number: usize| {
        let request = volume(&format!("pvc-{number}"), &[]);
        let made_one = persist(async || {
            let answer = world
                .channel
                .controller()
                .create_volume(timed(request.clone()))
                .await?;
            Ok(answer.into_inner().volume.unwrap().volume_id)
        });
        let id = made_one.await;
        made.lock().unwrap().push(id);
    };
    let spent = Spent::by(&world, async {
        join_all((0..many()).map(create)).await;
    });
    let each = Duration::from_millis(1500);
    spent.await.check("volumes made", 100, 5.0, each);
    assert_eq!(world.ec2.state().volumes.len(), many(), "none twice");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let ids = made.into_inner().unwrap();
    let delete = async |volume_id: &String| {
        persist(async || {
            let volume_id = volume_id.clone();
            let request = DeleteVolumeRequest {
                volume_id,
                ..DeleteVolumeRequest::default()
            };
            world.channel.controller().delete_volume(timed(request)).await
        })
        .await;
    };
    let spent = Spent::by(&world, async {
        join_all(ids.iter().map(delete)).await;
    });
    spent.await.check("volumes deleted", 100, 5.0, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_124_volumes_are_attached_as_fast_as_their_bucket_fills() {
    let world = world(|options| {
        options.instance_types.push(InstanceType::new("wide", 128, 1));
    })
    .await;
    let nodes = many().div_ceil(100);
    let nodes: Vec<String> = (0..nodes)
        .map(|_| world.ec2.create_instance_fixture(ZONE, "wide", &[]).unwrap())
        .collect();
    let attach = async |number: usize| {
        let volume_id = world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
        let request = ControllerPublishVolumeRequest {
            volume_id,
            node_id: nodes[number % nodes.len()].clone(),
            volume_capability: Some(mount("ext4")),
            ..ControllerPublishVolumeRequest::default()
        };
        persist(async || {
            let mut controller = world.channel.controller();
            controller.controller_publish_volume(timed(request.clone())).await
        })
        .await;
    };
    let spent = Spent::by(&world, async {
        join_all((0..many()).map(attach)).await;
    });
    spent.await.check("attached", 50, 5.0, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn ebs_case_124_volumes_are_expanded_as_fast_as_their_bucket_fills() {
    let world = world(|_| ()).await;
    let expand = async |_| {
        let volume_id = world.ec2.create_volume_fixture(ZONE, 10, &[]).unwrap();
        let request = ControllerExpandVolumeRequest {
            volume_id,
            capacity_range: range(20 * GIB, 0),
            volume_capability: Some(mount("ext4")),
            ..ControllerExpandVolumeRequest::default()
        };
        persist(async || {
            let mut request = timed(request.clone());
            csi::hints::attach_single_change(&mut request);
            world.channel.controller().controller_expand_volume(request).await
        })
        .await;
    };
    let spent = Spent::by(&world, async {
        join_all((0..many()).map(expand)).await;
    });
    spent.await.check("expanded", 50, 5.0, Duration::from_secs(2));
    assert_eq!(
        world
            .ec2
            .calls()
            .iter()
            .filter(|call| call.action == "ModifyVolume" && call.code.is_none())
            .count(),
        many(),
        "none twice"
    );
}

#[tokio::test(start_paused = true)]
async fn ebs_case_124_snapshots_are_deleted_as_fast_as_their_bucket_fills() {
    let world = world(|options| options.rules.snapshot_interval = None).await;
    let source = world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
    let ids: Vec<String> = (0..many())
        .map(|_| world.ec2.create_snapshot_fixture(&source, &[]).unwrap())
        .collect();
    let delete = async |snapshot_id: &String| {
        persist(async || {
            let snapshot_id = snapshot_id.clone();
            let request = DeleteSnapshotRequest {
                snapshot_id,
                ..DeleteSnapshotRequest::default()
            };
            world.channel.controller().delete_snapshot(timed(request)).await
        })
        .await;
    };
    let spent = Spent::by(&world, async {
        join_all(ids.iter().map(delete)).await;
    });
    spent.await.check("snapshots deleted", 100, 5.0, Duration::ZERO);
    assert!(world.ec2.state().snapshots.is_empty());
}

/// A namespace that asks for hundreds of volumes, and one that asks for ten a moment later.
#[tokio::test(start_paused = true)]
async fn ebs_case_117_a_namespace_with_many_volumes_holds_no_other_up() {
    let world = world(|_| ()).await;
    let start = Instant::now();
    let create = async |namespace: &str, number: usize| {
        let parameters = [("csi.storage.k8s.io/pvc/namespace", namespace)];
        let request = volume(&format!("{namespace}-{number}"), &parameters);
        persist(async || {
            world
                .channel
                .controller()
                .create_volume(timed(request.clone()))
                .await
        })
        .await;
        start.elapsed()
    };
    let others = join_all((0..300).map(|number| create("many", number)));
    let few = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        join_all((0..10).map(|number| create("few", number))).await
    };
    let (_, few) = tokio::join!(others, few);
    let last = few.into_iter().max().unwrap();
    assert!(
        last <= Duration::from_secs(10),
        "20 turns at 5 a second and a poll that is late by two, not 220: {last:?}"
    );
}

/// A caller that cannot wait gets the time of its turn, and is served then.
#[tokio::test(start_paused = true)]
async fn ebs_case_118_a_call_whose_turn_is_after_its_deadline_is_told_when_to_come_back() {
    let world = world(|_| ()).await;
    let ids: Vec<String> = (0..200)
        .map(|_| world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap())
        .collect();
    let delete = |id: &String| {
        let volume_id = id.clone();
        let request = DeleteVolumeRequest {
            volume_id,
            ..DeleteVolumeRequest::default()
        };
        let mut controller = world.channel.controller();
        async move { controller.delete_volume(timed(request)).await }
    };
    let begun = Instant::now();
    let answers = join_all(ids.iter().map(delete)).await;
    let mut told: Vec<Duration> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .map(|status| {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            csi::retry::delay(status).unwrap()
        })
        .collect();
    // 90 at once, then five a second for 14.5 s.
    assert_eq!(told.len(), 200 - 90 - 72, "{told:?}");
    told.sort();
    assert!(told[0] > LIMIT - Duration::from_secs(1), "{told:?}");
    let are_apart = told
        .windows(2)
        .all(|two| two[1] - two[0] == Duration::from_millis(200));
    assert!(are_apart, "{told:?}");
    assert!(begun.elapsed() < LIMIT);
    assert_eq!(
        world.ec2.count("DeleteVolume"),
        162,
        "nothing was sent for the others"
    );
    tokio::time::sleep(told[0].saturating_sub(begun.elapsed())).await;
    let late: Vec<&String> = ids
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.is_err())
        .map(|(id, _)| id)
        .collect();
    let served = join_all(late.into_iter().map(delete)).await;
    assert!(served.iter().all(Result::is_ok), "{served:?}");
    assert_eq!(world.ec2.count("DeleteVolume"), 200);
}

/// Six snapshots of a volume at once: five may be pending, 15 s apart, and nobody is told of a failure.
#[tokio::test(start_paused = true)]
async fn ebs_case_120_121_snapshots_of_one_volume_keep_ec2s_time_and_number() {
    let world = world(|options| {
        options.timing.snapshot = Duration::from_secs(100);
        options.timing.snapshot_per_gib = Duration::ZERO;
    })
    .await;
    let source = world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
    let begun = Instant::now();
    let take = async |number: usize| {
        let request = snapshot(&format!("s{number}"), &source, &[]);
        persist(async || {
            let mut request = timed(request.clone());
            csi::hints::attach_comes_back(&mut request);
            world.channel.controller().create_snapshot(request).await
        })
        .await;
        begun.elapsed().as_secs()
    };
    let mut times = join_all((0..6).map(take)).await;
    times.sort_unstable();
    let calls = world.ec2.calls();
    let refused = calls
        .iter()
        .filter(|call| call.action == "CreateSnapshot" && call.code.is_some());
    let refused: Vec<&str> = refused.filter_map(|call| call.code.as_deref()).collect();
    // The first six are sent together, before anything is known.
    assert_eq!(refused.len(), 6, "{refused:?}");
    assert_eq!(times[..5], [0, 15, 30, 45, 60], "{times:?}");
    assert!(
        (100..=106).contains(&times[5]),
        "the first is completed: {times:?}"
    );
}
