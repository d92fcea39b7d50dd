//! Volumes of this cluster that nobody owns are counted and named, by one process with the driver, and never deleted
//! (sidecars.md Q5).

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Scope;
use base::args::LogArgs;
use prometheus::Registry;
use sandbox::ec2::{CallRecord, Ec2Options, When};
use sandbox::faults::Faults;
use serde_json::{Value, json};
use slackwater::controller::Function;

use crate::fleet::Process;
use crate::former;
use crate::lifecycle::{create_claim, made};
use crate::world::{CLAIMS, VOLUMES, World};

const CLUSTER: &str = "--driver.k8s-tag-cluster-id=c1";
const HOUR: Duration = Duration::from_secs(3600);
/// Until a look and its confirmation are over.
const LOOKED: Duration = Duration::from_secs(120);

/// A process with all functions, and the metrics of the one that looks.
struct Looking {
    _process: Process,
    registry: Registry,
}

impl Looking {
    async fn start(world: &World, faults: Faults, flags: &[&str]) -> Self {
        let scope: Scope = world.scope.child();
        let outside = world.outside(&Function::ALL, &faults, "replica", &scope);
        let registry = outside.registries[&Function::named("csi-provisioner").unwrap()].clone();
        let process = world
            .start_reaching(outside, &Function::ALL, faults, flags, scope)
            .await;
        Self {
            _process: process,
            registry,
        }
    }

    /// How many there are; none where nobody has looked.
    fn count(&self) -> Option<i64> {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "slackwater_orphan_volumes")?;
        let series = family.get_metric();
        assert_eq!(series.len(), 1);
        assert_eq!(series[0].get_label()[0].value(), "ebs.csi.aws.com");
        Some(series[0].get_gauge().get_value() as i64)
    }
}

/// The pages of volumes that were asked for.
fn pages(world: &World) -> usize {
    let calls = world.ec2.calls();
    let is_page = |call: &&CallRecord| {
        call.parameters
            .get("Filter.2.Name")
            .is_some_and(|name| name == "tag-key")
    };
    calls.iter().filter(is_page).count()
}

/// A volume that was made for a cluster under a name.
fn volume(world: &World, cluster: &str, name: &str) -> String {
    let cluster = format!("kubernetes.io/cluster/{cluster}");
    let mut tags = vec![("ebs.csi.aws.com/cluster", "true"), (cluster.as_str(), "owned")];
    if !name.is_empty() {
        tags.push(("CSIVolumeName", name));
    }
    world.ec2.create_volume_fixture("us-east-1a", 4, &tags).unwrap()
}

fn persistent_volume(world: &World, name: &str, source: &Value) {
    let mut volume = json!({
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "4Gi" }, "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "none",
        },
    });
    for (kind, source) in source.as_object().unwrap() {
        volume["spec"][kind] = source.clone();
    }
    world.store().create(VOLUMES, volume).unwrap();
}

fn csi(handle: &str) -> Value {
    json!({ "csi": { "driver": "ebs.csi.aws.com", "volumeHandle": handle } })
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines that name volumes without an owner.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.contains("docs/runbooks/OrphanVolumes.md"));
        lines.map(str::to_owned).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_163_volumes_that_nobody_owns_are_counted_named_and_left() {
    let world = World::new(7, Ec2Options::default()).await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = base::logging::subscriber(&LogArgs::default(), &world.clock, move || writer.clone());
    let _logging = tracing::subscriber::set_default(subscriber);
    let nobodys = volume(&world, "c1", "pvc-nobody");
    let retained = volume(&world, "c1", "pvc-retained");
    persistent_volume(&world, "pvc-retained", &csi(&retained));
    let doubled = volume(&world, "c1", "pvc-retained");
    persistent_volume(&world, "renamed", &csi(&volume(&world, "c1", "pvc-renamed")));
    let in_tree = format!("aws://us-east-1a/{}", volume(&world, "c1", "pvc-in-tree"));
    persistent_volume(
        &world,
        "in-tree",
        &json!({ "awsElasticBlockStore": { "volumeID": in_tree } }),
    );
    // Its class is missing, so that it waits.
    create_claim(&world, "waiting", "absent", &Value::Null);
    let uid = world.claim("waiting").unwrap()["metadata"]["uid"].clone();
    volume(&world, "c1", &format!("pvc-{}", uid.as_str().unwrap()));
    volume(&world, "c2", "pvc-elsewhere");
    volume(&world, "c1", "");
    let there = world.ec2.state().volumes.len();
    let looking = Looking::start(&world, Faults::none(), &[CLUSTER]).await;
    tokio::time::sleep(LOOKED).await;
    assert_eq!((looking.count(), pages(&world)), (Some(0), 1), "they are young");
    tokio::time::sleep(HOUR).await;
    // What was found was looked for once more.
    assert_eq!((looking.count(), pages(&world)), (Some(2), 3));
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for named in [&nobodys, &doubled] {
        assert!(lines[0].contains(named.as_str()), "{lines:?}");
    }
    assert!(!lines[0].contains(&retained) && lines[0].contains("pvc-nobody, made 2026-01-01T00:00:00"));
    world.store().delete(VOLUMES, "", "pvc-retained", None).unwrap();
    tokio::time::sleep(HOUR + LOOKED).await;
    assert_eq!(looking.count(), Some(3), "one that was retained and forgotten");
    assert_eq!(
        (world.ec2.state().volumes.len(), world.done("DeleteVolume")),
        (there, 0)
    );
    for gone in [&nobodys, &doubled, &retained] {
        world.ec2.forget_volume(gone);
    }
    tokio::time::sleep(HOUR + LOOKED).await;
    assert_eq!(looking.count(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_163_a_volume_of_a_claim_that_was_deleted_while_the_process_died_is_found() {
    let world = former::world(Ec2Options::default()).await;
    former::half_made(&world, &[CLUSTER]).await;
    world.store().delete(CLAIMS, "ns", "c", None).unwrap();
    let looking = Looking::start(&world, Faults::none(), &[CLUSTER]).await;
    tokio::time::sleep(LOOKED).await;
    assert_eq!(looking.count(), Some(0));
    tokio::time::sleep(HOUR).await;
    assert_eq!((looking.count(), made(&world).len()), (Some(1), 1));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_163_many_volumes_go_by_pages_and_owned_ones_cost_one_look_an_hour() {
    let world = World::new(7, Ec2Options::default()).await;
    for number in 0..1100 {
        let name = format!("pvc-{number}");
        persistent_volume(&world, &name, &csi(&volume(&world, "c1", &name)));
    }
    let looking = Looking::start(&world, Faults::none(), &[CLUSTER]).await;
    tokio::time::sleep(LOOKED).await;
    assert_eq!((looking.count(), pages(&world)), (Some(0), 3));
    tokio::time::sleep(3 * HOUR).await;
    assert_eq!((looking.count(), pages(&world)), (Some(0), 12));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_163_nothing_is_looked_for_where_the_cluster_is_not_known_or_nobody_wants_it() {
    for flags in [
        vec![],
        vec![CLUSTER, "--csi-provisioner.orphan-volumes-interval=0s"],
    ] {
        let world = World::new(7, Ec2Options::default()).await;
        volume(&world, "c1", "pvc-nobody");
        let looking = Looking::start(&world, Faults::none(), &flags).await;
        tokio::time::sleep(2 * HOUR).await;
        assert_eq!((looking.count(), pages(&world)), (None, 0), "{flags:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_163_a_look_that_fails_is_made_again() {
    let world = World::new(7, Ec2Options::default()).await;
    let refused = sandbox::ec2::Fault::error("UnauthorizedOperation");
    world.ec2.inject("DescribeVolumes", When::Always, refused);
    let looking = Looking::start(&world, Faults::none(), &[CLUSTER]).await;
    tokio::time::sleep(LOOKED).await;
    assert_eq!(looking.count(), None);
    world.ec2.clear_faults();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(looking.count(), Some(0));
}
