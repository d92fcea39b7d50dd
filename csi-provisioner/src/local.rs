//! The node of a process that serves one alone. Source: sidecars.md 2.12.

use std::time::Duration;

use csi::Channel;
use csi::v1::NodeGetInfoRequest;
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, VolumeNodeAffinity};

use crate::args::NodeConfig;
use crate::topology::{Cluster, Labels};

/// The node, as its driver describes it: neither Node nor CSINode are looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalNode {
    /// Its name.
    pub name: String,
    /// What the driver says where it is; empty for a driver that does not say.
    pub labels: Labels,
    /// The keys of that.
    pub keys: Vec<String>,
    /// Claims that nobody chose a node for are taken too.
    pub immediate: bool,
    /// How long such a claim is left to others first, and at most after lost races.
    pub delays: (Duration, Duration),
}

impl LocalNode {
    /// Asks the driver.
    ///
    /// # Errors
    /// The driver refuses to say.
    pub(crate) async fn ask(
        channel: &Channel,
        timeout: Duration,
        config: &NodeConfig,
    ) -> Result<Self, tonic::Status> {
        let request = csi::channel::request(NodeGetInfoRequest {}, timeout);
        let told = channel.node().node_get_info(request).await?.into_inner();
        let labels = told
            .accessible_topology
            .map(|topology| topology.segments)
            .unwrap_or_default();
        Ok(Self {
            name: config.name.clone(),
            keys: labels.keys().cloned().collect(),
            labels,
            immediate: config.immediate,
            delays: config.delays,
        })
    }

    /// The cluster as far as it is known: this node.
    #[must_use]
    pub fn cluster(&self) -> Cluster<'_> {
        Cluster {
            nodes: [(self.name.as_str(), &self.labels)].into(),
            registered: [(self.name.as_str(), self.keys.as_slice())].into(),
        }
    }

    /// Whether a volume with this affinity can be reached from the node; one that says nothing can.
    #[must_use]
    pub fn reaches(&self, affinity: Option<&VolumeNodeAffinity>) -> bool {
        let required = affinity.and_then(|affinity| affinity.required.as_ref());
        let fits = |term: &NodeSelectorTerm| {
            let (expressions, fields) = (&term.match_expressions, &term.match_fields);
            let is_empty =
                expressions.as_ref().is_none_or(Vec::is_empty) && fields.as_ref().is_none_or(Vec::is_empty);
            !is_empty
                && expressions
                    .iter()
                    .flatten()
                    .all(|one| holds(one, self.labels.get(&one.key)))
                && fields.iter().flatten().all(|one| {
                    let name = Some(&self.name).filter(|_| one.key == "metadata.name");
                    holds(one, name)
                })
        };
        self.labels.is_empty()
            || required.is_none_or(|required| required.node_selector_terms.iter().any(fits))
    }
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_named = value.is_some_and(|value| values.contains(value));
    let number = |text: &String| text.parse::<i64>().ok();
    let compared = value.and_then(number).zip(values.first().and_then(number));
    match requirement.operator.as_str() {
        "In" => is_named,
        "NotIn" => !is_named,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared.is_some_and(|(value, bound)| value > bound),
        "Lt" => compared.is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}
