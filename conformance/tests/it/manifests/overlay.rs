//! `examples/20-kustomize`: what it changes of `deploy/ebs`, and that the API server takes it.

use serde_json::{Value, json};

use super::{ACCOUNT, LAYER};
use crate::pods::{containers, flags_are_known, named, of_kind, texts, tolerates_only};
use crate::shared::{self, Guard, repository};
use crate::stored;

const OVERLAY: &str = "examples/20-kustomize/overlay";
const OWN_NAMESPACE: &str = "examples/20-kustomize/own-namespace";
const REGISTRY: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com/";

/// The objects of a folder, as the API server would store them.
fn would_be(plane: &Guard, folder: &str) -> Vec<Value> {
    let folder = repository().join(folder).display().to_string();
    stored::would_be(&plane.kubectl(), &folder)
}

/// What the controller and the nodes are told.
fn pods_are_changed(objects: &[Value]) {
    let deployment = named(objects, "Deployment", "ebs-csi-controller").unwrap();
    assert_eq!(deployment["spec"]["replicas"], 3);
    let pod = &deployment["spec"]["template"]["spec"];
    // Beside what was there.
    let selector = json!({ "kubernetes.io/os": "linux", "pool": "system" });
    assert_eq!(pod["nodeSelector"], selector);
    let tolerations = pod["tolerations"].as_array().unwrap();
    let added = json!({ "key": "pool", "value": "system", "effect": "NoSchedule" });
    assert!(
        tolerations.len() == 3 && tolerations.contains(&added),
        "{tolerations:?}"
    );
    let [plugin] = containers(deployment) else {
        panic!("{deployment}")
    };
    let region = json!({ "name": "AWS_REGION", "value": "us-east-1" });
    let env = plugin["env"].as_array().unwrap();
    assert!(env.contains(&region) && env.len() > 1, "{env:?}");
    let args = texts(&plugin["args"]);
    for arg in [
        "--driver.extra-tags=team=storage,cost-centre=4711",
        "--driver.k8s-tag-cluster-id=production",
        "--driver.batching=true",
    ] {
        assert!(args.contains(&arg), "{arg} in {args:?}");
    }
    let nodes = named(objects, "DaemonSet", "ebs-csi-node").unwrap();
    tolerates_only(nodes, &["pool"]);
    for object in [deployment, nodes] {
        flags_are_known(object);
        for container in containers(object) {
            let image = container["image"].as_str().unwrap();
            assert!(
                image.starts_with(REGISTRY) && image.ends_with(":v0.1.0"),
                "{image}"
            );
        }
    }
}

#[tokio::test]
async fn the_overlay_changes_what_it_says() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let objects = would_be(&plane, OVERLAY);
    pods_are_changed(&objects);
    let account = &named(&objects, "ServiceAccount", ACCOUNT).unwrap()["metadata"];
    let role = "arn:aws:iam::111122223333:role/ebs-csi-controller";
    assert_eq!(account["annotations"]["eks.amazonaws.com/role-arn"], role);
    // Those of the component.
    assert_eq!(of_kind(&objects, "Service").len(), 6);
}

/// Where an object or the subject of a binding is.
fn namespaces(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().flat_map(|object| {
        let subjects = object["subjects"].as_array().into_iter().flatten();
        let subjects = subjects.map(|subject| &subject["namespace"]);
        std::iter::once(&object["metadata"]["namespace"])
            .filter(|namespace| !namespace.is_null())
            .chain(subjects)
    })
}

#[tokio::test]
async fn the_overlay_can_go_into_a_namespace_of_its_own() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    // A dry run makes no namespace for what comes after it.
    plane.service_account("ebs-csi", "nobody").await.unwrap();
    let objects = would_be(&plane, OWN_NAMESPACE);
    pods_are_changed(&objects);
    let (elsewhere, there): (Vec<_>, Vec<_>) =
        namespaces(&objects).partition(|namespace| **namespace != "ebs-csi");
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    // Accounts, a role and bindings, a budget, two kinds of pods, Services.
    assert!(there.len() > 15, "{}", there.len());
    let namespace = named(&objects, "Namespace", "ebs-csi").unwrap();
    let enforced = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(enforced, "privileged");
}
