//! The process of the conversion webhook.

use base::Scope;
use base::process::Signals;
use snapshot_controller::webhook::{self, Args};

use crate::VERSION;
use crate::ending::until_ended;

/// Serves until the process is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let scope = Scope::new();
    let signals = Signals::install()?;
    // What serves: it ends while the process still listens to signals.
    let working = scope.child();
    tracing::info!(version = VERSION, "started");
    let work = async { Ok(webhook::run(&args, &working).await?) };
    let ended = until_ended(work, &scope, signals.relay(&working)).await;
    scope.stop();
    ended?;
    tracing::info!("stopped");
    Ok(())
}
