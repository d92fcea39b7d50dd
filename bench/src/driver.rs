//! `bench driver`: the memory of the driver's processes after many volumes. The controller service makes, attaches, looks at,
//! cuts, detaches and deletes each of them against the sandbox's EC2 in a process of its own; the node service answers what
//! kubelet asks of each that needs no device.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use base::{Random, Scope};
use csi::channel::ConnectOptions;
use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::volume_capability::{AccessMode, AccessType, MountVolume};
use csi::v1::{
    CapacityRange, ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest, CreateSnapshotRequest,
    CreateVolumeRequest, DeleteSnapshotRequest, DeleteVolumeRequest, NodeGetInfoRequest,
    NodeGetVolumeStatsRequest, NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest, Topology,
    TopologyRequirement, ValidateVolumeCapabilitiesRequest, VolumeCapability,
};
use csi::{Address, Channel};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sandbox::metadata::{Instance, MetadataService};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::cluster::ec2::Ec2Process;
use crate::cluster::program::Program;
use crate::in_process::NO_LIMITS;
use crate::load::tell;
use crate::reading::Memory;
use crate::report;

/// Volumes that an instance gets. EC2 gives it room for more.
const OF_AN_INSTANCE: usize = 20;
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a process may take to serve.
const PATIENCE: Duration = Duration::from_secs(30);

/// The command line of `bench driver`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The binary; by default the one beside this program
    #[arg(long)]
    slackwater: Option<PathBuf>,
    /// How many volumes
    #[arg(long, default_value_t = 10_000)]
    volumes: usize,
    /// Calls at the same time
    #[arg(long, default_value_t = 100)]
    concurrency: usize,
    /// How long a process is left alone before its memory is read, in seconds
    #[arg(long, default_value_t = 10)]
    quiet: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// The memory of a process after something.
#[derive(Debug, Serialize)]
struct Figures {
    process: &'static str,
    after: String,
    memory: Memory,
}

/// Measures and prints.
///
/// # Errors
/// When a process cannot be started or a call fails.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let scope = Scope::new();
    let mut figures = controller(args, &scope).await?;
    figures.extend(node(args, &scope).await?);
    report::print(args.json, &figures, || table(&figures))
}

fn table(figures: &[Figures]) -> String {
    let mut table = report::table(["Process and what it did", "Anonymous MB", "Resident MB"]);
    for Figures {
        process,
        after,
        memory,
    } in figures
    {
        table.add_row([
            format!("{process}: {after}"),
            report::megabytes(memory.anonymous_bytes),
            report::megabytes(memory.resident_bytes),
        ]);
    }
    table.to_string()
}

/// One process of the driver, and the way to it.
struct Measured<'a> {
    args: &'a Args,
    mode: &'static str,
    program: Program,
    channel: Channel,
    /// Where its socket and its log are.
    folder: tempfile::TempDir,
    figures: Vec<Figures>,
}

impl<'a> Measured<'a> {
    async fn start(
        args: &'a Args,
        mode: &'static str,
        more: &[&str],
        environment: &[(&str, &str)],
        scope: &Scope,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("csi.sock");
        let mut arguments = vec!["aws-ebs-csi-driver".to_owned(), mode.to_owned()];
        arguments.push(format!("--endpoint=unix://{}", socket.display()));
        arguments.extend(more.iter().map(|flag| (*flag).to_owned()));
        let mut variables = vec![
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "sandbox"),
            ("AWS_SECRET_ACCESS_KEY", "sandbox"),
        ];
        variables.extend(environment);
        let binary = crate::binary(args.slackwater.as_deref())?;
        let program = Program::start(mode, &binary, arguments, variables, folder.path())?;
        let options = ConnectOptions {
            scope: scope.clone(),
            random: Random::from_entropy(),
        };
        let channel = Channel::connect(&Address::Unix(socket), options);
        let mut measured = Self {
            args,
            mode,
            program,
            channel,
            folder,
            figures: Vec::new(),
        };
        let connected = tokio::time::timeout(PATIENCE, measured.channel.connected()).await;
        measured.program.check()?;
        connected.context("the driver does not serve its socket")?;
        measured.read("the start").await?;
        Ok(measured)
    }

    /// Leaves it alone, and then reads its memory.
    async fn read(&mut self, after: &str) -> anyhow::Result<()> {
        tokio::time::sleep(Duration::from_secs(self.args.quiet)).await;
        self.figures.push(Figures {
            process: self.mode,
            after: after.to_owned(),
            memory: self.program.usage()?.memory,
        });
        Ok(())
    }

    /// Does something with each volume, and reads the memory after it; what came of each.
    async fn each<T, F: Future<Output = Result<T, tonic::Status>>>(
        &mut self,
        what: &str,
        act: impl Fn(usize) -> F,
    ) -> anyhow::Result<Vec<T>> {
        tell(&format!("{}: {} {what}", self.mode, self.args.volumes))?;
        let acts = stream::iter(0..self.args.volumes).map(|index| {
            let acting = act(index);
            async move { acting.await.map(|made| (index, made)) }
        });
        let made = acts.buffer_unordered(self.args.concurrency);
        let outcome: Result<BTreeMap<usize, T>, _> = made.try_collect().await;
        self.program.check()?;
        let made = outcome.with_context(|| what.to_owned())?;
        self.read(&format!("{} {what}", self.args.volumes)).await?;
        Ok(made.into_values().collect())
    }

    async fn stop(mut self) -> anyhow::Result<Vec<Figures>> {
        self.program.stop().await?;
        Ok(self.figures)
    }
}

fn capability() -> VolumeCapability {
    VolumeCapability {
        access_mode: Some(AccessMode {
            mode: Mode::SingleNodeWriter.into(),
        }),
        access_type: Some(AccessType::Mount(MountVolume {
            fs_type: "ext4".into(),
            ..MountVolume::default()
        })),
    }
}

/// What the csi-provisioner asks for.
fn volume(index: usize) -> CreateVolumeRequest {
    let zone = ("topology.kubernetes.io/zone".to_owned(), "us-east-1a".to_owned());
    let zone = Topology {
        segments: BTreeMap::from([zone]),
    };
    let of_claim = [
        ("csi.storage.k8s.io/pvc/name", format!("claim-{index}")),
        ("csi.storage.k8s.io/pvc/namespace", "default".to_owned()),
        ("csi.storage.k8s.io/pv/name", format!("pvc-{index}")),
    ];
    let of_claim = of_claim.map(|(key, value)| (key.to_owned(), value));
    CreateVolumeRequest {
        name: format!("pvc-{index}"),
        capacity_range: Some(CapacityRange {
            required_bytes: 1 << 30,
            limit_bytes: 0,
        }),
        volume_capabilities: vec![capability()],
        parameters: BTreeMap::from(of_claim),
        accessibility_requirements: Some(TopologyRequirement {
            requisite: vec![zone.clone()],
            preferred: vec![zone],
        }),
        ..CreateVolumeRequest::default()
    }
}

fn timed<T>(message: T) -> tonic::Request<T> {
    csi::channel::request(message, TIMEOUT)
}

async fn controller(args: &Args, scope: &Scope) -> anyhow::Result<Vec<Figures>> {
    let mut ec2 = Ec2Process::start().await?;
    let instances = ec2.instances(args.volumes.div_ceil(OF_AN_INSTANCE)).await?;
    let url = ec2.url.clone();
    let environment = [
        ("AWS_EC2_ENDPOINT", url.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let mut driver = Measured::start(args, "controller", &[NO_LIMITS], &environment, scope).await?;
    let client = driver.channel.controller();
    let ids = driver
        .each("volumes made", |index| {
            let mut client = client.clone();
            async move {
                let made = client.create_volume(timed(volume(index))).await?.into_inner();
                Ok(made.volume.unwrap_or_default().volume_id)
            }
        })
        .await?;
    let volume_id = |index: usize| ids[index].clone();
    let node_id = |index: usize| instances[index / OF_AN_INSTANCE].clone();
    let snapshots = use_each(&mut driver, &volume_id, &node_id).await?;
    driver
        .each("snapshots deleted", |index| {
            let mut client = client.clone();
            let request = DeleteSnapshotRequest {
                snapshot_id: snapshots[index].clone(),
                ..DeleteSnapshotRequest::default()
            };
            async move { client.delete_snapshot(timed(request)).await.map(drop) }
        })
        .await?;
    driver
        .each("volumes deleted", |index| {
            let mut client = client.clone();
            let request = DeleteVolumeRequest {
                volume_id: volume_id(index),
                ..DeleteVolumeRequest::default()
            };
            async move { client.delete_volume(timed(request)).await.map(drop) }
        })
        .await?;
    driver.stop().await
}

/// Attaches each volume, looks at it, takes a snapshot of it and detaches it; the snapshots.
async fn use_each(
    driver: &mut Measured<'_>,
    volume_id: &impl Fn(usize) -> String,
    node_id: &impl Fn(usize) -> String,
) -> anyhow::Result<Vec<String>> {
    let client = driver.channel.controller();
    driver
        .each("volumes attached", |index| {
            let mut client = client.clone();
            let request = ControllerPublishVolumeRequest {
                volume_id: volume_id(index),
                node_id: node_id(index),
                volume_capability: Some(capability()),
                ..ControllerPublishVolumeRequest::default()
            };
            async move { client.controller_publish_volume(timed(request)).await.map(drop) }
        })
        .await?;
    driver
        .each("volumes looked at", |index| {
            let mut client = client.clone();
            let request = ValidateVolumeCapabilitiesRequest {
                volume_id: volume_id(index),
                volume_capabilities: vec![capability()],
                ..ValidateVolumeCapabilitiesRequest::default()
            };
            async move {
                client
                    .validate_volume_capabilities(timed(request))
                    .await
                    .map(drop)
            }
        })
        .await?;
    let snapshots = driver
        .each("snapshots taken", |index| {
            let mut client = client.clone();
            let request = CreateSnapshotRequest {
                name: format!("snapshot-{index}"),
                source_volume_id: volume_id(index),
                ..CreateSnapshotRequest::default()
            };
            async move {
                let made = client.create_snapshot(timed(request)).await?.into_inner();
                Ok(made.snapshot.unwrap_or_default().snapshot_id)
            }
        })
        .await?;
    driver
        .each("volumes detached", |index| {
            let mut client = client.clone();
            let request = ControllerUnpublishVolumeRequest {
                volume_id: volume_id(index),
                node_id: node_id(index),
                ..ControllerUnpublishVolumeRequest::default()
            };
            async move { client.controller_unpublish_volume(timed(request)).await.map(drop) }
        })
        .await?;
    Ok(snapshots)
}

async fn node(args: &Args, scope: &Scope) -> anyhow::Result<Vec<Figures>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let metadata = MetadataService::new(Instance::default()).serve(listener, scope)?;
    let environment = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.as_str()),
        // Nothing listens there: the table of attachments holds.
        ("AWS_EC2_ENDPOINT", "http://127.0.0.1:9"),
    ];
    let mut driver = Measured::start(args, "node", &[], &environment, scope).await?;
    let client = driver.channel.node();
    let folder = driver.folder.path().display().to_string();
    driver
        .each(
            "times asked for its limit, statistics and the ends of volumes",
            |index| {
                let mut client = client.clone();
                let (volume_id, volume_path) = (format!("vol-{index:017x}"), folder.clone());
                async move {
                    client.node_get_info(timed(NodeGetInfoRequest {})).await?;
                    let request = NodeGetVolumeStatsRequest {
                        volume_id: volume_id.clone(),
                        volume_path: volume_path.clone(),
                        ..NodeGetVolumeStatsRequest::default()
                    };
                    client.node_get_volume_stats(timed(request)).await?;
                    let request = NodeUnpublishVolumeRequest {
                        volume_id: volume_id.clone(),
                        target_path: format!("{volume_path}/{index}/mount"),
                    };
                    client.node_unpublish_volume(timed(request)).await?;
                    let request = NodeUnstageVolumeRequest {
                        volume_id,
                        staging_target_path: format!("{volume_path}/{index}/globalmount"),
                    };
                    client.node_unstage_volume(timed(request)).await.map(drop)
                }
            },
        )
        .await?;
    driver.stop().await
}
