//! Figures of several sets, side by side.

use super::Figures;
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
        "CPU ms, programs",
        "CPU ms, apiserver",
        "apiserver's share of CPU",
    ]);
    for figures in all {
        for phase in &figures.phases {
            let apiserver = phase.cpu_of(|name| name == "kube-apiserver");
            table.add_row([
                format!("{}: {}", figures.set, phase.name),
                phase.items.to_string(),
                format!("{:.1}", phase.per_second),
                format!("{:.0}", phase.median_milliseconds),
                format!("{:.0}", phase.p99_milliseconds),
                format!("{:.2}", phase.requests_an_item),
                format!("{:.2}", phase.events_an_item),
                format!("{:.2}", phase.ec2_an_item()),
                format!("{:.2}", phase.cpu_of(|name| figures.has(name))),
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
    let mut table = report::table([
        "Resident MB of the programs",
        "Idle",
        "After snapshots",
        "After the last phase",
    ]);
    for figures in all {
        let idle = figures.idle_bytes.iter().filter(|(name, _)| figures.has(name));
        let after = |phase: Option<&crate::phase::Phase>| {
            phase.map_or_else(String::new, |phase| {
                report::megabytes(phase.resident_of(|name| figures.has(name)))
            })
        };
        table.add_row([
            figures.set.clone(),
            report::megabytes(idle.map(|(_, bytes)| bytes).sum()),
            after(figures.phases.first()),
            after(figures.phases.last()),
        ]);
    }
    table.to_string()
}

impl Figures {
    fn has(&self, process: &str) -> bool {
        self.programs.iter().any(|name| name == process)
    }
}
