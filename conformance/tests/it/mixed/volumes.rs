//! csi-provisioner and csi-attacher: each of ours beside upstream's, all of one side, and take-over in the middle of each of their
//! works, both ways. Volumes are made, restored from a snapshot, cloned, attached, detached and deleted.

use std::time::{Duration, Instant};

use conformance::{Process, until};
use serde_json::json;

use super::{COUNT, Cast, LAYER, Mixed, Ours, Side, Upstream, end, tell};
use crate::expansion::CLAIMS;
use crate::journey::{FUNCTIONS, LEASES, SNAPSHOTS};
use crate::shared::{PATIENCE, say};
use crate::volumes::{ATTACHMENTS, claim, of_claim, of_snapshot};

/// Whose csi-provisioner and csi-attacher play.
pub(super) type Pair = [Side; 2];
/// Their places in [`FUNCTIONS`] and [`LEASES`].
const PAIR: std::ops::Range<usize> = 3..5;
/// Empty volumes, besides one that is restored and one that is cloned.
const EMPTY: usize = COUNT - 2;
const CREATIONS: [&str; 2] = ["CreateVolume", "CopyVolumes"];
/// Upstream's csi-provisioner looks at its copy of the PersistentVolumes to see whether it has made the one of a claim. Where it
/// handles a change of the claim before the copy has it, it asks for the same volume again, by the same client token.
const AGAIN: usize = COUNT + 1;

impl Mixed {
    /// Starts csi-provisioner and csi-attacher.
    pub(super) async fn start_pair(&self, pair: Pair) -> Vec<Process> {
        let started = FUNCTIONS[PAIR].iter().zip(pair).map(|(name, side)| {
            let launch = self.launch(name, side).args(self.flags(name));
            self.stage.suite.start(&launch).unwrap()
        });
        let processes = started.collect();
        for lease in &LEASES[PAIR] {
            self.stage.has_leader(lease).await;
        }
        processes
    }

    /// The node goes, and all programs were there to the end.
    pub(super) async fn end_volumes(
        self,
        (cast, controllers): (Cast, Vec<Process>),
        (pair, sidecars): (Pair, Vec<Process>),
        driver: Process,
    ) {
        let kubectl = self.plane.kubectl();
        kubectl.ok(&["delete", "pvc", "--all", "--timeout=120s"]).unwrap();
        self.stage.nothing_made().await;
        self.stage.clear(&self.plane).await;
        self.stage.clear_node().await;
        end(&pair, sidecars).await;
        self.end(cast, controllers, driver).await;
    }

    /// The pair ends, and that of one side comes instead.
    async fn exchange_pair(&self, running: Vec<Process>, side: Side) -> Vec<Process> {
        for mut process in running {
            process.terminate(Duration::from_secs(90)).await.unwrap();
        }
        self.start_pair([side; 2]).await
    }

    /// A class, and a snapshot of a volume of it that stays.
    async fn furnish_volumes(&self) {
        let parameters = json!({ "type": "gp3" });
        self.stage.storage_class(&parameters).await;
        self.stage.make(CLAIMS, &claim("first", None)).await;
        self.stage.bound("first").await;
        let snapshot = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": { "name": "of-first" },
            "spec": {
                "source": { "persistentVolumeClaimName": "first" },
                "volumeSnapshotClassName": "csi-aws-vsc",
            },
        });
        self.stage.make(SNAPSHOTS, &snapshot).await;
        self.stage.all_ready(1).await;
    }

    async fn ask_for_volumes(&self) {
        for number in 0..EMPTY {
            let name = format!("empty-{number}");
            self.stage.make(CLAIMS, &claim(&name, None)).await;
        }
        for (name, source) in [
            ("restored", of_snapshot("of-first")),
            ("cloned", of_claim("first")),
        ] {
            self.stage.make(CLAIMS, &claim(name, source)).await;
        }
    }

    /// All claims are bound, each to an EBS volume of its own, and there are no others. The names of the PersistentVolumes but
    /// the first one's.
    async fn volumes_are_whole(&self) -> Vec<String> {
        let (mut handles, mut names) = (Vec::new(), Vec::new());
        let empty = (0..EMPTY).map(|number| format!("empty-{number}"));
        for name in empty.chain(["first", "restored", "cloned"].map(str::to_owned)) {
            let (handle, volume) = self.stage.bound(&name).await;
            handles.push(handle);
            if name != "first" {
                names.push(volume);
            }
        }
        handles.sort_unstable();
        assert_eq!(self.stage.made(), handles, "one EBS volume a claim");
        names
    }

    /// EC2 was asked so for each of these volumes once, but for at most so many once more.
    fn once_each(&self, actions: &[&str], volumes: usize, again: usize) {
        let counts = self.stage.ec2.counts().unwrap();
        let asked: u64 = actions.iter().filter_map(|action| counts.get(*action)).sum();
        let asked = usize::try_from(asked).unwrap();
        assert!(
            (volumes..=volumes + again).contains(&asked),
            "{actions:?}: {counts:?}"
        );
    }

    async fn ask_to_attach(&self, volumes: &[String]) {
        for (number, volume) in volumes.iter().enumerate() {
            self.stage.ask_to_attach(&attachment(number), volume).await;
        }
    }

    async fn ask_to_detach(&self) {
        for number in 0..COUNT {
            self.stage
                .remove(&format!("{ATTACHMENTS}/{}", attachment(number)))
                .await;
        }
    }

    async fn volumes_are_attached(&self) {
        self.stage.all_attached(COUNT).await;
        self.once_each(&["AttachVolume"], COUNT, 0);
    }

    async fn volumes_are_detached(&self, again: usize) {
        self.stage.all_detached().await;
        self.once_each(&["DetachVolume"], COUNT, again);
    }

    /// All claims but the first one.
    async fn ask_to_delete(&self) {
        let empty = (0..EMPTY).map(|number| format!("empty-{number}"));
        for name in empty.chain(["restored", "cloned"].map(str::to_owned)) {
            self.stage.remove(&format!("{CLAIMS}/{name}")).await;
        }
    }

    async fn volumes_are_deleted(&self) {
        let first = self.stage.bound("first").await.0;
        until("the EBS volumes are gone", PATIENCE, async || {
            (self.stage.made() == [first.as_str()]).then_some(())
        })
        .await
        .unwrap();
    }
}

fn attachment(number: usize) -> String {
    format!("attachment-{number}")
}

/// One cast from the claims to their end.
async fn volume_story(title: &str, cast: Cast, pair: Pair) {
    let Some(mixed) = Mixed::new(title).await else {
        return;
    };
    let driver = mixed.stage.driver();
    mixed.stage.node().await;
    let sidecars = mixed.start_pair(pair).await;
    let controllers = mixed.start(cast).await;
    mixed.furnish_volumes().await;

    let begin = mixed.stage.begin();
    mixed.ask_for_volumes().await;
    let volumes = mixed.volumes_are_whole().await;
    let again = if pair[0] == Ours { 0 } else { AGAIN };
    mixed.once_each(&CREATIONS, COUNT + 1, again);
    mixed.ask_to_attach(&volumes).await;
    mixed.volumes_are_attached().await;
    mixed.ask_to_detach().await;
    mixed.volumes_are_detached(0).await;
    mixed.ask_to_delete().await;
    mixed.volumes_are_deleted().await;
    let cost = mixed.stage.cost(&begin).await;
    tell(title, "a volume from its claim to its end", &cost);
    assert!(cost.events.len() >= COUNT, "{cost:#?}");
    mixed
        .end_volumes((cast, controllers), (pair, sidecars), driver)
        .await;
}

/// The pair of one side is ended while EC2 is at work, and that of the other side goes on: at the creation, the attachment, the
/// detachment and the deletion of the volumes, to and fro.
async fn volume_take_over(title: &str, first: Side, second: Side) {
    let Some(mixed) = Mixed::new(title).await else {
        return;
    };
    let stage = &mixed.stage;
    let driver = stage.driver();
    stage.node().await;
    let pair = mixed.start_pair([first; 2]).await;
    let controllers = mixed.start([second; 3]).await;
    mixed.furnish_volumes().await;

    // Ours waits for the calls that it has made. Upstream's ends, nobody hears what became of them, and they are made again.
    let again = if first == Ours { 0 } else { COUNT };
    let begun = Instant::now();
    mixed.ask_for_volumes().await;
    stage.is_called("CreateVolume", 3).await;
    let pair = mixed.exchange_pair(pair, second).await;
    let volumes = mixed.volumes_are_whole().await;
    mixed.once_each(&CREATIONS, COUNT + 1, AGAIN);
    mixed.ask_to_attach(&volumes).await;
    stage.is_called("AttachVolume", 2).await;
    let pair = mixed.exchange_pair(pair, first).await;
    mixed.volumes_are_attached().await;
    mixed.ask_to_detach().await;
    stage.is_called("DetachVolume", 2).await;
    let pair = mixed.exchange_pair(pair, second).await;
    mixed.volumes_are_detached(again).await;
    mixed.ask_to_delete().await;
    stage.is_called("DeleteVolume", 2).await;
    let pair = mixed.exchange_pair(pair, first).await;
    mixed.volumes_are_deleted().await;
    say(&format!(
        "{LAYER}: {title}: {COUNT} volumes from claim to end in {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    mixed
        .end_volumes(([second; 3], controllers), ([first; 2], pair), driver)
        .await;
}

#[tokio::test]
async fn sidecars_case_157_our_csi_provisioner_with_upstreams_others() {
    volume_story("our csi-provisioner", [Upstream; 3], [Ours, Upstream]).await;
}

#[tokio::test]
async fn sidecars_case_157_our_csi_attacher_with_upstreams_others() {
    volume_story("our csi-attacher", [Upstream; 3], [Upstream, Ours]).await;
}

#[tokio::test]
async fn sidecars_case_157_all_of_ours_make_and_attach_volumes() {
    volume_story("volumes by all of ours", [Ours; 3], [Ours; 2]).await;
}

#[tokio::test]
async fn sidecars_case_157_our_driver_with_upstreams_provisioner_and_attacher() {
    volume_story("volumes by upstream's", [Upstream; 3], [Upstream; 2]).await;
}

#[tokio::test]
async fn sidecars_case_158_volumes_are_taken_over_to_and_fro_from_upstream() {
    volume_take_over("volumes taken over", Upstream, Ours).await;
}

#[tokio::test]
async fn sidecars_case_158_volumes_are_taken_over_to_and_fro_from_ours() {
    volume_take_over("volumes taken over back", Ours, Upstream).await;
}
