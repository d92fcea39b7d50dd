//! Objects that others own, and the pods of a Deployment.

use super::*;

pub(super) fn deployment(replicas: u64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}},
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_deployment_runs_pods_which_go_with_it() {
    let cluster = Cluster::new();
    cluster.store.create(DEPLOYMENTS, deployment(2)).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.server.count(PODS), 2);
    assert_eq!(
        cluster.get(DEPLOYMENTS, "d").unwrap()["status"]["readyReplicas"],
        2
    );
    cluster
        .store
        .update(DEPLOYMENTS, "default", "d", |object| {
            set(object, "/spec", "replicas", json!(1))
        })
        .unwrap();
    cluster.settle().await;
    assert_eq!(cluster.server.count(PODS), 1);
    cluster.delete(DEPLOYMENTS, "d");
    cluster.settle().await;
    assert_eq!(
        (cluster.server.count(REPLICA_SETS), cluster.server.count(PODS)),
        (0, 0)
    );
}

const CONFIG_MAPS: GroupResource<'static> = GroupResource::new("", "configmaps");

fn config_map(cluster: &Cluster, name: &str, owners: &[&Arc<Object>]) -> Arc<Object> {
    let owners: Vec<Value> = owners
        .iter()
        .map(|owner| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner.name(), "uid": owner.uid(), "blockOwnerDeletion": true}))
        .collect();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default", "ownerReferences": owners}});
    cluster.store.create(CONFIG_MAPS, map).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_object_goes_with_its_last_owner() {
    let cluster = Cluster::new();
    let (first, second) = (
        config_map(&cluster, "first", &[]),
        config_map(&cluster, "second", &[]),
    );
    config_map(&cluster, "child", &[&first, &second]);
    cluster.settle().await;
    cluster.delete(CONFIG_MAPS, "first");
    cluster.settle().await;
    let child = cluster.get(CONFIG_MAPS, "child").unwrap();
    assert_eq!(items(&child, "/metadata/ownerReferences").len(), 1);
    cluster.delete(CONFIG_MAPS, "second");
    cluster.settle().await;
    assert!(cluster.get(CONFIG_MAPS, "child").is_none());
    config_map(&cluster, "orphan", &[&first]);
    cluster.settle().await;
    assert!(
        cluster.get(CONFIG_MAPS, "orphan").is_none(),
        "its owner never was"
    );
}

#[tokio::test(start_paused = true)]
async fn owners_may_wait_for_their_dependents_or_leave_them() {
    let cluster = Cluster::new();
    for (finalizer, child_stays) in [("foregroundDeletion", false), ("orphan", true)] {
        let parent = config_map(&cluster, "parent", &[]);
        config_map(&cluster, "child", &[&parent]);
        let note = |object: &mut Value| set(object, "/metadata", "finalizers", json!([finalizer]));
        cluster
            .store
            .update(CONFIG_MAPS, "default", "parent", note)
            .unwrap();
        cluster.delete(CONFIG_MAPS, "parent");
        cluster.settle().await;
        assert!(cluster.get(CONFIG_MAPS, "parent").is_none(), "{finalizer}");
        assert_eq!(
            cluster.get(CONFIG_MAPS, "child").is_some(),
            child_stays,
            "{finalizer}"
        );
    }
}
