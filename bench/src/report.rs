//! Phases as a table.

use std::collections::BTreeMap;
use std::io::Write as _;

use comfy_table::{CellAlignment, Row, Table, presets};
use serde::Serialize;

use crate::phase::Phase;

/// Prints JSON or text to standard output.
///
/// # Errors
/// When standard output is gone.
pub fn print(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    } else {
        writeln!(out, "{}", text())?;
    }
    Ok(())
}

/// An empty table with this header; all columns but the first are numbers.
#[must_use]
pub fn table(header: impl Into<Row>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What the phases of one set of programs cost. `ours` says which processes are the measured ones.
pub fn phases(phases: &[Phase], ours: impl Fn(&str) -> bool) -> String {
    let mut overview = table([
        "Phase",
        "Items",
        "Items/s",
        "Median ms",
        "p99 ms",
        "Requests",
        "Events",
        "EC2 calls",
        "CPU ms",
        "Anonymous MB",
        "Resident MB",
    ]);
    for phase in phases {
        let memory = phase.memory_of(&ours);
        overview.add_row([
            phase.name.clone(),
            phase.items.to_string(),
            format!("{:.1}", phase.per_second),
            format!("{:.0}", phase.median_milliseconds),
            format!("{:.0}", phase.p99_milliseconds),
            format!("{:.2}", phase.requests_an_item),
            format!("{:.2}", phase.events_an_item),
            format!("{:.2}", phase.ec2_an_item()),
            format!("{:.2}", phase.cpu_of(&ours)),
            megabytes(memory.anonymous_bytes),
            megabytes(memory.resident_bytes),
        ]);
    }
    overview.to_string()
}

/// Requests and EC2 calls an item, in full.
#[must_use]
pub fn requests(phases: &[Phase]) -> String {
    let mut table = table(["Request an item", "Count"]);
    for phase in phases {
        let counts: BTreeMap<&String, f64> = phase
            .requests
            .iter()
            .chain(&phase.ec2)
            .map(|(name, count)| (name, *count))
            .collect();
        for (name, count) in counts.iter().filter(|(_, count)| **count >= 0.005) {
            table.add_row([format!("{}: {name}", phase.name), format!("{count:.2}")]);
        }
    }
    table.to_string()
}

/// Bytes in units of 10^6.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}
