//! A node: a driver, the folder that the kubelet watches, and the kubelet.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Random, Scope};
use csi::channel::request;
use csi::server::Listener;
use csi::v1::NodeGetInfoRequest;
use csi::{Address, Channel, ConnectOptions};
use file_driver::driver::Machine;
use file_driver::{Capabilities, Config, Driver};
use node_driver_registrar::args::Task;
use node_driver_registrar::v1::registration_client::RegistrationClient;
use node_driver_registrar::v1::{InfoRequest, PluginInfo, RegistrationStatus};
use node_driver_registrar::{Args, Error, run};
use prometheus::Registry;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

pub const DRIVER: &str = "file.test";
/// Patience with what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(30);

/// A node with the folders of the kubelet.
pub struct Node {
    pub folder: TempDir,
    pub scope: Scope,
}

/// A registrar at work.
pub struct Registrar {
    pub scope: Scope,
    pub ended: JoinHandle<Result<(), Error>>,
}

impl Node {
    pub fn new() -> Self {
        let node = Self {
            folder: tempfile::tempdir().unwrap(),
            scope: Scope::new(),
        };
        for name in ["registration", "plugins/file.test"] {
            std::fs::create_dir_all(node.folder.path().join(name)).unwrap();
        }
        node
    }

    /// The driver's socket, as the kubelet sees it.
    pub fn driver_socket(&self) -> PathBuf {
        self.folder.path().join("plugins").join(DRIVER).join("csi.sock")
    }

    pub fn registration(&self) -> PathBuf {
        self.folder.path().join("registration")
    }

    pub fn socket(&self) -> PathBuf {
        self.registration().join(format!("{DRIVER}-reg.sock"))
    }

    /// Serves a driver of this name until what is answered is dropped.
    pub async fn serve_driver(&self, name: &str) -> DropGuard {
        self.serve_driver_after(Duration::ZERO, name).await
    }

    /// The same of one that listens so long before it serves.
    pub async fn serve_driver_after(&self, time: Duration, name: &str) -> DropGuard {
        let config = Config {
            name: name.to_owned(),
            node_id: "node-a".to_owned(),
            capacity_bytes: 1 << 30,
            max_volumes: 0,
            capabilities: Capabilities::all(),
            ready_after: Duration::ZERO,
        };
        let host = Arc::new(node::testing::Machine::default());
        let machine = Machine {
            host: host.clone(),
            loops: host,
        };
        // One a driver: there may be another one for a moment.
        let data = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let driver = Driver::new(config, &data, machine, Clock::system(), &Registry::new()).unwrap();
        let address = Address::Unix(self.driver_socket());
        let listener = Listener::bind(&address).await.unwrap();
        let stopping = CancellationToken::new();
        let (routes, stopped) = (driver.routes(), stopping.clone());
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            listener.serve(routes, stopped).await
        });
        stopping.drop_guard()
    }

    /// Starts a registrar with these flags beside those that it needs.
    pub fn start(&self, flags: &[String]) -> Registrar {
        let socket = self.driver_socket().display().to_string();
        let words = [
            "node-driver-registrar".to_owned(),
            format!("--csi-address={socket}"),
            format!("--kubelet-registration-path={socket}"),
            format!("--plugin-registration-path={}", self.registration().display()),
            "--timeout=30s".to_owned(),
        ];
        let words = words.iter().chain(flags).map(Into::into);
        let args: Args = base::args::parse(words).unwrap();
        let Task::Register(config) = args.task().unwrap() else {
            panic!("it registers");
        };
        let scope = self.scope.child();
        let of_run = scope.clone();
        let ended = tokio::spawn(async move { run(config, &of_run).await });
        Registrar { scope, ended }
    }

    fn channel(&self, path: &Path) -> Channel {
        let options = ConnectOptions {
            scope: self.scope.child(),
            random: Random::seeded(1),
        };
        Channel::connect(&Address::Unix(path.to_owned()), options)
    }

    /// What the registrar says, once it serves its socket.
    pub async fn info(&self) -> PluginInfo {
        let channel = self.channel(&self.socket());
        tokio::time::timeout(PATIENCE, channel.connected()).await.unwrap();
        let asked = request(InfoRequest {}, TIMEOUT);
        let answer = RegistrationClient::new(channel).get_info(asked).await;
        answer.unwrap().into_inner()
    }

    pub async fn notify(&self, error: Option<&str>) -> Result<(), Status> {
        let status = RegistrationStatus {
            plugin_registered: error.is_none(),
            error: error.unwrap_or_default().to_owned(),
        };
        let channel = self.channel(&self.socket());
        tokio::time::timeout(PATIENCE, channel.connected()).await.unwrap();
        let sent = RegistrationClient::new(channel)
            .notify_registration_status(request(status, TIMEOUT))
            .await;
        sent.map(drop)
    }

    /// The name of the node, which the kubelet asks of the driver at the place that the registrar named.
    pub async fn node_id(&self, endpoint: &str) -> String {
        let channel = self.channel(Path::new(endpoint));
        let asked = request(NodeGetInfoRequest {}, TIMEOUT);
        let answer = channel.node().node_get_info(asked).await;
        answer.unwrap().into_inner().node_id
    }
}
