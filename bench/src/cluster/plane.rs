//! etcd and kube-apiserver on loopback, with a token for each user.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::Random;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conformance::{Peers, Programs};
use http::Request;
use serde_json::{Value, json};

use super::program::Program;
use crate::load::Binder;

/// Users with a kubeconfig: one a function, so that the audit log tells them apart.
const USERS: [&str; 9] = [
    super::PERSON,
    "driver",
    "snapshot-controller",
    "csi-snapshotter",
    "csi-resizer",
    "csi-provisioner",
    "csi-attacher",
    "controller",
    CONTROLLER_MANAGER,
];
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
/// Its part in the making and the end of volumes.
const CONTROLLERS: &str = "persistentvolume-binder-controller,persistentvolume-protection-controller,\
    persistentvolumeclaim-protection-controller";
/// More requests a second than it makes.
const CONTROLLERS_QPS: u32 = 10_000;
/// How long the API server may take to become ready.
const PATIENCE: Duration = Duration::from_secs(90);
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A control plane, without controllers unless they are the binder, so that no other program writes to the objects that are
/// measured. It ends with this value.
pub struct Plane {
    controller_manager: Option<Program>,
    apiserver: Program,
    etcd: Program,
    folder: PathBuf,
}

impl Plane {
    /// Starts the programs of conformance/control-plane with their data in `folder`, kube-controller-manager where it is the
    /// binder, and installs the snapshot definitions, those of group snapshots too, for which upstream's programs ask.
    ///
    /// # Errors
    /// When one of them is missing or does not become ready.
    pub async fn start(folder: &Path, random: &Random, binder: Binder) -> anyhow::Result<Self> {
        let binaries = Programs::find()?;
        let (etcd_url, port) = (
            format!("http://127.0.0.1:{}", sandbox::free_port()?),
            sandbox::free_port()?,
        );
        let etcd = start_etcd(&binaries, folder, &etcd_url)?;
        furnish(folder, port, random)?;
        let apiserver = start_apiserver(&binaries, folder, &etcd_url, port, binder)?;
        let mut plane = Self {
            controller_manager: None,
            apiserver,
            etcd,
            folder: folder.to_owned(),
        };
        plane.until_ready().await?;
        if binder == Binder::Cluster {
            plane.start_controllers(&binaries)?;
        }
        Ok(plane)
    }

    /// Starts the controllers of the cluster that bind, release and protect volumes.
    fn start_controllers(&mut self, binaries: &Programs) -> anyhow::Result<()> {
        let arguments = [
            format!("--kubeconfig={}", self.kubeconfig(CONTROLLER_MANAGER).display()),
            format!("--cert-dir={}", self.folder.join("certificates").display()),
            format!("--controllers={CONTROLLERS}"),
            format!("--kube-api-qps={CONTROLLERS_QPS}"),
            format!("--kube-api-burst={CONTROLLERS_QPS}"),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ];
        let name = "kube-controller-manager";
        let path = binaries.path(name);
        self.controller_manager = Some(Program::start(name, &path, arguments, [], &self.folder)?);
        Ok(())
    }

    /// Its programs.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        let others = [&self.apiserver, &self.etcd];
        self.controller_manager.iter().chain(others)
    }

    /// Ends them.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(controller_manager) = &mut self.controller_manager {
            controller_manager.stop().await?;
        }
        self.apiserver.stop().await?;
        self.etcd.stop().await
    }

    /// The kubeconfig of a user.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder.join(format!("{user}.kubeconfig"))
    }

    /// A client of a user.
    pub async fn client(&self, user: &str) -> anyhow::Result<kube::Client> {
        let file = kube::config::Kubeconfig::read_from(self.kubeconfig(user))?;
        let config = kube::Config::from_custom_kubeconfig(file, &Default::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Where the API server writes down every request.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let client = self.client(super::PERSON).await?;
        let begun = tokio::time::Instant::now();
        loop {
            self.etcd.check()?;
            self.apiserver.check()?;
            let request = Request::get("/readyz").body(Vec::new())?;
            match client.request_text(request).await {
                Ok(_) => break,
                Err(error) if begun.elapsed() > PATIENCE => bail!("kube-apiserver is not ready: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        let mut definitions = crds::definitions::snapshots();
        definitions.extend(definitions_of_upstream()?);
        for definition in definitions {
            let request = Request::post(DEFINITIONS)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(serde_json::to_vec(&definition)?)?;
            client
                .request::<Value>(request)
                .await
                .context("installing the definitions")?;
        }
        // A definition is served some time after it was accepted.
        while begun.elapsed() < PATIENCE {
            let request = Request::get(crate::load::SNAPSHOTS).body(Vec::new())?;
            if client.request_text(request).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the snapshot definitions are not served")
    }
}

/// Those of group snapshots; none where upstream's programs were not built.
fn definitions_of_upstream() -> anyhow::Result<Vec<Value>> {
    let Ok(peers) = Peers::find() else {
        return Ok(Vec::new());
    };
    let mut definitions = Vec::new();
    for file in std::fs::read_dir(peers.definitions())? {
        let text = std::fs::read_to_string(file?.path())?;
        definitions.push(serde_saphyr::from_str(&text)?);
    }
    Ok(definitions)
}

fn start_etcd(binaries: &Programs, folder: &Path, url: &str) -> anyhow::Result<Program> {
    let peer = format!("http://127.0.0.1:{}", sandbox::free_port()?);
    let arguments = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--log-level=warn".to_owned(),
    ];
    Program::start("etcd", &binaries.path("etcd"), arguments, [], folder)
}

fn start_apiserver(
    binaries: &Programs,
    folder: &Path,
    etcd: &str,
    port: u16,
    binder: Binder,
) -> anyhow::Result<Program> {
    // Nobody takes the finalizers of this protection away where no controllers run.
    let without = match binder {
        Binder::Cluster => "ServiceAccount",
        Binder::User => "ServiceAccount,StorageObjectInUseProtection",
    };
    let file = |name: &str| folder.join(name).display().to_string();
    let arguments = [
        format!("--etcd-servers={etcd}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--cert-dir={}", file("certificates")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("service-accounts.key")),
        format!(
            "--service-account-signing-key-file={}",
            file("service-accounts.key")
        ),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--disable-admission-plugins={without}"),
        format!("--audit-policy-file={}", file("audit-policy.json")),
        format!("--audit-log-path={}", file("audit.log")),
        // One file: a rotated one would be missed.
        "--audit-log-maxsize=100000".to_owned(),
    ];
    Program::start(
        "kube-apiserver",
        &binaries.path("kube-apiserver"),
        arguments,
        [],
        folder,
    )
}

/// Writes what the API server and its users are given.
fn furnish(folder: &Path, port: u16, random: &Random) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).with_context(|| format!("writing {name}"))
    };
    let mut tokens = String::new();
    for user in USERS {
        let token = random.uuid();
        tokens += &format!("{token},{user},{user},system:masters\n");
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "insecure-skip-tls-verify": true,
            }}],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "default"}}],
            "current-context": "it",
        });
        // JSON is YAML.
        write(&format!("{user}.kubeconfig"), &kubeconfig.to_string())?;
    }
    write("tokens.csv", &tokens)?;
    write("service-accounts.key", &signing_key(random))?;
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [{"level": "Metadata"}],
    });
    write("audit-policy.json", &policy.to_string())
}

/// A key for service account tokens, which nobody here asks for: P-256 in the form of SEC 1.
fn signing_key(random: &Random) -> String {
    let mut key = vec![0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
    // Below 2^255 and above 0: within the order of the curve.
    let first = (random.next_u64() >> 1) | 1;
    key.extend(first.to_be_bytes());
    for _ in 0..3 {
        key.extend(random.next_u64().to_be_bytes());
    }
    key.extend([
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ]);
    let text = STANDARD.encode(key);
    format!("-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n")
}
