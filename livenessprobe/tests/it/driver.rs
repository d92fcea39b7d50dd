//! Drivers on a socket: one that does as it is told, and ours over files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Clock;
use csi::Address;
use csi::server::Listener;
use csi::v1::identity_server::{Identity, IdentityServer};
use csi::v1::*;
use file_driver::driver::Machine;
use file_driver::{Capabilities, Config, Driver};
use prometheus::Registry;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// What a scripted driver answers to Probe.
#[derive(Clone, Debug)]
pub enum Answer {
    Unset,
    Ready(bool),
    Refuse(Status),
    Hang,
}

#[derive(Clone)]
pub struct Scripted {
    name: &'static str,
    answer: Arc<Mutex<Answer>>,
}

impl Scripted {
    pub fn named(name: &'static str) -> Self {
        Self {
            name,
            answer: Arc::new(Mutex::new(Answer::Unset)),
        }
    }

    pub fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn routes(&self) -> Routes {
        Routes::new(IdentityServer::new(self.clone()))
    }
}

#[tonic::async_trait]
impl Identity for Scripted {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: self.name.to_owned(),
            ..Default::default()
        }))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let answer = self.answer.lock().unwrap().clone();
        let ready = match answer {
            Answer::Unset => None,
            Answer::Ready(ready) => Some(ready),
            Answer::Refuse(status) => return Err(status),
            Answer::Hang => std::future::pending().await,
        };
        Ok(Response::new(ProbeResponse { ready }))
    }
}

/// Serves a driver until what is answered is dropped.
pub async fn serve(path: &Path, routes: Routes) -> DropGuard {
    let listener = Listener::bind(&Address::Unix(path.to_owned())).await.unwrap();
    let stopping = CancellationToken::new();
    tokio::spawn(listener.serve(routes, stopping.clone()));
    stopping.drop_guard()
}

/// The driver over files.
pub fn files(folder: PathBuf) -> Routes {
    let config = Config {
        name: "file.test".to_owned(),
        node_id: "node".to_owned(),
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
    let driver = Driver::new(config, &folder, machine, Clock::system(), &Registry::new());
    driver.unwrap().routes()
}
