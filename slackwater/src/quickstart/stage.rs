//! What the story plays on: the sandbox, the controllers, and what exists before it begins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use csi::Channel;
use ebs_driver::Ec2Transport;
use prometheus::Registry;
use runtime::args::{Environment, HttpAddress};
use runtime::client::Connection;
use runtime::http::{Endpoints, Readiness};
use runtime::{Clock, Random, Scope};
use sandbox::ec2::{Ec2, Ec2Options};
use sandbox::kube::{ApiServer, GroupResource};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::util::BoxCloneSyncService;

use crate::controller::{Assembly, ControllerCommand, Function, Outside, WhenLost};

const DEFINITIONS: GroupResource<'_> =
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
/// GiB of the volume in the story.
const VOLUME_GIB: u32 = 10;

/// The sandbox and the controllers in it.
pub struct Stage {
    /// Everything ends with it.
    pub scope: Scope,
    /// The Kubernetes API.
    pub api: ApiServer,
    /// EC2.
    pub ec2: Ec2,
    /// A volume that exists, and its zone.
    pub volume: (String, String),
    /// A snapshot that exists.
    pub old_snapshot: String,
    random: Random,
    registries: BTreeMap<Function, Registry>,
    failure: watch::Receiver<Option<String>>,
}

impl Stage {
    /// Sets it up.
    ///
    /// # Errors
    /// Only when the program itself is at fault.
    pub async fn new() -> anyhow::Result<Self> {
        let (clock, random) = (Clock::system(), Random::from_entropy());
        let scope = Scope::new();
        let api = ApiServer::new(clock.clone(), random.fork(), &scope);
        let options = Ec2Options::default();
        let zone = options
            .zones
            .first()
            .map(|zone| zone.name.clone())
            .context("the sandbox has no zone")?;
        let ec2 = Ec2::new(clock.clone(), random.fork(), options);
        for definition in crds::definitions::all() {
            api.store("installer")
                .create(DEFINITIONS, definition)
                .context("installing the definitions")?;
        }
        sandbox::actors::run(&api, &scope, clock.clone());
        let volume = ec2.create_volume_fixture(&zone, VOLUME_GIB, &[("Name", "data")])?;
        let old_snapshot = ec2.create_snapshot_fixture(&volume, &[("Name", "taken long ago")])?;
        let (failure, registries) = start(&api, &ec2, &clock, &random, &scope).await?;
        Ok(Self {
            scope,
            api,
            ec2,
            volume: (volume, zone),
            old_snapshot,
            random,
            registries,
            failure,
        })
    }

    /// Resolves when the controllers end by themselves.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Opens the sandbox and the metrics on loopback; answers what a person needs to know.
    ///
    /// # Errors
    /// When no port can be had or the kubeconfig cannot be written.
    pub async fn open(&self) -> anyhow::Result<String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let token = format!("{}{}", self.random.uuid(), self.random.uuid());
        self.api.serve(listener, &token)?;
        let path = std::env::temp_dir().join(format!("slackwater-{}.kubeconfig", std::process::id()));
        write_private(&path, &self.api.kubeconfig(address, &token)?)?;
        let ec2 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let ec2 = self.ec2.serve(ec2, &self.scope)?;
        let metrics = self.serve_metrics().await?;
        Ok(format!(
            "\nStill serving; end it with Ctrl-C.\n\n  \
             export KUBECONFIG={}\n  \
             export AWS_ENDPOINT_URL_EC2={ec2}\n  \
             curl http://{metrics}/metrics\n",
            path.display()
        ))
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

/// Starts the four functions in this process, each under its own user name.
async fn start(
    api: &ApiServer,
    ec2: &Ec2,
    clock: &Clock,
    random: &Random,
    scope: &Scope,
) -> anyhow::Result<Started> {
    let line = [
        "controller",
        "--functions=driver,snapshot-controller,csi-snapshotter,csi-resizer",
    ];
    let command = ControllerCommand::parse(line.map(OsString::from).to_vec())?;
    let settings = command
        .commands
        .settings(&Environment::default(), WhenLost::CompeteAgain)?;
    let registries: BTreeMap<_, _> = Function::ALL.map(|function| (function, Registry::new())).into();
    let mut kubernetes = BTreeMap::new();
    for function in [
        Function::SnapshotController,
        Function::CsiSnapshotter,
        Function::CsiResizer,
    ] {
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
    let assembly = Assembly::new(settings, outside, &working, &registries[&Function::Driver]).await?;
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
