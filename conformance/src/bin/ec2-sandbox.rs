//! The EC2 of the sandbox as a process of its own, on loopback.
//!
//! The first line of its output is `{"endpoint": URL}`. Then each line of its input is a command, answered by one line:
//!
//! | Command | Answer |
//! |---|---|
//! | `{"do":"state"}` | `volumes` and `snapshots` |
//! | `{"do":"counts"}` | number of requests by action |
//! | `{"do":"volume","zone":Z,"gib":N}` | `id` of a new volume that is available |
//! | `{"do":"old-volume","zone":Z,"hours":H,"tags":{..}}` | `id` of an available volume of 1 GiB with these tags that was made so long ago |
//! | `{"do":"instance","zone":Z,"type":T}` | `id` of a new instance that runs |
//! | `{"do":"snapshot","volume":ID}` | `id` of a new snapshot that is completed |
//! | `{"do":"fault","action":A,"code":C,"times":N}` | the next N requests of the action fail with this code, without effect |
//! | `{"do":"lose","action":A,"times":N}` | the next N requests take effect and are answered by an internal error |
//! | `{"do":"mute","action":A,"times":N}` | the next N requests take effect and are never answered |
//! | `{"do":"slow","action":A,"seconds":S,"times":N}` | the next N requests of the action take effect and are answered after this time |
//! | `{"do":"cut","action":A,"times":N}` | the connections of the next N requests of the action break, without effect |
//! | `{"do":"detaching","seconds":S}` | from now on a detachment takes this time |
//! | `{"do":"terminate","instance":ID}` | the instance is terminated: its volumes come off |
//! | `{"do":"clear"}` | forgets all faults |
//! | `{"do":"pull-out","volume":ID}` | detaches a volume by force |
//! | `{"do":"forget","volume":ID}` | deletes a volume, whatever its state |
//!
//! It ends with its input.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use base::{Clock, Random, Scope};
use clap::Parser;
use sandbox::ec2::{Ec2, Ec2Error, Ec2Options, Fault, InstanceState, Storage, When};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "ec2-sandbox", about = "Serves the EC2 of the sandbox")]
struct Args {
    /// Address of this machine that it listens at: another one than loopback in a network namespace of its own only
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
    address: Ipv4Addr,
    /// Keeps the data of volumes in this folder, and makes loop devices of those that are attached. Needs root.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Port; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Everything is done, and seen, at once; the same as --preset=instant.
    #[arg(long)]
    instant: bool,
    /// How fast it works and what it lets through: aws has the buckets and quotas of an account.
    #[arg(long, default_value = "default", value_parser = Ec2Options::PRESETS)]
    preset: String,
}

/// A line of the input.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Command {
    State,
    Counts,
    Volume {
        zone: String,
        gib: u32,
    },
    OldVolume {
        zone: String,
        hours: u64,
        tags: BTreeMap<String, String>,
    },
    Instance {
        zone: String,
        #[serde(rename = "type")]
        instance_type: String,
    },
    Snapshot {
        volume: String,
    },
    Fault {
        action: String,
        code: String,
        times: u64,
    },
    Lose {
        action: String,
        times: u64,
    },
    Mute {
        action: String,
        times: u64,
    },
    Slow {
        action: String,
        seconds: u64,
        times: u64,
    },
    Cut {
        action: String,
        times: u64,
    },
    Detaching {
        seconds: u64,
    },
    Terminate {
        instance: String,
    },
    Clear,
    PullOut {
        volume: String,
    },
    Forget {
        volume: String,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let preset = if args.instant { "instant" } else { &args.preset };
    let options = Ec2Options::preset(preset).ok_or_else(|| anyhow::anyhow!("no preset {preset}"))?;
    let scope = Scope::new();
    let ec2 = Ec2::new(Clock::system(), Random::from_entropy(), options);
    if let Some(folder) = args.data {
        ec2.keep_data(Storage::new(folder)?)?;
    }
    let listener = TcpListener::bind((args.address, args.port)).await?;
    let endpoint = match args.address.is_loopback() {
        true => ec2.serve(listener, &scope)?,
        false => ec2.serve_to_pods(listener, &scope)?,
    };
    let mut output = tokio::io::stdout();
    tell(&mut output, &json!({ "endpoint": endpoint })).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str(&line) {
            Ok(command) => {
                answer(&ec2, command).unwrap_or_else(|error| json!({ "error": error.to_string() }))
            }
            Err(error) => json!({ "error": error.to_string() }),
        };
        tell(&mut output, &answer).await?;
    }
    Ok(())
}

async fn tell(output: &mut tokio::io::Stdout, answer: &Value) -> std::io::Result<()> {
    output.write_all(format!("{answer}\n").as_bytes()).await?;
    output.flush().await
}

fn answer(ec2: &Ec2, command: Command) -> Result<Value, Ec2Error> {
    match command {
        Command::State => return Ok(state(ec2)),
        Command::Counts => return Ok(json!(ec2.counts())),
        Command::Volume { zone, gib } => {
            return Ok(json!({ "id": ec2.create_volume_fixture(&zone, gib, &[])? }));
        }
        Command::OldVolume { zone, hours, tags } => {
            let tags: Vec<_> = tags
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            let id = ec2.create_volume_fixture(&zone, 1, &tags)?;
            ec2.age_volume_fixture(&id, Duration::from_secs(3600 * hours))?;
            return Ok(json!({ "id": id }));
        }
        Command::Instance { zone, instance_type } => {
            return Ok(json!({ "id": ec2.create_instance_fixture(&zone, &instance_type, &[])? }));
        }
        Command::Snapshot { volume } => {
            return Ok(json!({ "id": ec2.create_snapshot_fixture(&volume, &[])? }));
        }
        Command::Fault { action, code, times } => {
            ec2.inject(&action, When::Times(times), Fault::error(&code));
        }
        Command::Lose { action, times } => {
            let error = Ec2Error::new("InternalError", "An internal error has occurred");
            ec2.inject(&action, When::Times(times), Fault::ErrorAfterEffect(error));
        }
        Command::Mute { action, times } => {
            ec2.inject(&action, When::Times(times), Fault::LostAnswer);
        }
        Command::Slow {
            action,
            seconds,
            times,
        } => {
            let late = Fault::Delay(Duration::from_secs(seconds));
            ec2.inject(&action, When::Times(times), late);
        }
        Command::Cut { action, times } => ec2.inject(&action, When::Times(times), Fault::Disconnect),
        Command::Detaching { seconds } => {
            ec2.configure(|options| options.timing.detaching = Duration::from_secs(seconds));
        }
        Command::Terminate { instance } => ec2.set_instance_state(&instance, InstanceState::Terminated)?,
        Command::Clear => ec2.clear_faults(),
        Command::PullOut { volume } => ec2.force_detach_volume_fixture(&volume)?,
        Command::Forget { volume } => ec2.forget_volume(&volume),
    }
    Ok(json!({}))
}

fn state(ec2: &Ec2) -> Value {
    let state = ec2.state();
    let volumes: Vec<Value> = state
        .volumes
        .values()
        .map(|volume| {
            json!({
                "id": volume.id,
                "gib": volume.size_gib,
                "type": volume.volume_type,
                "iops": volume.iops,
                "status": volume.status,
                "modification": volume.modification,
                "tags": volume.tags,
            })
        })
        .collect();
    let snapshots: Vec<Value> = state
        .snapshots
        .values()
        .map(|snapshot| {
            json!({
                "id": snapshot.id,
                "volume": snapshot.volume_id,
                "status": snapshot.status,
                "tags": snapshot.tags,
            })
        })
        .collect();
    json!({ "volumes": volumes, "snapshots": snapshots })
}
