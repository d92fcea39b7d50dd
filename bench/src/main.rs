//! Measures what `slackwater controller` costs before it has anything to do: the size of the binary, the
//! time to `/readyz`, and resident memory on a quiet cluster. The process is the real one; the Kubernetes
//! API and EC2 that it talks to are the sandbox, on loopback, in this process.

mod process;
mod world;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use comfy_table::{Table, presets};

use crate::process::Controller;
use crate::world::World;

/// Limits of the project, in the units of [`Figures`].
const LIMITS: Figures = Figures {
    binary_bytes: 25 << 20,
    ready_milliseconds: 200.0,
    resident_bytes: 25 << 20,
};

/// What is measured.
#[derive(Parser)]
struct Args {
    /// The binary; by default the one beside this program.
    #[arg(long)]
    slackwater: Option<PathBuf>,
    /// How often the process is started. The median is shown.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// How long the process is left alone before its memory is read, in seconds.
    #[arg(long, default_value_t = 10)]
    quiet: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// One measurement.
#[derive(Clone, Copy)]
struct Figures {
    binary_bytes: u64,
    ready_milliseconds: f64,
    resident_bytes: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let binary = match &args.slackwater {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("slackwater"),
    };
    let binary_bytes = std::fs::metadata(&binary)
        .with_context(|| {
            format!(
                "{} is not there; run `cargo build --release -p slackwater`",
                binary.display()
            )
        })?
        .len();
    let mut ready = Vec::new();
    let mut resident = Vec::new();
    for run in 1..=args.runs {
        let mut progress = std::io::stderr();
        writeln!(
            progress,
            "run {run} of {}: start, then {} s of quiet",
            args.runs, args.quiet
        )?;
        let world = World::start().await?;
        let controller = Controller::start(&binary, &world).await?;
        ready.push(controller.ready_after().as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_secs(args.quiet)).await;
        resident.push(controller.resident_bytes()? as f64);
        controller.stop().await?;
    }
    let figures = Figures {
        binary_bytes,
        ready_milliseconds: median(&mut ready),
        resident_bytes: median(&mut resident) as u64,
    };
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", json(&figures))?;
    } else {
        writeln!(out, "{}", table(&figures))?;
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn json(figures: &Figures) -> serde_json::Value {
    serde_json::json!({
        "binary_bytes": figures.binary_bytes,
        "ready_milliseconds": figures.ready_milliseconds,
        "resident_bytes": figures.resident_bytes,
    })
}

fn table(figures: &Figures) -> Table {
    let megabytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let milliseconds = |value: f64| format!("{value:.0} ms");
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["Figure", "Measured", "At most"]);
    table.add_row([
        "size of the binary".to_owned(),
        megabytes(figures.binary_bytes),
        megabytes(LIMITS.binary_bytes),
    ]);
    table.add_row([
        "start to /readyz".to_owned(),
        milliseconds(figures.ready_milliseconds),
        milliseconds(LIMITS.ready_milliseconds),
    ]);
    table.add_row([
        "resident memory, quiet".to_owned(),
        megabytes(figures.resident_bytes),
        megabytes(LIMITS.resident_bytes),
    ]);
    table
}
