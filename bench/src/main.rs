//! Measures Slackwater.
//!
//! | Subcommand | Shows |
//! |---|---|
//! | `start` | size of the binary, start time, memory of a quiet process |
//! | `sandbox` | throughput and cost of our own code, all in this process |
//! | `cluster` | sets of programs, ours and upstream's, side by side on a real kube-apiserver |
//! | `pace` | the same with an EC2 that has AWS's request limits and quotas: what is done in which time, and refused |
//! | `driver` | memory of the driver's controller and node service after many volumes |
//! | `memory` | memory and processor time of `slackwater controller` after many snapshots and expansions |

mod apart;
mod cluster;
mod driver;
mod in_process;
mod load;
mod memory;
mod phase;
mod process;
mod reading;
mod report;
mod start;
mod usage;
mod world;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures Slackwater")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Size of the binary, start time, memory of a quiet process
    Start(start::Args),
    /// Throughput and cost of our own code: functions, Kubernetes API and EC2 in one process
    Sandbox(in_process::Args),
    /// Sets of programs side by side on a real kube-apiserver
    Cluster(cluster::Args),
    /// Sets of programs one after another under AWS's request limits and quotas
    Pace(cluster::pace::Args),
    /// The sandbox's EC2, for `cluster` and `pace`
    #[command(hide = true)]
    Ec2(cluster::ec2::Args),
    /// Memory of the driver's controller and node service after many volumes
    Driver(driver::Args),
    /// Memory and processor time of the controller after many snapshots and expansions
    Memory(memory::Args),
}

/// That of the measured program.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Args::parse().what {
        What::Start(args) => start::run(&args).await,
        What::Sandbox(args) => in_process::run(&args).await,
        What::Cluster(args) => cluster::run(&args).await,
        What::Pace(args) => cluster::pace::run(&args).await,
        What::Ec2(args) => cluster::ec2::serve(&args).await,
        What::Driver(args) => driver::run(&args).await,
        What::Memory(args) => memory::run(&args).await,
    }
}

/// The Slackwater binary: the one given, or the one beside this program.
fn binary(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let binary = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("slackwater"),
    };
    if !binary.is_file() {
        bail!(
            "{} is not there; run `cargo build --profile dist -p slackwater --features jemalloc`",
            binary.display()
        );
    }
    Ok(binary)
}
