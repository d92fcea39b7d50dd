//! A real control plane on loopback.

mod files;
mod programs;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::Random;
use serde_json::{Value, json};

use self::programs::Ports;
use crate::audit::Audit;
use crate::hand::{Hand, Patch};
use crate::{Error, Keeper, Kubectl, Launch, Process, Programs, free_port, until};

/// The user that may do everything.
pub const ADMIN: &str = "kubernetes-admin";

/// The user of kube-controller-manager.
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
/// The user of kube-scheduler.
pub(crate) const SCHEDULER: &str = "system:kube-scheduler";
/// The user of the kubelet of the one node.
pub(crate) const KUBELET: &str = "system:node:node-1";
/// The address of the service `kubernetes`, the first one of the range of services.
pub(crate) const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// How long a program may take to start; other builds may use the same processors.
const PATIENCE: Duration = Duration::from_secs(300);
/// Validity of the tokens of service accounts.
const TOKEN_SECONDS: u32 = 24 * 3600;

/// What can be chosen.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More flags of kube-apiserver.
    pub apiserver_args: Vec<String>,
    /// More flags of kube-controller-manager.
    pub controller_manager_args: Vec<String>,
    /// Whether pods run: the API server listens where they look for it, at the address of the service `kubernetes`,
    /// which this machine must have; service accounts are given to pods, nodes have their rights, and
    /// kube-controller-manager runs all its controllers.
    pub serves_pods: bool,
}

/// Somebody who may ask the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As the audit log names them.
    pub name: String,
    /// Their kubeconfig file.
    pub kubeconfig: PathBuf,
}

/// etcd, kube-apiserver and kube-controller-manager. Dropping it ends them; when the process dies first, a keeper
/// does. All data are in a temporary folder, which goes with them unless `SLACKWATER_CONFORMANCE_KEEP` names one.
#[derive(Debug)]
pub struct ControlPlane {
    programs: Programs,
    options: Options,
    folder: PathBuf,
    ports: Ports,
    keeper: Keeper,
    admin: User,
    // Dropped in this order.
    controller_manager: Process,
    apiserver: Process,
    etcd: Process,
    _folder: Option<tempfile::TempDir>,
}

impl ControlPlane {
    /// Starts it and waits until the API server is ready.
    ///
    /// # Errors
    /// When a program is missing, or does not become ready.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let programs = Programs::find()?;
        let (temporary, folder) = folder()?;
        let removed = temporary.as_ref().map(|_| folder.as_path());
        let keeper = Keeper::start(removed)?;
        let ports = Ports {
            etcd: free_port()?,
            etcd_peer: free_port()?,
            apiserver: match options.serves_pods {
                true => SocketAddrV4::new(SERVICE, 443),
                false => SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port()?),
            },
        };
        let random = Random::from_entropy();
        furnish(&folder, ports, &random)?;
        let admin = existing(&folder, ADMIN);
        let start = |launch: Launch| Process::start(&keeper, &folder, &launch);
        // Without it kube-apiserver would only try again and again.
        let etcd = start_etcd(&keeper, &folder, &programs, ports).await?;
        let mut apiserver = start(programs::apiserver(&programs, &folder, ports, &options))?;
        ready(&mut apiserver, &admin).await?;
        let kubeconfig = user_file(&folder, CONTROLLER_MANAGER);
        let launch = programs::controller_manager(&programs, &folder, &kubeconfig, &options);
        let controller_manager = start(launch)?;
        Ok(Self {
            programs,
            options,
            folder,
            ports,
            keeper,
            admin,
            controller_manager,
            apiserver,
            etcd,
            _folder: temporary,
        })
    }

    /// Where everything lies, logs among it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends processes with this one.
    #[must_use]
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// The programs it is made of, and `kubectl` and `csi-sanity` beside them.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The URL of the API server.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.ports)
    }

    /// The user that may do everything.
    #[must_use]
    pub fn admin(&self) -> &User {
        &self.admin
    }

    /// Requests as the user that may do everything.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn hand(&self) -> Result<Hand, Error> {
        Hand::new(&self.admin.kubeconfig).await
    }

    /// `kubectl` of the user that may do everything.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        self.kubectl_of(&self.admin)
    }

    /// `kubectl` of a user.
    #[must_use]
    pub fn kubectl_of(&self, user: &User) -> Kubectl {
        Kubectl::new(self.programs.path("kubectl"), &user.kubeconfig, &self.folder)
    }

    /// What the API server writes down.
    #[must_use]
    pub fn audit(&self) -> Audit {
        Audit::new(&self.folder.join("audit.log"))
    }

    /// A service account, made with its namespace where they are missing. It has no rights but those that roles
    /// bind to it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<User, Error> {
        let hand = self.hand().await?;
        for (path, value) in [
            (
                format!("/api/v1/namespaces/{namespace}"),
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
            ),
            (
                format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}"),
                json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } }),
            ),
        ] {
            hand.patch(&format!("{path}?fieldManager=conformance"), Patch::Apply, &value)
                .await?
                .ok(&path)?;
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "audiences": [], "expirationSeconds": TOKEN_SECONDS },
        });
        let answer = hand.create(&path, &request).await?.ok(&path)?;
        let token = answer["status"]["token"].as_str().unwrap_or_default();
        self.user(&format!("system:serviceaccount:{namespace}:{name}"), token)
    }

    /// A user that came with the control plane.
    pub(crate) fn existing(&self, name: &str) -> User {
        existing(&self.folder, name)
    }

    fn user(&self, name: &str, token: &str) -> Result<User, Error> {
        user(&self.folder, self.ports, name, token)
    }

    /// etcd.
    #[must_use]
    pub fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// kube-apiserver.
    #[must_use]
    pub fn apiserver(&self) -> &Process {
        &self.apiserver
    }

    /// kube-controller-manager.
    #[must_use]
    pub fn controller_manager(&self) -> &Process {
        &self.controller_manager
    }

    /// Kills the API server, as `kill -9`.
    pub fn kill_apiserver(&mut self) {
        self.apiserver.kill();
    }

    /// Starts the API server again after [`ControlPlane::kill_apiserver`] and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_apiserver(&mut self) -> Result<(), Error> {
        let launch = programs::apiserver(&self.programs, &self.folder, self.ports, &self.options);
        self.apiserver = Process::start(&self.keeper, &self.folder, &launch)?;
        ready(&mut self.apiserver, &self.admin).await
    }

    /// Copies the data of etcd, which is away for a moment, for [`ControlPlane::restore`].
    ///
    /// # Errors
    /// When the data cannot be copied, or etcd does not come back.
    pub async fn back_up(&mut self) -> Result<PathBuf, Error> {
        let backup = self.folder.join("etcd-backup");
        self.etcd.kill();
        copied(&self.folder.join(programs::ETCD_DATA), &backup)?;
        self.start_etcd().await?;
        Ok(backup)
    }

    /// Puts a backup in the place of etcd's data, as an operator does: the API server is down meanwhile, and
    /// kube-controller-manager begins anew. Versions go back to those of the backup.
    ///
    /// # Errors
    /// When the data cannot be copied, or a program does not come back.
    pub async fn restore(&mut self, backup: &Path) -> Result<(), Error> {
        self.controller_manager.kill();
        self.kill_apiserver();
        self.etcd.kill();
        copied(backup, &self.folder.join(programs::ETCD_DATA))?;
        self.start_etcd().await?;
        self.start_apiserver().await?;
        self.restart_controller_manager()
    }

    /// Starts kube-controller-manager anew.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart_controller_manager(&mut self) -> Result<(), Error> {
        self.controller_manager.kill();
        let kubeconfig = user_file(&self.folder, CONTROLLER_MANAGER);
        let launch = programs::controller_manager(&self.programs, &self.folder, &kubeconfig, &self.options);
        self.controller_manager = Process::start(&self.keeper, &self.folder, &launch)?;
        Ok(())
    }

    async fn start_etcd(&mut self) -> Result<(), Error> {
        self.etcd = start_etcd(&self.keeper, &self.folder, &self.programs, self.ports).await?;
        Ok(())
    }

    /// Removes all history from etcd, so that what begins at an older version is answered 410. Returns the oldest
    /// version that is left.
    ///
    /// # Errors
    /// When etcd refuses.
    pub async fn compact(&self) -> Result<u64, Error> {
        let etcd = Hand::plain(&format!("http://127.0.0.1:{}", self.ports.etcd))?;
        // A key that is not there: the answer says the present revision.
        let now = etcd.create("/v3/kv/range", &json!({ "key": "AA==" })).await?;
        let now = now.ok("etcd range")?;
        let text = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok());
        let revision = text(&now["header"]["revision"]).unwrap_or_default();
        let request = json!({ "revision": revision.to_string(), "physical": true });
        etcd.create("/v3/kv/compaction", &request)
            .await?
            .ok("etcd compaction")?;
        Ok(revision)
    }
}

fn url(ports: Ports) -> String {
    format!("https://{}", ports.apiserver)
}

/// The folder of all data: a temporary one, or a new one in the folder that is to be kept.
fn folder() -> Result<(Option<tempfile::TempDir>, PathBuf), Error> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("slackwater-");
    match crate::programs::kept_folder() {
        Some(kept) => {
            std::fs::create_dir_all(&kept).map_err(Error::system(format!("make {}", kept.display())))?;
            let made = builder
                .tempdir_in(&kept)
                .map_err(Error::system("make a folder"))?;
            Ok((None, made.keep()))
        }
        None => {
            let made = builder.tempdir().map_err(Error::system("make a folder"))?;
            let folder = made.path().to_owned();
            Ok((Some(made), folder))
        }
    }
}

/// Writes what the programs are given, the kubeconfigs of their users among it.
fn furnish(folder: &Path, ports: Ports, random: &Random) -> Result<(), Error> {
    let mut lines = String::new();
    for (name, group) in [
        (ADMIN, "system:masters"),
        (CONTROLLER_MANAGER, "system:masters"),
        (SCHEDULER, ""),
        (KUBELET, "system:nodes"),
    ] {
        let token = random.uuid();
        lines.push_str(&format!("{token},{name},{name},{group}\n"));
        user(folder, ports, name, &token)?;
    }
    files::write(&folder.join("tokens.csv"), &lines)?;
    files::write(&folder.join("service-accounts.key"), &files::signing_key(random))?;
    files::write(&folder.join("audit-policy.json"), &files::audit_policy())
}

fn existing(folder: &Path, name: &str) -> User {
    User {
        name: name.to_owned(),
        kubeconfig: user_file(folder, name),
    }
}

fn user(folder: &Path, ports: Ports, name: &str, token: &str) -> Result<User, Error> {
    let kubeconfig = user_file(folder, name);
    let authority = folder.join("certificates/apiserver.crt");
    files::write(&kubeconfig, &files::kubeconfig(&url(ports), &authority, token))?;
    Ok(existing(folder, name))
}

fn user_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{}.kubeconfig", name.replace(':', "_")))
}

/// Makes a folder that is the copy of another, in the place of what was there.
fn copied(from: &Path, to: &Path) -> Result<(), Error> {
    let system = || Error::system(format!("copy {} to {}", from.display(), to.display()));
    if to.exists() {
        std::fs::remove_dir_all(to).map_err(system())?;
    }
    std::fs::create_dir_all(to).map_err(system())?;
    for entry in std::fs::read_dir(from).map_err(system())? {
        let entry = entry.map_err(system())?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copied(&from, &to)?;
        } else {
            std::fs::copy(&from, &to).map_err(system())?;
        }
    }
    Ok(())
}

async fn start_etcd(
    keeper: &Keeper,
    folder: &Path,
    programs: &Programs,
    ports: Ports,
) -> Result<Process, Error> {
    let mut etcd = Process::start(keeper, folder, &programs::etcd(programs, folder, ports))?;
    until("etcd listens", PATIENCE, async || {
        listens(ports.etcd)
            .then_some(())
            .or_else(|| etcd.ended().map(drop))
    })
    .await?;
    etcd.check()?;
    Ok(etcd)
}

fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Waits until the API server is ready and has made the roles that come with it.
async fn ready(apiserver: &mut Process, admin: &User) -> Result<(), Error> {
    until("kube-apiserver is ready", PATIENCE, async || {
        if apiserver.ended().is_some() {
            return Some(());
        }
        // Its certificate, which is its own authority, is there once it has started.
        let hand = Hand::new(&admin.kubeconfig).await.ok()?;
        let answer = hand.get("/readyz").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await?;
    apiserver.check()
}
