//! Figures of several sets, side by side.

use super::Figures;
use super::programs::DRIVER;
use crate::phase::Phase;
use crate::reading::Memory;
use crate::report;

/// The tables.
pub fn text(all: &[Figures], requests: bool) -> String {
    let mut text = overview(all);
    text += &format!("\n\n{}", memory(all));
    if requests {
        for figures in all {
            text += &format!("\n\n{}\n\n{}", figures.set, report::requests(&figures.phases));
        }
    }
    for figures in all {
        for (what, count) in &figures.refused {
            text += &format!("\n{}: refused {count} times: {what}", figures.set);
        }
    }
    text
}

fn overview(all: &[Figures]) -> String {
    let mut table = report::table([
        "Programs and phase",
        "Items",
        "Items/s",
        "Median ms",
        "p99 ms",
        "Requests",
        "Events",
        "EC2 calls",
        "CPU ms, controllers",
        "CPU ms, driver",
        "CPU ms, apiserver",
        "apiserver's share of CPU",
    ]);
    for figures in all {
        for phase in &figures.phases {
            let apiserver = phase.cpu_of(|name| name == "kube-apiserver");
            let driver = match figures.programs.iter().any(|name| name == DRIVER) {
                true => format!("{:.2}", phase.cpu_of(|name| name == DRIVER)),
                false => "with them".to_owned(),
            };
            table.add_row([
                format!("{}: {}", figures.set, phase.name),
                phase.items.to_string(),
                format!("{:.1}", phase.per_second),
                format!("{:.0}", phase.median_milliseconds),
                format!("{:.0}", phase.p99_milliseconds),
                format!("{:.2}", phase.requests_an_item),
                format!("{:.2}", phase.events_an_item),
                format!("{:.2}", phase.ec2_an_item()),
                format!("{:.2}", phase.cpu_of(|name| figures.is_controller(name))),
                driver,
                format!("{apiserver:.2}"),
                format!(
                    "{:.0} %",
                    100.0 * apiserver / phase.cpu_of(|_| true).max(f64::EPSILON)
                ),
            ]);
        }
    }
    table.to_string()
}

fn memory(all: &[Figures]) -> String {
    let mut header = vec![
        "MB of the controllers, anonymous (resident)".to_owned(),
        "Idle".to_owned(),
    ];
    // The same phases for all sets.
    let phases = all.first().map(|figures| figures.phases.as_slice());
    header.extend(
        phases
            .into_iter()
            .flatten()
            .map(|phase| format!("After {}", phase.name)),
    );
    let mut table = report::table(header);
    let shown = |memory: Memory| {
        let [anonymous, resident] = [memory.anonymous_bytes, memory.resident_bytes].map(report::megabytes);
        format!("{anonymous} ({resident})")
    };
    for figures in all {
        let idle = figures
            .idle
            .iter()
            .filter(|(name, _)| figures.is_controller(name));
        let after = |phase: &Phase| shown(phase.memory_of(|name| figures.is_controller(name)));
        let first = [figures.set.clone(), shown(idle.map(|(_, memory)| *memory).sum())];
        table.add_row(first.into_iter().chain(figures.phases.iter().map(after)));
    }
    table.to_string()
}

impl Figures {
    /// A driver in a process of its own is none: it is the same beside all controllers.
    fn is_controller(&self, process: &str) -> bool {
        process != DRIVER && self.programs.iter().any(|name| name == process)
    }
}
