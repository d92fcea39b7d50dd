//! What is told while something comes about: new events, how far EC2 is, stages of the claim.

use std::collections::BTreeSet;
use std::io;

use sandbox::ec2::Ec2;
use sandbox::kube::{ApiServer, GroupResource};
use serde_json::Value;

use super::screen::Screen;
use super::story::{PERSON, text};

/// The events about some objects, each told once.
pub struct Events {
    names: Vec<String>,
    told: BTreeSet<(String, String)>,
}

impl Events {
    /// Those about objects of these names, from now on.
    pub fn of(api: &ApiServer, names: &[&str]) -> Self {
        let mut events = Self::all_of(names);
        for (_, reason, message) in events.untold(api) {
            events.told.insert((reason, message));
        }
        events
    }

    /// Those about objects of these names, from the first on.
    pub fn all_of(names: &[&str]) -> Self {
        Self {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            told: BTreeSet::new(),
        }
    }

    /// Type, reason and message of those that are new.
    fn untold(&self, api: &ApiServer) -> Vec<(String, String, String)> {
        let events = api
            .store(PERSON)
            .list(GroupResource::new("", "events"), Some("default"));
        let mut untold = Vec::new();
        for event in events {
            let event = event.value();
            let of = |pointer| text(Some(event), pointer).to_owned();
            let (name, reason, message) = (of("/involvedObject/name"), of("/reason"), of("/message"));
            if self.names.contains(&name) && !self.told.contains(&(reason.clone(), message.clone())) {
                untold.push((of("/type"), reason, message));
            }
        }
        untold
    }

    /// Tells those that are new.
    pub fn tell(&mut self, screen: &mut Screen, api: &ApiServer) -> io::Result<()> {
        for (kind, reason, message) in self.untold(api) {
            let text = format!("event {kind} {reason}: {message}");
            screen.line(text.trim_end())?;
            self.told.insert((reason, message));
        }
        Ok(())
    }

    /// Whether one of this reason was told.
    pub fn has(&self, reason: &str) -> bool {
        self.told.iter().any(|(told, _)| told == reason)
    }
}

/// How far the snapshot is that EC2 still copies.
pub fn tell_snapshot(screen: &mut Screen, ec2: &Ec2) -> io::Result<()> {
    let state = ec2.state();
    let pending = |snapshot: &&sandbox::ec2::SnapshotView| snapshot.status == "pending";
    let Some(pending) = state.snapshots.values().find(pending) else {
        return Ok(());
    };
    let what = format!("{} is pending in EC2", pending.id);
    screen.progress(&what, u8::try_from(pending.progress).unwrap_or(100))
}

/// How far the modification of a volume is whose new size is not in effect yet.
pub fn tell_modification(screen: &mut Screen, ec2: &Ec2, volume: &str) -> io::Result<()> {
    let state = ec2.state();
    let Some(volume) = state.volumes.get(volume) else {
        return Ok(());
    };
    match (volume.modification.as_deref(), volume.modification_progress) {
        (Some("modifying"), Some(percent)) => {
            let what = format!("{} is modifying in EC2", volume.id);
            screen.progress(&what, u8::try_from(percent).unwrap_or(100))
        }
        _ => Ok(()),
    }
}

/// The stage of a claim in its expansion, each told once.
#[derive(Default)]
pub struct Stages {
    last: String,
}

impl Stages {
    /// Tells the stage where it is another one.
    pub fn tell(&mut self, screen: &mut Screen, claim: Option<&Value>) -> io::Result<()> {
        let stage = text(claim, "/status/allocatedResourceStatuses/storage");
        if stage.is_empty() || stage == self.last {
            return Ok(());
        }
        stage.clone_into(&mut self.last);
        let half = match stage {
            "ControllerResizeInProgress" => "the controller's half begins: EC2",
            "NodeResizePending" => "the controller's half is done, the node's is to come",
            "NodeResizeInProgress" => "the node's half begins: the file system",
            _ => "",
        };
        screen.line(&format!("{stage}: {half}"))
    }
}
