//! Signals, process metrics and the termination log.

use std::io;
use std::path::Path;

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGaugeVec, Opts, Registry};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::metrics::register;
use crate::{Panics, Scope};

/// Where Kubernetes reads why a container ended.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Kubernetes keeps no more of it.
const TERMINATION_LOG_BYTES: usize = 4_096;

/// SIGTERM and SIGINT of this process. From its creation on they no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the operating system refuses the handlers.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The first signal stops the scope gracefully, the second aborts it; then this returns.
    ///
    /// `main` runs it beside the modes: `select! { result = run => .., () = signals.relay(&scope) => exit 1 }`.
    /// Source: snapshot 5.4.
    pub async fn relay(mut self, scope: &Scope) {
        let name = self.next().await;
        tracing::info!(
            signal = name,
            "stopping; running work may finish, a second signal ends at once"
        );
        scope.stop();
        let name = self.next().await;
        tracing::warn!(signal = name, "ending at once");
        scope.abort();
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Registers `process_*` (start time, memory, processor time, file descriptors, threads). In a combined
/// process only one function's registry carries them (journeys 5.1).
///
/// # Errors
/// When the registry has them already.
pub fn register_process_metrics(registry: &Registry) -> Result<(), prometheus::Error> {
    registry.register(Box::new(ProcessCollector::for_self()))
}

/// Registers `slackwater_task_panics_total` of a family of scopes. The process ends with the first one: more than one
/// shows only where something holds up its end.
///
/// # Errors
/// When the registry has it already.
pub fn register_task_panics(registry: &Registry, scope: &Scope) -> Result<(), prometheus::Error> {
    registry.register(Box::new(TaskPanics {
        panics: scope.panics(),
        total: IntCounter::new(
            "slackwater_task_panics_total",
            "Panics of tasks, with each of which the process ends.",
        )?,
    }))
}

struct TaskPanics {
    panics: Panics,
    total: IntCounter,
}

impl Collector for TaskPanics {
    fn desc(&self) -> Vec<&Desc> {
        self.total.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.total
            .inc_by(self.panics.count().saturating_sub(self.total.get()));
        self.total.collect()
    }
}

/// Registers `slackwater_build_info`, which is always 1.
///
/// # Errors
/// When the registry has it already.
pub fn register_build_info(
    registry: &Registry,
    version: &str,
    mode: &str,
    component: &str,
) -> Result<(), prometheus::Error> {
    let opts = Opts::new("slackwater_build_info", "Always 1; its labels say what runs.");
    let info = register(
        registry,
        IntGaugeVec::new(opts, &["version", "mode", "component"])?,
    )?;
    info.with_label_values(&[version, mode, component]).set(1);
    Ok(())
}

/// Writes why the process ends, where Kubernetes shows it. Only an existing file is written: outside of a
/// pod there is none.
///
/// # Errors
/// When the file exists and cannot be written.
pub fn write_termination_log(path: &Path, text: &str) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    std::fs::write(path, &text[..text.floor_char_boundary(TERMINATION_LOG_BYTES)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_termination_log_is_written_where_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("termination-log");
        write_termination_log(&path, "lost").unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        write_termination_log(&path, &"é".repeat(3_000)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 4_096);
    }

    #[tokio::test]
    async fn panics_of_tasks_are_counted() {
        let (registry, scope) = (Registry::new(), Scope::new());
        register_task_panics(&registry, &scope).unwrap();
        let total = || registry.gather()[0].get_metric()[0].get_counter().get_value();
        assert_eq!(total().to_bits(), 0.0_f64.to_bits());
        let child = scope.child();
        child.spawn(async { panic!("on purpose") });
        scope.failed().await;
        for _ in 0..2 {
            assert_eq!(
                total().to_bits(),
                1.0_f64.to_bits(),
                "however often it is asked for"
            );
        }
    }

    #[test]
    fn process_and_build_metrics_are_served_once() {
        let registry = Registry::new();
        register_process_metrics(&registry).unwrap();
        register_build_info(&registry, "0.1.0", "controller", "driver").unwrap();
        assert!(register_build_info(&registry, "0.1.0", "controller", "driver").is_err());
        let names: Vec<String> = registry
            .gather()
            .iter()
            .map(|family| family.name().to_owned())
            .collect();
        for name in [
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "slackwater_build_info",
        ] {
            assert!(names.iter().any(|have| have == name), "{name} in {names:?}");
        }
    }
}
