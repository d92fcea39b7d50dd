//! Volumes that EC2 shows late, loses from sight for a moment, or makes otherwise than it was asked to.

use std::collections::BTreeSet;
use std::time::Duration;

use csi::v1::volume_content_source::{Type, VolumeSource};
use csi::v1::{CreateVolumeRequest, VolumeContentSource};
use ebs_driver::Config;
use sandbox::ec2::{Ec2Options, Fault, When};
use tonic::Code;

use crate::world::{World, volume};

/// The client tokens that were sent with this action.
fn tokens(world: &World, action: &str) -> BTreeSet<String> {
    let calls = world.ec2.calls().into_iter();
    calls
        .filter(|call| call.action == action)
        .map(|call| call.parameters["ClientToken"].clone())
        .collect()
}

/// Volumes take twenty seconds.
fn slow() -> Ec2Options {
    let mut options = Ec2Options::default();
    options.timing.volume_creation = Duration::from_secs(20);
    options
}

/// Far later than the driver supposes EC2 to be late.
#[tokio::test(start_paused = true)]
async fn ebs_case_164_a_volume_that_is_shown_after_twenty_seconds_is_the_only_one() {
    let mut options = slow();
    options.lag.volume = Duration::from_secs(20);
    options.lag.tag = Duration::from_secs(20);
    let world = World::with(options, Config::default());
    let mut refusals = 0;
    while let Err(error) = world.create_volume(volume("pvc-1", &[])).await {
        assert_eq!(error.code(), Code::Aborted, "{error}");
        refusals += 1;
        assert!(refusals < 10, "{error}");
    }
    assert!(refusals > 0);
    assert_eq!(world.ec2.state().volumes.len(), 1);
    assert_eq!(tokens(&world, "CreateVolume").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_165_a_volume_that_is_not_shown_once_is_waited_for() {
    let world = World::with(slow(), Config::default());
    let hidden = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let by_id = When::Matching(std::sync::Arc::new(|parameters| {
            parameters.contains_key("VolumeId.1")
        }));
        world
            .ec2
            .inject("DescribeVolumes", by_id, Fault::error("InvalidVolume.NotFound"));
        let none = r#"<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><volumeSet/>
            </DescribeVolumesResponse>"#;
        let by_tag = When::parameter("Filter.1.Name", "tag:CSIVolumeName");
        world
            .ec2
            .inject("DescribeVolumes", by_tag, Fault::Body(none.to_owned()));
    };
    let (made, ()) = tokio::join!(world.create_volume(volume("pvc-1", &[])), hidden);
    made.unwrap();
    assert_eq!(world.ec2.refusals()["InvalidVolume.NotFound"], 1, "it was hidden");
    assert_eq!(world.ec2.state().volumes.len(), 1);
    assert_eq!(tokens(&world, "CreateVolume").len(), 1);
}

/// A copy that is to be encrypted, of a volume that is not, in an EC2 that answers another volume: one without encryption
/// that is still being made.
async fn answered_without_encryption() -> (World, String, CreateVolumeRequest, impl Fn(&World)) {
    let world = World::with(slow(), Config::default());
    let source = world.ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let other = world.create_volume(volume("other", &[]));
    assert!(tokio::time::timeout(Duration::from_secs(1), other).await.is_err());
    let state = world.ec2.state();
    let plain = state.volumes.into_keys().find(|id| *id != source).unwrap();
    let answer = format!(
        r#"<CopyVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><volumeSet><item>
        <volumeId>{plain}</volumeId><size>1</size><status>creating</status><encrypted>false</encrypted>
        </item></volumeSet></CopyVolumesResponse>"#
    );
    let request = CreateVolumeRequest {
        volume_content_source: Some(VolumeContentSource {
            r#type: Some(Type::Volume(VolumeSource { volume_id: source })),
        }),
        ..volume("pvc-1", &[("encrypted", "true")])
    };
    let ignores = move |world: &World| {
        world
            .ec2
            .inject("CopyVolumes", When::Next, Fault::Body(answer.clone()));
    };
    (world, plain, request, ignores)
}

#[tokio::test(start_paused = true)]
async fn ebs_case_166_a_copy_that_is_not_encrypted_goes_before_another_is_made() {
    let (world, plain, request, ignores) = answered_without_encryption().await;
    ignores(&world);
    let error = world.create_volume(request.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("did not encrypt"), "{error}");
    assert!(error.message().contains("was deleted"), "{error}");
    assert_eq!(world.ec2.count("DeleteVolume"), 1);
    let made = world.create_volume(request).await.unwrap();
    assert_eq!(tokens(&world, "CopyVolumes").len(), 2);
    let state = world.ec2.state();
    assert!(!state.volumes.contains_key(&plain));
    assert!(state.volumes[&made.volume_id].encrypted);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_166_a_volume_that_cannot_be_deleted_keeps_its_token() {
    let (world, _, request, ignores) = answered_without_encryption().await;
    let denied = Fault::error("UnauthorizedOperation");
    world.ec2.inject("DeleteVolume", When::Times(1), denied);
    for text in ["could not be deleted", "was deleted"] {
        ignores(&world);
        let error = world.create_volume(request.clone()).await.unwrap_err();
        assert_eq!(error.code(), Code::Aborted);
        assert!(error.message().contains(text), "{error}");
        assert_eq!(tokens(&world, "CopyVolumes").len(), 1);
    }
}
