//! The CSI driver over files on this machine.

use std::sync::Arc;

use base::args::Environment;
use base::{Clock, Scope};
use csi::server::Listener;
use file_driver::driver::Machine;
use file_driver::{Args, Driver};
use node::linux::LinuxHost;
use prometheus::Registry;

/// Serves it until the scope is stopping.
pub(crate) async fn serve(args: &Args, scope: &Scope) -> anyhow::Result<()> {
    let (address, config) = args.config(&Environment::of_process())?;
    let host = Arc::new(LinuxHost::default());
    let machine = Machine {
        host: host.clone(),
        loops: host,
    };
    tracing::info!(driver = config.name, node = config.node_id, folder = %args.data_dir.display(), "opening");
    let driver = Driver::new(config, &args.data_dir, machine, Clock::system(), &Registry::new())?;
    let listener = Listener::bind(&address).await?;
    tracing::info!(endpoint = %address, "serving");
    Ok(listener.serve(driver.routes(), scope.stopping_token()).await?)
}
