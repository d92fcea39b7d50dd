//! Panics that belong to no key and no request: those of tasks, and of what a cache calls for all its readers.
//!
//! A panic of one key or one request is caught where it happens and costs that key or request a retry. A panic of
//! a task that lives long would leave a process that answers its probes and does nothing: a cache that no longer
//! moves, a connection that nobody makes again. So it is told here, and the process ends with it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// A task that panicked. The process must end: what the task did is no longer done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{task} panicked: {text}; this is a fault of the program, please report it")]
pub struct TaskPanicked {
    /// What was done: `watch of VolumeSnapshot`.
    pub task: String,
    /// What the panic said.
    pub text: String,
}

/// Where the panics of a root scope and all its descendants are told. Clones are the same; none keeps a scope alive.
#[derive(Clone, Debug)]
pub struct Panics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    first: watch::Sender<Option<TaskPanicked>>,
    count: AtomicU64,
}

impl Default for Panics {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                first: watch::Sender::new(None),
                count: AtomicU64::new(0),
            }),
        }
    }
}

impl Panics {
    /// Logs and counts what was caught; the first one ends the wait of [`Panics::first`].
    pub fn tell(&self, task: &str, caught: &(dyn Any + Send)) -> TaskPanicked {
        let panicked = TaskPanicked {
            task: task.to_owned(),
            text: text_of(caught).to_owned(),
        };
        tracing::error!(task, "panicked: {}", panicked.text);
        self.inner.count.fetch_add(1, Ordering::Relaxed);
        self.inner.first.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| panicked.clone());
            is_first
        });
        panicked
    }

    /// Resolves with the first one.
    pub async fn first(&self) -> TaskPanicked {
        let mut first = self.inner.first.subscribe();
        let first = first.wait_for(Option::is_some).await;
        match first.ok().and_then(|first| first.clone()) {
            Some(panicked) => panicked,
            // Nobody is left who could tell.
            None => std::future::pending().await,
        }
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.inner.count.load(Ordering::Relaxed)
    }
}

/// What a panic said.
#[must_use]
pub fn text_of(caught: &(dyn Any + Send)) -> &str {
    let text = caught.downcast_ref::<&str>().copied();
    text.or_else(|| caught.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
