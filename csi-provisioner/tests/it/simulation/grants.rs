//! Sources of other namespaces in a cluster whose API server lets claims name them (sidecars.md 2.7).

use std::time::Duration;

use controller::testing::resources::{CLAIMS, DEFINITIONS, SNAPSHOTS};
use controller::testing::seconds;
use csi::v1::controller_service_capability::rpc;
use sandbox::faults::{Call, Fault, Faults, Schedule};
use sandbox::kube::{Denial, GroupResource};
use serde_json::{Value, json};

use crate::world::{SNAPSHOT_FINALIZER, World, claim, from_snapshot};

const GRANTS: GroupResource<'_> = GroupResource::new("gateway.networking.k8s.io", "referencegrants");

/// A ready snapshot, another namespace, and the kind of grants.
fn world() -> World {
    let mut world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
    world.flags = "--feature-gates=CrossNamespaceVolumeDataSource=true".to_owned();
    world.api.let_sources_cross();
    world.snapshot();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}});
    world.create(GroupResource::new("", "namespaces"), namespace);
    world
}

fn define_grants(world: &World) {
    let group = GRANTS.group;
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("referencegrants.{group}"),
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api"},
        },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": "ReferenceGrant", "listKind": "ReferenceGrantList", "plural": "referencegrants", "singular": "referencegrant"},
            "versions": [{"name": "v1beta1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    world.create(DEFINITIONS, definition);
}

/// Lets claims of the other namespace use objects of this kind in `default`.
fn grant(world: &World, group: &str, kind: &str) {
    let grant = json!({
        "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
        "metadata": {"name": "g", "namespace": "default"},
        "spec": {
            "from": [{"group": "", "kind": "PersistentVolumeClaim", "namespace": "other"}],
            "to": [{"group": group, "kind": kind}],
        },
    });
    world.create(GRANTS, grant);
}

fn grant_snapshots(world: &World) {
    grant(world, SNAPSHOTS.group, "VolumeSnapshot");
}

/// A claim of the other namespace, made from an object in `default`.
fn claim_from(world: &World, group: &str, kind: &str, name: &str) {
    let mut claim = claim("c");
    claim["metadata"]["namespace"] = json!("other");
    claim["spec"]["dataSourceRef"] =
        json!({"apiGroup": group, "kind": kind, "name": name, "namespace": "default"});
    world.create(CLAIMS, claim);
}

fn claim_from_snapshot(world: &World) {
    claim_from(world, SNAPSHOTS.group, "VolumeSnapshot", "snap");
}

fn phase(world: &World) -> Value {
    world.get(CLAIMS, "other", "c").unwrap()["status"]["phase"].clone()
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_211_what_a_populator_makes_from_another_namespace_takes_a_grant_and_no_more() {
    let world = world();
    define_grants(&world);
    grant(&world, "example.com", "Foo");
    let _process = world.start();
    seconds(2).await;
    claim_from(&world, "example.com", "Foo", "x");
    seconds(100).await;
    assert_eq!(world.reasons(), ["Provisioning"], "{:?}", world.events());
}

/// The watch of grants is late by so much.
struct LateGrants(Duration);

impl Schedule for LateGrants {
    fn fault(&self, call: &Call) -> Fault {
        match call.watch && call.name.ends_with("/referencegrants") {
            true => Fault::LagWatch(self.0),
            false => Fault::None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_212_grants_are_waited_for_at_the_start() {
    let world = world();
    define_grants(&world);
    grant_snapshots(&world);
    claim_from_snapshot(&world);
    let _process = world.start_with(Faults::new(LateGrants(Duration::from_secs(3))));
    seconds(15).await;
    assert_eq!(phase(&world), "Bound", "{:?}", world.events());
    assert_eq!(world.reasons(), ["ProvisioningSucceeded"], "{:?}", world.events());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_212_grants_that_cannot_be_had_hold_nothing_up() {
    for (is_defined, is_denied, within) in [(false, false, 3), (true, true, 15)] {
        let world = world();
        if is_defined {
            define_grants(&world);
        }
        if is_denied {
            world.api.deny("csi-provisioner", Denial::of("list", GRANTS));
            world.api.deny("csi-provisioner", Denial::of("watch", GRANTS));
        }
        world.claim(|_| {});
        let _process = world.start();
        seconds(within).await;
        assert_eq!(world.phase("c"), "Bound", "{is_defined} {is_denied}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_213_a_claim_begins_as_soon_as_its_source_is_granted() {
    let world = world();
    define_grants(&world);
    let _process = world.start();
    seconds(2).await;
    claim_from_snapshot(&world);
    seconds(100).await;
    assert_eq!(world.calls(), [0, 0]);
    assert!(
        world.events()[0].message.contains("no ReferenceGrant"),
        "{:?}",
        world.events()
    );
    grant_snapshots(&world);
    seconds(1).await;
    assert_eq!(world.calls(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_228_a_claim_without_a_grant_holds_no_source() {
    for gates in ["", "--feature-gates=CrossNamespaceVolumeDataSource=true"] {
        let mut world = world();
        world.flags = gates.to_owned();
        define_grants(&world);
        let _process = world.start();
        seconds(2).await;
        claim_from_snapshot(&world);
        seconds(2).await;
        world.claim(from_snapshot);
        seconds(5).await;
        assert_eq!(world.phase("c"), "Bound");
        assert!(
            world.finalizers(SNAPSHOTS, "default", "snap").is_empty(),
            "{gates}"
        );
        if gates.is_empty() {
            continue;
        }
        grant_snapshots(&world);
        seconds(2).await;
        assert_eq!((phase(&world), world.calls()), (json!("Bound"), [2, 0]));
        assert!(world.finalizers(SNAPSHOTS, "default", "snap").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_228_a_source_is_let_go_once_its_last_claim_may_not_use_it_any_more() {
    let world = world();
    define_grants(&world);
    grant_snapshots(&world);
    let mut small = claim("c");
    small["metadata"]["namespace"] = json!("other");
    small["spec"]["resources"]["requests"]["storage"] = json!("1Mi");
    small["spec"]["dataSourceRef"] = json!({
        "apiGroup": SNAPSHOTS.group, "kind": "VolumeSnapshot", "name": "snap", "namespace": "default",
    });
    world.create(CLAIMS, small);
    let _process = world.start();
    seconds(2).await;
    world.claim(from_snapshot);
    seconds(5).await;
    assert_eq!(world.phase("c"), "Bound");
    let finalizers = || world.finalizers(SNAPSHOTS, "default", "snap");
    assert_eq!(finalizers(), [SNAPSHOT_FINALIZER], "it is only too small yet");
    world.delete(GRANTS, "default", "g");
    seconds(2).await;
    assert!(finalizers().is_empty());
}
