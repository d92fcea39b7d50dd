//! Layer 1: what people see of the suite by the API server's own means: columns, the end of a namespace.

use conformance::{Process, until};
use serde_json::{Value, json};

use crate::expansion::{CLAIMS, VOLUMES};
use crate::journey::{CONTENTS, LEASES, OURS, SNAPSHOTS, Stage};
use crate::processes::terminate;
use crate::shared::{self, Guard, PATIENCE};

const LAYER: &str = "1 everyday";
/// The quotas of the namespace that has one, and the name by which they count VolumeSnapshots.
const QUOTAS: &str = "/api/v1/namespaces/limited/resourcequotas";
const OF_SNAPSHOTS: &str = "count/volumesnapshots.snapshot.storage.k8s.io";

/// A cluster with our programs in one process.
pub struct Scene {
    pub stage: Stage,
    process: Process,
    pub plane: Guard,
}

impl Scene {
    async fn new(name: &str) -> Option<Self> {
        Self::with_ec2(name, true).await
    }

    /// The same; all of EC2 is done at once where `instant`.
    pub async fn with_ec2(name: &str, instant: bool) -> Option<Self> {
        let plane = shared::control_plane(LAYER).await?;
        let stage = Stage::with_ec2(&plane, LAYER, name, OURS, instant).await?;
        let process = stage.one_process();
        stage.class().await;
        for lease in LEASES {
            stage.has_leader(lease).await;
        }
        Some(Self {
            plane,
            stage,
            process,
        })
    }

    async fn make(&self, path: &str, object: &Value) {
        let made = self.stage.hand.create(path, object).await.unwrap();
        made.ok(path).unwrap();
    }

    /// A claim of 4 GiB in this namespace, bound to a volume of its own.
    async fn claim(&self, namespace: &str, name: &str) {
        self.claim_of(namespace, name, 4).await;
    }

    /// The same of so many GiB.
    pub async fn claim_of(&self, namespace: &str, name: &str, gib: u32) {
        let volume = self.stage.ec2.volume("us-east-1a", gib).unwrap();
        let size = format!("{gib}Gi");
        let persistent_volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": format!("{namespace}-{name}") },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "capacity": { "storage": size }, "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain",
                "csi": { "driver": "ebs.csi.aws.com", "fsType": "ext4", "volumeHandle": volume },
            },
        });
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": size } },
                "storageClassName": "", "volumeName": format!("{namespace}-{name}"),
            },
        });
        let claims = CLAIMS.replace("default", namespace);
        self.make(VOLUMES, &persistent_volume).await;
        self.make(&claims, &claim).await;
        until("the claim is bound", PATIENCE, async || {
            let claim = self.stage.hand.find(&format!("{claims}/{name}")).await.ok()??;
            (claim["status"]["phase"] == "Bound").then_some(())
        })
        .await
        .unwrap();
    }

    pub async fn is_ready(&self, namespace: &str, name: &str) {
        let path = format!("{}/{name}", SNAPSHOTS.replace("default", namespace));
        until(&format!("{name} is ready"), PATIENCE, async || {
            let snapshot = self.stage.hand.find(&path).await.ok()??;
            (snapshot["status"]["readyToUse"] == true).then_some(())
        })
        .await
        .unwrap();
    }

    /// Waits until the quota says that so many VolumeSnapshots are used.
    async fn counts(&self, number: &str) {
        until(&format!("{number} are counted"), PATIENCE, async || {
            let quota = self.stage.hand.find(&format!("{QUOTAS}/limits")).await.ok()??;
            (quota["status"]["used"][OF_SNAPSHOTS] == number).then_some(())
        })
        .await
        .unwrap();
    }

    pub async fn ends(self) {
        self.stage.clear(&self.plane).await;
        terminate([self.process]).await;
    }
}

fn snapshot(name: &str, claim: &str, class: &str) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": { "name": name },
        "spec": { "source": { "persistentVolumeClaimName": claim }, "volumeSnapshotClassName": class },
    })
}

/// The cells of the only row that kubectl prints, by their column.
fn cells(printed: &str) -> Vec<(String, String)> {
    let mut lines = printed.lines();
    let (header, row) = (lines.next().unwrap(), lines.next().unwrap());
    assert_eq!(lines.next(), None, "{printed}");
    let words: Vec<&str> = header.split_whitespace().collect();
    // A name may be the end of another one: each begins behind the one before.
    let mut behind = 0;
    let begins: Vec<usize> = words
        .iter()
        .map(|word| {
            let begin = behind + header[behind..].find(word).unwrap();
            behind = begin + word.len();
            begin
        })
        .collect();
    let ends = begins.iter().skip(1).copied().chain([row.len()]);
    let cell = |(begin, end): (&usize, usize)| row[*begin..end.min(row.len())].trim().to_owned();
    let values = begins.iter().zip(ends).map(cell);
    words.iter().map(|word| (*word).to_owned()).zip(values).collect()
}

#[tokio::test]
async fn journeys_case_10_the_columns_of_a_snapshot_and_of_its_content() {
    let Some(scene) = Scene::new("columns").await else {
        return;
    };
    scene.claim("default", "data").await;
    scene.make(SNAPSHOTS, &snapshot("s", "data", "csi-aws-vsc")).await;
    scene.is_ready("default", "s").await;
    let kubectl = scene.plane.kubectl();
    let of_snapshot = cells(&kubectl.ok(&["get", "vs", "-o", "wide"]).unwrap());
    let of_content = cells(&kubectl.ok(&["get", "vsc"]).unwrap());
    let names = |row: &[(String, String)]| {
        row.iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        names(&of_snapshot),
        "NAME READYTOUSE SOURCEPVC SOURCESNAPSHOTCONTENT RESTORESIZE SNAPSHOTCLASS SNAPSHOTCONTENT CREATIONTIME AGE"
    );
    assert_eq!(
        names(&of_content),
        "NAME READYTOUSE RESTORESIZE DELETIONPOLICY DRIVER VOLUMESNAPSHOTCLASS VOLUMESNAPSHOT VOLUMESNAPSHOTNAMESPACE AGE"
    );
    let value =
        |row: &[(String, String)], name: &str| row.iter().find(|(is, _)| is == name).unwrap().1.clone();
    for (name, expected) in [
        ("NAME", "s"),
        ("READYTOUSE", "true"),
        ("SOURCEPVC", "data"),
        ("SOURCESNAPSHOTCONTENT", ""),
        ("RESTORESIZE", "4Gi"),
        ("SNAPSHOTCLASS", "csi-aws-vsc"),
    ] {
        assert_eq!(value(&of_snapshot, name), expected, "{name}");
    }
    for (name, expected) in [
        ("READYTOUSE", "true"),
        ("RESTORESIZE", "4294967296"),
        ("DELETIONPOLICY", "Delete"),
        ("DRIVER", "ebs.csi.aws.com"),
        ("VOLUMESNAPSHOT", "s"),
        ("VOLUMESNAPSHOTNAMESPACE", "default"),
    ] {
        assert_eq!(value(&of_content, name), expected, "{name}");
    }
    assert_eq!(value(&of_snapshot, "SNAPSHOTCONTENT"), value(&of_content, "NAME"));
    scene.ends().await;
}

#[tokio::test]
async fn journeys_case_45_a_namespace_goes_with_its_snapshots_and_by_their_policy() {
    let Some(scene) = Scene::new("namespace").await else {
        return;
    };
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "leaving" } });
    scene.make("/api/v1/namespaces", &namespace).await;
    let retain = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass", "metadata": { "name": "retain" },
        "driver": "ebs.csi.aws.com", "deletionPolicy": "Retain",
    });
    scene
        .make("/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses", &retain)
        .await;
    let snapshots = SNAPSHOTS.replace("default", "leaving");
    for class in ["csi-aws-vsc", "retain"] {
        scene.claim("leaving", class).await;
        scene.make(&snapshots, &snapshot(class, class, class)).await;
        scene.is_ready("leaving", class).await;
    }
    let kubectl = scene.plane.kubectl();
    kubectl
        .ok(&["delete", "namespace", "leaving", "--timeout=120s"])
        .unwrap();
    let kept = scene.stage.list(CONTENTS).await.unwrap();
    let handles: Vec<&str> = kept
        .iter()
        .map(|content| content["status"]["snapshotHandle"].as_str().unwrap())
        .collect();
    assert_eq!(handles.len(), 1, "{kept:?}");
    assert_eq!(scene.stage.snapshots_in_ec2(), handles);
    assert_eq!(kept[0]["spec"]["deletionPolicy"], "Retain");
    // The snapshot of a retained content is nobody's any more.
    let name = kept[0]["metadata"]["name"].as_str().unwrap();
    let delete = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
    kubectl
        .ok(&[
            "patch",
            "volumesnapshotcontent",
            name,
            "--type=merge",
            "-p",
            delete,
        ])
        .unwrap();
    scene.ends().await;
}

#[tokio::test]
async fn journeys_case_44_a_third_snapshot_is_refused_by_the_quota_and_nothing_is_made_of_it() {
    let Some(scene) = Scene::new("quota").await else {
        return;
    };
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "limited" } });
    scene.make("/api/v1/namespaces", &namespace).await;
    let limits = json!({ "metadata": { "name": "limits" }, "spec": { "hard": { OF_SNAPSHOTS: "2" } } });
    scene.make(QUOTAS, &limits).await;
    scene.counts("0").await;
    scene.claim("limited", "data").await;
    let snapshots = SNAPSHOTS.replace("default", "limited");
    for name in ["one", "two"] {
        scene
            .make(&snapshots, &snapshot(name, "data", "csi-aws-vsc"))
            .await;
        scene.is_ready("limited", name).await;
    }
    scene.counts("2").await;
    let third = snapshot("three", "data", "csi-aws-vsc");
    let refused = scene.stage.hand.create(&snapshots, &third).await.unwrap();
    let says = format!(
        "volumesnapshots.snapshot.storage.k8s.io \"three\" is forbidden: exceeded quota: limits, requested: \
         {OF_SNAPSHOTS}=1, used: {OF_SNAPSHOTS}=2, limited: {OF_SNAPSHOTS}=2"
    );
    assert_eq!((refused.status, refused.message()), (403, says));
    let made = scene
        .stage
        .hand
        .find(&format!("{snapshots}/three"))
        .await
        .unwrap();
    assert_eq!(made, None);
    let contents = scene.stage.list(CONTENTS).await.unwrap();
    assert_eq!((contents.len(), scene.stage.snapshots_in_ec2().len()), (2, 2));
    // The place of one that goes is free.
    let delete = [
        "delete",
        "volumesnapshot",
        "one",
        "-n",
        "limited",
        "--timeout=120s",
    ];
    scene.plane.kubectl().ok(&delete).unwrap();
    scene.counts("1").await;
    until("there is room", PATIENCE, async || {
        let made = scene.stage.hand.create(&snapshots, &third).await.ok()?;
        (made.status == 201).then_some(())
    })
    .await
    .unwrap();
    scene.is_ready("limited", "three").await;
    let delete = ["delete", "namespace", "limited", "--timeout=120s"];
    scene.plane.kubectl().ok(&delete).unwrap();
    scene.ends().await;
}
