//! A Kubernetes API and an EC2 on loopback, in this process.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use runtime::{Clock, Random, Scope};
use sandbox::ec2::{Ec2, Ec2Options};
use sandbox::kube::{ApiServer, GroupResource};
use tokio::net::TcpListener;

/// What the measured process talks to. Everything ends with it.
pub struct World {
    /// Where the kubeconfig and the driver's socket are.
    pub folder: tempfile::TempDir,
    /// URL of EC2.
    pub ec2: String,
    _scope: Scope,
}

impl World {
    /// An empty cluster with the snapshot definitions, and an empty EC2.
    pub async fn start() -> anyhow::Result<Self> {
        let (clock, random, scope) = (Clock::system(), Random::from_entropy(), Scope::new());
        let api = ApiServer::new(clock.clone(), random.fork(), &scope);
        let definitions = GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
        for definition in crds::definitions::all() {
            api.store("installer").create(definitions, definition)?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let folder = tempfile::tempdir()?;
        let token = random.uuid();
        let kubeconfig = api.kubeconfig(listener.local_addr()?, &token);
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig)?;
        api.serve(listener, &token);
        let ec2 = Ec2::new(clock, random, Ec2Options::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let ec2 = ec2.serve(listener, &scope)?;
        Ok(Self {
            folder,
            ec2,
            _scope: scope,
        })
    }

    /// The kubeconfig of the cluster.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Where the driver's socket goes.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("csi.sock")
    }
}
