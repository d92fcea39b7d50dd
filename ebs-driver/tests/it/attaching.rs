use std::time::Duration;

use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::{
    ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest, DeleteVolumeRequest,
    ValidateVolumeCapabilitiesRequest,
};
use ebs_driver::Config;
use ebs_driver::ec2::batch::Batching;
use sandbox::ec2::{Ec2Options, Fault, When};
use tonic::{Code, Status};

use crate::world::{World, block, code, map, mount};

const ZONE: &str = "us-east-1a";
/// The attacher's timeout in the chart.
const LIMIT: Duration = Duration::from_secs(360);

fn publish_request(volume: &str, node: &str) -> ControllerPublishVolumeRequest {
    ControllerPublishVolumeRequest {
        volume_id: volume.into(),
        node_id: node.into(),
        volume_capability: Some(mount("ext4")),
        ..ControllerPublishVolumeRequest::default()
    }
}

async fn send(world: &World, request: ControllerPublishVolumeRequest) -> Result<String, Status> {
    let request = csi::channel::request(request, LIMIT);
    let answer = world
        .channel
        .controller()
        .controller_publish_volume(request)
        .await?;
    Ok(answer.into_inner().publish_context["devicePath"].clone())
}

async fn publish(world: &World, volume: &str, node: &str) -> Result<String, Status> {
    send(world, publish_request(volume, node)).await
}

async fn unpublish(world: &World, volume: &str, node: &str) -> Result<(), Status> {
    let request = ControllerUnpublishVolumeRequest {
        volume_id: volume.into(),
        node_id: node.into(),
        ..ControllerUnpublishVolumeRequest::default()
    };
    let request = csi::channel::request(request, LIMIT);
    let answer = world
        .channel
        .controller()
        .controller_unpublish_volume(request)
        .await;
    answer.map(drop)
}

/// A region with an instance and volumes.
fn region(options: Ec2Options, volumes: usize) -> (World, String, Vec<String>) {
    let world = World::with(options, Config::default());
    let node = world.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
    let volumes = (0..volumes)
        .map(|_| world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap())
        .collect();
    (world, node, volumes)
}

#[tokio::test(start_paused = true)]
async fn ebs_case_49_50_a_volume_is_attached_once() {
    let (world, node, volumes) = region(Ec2Options::default(), 1);
    let begun = tokio::time::Instant::now();
    assert_eq!(publish(&world, &volumes[0], &node).await.unwrap(), "/dev/xvdaa");
    assert!(begun.elapsed() >= Ec2Options::default().timing.attaching);
    assert_eq!(world.sent("AttachVolume", "Device").unwrap(), "/dev/xvdaa");
    assert_eq!(world.sent("AttachVolume", "EbsCardIndex"), None);
    let before = world.calls();
    assert_eq!(publish(&world, &volumes[0], &node).await.unwrap(), "/dev/xvdaa");
    assert_eq!(
        world.actions_since(before),
        ["DescribeInstances", "DescribeVolumes"]
    );
    assert_eq!(world.ec2.count("AttachVolume"), 1);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_50_a_restarted_driver_finds_the_name_that_is_used() {
    let (world, node, volumes) = region(Ec2Options::instant(), 1);
    world
        .ec2
        .attach_volume_fixture(&volumes[0], &node, "/dev/xvdf")
        .unwrap();
    assert_eq!(publish(&world, &volumes[0], &node).await.unwrap(), "/dev/xvdf");
    assert_eq!(world.ec2.count("AttachVolume"), 0);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_51_parallel_attachments_take_different_names() {
    let (world, node, volumes) = region(Ec2Options::default(), 6);
    for volume in &volumes[..3] {
        publish(&world, volume, &node).await.unwrap();
    }
    let (first, second, third) = tokio::join!(
        publish(&world, &volumes[3], &node),
        publish(&world, &volumes[4], &node),
        publish(&world, &volumes[5], &node)
    );
    let mut names = [first.unwrap(), second.unwrap(), third.unwrap()];
    names.sort();
    assert_eq!(names, ["/dev/xvdad", "/dev/xvdae", "/dev/xvdaf"]);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_52_53_refusals_have_their_codes() {
    let (world, node, volumes) = region(Ec2Options::instant(), 1);
    let fault = Fault::error("AttachmentLimitExceeded");
    world.ec2.inject("AttachVolume", When::Next, fault);
    let refused = publish(&world, &volumes[0], &node).await;
    assert_eq!(code(refused), Code::ResourceExhausted);
    let unknown = publish(&world, &volumes[0], "i-0123456789abcdef0").await;
    assert_eq!(code(unknown), Code::NotFound);
    publish(&world, &volumes[0], &node).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_name_that_ec2_says_is_in_use_is_not_tried_again() {
    let (world, node, volumes) = region(Ec2Options::instant(), 1);
    let text = "Invalid value '/dev/xvdaa' for unixDevice. Attachment point /dev/xvdaa is already in use";
    let fault = Fault::error_with("InvalidParameterValue", text, http::StatusCode::BAD_REQUEST);
    world.ec2.inject("AttachVolume", When::Next, fault);
    assert_eq!(code(publish(&world, &volumes[0], &node).await), Code::Internal);
    assert_eq!(publish(&world, &volumes[0], &node).await.unwrap(), "/dev/xvdab");
}

#[tokio::test(start_paused = true)]
async fn ebs_case_54_an_unknown_instance_concerns_only_itself() {
    let (world, node, volumes) = region(Ec2Options::default(), 9);
    let volumes = &volumes;
    let known = futures::future::join_all(volumes.iter().map(|volume| publish(&world, volume, &node)));
    let (known, unknown) = tokio::join!(known, publish(&world, "vol-1", "i-0123456789abcdef0"));
    assert_eq!(code(unknown), Code::NotFound);
    for answer in known {
        answer.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_55_60_a_detached_volume_is_gone_from_its_instance() {
    let mut options = Ec2Options::default();
    options.timing.detaching = Duration::from_secs(30);
    let (world, node, volumes) = region(options, 2);
    publish(&world, &volumes[0], &node).await.unwrap();
    world.ec2.forget_volume(&volumes[1]);
    let validations = async {
        for _ in 0..25 {
            let request = ValidateVolumeCapabilitiesRequest {
                volume_id: volumes[1].clone(),
                volume_capabilities: vec![mount("ext4")],
                ..ValidateVolumeCapabilitiesRequest::default()
            };
            let answer = world
                .channel
                .controller()
                .validate_volume_capabilities(request)
                .await;
            assert_eq!(code(answer), Code::NotFound);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let begun = tokio::time::Instant::now();
    let detaching = async {
        unpublish(&world, &volumes[0], &node).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(30));
    };
    tokio::join!(detaching, validations);
    assert!(world.ec2.state().volumes[&volumes[0]].attachments.is_empty());
    assert_eq!(world.ec2.count("DetachVolume"), 1);
}

/// An instance may show an attachment for a while after it is gone, whoever detached it.
#[tokio::test(start_paused = true)]
async fn ebs_case_135_what_an_instance_still_shows_is_no_attachment() {
    for restarted in [false, true] {
        let mut options = Ec2Options::instant();
        options.lag.instance = Duration::from_secs(300);
        let (mut world, node, volumes) = region(options, 1);
        let volume = &volumes[0];
        publish(&world, volume, &node).await.unwrap();
        tokio::time::sleep(Duration::from_secs(400)).await;
        unpublish(&world, volume, &node).await.unwrap();
        if restarted {
            world = world.restarted();
        }
        publish(&world, volume, &node).await.unwrap();
        assert_eq!(
            world.ec2.state().volumes[volume].attachments.len(),
            1,
            "{restarted}"
        );
    }
}

/// EC2 has taken the attachment, so a look that still shows the volume where it was before is an old one.
#[tokio::test(start_paused = true)]
async fn ebs_case_163_where_the_volume_was_before_it_was_attached_is_waited_out() {
    let mut options = Ec2Options::instant();
    options.timing.attaching = Duration::from_secs(5);
    let (world, node, volumes) = region(options, 1);
    let id = &volumes[0];
    let old = format!(
        "<DescribeVolumesResponse><volumeSet><item><volumeId>{id}</volumeId><size>1</size><status>in-use</status>\
         <availabilityZone>us-east-1a</availabilityZone><createTime>2026-01-01T00:00:00Z</createTime>\
         <volumeType>gp3</volumeType><attachmentSet><item><volumeId>{id}</volumeId>\
         <instanceId>i-0aaaaaaaaaaaaaaaa</instanceId><device>/dev/xvdaa</device><status>detaching</status>\
         <attachTime>2026-01-01T00:00:00Z</attachTime></item></attachmentSet></item></volumeSet></DescribeVolumesResponse>"
    );
    world.ec2.inject("DescribeVolumes", When::Next, Fault::Body(old));
    publish(&world, id, &node).await.unwrap();
    assert_eq!(world.ec2.count("AttachVolume"), 1);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_56_a_volume_that_vanishes_ends_the_wait() {
    let mut options = Ec2Options::default();
    options.timing.attaching = Duration::from_secs(300);
    let (world, node, volumes) = region(options, 1);
    let begun = tokio::time::Instant::now();
    let vanish = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.ec2.forget_volume(&volumes[0]);
    };
    let (answer, ()) = tokio::join!(publish(&world, &volumes[0], &node), vanish);
    assert_eq!(code(answer), Code::Internal);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn ebs_case_57_bad_requests_and_running_ones() {
    let (world, node, volumes) = region(Ec2Options::default(), 1);
    assert_eq!(
        code(publish(&world, &volumes[0], "").await),
        Code::InvalidArgument
    );
    assert_eq!(code(publish(&world, "", &node).await), Code::InvalidArgument);
    let mut request = publish_request(&volumes[0], &node);
    request.volume_capability = None;
    assert_eq!(code(send(&world, request.clone()).await), Code::InvalidArgument);
    request.volume_capability = Some(block(Mode::MultiNodeReaderOnly));
    assert_eq!(code(send(&world, request).await), Code::InvalidArgument);
    assert_eq!(
        code(unpublish(&world, &volumes[0], "").await),
        Code::InvalidArgument
    );
    assert_eq!(world.calls(), 0);
    let delete = DeleteVolumeRequest {
        volume_id: volumes[0].clone(),
        ..DeleteVolumeRequest::default()
    };
    let mut client = world.channel.controller();
    let (first, second, deleted) = tokio::join!(
        publish(&world, &volumes[0], &node),
        publish(&world, &volumes[0], &node),
        client.delete_volume(delete),
    );
    assert_eq!(first.unwrap(), "/dev/xvdaa");
    assert_eq!(code(second), Code::Aborted);
    assert_eq!(code(deleted), Code::Aborted);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_58_a_volume_may_be_waited_for_until_it_is_filled() {
    let config = Config {
        batching: Batching::Off,
        ..Config::default()
    };
    let world = World::with(Ec2Options::instant(), config);
    let node = world.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
    let source = world.ec2.create_volume_fixture(ZONE, 12, &[]).unwrap();
    let snapshot = world.ec2.create_snapshot_fixture(&source, &[]).unwrap();
    let parameters = [
        ("AvailabilityZone", ZONE),
        ("SnapshotId", &snapshot),
        ("VolumeType", "gp3"),
        ("VolumeInitializationRate", "100"),
    ];
    let volume = world.ec2.create_volume_fixture_with(&parameters, &[]).unwrap();
    let mut request = publish_request(&volume, &node);
    request.volume_context = map(&[("blockattachuntilinitialized", "true")]);
    let begun = tokio::time::Instant::now();
    send(&world, request.clone()).await.unwrap();
    let took = begun.elapsed().as_secs();
    assert!((115..130).contains(&took), "{took}");
    assert_eq!(world.ec2.count("DescribeVolumeStatus"), 2);
    send(&world, request).await.unwrap();
    assert_eq!(world.ec2.count("DescribeVolumeStatus"), 2);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_59_node_local_volumes_are_named_and_not_attached() {
    let publish_local = async |config: Config, handle: &str, device: &str| {
        let world = World::with(Ec2Options::instant(), config);
        let node = world.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
        let volume = world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
        world.ec2.attach_volume_fixture(&volume, &node, device).unwrap();
        let answer = world
            .channel
            .controller()
            .controller_publish_volume(publish_request(handle, &node))
            .await;
        assert_eq!(world.ec2.count("AttachVolume"), 0);
        answer.map(|answer| (answer.into_inner().publish_context, volume))
    };
    let handle = "local-ebs://dev/xvdbz";
    let on = Config {
        has_node_local_volumes: true,
        ..Config::default()
    };
    let off = publish_local(Config::default(), handle, "/dev/xvdbz").await;
    assert_eq!(code(off), Code::InvalidArgument);
    let root = publish_local(on.clone(), "local-ebs://dev/xvda", "/dev/xvdbz").await;
    assert_eq!(code(root), Code::Internal);
    let unmapped = publish_local(on.clone(), handle, "/dev/xvdby").await;
    assert_eq!(code(unmapped), Code::NotFound);
    let malformed = publish_local(on.clone(), "local-ebs://xvdbz", "/dev/xvdbz").await;
    assert_eq!(code(malformed), Code::InvalidArgument);
    let (context, volume) = publish_local(on, handle, "/dev/xvdbz").await.unwrap();
    assert_eq!(
        context,
        map(&[("devicePath", "/dev/xvdbz"), ("volumeID", &volume)])
    );
}

#[tokio::test(start_paused = true)]
async fn ebs_case_61_62_what_is_not_attached_is_detached() {
    let mut options = Ec2Options::default();
    options.timing.detaching = Duration::from_secs(60);
    let (world, node, volumes) = region(options, 3);
    unpublish(&world, &volumes[0], &node).await.unwrap();
    let fault = Fault::error("InvalidAttachment.NotFound");
    world.ec2.inject("DetachVolume", When::Next, fault);
    unpublish(&world, &volumes[0], &node).await.unwrap();
    unpublish(&world, "vol-0123456789abcdef0", &node).await.unwrap();
    publish(&world, &volumes[1], &node).await.unwrap();
    let vanish = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.ec2.forget_volume(&volumes[1]);
    };
    let (answer, ()) = tokio::join!(unpublish(&world, &volumes[1], &node), vanish);
    answer.unwrap();
    world.ec2.forget_instance(&node);
    let before = world.calls();
    unpublish(&world, &volumes[2], &node).await.unwrap();
    assert_eq!(world.actions_since(before), ["DetachVolume"]);
    world
        .ec2
        .inject("DetachVolume", When::Next, Fault::error("UnauthorizedOperation"));
    assert_eq!(code(unpublish(&world, &volumes[2], &node).await), Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_63_a_hanging_detachment_is_shown_until_it_ends() {
    let mut options = Ec2Options::default();
    options.timing.detaching = Duration::from_secs(100);
    let (world, node, volumes) = region(options, 1);
    publish(&world, &volumes[0], &node).await.unwrap();
    let metric = "aws_ebs_csi_ec2_detach_pending_seconds_total";
    let scrape = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(world.counter(metric, &[]), 0.0);
        tokio::time::sleep(Duration::from_secs(40)).await;
        let labels = [
            ("volume_id", volumes[0].as_str()),
            ("instance_id", node.as_str()),
            ("attachment_state", "detaching"),
        ];
        let value = world.counter(metric, &labels);
        assert!((69.0..71.0).contains(&value), "{value}");
    };
    let (answer, ()) = tokio::join!(unpublish(&world, &volumes[0], &node), scrape);
    answer.unwrap();
    assert_eq!(world.counter(metric, &[]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_volume_at_another_instance_is_named_with_it() {
    let (world, node, volumes) = region(Ec2Options::default(), 1);
    let other = world.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
    publish(&world, &volumes[0], &other).await.unwrap();
    let refused = publish(&world, &volumes[0], &node).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    assert!(refused.message().contains(&other), "{refused}");
    unpublish(&world, &volumes[0], &other).await.unwrap();
    publish(&world, &volumes[0], &node).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_multi_attach_volume_is_at_several_instances() {
    let (world, node, _) = region(Ec2Options::default(), 0);
    let other = world.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
    let parameters = [
        ("AvailabilityZone", ZONE),
        ("Size", "10"),
        ("VolumeType", "io2"),
        ("Iops", "100"),
        ("MultiAttachEnabled", "true"),
    ];
    let volume = world.ec2.create_volume_fixture_with(&parameters, &[]).unwrap();
    let request = |node: &str| ControllerPublishVolumeRequest {
        volume_capability: Some(block(Mode::MultiNodeMultiWriter)),
        ..publish_request(&volume, node)
    };
    let (first, second) = tokio::join!(send(&world, request(&node)), send(&world, request(&other)));
    first.unwrap();
    second.unwrap();
    unpublish(&world, &volume, &node).await.unwrap();
    assert_eq!(world.ec2.state().volumes[&volume].attachments.len(), 1);
}

/// The answer to AttachVolume is lost: the repeated call is refused, and what is there is found.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_ends_attached() {
    let (world, node, volumes) = region(Ec2Options::default(), 1);
    world.ec2.inject("AttachVolume", When::Next, Fault::LostAnswer);
    assert_eq!(publish(&world, &volumes[0], &node).await.unwrap(), "/dev/xvdaa");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_attachment_is_resumed_and_a_lost_one_begun_anew() {
    let mut options = Ec2Options::default();
    options.timing.attaching = Duration::from_secs(20);
    let (world, node, volumes) = region(options, 1);
    let early = tokio::time::timeout(Duration::from_secs(5), publish(&world, &volumes[0], &node));
    assert!(early.await.is_err());
    assert_eq!(publish(&world, &volumes[0], &node).await.unwrap(), "/dev/xvdaa");
    assert_eq!(world.ec2.count("AttachVolume"), 1);
    // Detached by somebody else: nothing holds the volume up.
    world.ec2.detach_volume_fixture(&volumes[0], &node).unwrap();
    publish(&world, &volumes[0], &node).await.unwrap();
    assert_eq!(world.ec2.count("AttachVolume"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_emptier_card_of_several_is_named() {
    let world = World::new();
    let node = world
        .ec2
        .create_instance_fixture(ZONE, "r8gb.48xlarge", &[])
        .unwrap();
    let volume = world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
    publish(&world, &volume, &node).await.unwrap();
    assert_eq!(world.sent("AttachVolume", "EbsCardIndex").unwrap(), "1");
    let second = world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
    publish(&world, &second, &node).await.unwrap();
    assert_eq!(world.ec2.count("DescribeInstanceTypes"), 1);
}

/// An attachment costs at most 2 calls besides its share of merged ones.
#[tokio::test(start_paused = true)]
async fn attachments_share_their_polls() {
    let mut options = Ec2Options::default();
    options.instance_types[0].attachments = 200;
    let (world, node, volumes) = region(options, 50);
    let all = futures::future::join_all(volumes.iter().map(|volume| publish(&world, volume, &node)));
    for answer in all.await {
        answer.unwrap();
    }
    let calls = world.calls();
    assert!(calls <= 50 * 2, "{calls} calls: {:?}", world.ec2.counts());
}

#[tokio::test(start_paused = true)]
async fn ebs_case_107_a_refused_look_before_an_attachment_is_not_final() {
    let (world, node, volumes) = region(Ec2Options::instant(), 1);
    let refused = Fault::error("UnauthorizedOperation");
    world.ec2.inject("DescribeInstances", When::Next, refused.clone());
    assert_eq!(code(publish(&world, &volumes[0], &node).await), Code::Unavailable);
    assert_eq!(world.ec2.count("AttachVolume"), 0);
    world.ec2.inject("AttachVolume", When::Next, refused);
    assert_eq!(code(publish(&world, &volumes[0], &node).await), Code::Internal);
    publish(&world, &volumes[0], &node).await.unwrap();
}

/// EC2 has a code of its own for a taken device name too.
#[tokio::test(start_paused = true)]
async fn a_device_in_use_is_not_tried_again() {
    let (world, node, volumes) = region(Ec2Options::instant(), 1);
    let fault = Fault::error("InvalidDevice.InUse");
    world.ec2.inject("AttachVolume", When::Next, fault);
    assert_eq!(code(publish(&world, &volumes[0], &node).await), Code::Internal);
    assert_eq!(publish(&world, &volumes[0], &node).await.unwrap(), "/dev/xvdab");
}

/// The clock of the node is three minutes before EC2's or behind it: only what is seen to hang for long hangs.
#[tokio::test(start_paused = true)]
async fn ebs_case_172_a_wrong_clock_makes_no_attachment_hang_and_hides_none() {
    for of_ec2 in ["2025-12-31T23:57:00Z", "2026-01-01T00:03:00Z"] {
        for (takes, hangs) in [(20, false), (600, true)] {
            let mut options = Ec2Options::default();
            options.timing.attaching = Duration::from_secs(takes);
            let world = World::with_clock_of_ec2(of_ec2, options, Config::default());
            let node = world.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
            let volume = world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
            let begun = tokio::time::Instant::now();
            match publish(&world, &volume, &node).await {
                Ok(device) => assert_eq!((device.as_str(), hangs), ("/dev/xvdaa", false), "{of_ec2}"),
                Err(error) => {
                    assert!(hangs && error.message().contains("hangs on its way"), "{error}");
                    assert!(begun.elapsed() > Duration::from_secs(90), "{of_ec2}");
                }
            }
            assert_eq!(world.ec2.count("DetachVolume"), u64::from(hangs), "{of_ec2}");
        }
    }
}
