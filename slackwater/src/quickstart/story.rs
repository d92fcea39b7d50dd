//! The story: a claim and the volume that is made for it, data, a snapshot from pending to ready, another line of data, a
//! copy of the volume, the first line restored, the growth of the claim under its running pod, the deletion of all of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sandbox::ec2::{Disk, Ec2, VolumeView};
use sandbox::kube::ApiServer;
use sandbox::node::Machine;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Error;
use super::examples::{self, Folder};
use super::follow::{Events, Stages, tell_modification, tell_snapshot};
use super::person::{Person, Reference};
use super::report::{Meter, holdings};
use super::screen::Screen;

/// The user name of the person; its requests are not counted.
pub const PERSON: &str = "person";

/// How long a step may take before the quick start gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the claim is made to ask for.
const GROWN: &str = "8Gi";

/// What is written before the snapshot, and after it.
const LINES: [&str; 2] = ["written before the snapshot", "written after it"];

/// The API group and version of the snapshot kinds.
const SNAPSHOT_API: &str = "snapshot.storage.k8s.io/v1";

/// A pod of the examples, and the claim whose volume it mounts.
#[derive(Clone, Copy)]
struct Mounted {
    pod: &'static str,
    claim: &'static str,
}

const FIRST: Mounted = Mounted {
    pod: "app",
    claim: "ebs-claim",
};
const CLONE: Mounted = Mounted {
    pod: "clone-app",
    claim: "ebs-clone-claim",
};
const RESTORED: Mounted = Mounted {
    pod: "restored-app",
    claim: "ebs-snapshot-restored-claim",
};

impl Mounted {
    fn pod(self) -> Reference {
        Reference::new("v1", "Pod", Some("default"), self.pod)
    }

    fn claim(self) -> Reference {
        Reference::new("v1", "PersistentVolumeClaim", Some("default"), self.claim)
    }
}

/// Where the data of a pod are.
struct Place {
    /// The PersistentVolume.
    volume: String,
    /// The EBS volume.
    handle: String,
    /// What the PersistentVolume says of its size.
    capacity: String,
    /// UID of the pod, and how often its containers were restarted.
    run: String,
    file: PathBuf,
}

/// What the story needs.
pub struct Story<'a> {
    /// Where it is told.
    pub screen: &'a mut Screen,
    /// Who acts in it.
    pub person: Person,
    /// The Kubernetes API.
    pub api: &'a ApiServer,
    /// EC2.
    pub ec2: &'a Ec2,
    /// The node that the pods run on.
    pub machine: &'a Machine,
}

impl Story<'_> {
    /// Tells it from beginning to end.
    ///
    /// # Errors
    /// When something does not come about in time, or the output is gone.
    pub async fn tell(&mut self) -> Result<(), Error> {
        let mut meter = Meter::new(self.api, self.ec2, PERSON);
        self.claim().await?;
        meter.step("a volume for a claim, attached for its pod");
        self.snapshot_and_clone().await?;
        meter.step("a snapshot, ready after a while, and a clone");
        self.restore_and_expand().await?;
        meter.step("a volume from the snapshot, and an expansion");
        self.delete_volumes().await?;
        meter.step("deletion of three pods, claims and volumes");
        self.delete_snapshot().await?;
        meter.step("deletion of the snapshot");
        self.close(&meter).await
    }

    async fn claim(&mut self) -> Result<(), Error> {
        self.screen
            .step("A claim, a pod with it, and the volume that is made for them")?;
        self.apply(&examples::DYNAMIC).await?;
        self.until_running(FIRST).await?;
        let place = self.place(FIRST).await?;
        let claim = self.person.look(&FIRST.claim()).await?;
        must(
            "the phase of the claim",
            text(claim.as_ref(), "/status/phase"),
            "Bound",
        )?;
        let (zone, instance) = (self.machine.zone(), self.machine.instance_id());
        let made = self.ec2_volume(&place.handle)?;
        must("the zone of the volume", &made.zone, zone)?;
        let attached = made.attachments.get(instance).map(String::as_str);
        must("the attachment", attached.unwrap_or_default(), "attached")?;
        let on_disk = self.file_system(&place.handle, made.size_gib)?;
        self.screen.line(&format!(
            "{} is Bound to {}: {} in {zone}, where the pod goes",
            FIRST.claim, place.volume, place.handle
        ))?;
        self.screen.line(&format!(
            "it is attached to {instance}, {on_disk} is mounted, the pod is Running"
        ))?;
        self.write(FIRST, LINES[0]).await
    }

    /// EC2 has the data of the moment of the snapshot, and copies them for a while.
    async fn snapshot_and_clone(&mut self) -> Result<(), Error> {
        self.screen.step("A snapshot of the claim")?;
        let snapshot = snapshot_named("ebs-volume-snapshot");
        let mut events = Events::of(self.api, &["ebs-volume-snapshot"]);
        self.apply(&examples::SNAPSHOT).await?;
        let (screen, api) = (&mut *self.screen, self.api);
        let mut failed = Ok(());
        self.person
            .wait(&snapshot, "to be taken", PATIENCE, |seen| {
                failed = events.tell(screen, api);
                failed.is_err() || !text(seen, "/status/creationTime").is_empty()
            })
            .await?;
        failed?;
        self.screen
            .step("While EC2 copies it: another line of data, and a clone of the claim as it is now")?;
        self.write(FIRST, LINES[1]).await?;
        self.apply(&examples::CLONE).await?;
        self.until_ready(&snapshot, &mut events).await?;
        self.until_running(CLONE).await?;
        self.read(CLONE, &LINES).await
    }

    async fn restore_and_expand(&mut self) -> Result<(), Error> {
        self.screen.step("A claim that begins with the snapshot")?;
        self.apply(&examples::RESTORE).await?;
        self.expand().await?;
        self.until_running(RESTORED).await?;
        self.read(RESTORED, &LINES[..1]).await
    }

    /// Both halves: EC2 and the resizer, the node and its file system.
    async fn expand(&mut self) -> Result<(), Error> {
        self.screen
            .step("While its volume is made: the first claim grows, under its running pod")?;
        let place = self.place(FIRST).await?;
        let (mut events, mut stages) = (Events::of(self.api, &[FIRST.claim]), Stages::default());
        let change = json!({ "spec": { "resources": { "requests": { "storage": GROWN } } } });
        self.screen
            .line(&format!("kubectl patch pvc {} -p '{change}'", FIRST.claim))?;
        self.person.patch(&FIRST.claim(), &change).await?;
        let (screen, ec2, api) = (&mut *self.screen, self.ec2, self.api);
        let mut failed = Ok(());
        self.person
            .wait(&FIRST.claim(), "to have grown", PATIENCE, |seen| {
                failed = stages
                    .tell(screen, seen)
                    .and_then(|()| events.tell(screen, api))
                    .and_then(|()| tell_modification(screen, ec2, &place.handle));
                failed.is_err() || text(seen, "/status/capacity/storage") == GROWN
            })
            .await?;
        failed?;
        self.settle(&mut events, "FileSystemResizeSuccessful").await?;
        let grown = self.ec2_volume(&place.handle)?.size_gib;
        must("the size of the EC2 volume", &format!("{grown}Gi"), GROWN)?;
        let on_disk = self.file_system(&place.handle, grown)?;
        let now = self.place(FIRST).await?;
        must("the capacity of the PersistentVolume", &now.capacity, GROWN)?;
        must("the pod and how often it was restarted", &now.run, &place.run)?;
        self.screen.line(&format!(
            "the controller's half: {} has {grown} GiB, and so says {}",
            place.handle, place.volume
        ))?;
        self.screen.line(&format!(
            "the node's half: {on_disk} lies on it, the claim has {GROWN}, the pod was not restarted"
        ))?;
        self.read(FIRST, &LINES).await
    }

    async fn delete_volumes(&mut self) -> Result<(), Error> {
        self.screen
            .step("Deletion of the pods and the claims: the volumes go with them")?;
        let mounted = [FIRST, CLONE, RESTORED];
        let (mut volumes, mut handles) = (Vec::new(), Vec::new());
        for one in mounted {
            let place = self.place(one).await?;
            volumes.push(Reference::new("v1", "PersistentVolume", None, &place.volume));
            handles.push(place.handle);
            self.ask_to_delete(&one.pod()).await?;
            self.ask_to_delete(&one.claim()).await?;
        }
        for one in mounted {
            self.until_gone(&one.claim()).await?;
        }
        for volume in &volumes {
            self.until_gone(volume).await?;
        }
        self.until_deleted(&handles).await?;
        self.delete(&Reference::new(
            "storage.k8s.io/v1",
            "StorageClass",
            None,
            "ebs-sc",
        ))
        .await
    }

    async fn delete_snapshot(&mut self) -> Result<(), Error> {
        self.screen
            .step("Deletion of the snapshot: its class says Delete")?;
        self.delete(&snapshot_named("ebs-volume-snapshot")).await?;
        let class = Reference::new(SNAPSHOT_API, "VolumeSnapshotClass", None, "csi-aws-vsc");
        self.delete(&class).await
    }

    async fn close(&mut self, meter: &Meter) -> Result<(), Error> {
        let left = || holdings(self.api, self.ec2);
        self.until(|| left().1 == 0).await;
        let (table, left) = left();
        self.screen
            .plain("\nWhat it took (controllers only; watches and leases apart):\n")?;
        self.screen.plain(&meter.table().to_string())?;
        self.screen.plain("\nWhat is left of it:\n")?;
        self.screen.plain(&table.to_string())?;
        match left {
            0 => Ok(()),
            left => Err(Error::Left(left)),
        }
    }
}

/// What the steps are made of.
impl Story<'_> {
    async fn until_running(&mut self, mounted: Mounted) -> Result<(), Error> {
        let (screen, api) = (&mut *self.screen, self.api);
        let mut events = Events::all_of(&[mounted.pod, mounted.claim]);
        let mut failed = Ok(());
        self.person
            .wait(&mounted.pod(), "to be Running", PATIENCE, |seen| {
                failed = events.tell(screen, api);
                failed.is_err() || text(seen, "/status/phase") == "Running"
            })
            .await?;
        failed?;
        Ok(())
    }

    /// Follows a snapshot until it is ready: its events, the progress that EC2 reports, its status.
    async fn until_ready(&mut self, snapshot: &Reference, events: &mut Events) -> Result<(), Error> {
        let (screen, ec2, api) = (&mut *self.screen, self.ec2, self.api);
        let mut failed = Ok(());
        let ready = self
            .person
            .wait(snapshot, "to be ready", PATIENCE, |seen| {
                failed = events.tell(screen, api).and_then(|()| tell_snapshot(screen, ec2));
                failed.is_err() || ready(seen)
            })
            .await?;
        failed?;
        self.settle(events, "SnapshotReady").await?;
        let ready = ready.unwrap_or_default();
        let content = text(Some(&ready), "/status/boundVolumeSnapshotContentName").to_owned();
        let size = text(Some(&ready), "/status/restoreSize").to_owned();
        self.screen.line(&format!(
            "readyToUse: true, restoreSize {size}, bound to {content}"
        ))?;
        Ok(())
    }

    /// The last event is written after the status, asynchronously.
    async fn settle(&mut self, events: &mut Events, reason: &str) -> Result<(), Error> {
        for _ in 0..40 {
            events.tell(self.screen, self.api)?;
            if events.has(reason) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Ok(())
    }

    /// EC2 shows a deleted volume for a moment.
    async fn until_deleted(&mut self, handles: &[String]) -> Result<(), Error> {
        let is_there = |handle: &String| self.ec2.state().volumes.contains_key(handle);
        self.until(|| !handles.iter().any(is_there)).await;
        for handle in handles {
            let fate = if is_there(handle) { "there" } else { "gone" };
            must(handle, fate, "gone")?;
            self.screen.line(&format!("{handle} is gone in EC2"))?;
        }
        Ok(())
    }

    /// Waits until it is so, or patience ends.
    async fn until(&self, so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !so() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn place(&self, mounted: Mounted) -> Result<Place, Error> {
        let pod = self.person.look(&mounted.pod()).await?;
        let claim = self.person.look(&mounted.claim()).await?;
        let volume = text(claim.as_ref(), "/spec/volumeName").to_owned();
        let object = Reference::new("v1", "PersistentVolume", None, &volume);
        let object = self.person.look(&object).await?;
        let uid = text(pod.as_ref(), "/metadata/uid");
        let mount = PathBuf::from(self.machine.node().mount_path(uid, &volume));
        let containers = pod.as_ref().map(|pod| &pod["status"]["containerStatuses"]);
        let containers = containers.and_then(Value::as_array).into_iter().flatten();
        let restarts = containers.filter_map(|container| container["restartCount"].as_u64());
        Ok(Place {
            handle: text(object.as_ref(), "/spec/csi/volumeHandle").to_owned(),
            capacity: text(object.as_ref(), "/spec/capacity/storage").to_owned(),
            run: format!("{uid}, {}", restarts.sum::<u64>()),
            file: mount.join("out.txt"),
            volume,
        })
    }

    /// Writes a line as the container would, which is not run here.
    async fn write(&mut self, mounted: Mounted, line: &str) -> Result<(), Error> {
        let place = self.place(mounted).await?;
        self.machine.host().append(&place.file, line)?;
        self.screen
            .line(&format!("{}: echo '{line}' >> /data/out.txt", mounted.pod))?;
        Ok(())
    }

    /// Reads what the container would.
    async fn read(&mut self, mounted: Mounted, expected: &[&str]) -> Result<(), Error> {
        let place = self.place(mounted).await?;
        let found = self.machine.host().read(&place.file)?;
        self.screen.line(&format!("{}: cat /data/out.txt", mounted.pod))?;
        for line in found.lines() {
            self.screen.line(&format!("    {line}"))?;
        }
        match found.lines().eq(expected.iter().copied()) {
            true => Ok(()),
            false => Err(Error::OtherData {
                pod: mounted.pod,
                expected: expected.join(", "),
            }),
        }
    }

    /// What lies on a volume, all over it.
    fn file_system(&self, handle: &str, gib: u32) -> Result<String, Error> {
        let found = match self.ec2.disk(handle) {
            Some(Disk { contents, bytes, .. }) => format!("{contents} of {} GiB", bytes >> 30),
            None => "nothing".to_owned(),
        };
        must("what lies on the volume", &found, &format!("ext4 of {gib} GiB"))?;
        Ok(found)
    }

    fn ec2_volume(&self, handle: &str) -> Result<VolumeView, Error> {
        let volume = self.ec2.state().volumes.remove(handle);
        volume.ok_or_else(|| otherwise(handle, "nowhere", "in EC2"))
    }

    async fn apply(&mut self, folder: &Folder) -> Result<(), Error> {
        self.screen.line(&format!("kubectl apply -k {}", folder.path))?;
        for object in folder.objects(&BTreeMap::new())? {
            let applied = self.person.apply(&object).await?;
            self.screen.line(&format!("{} created", applied.spelled()))?;
        }
        Ok(())
    }

    async fn delete(&mut self, object: &Reference) -> Result<(), Error> {
        self.ask_to_delete(object).await?;
        self.until_gone(object).await
    }

    async fn ask_to_delete(&mut self, object: &Reference) -> Result<(), Error> {
        self.screen
            .line(&format!("kubectl delete {}", object.spelled()))?;
        Ok(self.person.delete(object).await?)
    }

    async fn until_gone(&mut self, object: &Reference) -> Result<(), Error> {
        self.person
            .wait(object, "to be gone", PATIENCE, |seen| seen.is_none())
            .await?;
        self.screen.line(&format!("{} is gone", object.spelled()))?;
        Ok(())
    }
}

/// What the story is about to say.
fn must(what: &str, found: &str, expected: &str) -> Result<(), Error> {
    match found == expected {
        true => Ok(()),
        false => Err(otherwise(what, found, expected)),
    }
}

fn otherwise(what: &str, found: &str, expected: &str) -> Error {
    Error::Otherwise {
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

fn snapshot_named(name: &str) -> Reference {
    Reference::new(SNAPSHOT_API, "VolumeSnapshot", Some("default"), name)
}

fn ready(snapshot: Option<&Value>) -> bool {
    snapshot.and_then(|object| object.pointer("/status/readyToUse")) == Some(&Value::Bool(true))
}

/// A text at a JSON pointer; empty where there is none.
pub fn text<'a>(object: Option<&'a Value>, pointer: &str) -> &'a str {
    object
        .and_then(|object| object.pointer(pointer))
        .and_then(Value::as_str)
        .unwrap_or_default()
}
