//! From a release to the manifests and back, as `docs/install.md` tells it.

use conformance::until;
use serde_json::{Value, json};

use super::site::Site;
use super::{CONTROLLER, Helm, NODE, RELEASE, chart};
use crate::pods::{containers, documents};
use crate::shared::{PATIENCE, repository};
use crate::stored;

/// The objects of a folder of `deploy/ebs`.
fn manifests(site: &Site, shape: &str) -> (String, Vec<Value>) {
    let folder = repository().join("deploy/ebs").join(shape).display().to_string();
    let objects = site.plane.kubectl().ok(&["kustomize", &folder]).unwrap();
    (folder, documents(&objects))
}

/// None of them is left, once the garbage is collected.
async fn are_gone(site: &Site, objects: &[Value]) {
    let kubectl = site.plane.kubectl();
    let left = until("nothing is left", PATIENCE, async || {
        stored::still_there(&kubectl, objects).is_empty().then_some(())
    });
    left.await
        .unwrap_or_else(|error| panic!("{error}: {}", stored::still_there(&kubectl, objects)));
}

/// `helm uninstall`, then at once `kubectl apply`, which meets nobody's fields.
async fn to_manifests(site: &Site, helm: &Helm, shape: &str) -> Vec<Value> {
    let run = |args: &[&str]| site.by(helm, args).unwrap();
    run(&[
        "install",
        RELEASE,
        &chart(),
        "--set=slackwater.viewerRole.enabled=true",
    ]);
    let made = documents(&run(&["get", "manifest", RELEASE]));
    assert!(made.len() > 15, "{}", made.len());
    run(&["uninstall", RELEASE]);
    are_gone(site, &made).await;
    let (folder, objects) = manifests(site, shape);
    site.plane
        .kubectl()
        .ok(&["apply", "--server-side", "-k", &folder])
        .unwrap();
    stored::folder_would_not_change(&site.plane.kubectl(), &folder);
    let labels = &site.object("deployment", CONTROLLER)["metadata"]["labels"];
    assert!(labels["app.kubernetes.io/instance"].is_null(), "{labels}");
    objects
}

/// Selectors cannot be changed, so what has some goes first.
async fn to_a_release(site: &Site, helm: &Helm, more: &[&str], made: &[Value]) {
    site.delete("deployment", CONTROLLER);
    site.delete("daemonset", NODE);
    let upgrade = ["upgrade", "--install", RELEASE, &chart(), "--take-ownership"];
    site.by(helm, &[&upgrade[..], more].concat()).unwrap();
    let deployment = site.object("deployment", CONTROLLER);
    assert_eq!(containers(&deployment).len(), 6);
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    assert_eq!(selector["app.kubernetes.io/instance"], RELEASE);
    for (kind, name) in [
        ("clusterrole", "ebs-csi-node-role"),
        ("csidriver", "ebs.csi.aws.com"),
    ] {
        let owner = &site.object(kind, name)["metadata"]["annotations"]["meta.helm.sh/release-name"];
        assert_eq!(*owner, json!(RELEASE), "{kind}");
    }
    site.by(helm, &["uninstall", RELEASE]).unwrap();
    are_gone(site, made).await;
}

#[tokio::test]
async fn a_release_makes_place_for_the_manifests_and_they_for_a_release() {
    let Some(site) = Site::find().await else { return };
    for (helm, shape, more) in [
        (&site.helm, "drop-in", &["--force-conflicts"][..]),
        (&site.third, "all-in-one", &[]),
    ] {
        let made = to_manifests(&site, helm, shape).await;
        to_a_release(&site, helm, more, &made).await;
    }
}

/// A Deployment as upstream's manifests have it: its images have an entry point, and so no container names a command.
const UPSTREAM: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: ebs-csi-controller, namespace: kube-system }
spec:
  selector: { matchLabels: { app: ebs-csi-controller, app.kubernetes.io/name: aws-ebs-csi-driver } }
  template:
    metadata: { labels: { app: ebs-csi-controller, app.kubernetes.io/name: aws-ebs-csi-driver } }
    spec:
      containers: [{ name: ebs-plugin, image: upstream }]
"#;

#[tokio::test]
async fn an_application_by_the_server_alone_takes_our_commands_away() {
    let Some(site) = Site::find().await else { return };
    let kubectl = site.plane.kubectl();
    let (folder, objects) = manifests(&site, "drop-in");
    kubectl.ok(&["apply", "--server-side", "-k", &folder]).unwrap();
    let command = || containers(&site.object("deployment", CONTROLLER))[0]["command"].clone();
    kubectl.ok_with(&["apply", "-f", "-"], UPSTREAM).unwrap();
    assert_eq!(command(), json!(["slackwater", "aws-ebs-csi-driver"]));
    let by_server = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    kubectl.ok_with(&by_server, UPSTREAM).unwrap();
    assert_eq!(command(), Value::Null);
    kubectl.ok(&["delete", "-k", &folder]).unwrap();
    are_gone(&site, &objects).await;
}
