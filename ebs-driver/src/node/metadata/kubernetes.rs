//! The Node object as a source. Source: spec 4.8.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use kube::Client;
use runtime::{ObjectKey, Selection, Writer};

use super::{InstanceInfo, MetadataError, Source};
use crate::node::cluster::objects::NodeView;

const PLACE: &str = "Node object";
const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const HYPERPOD_INTERFACES: &str = "sagemaker.amazonaws.com/num-eni-attachments";
const HYPERPOD_VOLUMES: &str = "sagemaker.amazonaws.com/num-block-device-mappings";
pub(crate) const LABELER_INTERFACES: &str = "ebs.csi.aws.com/enis-count";
pub(crate) const LABELER_VOLUMES: &str = "ebs.csi.aws.com/non-csi-ebs-volumes-count";
/// For how long the labels of the labeler are waited for.
const LABELER_PATIENCE: Duration = Duration::from_secs(5);
const LABELER_PAUSE: Duration = Duration::from_millis(500);

/// Whose labels tell the numbers of attachments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counts {
    /// Nobody's, except on HyperPod.
    Assumed,
    /// Upstream's labeler's, except on HyperPod, whose nodes no labeler labels.
    Labeler,
}

/// By which right the Node object is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Right {
    /// As the role of the node service has it.
    Get,
    /// As the roles of the controller and of the labeler have it.
    List,
}

/// The Node object of this machine.
pub struct NodeObject {
    nodes: Writer<NodeView>,
    name: String,
    counts: Counts,
    right: Right,
}

impl NodeObject {
    /// The Node of this name. Asks nothing yet.
    #[must_use]
    pub fn new(client: &Client, name: &str, counts: Counts, right: Right) -> Self {
        Self {
            nodes: Writer::new(client, crate::names::DRIVER),
            name: name.to_owned(),
            counts,
            right,
        }
    }

    async fn read(&self) -> Result<InstanceInfo, MetadataError> {
        let node = match self.right {
            Right::Get => self.nodes.get(&ObjectKey::cluster(&self.name)).await.map(Some),
            Right::List => {
                let only_it = Selection::fields(format!("metadata.name={}", self.name));
                self.nodes
                    .list(&only_it)
                    .await
                    .map(|found| found.into_iter().next())
            }
        };
        match node.map_err(|error| MetadataError::new(PLACE, error.to_string()))? {
            Some(node) => instance(&node, self.counts),
            None => Err(MetadataError::new(PLACE, format!("{:?} is not there", self.name))),
        }
    }
}

/// A source whose Kubernetes API is out of reach: it says why.
pub struct Unreachable(pub String);

#[async_trait]
impl Source for Unreachable {
    fn place(&self) -> &'static str {
        PLACE
    }

    async fn learn(&self) -> Result<InstanceInfo, MetadataError> {
        Err(MetadataError::new(PLACE, self.0.clone()))
    }

    async fn refresh(&self, _: &InstanceInfo) -> Result<InstanceInfo, MetadataError> {
        self.learn().await
    }
}

/// What a Node object says of its instance.
fn instance(node: &NodeView, counts: Counts) -> Result<InstanceInfo, MetadataError> {
    let missing = |what: &str| MetadataError::new(PLACE, format!("it has no {what}"));
    let no_labels = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&no_labels);
    let label = |key: &str| {
        let value = labels.get(key).filter(|value| !value.is_empty());
        value.cloned().ok_or_else(|| missing(&format!("label {key}")))
    };
    let number = |key: &str| -> Result<u32, MetadataError> {
        let text = label(key)?;
        let bad = |_| MetadataError::new(PLACE, format!("its label {key} is no number: {text:?}"));
        text.parse::<u32>().map_err(bad)
    };
    let provider = node.provider_id.as_deref().unwrap_or_default();
    let is_of_hyperpod = labels.contains_key(HYPERPOD_INTERFACES) || labels.contains_key(HYPERPOD_VOLUMES);
    let (interfaces, extra_volumes) = if counts == Counts::Labeler && !is_of_hyperpod {
        (number(LABELER_INTERFACES)?, number(LABELER_VOLUMES)?)
    } else {
        (
            number_or(labels, HYPERPOD_INTERFACES, 1),
            number_or(labels, HYPERPOD_VOLUMES, 0),
        )
    };
    let instance_type = label(INSTANCE_TYPE)?;
    Ok(InstanceInfo {
        instance_id: instance_id(provider).ok_or_else(|| missing("instance ID in its providerID"))?,
        instance_type: instance_type
            .strip_prefix("ml.")
            .unwrap_or(&instance_type)
            .to_owned(),
        region: label(REGION)?,
        zone: label(ZONE)?,
        outpost_arn: None,
        interfaces,
        extra_volumes,
    })
}

/// The number in a label, or the default: where there is no label, and where it is no number, since a node without its
/// driver would be worse than a limit that is off by a few.
fn number_or(labels: &BTreeMap<String, String>, key: &str, default: u32) -> u32 {
    let Some(text) = labels.get(key) else {
        return default;
    };
    text.parse().unwrap_or_else(|_| {
        tracing::warn!(
            label = key,
            value = text.as_str(),
            default,
            "a label of the Node is no number: going by the default"
        );
        default
    })
}

/// The instance in `aws:///us-east-1a/i-0123` and its like: the last part, if it is an ID of an instance, of a node of
/// HyperPod (`hyperpod-<cluster>-i-<id>`) or of a Snow device (`s.i-<id>`).
pub(crate) fn instance_id(provider: &str) -> Option<String> {
    let last = provider.rsplit('/').next().unwrap_or_default();
    let is_hex = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_instance = last.strip_prefix("i-").is_some_and(is_hex)
        || last.strip_prefix("s.i-").is_some_and(is_hex)
        || last
            .strip_prefix(crate::names::HYPERPOD_PREFIX)
            .and_then(|rest| rest.rsplit_once("-i-"))
            .is_some_and(|(_, id)| is_hex(id));
    is_instance.then(|| last.to_owned())
}

#[async_trait]
impl Source for NodeObject {
    fn place(&self) -> &'static str {
        PLACE
    }

    async fn learn(&self) -> Result<InstanceInfo, MetadataError> {
        let started = tokio::time::Instant::now();
        loop {
            let read = self.read().await;
            if read.is_ok()
                || self.counts == Counts::Assumed
                || started.elapsed() + LABELER_PAUSE > LABELER_PATIENCE
            {
                return read;
            }
            tokio::time::sleep(LABELER_PAUSE).await;
        }
    }

    /// Only the labeler's labels change.
    async fn refresh(&self, known: &InstanceInfo) -> Result<InstanceInfo, MetadataError> {
        match self.counts {
            Counts::Assumed => Ok(known.clone()),
            Counts::Labeler => self.read().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(provider: &str, labels: &[(&str, &str)]) -> NodeView {
        let all = [
            (INSTANCE_TYPE, "ml.m5.large"),
            (REGION, "us-east-1"),
            (ZONE, "us-east-1a"),
        ];
        let labels = all.iter().chain(labels);
        let mut node = NodeView {
            provider_id: Some(provider.to_owned()),
            ..NodeView::default()
        };
        node.metadata.labels = Some(
            labels
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        );
        node
    }

    #[test]
    fn the_instance_is_the_last_part_of_the_provider_id() {
        for (provider, expected) in [
            ("aws:///us-east-1a/i-0123abcd", Some("i-0123abcd")),
            ("i-1", Some("i-1")),
            ("aws:///x/hyperpod-abc-i-012", Some("hyperpod-abc-i-012")),
            ("aws:///x/s.i-012", Some("s.i-012")),
            ("aws:///x/y", None),
            ("aws:///x/i-", None),
            ("", None),
        ] {
            assert_eq!(instance_id(provider).as_deref(), expected, "{provider}");
        }
    }

    #[test]
    fn labels_tell_type_place_and_attachments() {
        let plain = instance(&node("aws:///a/i-1", &[]), Counts::Assumed).unwrap();
        assert_eq!(plain.instance_type, "m5.large");
        assert_eq!((plain.interfaces, plain.extra_volumes), (1, 0));
        let labels = [(HYPERPOD_INTERFACES, "3"), (HYPERPOD_VOLUMES, "2")];
        let hyperpod = instance(&node("aws:///a/hyperpod-c-i-1", &labels), Counts::Assumed).unwrap();
        assert_eq!((hyperpod.interfaces, hyperpod.extra_volumes), (3, 2));
        let labels = [(LABELER_INTERFACES, "4"), (LABELER_VOLUMES, "1")];
        let labelled = instance(&node("aws:///a/i-1", &labels), Counts::Labeler).unwrap();
        assert_eq!((labelled.interfaces, labelled.extra_volumes), (4, 1));
        for bad in [
            (node("aws:///a/i-1", &[]), Counts::Labeler),
            (node("aws:///a/i-1", &[(ZONE, "")]), Counts::Assumed),
            (node("", &[]), Counts::Assumed),
            (
                node(
                    "aws:///a/i-1",
                    &[(LABELER_INTERFACES, "x"), (LABELER_VOLUMES, "1")],
                ),
                Counts::Labeler,
            ),
        ] {
            assert!(instance(&bad.0, bad.1).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ebs_case_200_the_labels_of_hyperpod_are_enough() {
        let labeler = [(LABELER_INTERFACES, "9"), (LABELER_VOLUMES, "9")];
        for (labels, expected) in [
            (&[(HYPERPOD_INTERFACES, "3"), (HYPERPOD_VOLUMES, "2")][..], (3, 2)),
            (&[(HYPERPOD_INTERFACES, "3")], (3, 0)),
            (&[(HYPERPOD_VOLUMES, "2")], (1, 2)),
            (&[(HYPERPOD_INTERFACES, "3"), (HYPERPOD_VOLUMES, "x")], (3, 0)),
            (&[(HYPERPOD_INTERFACES, "-1"), (HYPERPOD_VOLUMES, "2")], (1, 2)),
            (&[(HYPERPOD_INTERFACES, "")], (1, 0)),
        ] {
            for counts in [Counts::Assumed, Counts::Labeler] {
                for others in [&labeler[..0], &labeler[..]] {
                    let all: Vec<_> = labels.iter().chain(others).copied().collect();
                    let told = instance(&node("aws:///a/hyperpod-c-i-1", &all), counts).unwrap();
                    assert_eq!(
                        (told.interfaces, told.extra_volumes),
                        expected,
                        "{all:?}, {counts:?}"
                    );
                }
            }
        }
    }
}
