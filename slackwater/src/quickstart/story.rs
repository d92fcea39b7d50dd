//! The story: a pod with a claim on a volume, a snapshot from pending to ready, the growth of the claim under the
//! running pod, an import, the deletion of all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::ec2::Ec2;
use sandbox::kube::ApiServer;
use serde_json::{Value, json};

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

/// The API group and version of the snapshot kinds.
const SNAPSHOT_API: &str = "snapshot.storage.k8s.io/v1";

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
    /// The instance that is the node.
    pub instance: String,
    /// A volume that exists, and its zone.
    pub volume: (String, String),
    /// A snapshot that exists.
    pub old_snapshot: String,
}

impl Story<'_> {
    /// Tells it from beginning to end.
    ///
    /// # Errors
    /// When something does not come about in time, or the output is gone.
    pub async fn tell(&mut self) -> Result<(), Error> {
        let mut meter = Meter::new(self.api, self.ec2, PERSON);
        self.claim().await?;
        meter.step("a pod gets its volume (csi-attacher, and the sandbox's kubelet)");
        self.snapshot().await?;
        meter.step("snapshot, ready after a while");
        self.expand().await?;
        meter.step("expansion, with a stage on the node");
        self.import().await?;
        meter.step("import of a snapshot");
        self.delete_snapshot().await?;
        meter.step("deletion, policy Delete");
        self.delete_import().await?;
        meter.step("deletion of the import, policy Retain");
        self.delete_claim().await?;
        meter.step("deletion of pod, claim and volume");
        self.close(&meter)
    }

    async fn claim(&mut self) -> Result<(), Error> {
        let (volume, zone) = self.volume.clone();
        self.screen
            .step(&format!("A claim on the EBS volume {volume}, and a pod with it"))?;
        let ids = BTreeMap::from([("volumeHandle", volume.clone()), ("zone", zone)]);
        self.apply(&examples::EXPAND, &ids).await?;
        let (screen, api) = (&mut *self.screen, self.api);
        let mut events = Events::of(api, &["app"]);
        let mut failed = Ok(());
        self.person
            .wait(&pod(), "to be Running", PATIENCE, |seen| {
                failed = events.tell(screen, api);
                failed.is_err() || text(seen, "/status/phase") == "Running"
            })
            .await?;
        failed?;
        let on_disk = self.file_system();
        self.screen.line(&format!(
            "ebs-claim is Bound, {volume} is attached to {}, {on_disk} is mounted, the pod is Running",
            self.instance
        ))?;
        Ok(())
    }

    /// What lies on the volume.
    fn file_system(&self) -> String {
        match self.ec2.disk(&self.volume.0) {
            Some(disk) => format!("{} of {} GiB", disk.contents, disk.bytes >> 30),
            None => "nothing".to_owned(),
        }
    }

    async fn snapshot(&mut self) -> Result<(), Error> {
        self.screen.step("A snapshot of the claim")?;
        let mut events = Events::of(self.api, &["ebs-volume-snapshot"]);
        self.apply(&examples::SNAPSHOT, &BTreeMap::new()).await?;
        let snapshot = snapshot_named("ebs-volume-snapshot");
        self.until_ready(&snapshot, &mut events).await
    }

    /// Both halves: EC2 and the resizer, the node and its file system.
    async fn expand(&mut self) -> Result<(), Error> {
        self.screen.step("The claim grows, under the running pod")?;
        let (mut events, mut stages) = (Events::of(self.api, &["ebs-claim"]), Stages::default());
        let change = json!({ "spec": { "resources": { "requests": { "storage": GROWN } } } });
        self.screen
            .line(&format!("kubectl patch pvc ebs-claim -p '{change}'"))?;
        self.person.patch(&claim(), &change).await?;
        let (screen, ec2, api, volume) = (&mut *self.screen, self.ec2, self.api, &self.volume.0);
        let mut failed = Ok(());
        self.person
            .wait(&claim(), "to have grown", PATIENCE, |seen| {
                failed = stages
                    .tell(screen, seen)
                    .and_then(|()| events.tell(screen, api))
                    .and_then(|()| tell_modification(screen, ec2, volume));
                failed.is_err() || text(seen, "/status/capacity/storage") == GROWN
            })
            .await?;
        failed?;
        self.settle(&mut events, "FileSystemResizeSuccessful").await?;
        let (volume, on_disk) = (&self.volume.0, self.file_system());
        let gib = self
            .ec2
            .state()
            .volumes
            .get(volume)
            .map_or(0, |volume| volume.size_gib);
        self.screen.line(&format!(
            "the controller's half: {volume} has {gib} GiB, and so says resize-pv"
        ))?;
        self.screen.line(&format!(
            "the node's half: {on_disk} lies on it, the claim has {GROWN}, the pod was not restarted"
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

    async fn import(&mut self) -> Result<(), Error> {
        let handle = self.old_snapshot.clone();
        self.screen
            .step(&format!("The import of the EBS snapshot {handle}"))?;
        let ids = BTreeMap::from([("snapshotHandle", handle)]);
        let mut events = Events::of(self.api, &["static-snapshot"]);
        self.apply(&examples::IMPORT, &ids).await?;
        let snapshot = snapshot_named("static-snapshot");
        self.until_ready(&snapshot, &mut events).await
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

    async fn delete_snapshot(&mut self) -> Result<(), Error> {
        self.screen
            .step("Deletion of the snapshot: its class says Delete")?;
        let snapshot = snapshot_named("ebs-volume-snapshot");
        let before = self.ec2.state().snapshots.len();
        self.delete(&snapshot).await?;
        let after = self.ec2.state().snapshots.len();
        self.screen.line(&format!(
            "content gone, EBS snapshots in EC2: {before}, now {after}"
        ))?;
        Ok(())
    }

    async fn delete_import(&mut self) -> Result<(), Error> {
        self.screen
            .step("Deletion of the import: its content says Retain")?;
        self.delete(&snapshot_named("static-snapshot")).await?;
        self.screen.line("the content stays; it is deleted by hand")?;
        self.delete(&Reference::new(
            SNAPSHOT_API,
            "VolumeSnapshotContent",
            None,
            "static-snapshot-content",
        ))
        .await?;
        let kept = self.ec2.state().snapshots.contains_key(&self.old_snapshot);
        let fate = if kept { "is still there" } else { "is gone" };
        self.screen
            .line(&format!("the EBS snapshot {} {fate}", self.old_snapshot))?;
        Ok(())
    }

    async fn delete_claim(&mut self) -> Result<(), Error> {
        self.screen
            .step("Deletion of the pod, the claim and its volume")?;
        self.delete(&pod()).await?;
        self.delete(&claim()).await?;
        self.delete(&Reference::new("v1", "PersistentVolume", None, "resize-pv"))
            .await?;
        self.delete(&Reference::new(
            "storage.k8s.io/v1",
            "StorageClass",
            None,
            "resize-sc",
        ))
        .await?;
        self.delete(&Reference::new(
            SNAPSHOT_API,
            "VolumeSnapshotClass",
            None,
            "csi-aws-vsc",
        ))
        .await?;
        let volume = self.ec2.state().volumes.get(&self.volume.0).cloned();
        let fate = volume.map_or_else(
            || "is gone".to_owned(),
            |volume| {
                format!(
                    "stays, {} with {} GiB: its policy is Retain",
                    volume.status, volume.size_gib
                )
            },
        );
        self.screen
            .line(&format!("the EBS volume {} {fate}", self.volume.0))?;
        Ok(())
    }

    fn close(&mut self, meter: &Meter) -> Result<(), Error> {
        self.screen
            .plain("\nWhat it took (controllers only; watches and leases apart):\n")?;
        self.screen.plain(&meter.table().to_string())?;
        self.screen.plain("\nWhat there is now:\n")?;
        self.screen.plain(&holdings(self.api, self.ec2).to_string())?;
        Ok(())
    }

    async fn apply(&mut self, folder: &Folder, ids: &BTreeMap<&str, String>) -> Result<(), Error> {
        self.screen.line(&format!("kubectl apply -k {}", folder.path))?;
        for object in folder.objects(ids)? {
            let applied = self.person.apply(&object).await?;
            self.screen.line(&format!("{} created", applied.spelled()))?;
        }
        Ok(())
    }

    async fn delete(&mut self, object: &Reference) -> Result<(), Error> {
        self.screen
            .line(&format!("kubectl delete {}", object.spelled()))?;
        self.person.delete(object).await?;
        self.person
            .wait(object, "to be gone", PATIENCE, |seen| seen.is_none())
            .await?;
        self.screen.line(&format!("{} is gone", object.spelled()))?;
        Ok(())
    }
}

fn snapshot_named(name: &str) -> Reference {
    Reference::new(SNAPSHOT_API, "VolumeSnapshot", Some("default"), name)
}

fn ready(snapshot: Option<&Value>) -> bool {
    snapshot.and_then(|object| object.pointer("/status/readyToUse")) == Some(&Value::Bool(true))
}

fn pod() -> Reference {
    Reference::new("v1", "Pod", Some("default"), "app")
}

fn claim() -> Reference {
    Reference::new("v1", "PersistentVolumeClaim", Some("default"), "ebs-claim")
}

/// A text at a JSON pointer; empty where there is none.
pub fn text<'a>(object: Option<&'a Value>, pointer: &str) -> &'a str {
    object
        .and_then(|object| object.pointer(pointer))
        .and_then(Value::as_str)
        .unwrap_or_default()
}
