//! Volumes of nodes of SageMaker HyperPod.

use std::time::Duration;

use csi::v1::{ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest};
use ebs_driver::Config;
use sandbox::ec2::{Ec2Options, Fault, When};
use tonic::{Code, Status};

use crate::world::{World, code, mount};

const ZONE: &str = "us-east-1a";
const CLUSTER: &str = "abcde3ghij4l";
const ATTACH: &str = "AttachClusterNodeVolume";
const DETACH: &str = "DetachClusterNodeVolume";
/// The attacher's timeout in the chart.
const LIMIT: Duration = Duration::from_secs(360);

/// A region with a node of a cluster and a volume.
struct Region {
    world: World,
    instance: String,
    volume: String,
}

impl Region {
    fn new(options: Ec2Options) -> Self {
        let world = World::with(options, Config::default());
        let fixture = world.ec2.create_cluster_node_fixture(CLUSTER, ZONE, "m5.large");
        Self {
            instance: fixture.unwrap(),
            volume: world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap(),
            world,
        }
    }

    fn node(&self) -> String {
        format!("hyperpod-{CLUSTER}-{}", self.instance)
    }

    async fn publish_at(&self, node_id: &str) -> Result<String, Status> {
        let request = ControllerPublishVolumeRequest {
            volume_id: self.volume.clone(),
            node_id: node_id.to_owned(),
            volume_capability: Some(mount("ext4")),
            ..ControllerPublishVolumeRequest::default()
        };
        let request = csi::channel::request(request, LIMIT);
        let mut controller = self.world.channel.controller();
        let answer = controller.controller_publish_volume(request).await?;
        Ok(answer.into_inner().publish_context["devicePath"].clone())
    }

    async fn publish(&self) -> Result<String, Status> {
        self.publish_at(&self.node()).await
    }

    async fn unpublish_at(&self, node_id: &str) -> Result<(), Status> {
        let request = ControllerUnpublishVolumeRequest {
            volume_id: self.volume.clone(),
            node_id: node_id.to_owned(),
            ..ControllerUnpublishVolumeRequest::default()
        };
        let request = csi::channel::request(request, LIMIT);
        let mut controller = self.world.channel.controller();
        controller.controller_unpublish_volume(request).await.map(drop)
    }

    async fn unpublish(&self) -> Result<(), Status> {
        self.unpublish_at(&self.node()).await
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_156_volumes_are_attached_by_sagemaker() {
    let region = Region::new(Ec2Options::default());
    let begun = tokio::time::Instant::now();
    assert_eq!(region.publish().await.unwrap(), "/dev/sdf");
    assert!(begun.elapsed() >= Ec2Options::default().timing.attaching);
    let world = &region.world;
    let arn = format!("arn:aws:sagemaker:us-east-1:111122223333:cluster/{CLUSTER}");
    assert_eq!(world.sent(ATTACH, "ClusterArn"), Some(arn.clone()));
    assert_eq!(world.sent(ATTACH, "NodeId"), Some(region.instance.clone()));
    assert_eq!(world.sent(ATTACH, "VolumeId"), Some(region.volume.clone()));

    let before = world.calls();
    assert_eq!(
        region.publish().await.unwrap(),
        "/dev/sdf",
        "it is attached already"
    );
    assert_eq!(world.actions_since(before), ["DescribeVolumes"]);
    region.unpublish().await.unwrap();
    assert_eq!(world.sent(DETACH, "ClusterArn"), Some(arn));
    region.unpublish().await.unwrap();
    assert_eq!((world.ec2.count(ATTACH), world.ec2.count(DETACH)), (1, 2));
    for never in ["AttachVolume", "DetachVolume", "DescribeInstances"] {
        assert_eq!(world.ec2.count(never), 0, "{never}");
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_156_ids_that_are_none_are_refused_without_a_call() {
    let region = Region::new(Ec2Options::instant());
    for id in ["hyperpod-abc", "hyperpod-i-01"] {
        assert_eq!(code(region.publish_at(id).await), Code::InvalidArgument, "{id}");
        assert_eq!(code(region.unpublish_at(id).await), Code::InvalidArgument, "{id}");
    }
    assert_eq!(region.world.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_157_what_ec2_refuses_is_told_as_its_own() {
    let refused = |code: &'static str| async move {
        let region = Region::new(Ec2Options::instant());
        region
            .world
            .ec2
            .inject(ATTACH, When::Times(1), Fault::error(code));
        region.publish().await
    };
    let full = refused("AttachmentLimitExceeded").await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted, "{full}");
    assert!(full.message().contains("AttachmentLimitExceeded"), "{full}");
    for (code, says) in [
        ("AccessDeniedException", "AccessDeniedException"),
        ("ResourceNotFound", "ResourceNotFound"),
        ("InvalidVolume.NotFound", "InvalidVolume.NotFound"),
    ] {
        let error = refused(code).await.unwrap_err();
        assert_eq!(error.code(), Code::Internal, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
    assert_eq!(
        refused("RequestLimitExceeded").await.unwrap(),
        "/dev/sdf",
        "tried again"
    );
}

#[tokio::test(start_paused = true)]
async fn ebs_case_157_what_is_gone_counts_as_detached() {
    for code in [
        "IncorrectState",
        "InvalidAttachment.NotFound",
        "InvalidVolume.NotFound",
    ] {
        let region = Region::new(Ec2Options::instant());
        region.publish().await.unwrap();
        region
            .world
            .ec2
            .inject(DETACH, When::Times(1), Fault::error(code));
        region.unpublish().await.unwrap();
        assert_eq!(region.world.ec2.count(DETACH), 1, "{code}");
    }
    let region = Region::new(Ec2Options::instant());
    region.publish().await.unwrap();
    let denied = Fault::error("AccessDeniedException");
    region.world.ec2.inject(DETACH, When::Times(1), denied);
    assert_eq!(code(region.unpublish().await), Code::Internal);
}

/// The first answer is lost; the second one says that the volume is in use, by this very node.
#[tokio::test(start_paused = true)]
async fn ebs_case_157_an_attachment_whose_answer_was_lost_is_found() {
    let region = Region::new(Ec2Options::instant());
    region.world.ec2.inject(ATTACH, When::Times(1), Fault::LostAnswer);
    assert_eq!(region.publish().await.unwrap(), "/dev/sdf");

    let region = Region::new(Ec2Options::instant());
    let other = region
        .world
        .ec2
        .create_instance_fixture(ZONE, "m5.large", &[])
        .unwrap();
    region
        .world
        .ec2
        .attach_volume_fixture(&region.volume, &other, "/dev/xvdf")
        .unwrap();
    let elsewhere = region.publish().await.unwrap_err();
    assert_eq!(elsewhere.code(), Code::Internal);
    assert!(elsewhere.message().contains(&other), "{elsewhere}");
    assert_eq!(region.world.ec2.count(ATTACH), 0);
}

/// Neither would ever be known again, and the node's object could not go.
#[tokio::test(start_paused = true)]
async fn ebs_case_171_a_node_that_is_gone_holds_no_volume() {
    let region = Region::new(Ec2Options::instant());
    let gone = format!("hyperpod-{CLUSTER}-i-0123456789abcdef0");
    region.unpublish_at(&gone).await.unwrap();
    assert_eq!(region.world.ec2.refusals()["ResourceNotFound"], 1);

    region.publish().await.unwrap();
    let unknown = Fault::error("ResourceNotFound");
    region.world.ec2.inject(DETACH, When::Times(1), unknown);
    let refused = region.unpublish().await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal, "EC2 shows it there");
    assert!(refused.message().contains("ResourceNotFound"), "{refused}");
    region.unpublish().await.unwrap();
}
