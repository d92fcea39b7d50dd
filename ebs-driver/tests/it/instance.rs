//! What instance this is: the metadata service on loopback, the Node object in the sandbox.

use base::{Clock, Random, Scope};
use csi::Channel;
use csi::v1::{NodeGetInfoRequest, NodeGetInfoResponse};
use ebs_driver::node::metadata::imds::Imds;
use ebs_driver::node::metadata::kubernetes::Right;
use ebs_driver::node::metadata::{Learned, Metadata, NoSource, Source, SourceKind, sources};
use ebs_driver::{NodeConfig, NodeService};
use http::StatusCode;
use prometheus::Registry;
use sandbox::kube::{ApiServer, GroupResource};
use sandbox::metadata::{Instance, MetadataService, Tokens};
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpListener;

use crate::scripted::Scripted;

const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";
const INTERFACES: &str = "/latest/meta-data/network/interfaces/macs";

struct World {
    service: MetadataService,
    imds: String,
    api: ApiServer,
    client: kube::Client,
    _scope: Scope,
}

impl World {
    async fn new(instance: Instance) -> Self {
        let scope = Scope::new();
        let service = MetadataService::new(instance);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let imds = service.serve(listener, &scope).unwrap();
        let api = ApiServer::new(Clock::system(), Random::seeded(1), &scope);
        let client = kube::Client::new(api.service("node"), "default");
        Self {
            service,
            imds,
            api,
            client,
            _scope: scope,
        }
    }

    fn node(&self, labels: serde_json::Value) {
        let node = json!({
            "metadata": {"name": "node-1", "labels": labels},
            "spec": {"providerID": "aws:///us-east-1b/i-0fedcba9876543210"},
        });
        self.api
            .store("kubelet")
            .create(GroupResource::new("", "nodes"), node)
            .unwrap();
    }

    fn imds(&self) -> Box<dyn Source> {
        Box::new(Imds::new(Some(&self.imds)).unwrap())
    }

    fn others(&self, kinds: &[SourceKind], name: Option<&str>) -> Vec<Box<dyn Source>> {
        sources(kinds, &Ok(self.client.clone()), name, Right::Get).unwrap()
    }

    async fn learn(&self, sources: Vec<Box<dyn Source>>) -> Result<Learned, NoSource> {
        Learned::from_first(sources).await
    }
}

async fn info(instance: Learned) -> (Channel, NodeGetInfoResponse) {
    let host = Arc::new(Scripted::default());
    let config = NodeConfig::default();
    let service = NodeService::new(config, host, Arc::new(instance), &Registry::new()).unwrap();
    let channel = Channel::in_process(service.routes());
    let answer = ask(&channel).await;
    (channel, answer)
}

async fn ask(channel: &Channel) -> NodeGetInfoResponse {
    let answer = channel.node().node_get_info(NodeGetInfoRequest {}).await;
    answer.unwrap().into_inner()
}

fn labels() -> serde_json::Value {
    json!({
        "node.kubernetes.io/instance-type": "m7i.large",
        "topology.kubernetes.io/region": "us-east-1",
        "topology.kubernetes.io/zone": "us-east-1b",
    })
}

#[tokio::test]
async fn ebs_case_90_the_former_interfaces_count_while_the_metadata_service_is_down() {
    let world = World::new(Instance {
        interfaces: 3,
        extra_volumes: 1,
        ..Instance::default()
    })
    .await;
    let learned = world.learn(vec![world.imds()]).await.unwrap();
    let (channel, answer) = info(learned).await;
    assert_eq!(answer.node_id, "i-0123456789abcdef0");
    // 27 shared, less the root and one more volume, less two more interfaces.
    assert_eq!(answer.max_volumes_per_node, 23);
    world.service.change(|instance| {
        instance.interfaces = 4;
        instance.extra_volumes = 9;
    });
    assert_eq!(
        ask(&channel).await.max_volumes_per_node,
        22,
        "only interfaces are asked for again"
    );
    world.service.set_down(true);
    assert_eq!(ask(&channel).await.max_volumes_per_node, 22);
    world.service.set_down(false);
    world.service.change(|instance| instance.interfaces = 1);
    assert_eq!(ask(&channel).await.max_volumes_per_node, 25);
    let asked = world.service.asked();
    assert_eq!(asked.iter().filter(|path| *path == DOCUMENT).count(), 1);
    assert_eq!(asked.last().unwrap(), INTERFACES);
}

#[tokio::test]
async fn an_outpost_is_told_and_an_empty_field_fails_the_source() {
    let arn = "arn:aws:outposts:us-west-2:123456789012:outpost/op-0a";
    let world = World::new(Instance {
        outpost_arn: Some(arn.to_owned()),
        ..Instance::default()
    })
    .await;
    let learned = world.learn(vec![world.imds()]).await.unwrap();
    assert_eq!(learned.known().outpost_arn.as_deref(), Some(arn));
    let (_, answer) = info(learned).await;
    let segments = answer.accessible_topology.unwrap().segments;
    assert_eq!(segments["topology.ebs.csi.aws.com/outpost-id"], "op-0a");
    world.service.change(|instance| instance.zone.clear());
    let refused = world.learn(vec![world.imds()]).await.err().unwrap();
    assert!(
        refused.to_string().contains("availabilityZone is missing"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_first_source_that_answers_is_taken_in_the_order_of_the_flag() {
    let world = World::new(Instance::default()).await;
    world.node(labels());
    let kubernetes = [SourceKind::Kubernetes];
    let mut both = world.others(&kubernetes, Some("node-1"));
    both.push(world.imds());
    let from_node = world.learn(both).await.unwrap().known();
    assert_eq!(from_node.instance_id, "i-0fedcba9876543210");
    assert_eq!((from_node.zone.as_str(), from_node.interfaces), ("us-east-1b", 1));
    assert!(world.service.asked().is_empty());

    world.service.set_down(true);
    let mut both = vec![world.imds()];
    both.extend(world.others(&kubernetes, Some("node-1")));
    let learned = world.learn(both).await.unwrap();
    let again = learned.instance().await.unwrap();
    assert_eq!(again.instance_id, "i-0fedcba9876543210");
    let (_, answer) = info(learned).await;
    assert_eq!(
        answer.max_volumes_per_node, 31,
        "32 for volumes alone, less the root volume"
    );
}

#[tokio::test]
async fn labels_of_the_labeler_are_read_again() {
    let world = World::new(Instance::default()).await;
    let mut with_counts = labels();
    with_counts["node.kubernetes.io/instance-type"] = json!("m5.large");
    with_counts["ebs.csi.aws.com/enis-count"] = json!("2");
    with_counts["ebs.csi.aws.com/non-csi-ebs-volumes-count"] = json!("3");
    world.node(with_counts);
    let labeler = world.others(&[SourceKind::Labeler], Some("node-1"));
    let (channel, answer) = info(world.learn(labeler).await.unwrap()).await;
    assert_eq!(answer.max_volumes_per_node, 22);
    let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(world.client.clone());
    let patch = json!({"metadata": {"labels": {"ebs.csi.aws.com/enis-count": "5"}}});
    nodes
        .patch("node-1", &Default::default(), &kube::api::Patch::Merge(patch))
        .await
        .unwrap();
    assert_eq!(ask(&channel).await.max_volumes_per_node, 19);
}

#[tokio::test(start_paused = true)]
async fn no_source_is_one_message_that_names_each() {
    let world = World::new(Instance::default()).await;
    world.node(json!({"topology.kubernetes.io/region": "us-east-1"}));
    let kinds = [SourceKind::Kubernetes, SourceKind::Labeler];
    let refused = world.learn(world.others(&kinds, Some("node-1"))).await;
    let text = refused.err().unwrap().to_string();
    assert!(text.contains("node.kubernetes.io/instance-type"), "{text}");
    assert!(text.contains("ebs.csi.aws.com/enis-count"), "{text}");
    assert!(text.ends_with("see --metadata-sources"), "{text}");
    let refused = world.learn(world.others(&kinds, Some("other"))).await;
    assert!(refused.err().unwrap().to_string().contains("not found"));
    let refused = world.learn(world.others(&kinds, None)).await;
    assert!(refused.err().unwrap().to_string().contains("CSI_NODE_NAME"));
    let unreachable = sources(
        &kinds,
        &Err("no cluster here".to_owned()),
        Some("node-1"),
        Right::Get,
    )
    .unwrap();
    let refused = world.learn(unreachable).await;
    assert!(refused.err().unwrap().to_string().contains("no cluster here"));
    let none = world.learn(Vec::new()).await.err().unwrap();
    assert!(none.to_string().contains("no source may be asked"), "{none}");
}

/// As behind a hop limit of 1, and as the stand-ins of the service that know no tokens.
#[tokio::test]
async fn ebs_case_194_an_instance_that_gives_no_token_is_asked_without_one() {
    let world = World::new(Instance::default()).await;
    let refused = |status: u16| Tokens::Refused(StatusCode::from_u16(status).unwrap());
    for (tokens, fails) in [
        (Tokens::Lost, None),
        (refused(403), None),
        (refused(404), None),
        (refused(405), None),
        (refused(400), Some("token")),
        (Tokens::WantedAndLost, Some("token")),
    ] {
        world.service.set_tokens(tokens);
        let learned = world.learn(vec![world.imds()]).await;
        match (learned, fails) {
            (Ok(learned), None) => assert_eq!(learned.known().region, "us-east-1", "{tokens:?}"),
            (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{tokens:?}: {error}"),
            (Ok(_), Some(_)) => panic!("{tokens:?}: it answers"),
            (Err(error), None) => panic!("{tokens:?}: {error}"),
        }
    }
}

/// One that wants tokens later gets them.
#[tokio::test]
async fn ebs_case_194_tokens_are_fetched_once_they_are_wanted() {
    let world = World::new(Instance::default()).await;
    world.service.set_tokens(Tokens::Refused(StatusCode::FORBIDDEN));
    let learned = world.learn(vec![world.imds()]).await.unwrap();
    for (tokens, interfaces) in [(Tokens::Wanted, 3), (Tokens::Lost, 4)] {
        world.service.set_tokens(tokens);
        world.service.change(|instance| instance.interfaces = interfaces);
        let known = learned.instance().await.unwrap().interfaces;
        assert_eq!(known as usize, interfaces, "{tokens:?}");
    }
}

/// A metadata service that takes connections and says nothing does not keep the node from starting by its Node object.
#[tokio::test]
async fn ebs_case_145_a_silent_metadata_service_is_given_up() {
    let world = World::new(Instance::default()).await;
    world.node(labels());
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut both: Vec<Box<dyn Source>> = vec![Box::new(Imds::new(Some(&url)).unwrap())];
    both.extend(world.others(&[SourceKind::Kubernetes], Some("node-1")));
    let begun = std::time::Instant::now();
    let learned = world.learn(both).await.unwrap();
    assert_eq!(learned.known().instance_id, "i-0fedcba9876543210");
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}
