//! A Kubernetes API and an EC2 in this process, on loopback when asked for.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::Context as _;
use base::{Clock, Random, Scope};
use sandbox::ec2::{Ec2, Ec2Options};
use sandbox::kube::{ApiServer, GroupResource};
use tokio::net::TcpListener;

use crate::reading::{Reading, RequestKind};

const ZONE: &str = "us-east-1a";

/// What the measured functions talk to. Everything ends with it.
pub struct World {
    /// The Kubernetes API, with the snapshot definitions.
    pub api: ApiServer,
    /// EC2, in which everything is done at once.
    pub ec2: Ec2,
    /// Wall time of both.
    pub clock: Clock,
    /// Their random numbers.
    pub random: Random,
    /// Owner of all tasks.
    pub scope: Scope,
    seen: u64,
    so_far: Reading,
}

/// How a process reaches a [`World`].
pub struct Doors {
    /// Where the kubeconfig and the driver's socket are.
    folder: tempfile::TempDir,
    /// URL of EC2.
    pub ec2: String,
}

impl World {
    /// An empty cluster and an empty EC2.
    ///
    /// # Errors
    /// Only when the program itself is at fault.
    pub fn new() -> anyhow::Result<Self> {
        let (clock, random, scope) = (Clock::system(), Random::from_entropy(), Scope::new());
        let api = ApiServer::new(clock.clone(), random.fork(), &scope);
        let definitions = GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
        for definition in crds::definitions::snapshots() {
            api.store("installer").create(definitions, definition)?;
        }
        sandbox::actors::run(&api, &scope, clock.clone());
        let ec2 = Ec2::new(clock.clone(), random.fork(), Ec2Options::instant());
        Ok(Self {
            api,
            ec2,
            clock,
            random,
            scope,
            seen: 0,
            so_far: Reading::default(),
        })
    }

    /// EC2 volumes of 1 GiB.
    ///
    /// # Errors
    /// Only when the program itself is at fault.
    pub fn volumes(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let volumes = (0..count).map(|_| self.ec2.create_volume_fixture(ZONE, 1, &[]));
        volumes.collect::<Result<_, _>>().context("creating volumes")
    }

    /// Opens both on loopback.
    ///
    /// # Errors
    /// When no port can be had or no file can be written.
    pub async fn open(&self) -> anyhow::Result<Doors> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let folder = tempfile::tempdir()?;
        let token = self.random.uuid();
        let kubeconfig = self.api.kubeconfig(listener.local_addr()?, &token)?;
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig)?;
        self.api.serve(listener, &token)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let ec2 = self.ec2.serve(listener, &self.scope)?;
        Ok(Doors { folder, ec2 })
    }

    /// API requests and EC2 calls so far; no processes.
    pub fn reading(&mut self) -> Reading {
        for record in self.api.audit_since(self.seen) {
            self.seen = record.number;
            if record.resource == "leases" {
                continue;
            }
            let resource = match record.subresource.as_str() {
                "" => record.resource,
                subresource => format!("{}/{subresource}", record.resource),
            };
            let kind = RequestKind {
                user: record.user,
                verb: record.verb.to_owned(),
                resource,
            };
            *self.so_far.requests.entry(kind).or_default() += 1;
        }
        self.so_far.ec2 = self.ec2.counts();
        self.so_far.clone()
    }
}

impl Doors {
    /// The kubeconfig of the cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Where the driver's socket goes.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("csi.sock")
    }
}
