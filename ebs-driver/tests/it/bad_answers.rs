//! Answers of EC2 that are none: nothing is made twice, nothing is lost, and the caller gets a clear status.

use std::time::Duration;

use csi::v1::controller_client::ControllerClient;
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

/// A region whose answers are spoilt with one of the bodies, each once.
struct Spoilt {
    world: World,
    body: usize,
}

impl Spoilt {
    fn spoil(&self, actions: &[&str]) {
        for action in actions {
            let body = bodies(action)[self.body].clone();
            self.world.ec2.inject(action, When::Next, Fault::Body(body));
        }
    }

    fn controller(&self) -> ControllerClient<csi::Channel> {
        self.world.channel.controller()
    }

    /// A volume and its snapshot, each made once.
    async fn made(&self) -> (String, String) {
        let (world, body) = (&self.world, self.body);
        self.spoil(&["CreateVolume", "DescribeVolumes"]);
        let made = persist(OPEN, async || world.create_volume(volume("pvc-1", &[])).await).await;
        assert_eq!(world.ec2.state().volumes.len(), 2, "body {body}: a root and ours");
        self.spoil(&["CreateSnapshot", "DescribeSnapshots"]);
        let request = snapshot("snapshot-1", &made.volume_id, &[]);
        let cut = persist(OPEN, async || world.create_snapshot(request.clone()).await).await;
        assert_eq!(world.ec2.state().snapshots.len(), 1, "body {body}");
        (made.volume_id, cut.snapshot_id)
    }

    async fn attached_and_detached(&self, volume_id: &str, node_id: &str) {
        self.spoil(&["AttachVolume", "DescribeInstances"]);
        let publish = ControllerPublishVolumeRequest {
            volume_id: volume_id.into(),
            node_id: node_id.into(),
            volume_capability: Some(mount("ext4")),
            ..ControllerPublishVolumeRequest::default()
        };
        let attach = async || {
            self.controller()
                .controller_publish_volume(within(publish.clone()))
                .await
        };
        persist(ANY, attach).await;
        self.spoil(&["DetachVolume"]);
        let unpublish = ControllerUnpublishVolumeRequest {
            volume_id: volume_id.into(),
            node_id: node_id.into(),
            ..ControllerUnpublishVolumeRequest::default()
        };
        let detach = async || {
            self.controller()
                .controller_unpublish_volume(within(unpublish.clone()))
                .await
        };
        persist(ANY, detach).await;
    }

    /// Grown by one ModifyVolume.
    async fn grown(&self, volume_id: &str) {
        self.spoil(&["ModifyVolume", "DescribeVolumesModifications"]);
        let expand = ControllerExpandVolumeRequest {
            volume_id: volume_id.into(),
            capacity_range: range(2 * GIB, 0),
            ..ControllerExpandVolumeRequest::default()
        };
        let grow = async || {
            self.controller()
                .controller_expand_volume(within(expand.clone()))
                .await
        };
        let answer = persist(OPEN, grow).await;
        assert_eq!(answer.into_inner().capacity_bytes, 2 * GIB);
        assert_eq!(self.world.ec2.count("ModifyVolume"), 1, "body {}", self.body);
    }

    async fn deleted(&self, volume_id: &str, snapshot_id: &str) {
        self.spoil(&["DeleteSnapshot", "DeleteVolume"]);
        let deletion = DeleteSnapshotRequest {
            snapshot_id: snapshot_id.into(),
            ..DeleteSnapshotRequest::default()
        };
        persist(ANY, async || {
            self.controller().delete_snapshot(within(deletion.clone())).await
        })
        .await;
        let deletion = DeleteVolumeRequest {
            volume_id: volume_id.into(),
            ..DeleteVolumeRequest::default()
        };
        persist(ANY, async || {
            self.controller().delete_volume(within(deletion.clone())).await
        })
        .await;
        self.world.settle().await;
        let state = self.world.ec2.state();
        let left = (state.volumes.len(), state.snapshots.len());
        assert_eq!(left, (1, 0), "body {}: the root is left", self.body);
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_145_malformed_answers_make_nothing_twice() {
    for body in 0..bodies("").len() {
        let world = World::settled().await;
        let node = world.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
        let spoilt = Spoilt { world, body };
        let (volume, snapshot) = spoilt.made().await;
        spoilt.attached_and_detached(&volume, &node).await;
        spoilt.grown(&volume).await;
        spoilt.deleted(&volume, &snapshot).await;
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
