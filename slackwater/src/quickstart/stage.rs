//! What the story plays on: the sandbox, the controllers, and what exists before it begins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use base::args::{Environment, HttpAddress};
use base::http::{Endpoints, Readiness};
use base::{Clock, Random, Scope};
use csi::Channel;
use ebs_driver::node::InstanceInfo;
use ebs_driver::{Ec2Transport, NodeConfig, NodeService};
use prometheus::Registry;
use runtime::client::Connection;
use sandbox::actors::Options;
use sandbox::ec2::{Ec2, Ec2Options};
use sandbox::kube::{ApiServer, GroupResource};
use sandbox::node::Machine;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::util::BoxCloneSyncService;

use super::examples::{self, Ids};
use crate::controller::{Assembly, ControllerCommand, Function, Outside, WhenLost};

const DEFINITIONS: GroupResource<'_> =
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
const DRIVERS: GroupResource<'_> = GroupResource::new("storage.k8s.io", "csidrivers");
/// The name of the driver.
const DRIVER: &str = "ebs.csi.aws.com";
/// The nodes, one in each of the first zones.
const NODES: [&str; 2] = ["ip-10-0-0-10.ec2.internal", "ip-10-0-1-10.ec2.internal"];
/// Their instance type.
const INSTANCE_TYPE: &str = "m5.large";
/// GiB of the volumes of the folders 08 and 11.
const VOLUME_GIB: u32 = 4;
/// GiB of the volume of the folder 10: EC2 gives 500 IOPS for each.
const CHANGED_VOLUME_GIB: u32 = 16;
/// GiB of the volume of the folder 01.
const STATIC_VOLUME_GIB: u32 = 10;

/// The sandbox and the controllers in it.
pub struct Stage {
    /// Everything ends with it.
    pub scope: Scope,
    /// The Kubernetes API.
    pub api: ApiServer,
    /// EC2.
    pub ec2: Ec2,
    machines: [Machine; 2],
    random: Random,
    registries: BTreeMap<Function, Registry>,
    failure: watch::Receiver<Option<String>>,
}

impl Stage {
    /// Sets it up, with this EC2.
    ///
    /// # Errors
    /// Only when the program itself is at fault.
    pub async fn new(options: Ec2Options) -> anyhow::Result<Self> {
        let (clock, random) = (Clock::system(), Random::from_entropy());
        let scope = Scope::new();
        let api = ApiServer::new(clock.clone(), random.fork(), &scope);
        let [first, second, ..] = &*options.zones else {
            anyhow::bail!("the sandbox has too few zones");
        };
        let zones = [first.name.clone(), second.name.clone()];
        let ec2 = Ec2::new(clock.clone(), random.fork(), options);
        for definition in crds::definitions::all() {
            api.store("installer")
                .create(DEFINITIONS, definition)
                .context("installing the definitions")?;
        }
        let machines = [
            Machine::launch(&ec2, NODES[0], &zones[0], INSTANCE_TYPE)?,
            Machine::launch(&ec2, NODES[1], &zones[1], INSTANCE_TYPE)?,
        ];
        let mut options = Options::default().with_attached(DRIVER);
        for machine in &machines {
            options = options.with_node(machine.node().with_driver(DRIVER, node_service(machine)?));
        }
        sandbox::actors::run_with(&api, &scope, clock.clone(), options);
        api.store("installer")
            .create(DRIVERS, driver_object())
            .context("installing the driver")?;
        let (failure, registries) = start((&api, &ec2), &clock, &random, &scope).await?;
        Ok(Self {
            scope,
            api,
            ec2,
            machines,
            random,
            registries,
            failure,
        })
    }

    /// The node that pods go to first.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machines[0]
    }

    /// Resolves when the controllers end by themselves.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Opens the sandbox and the metrics on loopback; answers what a person needs to know, and the folder in which
    /// kubeconfig and examples lie.
    ///
    /// # Errors
    /// When no port can be had or a file cannot be written.
    pub async fn open(&self) -> anyhow::Result<(String, Folder)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let token = format!("{}{}", self.random.uuid(), self.random.uuid());
        self.api.serve(listener, &token)?;
        let folder = Folder::make(&self.random)?;
        let kubeconfig = folder.path.join("kubeconfig");
        write_private(&kubeconfig, &self.api.kubeconfig(address, &token)?)?;
        let copies = folder.path.join("examples");
        self.copy_examples(&copies)?;
        let ec2 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let ec2 = self.ec2.serve(ec2, &self.scope)?;
        let metrics = self.serve_metrics().await?;
        let text = format!(
            "\nStill serving; end it with Ctrl-C.\n\n  \
             export KUBECONFIG={}\n  \
             export AWS_ENDPOINT_URL_EC2={ec2}\n  \
             curl http://{metrics}/metrics\n\n\
             The examples with the IDs of this EC2, to be applied by hand (docs/quickstart.md):\n\n  \
             cd {}\n  \
             kubectl apply -k 02-dynamic\n",
            kubeconfig.display(),
            copies.display(),
        );
        Ok((text, folder))
    }

    /// The folders of the examples with volumes and a snapshot of their own.
    fn copy_examples(&self, place: &Path) -> anyhow::Result<()> {
        let [zone, second_zone] = [0, 1].map(|at| self.machines[at].zone().to_owned());
        let volume = |gib: u32, name: &str| -> anyhow::Result<Ids<'static>> {
            let id = self.ec2.create_volume_fixture(&zone, gib, &[("Name", name)])?;
            Ok(Ids::from([("volumeHandle", id), ("zone", zone.clone())]))
        };
        let old = self
            .ec2
            .create_volume_fixture(&zone, VOLUME_GIB, &[("Name", "data")])?;
        let old = self
            .ec2
            .create_snapshot_fixture(&old, &[("Name", "taken long ago")])?;
        let import = Ids::from([("snapshotHandle", old)]);
        let zones = Ids::from([("firstZone", zone.clone()), ("secondZone", second_zone)]);
        let folders = [
            (&examples::STATIC_VOLUME, volume(STATIC_VOLUME_GIB, "01-static")?),
            (&examples::DYNAMIC, Ids::new()),
            (&examples::PARAMETERS, Ids::new()),
            (&examples::TOPOLOGY, zones),
            (&examples::SNAPSHOT, Ids::new()),
            (&examples::RESTORE, Ids::new()),
            (&examples::IMPORT, import.clone()),
            (&examples::EXPAND, volume(VOLUME_GIB, "08-expand")?),
            (&examples::CLONE, Ids::new()),
            (
                &examples::CHANGE,
                volume(CHANGED_VOLUME_GIB, "10-volume-attributes-class")?,
            ),
            (&examples::BLOCK, volume(VOLUME_GIB, "11-block")?),
            (&examples::EPHEMERAL, Ids::new()),
            (&examples::ELSEWHERE, import),
            (&examples::GROUP, self.database()?),
            (&examples::SCHEDULED, Ids::new()),
            (&examples::BACKUP, Ids::new()),
            (&examples::GROWING_SET, Ids::new()),
            (&examples::QUOTA, Ids::new()),
            (&examples::IN_TREE, Ids::new()),
        ];
        examples::write(place, &folders).with_context(|| format!("writing {}", place.display()))
    }

    /// The two volumes of the folder with a group.
    fn database(&self) -> anyhow::Result<Ids<'static>> {
        let zone = self.machine().zone();
        let volume = |name| {
            self.ec2
                .create_volume_fixture(zone, VOLUME_GIB, &[("Name", name)])
        };
        Ok(Ids::from([
            ("dataVolume", volume("14-group-snapshot, data")?),
            ("logVolume", volume("14-group-snapshot, log")?),
            ("zone", zone.to_owned()),
        ]))
    }

    async fn serve_metrics(&self) -> anyhow::Result<std::net::SocketAddr> {
        let address = HttpAddress {
            address: "127.0.0.1:0".to_owned(),
            metrics_path: "/metrics".to_owned(),
            election_health: false,
        };
        let mut endpoints = Endpoints::new(Readiness::default());
        for registry in self.registries.values() {
            endpoints.add(&address, registry, None);
        }
        let bound = endpoints.bind().await?;
        let local = bound
            .addresses()
            .first()
            .copied()
            .context("no listener for the metrics")?;
        bound.serve(&self.scope);
        Ok(local)
    }
}

/// A folder that goes when this is dropped.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new one that nobody else may look into.
    fn make(random: &Random) -> anyhow::Result<Self> {
        let uuid = random.uuid();
        let name = format!("slackwater-{}", uuid.get(..8).unwrap_or_default());
        let path = std::env::temp_dir().join(name);
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::debug!(%error, "cannot remove the folder");
        }
    }
}

/// The node service of the driver on a simulated machine.
///
/// # Errors
/// Its metrics cannot be registered.
pub fn node_service(machine: &Machine) -> anyhow::Result<Channel> {
    let instance = InstanceInfo {
        instance_id: machine.instance_id().to_owned(),
        instance_type: machine.instance_type().to_owned(),
        region: machine.region().to_owned(),
        zone: machine.zone().to_owned(),
        interfaces: 1,
        ..InstanceInfo::default()
    };
    let service = NodeService::new(
        NodeConfig::default(),
        machine.host(),
        Arc::new(instance),
        &Registry::new(),
    )?;
    Ok(Channel::in_process(service.routes()))
}

/// What the manifests of the driver install.
fn driver_object() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": { "name": DRIVER },
        "spec": { "attachRequired": true, "podInfoOnMount": false, "fsGroupPolicy": "File" },
    })
}

/// The kubeconfig holds a token: nobody else may read it.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let mut file = file.with_context(|| format!("writing {}", PathBuf::from(path).display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

type Started = (watch::Receiver<Option<String>>, BTreeMap<Function, Registry>);

/// Starts all functions in this process, each under its own user name.
async fn start(
    (api, ec2): (&ApiServer, &Ec2),
    clock: &Clock,
    random: &Random,
    scope: &Scope,
) -> anyhow::Result<Started> {
    let functions = Function::ALL.map(Function::name).join(",");
    let line = ["controller".to_owned(), format!("--functions={functions}")];
    let command = ControllerCommand::parse(line.map(OsString::from).to_vec())?;
    let settings = command
        .commands
        .settings(&Environment::default(), WhenLost::CompeteAgain)?;
    let registries: BTreeMap<_, _> = Function::ALL.map(|function| (function, Registry::new())).into();
    let mut kubernetes = BTreeMap::new();
    for function in Function::ALL
        .into_iter()
        .filter(|function| *function != Function::DRIVER)
    {
        let client = kube::Client::new(api.service(function.name()), "default");
        let registry = &registries[&function];
        kubernetes.insert(
            function,
            Connection::over(client, None).clients(function.name(), registry)?,
        );
    }
    let outside = Outside {
        kubernetes,
        watches: Some(kube::Client::new(api.service("watches"), "default")),
        registries: registries.clone(),
        ec2: Ec2Transport::InProcess(BoxCloneSyncService::new(ec2.clone())),
        channel: Box::new(Channel::in_process),
        serves_socket: false,
        clock: clock.clone(),
        random: random.fork(),
        identity: "quickstart".to_owned(),
        namespace: "kube-system".to_owned(),
    };
    let working = scope.child();
    let assembly = Assembly::new(settings, outside, &working, &registries[&Function::DRIVER]).await?;
    let (failed, failure) = watch::channel(None);
    scope.spawn(async move {
        let _working = working;
        if let Err(error) = assembly.run().await {
            let _ = failed.send(Some(error.to_string()));
        }
        std::future::pending::<()>().await;
    });
    Ok((failure, registries))
}
