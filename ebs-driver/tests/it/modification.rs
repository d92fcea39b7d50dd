//! ControllerModifyVolume and the service before it.

use std::time::Duration;

use csi::modify::v1::modify_client::ModifyClient;
use csi::modify::v1::{GetCsiDriverModificationCapabilityRequest, ModifyVolumePropertiesRequest};
use csi::v1::{ControllerExpandVolumeRequest, ControllerModifyVolumeRequest};
use ebs_driver::Config;
use sandbox::ec2::{Ec2Options, Fault, When};
use tonic::{Code, Status};

use crate::world::{GIB, World, code, map, mount, range};

async fn modify(world: &World, id: &str, parameters: &[(&str, &str)]) -> Result<(), Status> {
    let request = ControllerModifyVolumeRequest {
        volume_id: id.into(),
        mutable_parameters: map(parameters),
        ..ControllerModifyVolumeRequest::default()
    };
    let request = csi::channel::request(request, Duration::from_secs(60));
    let answer = world.channel.controller().controller_modify_volume(request).await;
    answer.map(|_| ())
}

async fn expand(world: &World, id: &str, gib: i64) -> Result<i64, Status> {
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
    Ok(answer.into_inner().capacity_bytes / GIB)
}

fn with_volume(options: Ec2Options) -> (World, String) {
    let world = World::with(options, Config::default());
    let id = world
        .ec2
        .create_volume_fixture("us-east-1a", 20, &[("old", "1")])
        .unwrap();
    (world, id)
}

fn instant() -> (World, String) {
    with_volume(Ec2Options::instant())
}

/// Type, IOPS and throughput.
fn performance(world: &World, id: &str) -> (String, Option<u32>, Option<u32>) {
    let volume = &world.ec2.state().volumes[id];
    (volume.volume_type.clone(), volume.iops, volume.throughput)
}

fn tag(world: &World, id: &str, key: &str) -> Option<String> {
    world.ec2.state().volumes[id].tags.get(key).cloned()
}

#[tokio::test(start_paused = true)]
async fn a_class_changes_type_iops_and_throughput_by_one_call() {
    let (world, id) = with_volume(Ec2Options::default());
    let parameters = [("type", "gp3"), ("iops", "4000"), ("throughput", "250")];
    modify(&world, &id, &parameters).await.unwrap();
    assert_eq!(performance(&world, &id), ("gp3".into(), Some(4000), Some(250)));
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
    assert_eq!(
        world.sent("ModifyVolume", "VolumeType"),
        None,
        "it is of that type already"
    );
    modify(&world, &id, &parameters).await.unwrap();
    assert_eq!(world.ec2.count("ModifyVolume"), 1, "it is as asked");
    assert_eq!(
        code(modify(&world, "vol-0123456789abcdef0", &parameters).await),
        Code::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn ebs_case_75_the_codes_of_a_refused_modification() {
    for (ec2_code, expected) in [
        ("VolumeModificationSizeLimitExceeded", Code::Internal),
        ("VolumeModificationRateExceeded", Code::Internal),
        ("MaxIOPSLimitExceeded", Code::Internal),
        ("InvalidParameterCombination", Code::InvalidArgument),
        ("UnsupportedOperation", Code::InvalidArgument),
        ("RequestLimitExceeded", Code::Unavailable),
    ] {
        let (world, id) = instant();
        world
            .ec2
            .inject("ModifyVolume", When::Always, Fault::error(ec2_code));
        assert_eq!(
            code(modify(&world, &id, &[("type", "io2"), ("iops", "500")]).await),
            expected,
            "{ec2_code}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_76_97_98_105_what_is_wrong_is_refused_by_its_name_without_a_call() {
    let (world, id) = instant();
    for (parameters, named) in [
        (vec![("Iops", "4000")], "Iops"),
        (vec![("colour", "red")], "colour"),
        (vec![("iops", "0")], "iops"),
        (vec![("throughput", "fast")], "throughput"),
        (vec![("iops", "3000"), ("iopspergb", "5")], "iopspergb"),
        (vec![("tagSpecification_1", "abc")], "abc"),
        (vec![("tagSpecification_1", "CSIVolumeName=x")], "CSIVolumeName"),
        (vec![("tagDeletion_1", "kubernetes.io/x")], "kubernetes.io/x"),
    ] {
        let refused = modify(&world, &id, &parameters).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{parameters:?}");
        assert!(refused.message().contains(named), "{}", refused.message());
    }
    assert_eq!(
        code(modify(&world, "", &[("iops", "4000")]).await),
        Code::InvalidArgument
    );
    let local = "local-ebs://dev/xvdbz";
    assert_eq!(
        code(modify(&world, local, &[("iops", "4000")]).await),
        Code::InvalidArgument
    );
    // Case 105: what is no ID of a volume names none.
    for parameters in [vec![], vec![("iops", "4000")]] {
        assert_eq!(code(modify(&world, "some-id", &parameters).await), Code::NotFound);
    }
    // Nothing is asked for.
    modify(&world, &id, &[]).await.unwrap();
    modify(&world, &id, &[("csi.storage.k8s.io/pvc/name", "c")])
        .await
        .unwrap();
    assert_eq!(world.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_77_tags_alone_are_one_call() {
    let (world, id) = instant();
    let parameters = [
        ("csi.storage.k8s.io/pvc/namespace", "shop"),
        ("tagSpecification_1", "team={{ .PVCNamespace | toUpper }}"),
    ];
    modify(&world, &id, &parameters).await.unwrap();
    assert_eq!(world.actions_since(0), ["CreateTags"]);
    assert_eq!(tag(&world, &id, "team").as_deref(), Some("SHOP"));
    modify(
        &world,
        &id,
        &[("tagDeletion_1", "old"), ("tagDeletion_2", "none")],
    )
    .await
    .unwrap();
    assert_eq!(world.actions_since(0), ["CreateTags", "DeleteTags"]);
    assert_eq!(tag(&world, &id, "old"), None);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_78_99_a_ratio_that_nothing_allows_changes_no_tag() {
    let (world, id) = instant();
    let ratio = ("iopspergb", "200");
    let refused = modify(&world, &id, &[ratio, ("tagSpecification_1", "a=b")])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("allowautoiopsincreaseonmodify"),
        "{}",
        refused.message()
    );
    assert_eq!(
        (world.ec2.count("CreateTags"), world.ec2.count("ModifyVolume")),
        (0, 0)
    );

    let allowed = ("allowautoiopsincreaseonmodify", "true");
    modify(&world, &id, &[ratio, allowed]).await.unwrap();
    assert_eq!(performance(&world, &id).1, Some(4000));
    assert_eq!(
        tag(&world, &id, "ebs.csi.aws.com/IOPSPerGb").as_deref(),
        Some("200")
    );
    // From now on they follow the size.
    expand(&world, &id, 30).await.unwrap();
    assert_eq!(performance(&world, &id).1, Some(6000));
}

#[tokio::test(start_paused = true)]
async fn ebs_case_100_an_expansion_and_a_modification_in_one_window_are_one_call() {
    let (world, id) = with_volume(Ec2Options::default());
    let (grown, modified) = tokio::join!(expand(&world, &id, 30), modify(&world, &id, &[("iops", "5000")]));
    assert_eq!(grown.unwrap(), 30);
    modified.unwrap();
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
    assert_eq!(world.sent("ModifyVolume", "Size").as_deref(), Some("30"));
    assert_eq!(world.sent("ModifyVolume", "Iops").as_deref(), Some("5000"));
    let (first, second) = tokio::join!(
        modify(&world, &id, &[("throughput", "200")]),
        modify(&world, &id, &[("throughput", "300")])
    );
    assert_eq!(code(first), Code::Internal, "optimizing");
    assert_eq!(
        code(second),
        Code::Aborted,
        "another one of the volume is pending"
    );
}

#[tokio::test(start_paused = true)]
async fn ebs_case_101_a_class_that_ec2_refuses_holds_up_no_growth_and_the_other_way_round() {
    let (world, id) = instant();
    // st1 begins at 125 GiB.
    let (grown, modified) = tokio::join!(expand(&world, &id, 30), modify(&world, &id, &[("type", "st1")]));
    assert_eq!(grown.unwrap(), 30);
    assert_eq!(code(modified), Code::InvalidArgument);
    assert_eq!(performance(&world, &id).0, "gp3");

    let (grown, modified) = tokio::join!(
        expand(&world, &id, 70_000),
        modify(&world, &id, &[("iops", "5000")])
    );
    assert_eq!(code(grown), Code::InvalidArgument);
    modified.unwrap();
    assert_eq!(performance(&world, &id).1, Some(5000));
    let volume = &world.ec2.state().volumes[&id];
    assert_eq!(volume.size_gib, 30);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_102_the_service_before_attributes_classes_does_the_same() {
    let (world, id) = instant();
    let mut client = ModifyClient::new(world.channel.clone());
    let capability = GetCsiDriverModificationCapabilityRequest {};
    client
        .get_csi_driver_modification_capability(capability)
        .await
        .unwrap();
    let request = |name: &str| ModifyVolumePropertiesRequest {
        name: name.into(),
        parameters: map(&[("iops", "4500")]),
        ..ModifyVolumePropertiesRequest::default()
    };
    assert_eq!(
        code(client.modify_volume_properties(request("")).await),
        Code::InvalidArgument
    );
    client.modify_volume_properties(request(&id)).await.unwrap();
    assert_eq!(performance(&world, &id).1, Some(4500));
}

#[tokio::test(start_paused = true)]
async fn ebs_case_103_what_is_refused_without_a_call_changes_no_tag() {
    let mut options = Ec2Options::default();
    options.timing.optimizing = Duration::from_secs(600);
    let (world, id) = with_volume(options);
    modify(&world, &id, &[("iops", "4000")]).await.unwrap();
    let next = [("iops", "5000"), ("tagSpecification_1", "team=a")];
    assert_eq!(code(modify(&world, &id, &next).await), Code::Internal);
    assert_eq!(
        (world.ec2.count("CreateTags"), world.ec2.count("ModifyVolume")),
        (0, 1)
    );
    tokio::time::sleep(Duration::from_secs(700)).await;
    modify(&world, &id, &next).await.unwrap();
    assert_eq!(tag(&world, &id, "team").as_deref(), Some("a"));
    assert_eq!(performance(&world, &id).1, Some(5000));
}

#[tokio::test(start_paused = true)]
async fn ebs_case_104_iops_are_fitted_to_the_type_and_the_size() {
    for (iops, expected) in [("100", 3000), ("20000", 10_000)] {
        let (world, id) = instant();
        modify(&world, &id, &[("iops", iops)]).await.unwrap();
        assert_eq!(performance(&world, &id).1, Some(expected), "{iops}");
    }
}

/// The volume keeps its IOPS, though they stay the same and only the type is another one.
#[tokio::test(start_paused = true)]
async fn ebs_case_160_iops_that_stay_are_told_with_another_type() {
    let (world, _) = instant();
    let id = world.ec2.create_volume_fixture("us-east-1a", 500, &[]).unwrap();
    modify(&world, &id, &[("iops", "10000")]).await.unwrap();
    for volume_type in ["io1", "io2", "gp3"] {
        let parameters = [("type", volume_type), ("iops", "10000")];
        modify(&world, &id, &parameters).await.unwrap();
        let (has, iops, _) = performance(&world, &id);
        assert_eq!((has.as_str(), iops), (volume_type, Some(10_000)));
    }
}

/// The tags of the volume, which has none here and may have such as nobody may set, have no part in it.
#[tokio::test(start_paused = true)]
async fn ebs_case_162_the_dry_run_bears_the_tags_that_policies_ask_for() {
    let (world, _) = instant();
    let id = world.ec2.create_volume_fixture("us-east-1a", 500, &[]).unwrap();
    modify(&world, &id, &[("iops", "10000")]).await.unwrap();
    let calls = world.ec2.calls();
    let probe = calls.iter().find(|call| call.dry_run).unwrap();
    let is_tag = |(name, _): &(&String, &String)| name.contains(".Tag.");
    let told: Vec<&str> = probe
        .parameters
        .iter()
        .filter(is_tag)
        .map(|(_, text)| text.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "CSIVolumeName",
            "IopsLimitDryRun",
            "ebs.csi.aws.com/cluster",
            "true"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_ends_as_asked_without_a_second_change() {
    let (world, id) = with_volume(Ec2Options::default());
    world.ec2.inject("ModifyVolume", When::Next, Fault::LostAnswer);
    let parameters = [("iops", "4000"), ("tagSpecification_1", "team=a")];
    assert_eq!(code(modify(&world, &id, &parameters).await), Code::Unavailable);
    modify(&world, &id, &parameters).await.unwrap();
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
    assert_eq!(performance(&world, &id).1, Some(4000));
}
