//! The story: a claim on a volume, a snapshot from pending to ready, an import, the deletion of all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sandbox::ec2::Ec2;
use sandbox::kube::ApiServer;
use serde_json::Value;

use super::Error;
use super::examples::{self, Folder};
use super::person::{Person, Reference};
use super::report::{Meter, holdings};
use super::screen::Screen;

/// The user name of the person; its requests are not counted.
pub const PERSON: &str = "person";

/// How long a step may take before the quick start gives up.
const PATIENCE: Duration = Duration::from_secs(30);

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
        meter.skip();
        self.snapshot().await?;
        meter.step("snapshot, ready after a while");
        self.import().await?;
        meter.step("import of a snapshot");
        self.delete_snapshot().await?;
        meter.step("deletion, policy Delete");
        self.delete_import().await?;
        meter.step("deletion of the import, policy Retain");
        self.delete_claim().await?;
        self.close(&meter)
    }

    async fn claim(&mut self) -> Result<(), Error> {
        let (volume, zone) = self.volume.clone();
        self.screen.step(&format!("A claim on the EBS volume {volume}"))?;
        let ids = BTreeMap::from([("volumeHandle", volume), ("zone", zone)]);
        self.apply(&examples::STATIC_VOLUME, &ids).await?;
        let claim = Reference::new("v1", "PersistentVolumeClaim", Some("default"), "ebs-claim");
        self.person
            .wait(&claim, "to be Bound", PATIENCE, |seen| {
                text(seen, "/status/phase") == "Bound"
            })
            .await?;
        self.screen.line("ebs-claim is Bound to test-pv")?;
        Ok(())
    }

    async fn snapshot(&mut self) -> Result<(), Error> {
        self.screen.step("A snapshot of the claim")?;
        self.apply(&examples::SNAPSHOT, &BTreeMap::new()).await?;
        let snapshot = snapshot_named("ebs-volume-snapshot");
        self.until_ready(&snapshot).await
    }

    async fn import(&mut self) -> Result<(), Error> {
        let handle = self.old_snapshot.clone();
        self.screen
            .step(&format!("The import of the EBS snapshot {handle}"))?;
        let ids = BTreeMap::from([("snapshotHandle", handle)]);
        self.apply(&examples::IMPORT, &ids).await?;
        let snapshot = snapshot_named("static-snapshot");
        self.until_ready(&snapshot).await
    }

    /// Follows a snapshot until it is ready: its events, the progress that EC2 reports, its status.
    async fn until_ready(&mut self, snapshot: &Reference) -> Result<(), Error> {
        let (screen, ec2, api) = (&mut *self.screen, self.ec2, self.api);
        let mut told = Told::new();
        let mut failed = Ok(());
        let ready = self
            .person
            .wait(snapshot, "to be ready", PATIENCE, |seen| {
                let telling = tell_events(screen, api, &snapshot.name, &mut told)
                    .and_then(|()| tell_progress(screen, ec2));
                if let Err(error) = telling {
                    failed = Err(error);
                }
                failed.is_err() || ready(seen)
            })
            .await?;
        failed?;
        // The last event is written after the status, asynchronously.
        for _ in 0..40 {
            tell_events(self.screen, self.api, &snapshot.name, &mut told)?;
            if told.iter().any(|(reason, _)| reason == "SnapshotReady") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
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
        self.screen.step("Deletion of the claim and its volume")?;
        self.delete(&Reference::new(
            "v1",
            "PersistentVolumeClaim",
            Some("default"),
            "ebs-claim",
        ))
        .await?;
        self.delete(&Reference::new("v1", "PersistentVolume", None, "test-pv"))
            .await?;
        self.delete(&Reference::new(
            SNAPSHOT_API,
            "VolumeSnapshotClass",
            None,
            "csi-aws-vsc",
        ))
        .await
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

fn text<'a>(object: Option<&'a Value>, pointer: &str) -> &'a str {
    object
        .and_then(|object| object.pointer(pointer))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Events by reason and message, each told once.
type Told = BTreeSet<(String, String)>;

fn tell_events(
    screen: &mut Screen,
    api: &ApiServer,
    name: &str,
    told: &mut Told,
) -> Result<(), std::io::Error> {
    let dump = api
        .store(PERSON)
        .list(sandbox::kube::GroupResource::new("", "events"), Some("default"));
    for event in dump {
        let event = event.value();
        if event["involvedObject"]["name"] != *name {
            continue;
        }
        let (reason, message) = (
            text(Some(event), "/reason").to_owned(),
            text(Some(event), "/message").to_owned(),
        );
        if !told.contains(&(reason.clone(), message.clone())) {
            let kind = text(Some(event), "/type");
            screen.line(&format!("event {kind} {reason}: {message}"))?;
            told.insert((reason, message));
        }
    }
    Ok(())
}

fn tell_progress(screen: &mut Screen, ec2: &Ec2) -> Result<(), std::io::Error> {
    let state = ec2.state();
    let Some(pending) = state
        .snapshots
        .values()
        .find(|snapshot| snapshot.status == "pending")
    else {
        return Ok(());
    };
    screen.progress(
        &format!("{} is pending in EC2", pending.id),
        u8::try_from(pending.progress).unwrap_or(100),
    )
}
