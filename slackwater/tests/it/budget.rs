//! Exact counts of API requests, events and EC2 calls (decisions 12 and 13; `docs/requests.md`).

use std::time::Duration;

use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use sandbox::kube::{AuditRecord, Denial};
use serde_json::Value;

use crate::fleet::Process;
use crate::world::{VOLUMES, World};

/// The requests of the controllers since some point.
struct Spent {
    requests: Vec<AuditRecord>,
}

impl Spent {
    fn since(world: &World, number: u64) -> Self {
        let requests = world.api.audit_since(number);
        let requests = requests
            .into_iter()
            .filter(|request| !matches!(request.verb, "list" | "watch"))
            .collect();
        Self { requests }
    }

    /// `verb resource[/subresource]` of all that is no event, sorted.
    fn work(&self) -> Vec<String> {
        let mut work: Vec<String> = self
            .requests
            .iter()
            .filter(|request| request.resource != "events")
            .map(|request| {
                let separator = if request.subresource.is_empty() { "" } else { "/" };
                format!(
                    "{} {}{separator}{}",
                    request.verb, request.resource, request.subresource
                )
            })
            .collect();
        work.sort();
        work
    }

    fn events(&self) -> usize {
        self.requests
            .iter()
            .filter(|request| request.resource == "events")
            .count()
    }

    fn refused(&self) -> Vec<&AuditRecord> {
        self.requests
            .iter()
            .filter(|request| request.code >= 400)
            .collect()
    }
}

fn sorted(rows: &[&str]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    rows.sort();
    rows
}

/// What a dynamic snapshot costs that is ready at once.
const CREATION: [&str; 9] = [
    "patch volumesnapshots",
    "patch persistentvolumeclaims",
    "create volumesnapshotcontents",
    "patch volumesnapshots/status",
    "patch volumesnapshotcontents",
    "patch volumesnapshotcontents/status",
    "patch volumesnapshotcontents",
    "patch volumesnapshots/status",
    "patch persistentvolumeclaims",
];

async fn started(options: Ec2Options) -> (World, Process) {
    let world = World::new(7, options).await;
    let process = world.start(Faults::none()).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    (world, process)
}

/// The number of the last request, to count from.
fn now(world: &World) -> u64 {
    world.api.audit().last().map_or(0, |request| request.number)
}

/// Lets late events and clean-up come.
async fn quiet() {
    tokio::time::sleep(Duration::from_secs(100)).await;
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_19_20_a_snapshot_ready_at_once_costs_nine_requests_and_three_events() {
    let (world, _process) = started(Ec2Options::instant()).await;
    let begun = now(&world);
    world.create_snapshot("s", "p", "delete");
    world.until("ready", |world| world.is_ready("s")).await;
    quiet().await;
    let spent = Spent::since(&world, begun);
    assert_eq!(spent.work(), sorted(&CREATION));
    assert_eq!(spent.events(), 3);
    assert_eq!(spent.refused(), Vec::<&AuditRecord>::new());
    assert_eq!(world.ec2.count("CreateSnapshot"), 1);
    let snapshot = world.snapshot("s").unwrap();
    assert_eq!(snapshot["status"]["restoreSize"], "10Gi");
    assert!(snapshot["status"]["creationTime"].is_string());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_20_upstreams_role_costs_ten_requests_with_one_get() {
    let world = World::new(7, Ec2Options::instant()).await;
    world
        .api
        .deny("snapshot-controller", Denial::of("patch", crate::world::CLAIMS));
    let _process = world.start(Faults::none()).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let begun = now(&world);
    world.create_snapshot("s", "p", "delete");
    world.until("ready", |world| world.is_ready("s")).await;
    quiet().await;
    let spent = Spent::since(&world, begun);
    let work = spent.work();
    assert_eq!(work.len(), 10, "{work:?}");
    assert_eq!(
        work.iter().filter(|request| request.starts_with("get ")).count(),
        1,
        "{work:?}"
    );
    assert_eq!(
        work.iter()
            .filter(|request| *request == "update persistentvolumeclaims")
            .count(),
        2,
        "{work:?}"
    );
    assert_eq!(spent.refused(), Vec::<&AuditRecord>::new());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_26_readiness_that_comes_later_costs_two_more_and_no_poll_costs_any() {
    let mut options = Ec2Options::instant();
    options.timing.snapshot = Duration::from_secs(60);
    let (world, _process) = started(options).await;
    let begun = now(&world);
    world.create_snapshot("s", "p", "delete");
    tokio::time::sleep(Duration::from_secs(20)).await;
    let bound = Spent::since(&world, begun).work().len();
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(
        Spent::since(&world, begun).work().len(),
        bound,
        "a poll that changes nothing writes nothing"
    );
    assert!(world.snapshot("s").unwrap()["status"]["creationTime"].is_string());
    world.until("ready", |world| world.is_ready("s")).await;
    quiet().await;
    let spent = Spent::since(&world, begun);
    let expected = [
        CREATION.as_slice(),
        &[
            "patch volumesnapshotcontents/status",
            "patch volumesnapshots/status",
        ],
    ];
    assert_eq!(spent.work(), sorted(&expected.concat()));
    assert_eq!(spent.events(), 3);
    assert_eq!(world.ec2.count("CreateSnapshot"), 1);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_58_a_deletion_costs_four_requests() {
    let (world, _process) = started(Ec2Options::instant()).await;
    world.create_snapshot("s", "p", "delete");
    world.until("ready", |world| world.is_ready("s")).await;
    quiet().await;
    let begun = now(&world);
    world.delete_snapshot("s");
    world.until("gone", |world| world.snapshot("s").is_none()).await;
    quiet().await;
    let spent = Spent::since(&world, begun);
    let expected = [
        "patch volumesnapshotcontents",
        "delete volumesnapshotcontents",
        "patch volumesnapshotcontents",
        "patch volumesnapshots",
    ];
    assert_eq!(spent.work(), sorted(&expected));
    assert_eq!(world.ec2_snapshots(), Vec::new());
    assert_eq!(world.ec2.count("DeleteSnapshot"), 1);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_59_a_retained_deletion_leaves_the_content_and_the_snapshot() {
    let (world, _process) = started(Ec2Options::instant()).await;
    world.create_snapshot("s", "p", "retain");
    world.until("ready", |world| world.is_ready("s")).await;
    quiet().await;
    let begun = now(&world);
    world.delete_snapshot("s");
    world.until("gone", |world| world.snapshot("s").is_none()).await;
    quiet().await;
    assert_eq!(
        Spent::since(&world, begun).work(),
        sorted(&["patch volumesnapshotcontents", "patch volumesnapshots"])
    );
    assert_eq!((world.contents().len(), world.ec2_snapshots().len()), (1, 1));
    assert_eq!(world.ec2.count("DeleteSnapshot"), 0);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_76_an_import_costs_at_most_five_requests() {
    let (world, _process) = started(Ec2Options::instant()).await;
    let handle = world.ec2.create_snapshot_fixture(&world.volume, &[]).unwrap();
    let begun = now(&world);
    world.import_snapshot("s", &handle, "Retain");
    world.until("ready", |world| world.is_ready("s")).await;
    quiet().await;
    let work = Spent::since(&world, begun).work();
    assert!(work.len() <= 5, "{work:?}");
    assert!(
        !work.iter().any(|request| request.starts_with("get ")),
        "{work:?}"
    );
    assert_eq!(world.ec2.count("CreateSnapshot"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_resync_costs_nothing() {
    let (world, _process) = started(Ec2Options::instant()).await;
    world.create_snapshot("s", "p", "delete");
    world.until("ready", |world| world.is_ready("s")).await;
    quiet().await;
    let (begun, calls) = (now(&world), world.ec2.calls().len());
    tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
    assert_eq!(Spent::since(&world, begun).work(), Vec::<String>::new());
    assert_eq!(world.ec2.calls().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_90_a_restart_with_ready_snapshots_writes_nothing() {
    let (world, process) = started(Ec2Options::instant()).await;
    for number in 0..20 {
        world.create_snapshot(&format!("s{number}"), "p", "delete");
    }
    world
        .until("ready", |world| {
            (0..20).all(|number| world.is_ready(&format!("s{number}")))
        })
        .await;
    quiet().await;
    drop(process);
    let begun = now(&world);
    let _process = world.start(Faults::none()).await;
    quiet().await;
    assert_eq!(
        Spent::since(&world, begun).work(),
        // May claims be patched, attributes classes listed and watched, by the resizer and the provisioner; by the latter
        // snapshots and contents? Which kinds are served, of storage to both, of snapshots?
        [vec!["create selfsubjectaccessreviews"; 9], vec!["get "; 3],].concat(),
        "beyond lists and watches"
    );
}

/// Seconds from the creation until it is seen ready, of a snapshot that EC2 finishes after so many.
async fn seen_ready(finished: u64) -> u64 {
    let mut options = Ec2Options::instant();
    options.timing.snapshot = Duration::from_secs(finished);
    let (world, _process) = started(options).await;
    world.create_snapshot("s", "p", "delete");
    let begun = tokio::time::Instant::now();
    world.until("ready", |world| world.is_ready("s")).await;
    begun.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_26_readiness_is_noticed_within_five_seconds_or_a_tenth_of_the_age() {
    for finished in [2, 12, 25, 72, 300, 1800] {
        let seen = seen_ready(finished).await;
        let late = seen.saturating_sub(finished);
        assert!(
            late <= 5.max(finished / 10),
            "finished after {finished} s, seen after {seen} s"
        );
    }
}

/// Fifty snapshots begin within twenty seconds: whoever is polled, EC2 is asked for all once in the time that
/// an answer counts for the youngest.
#[tokio::test(start_paused = true)]
async fn snapshot_case_26_merged_polls_cost_one_call_a_window() {
    let mut options = Ec2Options::instant();
    options.timing.snapshot = Duration::from_secs(900);
    options.rules.pending_snapshots = false;
    let (world, _process) = started(options).await;
    for number in 0..50 {
        world.create_snapshot(&format!("s{number}"), "p", "delete");
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    // An answer counts for five seconds from the age of fifty on.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let begun = world.ec2.count("DescribeSnapshots");
    tokio::time::sleep(Duration::from_secs(600)).await;
    let calls = world.ec2.count("DescribeSnapshots") - begun;
    assert!(
        calls <= 600 / 5,
        "{calls} calls in 600 s for 50 pending snapshots"
    );
}

#[tokio::test(start_paused = true)]
async fn polls_of_all_pending_snapshots_are_merged() {
    let mut options = Ec2Options::instant();
    options.timing.snapshot = Duration::from_secs(120);
    // All are of one volume, of which EC2 would let five be pending.
    options.rules.pending_snapshots = false;
    let (world, _process) = started(options).await;
    for number in 0..100 {
        world.create_snapshot(&format!("s{number}"), "p", "delete");
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.ec2.count("CreateSnapshot"), 100);
    let begun = world.ec2.count("DescribeSnapshots");
    world
        .until("ready", |world| {
            (0..100).all(|number| world.is_ready(&format!("s{number}")))
        })
        .await;
    let polls = world.ec2.count("DescribeSnapshots") - begun;
    // Alone each would be polled some three times more: 300 calls.
    assert!(polls <= 120, "{polls} calls for 100 snapshots");
    assert_eq!(world.ec2.count("CreateSnapshot"), 100);
}

/// What an expansion costs with a stage on the node, and that it is one call.
#[tokio::test(start_paused = true)]
async fn resize_an_expansion_costs_four_requests_two_events_and_one_call() {
    let (world, process) = started(Ec2Options::instant()).await;
    let begun = now(&world);
    world.expand("p", "12Gi");
    world
        .until("expanded", |world| world.is_expanded("p", "12Gi"))
        .await;
    quiet().await;
    let spent = Spent::since(&world, begun);
    let expected = [
        "patch persistentvolumeclaims/status",
        "patch persistentvolumes",
        "patch persistentvolumeclaims/status",
        "patch persistentvolumes",
    ];
    assert_eq!(spent.work(), sorted(&expected));
    assert_eq!(spent.events(), 2);
    assert_eq!(spent.refused(), Vec::<&AuditRecord>::new());
    assert_eq!(expansions(&process), 1);
    assert_eq!(world.ec2_size(), 12);
}

/// What a change by class costs: the mark, the volume, the claim; and it is one call.
#[tokio::test(start_paused = true)]
async fn resize_case_79_a_change_by_class_costs_three_requests_two_events_and_one_call() {
    let (world, process) = started(Ec2Options::instant()).await;
    let begun = now(&world);
    world.want_class("p", "fast");
    world.until("changed", |world| world.is_fast("p")).await;
    quiet().await;
    let spent = Spent::since(&world, begun);
    let expected = [
        "patch persistentvolumeclaims/status",
        "patch persistentvolumes",
        "patch persistentvolumeclaims/status",
    ];
    assert_eq!(spent.work(), sorted(&expected));
    assert_eq!(spent.events(), 2);
    assert_eq!(spent.refused(), Vec::<&AuditRecord>::new());
    assert_eq!(calls_of(&process, "ControllerModifyVolume"), 1);
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
}

/// A new size and a new class at once: one mark, one call of EC2.
#[tokio::test(start_paused = true)]
async fn resize_case_97_a_size_and_a_class_at_once_are_one_modification() {
    let (world, process) = started(Ec2Options::instant()).await;
    let begun = now(&world);
    let both = |claim: &mut Value| {
        claim["spec"]["resources"]["requests"]["storage"] = "12Gi".into();
        claim["spec"]["volumeAttributesClassName"] = "fast".into();
    };
    world
        .store()
        .update(crate::world::CLAIMS, "ns", "p", both)
        .unwrap();
    let done = |world: &World| world.is_fast("p") && world.is_expanded("p", "12Gi");
    world.until("grown and changed", done).await;
    quiet().await;
    let spent = Spent::since(&world, begun);
    let expected = [
        // Both marks.
        "patch persistentvolumeclaims/status",
        "patch persistentvolumes",
        "patch persistentvolumes",
        "patch persistentvolumeclaims/status",
        "patch persistentvolumeclaims/status",
        // The annotation, once the node is done.
        "patch persistentvolumes",
    ];
    assert_eq!(spent.work(), sorted(&expected));
    assert_eq!(spent.events(), 4);
    assert_eq!(spent.refused(), Vec::<&AuditRecord>::new());
    assert_eq!(
        (expansions(&process), calls_of(&process, "ControllerModifyVolume")),
        (1, 1)
    );
    assert_eq!(world.ec2.count("ModifyVolume"), 1);
}

/// Without a stage on the node nothing has to be kept for it.
#[tokio::test(start_paused = true)]
async fn resize_an_expansion_of_a_block_volume_costs_three_requests() {
    let (world, process) = started(Ec2Options::instant()).await;
    let volume = world.ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    world.add_claim("b", &volume, "Block");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let begun = now(&world);
    world.expand("b", "12Gi");
    world
        .until("expanded", |world| world.is_expanded("b", "12Gi"))
        .await;
    quiet().await;
    let spent = Spent::since(&world, begun);
    let expected = [
        "patch persistentvolumeclaims/status",
        "patch persistentvolumes",
        "patch persistentvolumeclaims/status",
    ];
    assert_eq!(spent.work(), sorted(&expected));
    assert_eq!((spent.events(), expansions(&process)), (2, 1));
}

fn expansions(process: &Process) -> usize {
    calls_of(process, "ControllerExpandVolume")
}

fn calls_of(process: &Process, rpc: &str) -> usize {
    let calls = process.faults.calls();
    let of_rpc = |call: &&str| call.rsplit('/').next() == Some(rpc);
    calls
        .iter()
        .map(|(call, _)| call.name.as_str())
        .filter(of_rpc)
        .count()
}

/// Many at once share their questions to EC2: it is asked for the change of each, and for all of them together how
/// far they are.
#[tokio::test(start_paused = true)]
async fn resize_100_expansions_cost_at_most_220_ec2_calls() {
    let (world, process) = started(Ec2Options::default()).await;
    let names: Vec<String> = (0..100).map(|number| format!("c{number}")).collect();
    for name in &names {
        let volume = world.ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
        world.add_claim(name, &volume, "Filesystem");
    }
    quiet().await;
    let begun = world.ec2.calls().len();
    names.iter().for_each(|name| world.expand(name, "12Gi"));
    let all = |world: &World| names.iter().all(|name| world.is_expanded(name, "12Gi"));
    world.until("expanded", all).await;
    quiet().await;
    let spent = world.ec2.calls().len() - begun;
    assert_eq!(world.ec2.count("ModifyVolume"), 100);
    assert_eq!(expansions(&process), 100);
    assert!(spent <= 220, "{spent} calls for 100 expansions");
}

/// Volumes of others: the first attachment of each also writes the finalizer.
#[tokio::test(start_paused = true)]
async fn sidecars_case_155_100_attachments_cost_two_requests_each_and_share_their_questions_to_ec2() {
    let (world, process) = started(Ec2Options::default()).await;
    let nodes: Vec<String> = (0..5).map(|number| format!("node-{number}")).collect();
    nodes.iter().for_each(|node| drop(world.add_node(node)));
    let names: Vec<String> = (0..100).map(|number| format!("c{number}")).collect();
    for name in &names {
        let volume = world.ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
        world.add_claim(name, &volume, "Filesystem");
        let kept = |volume: &mut Value| {
            volume["metadata"]["finalizers"]
                .as_array_mut()
                .unwrap()
                .push("external-attacher/ebs-csi-aws-com".into());
        };
        let volume = format!("pv-{name}");
        world.store().update(VOLUMES, "", &volume, kept).unwrap();
    }
    quiet().await;
    let (begun, mark) = (world.ec2.calls().len(), now(&world));
    for (number, name) in names.iter().enumerate() {
        world.attach(name, &nodes[number % nodes.len()]);
    }
    let all = |world: &World| names.iter().all(|name| world.is_attached(name));
    world.until("attached", all).await;
    quiet().await;
    let spent = Spent::since(&world, mark);
    assert_eq!(spent.work().len(), 200);
    assert_eq!((spent.events(), spent.refused().len()), (0, 0));
    assert_eq!(calls_of(&process, "ControllerPublishVolume"), 100);
    let calls = world.ec2.calls().len() - begun;
    assert!(world.ec2.count("AttachVolume") <= 110, "{:?}", world.ec2.counts());
    assert!(
        calls <= 220,
        "{calls} calls for 100 attachments: {:?}",
        world.ec2.counts()
    );

    let (begun, mark) = (world.ec2.calls().len(), now(&world));
    names.iter().for_each(|name| world.detach(name));
    let none = |world: &World| names.iter().all(|name| world.attachment(name).is_none());
    world.until("detached", none).await;
    quiet().await;
    let spent = Spent::since(&world, mark);
    assert_eq!(spent.work(), vec!["patch volumeattachments"; 100]);
    assert_eq!((spent.events(), spent.refused().len()), (0, 0));
    assert_eq!(calls_of(&process, "ControllerUnpublishVolume"), 100);
    let calls = world.ec2.calls().len() - begun;
    assert_eq!(world.done("DetachVolume"), 100);
    assert!(
        calls <= 220,
        "{calls} calls for 100 detachments: {:?}",
        world.ec2.counts()
    );
}
