//! The metadata labeler against the sandbox's API and EC2, on paused time.

use std::time::Duration;

use base::{Clock, Random, Scope};
use ebs_driver::node::cluster::labels::Labeler;
use ebs_driver::{Config, Ec2Transport, instances};
use prometheus::Registry;
use runtime::Watches;
use sandbox::ec2::{Ec2, Ec2Options, Fault, When};
use sandbox::kube::{ApiServer, GroupResource};
use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;

use crate::log::Log;

const NODES: GroupResource<'static> = GroupResource::new("", "nodes");
const VOLUMES: GroupResource<'static> = GroupResource::new("", "persistentvolumes");
const ZONE: &str = "us-east-1a";

struct World {
    api: ApiServer,
    ec2: Ec2,
    scope: Scope,
}

impl World {
    fn new() -> Self {
        let scope = Scope::new();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let api = ApiServer::new(clock.clone(), Random::seeded(1), &scope);
        let ec2 = Ec2::new(clock, Random::seeded(7), Ec2Options::instant());
        Self { api, ec2, scope }
    }

    /// A node on an instance with so many volumes besides the root, and their IDs.
    fn node(&self, name: &str, volumes: usize) -> Vec<String> {
        let instance = self.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
        let provider = format!("aws:///{ZONE}/{instance}");
        self.create(
            NODES,
            json!({"metadata": {"name": name}, "spec": {"providerID": provider}}),
        );
        let attach = |number: usize| {
            let volume = self.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
            let device = format!("/dev/xvd{}", char::from(b'f' + u8::try_from(number).unwrap()));
            self.ec2
                .attach_volume_fixture(&volume, &instance, &device)
                .unwrap();
            volume
        };
        (0..volumes).map(attach).collect()
    }

    fn create(&self, kind: GroupResource<'_>, object: Value) {
        self.api.store("person").create(kind, object).unwrap();
    }

    fn volume(&self, name: &str, source: &Value) {
        let mut spec = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]});
        spec.as_object_mut()
            .unwrap()
            .extend(source.as_object().unwrap().clone());
        self.create(VOLUMES, json!({"metadata": {"name": name}, "spec": spec}));
    }

    fn labels(&self, node: &str) -> (Value, Value) {
        let node = self.api.store("person").get(NODES, "", node).unwrap();
        let labels = node.value()["metadata"]["labels"].clone();
        (
            labels["ebs.csi.aws.com/enis-count"].clone(),
            labels["ebs.csi.aws.com/non-csi-ebs-volumes-count"].clone(),
        )
    }

    fn patches(&self) -> usize {
        let records = self.api.audit();
        records.iter().filter(|record| record.verb == "patch").count()
    }

    fn start(&self) {
        let client = kube::Client::new(self.api.service("labeler"), "default");
        let (clock, registry) = (self.api_clock(), Registry::new());
        let transport = Ec2Transport::InProcess(BoxCloneSyncService::new(self.ec2.clone()));
        let ec2 = instances(
            &Config::default(),
            transport,
            clock.clone(),
            Random::seeded(2),
            &registry,
        )
        .unwrap();
        let watches = Watches::new(client.clone(), clock, Random::seeded(3), &self.scope, &registry);
        let labeler = Labeler::new(client, ec2, watches);
        self.scope.spawn(async move { labeler.run().await });
    }

    fn api_clock(&self) -> Clock {
        Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap())
    }
}

fn told(interfaces: &str, volumes: &str) -> (Value, Value) {
    (json!(interfaces), json!(volumes))
}

#[tokio::test(start_paused = true)]
async fn ebs_case_149_nodes_are_labelled_and_an_odd_one_holds_none_up() {
    let world = World::new();
    let volumes = world.node("node-1", 3);
    world.volume(
        "pv-1",
        &json!({"csi": {"driver": "ebs.csi.aws.com", "volumeHandle": volumes[0]}}),
    );
    let in_tree = format!("aws://{ZONE}/{}", volumes[1]);
    world.volume("pv-2", &json!({"awsElasticBlockStore": {"volumeID": in_tree}}));
    world.node("node-2", 0);
    for (name, provider) in [
        ("unknown", format!("aws:///{ZONE}/i-0123456789abcdef0")),
        ("another-cloud", "gce://project/zone/name".to_owned()),
        ("odd", "nothing".to_owned()),
    ] {
        world.create(
            NODES,
            json!({"metadata": {"name": name}, "spec": {"providerID": provider}}),
        );
    }
    let log = Log::of(&world.api_clock());
    world.start();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.labels("node-1"), told("1", "1"), "{:?}", log.lines());
    assert_eq!(world.labels("node-2"), told("1", "0"));
    for name in ["unknown", "another-cloud", "odd"] {
        assert_eq!(world.labels(name), (Value::Null, Value::Null), "{name}");
    }
    assert_eq!((world.ec2.count("DescribeInstances"), world.patches()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn ebs_case_150_new_nodes_are_labelled_at_once_and_all_each_hour() {
    let world = World::new();
    world.node("node-1", 0);
    world.start();
    tokio::time::sleep(Duration::from_secs(5)).await;
    for number in 2..20 {
        world.node(&format!("node-{number}"), 1);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.labels("node-19"), told("1", "1"));
    assert_eq!(
        world.ec2.count("DescribeInstances"),
        2,
        "the new ones alone, together"
    );
    assert_eq!(world.patches(), 19);

    // EC2 does not answer for a while: the hour's look is made good within a minute, and writes nothing that is there.
    let denied = Fault::error("UnauthorizedOperation");
    world.ec2.inject("DescribeInstances", When::Times(1), denied);
    tokio::time::sleep(Duration::from_secs(3600 + 90)).await;
    assert_eq!(world.ec2.count("DescribeInstances"), 4);
    assert_eq!(world.patches(), 19);
}
