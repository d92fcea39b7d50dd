//! Tasks that end with their owner.
//!
//! Every task of a mode is spawned in a [`Scope`]. Dropping the last clone of the owner's handle, or calling
//! [`Scope::abort`], ends them at their next await point: that is what "crash" means in simulation.
//! [`Scope::stop`] asks for a graceful end instead: [`Scope::stopping`] resolves, tasks finish what they
//! have begun, and [`Scope::finished`] waits for them.
//!
//! A task that panics is told to the whole family of scopes: [`Scope::failed`] resolves, and the process ends.

use std::any::type_name_of_val;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::panics::{Panics, TaskPanicked};

/// Owner of tasks. Clones share the tasks; the tasks end when the last clone outside of them is gone.
///
/// Tasks must not hold a clone of their own scope; give them a [`Scope::child`] or what they need of it
/// ([`Scope::stopping_token`]).
#[derive(Clone, Debug)]
pub struct Scope {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    abort: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
    panics: Panics,
    _abort_on_drop: DropGuard,
}

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl Scope {
    /// A scope without a parent.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(
            CancellationToken::new(),
            CancellationToken::new(),
            Panics::default(),
        )
    }

    /// A scope that ends with this one, and may end or stop before it. It does not keep this one alive.
    #[must_use]
    pub fn child(&self) -> Self {
        let inner = &self.inner;
        Self::from_parts(
            inner.abort.child_token(),
            inner.stop.child_token(),
            inner.panics.clone(),
        )
    }

    fn from_parts(abort: CancellationToken, stop: CancellationToken, panics: Panics) -> Self {
        let guard = abort.clone().drop_guard();
        Self {
            inner: Arc::new(Inner {
                abort,
                stop,
                tasks: TaskTracker::new(),
                panics,
                _abort_on_drop: guard,
            }),
        }
    }

    /// Runs a task until it ends by itself or the scope ends. Should it panic, it is called by its type.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_named(type_name_of_val(&task), task);
    }

    /// The same for a task that has a name: `watch of VolumeSnapshot`.
    pub fn spawn_named(&self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let (abort, panics, name) = (self.inner.abort.clone(), self.inner.panics.clone(), name.into());
        self.inner.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = abort.cancelled() => {}
                ended = AssertUnwindSafe(task).catch_unwind() => if let Err(caught) = ended {
                    panics.tell(&name, caught.as_ref());
                },
            }
        });
    }

    /// Resolves when a task of this scope's family has panicked: of its root, or of any scope below it. Whoever owns
    /// the process ends it then, with this as the reason.
    pub async fn failed(&self) -> TaskPanicked {
        self.inner.panics.first().await
    }

    /// Where the panics of the family are told, for what is no task.
    #[must_use]
    pub fn panics(&self) -> Panics {
        self.inner.panics.clone()
    }

    /// Asks the tasks to end gracefully.
    pub fn stop(&self) {
        self.inner.stop.cancel();
    }

    /// Ends the tasks at their next await point.
    pub fn abort(&self) {
        self.inner.abort.cancel();
    }

    /// Resolves once [`Scope::stop`] was called here or on a parent.
    pub async fn stopping(&self) {
        self.inner.stop.cancelled().await;
    }

    /// The token behind [`Scope::stopping`], for tasks of this scope.
    #[must_use]
    pub fn stopping_token(&self) -> CancellationToken {
        self.inner.stop.clone()
    }

    /// Waits until every task of this scope (not of its children) has ended.
    pub async fn finished(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    /// A test must not wait for ever for what is never told.
    async fn reason(scope: &Scope) -> TaskPanicked {
        tokio::time::timeout(Duration::from_secs(60), scope.failed())
            .await
            .expect("nothing was told of the panic")
    }

    struct SetOnDrop(Arc<AtomicBool>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn endless(scope: &Scope) -> Arc<AtomicBool> {
        let dropped = Arc::new(AtomicBool::new(false));
        let guard = SetOnDrop(dropped.clone());
        scope.spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        dropped
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_end_with_the_last_handle() {
        let scope = Scope::new();
        let dropped = endless(&scope);
        let clone = scope.clone();
        drop(scope);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!dropped.load(Ordering::SeqCst), "a handle is still there");
        drop(clone);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(dropped.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_ends_with_its_parent_and_not_the_reverse() {
        let parent = Scope::new();
        let child = parent.child();
        let (of_parent, of_child) = (endless(&parent), endless(&child));
        child.abort();
        child.finished().await;
        assert!(of_child.load(Ordering::SeqCst));
        assert!(!of_parent.load(Ordering::SeqCst));
        let second = parent.child();
        let of_second = endless(&second);
        parent.abort();
        second.finished().await;
        assert!(of_second.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_told_to_the_whole_family_and_to_nobody_else() {
        let (root, stranger) = (Scope::new(), Scope::new());
        let (left, middle) = (root.child(), root.child());
        let right = middle.child();
        let lives = endless(&left);
        right.spawn_named("the right one", async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            panic!("at {}", 3);
        });
        let begun = tokio::time::Instant::now();
        let panicked = TaskPanicked {
            task: "the right one".to_owned(),
            text: "at 3".to_owned(),
        };
        for scope in [&root, &left, &right] {
            assert_eq!(reason(scope).await, panicked);
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(3), "at once");
        // The first one stays the reason; the others are counted.
        left.spawn(async { panic!("later") });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((reason(&root).await, root.panics().count()), (panicked, 2));
        assert!(
            !lives.load(Ordering::SeqCst),
            "who ends the process is another's affair"
        );
        assert_eq!(stranger.panics().count(), 0);
        tokio::time::timeout(Duration::from_secs(1), stranger.failed())
            .await
            .unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_without_a_name_is_called_by_its_type() {
        async fn renewal() {
            panic!("no");
        }
        let scope = Scope::new();
        scope.spawn(renewal());
        assert!(reason(&scope).await.task.contains("renewal"));
    }

    #[tokio::test(start_paused = true)]
    async fn stop_lets_tasks_finish() {
        let scope = Scope::new();
        let finished = Arc::new(AtomicBool::new(false));
        let (token, flag) = (scope.stopping_token(), finished.clone());
        scope.spawn(async move {
            token.cancelled().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            flag.store(true, Ordering::SeqCst);
        });
        scope.stop();
        scope.finished().await;
        assert!(finished.load(Ordering::SeqCst));
    }
}
