//! The pre-stop hook of the daemon set. Kubelet runs it beside the node service and ends it with the grace period.

use anyhow::Context;
use base::process::Signals;
use base::{Clock, Random, Scope};
use ebs_driver::NodeOptions;
use ebs_driver::node::cluster::drain::wait_until_detached;
use prometheus::Registry;
use runtime::Watches;

pub(super) async fn run(options: &NodeOptions) -> anyhow::Result<()> {
    let node = options
        .node_name
        .as_deref()
        .context("CSI_NODE_NAME must name the node")?;
    let (registry, scope, random) = (Registry::new(), Scope::new(), Random::from_entropy());
    let client = super::clients(options, &registry).await?.work;
    let signals = Signals::install()?;
    let stopping = scope.stopping_token();
    let watches = Watches::new(client.clone(), Clock::system(), random.fork(), &scope, &registry);
    tokio::select! {
        biased;
        () = wait_until_detached(&client, &random, &watches, node) => Ok(()),
        () = stopping.cancelled() => anyhow::bail!("stopped before the volumes were detached"),
        () = signals.relay(&scope) => anyhow::bail!("ended by a second signal"),
    }
}
