//! The driver's node modes as processes: a metadata service, an API server and EC2 on loopback, a socket in a folder.
//! What needs root (formatting, mounting) is tested elsewhere; here are the rest of the calls, and the end.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use base::{Clock, Random, Scope};
use csi::channel::ConnectOptions;
use csi::v1::{
    GetPluginInfoRequest, NodeGetInfoRequest, NodeGetVolumeStatsRequest, NodeStageVolumeRequest,
    NodeUnpublishVolumeRequest, ProbeRequest, VolumeCapability,
};
use csi::{Address, Channel};
use sandbox::ec2::{Ec2, Ec2Options, Fault, InstanceType, When};
use sandbox::kube::{ApiServer, GroupResource};
use sandbox::metadata::{Instance, MetadataService};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::Code;

const BINARY: &str = env!("CARGO_BIN_EXE_slackwater");
const PATIENCE: Duration = Duration::from_secs(30);
/// A type that our table does not know.
const TYPE: &str = "new.9xlarge";
const NODES: GroupResource<'static> = GroupResource::new("", "nodes");

/// One node of a cluster on loopback.
struct Machine {
    folder: tempfile::TempDir,
    api: ApiServer,
    metadata: MetadataService,
    imds: String,
    ec2: Ec2,
    ec2_url: String,
    scope: Scope,
}

async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

impl Machine {
    async fn new() -> Self {
        let (random, scope) = (Random::from_entropy(), Scope::new());
        let api = ApiServer::new(Clock::system(), random.fork(), &scope);
        let (folder, token) = (tempfile::tempdir().unwrap(), random.uuid());
        let secure = listener().await;
        let kubeconfig = api.kubeconfig(secure.local_addr().unwrap(), &token).unwrap();
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        api.serve(secure, &token).unwrap();
        let metadata = MetadataService::new(Instance {
            instance_type: TYPE.to_owned(),
            ..Instance::default()
        });
        let imds = metadata.serve(listener().await, &scope).unwrap();
        let mut options = Ec2Options::default();
        options.instance_types.push(InstanceType::new(TYPE, 50, 1));
        let ec2 = Ec2::new(Clock::system(), random, options);
        let ec2_url = ec2.serve(listener().await, &scope).unwrap();
        let store = api.store("kubelet");
        let taint = json!({"key": "ebs.csi.aws.com/agent-not-ready", "effect": "NoExecute"});
        let labels = json!({
            "node.kubernetes.io/instance-type": TYPE,
            "topology.kubernetes.io/region": "us-east-1",
            "topology.kubernetes.io/zone": "us-east-1b",
        });
        let node = json!({
            "metadata": {"name": "node-1", "labels": labels},
            "spec": {"providerID": "aws:///us-east-1b/i-0fedcba9876543210", "taints": [taint]},
        });
        store.create(NODES, node).unwrap();
        Self {
            folder,
            api,
            metadata,
            imds,
            ec2,
            ec2_url,
            scope,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("csi.sock")
    }

    fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(BINARY);
        let kubeconfig = self.folder.path().join("kubeconfig");
        command
            .arg("aws-ebs-csi-driver")
            .args(args)
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .env_clear()
            .env("CSI_NODE_NAME", "node-1")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &self.imds)
            .env("AWS_EC2_ENDPOINT", &self.ec2_url)
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn serving(&self, mode: &str, more: &[&str]) -> tokio::process::Child {
        self.told_to_serve(mode, more).spawn().unwrap()
    }

    fn told_to_serve(&self, mode: &str, more: &[&str]) -> tokio::process::Command {
        let endpoint = format!("--endpoint=unix://{}", self.socket().display());
        let mut args = vec![
            mode,
            &endpoint,
            "--http-endpoint=127.0.0.1:0",
            "--logging-format=json",
            "--v=2",
        ];
        args.extend(more);
        self.command(&args)
    }

    async fn channel(&self) -> Channel {
        let channel = Channel::connect(
            &Address::Unix(self.socket()),
            ConnectOptions {
                scope: self.scope.clone(),
                random: Random::from_entropy(),
            },
        );
        tokio::time::timeout(PATIENCE, channel.connected()).await.unwrap();
        channel
    }

    fn taints(&self) -> Value {
        let node = self.api.store("kubelet").get(NODES, "", "node-1").unwrap();
        node.value()["spec"]["taints"].clone()
    }

    /// The verbs by which nodes were read.
    fn reads_of_nodes(&self) -> Vec<&'static str> {
        let records = self.api.audit().into_iter();
        let nodes = records.filter(|record| record.resource == "nodes");
        nodes
            .map(|record| record.verb)
            .filter(|verb| ["get", "list", "watch"].contains(verb))
            .collect()
    }

    async fn loses_its_taint_once_registered(&self) {
        let driver = json!({"name": "ebs.csi.aws.com", "nodeID": "i-1", "topologyKeys": [], "allocatable": {"count": 25}});
        let registered = json!({"metadata": {"name": "node-1"}, "spec": {"drivers": [driver]}});
        let csi_nodes = GroupResource::new("storage.k8s.io", "csinodes");
        self.api.store("kubelet").create(csi_nodes, registered).unwrap();
        let untainted = tokio::time::timeout(PATIENCE, async {
            while self.taints().as_array().is_some_and(|taints| !taints.is_empty()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        untainted.await.unwrap();
    }
}

async fn info(channel: &Channel) -> (String, i64, String) {
    let info = channel.node().node_get_info(NodeGetInfoRequest {}).await;
    let info = info.unwrap().into_inner();
    let zone = info.accessible_topology.unwrap().segments["topology.kubernetes.io/zone"].clone();
    (info.node_id, info.max_volumes_per_node, zone)
}

/// Tells a process to end, and waits until it has; its exit code and what it said.
async fn terminated(process: tokio::process::Child) -> (Option<i32>, String) {
    let id = process.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = tokio::time::timeout(PATIENCE, process.wait_with_output()).await;
    let output = output.unwrap().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Calls that touch no device.
async fn without_root(channel: &Channel, folder: &str) {
    let stats = NodeGetVolumeStatsRequest {
        volume_id: "vol-0a".into(),
        volume_path: folder.to_owned(),
        ..NodeGetVolumeStatsRequest::default()
    };
    let stats = channel
        .node()
        .node_get_volume_stats(stats)
        .await
        .unwrap()
        .into_inner();
    assert!(stats.usage[0].total > 0);
    let unpublish = NodeUnpublishVolumeRequest {
        volume_id: "vol-0a".into(),
        target_path: format!("{folder}/nothing"),
    };
    channel.node().node_unpublish_volume(unpublish).await.unwrap();
    let stage = NodeStageVolumeRequest {
        volume_id: "vol-0a".into(),
        staging_target_path: format!("{folder}/staging"),
        volume_capability: Some(VolumeCapability {
            access_mode: Some(csi::v1::volume_capability::AccessMode { mode: 1 }),
            access_type: Some(csi::v1::volume_capability::AccessType::Mount(Default::default())),
        }),
        publish_context: [("devicePath".to_owned(), "/dev/xvdslackwater".to_owned())].into(),
        ..NodeStageVolumeRequest::default()
    };
    let missing = channel.node().node_stage_volume(stage).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound, "{missing}");
}

#[tokio::test]
async fn the_node_mode_serves_what_needs_no_root_and_ends_clean() {
    let machine = Machine::new().await;
    let flags = [
        "--reserved-volume-attachments=2",
        "--csi-mount-point-prefix=/var/lib/kubelet/plugins",
    ];
    let process = machine.serving("node", &flags);
    let channel = machine.channel().await;
    let name = channel
        .identity()
        .get_plugin_info(GetPluginInfoRequest {})
        .await
        .unwrap();
    assert_eq!(name.into_inner().name, "ebs.csi.aws.com");
    channel.identity().probe(ProbeRequest {}).await.unwrap();
    // EC2 says 50, of which two are reserved.
    let expected = ("i-0123456789abcdef0".to_owned(), 48, "us-east-1a".to_owned());
    assert_eq!(info(&channel).await, expected);
    let creation = channel
        .controller()
        .create_volume(csi::v1::CreateVolumeRequest::default())
        .await;
    assert_eq!(creation.unwrap_err().code(), Code::Unimplemented);

    without_root(&channel, &machine.folder.path().to_string_lossy()).await;
    machine.metadata.set_down(true);
    assert_eq!(info(&channel).await, expected);

    machine.loses_its_taint_once_registered().await;
    drop(channel);
    let (code, text) = terminated(process).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(!machine.socket().exists(), "the socket file is removed");
}

#[tokio::test]
async fn ebs_case_138_the_table_holds_where_ec2_may_not_be_asked() {
    let machine = Machine::new().await;
    let denied = Fault::error("UnauthorizedOperation");
    machine.ec2.inject("DescribeInstanceTypes", When::Always, denied);
    let process = machine.serving("node", &[]);
    let channel = machine.channel().await;
    assert_eq!(info(&channel).await.1, 26);
    assert_eq!(info(&channel).await.1, 26);
    assert_eq!(machine.ec2.count("DescribeInstanceTypes"), 1, "once a process");
    drop(channel);
    let (code, text) = terminated(process).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("UnauthorizedOperation"), "{text}");
}

#[tokio::test]
async fn ebs_case_4_all_serves_both_sides_and_falls_back_to_the_node_object() {
    let machine = Machine::new().await;
    machine.metadata.set_down(true);
    let process = machine.serving("all", &["--batching=true", "--volume-attach-limit=7"]);
    let channel = machine.channel().await;
    let expected = ("i-0fedcba9876543210".to_owned(), 7, "us-east-1b".to_owned());
    assert_eq!(info(&channel).await, expected);
    deletes_a_volume(&machine).await;
    channel.identity().probe(ProbeRequest {}).await.unwrap();
    drop(channel);
    let (code, text) = terminated(process).await;
    assert_eq!(code, Some(0), "{text}");
}

async fn deletes_a_volume(machine: &Machine) {
    let request = csi::v1::DeleteVolumeRequest {
        volume_id: "vol-0123456789abcdef0".into(),
        ..csi::v1::DeleteVolumeRequest::default()
    };
    let channel = machine.channel().await;
    channel.controller().delete_volume(request).await.unwrap();
}

/// Its role may list nodes, not read one.
#[tokio::test]
async fn ebs_case_191_the_controller_learns_its_region_from_its_instance_or_its_node() {
    let machine = Machine::new().await;
    let not_there = ("CSI_NODE_NAME", "node-2");
    let kubernetes = ["--metadata-sources=kubernetes"];
    let named = [not_there, ("AWS_DEFAULT_REGION", "us-east-1")];
    type Row<'a> = (bool, &'a [&'a str], &'a [(&'a str, &'a str)], usize);
    let rows: [Row<'_>; 4] = [
        (true, &[], &[not_there], 0),
        (false, &[], &[], 1),
        (true, &kubernetes, &[], 1),
        (false, &[], &named, 0),
    ];
    for (has_metadata, flags, environment, lists) in rows {
        machine.metadata.set_down(!has_metadata);
        let before = machine.reads_of_nodes().len();
        let mut command = machine.told_to_serve("controller", flags);
        let process = command.envs(environment.iter().copied()).spawn().unwrap();
        deletes_a_volume(&machine).await;
        let (code, text) = terminated(process).await;
        assert_eq!(code, Some(0), "{text}");
        let reads = machine.reads_of_nodes().split_off(before);
        assert_eq!(reads, vec!["list"; lists], "{flags:?} {environment:?}");
    }
    machine.metadata.set_down(true);
    let mut command = machine.told_to_serve("controller", &[]);
    let output = command.env(not_there.0, not_there.1).output();
    let output = tokio::time::timeout(PATIENCE, output).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    for says in [
        "set AWS_REGION",
        "instance metadata service",
        "\"node-2\" is not there",
    ] {
        assert!(errors[0].contains(says), "{text}");
    }
}

#[tokio::test]
async fn without_a_source_the_process_ends_and_says_what_each_answered() {
    let machine = Machine::new().await;
    let output = machine
        .command(&["node", "--metadata-sources=kubernetes"])
        .env("CSI_NODE_NAME", "node-2")
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    assert!(
        errors[0].contains("Node object") && errors[0].contains("--metadata-sources"),
        "{text}"
    );
}

#[tokio::test]
async fn ebs_case_92_the_hook_ends_by_itself_and_with_its_volumes() {
    let machine = Machine::new().await;
    let store = machine.api.store("kubelet");
    let attachments = GroupResource::new("storage.k8s.io", "volumeattachments");
    let attachment = json!({
        "metadata": {"name": "a"},
        "spec": {"attacher": "ebs.csi.aws.com", "nodeName": "node-2", "source": {"persistentVolumeName": "v"}},
    });
    store.create(attachments, attachment).unwrap();
    let end = async |mut process: tokio::process::Child| {
        let ended = tokio::time::timeout(PATIENCE, process.wait()).await;
        assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    };
    let not_drained = machine.command(&["pre-stop-hook"]).spawn().unwrap();
    end(not_drained).await;
    let gone = machine
        .command(&["pre-stop-hook"])
        .env("CSI_NODE_NAME", "node-2")
        .spawn()
        .unwrap();
    let asked = tokio::time::timeout(PATIENCE, async {
        let watches = |record: &sandbox::kube::AuditRecord| record.resource == "volumeattachments";
        while !machine.api.audit().iter().any(watches) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    asked.await.unwrap();
    store.delete(attachments, "", "a", None).unwrap();
    end(gone).await;
}

#[tokio::test]
async fn ebs_case_149_the_labeler_labels_while_it_holds_its_lease() {
    const LEASES: GroupResource<'static> = GroupResource::new("coordination.k8s.io", "leases");
    const LEASE: &str = "metadata-labeler-ebs-csi-aws-com";
    let machine = Machine::new().await;
    let instance = machine
        .ec2
        .create_instance_fixture("us-east-1a", TYPE, &[])
        .unwrap();
    let node = json!({
        "metadata": {"name": "node-2"},
        "spec": {"providerID": format!("aws:///us-east-1a/{instance}")},
    });
    let store = machine.api.store("kubelet");
    store.create(NODES, node).unwrap();
    let labeler = machine
        .command(&["metadataLabeler", "--http-endpoint=127.0.0.1:0"])
        .spawn()
        .unwrap();
    let labels = || store.get(NODES, "", "node-2").unwrap().value()["metadata"]["labels"].clone();
    let labelled = tokio::time::timeout(PATIENCE, async {
        while labels()["ebs.csi.aws.com/enis-count"].is_null() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    labelled.await.unwrap();
    assert_eq!(labels()["ebs.csi.aws.com/non-csi-ebs-volumes-count"], "0");
    let holder = || {
        let lease = store.get(LEASES, "default", LEASE).unwrap();
        lease.value()["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(!holder().is_empty());
    let (code, text) = terminated(labeler).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(holder(), "", "the lease is given back");
}
