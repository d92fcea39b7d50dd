use std::time::Duration;

use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::{ControllerExpandVolumeRequest, ControllerExpandVolumeResponse};
use ebs_driver::Config;
use ebs_driver::ec2::limit::bucket::Assume;
use sandbox::ec2::{Ec2Options, Fault, When};
use tonic::{Code, Status};

use crate::world::{GIB, World, block, code, mount, range};

async fn expand(world: &World, id: &str, gib: i64) -> Result<ControllerExpandVolumeResponse, Status> {
    let request = ControllerExpandVolumeRequest {
        volume_id: id.into(),
        capacity_range: range(gib * GIB, 0),
        volume_capability: Some(mount("ext4")),
        ..ControllerExpandVolumeRequest::default()
    };
    let request = csi::channel::request(request, Duration::from_secs(60));
    let answer = world
        .channel
        .controller()
        .controller_expand_volume(request)
        .await?;
    Ok(answer.into_inner())
}

fn with_volume(options: Ec2Options, gib: u32) -> (World, String) {
    let world = World::with(options, Config::default());
    let id = world.ec2.create_volume_fixture("us-east-1a", gib, &[]).unwrap();
    (world, id)
}

#[tokio::test(start_paused = true)]
async fn ebs_case_71_a_size_must_be_asked_for() {
    let (world, id) = with_volume(Ec2Options::instant(), 20);
    for capacity_range in [None, range(0, 0)] {
        let request = ControllerExpandVolumeRequest {
            volume_id: id.clone(),
            capacity_range,
            ..ControllerExpandVolumeRequest::default()
        };
        let answer = world.channel.controller().controller_expand_volume(request).await;
        assert_eq!(code(answer), Code::InvalidArgument);
    }
    assert_eq!(code(expand(&world, "", 1).await), Code::InvalidArgument);
    assert_eq!(
        code(expand(&world, "local-ebs://dev/xvdbz", 1).await),
        Code::InvalidArgument
    );
    assert_eq!(world.calls(), 0);
    assert_eq!(
        code(expand(&world, "vol-0123456789abcdef0", 1).await),
        Code::NotFound
    );
}

/// A volume of 400 GiB with 100 IOPS a GiB, which its tags tie to its size.
fn with_ratio() -> (World, String) {
    let world = World::new();
    let io2 = [
        ("AvailabilityZone", "us-east-1a"),
        ("Size", "400"),
        ("VolumeType", "io2"),
        ("Iops", "40000"),
    ];
    let tags = [
        ("ebs.csi.aws.com/IOPSPerGb", "100"),
        ("ebs.csi.aws.com/AllowAutoIOPSIncreaseOnModify", "true"),
    ];
    let id = world.ec2.create_volume_fixture_with(&io2, &tags).unwrap();
    (world, id)
}

#[tokio::test(start_paused = true)]
async fn growth_takes_no_iops_away_whatever_becomes_of_the_dry_run() {
    for (fault, times, iops) in [
        ("RequestLimitExceeded", 3, 50_000),
        ("InternalError", 3, 50_000),
        // A policy may deny the dry run for good: the driver then goes by its own table, and by what the volume has.
        ("UnauthorizedOperation", 1, 50_000),
    ] {
        let (world, id) = with_ratio();
        world
            .ec2
            .inject("CreateVolume", When::Times(times), Fault::error(fault));
        expand(&world, &id, 500).await.unwrap();
        assert_eq!(world.ec2.state().volumes[&id].iops, Some(iops), "{fault}");
    }
    // EC2 answers nothing in time: nothing is changed, and the caller asks again.
    let (world, id) = with_ratio();
    world
        .ec2
        .inject("CreateVolume", When::Always, Fault::error("RequestLimitExceeded"));
    assert_eq!(code(expand(&world, &id, 500).await), Code::Unavailable);
    assert_eq!(world.ec2.count("ModifyVolume"), 0);
    world.ec2.clear_faults();
    expand(&world, &id, 500).await.unwrap();
    assert_eq!(world.ec2.state().volumes[&id].iops, Some(50_000));
}

#[tokio::test(start_paused = true)]
async fn ebs_case_72_block_volumes_need_nothing_of_the_node() {
    let (world, id) = with_volume(Ec2Options::default(), 20);
    let request = ControllerExpandVolumeRequest {
        volume_id: id.clone(),
        capacity_range: range(30 * GIB, 0),
        volume_capability: Some(block(Mode::SingleNodeWriter)),
        ..ControllerExpandVolumeRequest::default()
    };
    let answer = world
        .channel
        .controller()
        .controller_expand_volume(request)
        .await
        .unwrap()
        .into_inner();
    assert!(!answer.node_expansion_required);
    assert_eq!(answer.capacity_bytes, 30 * GIB);
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
    assert_eq!(world.ec2.count("DescribeVolumes"), 1);
    assert!(world.ec2.count("DescribeVolumesModifications") <= 4);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_73_optimizing_refuses_a_larger_size() {
    let (world, id) = with_volume(Ec2Options::default(), 20);
    let first = expand(&world, &id, 30).await.unwrap();
    assert!(first.node_expansion_required);
    assert_eq!(code(expand(&world, &id, 40).await), Code::Internal);
    assert_eq!(
        waiting(&world),
        [("optimizing".to_owned(), 1.0), ("rate_exceeded".to_owned(), 0.0)]
    );
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
    assert_eq!(expand(&world, &id, 30).await.unwrap().capacity_bytes, 30 * GIB);
    assert_eq!(waiting(&world)[0].1, 0.0, "it has what is asked");
}

/// Volumes that wait for EC2, by reason.
fn waiting(world: &World) -> Vec<(String, f64)> {
    let families = world.registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == "slackwater_ec2_modify_waiting")
        .unwrap();
    let series = family.get_metric().iter();
    series
        .map(|metric| {
            let reason = metric.get_label().iter().find(|label| label.name() == "reason");
            (reason.unwrap().value().to_owned(), metric.get_gauge().get_value())
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn ebs_case_74_a_smaller_size_is_already_there() {
    let (world, id) = with_volume(Ec2Options::instant(), 20);
    assert_eq!(expand(&world, &id, 10).await.unwrap().capacity_bytes, 20 * GIB);
    assert_eq!(world.ec2.count("ModifyVolume"), 0);
    assert_eq!(world.calls(), 2);
}

/// Case 75 speaks of ControllerModifyVolume; the same codes hold for an expansion.
#[tokio::test(start_paused = true)]
async fn ebs_case_75_definite_refusals_are_internal_and_unclear_ones_unavailable() {
    let rows = [
        ("VolumeModificationSizeLimitExceeded", Code::Internal, 1),
        ("VolumeModificationRateExceeded", Code::Internal, 1),
        ("IncorrectModificationState", Code::Internal, 1),
        ("InvalidParameterValue", Code::InvalidArgument, 1),
        ("InternalError", Code::Unavailable, 1),
    ];
    for (ec2_code, expected, calls) in rows {
        let (world, id) = with_volume(Ec2Options::instant(), 20);
        world
            .ec2
            .inject("ModifyVolume", When::Always, Fault::error(ec2_code));
        assert_eq!(code(expand(&world, &id, 30).await), expected, "{ec2_code}");
        assert_eq!(world.ec2.count("ModifyVolume"), calls, "{ec2_code}");
    }
    let (world, id) = with_volume(Ec2Options::instant(), 20);
    world
        .ec2
        .inject("ModifyVolume", When::Always, Fault::error("RequestLimitExceeded"));
    assert_eq!(code(expand(&world, &id, 30).await), Code::Unavailable);
    assert!(world.ec2.count("ModifyVolume") > 1);
}

#[tokio::test(start_paused = true)]
async fn a_stated_date_is_honoured_without_a_call() {
    let mut options = Ec2Options::instant();
    options.rules.modification_rate_names_time = true;
    let (world, id) = with_volume(options, 20);
    for gib in [21, 22, 23, 24] {
        expand(&world, &id, gib).await.unwrap();
    }
    let first = expand(&world, &id, 25).await.unwrap_err();
    let second = expand(&world, &id, 25).await.unwrap_err();
    assert_eq!((first.code(), second.code()), (Code::Internal, Code::Internal));
    assert_eq!(world.ec2.count("ModifyVolume"), 5);
    let delay = csi::retry::delay(&second).expect("EC2 named the time");
    assert!(delay > Duration::from_secs(23 * 3600), "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_modification_is_not_polled_to_the_end() {
    let (world, id) = with_volume(Ec2Options::default(), 20);
    world.ec2.inject("ModifyVolume", When::Next, Fault::FailsLater);
    let begun = tokio::time::Instant::now();
    assert_eq!(code(expand(&world, &id, 30).await), Code::Internal);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_ends_in_the_size_asked_for_without_a_second_change() {
    let (world, id) = with_volume(Ec2Options::default(), 20);
    world.ec2.inject("ModifyVolume", When::Next, Fault::LostAnswer);
    assert_eq!(code(expand(&world, &id, 30).await), Code::Unavailable);
    assert_eq!(expand(&world, &id, 30).await.unwrap().capacity_bytes, 30 * GIB);
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
}

/// EC2 shows the modification before for three seconds more.
#[tokio::test(start_paused = true)]
async fn ebs_case_161_the_end_of_an_earlier_modification_is_not_the_end_of_this_one() {
    let mut options = Ec2Options::default();
    options.timing.optimizing = Duration::ZERO;
    options.timing.optimizing_per_gib = Duration::ZERO;
    options.timing.modifying = Duration::from_secs(10);
    options.lag.modification = Duration::from_secs(3);
    let (world, id) = with_volume(options, 20);
    expand(&world, &id, 30).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(expand(&world, &id, 40).await.unwrap().capacity_bytes, 40 * GIB);
    assert!(begun.elapsed() >= Duration::from_secs(10));
    assert_eq!(world.ec2.state().volumes[&id].size_gib, 40);
}

#[tokio::test(start_paused = true)]
async fn equal_expansions_are_one_and_different_ones_conflict() {
    let (world, id) = with_volume(Ec2Options::default(), 20);
    let (first, second, third) = tokio::join!(
        expand(&world, &id, 30),
        expand(&world, &id, 30),
        expand(&world, &id, 40)
    );
    assert_eq!(first.unwrap().capacity_bytes, 30 * GIB);
    assert_eq!(second.unwrap().capacity_bytes, 30 * GIB);
    assert_eq!(code(third), Code::Aborted);
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
}

/// Case 79: an answer about one volume says nothing of another (Q5).
#[tokio::test(start_paused = true)]
async fn ebs_case_79_each_volume_waits_for_its_own_modification() {
    let (world, id) = with_volume(Ec2Options::default(), 20);
    let never = world.ec2.create_volume_fixture("us-east-1a", 5, &[]).unwrap();
    let (grown, same) = tokio::join!(expand(&world, &id, 30), expand(&world, &never, 5));
    assert_eq!(same.unwrap().capacity_bytes, 5 * GIB);
    assert_eq!(grown.unwrap().capacity_bytes, 30 * GIB);
    let volume = &world.ec2.state().volumes[&id];
    assert_eq!(volume.size_gib, 30);
}

/// Issue 5: 100 concurrent expansions cost at most 2.2 EC2 calls each, polls included, where EC2 takes all of them at once.
#[tokio::test(start_paused = true)]
async fn a_hundred_expansions_share_their_calls() {
    let config = Config {
        limits: Assume::Nothing,
        ..Config::default()
    };
    let world = World::with(Ec2Options::default(), config);
    let volume = |_| world.ec2.create_volume_fixture("us-east-1a", 20, &[]).unwrap();
    let volumes: Vec<String> = (0..100).map(volume).collect();
    let before = world.calls();
    let all = futures::future::join_all(volumes.iter().map(|id| expand(&world, id, 30)));
    for answer in all.await {
        assert_eq!(answer.unwrap().capacity_bytes, 30 * GIB);
    }
    let calls = world.calls() - before;
    assert!(calls <= 220, "{calls} calls: {:?}", world.ec2.counts());
    assert_eq!(world.ec2.count("ModifyVolume"), 100);
}

/// They come one after the other, each within EC2's time for one answer.
#[tokio::test(start_paused = true)]
async fn expansions_that_follow_each_other_share_their_calls_too() {
    let world = World::new();
    world.ec2.configure(|options| *options = Ec2Options::default());
    let volume = |_| world.ec2.create_volume_fixture("us-east-1a", 20, &[]).unwrap();
    let volumes: Vec<String> = (0..100).map(volume).collect();
    for action in ["DescribeVolumes", "DescribeVolumesModifications", "ModifyVolume"] {
        let slow = Fault::Delay(Duration::from_millis(100));
        world.ec2.inject(action, When::Always, slow);
    }
    let before = world.calls();
    let all = volumes.iter().enumerate().map(|(number, id)| {
        let world = &world;
        async move {
            tokio::time::sleep(Duration::from_millis(10 * number as u64)).await;
            expand(world, id, 30).await
        }
    });
    for answer in futures::future::join_all(all).await {
        answer.unwrap();
    }
    let calls = world.calls() - before;
    assert!(calls <= 220, "{calls} calls: {:?}", world.ec2.counts());
}

/// Only the change itself can be refused for good: what a refused look would have shown is not known.
#[tokio::test(start_paused = true)]
async fn ebs_case_107_a_refused_look_before_a_change_is_not_final() {
    for (action, expected, changes) in [
        ("DescribeVolumes", Code::Unavailable, 0),
        ("DescribeVolumesModifications", Code::Unavailable, 0),
        ("ModifyVolume", Code::Internal, 1),
    ] {
        let (world, id) = with_volume(Ec2Options::instant(), 20);
        world
            .ec2
            .inject(action, When::Always, Fault::error("UnauthorizedOperation"));
        let error = expand(&world, &id, 30).await.unwrap_err();
        assert_eq!(error.code(), expected, "{action}");
        assert!(error.message().contains("UnauthorizedOperation"), "{error}");
        assert_eq!(world.ec2.count("ModifyVolume"), changes, "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_107_a_modification_that_runs_unseen_is_not_final() {
    let (world, id) = with_volume(Ec2Options::default(), 20);
    let refused = Fault::error("UnauthorizedOperation");
    world
        .ec2
        .inject("DescribeVolumesModifications", When::Nth(2), refused);
    let error = expand(&world, &id, 30).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("is being modified"), "{error}");
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
    expand(&world, &id, 30).await.unwrap();
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
}

/// EC2 names no time: the driver knows it where it began all that count.
#[tokio::test(start_paused = true)]
async fn ebs_case_122_the_day_of_four_modifications_ends_with_the_first() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (world, id) = with_volume(Ec2Options::instant(), 10);
    for gib in 11..15 {
        expand(&world, &id, gib).await.unwrap();
        tokio::time::sleep(HOUR).await;
    }
    let refused = expand(&world, &id, 15).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    let left = csi::retry::delay(&refused).expect("it is known");
    assert!((HOUR * 19..=HOUR * 20).contains(&left), "{left:?}");
    let sent = world.ec2.count("ModifyVolume");
    assert_eq!(code(expand(&world, &id, 15).await), Code::Internal);
    assert_eq!(world.ec2.count("ModifyVolume"), sent, "not before that");
    tokio::time::sleep(left).await;
    expand(&world, &id, 15).await.unwrap();

    let world = world.restarted();
    let refused = expand(&world, &id, 16).await.unwrap_err();
    assert_eq!(
        csi::retry::delay(&refused),
        None,
        "another process began three of them"
    );
}

/// As [`expand`] to 30 GiB, by a caller that knows that no other change is pending.
async fn expand_at_once(world: &World, id: &str) -> Result<ControllerExpandVolumeResponse, Status> {
    let request = ControllerExpandVolumeRequest {
        volume_id: id.into(),
        capacity_range: range(30 * GIB, 0),
        ..ControllerExpandVolumeRequest::default()
    };
    let mut request = csi::channel::request(request, Duration::from_secs(60));
    csi::hints::attach_single_change(&mut request);
    let answer = world
        .channel
        .controller()
        .controller_expand_volume(request)
        .await?;
    Ok(answer.into_inner())
}

/// A modification that nobody waits for any more takes effect while the looks before another one are under way.
#[tokio::test(start_paused = true)]
async fn ebs_case_174_a_modification_that_takes_effect_meanwhile_is_seen() {
    let mut options = Ec2Options::default();
    options.timing.modifying = Duration::from_secs(10);
    let (world, id) = with_volume(options, 20);
    let effect = world.clock.now() + Duration::from_secs(10);
    world.ec2.inject("ModifyVolume", When::Next, Fault::LostAnswer);
    let cut = tokio::time::timeout(Duration::from_secs(1), expand_at_once(&world, &id));
    assert!(cut.await.is_err());
    tokio::time::sleep(Duration::from_millis(8_900)).await;
    assert_eq!(world.ec2.state().volumes[&id].size_gib, 20, "not yet");
    let action = "DescribeVolumesModifications";
    let throttled = Fault::error("RequestLimitExceeded");
    world.ec2.inject(action, When::Times(3), throttled);
    let answer = expand_at_once(&world, &id).await.unwrap();
    assert_eq!(answer.capacity_bytes, 30 * GIB);
    let calls = world.ec2.calls();
    let seen = calls.iter().rfind(|call| call.action == action).unwrap();
    assert!(seen.at > effect, "it was looked at after that");
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
}

/// EC2's list of volumes lags behind that of modifications.
#[tokio::test(start_paused = true)]
async fn ebs_case_174_a_volume_that_is_shown_as_it_was_is_looked_at_once_more() {
    let (world, id) = with_volume(Ec2Options::default(), 20);
    expand(&world, &id, 30).await.unwrap();
    let former = format!(
        r#"<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><volumeSet><item>
        <volumeId>{id}</volumeId><size>20</size><status>available</status><volumeType>gp3</volumeType>
        </item></volumeSet></DescribeVolumesResponse>"#
    );
    world
        .ec2
        .inject("DescribeVolumes", When::Next, Fault::Body(former));
    assert_eq!(expand(&world, &id, 30).await.unwrap().capacity_bytes, 30 * GIB);
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
}
