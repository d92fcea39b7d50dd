//! The start-up taint and the pre-stop hook against the sandbox's API, on paused time.

use std::time::Duration;

use base::{Clock, Random, Scope};
use ebs_driver::node::cluster::drain::wait_until_detached;
use ebs_driver::node::cluster::taint::{AGENT_NOT_READY, TaintRemover};
use prometheus::Registry;
use runtime::Watches;
use sandbox::kube::{ApiServer, Denial, GroupResource};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

const NODES: GroupResource<'static> = GroupResource::new("", "nodes");
const CSI_NODES: GroupResource<'static> = GroupResource::new("storage.k8s.io", "csinodes");
const ATTACHMENTS: GroupResource<'static> = GroupResource::new("storage.k8s.io", "volumeattachments");
const USER: &str = "ebs-csi-node-sa";

struct World {
    api: ApiServer,
    client: kube::Client,
    watches: Watches,
    _scope: Scope,
}

impl World {
    fn new() -> Self {
        let scope = Scope::new();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let api = ApiServer::new(clock.clone(), Random::seeded(1), &scope);
        let client = kube::Client::new(api.service(USER), "default");
        let watches = Watches::new(client.clone(), clock, Random::seeded(2), &scope, &Registry::new());
        Self {
            api,
            client,
            watches,
            _scope: scope,
        }
    }

    fn create(&self, kind: GroupResource<'_>, object: Value) {
        self.api.store("person").create(kind, object).unwrap();
    }

    fn node(&self, taints: Value) {
        self.create(
            NODES,
            json!({"metadata": {"name": "node-1"}, "spec": {"taints": taints}}),
        );
    }

    fn taints(&self) -> Value {
        let node = self.api.store("person").get(NODES, "", "node-1").unwrap();
        node.value()["spec"]["taints"].clone()
    }

    /// CSINode of the node: with the driver, and with a limit where one is given.
    fn register(&self, count: Option<u32>) {
        let mut driver = json!({"name": "ebs.csi.aws.com", "nodeID": "i-1", "topologyKeys": null});
        if let Some(count) = count {
            driver["allocatable"] = json!({"count": count});
        }
        let store = self.api.store("kubelet");
        let object = json!({"metadata": {"name": "node-1"}, "spec": {"drivers": [driver]}});
        if let Some(there) = store.get(CSI_NODES, "", "node-1") {
            let uid = there.value()["metadata"]["uid"].as_str().unwrap().to_owned();
            store.delete(CSI_NODES, "", "node-1", Some(&uid)).unwrap();
        }
        store.create(CSI_NODES, object).unwrap();
    }

    fn remover(&self) -> TaintRemover {
        TaintRemover::new(self.client.clone(), Random::seeded(3), "node-1")
    }

    fn attach(&self, name: &str, attacher: &str, node: &str) {
        let spec = json!({"attacher": attacher, "nodeName": node, "source": {"persistentVolumeName": name}});
        self.create(ATTACHMENTS, json!({"metadata": {"name": name}, "spec": spec}));
    }

    fn detach(&self, name: &str) {
        let store = self.api.store("person");
        store.delete(ATTACHMENTS, "", name, None).unwrap();
    }

    /// Whether the pre-stop hook has ended a minute later.
    async fn hook(&self) -> bool {
        let random = Random::seeded(4);
        let hook = wait_until_detached(&self.client, &random, &self.watches, "node-1");
        timeout(Duration::from_secs(60), hook).await.is_ok()
    }

    fn requests(&self) -> Vec<String> {
        let records = self.api.audit();
        let of_us = records.iter().filter(|record| record.user == USER);
        of_us
            .map(|record| format!("{} {}", record.verb, record.resource))
            .collect()
    }
}

fn other() -> Value {
    json!({"key": "dedicated", "value": "db", "effect": "NoSchedule"})
}

fn ours() -> Value {
    json!({"key": AGENT_NOT_READY, "effect": "NoExecute"})
}

#[tokio::test(start_paused = true)]
async fn ebs_case_91_the_taint_goes_once_the_driver_is_registered() {
    let world = World::new();
    world.node(json!([other(), ours()]));
    let removing = tokio::spawn(world.remover().run(world.watches.clone()));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.taints(), json!([other(), ours()]), "no CSINode yet");
    world.register(None);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.taints(), json!([other(), ours()]), "no limit yet");
    world.register(Some(25));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(world.taints(), json!([other()]));
    assert!(!removing.is_finished());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(removing.is_finished(), "it watches for ten minutes");
    let patches = world
        .requests()
        .iter()
        .filter(|request| request.starts_with("patch"))
        .count();
    assert_eq!(patches, 1);
}

#[tokio::test(start_paused = true)]
async fn a_taint_that_comes_later_goes_too_and_a_node_without_costs_no_poll() {
    let world = World::new();
    world.node(json!([]));
    world.register(Some(25));
    let began = world.requests().len();
    let removing = tokio::spawn(world.remover().run(world.watches.clone()));
    tokio::time::sleep(Duration::from_secs(300)).await;
    let requests = world.requests().split_off(began);
    assert!(
        !requests.iter().any(|request| request.contains("csinodes")),
        "{requests:?}"
    );
    assert!(requests.len() <= 6, "{requests:?}");
    let patch = json!({"spec": {"taints": [ours()]}});
    let nodes: kube::Api<k8s_openapi::api::core::v1::Node> =
        kube::Api::all(kube::Client::new(world.api.service("person"), "default"));
    let params = kube::api::PatchParams::default();
    nodes
        .patch("node-1", &params, &kube::api::Patch::Merge(patch))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        world.taints().as_array().is_none_or(Vec::is_empty),
        "{}",
        world.taints()
    );
    drop(removing);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_the_taint_is_left_alone() {
    for verb in ["watch", "patch"] {
        let world = World::new();
        world.api.deny(USER, Denial::of(verb, NODES));
        world.node(json!([ours()]));
        world.register(Some(25));
        let began = Instant::now();
        world.remover().run(world.watches.clone()).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{verb}");
        assert_eq!(world.taints(), json!([ours()]));
    }
    let world = World::new();
    world.api.deny(USER, Denial::of("get", CSI_NODES));
    world.node(json!([ours()]));
    let ended = timeout(Duration::from_secs(1), world.remover().run(world.watches.clone())).await;
    assert!(ended.is_ok());
}

#[tokio::test(start_paused = true)]
async fn ebs_case_92_the_hook_waits_only_for_our_volumes_of_a_drained_node() {
    let world = World::new();
    world.node(json!([other()]));
    world.attach("a", "ebs.csi.aws.com", "node-1");
    assert!(world.hook().await, "the node is not drained");

    let world = World::new();
    world.node(json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]));
    world.attach("b", "efs.csi.aws.com", "node-1");
    world.attach("c", "ebs.csi.aws.com", "node-2");
    assert!(world.hook().await, "volumes of others, and on other nodes");
    world.attach("d", "ebs.csi.aws.com", "node-1");
    assert!(!world.hook().await, "a volume of ours is attached");
    let (ended, ()) = tokio::join!(world.hook(), async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        world.detach("d");
    });
    assert!(ended, "until it is detached");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_gone_counts_as_drained_and_a_refusal_does_not_hold_the_pod() {
    let world = World::new();
    world.attach("a", "ebs.csi.aws.com", "node-1");
    assert!(!world.hook().await, "the node is gone");
    world.detach("a");
    assert!(world.hook().await);
    let world = World::new();
    world.attach("a", "ebs.csi.aws.com", "node-1");
    world.api.deny(USER, Denial::of("get", NODES));
    assert!(world.hook().await);
}
