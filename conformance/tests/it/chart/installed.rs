//! Releases in the real API server. No pod ever runs there.

use serde_json::{Value, json};

use super::{CONTROLLER, Helm, LAYER, NODE, RELEASE, chart, everything};
use crate::pods::containers;
use crate::shared;

/// What an upgrade from upstream's chart meets: objects of its names, with the selectors that cannot be changed.
const UPSTREAM: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: ebs-csi-controller, namespace: kube-system }
spec:
  selector:
    matchLabels:
      app: ebs-csi-controller
      app.kubernetes.io/name: aws-ebs-csi-driver
      app.kubernetes.io/instance: {{ .Release.Name }}
  template:
    metadata:
      labels:
        app: ebs-csi-controller
        app.kubernetes.io/name: aws-ebs-csi-driver
        app.kubernetes.io/instance: {{ .Release.Name }}
    spec:
      serviceAccountName: ebs-csi-controller-sa
      containers: [{ name: ebs-plugin, image: upstream }]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: ebs-csi-node, namespace: kube-system }
spec:
  selector:
    matchLabels:
      app: ebs-csi-node
      app.kubernetes.io/name: aws-ebs-csi-driver
      app.kubernetes.io/instance: {{ .Release.Name }}
  template:
    metadata:
      labels:
        app: ebs-csi-node
        app.kubernetes.io/name: aws-ebs-csi-driver
        app.kubernetes.io/instance: {{ .Release.Name }}
    spec:
      containers: [{ name: ebs-plugin, image: upstream }]
---
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: { name: ebs.csi.aws.com }
spec: { attachRequired: true, podInfoOnMount: false, fsGroupPolicy: File }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: ebs-csi-controller-sa, namespace: kube-system }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: ebs-csi-resizer-binding }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ebs-external-resizer-role }
subjects: [{ kind: ServiceAccount, name: ebs-csi-controller-sa, namespace: kube-system }]
"#;

fn upstream() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("templates")).unwrap();
    for (file, text) in [
        (
            "Chart.yaml",
            "apiVersion: v2\nname: aws-ebs-csi-driver\nversion: 2.64.0\n",
        ),
        ("templates/all.yaml", UPSTREAM),
    ] {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

#[tokio::test]
async fn the_api_server_takes_every_object_of_the_chart() {
    let Some(helm) = Helm::find() else { return };
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    for values in [
        json!({}),
        json!({ "slackwater": { "mode": "allInOne" } }),
        everything("dropin"),
        everything("allInOne"),
    ] {
        let text = helm
            .template(RELEASE, &values, &["--kube-version=1.37.0"])
            .unwrap();
        let args = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "--validate=strict",
            "-f",
            "-",
        ];
        let said = plane.kubectl().ok_with(&args, &text).unwrap();
        assert!(said.contains("deployment.apps/ebs-csi-controller"), "{said}");
    }
}

#[tokio::test]
async fn journeys_case_4_and_60_and_81_and_84_and_85_a_release_goes_from_upstream_to_ours_and_back() {
    let Some(helm) = Helm::find() else { return };
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let (user, kubectl, chart) = (plane.admin(), plane.kubectl(), chart());
    let other = upstream();
    let other = other.path().display().to_string();
    let helm = |args: &[&str]| helm.with(user, &[args, &["--namespace=kube-system"]].concat());
    let object = |kind: &str, name: &str| -> Value {
        let found = kubectl
            .ok(&["get", kind, name, "-n", "kube-system", "-o", "json"])
            .unwrap();
        serde_json::from_str(&found).unwrap()
    };
    helm(&["install", RELEASE, &other]).unwrap();
    let before = object("deployment", CONTROLLER)["metadata"]["uid"].clone();
    // The command of the tutorial but for chart and version; nothing runs here that --wait could wait for.
    let said = helm(&[
        "upgrade",
        RELEASE,
        &chart,
        "--install",
        "--set=controller.serviceAccount.create=false",
        "--set=controller.serviceAccount.name=aws-ebs-controller",
    ])
    .unwrap();
    assert!(
        said.contains("no node service for Windows") && said.contains("slackwater.upstreamRights"),
        "{said}"
    );
    let deployment = object("deployment", CONTROLLER);
    assert_eq!(deployment["metadata"]["uid"], before, "it was made anew");
    assert_eq!(
        deployment["spec"]["template"]["spec"]["serviceAccountName"],
        "aws-ebs-controller"
    );
    assert_eq!(containers(&deployment).len(), 6);
    let gone = kubectl.run(&[
        "get",
        "serviceaccount",
        "ebs-csi-controller-sa",
        "-n",
        "kube-system",
    ]);
    assert!(gone.unwrap().stderr.contains("not found"));
    // Into one container, and back through both.
    helm(&["upgrade", RELEASE, &chart, "--set=slackwater.mode=allInOne"]).unwrap();
    assert_eq!(containers(&object("deployment", CONTROLLER)).len(), 1);
    helm(&["rollback", RELEASE, "2"]).unwrap();
    assert_eq!(containers(&object("deployment", CONTROLLER)).len(), 6);
    helm(&["rollback", RELEASE, "1"]).unwrap();
    let deployment = object("deployment", CONTROLLER);
    assert_eq!(deployment["metadata"]["uid"], before);
    assert_eq!(containers(&deployment)[0]["image"], "upstream");
    assert_eq!(object("daemonset", NODE)["metadata"]["name"], NODE);

    // What belongs to the users stays, and so do the definitions.
    helm(&["upgrade", RELEASE, &chart]).unwrap();
    let kept = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": { "name": "kept" },
        "spec": { "source": { "persistentVolumeClaimName": "none" } },
    });
    kubectl
        .ok_with(&["create", "-f", "-"], &kept.to_string())
        .unwrap();
    helm(&["uninstall", RELEASE]).unwrap();
    let gone = kubectl
        .run(&["get", "deployment", CONTROLLER, "-n", "kube-system"])
        .unwrap();
    assert!(gone.stderr.contains("not found"), "{gone:?}");
    kubectl.ok(&["delete", "volumesnapshot", "kept"]).unwrap();
}

#[tokio::test]
async fn what_the_cluster_has_already_is_told() {
    let Some(helm) = Helm::find() else { return };
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let (user, kubectl, chart) = (plane.admin(), plane.kubectl(), chart());
    let install = |namespace: &str, more: &[&str]| {
        let namespace = format!("--namespace={namespace}");
        let args = ["install", "mine", &chart, "--create-namespace", &namespace];
        helm.with(user, &[&args[..], more].concat())
    };
    let other = upstream();
    let other = other.path().display().to_string();
    helm.with(user, &["install", RELEASE, &other, "--namespace=kube-system"])
        .unwrap();
    // Helm itself refuses objects of another release.
    let refusal = install("kube-system", &[]).unwrap_err();
    assert!(
        refusal.contains("ebs-csi-controller") && refusal.contains(RELEASE),
        "{refusal}"
    );
    let refusal = install("elsewhere", &[]).unwrap_err();
    assert!(refusal.contains("do everything twice"), "{refusal}");
    helm.with(user, &["uninstall", RELEASE, "--namespace=kube-system"])
        .unwrap();

    let snapshots = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "snapshot-controller", "namespace": "kube-system" },
        "spec": {
            "selector": { "matchLabels": { "app": "snapshot-controller" } },
            "template": {
                "metadata": { "labels": { "app": "snapshot-controller" } },
                "spec": { "containers": [{ "name": "snapshot-controller", "image": "upstream" }] },
            },
        },
    });
    kubectl
        .ok_with(&["create", "-f", "-"], &snapshots.to_string())
        .unwrap();
    let refusal = install(
        "kube-system",
        &["--set=slackwater.snapshotController.enabled=true"],
    )
    .unwrap_err();
    assert!(refusal.contains("has a snapshot-controller already"), "{refusal}");
    kubectl
        .ok(&["delete", "deployment", "snapshot-controller", "-n", "kube-system"])
        .unwrap();

    let windows = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": "win", "labels": { "kubernetes.io/os": "windows" } },
    });
    kubectl
        .ok_with(&["create", "-f", "-"], &windows.to_string())
        .unwrap();
    let refusal = install("kube-system", &[]).unwrap_err();
    assert!(refusal.contains("node win runs Windows"), "{refusal}");
    kubectl.ok(&["delete", "node", "win"]).unwrap();

    // Who may not make objects of the cluster is told by the API server, of the first one.
    let nobody = plane.service_account("kube-system", "nobody").await.unwrap();
    let args = ["install", "mine", &chart, "--namespace=kube-system"];
    let refusal = helm.with(&nobody, &args).unwrap_err();
    assert!(refusal.contains("forbidden"), "{refusal}");
    let left = kubectl.run(&["get", "csidriver", "ebs.csi.aws.com"]).unwrap();
    assert!(left.stderr.contains("not found"), "{left:?}");
}
