//! What an object takes of quotas.
//!
//! Sources: `apiserver pkg/quota/v1/generic`, `kubernetes pkg/quota/v1/evaluator/core`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kube::validation::quantity::Quantity;
use crate::kube::validation::{class_of, items, text};
use crate::kube::{GroupResource, has_ended};

/// Amounts by name of what is counted, as in `spec.hard`.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

const EVENTS: GroupResource<'static> = GroupResource::new("", "events");
const PODS: GroupResource<'static> = GroupResource::new("", "pods");
pub(super) const SERVICES: GroupResource<'static> = GroupResource::new("", "services");
pub(super) const CLAIMS: GroupResource<'static> = GroupResource::new("", "persistentvolumeclaims");

const NODE_PORTS: &str = "services.nodeports";
const LOAD_BALANCERS: &str = "services.loadbalancers";
const CLAIM_NAMES: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
/// Between the name of a class and what its claims take.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";

/// Whether quotas know the objects of a type that has namespaces. Events were never counted.
pub(crate) fn is_counted(id: GroupResource<'_>) -> bool {
    id != EVENTS
}

/// Whether objects of a type count in a limit of this name, be it with nothing.
pub(crate) fn counts_in(id: GroupResource<'_>, name: &str) -> bool {
    if !is_counted(id) {
        return false;
    }
    name == count_of(id)
        || old_name(id) == Some(name)
        || id == SERVICES && [NODE_PORTS, LOAD_BALANCERS].contains(&name)
        || id == CLAIMS
            && (CLAIM_NAMES.contains(&name) || CLAIM_NAMES.iter().any(|own| is_of_class(name, own)))
}

/// What one object takes.
pub(crate) fn usage(id: GroupResource<'_>, object: &Value) -> Amounts {
    let one = || Quantity::whole(1);
    let mut usage = Amounts::from([(count_of(id), one())]);
    // A pod that has ended is an object still, and no longer a pod that runs.
    if let Some(name) = old_name(id).filter(|_| id != PODS || !has_ended(object)) {
        usage.insert(name.to_owned(), one());
    }
    match id {
        SERVICES => service(object, &mut usage),
        CLAIMS => claim(object, &mut usage),
        _ => {}
    }
    usage
}

/// `count/plural.group`, by which any kind is counted.
fn count_of(id: GroupResource<'_>) -> String {
    format!("count/{id}")
}

/// The name that some kinds of core had before all kinds were counted.
fn old_name(id: GroupResource<'_>) -> Option<&str> {
    let has_one = matches!(
        id.plural,
        "configmaps" | "persistentvolumeclaims" | "pods" | "resourcequotas" | "secrets" | "services"
    );
    (id.group.is_empty() && has_one).then_some(id.plural)
}

fn is_of_class(name: &str, own: &str) -> bool {
    name.strip_suffix(own)
        .is_some_and(|before| before.ends_with(OF_CLASS))
}

fn service(service: &Value, usage: &mut Amounts) {
    let (spec, ports) = (&service["spec"], items(&service["spec"], "ports"));
    let kind = text(spec, "type");
    let chosen = |port: &&Value| port["nodePort"].as_u64().is_some_and(|number| number != 0);
    let node_ports = match kind {
        "NodePort" => ports.len(),
        "LoadBalancer" if spec["allocateLoadBalancerNodePorts"] == false => {
            ports.iter().filter(chosen).count()
        }
        "LoadBalancer" => ports.len(),
        _ => 0,
    };
    let node_ports = i64::try_from(node_ports).unwrap_or(i64::MAX);
    let balancers = i64::from(kind == "LoadBalancer");
    usage.insert(NODE_PORTS.to_owned(), Quantity::whole(node_ports));
    usage.insert(LOAD_BALANCERS.to_owned(), Quantity::whole(balancers));
}

/// Number and size, and both of the class.
fn claim(claim: &Value, usage: &mut Amounts) {
    if let Some(size) = size(claim) {
        usage.insert("requests.storage".to_owned(), size);
    }
    let Some(class) = class_of(claim).filter(|class| !class.is_empty()) else {
        return;
    };
    for name in CLAIM_NAMES {
        if let Some(amount) = usage.get(name).cloned() {
            usage.insert(format!("{class}{OF_CLASS}{name}"), amount);
        }
    }
}

/// What is asked for in whole bytes, or what an expansion has taken already where that is more.
fn size(claim: &Value) -> Option<Quantity> {
    let read = |pointer: &str| claim.pointer(pointer).and_then(Quantity::read);
    let asked = read("/spec/resources/requests/storage")?;
    let taken = read("/status/allocatedResources/storage");
    let size = taken.filter(|taken| *taken > asked).unwrap_or(asked);
    Some(size.rounded_up())
}
