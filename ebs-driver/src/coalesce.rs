//! Changes of one volume that come close together become one. Source: spec 3.5, Q16; decision 24.
//!
//! The first change of a volume opens a window; further ones merge into it, or are refused when they contradict
//! it. There is one execution a volume at a time: a window that closes while one runs waits for its end. The
//! execution is driven by whoever waits for it; when all have gone it is dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::Notify;

use crate::deadline::Deadline;
use crate::expand::{Change, Conflict};

/// Executes one merged change; somebody waits for it until the deadline.
pub type Execute<T> = Arc<dyn Fn(String, Change, Deadline) -> BoxFuture<'static, T> + Send + Sync>;

type Running<T> = Shared<BoxFuture<'static, T>>;
type WeakRunning<T> = WeakShared<BoxFuture<'static, T>>;

/// When a window closes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Window {
    /// When its time is over.
    Wait,
    /// At once: the caller knows that no other change is pending.
    Close,
}

/// The pending changes. Clones share them.
pub struct Coalescer<T> {
    window: Duration,
    execute: Execute<T>,
    volumes: Arc<Mutex<BTreeMap<String, Pending<T>>>>,
}

struct Pending<T> {
    number: u64,
    /// The window that still takes changes.
    open: Option<Open<T>>,
    /// What was begun, oldest first: a window whose waiters have gone is no end of the execution before it.
    begun: Vec<WeakRunning<T>>,
}

struct Open<T> {
    change: Change,
    /// The latest of those that wait.
    deadline: Deadline,
    close: Arc<Notify>,
    /// Gone when all that waited for it have gone: then nobody wants the change any more.
    running: WeakRunning<T>,
}

impl<T> Clone for Coalescer<T> {
    fn clone(&self) -> Self {
        Self {
            window: self.window,
            execute: self.execute.clone(),
            volumes: self.volumes.clone(),
        }
    }
}

impl<T> std::fmt::Debug for Coalescer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coalescer")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl<T: Clone + Send + Sync + 'static> Coalescer<T> {
    /// A coalescer with this window.
    #[must_use]
    pub fn new(window: Duration, execute: Execute<T>) -> Self {
        Self {
            window,
            execute,
            volumes: Arc::default(),
        }
    }

    /// Merges the change with others of its volume and waits for the execution.
    ///
    /// # Errors
    /// When it contradicts a change whose window is still open.
    pub async fn change(
        &self,
        volume_id: &str,
        change: Change,
        window: Window,
        deadline: Deadline,
    ) -> Result<T, Conflict> {
        let running = self.join(volume_id, change, window, deadline)?;
        Ok(running.await)
    }

    fn join(
        &self,
        volume_id: &str,
        change: Change,
        window: Window,
        deadline: Deadline,
    ) -> Result<Running<T>, Conflict> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        // A volume for whose changes nobody waits any more is forgotten.
        volumes.retain(|_, pending| {
            pending.begun.retain(|running| running.upgrade().is_some());
            !pending.begun.is_empty()
        });
        let pending = volumes.entry(volume_id.to_owned()).or_insert(Pending {
            number: 0,
            open: None,
            begun: Vec::new(),
        });
        if let Some(open) = &mut pending.open
            && let Some(running) = open.running.upgrade()
        {
            open.change = open.change.merged(&change)?;
            open.deadline = open.deadline.later(deadline);
            if window == Window::Close {
                open.close.notify_one();
            }
            return Ok(running);
        }
        pending.number += 1;
        // Each waits for the one before it.
        let before = pending.begun.last().and_then(WeakShared::upgrade);
        let close = Arc::new(Notify::new());
        if window == Window::Close {
            close.notify_one();
        }
        let run = run(
            self.clone(),
            volume_id.to_owned(),
            pending.number,
            close.clone(),
            before,
        );
        let running = run.boxed().shared();
        pending.begun.extend(running.downgrade());
        pending.open = running.downgrade().map(|running| Open {
            change,
            deadline,
            close,
            running,
        });
        Ok(running)
    }

    /// Closes the window; what comes later opens another.
    fn take(&self, volume_id: &str, number: u64) -> (Change, Deadline) {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = volumes.get_mut(volume_id);
        let open = pending.filter(|pending| pending.number == number);
        let open = open.and_then(|pending| pending.open.take());
        let taken = open.map(|open| (open.change, open.deadline));
        taken.unwrap_or((Change::default(), Deadline::NONE))
    }
}

async fn run<T: Clone + Send + Sync + 'static>(
    coalescer: Coalescer<T>,
    volume_id: String,
    number: u64,
    close: Arc<Notify>,
    before: Option<Running<T>>,
) -> T {
    tokio::select! {
        biased;
        () = close.notified() => {}
        () = tokio::time::sleep(coalescer.window) => {}
    }
    if let Some(before) = before {
        before.await;
    }
    let (change, deadline) = coalescer.take(&volume_id, number);
    let execute = coalescer.execute.clone();
    drop(coalescer);
    execute(volume_id, change, deadline).await
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    type Log = Arc<Mutex<Vec<(u64, Change)>>>;

    /// A coalescer whose executions take ten seconds and are logged with the second of their start.
    fn logging() -> (Coalescer<i64>, Log) {
        let log = Log::default();
        let start = Instant::now();
        let of_execute = log.clone();
        let execute: Execute<i64> = Arc::new(move |_, change: Change, _| {
            let log = of_execute.clone();
            async move {
                let size = change.size_gib.unwrap_or_default();
                log.lock().unwrap().push((start.elapsed().as_secs(), change));
                tokio::time::sleep(Duration::from_secs(10)).await;
                size
            }
            .boxed()
        });
        (Coalescer::new(Duration::from_secs(2), execute), log)
    }

    fn size(size_gib: i64) -> Change {
        Change {
            size_gib: Some(size_gib),
            ..Change::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_in_one_window_are_one_execution() {
        let (coalescer, log) = logging();
        let iops = Change {
            iops: Some(4000),
            ..Change::default()
        };
        let (first, second, third, other) = tokio::join!(
            coalescer.change("vol-1", size(20), Window::Wait, Deadline::NONE),
            coalescer.change("vol-1", iops, Window::Wait, Deadline::NONE),
            coalescer.change("vol-1", size(30), Window::Wait, Deadline::NONE),
            coalescer.change("vol-2", size(5), Window::Wait, Deadline::NONE),
        );
        assert_eq!(
            (first, second, third, other),
            (Ok(20), Ok(20), Err(Conflict("size")), Ok(5))
        );
        let log = log.lock().unwrap();
        assert_eq!(log.len(), 2);
        assert_eq!((log[0].1.size_gib, log[0].1.iops), (Some(20), Some(4000)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_closes_at_once_when_no_other_change_is_pending() {
        let (coalescer, log) = logging();
        coalescer
            .change("vol-1", size(20), Window::Close, Deadline::NONE)
            .await
            .unwrap();
        assert_eq!(log.lock().unwrap()[0].0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_one_execution_a_volume() {
        let (coalescer, log) = logging();
        let later = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            coalescer
                .change("vol-1", size(30), Window::Wait, Deadline::NONE)
                .await
        };
        let (first, second) = tokio::join!(
            coalescer.change("vol-1", size(20), Window::Wait, Deadline::NONE),
            later
        );
        assert_eq!((first, second), (Ok(20), Ok(30)));
        let starts: Vec<u64> = log.lock().unwrap().iter().map(|(at, _)| *at).collect();
        assert_eq!(starts, [2, 12]);
    }

    /// The second one waits for the first and gives up.
    #[tokio::test(start_paused = true)]
    async fn ebs_case_175_a_third_change_waits_for_the_first_though_the_second_gave_up() {
        let (coalescer, log) = logging();
        let change = |gib| coalescer.change("vol-1", size(gib), Window::Close, Deadline::NONE);
        let second = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            tokio::time::timeout(Duration::from_secs(1), change(30)).await
        };
        let third = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            change(40).await
        };
        let (first, second, third) = tokio::join!(change(20), second, third);
        assert!(second.is_err());
        assert_eq!((first, third), (Ok(20), Ok(40)));
        let starts: Vec<u64> = log.lock().unwrap().iter().map(|(at, _)| *at).collect();
        assert_eq!(starts, [0, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_execution_ends_with_its_last_waiter() {
        let (coalescer, log) = logging();
        let waiting = coalescer.change("vol-1", size(20), Window::Wait, Deadline::NONE);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), waiting)
                .await
                .is_err()
        );
        coalescer
            .change("vol-1", size(20), Window::Wait, Deadline::NONE)
            .await
            .unwrap();
        assert_eq!(log.lock().unwrap().len(), 1);
        let waiting = coalescer.change("vol-1", size(25), Window::Close, Deadline::NONE);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), waiting)
                .await
                .is_err()
        );
        let begun = Instant::now();
        coalescer
            .change("vol-1", size(30), Window::Close, Deadline::NONE)
            .await
            .unwrap();
        assert_eq!(
            begun.elapsed().as_secs(),
            10,
            "the dropped one does not hold the next up"
        );
    }
}
