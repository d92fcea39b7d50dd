//! The sandbox's Kubernetes API with its actors, for a hand with kubectl: prints the path of a kubeconfig
//! and serves until it is killed. Run it with `cargo run -p sandbox --example serve`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::net::Ipv4Addr;

use base::{Clock, Random, Scope};
use sandbox::kube::{ApiServer, GroupResource};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (clock, random, scope) = (Clock::system(), Random::from_entropy(), Scope::new());
    let api = ApiServer::new(clock.clone(), random.fork(), &scope);
    for definition in crds::definitions::all() {
        let definitions = GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
        api.store("installer").create(definitions, definition)?;
    }
    sandbox::actors::run(&api, &scope, clock);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (address, token) = (listener.local_addr()?, random.uuid());
    api.serve(listener, &token)?;
    let path = std::env::args()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("sandbox.kubeconfig"), Into::into);
    tokio::fs::write(&path, api.kubeconfig(address, &token)?).await?;
    println!("export KUBECONFIG={}", path.display());
    std::future::pending::<()>().await;
    Ok(())
}
