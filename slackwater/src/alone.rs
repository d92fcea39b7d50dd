//! A process with one thing to do.

use base::Scope;
use base::process::Signals;

use crate::VERSION;
use crate::ending::until_ended;

/// Does the work in a scope that is stopping once the process is told to stop.
///
/// # Errors
/// The work's own, a panic, or a second signal.
pub(crate) async fn run(work: impl AsyncFnOnce(&Scope) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let scope = Scope::new();
    let signals = Signals::install()?;
    // What works: it ends while the process still listens to signals.
    let working = scope.child();
    tracing::info!(version = VERSION, "started");
    let ended = until_ended(work(&working), &scope, signals.relay(&working)).await;
    scope.stop();
    ended?;
    tracing::info!("stopped");
    Ok(())
}
