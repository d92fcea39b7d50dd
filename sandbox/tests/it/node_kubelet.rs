//! Kubelet, attach-detach and external-attacher with a driver that notes its calls.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Clock, Random, Scope};
use csi::v1::controller_server::{Controller, ControllerServer};
use csi::v1::node_server::{Node as NodeService, NodeServer};
use csi::v1::*;
use sandbox::actors::{self, Options};
use sandbox::kube::{ApiServer, GroupResource, Store};
use sandbox::node::{Node, Socket};
use serde_json::{Value, json};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

const DRIVER: &str = "d.csi";
const CLAIMS: GroupResource<'_> = GroupResource::new("", "persistentvolumeclaims");
const VOLUMES: GroupResource<'_> = GroupResource::new("", "persistentvolumes");
const PODS: GroupResource<'_> = GroupResource::new("", "pods");
const NODES: GroupResource<'_> = GroupResource::new("", "nodes");
const EVENTS: GroupResource<'_> = GroupResource::new("", "events");
const CLASSES: GroupResource<'_> = GroupResource::new("storage.k8s.io", "storageclasses");
const ATTACHMENTS: GroupResource<'_> = GroupResource::new("storage.k8s.io", "volumeattachments");
const DRIVER_NODES: GroupResource<'_> = GroupResource::new("storage.k8s.io", "csinodes");

/// Notes its calls; answers those that are named with the next of its errors.
#[derive(Clone, Default)]
struct Driver {
    calls: Arc<Mutex<Vec<String>>>,
    errors: Arc<Mutex<VecDeque<(&'static str, Status)>>>,
}

impl Driver {
    fn take(&self, name: &'static str, detail: &str) -> Result<(), Status> {
        self.calls
            .lock()
            .unwrap()
            .push(format!("{name} {detail}").trim_end().to_owned());
        let mut errors = self.errors.lock().unwrap();
        match errors.front() {
            Some((of, _)) if *of == name => Err(errors.pop_front().unwrap().1),
            _ => Ok(()),
        }
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn fail(&self, name: &'static str, status: Status) {
        self.errors.lock().unwrap().push_back((name, status));
    }

    fn routes(&self) -> Routes {
        Routes::new(NodeServer::new(self.clone())).add_service(ControllerServer::new(self.clone()))
    }
}

#[tonic::async_trait]
impl NodeService for Driver {
    async fn node_get_info(
        &self,
        _: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        let segments = [("zone".to_owned(), "a".to_owned())].into();
        Ok(Response::new(NodeGetInfoResponse {
            node_id: "i-1".to_owned(),
            max_volumes_per_node: 26,
            accessible_topology: Some(Topology { segments }),
        }))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        use node_service_capability::{Rpc, Type, rpc};
        let capabilities =
            [rpc::Type::StageUnstageVolume, rpc::Type::ExpandVolume].map(|one| NodeServiceCapability {
                r#type: Some(Type::Rpc(Rpc { r#type: one.into() })),
            });
        Ok(Response::new(NodeGetCapabilitiesResponse {
            capabilities: capabilities.into(),
        }))
    }

    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Result<Response<NodeStageVolumeResponse>, Status> {
        let request = request.into_inner();
        let device = request
            .publish_context
            .get("devicePath")
            .cloned()
            .unwrap_or_default();
        self.take("stage", &format!("{} {device}", request.volume_id))?;
        Ok(Response::new(NodeStageVolumeResponse {}))
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Result<Response<NodeUnstageVolumeResponse>, Status> {
        self.take("unstage", &request.into_inner().volume_id)?;
        Ok(Response::new(NodeUnstageVolumeResponse {}))
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        let request = request.into_inner();
        assert!(
            request.target_path.starts_with("/var/lib/kubelet/pods/"),
            "{request:?}"
        );
        self.take("publish", if request.readonly { "ro" } else { "" })?;
        Ok(Response::new(NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        _: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        self.take("unpublish", "")?;
        Ok(Response::new(NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_volume_stats(
        &self,
        _: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn node_expand_volume(
        &self,
        request: Request<NodeExpandVolumeRequest>,
    ) -> Result<Response<NodeExpandVolumeResponse>, Status> {
        let bytes = request.into_inner().capacity_range.unwrap().required_bytes;
        self.take("expand", &(bytes >> 30).to_string())?;
        Ok(Response::new(NodeExpandVolumeResponse {
            capacity_bytes: bytes,
        }))
    }
}

type Answer<T> = Result<Response<T>, Status>;

/// Methods that the actors never call.
macro_rules! unused {
    ($($name:ident($request:ty) -> $response:ty;)*) => {
        #[tonic::async_trait]
        impl Controller for Driver {
            async fn controller_publish_volume(
                &self,
                request: Request<ControllerPublishVolumeRequest>,
            ) -> Answer<ControllerPublishVolumeResponse> {
                self.take("attach", &request.into_inner().node_id)?;
                let publish_context = [("devicePath".to_owned(), "/dev/xvdaa".to_owned())].into();
                Ok(Response::new(ControllerPublishVolumeResponse { publish_context }))
            }

            async fn controller_unpublish_volume(
                &self,
                request: Request<ControllerUnpublishVolumeRequest>,
            ) -> Answer<ControllerUnpublishVolumeResponse> {
                self.take("detach", &request.into_inner().node_id)?;
                Ok(Response::new(ControllerUnpublishVolumeResponse {}))
            }

            $(async fn $name(&self, _: Request<$request>) -> Answer<$response> {
                Err(Status::unimplemented(""))
            })*
        }
    };
}

unused! {
    create_volume(CreateVolumeRequest) -> CreateVolumeResponse;
    delete_volume(DeleteVolumeRequest) -> DeleteVolumeResponse;
    validate_volume_capabilities(ValidateVolumeCapabilitiesRequest) -> ValidateVolumeCapabilitiesResponse;
    list_volumes(ListVolumesRequest) -> ListVolumesResponse;
    get_capacity(GetCapacityRequest) -> GetCapacityResponse;
    controller_get_capabilities(ControllerGetCapabilitiesRequest) -> ControllerGetCapabilitiesResponse;
    create_snapshot(CreateSnapshotRequest) -> CreateSnapshotResponse;
    delete_snapshot(DeleteSnapshotRequest) -> DeleteSnapshotResponse;
    list_snapshots(ListSnapshotsRequest) -> ListSnapshotsResponse;
    get_snapshot(GetSnapshotRequest) -> GetSnapshotResponse;
    controller_expand_volume(ControllerExpandVolumeRequest) -> ControllerExpandVolumeResponse;
    controller_get_volume(ControllerGetVolumeRequest) -> ControllerGetVolumeResponse;
    controller_modify_volume(ControllerModifyVolumeRequest) -> ControllerModifyVolumeResponse;
}

struct Cluster {
    server: ApiServer,
    store: Store,
    driver: Driver,
    socket: Socket,
    _scope: Scope,
}

impl Cluster {
    /// Nodes `n` and `m` with the driver, of which pods come to the first, and a claim `c` bound to the volume `v`.
    async fn new() -> Self {
        let scope = Scope::new();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let server = ApiServer::new(clock.clone(), Random::seeded(1), &scope);
        let (driver, socket) = (Driver::default(), Socket::new());
        let options = Options {
            attachers: [(DRIVER.to_owned(), socket.channel())].into(),
            nodes: ["n", "m"]
                .map(|name| Node::new(name).with_driver(DRIVER, socket.channel()))
                .into(),
            random: Some(Random::seeded(2)),
            ..Options::default()
        };
        actors::run_with(&server, &scope, clock, options);
        let cluster = Self {
            store: server.store("tester"),
            server,
            driver,
            socket,
            _scope: scope,
        };
        cluster.furnish();
        cluster.settle().await;
        cluster
    }

    fn furnish(&self) {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "grows"},
            "provisioner": DRIVER, "allowVolumeExpansion": true,
        });
        self.store.create(CLASSES, class).unwrap();
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}, "storageClassName": "grows",
                "csi": {"driver": DRIVER, "volumeHandle": "vol-1"},
            },
        });
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "default"},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}},
                "storageClassName": "grows", "volumeName": "v",
            },
        });
        self.store.create(VOLUMES, volume).unwrap();
        self.store.create(CLAIMS, claim).unwrap();
    }

    fn pod(&self, name: &str, read_only: bool) {
        self.pod_at(name, read_only, None);
    }

    fn pod_at(&self, name: &str, read_only: bool, node: Option<&str>) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "containers": [{"name": "a", "image": "i"}],
                "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c", "readOnly": read_only}}],
            },
        });
        if let Some(node) = node {
            pod["spec"]["nodeName"] = json!(node);
        }
        self.store.create(PODS, pod).unwrap();
    }

    async fn settle(&self) {
        for _ in 0..200 {
            let revision = self.server.revision();
            tokio::time::sleep(Duration::from_secs(3)).await;
            if self.server.revision() == revision {
                return;
            }
        }
    }

    async fn running(&self) {
        self.socket.plug(self.driver.routes());
        self.pod("p", false);
        self.settle().await;
        assert_eq!(self.phase("p"), "Running");
        self.driver.calls();
    }

    fn get(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Value {
        let object = self.store.get(resource, namespace, name);
        object.map(|object| object.value().clone()).unwrap_or_default()
    }

    fn claim(&self) -> Value {
        self.get(CLAIMS, "default", "c")
    }

    fn phase(&self, pod: &str) -> String {
        let pod = self.get(PODS, "default", pod);
        pod["status"]["phase"].as_str().unwrap_or("gone").to_owned()
    }

    /// What the resizer leaves when its part is done.
    fn controller_part(&self, size: &str) {
        let grow = |volume: &mut Value| volume["spec"]["capacity"]["storage"] = json!(size);
        self.store
            .update_status(CLAIMS, "default", "c", |claim| {
                claim["status"]["allocatedResources"] = json!({"storage": size});
                claim["status"]["allocatedResourceStatuses"] = json!({"storage": "NodeResizePending"});
                claim["status"]["conditions"] = json!([
                    {"type": "FileSystemResizePending", "status": "True"}, {"type": "x.io/y", "status": "True"},
                ]);
            })
            .unwrap();
        self.store.update(VOLUMES, "", "v", grow).unwrap();
    }

    fn events(&self) -> Vec<String> {
        let events = self.store.list(EVENTS, None);
        let text =
            |event: &Value, pointer: &str| event.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let mut texts: Vec<String> = events
            .iter()
            .map(|event| {
                let event = event.value();
                let (kind, reason) = (text(event, "/involvedObject/kind"), text(event, "/reason"));
                format!("{kind} {reason}: {}", text(event, "/message"))
            })
            .collect();
        texts.sort();
        texts
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_once_its_volume_is_attached_staged_and_published_and_takes_all_of_it_back() {
    let cluster = Cluster::new().await;
    cluster.pod("p", false);
    cluster.settle().await;
    assert_eq!(cluster.phase("p"), "Pending", "no driver yet");
    cluster.socket.plug(cluster.driver.routes());
    cluster.settle().await;
    assert_eq!(cluster.phase("p"), "Running");
    assert_eq!(
        cluster.driver.calls(),
        ["attach i-1", "stage vol-1 /dev/xvdaa", "publish"]
    );
    let node = cluster.get(NODES, "", "n");
    assert_eq!(node["metadata"]["labels"]["zone"], "a");
    assert_eq!(
        node["status"]["volumesInUse"],
        json!(["kubernetes.io/csi/d.csi^vol-1"])
    );
    let driver_node = cluster.get(DRIVER_NODES, "", "n");
    assert_eq!(driver_node["spec"]["drivers"][0]["allocatable"]["count"], 26);
    let finalizer = json!("external-attacher/d-csi");
    let attachments = cluster.store.list(ATTACHMENTS, None);
    assert_eq!(
        attachments[0].value()["metadata"]["finalizers"],
        json!([finalizer])
    );
    assert_eq!(attachments[0].value()["status"]["attached"], true);
    let volume = cluster.get(VOLUMES, "", "v");
    assert!(
        volume["metadata"]["finalizers"]
            .as_array()
            .unwrap()
            .contains(&finalizer)
    );
    cluster.store.delete(PODS, "default", "p", None).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.phase("p"), "gone");
    assert_eq!(
        cluster.driver.calls(),
        ["unpublish", "unstage vol-1", "detach i-1"]
    );
    assert!(cluster.store.list(ATTACHMENTS, None).is_empty());
    cluster.store.delete(CLAIMS, "default", "c", None).unwrap();
    cluster.store.delete(VOLUMES, "", "v", None).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.get(VOLUMES, "", "v"), Value::Null, "no finalizer is left");
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_are_told_and_repeated() {
    let cluster = Cluster::new().await;
    for (call, status) in [
        ("attach", Status::internal("no attaching")),
        ("stage", Status::not_found("no device")),
        ("publish", Status::unavailable("away")),
    ] {
        cluster.driver.fail(call, status);
    }
    cluster.running().await;
    let events = cluster.events().join("\n");
    for text in [
        "Pod FailedAttachVolume: AttachVolume.Attach failed for volume \"v\" : rpc error: code = Internal desc = no attaching",
        "Pod FailedMount: MountVolume.MountDevice failed for volume \"v\" : rpc error: code = NotFound desc = no device",
        "Pod FailedMount: MountVolume.SetUp failed for volume \"v\" : rpc error: code = Unavailable desc = away",
        "Pod SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume \"v\" ",
    ] {
        assert!(events.contains(text), "{text} is missing of {events}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_volume_of_one_node_is_refused_to_another_until_it_is_free() {
    let cluster = Cluster::new().await;
    cluster.running().await;
    cluster.pod_at("q", false, Some("m"));
    cluster.settle().await;
    assert_eq!(cluster.phase("q"), "Pending");
    assert_eq!(cluster.driver.calls(), [""; 0]);
    let text =
        "Pod FailedAttachVolume: Multi-Attach error for volume \"v\" Volume is already used by pod(s) p";
    assert!(
        cluster.events().contains(&text.to_owned()),
        "{:?}",
        cluster.events()
    );
    cluster.store.delete(PODS, "default", "p", None).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.phase("q"), "Running");
    assert_eq!(
        cluster.driver.calls(),
        [
            "unpublish",
            "unstage vol-1",
            "detach i-1",
            "attach i-1",
            "stage vol-1 /dev/xvdaa",
            "publish"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_is_not_detached_keeps_its_attachment_and_says_why() {
    let cluster = Cluster::new().await;
    cluster.running().await;
    for _ in 0..5 {
        cluster.driver.fail("detach", Status::internal("no detaching"));
    }
    cluster.store.delete(PODS, "default", "p", None).unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let attachment = cluster.store.list(ATTACHMENTS, None)[0].value().clone();
    assert_eq!(
        attachment["status"]["detachError"]["message"],
        "rpc error: code = Internal desc = no detaching"
    );
    assert!(attachment["metadata"]["deletionTimestamp"].is_string());
    // Five refusals are some waits, each longer than the last.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(cluster.store.list(ATTACHMENTS, None).is_empty());
    let calls = cluster.driver.calls();
    let detaching = calls.iter().filter(|call| *call == "detach i-1").count();
    assert_eq!(detaching, 6, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn resize_4_5_a_claim_that_grows_is_left_to_the_external_controller() {
    let cluster = Cluster::new().await;
    let told = || {
        let text =
            "PersistentVolumeClaim ExternalExpanding: waiting for an external controller to expand this PVC";
        cluster.events().iter().filter(|event| *event == text).count()
    };
    let ask = |size: &str| {
        let grow = |claim: &mut Value| claim["spec"]["resources"]["requests"]["storage"] = json!(size);
        cluster.store.update(CLAIMS, "default", "c", grow).unwrap();
    };
    cluster.settle().await;
    assert_eq!(told(), 0);
    ask("20Gi");
    cluster.settle().await;
    assert_eq!(told(), 1);
}

#[tokio::test(start_paused = true)]
async fn resize_4_4_a_running_pod_s_volume_is_expanded() {
    let cluster = Cluster::new().await;
    cluster.running().await;
    cluster.controller_part("20Gi");
    cluster.settle().await;
    assert_eq!(cluster.driver.calls(), ["expand 20"]);
    let status = &cluster.claim()["status"];
    assert_eq!(status["capacity"]["storage"], "20Gi");
    assert_eq!(status["allocatedResources"]["storage"], "20Gi");
    assert!(status.get("allocatedResourceStatuses").is_none(), "{status}");
    assert_eq!(
        status["conditions"],
        json!([{"type": "x.io/y", "status": "True", "lastProbeTime": null, "lastTransitionTime": null}])
    );
    let message = "FileSystemResizeSuccessful: MountVolume.NodeExpandVolume succeeded for volume \"v\" n";
    let events = cluster.events();
    for kind in ["Pod", "PersistentVolumeClaim"] {
        assert!(events.contains(&format!("{kind} {message}")), "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn resize_4_4_a_volume_without_a_pod_is_expanded_when_it_is_mounted() {
    let cluster = Cluster::new().await;
    cluster.socket.plug(cluster.driver.routes());
    cluster.controller_part("20Gi");
    cluster.settle().await;
    assert_eq!(cluster.driver.calls(), [""; 0]);
    cluster.pod("p", false);
    cluster.settle().await;
    assert_eq!(cluster.phase("p"), "Running");
    let calls = cluster.driver.calls();
    assert_eq!(
        calls,
        ["attach i-1", "stage vol-1 /dev/xvdaa", "publish", "expand 20"]
    );
    assert_eq!(cluster.claim()["status"]["capacity"]["storage"], "20Gi");
}

#[tokio::test(start_paused = true)]
async fn resize_4_4_errors_of_the_node_stage_are_written_by_their_class() {
    let state = |claim: &Value| claim["status"]["allocatedResourceStatuses"]["storage"].clone();
    let errors = |claim: &Value| {
        let conditions = claim["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        conditions
            .iter()
            .filter(|one| one["type"] == "NodeResizeError")
            .count()
    };
    let rows = [
        (Status::unavailable("away"), json!("NodeResizeInProgress"), 0),
        (Status::out_of_range("too big"), json!("NodeResizeInfeasible"), 1),
        (
            Status::failed_precondition("in use"),
            json!("NodeResizeInProgress"),
            1,
        ),
        // The request is still that of the beginning: nobody asks for this size any more.
        (Status::internal("broken"), json!("NodeResizeInfeasible"), 1),
    ];
    for (status, expected, conditions) in rows {
        let cluster = Cluster::new().await;
        cluster.running().await;
        cluster.driver.fail("expand", status.clone());
        cluster.controller_part("20Gi");
        tokio::time::sleep(Duration::from_millis(400)).await;
        let claim = cluster.claim();
        assert_eq!(
            (state(&claim), errors(&claim)),
            (expected, conditions),
            "{status:?}"
        );
        assert_eq!(cluster.driver.calls(), ["expand 20"]);
        cluster.settle().await;
        let again = cluster.driver.calls().len();
        let uncertain = status.code() == tonic::Code::Unavailable;
        assert_eq!(again, usize::from(uncertain), "{status:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn resize_4_4_a_read_only_volume_is_not_expanded() {
    let cluster = Cluster::new().await;
    cluster.socket.plug(cluster.driver.routes());
    cluster.pod("p", true);
    cluster.settle().await;
    assert_eq!(cluster.driver.calls()[2], "publish ro");
    cluster.controller_part("20Gi");
    cluster.settle().await;
    assert_eq!(cluster.driver.calls(), [""; 0]);
    let text = "Pod FileSystemResizeFailed: requested read-only file system".to_owned();
    assert!(cluster.events().contains(&text));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_objects() {
    let mut dumps = Vec::new();
    for _ in 0..2 {
        let cluster = Cluster::new().await;
        cluster.driver.fail("stage", Status::internal("no"));
        cluster.running().await;
        cluster.controller_part("20Gi");
        cluster.settle().await;
        dumps.push(cluster.server.dump().to_string());
    }
    assert_eq!(dumps[0], dumps[1]);
}
