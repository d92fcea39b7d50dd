//! How a process ends: by itself, when it is told to, or with the panic of one of its tasks.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use base::{Scope, TaskPanicked};
use futures::FutureExt as _;

/// Why a process ends that nobody asked to.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("ended by a second signal")]
    Signalled,
    #[error(transparent)]
    Panicked(#[from] TaskPanicked),
}

/// Runs the work of a process, whose tasks are in `scope` and below it.
///
/// A panic of a task ends it at once and without draining: what that task did is no longer done, so whatever else the
/// process does is done on a false picture. What it leaves half done its successor finishes, as after any crash.
///
/// # Errors
/// The work's own, a panic of it or of a task, or that `signalled` resolved: a second signal.
pub(crate) async fn until_ended(
    work: impl Future<Output = anyhow::Result<()>>,
    scope: &Scope,
    signalled: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::select! {
        biased;
        panicked = scope.failed() => Err(Ended::Panicked(panicked).into()),
        ended = work => ended.unwrap_or_else(|caught| {
            let panicked = scope.panics().tell("main task", caught.as_ref());
            Err(Ended::Panicked(panicked).into())
        }),
        () = signalled => Err(Ended::Signalled.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_of_any_task_ends_the_process_with_its_text() {
        let scope = Scope::new();
        let working = scope.child();
        working.spawn_named("watch of VolumeSnapshot", async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            panic!("no such index");
        });
        let begun = tokio::time::Instant::now();
        let error = until_ended(pending(), &scope, pending()).await.unwrap_err();
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        let text = "watch of VolumeSnapshot panicked: no such index; this is a fault of the program, please report it";
        assert_eq!(error.to_string(), text);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_outside_of_all_tasks_ends_it_alike() {
        let scope = Scope::new();
        let work = async { panic!("at the top") };
        let error = until_ended(work, &scope, pending())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("main task panicked: at the top;"), "{error}");
        assert_eq!(scope.panics().count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn otherwise_it_ends_with_its_work_or_with_a_second_signal() {
        let scope = Scope::new();
        until_ended(async { Ok(()) }, &scope, pending()).await.unwrap();
        let failed = until_ended(async { anyhow::bail!("no driver") }, &scope, pending()).await;
        assert_eq!(failed.unwrap_err().to_string(), "no driver");
        let signalled = until_ended(pending(), &scope, async {}).await;
        assert_eq!(signalled.unwrap_err().to_string(), "ended by a second signal");
    }
}
