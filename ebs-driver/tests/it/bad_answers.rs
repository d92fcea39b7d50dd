//! Answers of EC2 that are none: nothing is made twice, nothing is lost, and the caller gets a clear status.

use std::time::Duration;

use csi::v1::{
    ControllerExpandVolumeRequest, ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest,
    DeleteSnapshotRequest, DeleteVolumeRequest,
};
use sandbox::ec2::{Fault, When};
use tonic::{Code, Status};

use crate::world::{GIB, World, mount, range, snapshot, volume};

const ZONE: &str = "us-east-1a";

/// Bodies with status 200 that are no answer of the action.
fn bodies(action: &str) -> [String; 7] {
    [
        String::new(),
        "no XML".to_owned(),
        "<html><body>Please log in.</body></html>".to_owned(),
        format!("<{action}Response><volumeId>vol-0123"),
        format!("<{action}Response><volumeId>vol-1</snapshotId></{action}Response>"),
        format!("<{action}Response>{}", "<a>".repeat(100_000)),
        format!("<!DOCTYPE a [<!ENTITY b \"c\">]><{action}Response>&b;</{action}Response>"),
    ]
}

/// What a sidecar takes for "it may be done" where a volume, a snapshot or a change is made.
const OPEN: &[Code] = &[Code::Unavailable, Code::Aborted];
/// Attaching, detaching and deleting are repeated whatever the code.
const ANY: &[Code] = &[Code::Unavailable, Code::Aborted, Code::Internal];

/// Repeats as a sidecar does; all that fails on the way is not final.
async fn persist<T>(codes: &[Code], mut call: impl AsyncFnMut() -> Result<T, Status>) -> T {
    for _ in 0..5 {
        match call().await {
            Ok(answer) => return answer,
            Err(status) => {
                let is_open = codes.contains(&status.code());
                assert!(is_open && status.message().contains("EC2"), "{status:?}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    panic!("five attempts")
}

fn within<T>(message: T) -> tonic::Request<T> {
    csi::channel::request(message, Duration::from_secs(60))
}

#[tokio::test(start_paused = true)]
async fn ebs_case_145_malformed_answers_make_nothing_twice() {
    for number in 0..bodies("").len() {
        let world = World::settled().await;
        let spoil = |action: &str| {
            let body = bodies(action)[number].clone();
            world.ec2.inject(action, When::Next, Fault::Body(body));
        };
        let controller = || world.channel.controller();
        let node = world.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();

        spoil("CreateVolume");
        spoil("DescribeVolumes");
        let made = persist(OPEN, async || world.create_volume(volume("pvc-1", &[])).await).await;
        assert_eq!(
            world.ec2.state().volumes.len(),
            2,
            "body {number}: the root and ours"
        );

        spoil("AttachVolume");
        spoil("DescribeInstances");
        let publish = ControllerPublishVolumeRequest {
            volume_id: made.volume_id.clone(),
            node_id: node.clone(),
            volume_capability: Some(mount("ext4")),
            ..ControllerPublishVolumeRequest::default()
        };
        persist(ANY, async || {
            controller()
                .controller_publish_volume(within(publish.clone()))
                .await
        })
        .await;

        spoil("CreateSnapshot");
        spoil("DescribeSnapshots");
        let cut = persist(OPEN, async || {
            world
                .create_snapshot(snapshot("snapshot-1", &made.volume_id, &[]))
                .await
        })
        .await;
        assert_eq!(world.ec2.state().snapshots.len(), 1, "body {number}");

        spoil("ModifyVolume");
        spoil("DescribeVolumesModifications");
        let expand = ControllerExpandVolumeRequest {
            volume_id: made.volume_id.clone(),
            capacity_range: range(2 * GIB, 0),
            ..ControllerExpandVolumeRequest::default()
        };
        let answer = persist(OPEN, async || {
            controller()
                .controller_expand_volume(within(expand.clone()))
                .await
        })
        .await;
        assert_eq!(answer.into_inner().capacity_bytes, 2 * GIB);
        let modified = world
            .ec2
            .calls()
            .into_iter()
            .filter(|call| call.action == "ModifyVolume");
        assert_eq!(modified.count(), 1, "body {number}");

        spoil("DetachVolume");
        let unpublish = ControllerUnpublishVolumeRequest {
            volume_id: made.volume_id.clone(),
            node_id: node,
            ..ControllerUnpublishVolumeRequest::default()
        };
        persist(ANY, async || {
            controller()
                .controller_unpublish_volume(within(unpublish.clone()))
                .await
        })
        .await;
        spoil("DeleteSnapshot");
        let deletion = DeleteSnapshotRequest {
            snapshot_id: cut.snapshot_id,
            ..DeleteSnapshotRequest::default()
        };
        persist(ANY, async || {
            controller().delete_snapshot(within(deletion.clone())).await
        })
        .await;
        spoil("DeleteVolume");
        let deletion = DeleteVolumeRequest {
            volume_id: made.volume_id,
            ..DeleteVolumeRequest::default()
        };
        persist(ANY, async || {
            controller().delete_volume(within(deletion.clone())).await
        })
        .await;
        world.settle().await;
        let state = world.ec2.state();
        assert_eq!(
            (state.volumes.len(), state.snapshots.len()),
            (1, 0),
            "body {number}: the root is left"
        );
    }
}

/// States that EC2 may have tomorrow: not yet what is waited for, and no reason to end the wait.
#[tokio::test(start_paused = true)]
async fn ebs_case_145_unknown_states_are_waited_out() {
    let world = World::settled().await;
    let node = world.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
    let id = world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
    let attach = "<AttachVolumeResponse><status>of-tomorrow</status><device>/dev/xvdaa</device></AttachVolumeResponse>";
    world
        .ec2
        .inject("AttachVolume", When::Next, Fault::Body(attach.to_owned()));
    let shown = format!(
        "<DescribeVolumesResponse><volumeSet><item><volumeId>{id}</volumeId><size>1</size><status>of-tomorrow</status>\
         <availabilityZone>{ZONE}</availabilityZone><volumeType>of-tomorrow</volumeType><attachmentSet><item>\
         <instanceId>{node}</instanceId><device>/dev/xvdaa</device><status>of-tomorrow</status></item></attachmentSet>\
         </item></volumeSet></DescribeVolumesResponse>"
    );
    world
        .ec2
        .inject("DescribeVolumes", When::Times(2), Fault::Body(shown));
    let publish = ControllerPublishVolumeRequest {
        volume_id: id,
        node_id: node,
        volume_capability: Some(mount("ext4")),
        ..ControllerPublishVolumeRequest::default()
    };
    let before = world.calls();
    let answer = world
        .channel
        .controller()
        .controller_publish_volume(within(publish))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().publish_context["devicePath"], "/dev/xvdaa");
    let looks = world
        .actions_since(before)
        .into_iter()
        .filter(|action| action == "DescribeVolumes");
    assert_eq!(looks.count(), 3);
}
