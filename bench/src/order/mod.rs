//! `bench order`: in which order the functions of `slackwater` are first called, in one process and in four, while
//! they take snapshots, grow claims and delete. The linker puts them in that order (`slackwater/build.rs`), so that
//! what is used lies together: the kernel maps 64 kB around each page of a program that is.

mod names;
mod symbols;
pub mod trace;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::cluster::programs::{Set, Surroundings};
use crate::load::{Binder, Load, tell};
use crate::world::World;

/// What is done is done this often: every function that works at all has been called then.
const COUNT: usize = 200;
/// The sets of programs, by their layouts.
const LAYOUTS: [&str; 2] = ["one", "four"];
/// First lines of the list.
const HEAD: &str = "\
# The functions of `slackwater` that are called when it starts, takes snapshots, grows claims and deletes, in the order
# of their first call. Names are mangled as v0, without what changes from build to build. Recorded by `bench order`.
";

/// The command line of `bench order`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The binary, with its symbols; by default the one beside this program
    #[arg(long)]
    slackwater: Option<PathBuf>,
    /// How long the programs are watched when everything is done, in seconds: leases are renewed
    #[arg(long, default_value_t = 30)]
    quiet: u64,
    /// The list
    #[arg(long)]
    output: PathBuf,
}

/// Records and writes the list.
///
/// # Errors
/// When the binary has no symbols, or something does not come about.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let binary = crate::binary(args.slackwater.as_deref())?;
    symbols::functions(&binary)?;
    let (mut list, mut listed) = (String::from(HEAD), BTreeSet::new());
    for layout in LAYOUTS {
        let folder = tempfile::tempdir()?;
        record(layout, &binary, folder.path(), Duration::from_secs(args.quiet)).await?;
        for function in called(&folder.path().join("calls"))? {
            let name = names::lasting(&function);
            if names::is_listed(&name) && listed.insert(name.clone()) {
                list = list + &name + "\n";
            }
        }
        tell(&format!("layout {layout}: {} functions so far", listed.len()))?;
    }
    fs::write(&args.output, list).with_context(|| args.output.display().to_string())
}

/// Lets a set of programs work, and their first calls be written into `calls` in the folder, a file a process.
async fn record(layout: &str, binary: &Path, folder: &Path, quiet: Duration) -> anyhow::Result<()> {
    let world = World::new()?;
    let doors = world.open().await?;
    let volumes = world.volumes(COUNT)?;
    let traced = traced(binary, folder)?;
    let set: Set = format!("{layout}={}", traced.display()).parse()?;
    let mut programs = set.start(&Surroundings {
        kubeconfig: &|_| doors.kubeconfig(),
        ec2: &doors.ec2,
        folder,
        workers: 50,
        qps: 0,
    })?;
    let person = kube::Client::new(world.api.service("person"), "default");
    let load = Load::new(person, &world.scope, 100, false);
    let worked = work(&load, &volumes, quiet).await;
    for program in &mut programs {
        // One that has ended explains more.
        program.check()?;
        program.stop().await?;
    }
    worked
}

async fn work(load: &Load, volumes: &[String], quiet: Duration) -> anyhow::Result<()> {
    load.claims(volumes, Binder::Cluster).await?;
    load.snapshots(COUNT).await?;
    load.expansions(COUNT).await?;
    load.deletions(COUNT).await?;
    tokio::time::sleep(quiet).await;
    Ok(())
}

/// A program that runs the binary under `bench trace`.
fn traced(binary: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let calls = folder.join("calls");
    fs::create_dir(&calls)?;
    let (bench, path) = (std::env::current_exe()?, folder.join("slackwater"));
    let script = format!(
        "#!/bin/sh\nexec '{}' trace --into '{}'/$$ '{}' \"$@\"\n",
        bench.display(),
        calls.display(),
        fs::canonicalize(binary)?.display(),
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// The calls of all processes, the first process first.
fn called(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut all = Vec::new();
    for file in files {
        all.extend(fs::read_to_string(file)?.lines().map(ToOwned::to_owned));
    }
    Ok(all)
}
