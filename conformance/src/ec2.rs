//! The EC2 of the sandbox as a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Error, Keeper, Launch, Process, programs};

/// `ec2-sandbox`, and the pipe to it. Dropping it ends it.
#[derive(Debug)]
pub struct Ec2Process {
    process: Process,
    endpoint: String,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

/// Where the data of volumes are kept, and where EC2 is reached.
#[derive(Clone, Debug)]
pub struct Data {
    /// For the files of volumes and snapshots, and the devices of each instance.
    pub folder: PathBuf,
    /// An address of this machine.
    pub address: Ipv4Addr,
}

impl Data {
    /// The links that udev would make of the devices of an instance.
    #[must_use]
    pub fn links(&self, instance: &str) -> PathBuf {
        self.folder.join("instances").join(instance).join("dev/disk")
    }
}

/// What exists.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct State {
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// Snapshots.
    pub snapshots: Vec<Snapshot>,
}

/// A volume.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Volume {
    /// ID.
    pub id: String,
    /// Size in GiB.
    pub gib: u32,
    /// Type, as `gp3`.
    #[serde(rename = "type")]
    pub volume_type: String,
    /// IOPS, where the type has them.
    pub iops: Option<u32>,
    /// `available` and the like.
    pub status: String,
    /// State of the latest modification.
    pub modification: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A snapshot.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Snapshot {
    /// ID.
    pub id: String,
    /// The volume it is of.
    pub volume: String,
    /// `pending`, `completed` or `error`.
    pub status: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl Ec2Process {
    /// Starts it, with its log in `folder`. When `instant`, everything is done and seen at once.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(keeper: &Keeper, folder: &Path, instant: bool) -> Result<Self, Error> {
        Self::start_with(keeper, folder, instant.then(|| "--instant".to_owned()))
    }

    /// Starts it so that pods reach it and volumes have data; everything is done and seen at once.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with_data(keeper: &Keeper, folder: &Path, data: &Data) -> Result<Self, Error> {
        let args = [
            "--instant".to_owned(),
            format!("--address={}", data.address),
            format!("--data={}", data.folder.display()),
        ];
        Self::start_with(keeper, folder, args)
    }

    fn start_with(
        keeper: &Keeper,
        folder: &Path,
        args: impl IntoIterator<Item = String>,
    ) -> Result<Self, Error> {
        let mut launch = Launch::new("ec2-sandbox", &programs::ec2_sandbox()?);
        launch.piped = true;
        let mut process = Process::start(keeper, folder, &launch.args(args))?;
        let (input, output) = process.pipes().ok_or_else(|| silent("its pipes"))?;
        let mut output = BufReader::new(output);
        let hello = line(&mut output)?;
        let endpoint = hello["endpoint"].as_str().ok_or_else(|| silent("its endpoint"))?;
        Ok(Self {
            process,
            endpoint: endpoint.to_owned(),
            pipes: Mutex::new((input, output)),
        })
    }

    /// Its URL, for `AWS_EC2_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What exists.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn state(&self) -> Result<State, Error> {
        typed(self.ask(&json!({ "do": "state" }))?)
    }

    /// How many requests there were, by action.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn counts(&self) -> Result<BTreeMap<String, u64>, Error> {
        typed(self.ask(&json!({ "do": "counts" }))?)
    }

    /// The ID of a new volume that is available.
    ///
    /// # Errors
    /// When it is refused.
    pub fn volume(&self, zone: &str, gib: u32) -> Result<String, Error> {
        self.id(&json!({ "do": "volume", "zone": zone, "gib": gib }))
    }

    /// The ID of an available volume with these tags that was made so many hours ago.
    ///
    /// # Errors
    /// When it is refused.
    pub fn old_volume(&self, zone: &str, hours: u64, tags: &[(&str, &str)]) -> Result<String, Error> {
        let tags: BTreeMap<_, _> = tags.iter().copied().collect();
        self.id(&json!({ "do": "old-volume", "zone": zone, "hours": hours, "tags": tags }))
    }

    /// The ID of a new instance that runs.
    ///
    /// # Errors
    /// When it is refused.
    pub fn instance(&self, zone: &str, instance_type: &str) -> Result<String, Error> {
        self.id(&json!({ "do": "instance", "zone": zone, "type": instance_type }))
    }

    /// The ID of a new snapshot that is completed.
    ///
    /// # Errors
    /// When it is refused.
    pub fn snapshot(&self, volume: &str) -> Result<String, Error> {
        self.id(&json!({ "do": "snapshot", "volume": volume }))
    }

    /// The next requests of an action fail with this code, without effect.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn fault(&self, action: &str, code: &str, times: u64) -> Result<(), Error> {
        let command = json!({ "do": "fault", "action": action, "code": code, "times": times });
        self.ask(&command).map(drop)
    }

    /// The next requests of an action take effect and are answered by an internal error.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn lose(&self, action: &str, times: u64) -> Result<(), Error> {
        let command = json!({ "do": "lose", "action": action, "times": times });
        self.ask(&command).map(drop)
    }

    /// The next requests of an action take effect and are never answered.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn mute(&self, action: &str, times: u64) -> Result<(), Error> {
        let command = json!({ "do": "mute", "action": action, "times": times });
        self.ask(&command).map(drop)
    }

    /// Detaches a volume by force: its device fails under whatever is mounted from it.
    ///
    /// # Errors
    /// When it is refused.
    pub fn pull_out(&self, volume: &str) -> Result<(), Error> {
        let command = json!({ "do": "pull-out", "volume": volume });
        self.ask(&command).map(drop)
    }

    /// Deletes a volume, whatever its state.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn forget(&self, volume: &str) -> Result<(), Error> {
        let command = json!({ "do": "forget", "volume": volume });
        self.ask(&command).map(drop)
    }

    /// The next requests of an action take effect and are answered after this many seconds.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn slow(&self, action: &str, seconds: u64, times: u64) -> Result<(), Error> {
        let command = json!({ "do": "slow", "action": action, "seconds": seconds, "times": times });
        self.ask(&command).map(drop)
    }

    /// The connections of the next requests of an action break, without effect.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn cut(&self, action: &str, times: u64) -> Result<(), Error> {
        let command = json!({ "do": "cut", "action": action, "times": times });
        self.ask(&command).map(drop)
    }

    /// A detachment takes this many seconds from now on, as of an instance that hangs.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn detaching(&self, seconds: u64) -> Result<(), Error> {
        self.ask(&json!({ "do": "detaching", "seconds": seconds }))
            .map(drop)
    }

    /// An instance is terminated: its volumes come off.
    ///
    /// # Errors
    /// When it is refused.
    pub fn terminate(&self, instance: &str) -> Result<(), Error> {
        self.ask(&json!({ "do": "terminate", "instance": instance }))
            .map(drop)
    }

    /// Forgets all faults.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn clear_faults(&self) -> Result<(), Error> {
        self.ask(&json!({ "do": "clear" })).map(drop)
    }

    fn id(&self, command: &Value) -> Result<String, Error> {
        let answer = self.ask(command)?;
        let id = answer["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| silent("an ID"))
    }

    fn ask(&self, command: &Value) -> Result<Value, Error> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let (input, output) = &mut *pipes;
        writeln!(input, "{command}").map_err(Error::system("write to ec2-sandbox"))?;
        let answer = line(output)?;
        match answer["error"].as_str() {
            Some(error) => Err(Error::Refused {
                what: command.to_string(),
                answer: error.to_owned(),
            }),
            None => Ok(answer),
        }
    }
}

fn line(output: &mut BufReader<ChildStdout>) -> Result<Value, Error> {
    let mut line = String::new();
    output
        .read_line(&mut line)
        .map_err(Error::system("read from ec2-sandbox"))?;
    serde_json::from_str(&line).map_err(|_| silent("a line of JSON"))
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| silent(&error.to_string()))
}

fn silent(what: &str) -> Error {
    Error::Refused {
        what: "ec2-sandbox".to_owned(),
        answer: format!("did not say {what}"),
    }
}
