//! Claims that are made for pods, by StatefulSets and for ephemeral volumes, and where such pods go.

use super::*;

fn ephemeral_pod() -> Value {
    let mut pod = pod("p", "");
    pod["spec"]["volumes"] = json!([{"name": "d", "ephemeral": {"volumeClaimTemplate": {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""},
    }}}]);
    pod
}

fn phase(cluster: &Cluster, pod: &str) -> String {
    let pod = cluster.get(PODS, pod);
    pod.map_or_else(|| "gone".to_owned(), |pod| text(&pod, "/status/phase").to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_volume_has_a_claim_that_goes_with_its_pod() {
    let cluster = Cluster::new();
    cluster.store.create(PODS, ephemeral_pod()).unwrap();
    cluster.settle().await;
    assert_eq!(phase(&cluster, "p"), "Pending");
    let claim = cluster.get(CLAIMS, "p-d").unwrap();
    assert_eq!(claim["metadata"]["labels"]["a"], "b");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1Gi");
    cluster.volume("v", &json!({}));
    cluster.settle().await;
    assert_eq!(
        (phase(&cluster, "p"), cluster.phases("p-d", "v").0),
        both("Running", "Bound")
    );
    cluster.delete(CLAIMS, "p-d");
    cluster.settle().await;
    assert_eq!(
        cluster.phases("p-d", "v"),
        both("Bound", "Bound"),
        "the pod uses it"
    );
    cluster.delete(PODS, "p");
    cluster.settle().await;
    assert_eq!(cluster.phases("p-d", "v"), both("gone", "Released"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_a_finalizer_alone_keeps_frees_the_claim_that_was_made_for_it() {
    let cluster = Cluster::new();
    let mut held = ephemeral_pod();
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    let named = json!({"name": "n", "persistentVolumeClaim": {"claimName": "c"}});
    held["spec"]["volumes"].as_array_mut().unwrap().push(named);
    cluster.claim("c", &json!({}));
    cluster.volume("v", &json!({}));
    cluster.volume("w", &json!({}));
    cluster.store.create(PODS, held).unwrap();
    cluster.settle().await;
    assert_eq!(phase(&cluster, "p"), "Running");
    cluster.delete(PODS, "p");
    cluster.delete(CLAIMS, "p-d");
    cluster.delete(CLAIMS, "c");
    cluster.settle().await;
    assert_eq!(phase(&cluster, "p"), "Running", "it is held");
    assert!(cluster.get(CLAIMS, "p-d").is_none());
    assert!(cluster.get(CLAIMS, "c").is_some(), "one that it names stays");
    let free = |pod: &mut Value| set(pod, "/metadata", "finalizers", json!([]));
    cluster.store.update(PODS, "default", "p", free).unwrap();
    cluster.settle().await;
    assert!(cluster.get(CLAIMS, "c").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_while_another_claim_has_the_name_of_its_own() {
    let cluster = Cluster::new();
    cluster.claim("p-d", &json!({}));
    cluster.volume("v", &json!({}));
    cluster.store.create(PODS, ephemeral_pod()).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.phases("p-d", "v"), both("Bound", "Bound"));
    assert_eq!(cluster.node_of("p"), "");
    cluster.delete(CLAIMS, "p-d");
    cluster.volume("w", &json!({}));
    cluster.settle().await;
    assert_eq!(cluster.phases("p-d", "w"), both("Bound", "Bound"));
    assert_eq!(phase(&cluster, "p"), "Running");
}

fn stateful_set(change: &Value) -> Value {
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "",
            }}],
        },
    });
    json_patch::merge(&mut set, change);
    set
}

impl Cluster {
    fn status(&self, field: &str) -> Value {
        self.get(STATEFUL_SETS, "db").unwrap()["status"][field].clone()
    }

    fn change_set(&self, change: impl FnOnce(&mut Value)) {
        self.store.update(STATEFUL_SETS, "default", "db", change).unwrap();
    }

    fn uid_of(&self, pod: &str) -> String {
        text(&self.get(PODS, pod).unwrap(), "/metadata/uid").to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn the_pods_of_a_stateful_set_come_one_by_one_and_find_their_claims_again() {
    let cluster = Cluster::new();
    cluster
        .store
        .create(STATEFUL_SETS, stateful_set(&json!({})))
        .unwrap();
    cluster.settle().await;
    assert_eq!(
        (phase(&cluster, "db-0"), phase(&cluster, "db-1")),
        both("Pending", "gone")
    );
    cluster.volume("v", &json!({}));
    cluster.settle().await;
    assert_eq!(
        (phase(&cluster, "db-0"), phase(&cluster, "db-1")),
        both("Running", "Pending")
    );
    cluster.volume("w", &json!({}));
    cluster.settle().await;
    assert_eq!(
        (cluster.status("readyReplicas"), cluster.status("replicas")),
        (json!(2), json!(2))
    );
    let pod = cluster.get(PODS, "db-1").unwrap();
    assert_eq!(
        pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
        "data-db-1"
    );
    assert_eq!(
        (text(&pod, "/spec/hostname"), text(&pod, "/spec/subdomain")),
        ("db-1", "db")
    );
    assert_eq!(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "1");
    assert_eq!(
        cluster.get(CLAIMS, "data-db-1").unwrap()["metadata"]["labels"]["app"],
        "db"
    );

    cluster.change_set(|set_| set(set_, "/spec", "replicas", json!(1)));
    cluster.settle().await;
    assert_eq!(
        (phase(&cluster, "db-0"), phase(&cluster, "db-1")),
        both("Running", "gone")
    );
    assert_eq!(cluster.phases("data-db-1", "w"), both("Bound", "Bound"));
    cluster.change_set(|set_| set(set_, "/spec", "replicas", json!(2)));
    cluster.settle().await;
    assert_eq!(phase(&cluster, "db-1"), "Running");
    assert_eq!(cluster.server.count(CLAIMS), 2);

    cluster.delete(STATEFUL_SETS, "db");
    cluster.settle().await;
    assert_eq!((cluster.server.count(PODS), cluster.server.count(CLAIMS)), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_new_template_renews_the_pods_and_a_set_adopts_those_that_were_left() {
    let cluster = Cluster::new();
    let set_without_claims = stateful_set(&json!({"spec": {"volumeClaimTemplates": null}}));
    cluster
        .store
        .create(STATEFUL_SETS, set_without_claims.clone())
        .unwrap();
    cluster.settle().await;
    let (first, second) = (cluster.uid_of("db-0"), cluster.uid_of("db-1"));
    let former = cluster.status("currentRevision");
    let image = |set_: &mut Value| set_["spec"]["template"]["spec"]["containers"][0]["image"] = json!("j");
    cluster.change_set(image);
    cluster.settle().await;
    assert!(cluster.uid_of("db-0") != first && cluster.uid_of("db-1") != second);
    assert_eq!(
        cluster.status("currentRevision"),
        cluster.status("updateRevision")
    );
    assert_ne!(cluster.status("currentRevision"), former);

    let left = cluster.uid_of("db-0");
    let orphan = |set_: &mut Value| set(set_, "/metadata", "finalizers", json!(["orphan"]));
    cluster.change_set(orphan);
    cluster.delete(STATEFUL_SETS, "db");
    cluster.settle().await;
    assert!(cluster.get(STATEFUL_SETS, "db").is_none());
    let mut again = set_without_claims;
    image(&mut again);
    cluster.store.create(STATEFUL_SETS, again).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.uid_of("db-0"), left, "not restarted");
    assert_eq!(cluster.status("readyReplicas"), 2);
    cluster.delete(STATEFUL_SETS, "db");
    cluster.settle().await;
    assert_eq!(cluster.server.count(PODS), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_to_be_spread_waits_for_another_one_to_go() {
    let cluster = Cluster::new();
    let label = |node: &mut Value| set(node, "/metadata/labels", "zone", json!("a"));
    cluster.store.create(PODS, pod("first", "")).unwrap();
    cluster.settle().await;
    cluster.store.update(NODES, "", "sandbox", label).unwrap();
    let mut spread = json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {"volumes": null, "topologySpreadConstraints": [{
            "maxSkew": 1, "minDomains": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "x"}},
        }]},
    });
    for name in ["one", "two"] {
        spread["metadata"]["name"] = json!(name);
        let mut made = pod(name, "");
        json_patch::merge(&mut made, &spread);
        cluster.store.create(PODS, made).unwrap();
        cluster.settle().await;
    }
    assert_eq!(
        (cluster.node_of("one"), cluster.node_of("two")),
        both("sandbox", "")
    );
    cluster.delete(PODS, "one");
    cluster.settle().await;
    assert_eq!(cluster.node_of("two"), "sandbox");
}
