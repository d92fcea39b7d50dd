mod made_for_pods;
mod owned;

use std::time::Duration;

use base::Random;
use serde_json::{Value, json};

use self::owned::deployment;
use super::*;

/// A server with the actors, and a user of it.
struct Cluster {
    server: ApiServer,
    store: Store,
    scope: Scope,
}

impl Cluster {
    fn new() -> Self {
        let scope = Scope::new();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let server = ApiServer::new(clock.clone(), Random::seeded(1), &scope);
        run(&server, &scope, clock);
        let store = server.store("tester");
        Self { server, store, scope }
    }

    /// Until the actors have nothing more to do.
    async fn settle(&self) {
        loop {
            let revision = self.server.revision();
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.server.revision() == revision {
                return;
            }
        }
    }

    fn volume(&self, name: &str, change: &Value) {
        let mut volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}, "storageClassName": "",
                "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": name},
            },
        });
        json_patch::merge(&mut volume, change);
        self.store.create(VOLUMES, volume).unwrap();
    }

    fn claim(&self, name: &str, change: &Value) {
        let mut claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}, "storageClassName": ""},
        });
        json_patch::merge(&mut claim, change);
        self.store.create(CLAIMS, claim).unwrap();
    }

    fn get(&self, resource: GroupResource<'_>, name: &str) -> Option<Value> {
        let cluster = [VOLUMES, NODES, NAMESPACES, ATTRIBUTES_CLASSES].contains(&resource);
        let namespace = if cluster { "" } else { "default" };
        self.store
            .get(resource, namespace, name)
            .map(|object| object.value().clone())
    }

    fn phases(&self, claim: &str, volume: &str) -> (String, String) {
        let phase = |object: Option<Value>| {
            object.map_or_else(
                || "gone".to_owned(),
                |object| text(&object, "/status/phase").to_owned(),
            )
        };
        (phase(self.get(CLAIMS, claim)), phase(self.get(VOLUMES, volume)))
    }

    fn delete(&self, resource: GroupResource<'_>, name: &str) {
        let cluster = [VOLUMES, ATTRIBUTES_CLASSES].contains(&resource);
        let namespace = if cluster { "" } else { "default" };
        self.store.delete(resource, namespace, name, None).unwrap();
    }
}

fn both(claim: &str, volume: &str) -> (String, String) {
    (claim.to_owned(), volume.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_names_a_volume_is_bound() {
    let cluster = Cluster::new();
    cluster.claim("c", &json!({"spec": {"volumeName": "v"}}));
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("Pending", "gone"));
    cluster.volume("v", &json!({}));
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("Bound", "Bound"));
    let (claim, volume) = (
        cluster.get(CLAIMS, "c").unwrap(),
        cluster.get(VOLUMES, "v").unwrap(),
    );
    assert_eq!(
        claim["status"],
        json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}})
    );
    assert_eq!(
        claim["metadata"]["annotations"],
        json!({"pv.kubernetes.io/bind-completed": "yes"})
    );
    assert_eq!(
        claim["metadata"]["finalizers"],
        json!(["kubernetes.io/pvc-protection"])
    );
    assert_eq!(volume["spec"]["claimRef"]["uid"], claim["metadata"]["uid"]);
    assert_eq!(
        volume["metadata"]["annotations"],
        json!({"pv.kubernetes.io/bound-by-controller": "yes"})
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_names_a_claim_is_kept_for_it() {
    let cluster = Cluster::new();
    cluster.volume(
        "v",
        &json!({"spec": {"claimRef": {"namespace": "default", "name": "c"}}}),
    );
    cluster.claim("other", &json!({}));
    cluster.settle().await;
    assert_eq!(cluster.phases("other", "v"), both("Pending", "Available"));
    cluster.claim("c", &json!({}));
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("Bound", "Bound"));
    let annotations = &cluster.get(CLAIMS, "c").unwrap()["metadata"]["annotations"];
    assert_eq!(annotations["pv.kubernetes.io/bound-by-controller"], "yes");
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_names_a_claim_is_its_own_whatever_its_class_and_labels() {
    let cluster = Cluster::new();
    let kept = |name: &str| json!({"namespace": "default", "name": name});
    cluster.volume("free", &json!({"metadata": {"labels": {"a": "b"}}}));
    cluster.volume(
        "other",
        &json!({"spec": {"claimRef": kept("c"), "storageClassName": "gp3"}}),
    );
    cluster.claim("c", &json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}));
    for (name, mut spec) in [
        ("small", json!({"capacity": {"storage": "1Gi"}})),
        ("block", json!({"volumeMode": "Block"})),
        ("shared", json!({"accessModes": ["ReadOnlyMany"]})),
    ] {
        spec["claimRef"] = kept(name);
        cluster.volume(name, &json!({"spec": spec}));
        cluster.claim(name, &json!({"spec": {"storageClassName": "none"}}));
    }
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "other"), both("Bound", "Bound"));
    assert_eq!(cluster.phases("c", "free").1, "Available");
    for name in ["small", "block", "shared"] {
        assert_eq!(cluster.phases(name, name), both("Pending", "Available"), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_smallest_volume_that_suits_is_chosen() {
    let cluster = Cluster::new();
    cluster.volume("big", &json!({"spec": {"capacity": {"storage": "100Gi"}}}));
    cluster.volume("block", &json!({"spec": {"volumeMode": "Block"}}));
    cluster.volume("classy", &json!({"spec": {"storageClassName": "gp3"}}));
    cluster.volume("small", &json!({"spec": {"capacity": {"storage": "1Gi"}}}));
    cluster.volume("suits", &json!({"spec": {"capacity": {"storage": "20Gi"}}}));
    cluster.claim("c", &json!({}));
    cluster.settle().await;
    assert_eq!(
        text(&cluster.get(CLAIMS, "c").unwrap(), "/spec/volumeName"),
        "suits"
    );
    cluster.claim(
        "huge",
        &json!({"spec": {"resources": {"requests": {"storage": "1Ti"}}}}),
    );
    cluster.settle().await;
    assert_eq!(cluster.phases("huge", "big"), both("Pending", "Available"));
}

const SELECTED: &str = "volume.kubernetes.io/selected-node";
const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";

impl Cluster {
    fn class(&self, name: &str, change: &Value) {
        let mut class = json!({"metadata": {"name": name}, "provisioner": "p.csi"});
        json_patch::merge(&mut class, change);
        self.store.create(STORAGE_CLASSES, class).unwrap();
    }

    fn annotation(&self, claim: &str, name: &str) -> Option<String> {
        let claim = self.get(CLAIMS, claim).unwrap();
        Some(claim["metadata"]["annotations"].get(name)?.as_str()?.to_owned())
    }

    /// What a provisioner makes for a claim.
    fn provision(&self, claim: &str, change: &Value) {
        let claim = self.get(CLAIMS, claim).unwrap();
        let metadata = &claim["metadata"];
        let mut volume = json!({
            "metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "p.csi"}},
            "spec": {
                "storageClassName": claim["spec"]["storageClassName"], "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {
                    "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": "default",
                    "name": metadata["name"], "uid": metadata["uid"],
                },
            },
        });
        json_patch::merge(&mut volume, change);
        self.volume(&format!("pvc-{}", metadata["uid"].as_str().unwrap()), &volume);
    }

    /// The events of this reason.
    fn told(&self, reason: &str) -> usize {
        let events = self.store.list(EVENTS, None);
        let of_reason = |event: &&Arc<Object>| text(event.value(), "/reason") == reason;
        events.iter().filter(of_reason).count()
    }

    fn node_of(&self, pod: &str) -> String {
        text(&self.get(PODS, pod).unwrap(), "/spec/nodeName").to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_class_may_wait_for_a_pod() {
    let cluster = Cluster::new();
    cluster.class("late", &json!({"volumeBindingMode": "WaitForFirstConsumer"}));
    cluster.volume("v", &json!({"spec": {"storageClassName": "late"}}));
    cluster.claim("c", &json!({"spec": {"storageClassName": "late"}}));
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("Pending", "Available"));
    assert_eq!(cluster.told("WaitForFirstConsumer"), 1);
    cluster.store.create(PODS, pod("p", "c")).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("Bound", "Bound"));
    assert_eq!(cluster.annotation("c", SELECTED), None, "the volume was there");
    assert_eq!(cluster.node_of("p"), "sandbox");
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_class_is_marked_for_its_provisioner_and_bound_to_what_it_makes() {
    let cluster = Cluster::new();
    cluster.claim("c", &json!({"spec": {"storageClassName": "fast"}}));
    cluster.settle().await;
    assert_eq!(cluster.told("ProvisioningFailed"), 1, "there is no such class");
    cluster.class("fast", &json!({}));
    cluster.settle().await;
    for name in [PROVISIONER, "volume.beta.kubernetes.io/storage-provisioner"] {
        assert_eq!(cluster.annotation("c", name).as_deref(), Some("p.csi"), "{name}");
    }
    assert_eq!(cluster.told("ExternalProvisioning"), 1);
    cluster.provision("c", &json!({}));
    cluster.settle().await;
    let claim = cluster.get(CLAIMS, "c").unwrap();
    let volume = text(&claim, "/spec/volumeName").to_owned();
    assert_eq!(cluster.phases("c", &volume), both("Bound", "Bound"));
    for name in [
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
    ] {
        assert_eq!(cluster.annotation("c", name).as_deref(), Some("yes"), "{name}");
    }
    cluster.delete(CLAIMS, "c");
    cluster.settle().await;
    assert_eq!(
        cluster.phases("c", &volume),
        both("gone", "Released"),
        "its provisioner deletes it"
    );
}

#[tokio::test(start_paused = true)]
async fn the_scheduler_asks_for_a_volume_at_a_node_and_again_when_there_is_none() {
    let cluster = Cluster::new();
    cluster.class("late", &json!({"volumeBindingMode": "WaitForFirstConsumer"}));
    cluster.claim("c", &json!({"spec": {"storageClassName": "late"}}));
    cluster.settle().await;
    assert_eq!(cluster.annotation("c", PROVISIONER), None);
    cluster.store.create(PODS, pod("p", "c")).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.annotation("c", SELECTED).as_deref(), Some("sandbox"));
    assert_eq!(cluster.annotation("c", PROVISIONER).as_deref(), Some("p.csi"));
    assert_eq!(cluster.node_of("p"), "", "its volume comes first");
    // As a provisioner does that has no room there.
    let given_up = |claim: &mut Value| {
        claim["metadata"]["annotations"]
            .as_object_mut()
            .unwrap()
            .remove(SELECTED);
    };
    cluster.store.update(CLAIMS, "default", "c", given_up).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(cluster.annotation("c", SELECTED), None, "not at once");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.annotation("c", SELECTED).as_deref(), Some("sandbox"));
    cluster.provision("c", &json!({}));
    cluster.settle().await;
    assert_eq!(cluster.node_of("p"), "sandbox");
}

#[tokio::test(start_paused = true)]
async fn a_pod_goes_where_its_volumes_can_be_reached() {
    let cluster = Cluster::new();
    let affinity = |zone: &str| {
        let zone = json!({"key": "zone", "operator": "In", "values": [zone]});
        json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}}}})
    };
    cluster.volume("v", &affinity("a"));
    cluster.claim("c", &json!({}));
    cluster.store.create(PODS, pod("p", "c")).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.node_of("p"), "");
    let there = |node: &mut Value| set(node, "/metadata/labels", "zone", json!("a"));
    cluster.store.update(NODES, "", "sandbox", there).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.node_of("p"), "sandbox");
}

#[tokio::test(start_paused = true)]
async fn a_default_class_is_given_to_claims_that_are_older() {
    let cluster = Cluster::new();
    cluster.claim("c", &json!({"spec": {"storageClassName": null}}));
    cluster.settle().await;
    assert_eq!(cluster.told("FailedBinding"), 1);
    let marked =
        json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
    cluster.class("usual", &marked);
    cluster.settle().await;
    let claim = cluster.get(CLAIMS, "c").unwrap();
    assert_eq!(text(&claim, "/spec/storageClassName"), "usual");
    assert_eq!(cluster.annotation("c", PROVISIONER).as_deref(), Some("p.csi"));
}

#[tokio::test(start_paused = true)]
async fn what_was_in_tree_is_handed_to_the_driver_that_took_over() {
    let cluster = Cluster::new();
    for (name, provisioner) in [("ebs", "kubernetes.io/aws-ebs"), ("other", "kubernetes.io/other")] {
        cluster.class(name, &json!({"provisioner": provisioner}));
        cluster.claim(name, &json!({"spec": {"storageClassName": name}}));
    }
    cluster.volume(
        "v",
        &json!({"spec": {"csi": null, "awsElasticBlockStore": {"volumeID": "vol-1"}}}),
    );
    cluster.settle().await;
    let migrated = "pv.kubernetes.io/migrated-to";
    assert_eq!(
        cluster.annotation("ebs", PROVISIONER).as_deref(),
        Some("kubernetes.io/aws-ebs")
    );
    assert_eq!(
        cluster.annotation("ebs", migrated).as_deref(),
        Some("ebs.csi.aws.com")
    );
    assert_eq!(cluster.annotation("other", PROVISIONER), None);
    let volume = cluster.get(VOLUMES, "v").unwrap();
    assert_eq!(volume["metadata"]["annotations"][migrated], "ebs.csi.aws.com");
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_was_made_for_a_claim_which_is_bound_elsewhere_is_released() {
    let cluster = Cluster::new();
    cluster.class("fast", &json!({}));
    cluster.volume("v", &json!({"spec": {"storageClassName": "fast"}}));
    cluster.claim("c", &json!({"spec": {"storageClassName": "fast"}}));
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("Bound", "Bound"));
    cluster.provision("c", &json!({}));
    cluster.settle().await;
    let claim = cluster.get(CLAIMS, "c").unwrap();
    let made = format!("pvc-{}", text(&claim, "/metadata/uid"));
    assert_eq!(cluster.phases("c", &made), both("Bound", "Released"));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_claim_releases_its_volume_and_a_deleted_volume_waits_for_its_claim() {
    let cluster = Cluster::new();
    cluster.volume("v", &json!({}));
    cluster.claim("c", &json!({}));
    cluster.settle().await;
    cluster.delete(VOLUMES, "v");
    cluster.settle().await;
    assert_eq!(
        cluster.phases("c", "v"),
        both("Bound", "Bound"),
        "protected while bound"
    );
    cluster.delete(CLAIMS, "c");
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("gone", "gone"));
    cluster.volume("w", &json!({}));
    cluster.claim("d", &json!({}));
    cluster.settle().await;
    cluster.delete(CLAIMS, "d");
    cluster.settle().await;
    assert_eq!(cluster.phases("d", "w"), both("gone", "Released"));
    cluster.claim("d", &json!({}));
    cluster.settle().await;
    assert_eq!(
        cluster.phases("d", "w"),
        both("Pending", "Released"),
        "another claim of the same name"
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_volume_is_gone_is_lost() {
    let cluster = Cluster::new();
    cluster.volume("v", &json!({}));
    cluster.claim("c", &json!({}));
    cluster.settle().await;
    cluster.store.delete(VOLUMES, "", "v", None).unwrap();
    cluster
        .store
        .update(VOLUMES, "", "v", |volume| {
            set(volume, "/metadata", "finalizers", json!([]))
        })
        .unwrap();
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("Lost", "gone"));
}

fn pod(name: &str, claim: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "containers": [{"name": "a", "image": "i"}],
            "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": claim}}],
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_once_its_claim_is_bound_and_keeps_it() {
    let cluster = Cluster::new();
    cluster.store.create(PODS, pod("p", "c")).unwrap();
    cluster.claim("c", &json!({}));
    cluster.settle().await;
    let phase = |cluster: &Cluster| text(&cluster.get(PODS, "p").unwrap(), "/status/phase").to_owned();
    assert_eq!(phase(&cluster), "Pending");
    cluster.volume("v", &json!({}));
    cluster.settle().await;
    assert_eq!(phase(&cluster), "Running");
    assert_eq!(
        text(&cluster.get(PODS, "p").unwrap(), "/spec/nodeName"),
        "sandbox"
    );
    cluster.delete(CLAIMS, "c");
    cluster.settle().await;
    assert_eq!(
        cluster.phases("c", "v"),
        both("Bound", "Bound"),
        "used by the pod"
    );
    cluster.delete(PODS, "p");
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("gone", "Released"));
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_kept_until_its_pod_is_gone_though_that_has_ended() {
    let cluster = Cluster::new();
    cluster.volume("v", &json!({}));
    cluster.claim("c", &json!({}));
    cluster.store.create(PODS, pod("p", "c")).unwrap();
    cluster.settle().await;
    let ended = |pod: &mut Value| set(pod, "/status", "phase", json!("Succeeded"));
    cluster.store.update_status(PODS, "default", "p", ended).unwrap();
    cluster.delete(CLAIMS, "c");
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("Bound", "Bound"));
    assert!(is_deleting(&cluster.get(CLAIMS, "c").unwrap()));
    cluster.delete(PODS, "p");
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("gone", "Released"));
}

#[tokio::test(start_paused = true)]
async fn a_claim_for_one_pod_alone_is_had_by_one_after_the_other() {
    let cluster = Cluster::new();
    let alone = json!({"spec": {"accessModes": ["ReadWriteOncePod"]}});
    let names = ["one", "two", "three"];
    for name in names {
        cluster.store.create(PODS, pod(name, "c")).unwrap();
    }
    cluster.claim("c", &alone);
    cluster.volume("v", &alone);
    let placed = || {
        let placed = |name: &&str| cluster.get(PODS, name).is_some() && !cluster.node_of(name).is_empty();
        names.into_iter().filter(placed).collect::<Vec<_>>()
    };
    cluster.settle().await;
    let [first] = placed()[..] else {
        panic!("{:?} have it", placed());
    };
    let ended = |pod: &mut Value| set(pod, "/status", "phase", json!("Failed"));
    cluster
        .store
        .update_status(PODS, "default", first, ended)
        .unwrap();
    cluster.settle().await;
    let mut others = placed();
    others.retain(|name| *name != first);
    let [second] = others[..] else {
        panic!("{others:?} have it");
    };
    cluster.delete(PODS, second);
    cluster.settle().await;
    assert_eq!(placed().len(), 2, "that which has ended, and the last");
}

#[tokio::test(start_paused = true)]
async fn every_namespace_has_a_default_account() {
    let cluster = Cluster::new();
    cluster
        .store
        .create(NAMESPACES, json!({"metadata": {"name": "mine"}}))
        .unwrap();
    cluster.settle().await;
    for namespace in ["default", "kube-system", "mine"] {
        assert!(
            cluster
                .store
                .get(SERVICE_ACCOUNTS, namespace, "default")
                .is_some(),
            "{namespace}"
        );
    }
    cluster.store.delete(NAMESPACES, "", "mine", None).unwrap();
    cluster.settle().await;
    assert!(cluster.get(NAMESPACES, "mine").is_none());
}

#[tokio::test(start_paused = true)]
async fn actors_end_when_the_scope_stops() {
    let cluster = Cluster::new();
    cluster.settle().await;
    cluster.scope.stop();
    cluster.scope.finished().await;
}

#[tokio::test(start_paused = true)]
async fn settled_objects_are_written_no_more() {
    let cluster = Cluster::new();
    cluster.volume("v", &json!({}));
    cluster.claim("c", &json!({}));
    cluster.store.create(DEPLOYMENTS, deployment(1)).unwrap();
    cluster.settle().await;
    let revision = cluster.server.revision();
    cluster
        .store
        .update(CLAIMS, "default", "c", |claim| {
            set(claim, "/metadata/labels", "a", json!("b"))
        })
        .unwrap();
    cluster.settle().await;
    assert_eq!(cluster.server.revision(), revision + 1);
}

#[tokio::test(start_paused = true)]
async fn an_attributes_class_is_kept_while_a_claim_or_a_volume_names_it() {
    let cluster = Cluster::new();
    for name in ["gold", "silver", "idle"] {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": name},
            "driverName": "ebs.csi.aws.com", "parameters": {"iops": "4000"},
        });
        cluster.store.create(ATTRIBUTES_CLASSES, class).unwrap();
    }
    let class = |name: &str| json!({"spec": {"volumeAttributesClassName": name}});
    cluster.volume("v", &class("gold"));
    cluster.claim("c", &class("gold"));
    cluster.settle().await;
    assert_eq!(cluster.phases("c", "v"), both("Bound", "Bound"));
    let current = |cluster: &Cluster| {
        let claim = cluster.get(CLAIMS, "c").unwrap();
        text(&claim, "/status/currentVolumeAttributesClassName").to_owned()
    };
    assert_eq!(current(&cluster), "gold", "as at provisioning");
    let target = json!({"status": "InProgress", "targetVolumeAttributesClassName": "silver"});
    let change = |claim: &mut Value| claim["status"]["modifyVolumeStatus"] = target.clone();
    cluster
        .store
        .update_status(CLAIMS, "default", "c", change)
        .unwrap();
    for name in ["gold", "silver", "idle"] {
        cluster.delete(ATTRIBUTES_CLASSES, name);
    }
    cluster.settle().await;
    let there = |name: &str| cluster.get(ATTRIBUTES_CLASSES, name).is_some();
    assert_eq!(
        [there("gold"), there("silver"), there("idle")],
        [true, true, false]
    );
    cluster.delete(CLAIMS, "c");
    cluster.settle().await;
    assert!(there("gold") && !there("silver"), "the volume has it still");
    cluster.delete(VOLUMES, "v");
    cluster.settle().await;
    assert!(!there("gold"));
}
