//! The steps of the test, one after the other, and what people are told of them.

use std::io::Write;
use std::time::Duration;

use kube::Client;
use kube::core::ObjectMeta;
use runtime::{ApiErrorClass, Selection};
use serde_json::Value;
use tokio::time::Instant;

use super::cluster::{Cluster, Missed, listed};
use super::judge::{self, Stage, Wanted, name};
use super::manifests::Run;
use super::objects::{Claim, Class, Object, Pod, Snapshot, SnapshotClass};
use super::{Failure, Options};

/// Where people read how it goes.
pub(super) struct Report {
    out: Box<dyn Write + Send>,
    begun: Instant,
}

impl Report {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        let begun = Instant::now();
        Self { out, begun }
    }

    /// A line with the time since the beginning. That nobody reads it any more is no reason to stop.
    pub(super) fn line(&mut self, text: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let _ = writeln!(self.out, "{seconds:>7.1} s  {text}").and_then(|()| self.out.flush());
    }
}

/// The classes of a run.
pub(super) struct Classes {
    pub(super) storage: String,
    pub(super) snapshots: Option<String>,
}

impl Classes {
    /// Those that the flags name, or the defaults of the driver.
    ///
    /// # Errors
    /// There is none that fits; they cannot be listed.
    pub(super) async fn find(client: &Client, options: &Options) -> Result<Self, Failure> {
        let all: Vec<Class> = listed(client, &Selection::default()).await?;
        let all: Vec<&Value> = all.iter().map(Object::value).collect();
        let class = Wanted::storage(&options.driver, &options.storage_class)
            .among(&all)
            .map_err(Failure::Unfit)?;
        if options.expands && class["allowVolumeExpansion"] != true {
            return Err(Failure::Unfit(format!(
                "StorageClass {}: its claims cannot grow (allowVolumeExpansion): allow it, name another one in \
                 --storage-class, or leave this part out with --skip=expansion",
                name(class)
            )));
        }
        let snapshots = match options.snapshots {
            false => None,
            true => Some(Self::of_snapshots(client, options).await?),
        };
        Ok(Self {
            storage: name(class).to_owned(),
            snapshots,
        })
    }

    async fn of_snapshots(client: &Client, options: &Options) -> Result<String, Failure> {
        let all = listed::<SnapshotClass>(client, &Selection::default()).await;
        let all = all.map_err(|error| match error.class() {
            ApiErrorClass::NotFound => Failure::Unfit(
                "the kind VolumeSnapshotClass (snapshot.storage.k8s.io/v1) is not there: install the definitions \
                 (slackwater crds | kubectl apply --server-side -f -) and a snapshot-controller, or leave this part \
                 out with --skip=snapshot"
                    .to_owned(),
            ),
            _ => error.into(),
        })?;
        let all: Vec<&Value> = all.iter().map(Object::value).collect();
        let class = Wanted::snapshots(&options.driver, &options.snapshot_class).among(&all);
        Ok(name(class.map_err(Failure::Unfit)?).to_owned())
    }
}

/// The story of one run.
pub(super) struct Story<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) run: &'a Run,
    pub(super) classes: &'a Classes,
    pub(super) report: &'a mut Report,
    pub(super) timeout: Duration,
    pub(super) gib: u32,
    pub(super) expands: bool,
}

/// One thing that is waited for.
struct Step<'a> {
    /// The object, as people find it.
    object: String,
    /// What is expected of it.
    should: &'a str,
    /// Those whose events tell more.
    about: Vec<String>,
    /// What people can do where it does not come.
    advice: &'a str,
}

impl Story<'_> {
    /// Tells it from beginning to end.
    ///
    /// # Errors
    /// The first thing that did not come about.
    pub(super) async fn tell(&mut self) -> Result<(), Failure> {
        self.volume().await?;
        if let Some(class) = self.classes.snapshots.clone() {
            self.snapshot(&class).await?;
            self.restore().await?;
        }
        if self.expands {
            self.expand().await?;
        }
        Ok(())
    }

    async fn volume(&mut self) -> Result<(), Failure> {
        let (class, gib) = (&self.classes.storage, self.gib);
        self.report.line(&format!(
            "a claim of {gib} GiB, class {class}, and a pod that writes to it"
        ));
        let claim = self.run.claim("source", class, gib, None);
        self.cluster.create_claim(claim).await?;
        self.cluster
            .create_pod(self.run.writer("writer", "source"))
            .await?;
        let advice = "the csi-provisioner makes the volume, the csi-attacher attaches it, the node service mounts it: \
                      the log of the one that the event does not tell of says more";
        self.until_pod("writer", "source", "run", advice, judge::runs)
            .await?;
        self.report
            .line("the volume is made, attached and mounted; data are written and synced");
        Ok(())
    }

    async fn snapshot(&mut self, class: &str) -> Result<(), Failure> {
        self.report.line(&format!("a snapshot of it, class {class}"));
        let snapshot = self.run.snapshot("snapshot", class, "source");
        self.cluster.create_snapshot(snapshot).await?;
        let name = self.run.named("snapshot");
        let step = Step {
            object: Snapshot::spelled(&self.cluster.key(&name)),
            should: "become ready",
            about: vec![name.clone()],
            advice: "a snapshot-controller must be installed, and the csi-snapshotter run beside the driver; EC2 may take \
                     minutes (--timeout)",
        };
        self.until(step, |cluster| judge::is_ready(cluster.snapshot(&name).as_ref()))
            .await?;
        self.report.line("the snapshot is ready");
        Ok(())
    }

    async fn restore(&mut self) -> Result<(), Failure> {
        self.report
            .line("a claim that begins with the snapshot, and a pod that compares its data");
        let claim = self
            .run
            .claim("restored", &self.classes.storage, self.gib, Some("snapshot"));
        self.cluster.create_claim(claim).await?;
        self.cluster
            .create_pod(self.run.checker("reader", "restored", 0))
            .await?;
        let advice =
            "the csi-provisioner makes a volume from the snapshot: its log and the driver's say more";
        self.until_pod(
            "reader",
            "restored",
            "find the data of the snapshot",
            advice,
            judge::succeeded,
        )
        .await?;
        self.report.line("the restored data are those that were written");
        Ok(())
    }

    /// Under the running pod; then another one looks at what the file system has become.
    async fn expand(&mut self) -> Result<(), Failure> {
        let gib = self.gib + 1;
        self.report.line(&format!(
            "the first claim grows to {gib} GiB under its running pod"
        ));
        let (claim, size) = (self.run.named("source"), format!("{gib}Gi"));
        self.cluster.grow(&claim, gib).await?;
        let step = Step {
            object: Claim::spelled(&self.cluster.key(&claim)),
            should: "grow",
            about: vec![claim.clone(), self.run.named("writer")],
            advice: "the csi-resizer grows the volume, then kubelet its file system; EC2 grows a volume four times in a day at \
                     most",
        };
        self.until(step, |cluster| {
            judge::has_grown(cluster.claim(&claim).as_ref(), &size)
        })
        .await?;
        self.report.line(&format!(
            "the claim has {size}; a pod looks at its file system and data"
        ));
        self.cluster.delete_pod(&self.run.named("writer")).await?;
        // What a file system needs for itself is less than an eighth.
        let at_least = (u64::from(gib) << 30) / 8 * 7;
        self.cluster
            .create_pod(self.run.checker("checker", "source", at_least))
            .await?;
        let advice = "the volume is attached and mounted again: the log of the node service says more";
        self.until_pod(
            "checker",
            "source",
            "find a larger file system with the same data",
            advice,
            judge::succeeded,
        )
        .await?;
        self.report
            .line("the file system has grown, and the data are those that were written");
        Ok(())
    }

    async fn until_pod(
        &mut self,
        pod: &str,
        claim: &str,
        should: &str,
        advice: &str,
        judge: fn(Option<&Value>) -> Stage,
    ) -> Result<(), Failure> {
        let name = self.run.named(pod);
        let step = Step {
            object: Pod::spelled(&self.cluster.key(&name)),
            should,
            about: vec![name.clone(), self.run.named(claim)],
            advice,
        };
        self.until(step, |cluster| judge(cluster.pod(&name).as_ref()))
            .await
    }

    async fn until(&mut self, step: Step<'_>, judge: impl Fn(&Cluster) -> Stage) -> Result<(), Failure> {
        let report = &mut *self.report;
        let told = |seen: &str| report.line(&format!("  {}: {seen}", step.object));
        let missed = match self.cluster.until(self.timeout, judge, told).await {
            Ok(()) => return Ok(()),
            Err(missed) => missed,
        };
        let (how, seen) = match missed {
            Missed::Failed(why) => (String::new(), why),
            Missed::TooLate(last) => (format!(" within {}", base::args::GoDuration(self.timeout)), last),
        };
        let warning = self.cluster.warning(&step.about).await;
        let warning = warning.map(|warning| format!("; {warning}")).unwrap_or_default();
        Err(Failure::Missed(format!(
            "{} did not {}{how}: {seen}{warning}. What to do: {}",
            step.object, step.should, step.advice
        )))
    }
}

/// Name and UID of an object.
pub(super) fn identity(metadata: &ObjectMeta) -> (String, String) {
    (
        metadata.name.clone().unwrap_or_default(),
        metadata.uid.clone().unwrap_or_default(),
    )
}
