//! Releases in the real API server. No pod ever runs there.

use conformance::until;
use serde_json::json;

use super::site::Site;
use super::{CONTROLLER, Helm, NODE, RELEASE, all_values, chart};
use crate::pods::{containers, named};
use crate::shared::PATIENCE;
use crate::stored;

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

fn install_upstream(site: &Site, helm: &Helm, more: &[&str]) {
    let other = upstream();
    let other = other.path().display().to_string();
    let args = [&["install", RELEASE, &other], more].concat();
    site.by(helm, &args).unwrap();
}

#[tokio::test]
async fn the_api_server_takes_every_object_of_the_chart() {
    let Some(site) = Site::find().await else { return };
    for values in all_values() {
        let text = site.helm.template(RELEASE, &values, &["--kube-version=1.37.0"]);
        let stored = stored::would_be_of(&site.plane.kubectl(), &text.unwrap());
        assert!(named(&stored, "Deployment", CONTROLLER).is_some());
    }
}

#[tokio::test]
async fn journeys_case_4_and_60_and_81_and_84_a_release_goes_from_upstream_to_ours_and_back() {
    let Some(site) = Site::find().await else { return };
    // A release stays with how it began; Helm 3 knows the second way alone.
    for (helm, applied) in [
        (&site.helm, &["--server-side=true"][..]),
        (&site.helm, &["--server-side=false"]),
        (&site.third, &[]),
    ] {
        install_upstream(&site, helm, applied);
        there_and_back(&site, helm);
        site.by(helm, &["uninstall", RELEASE]).unwrap();
    }
}

fn there_and_back(site: &Site, helm: &Helm) {
    let chart = chart();
    let run = |args: &[&str]| site.by(helm, args).unwrap();
    let before = site.object("deployment", CONTROLLER)["metadata"]["uid"].clone();
    // The command of the tutorial but for chart and version; nothing runs here that --wait could wait for.
    let said = run(&[
        "upgrade",
        RELEASE,
        &chart,
        "--install",
        "--set=controller.serviceAccount.create=false",
        "--set=controller.serviceAccount.name=aws-ebs-controller",
    ]);
    assert!(
        said.contains("no node service for Windows") && said.contains("slackwater.upstreamRights"),
        "{said}"
    );
    let deployment = site.object("deployment", CONTROLLER);
    assert_eq!(deployment["metadata"]["uid"], before, "it was made anew");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "aws-ebs-controller");
    assert_eq!(containers(&deployment).len(), 6);
    site.assert_gone("serviceaccount", "ebs-csi-controller-sa");
    // Into one container, and back through both.
    run(&["upgrade", RELEASE, &chart, "--set=slackwater.mode=allInOne"]);
    assert_eq!(containers(&site.object("deployment", CONTROLLER)).len(), 1);
    run(&["rollback", RELEASE, "2"]);
    assert_eq!(containers(&site.object("deployment", CONTROLLER)).len(), 6);
    run(&["rollback", RELEASE, "1"]);
    let deployment = site.object("deployment", CONTROLLER);
    assert_eq!(deployment["metadata"]["uid"], before);
    assert_eq!(containers(&deployment).len(), 1);
    assert_eq!(containers(&deployment)[0]["image"], "upstream");
    assert_eq!(site.object("daemonset", NODE)["metadata"]["name"], NODE);
}

/// The definitions are part of the release here; that they stay is what keeps the objects.
#[tokio::test]
async fn journeys_case_85_what_belongs_to_the_users_stays() {
    let Some(site) = Site::find().await else { return };
    site.install(&["--set=slackwater.crds.install=true", "--take-ownership"])
        .unwrap();
    site.create(&json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": { "name": "kept", "namespace": "kube-system" },
        "spec": { "source": { "persistentVolumeClaimName": "none" } },
    }));
    site.create(&json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "kept" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "1Gi" },
            "csi": { "driver": "ebs.csi.aws.com", "volumeHandle": "vol-1" },
        },
    }));
    let definition = "volumesnapshots.snapshot.storage.k8s.io";
    let owner = &site.object("crd", definition)["metadata"]["annotations"];
    assert_eq!(owner["meta.helm.sh/release-name"], "mine");
    site.helm(&["uninstall", "mine"]).unwrap();
    site.assert_gone("deployment", CONTROLLER);
    for (kind, name) in [
        ("crd", definition),
        ("volumesnapshot", "kept"),
        ("persistentvolume", "kept"),
    ] {
        let metadata = &site.object(kind, name)["metadata"];
        assert!(metadata["deletionTimestamp"].is_null(), "{kind} {metadata}");
    }
    site.delete("volumesnapshot", "kept");
    site.delete("persistentvolume", "kept");
}

#[tokio::test]
async fn another_release_of_the_driver_is_told() {
    let Some(site) = Site::find().await else { return };
    install_upstream(&site, &site.helm, &[]);
    // Helm itself refuses objects of another release.
    let refusal = site.install(&[]).unwrap_err();
    assert!(
        refusal.contains("ebs-csi-controller") && refusal.contains(RELEASE),
        "{refusal}"
    );
    let elsewhere = [
        "install",
        "mine",
        &chart(),
        "--create-namespace",
        "--namespace=elsewhere",
    ];
    let refusal = site.helm.with(site.plane.admin(), &elsewhere).unwrap_err();
    assert!(refusal.contains("do everything twice"), "{refusal}");
    site.helm(&["uninstall", RELEASE]).unwrap();
}

/// Wherever it runs and whatever its Deployment is called: leases are of a namespace.
#[tokio::test]
async fn journeys_case_125_a_snapshot_controller_that_the_cluster_has_already_is_told() {
    let Some(site) = Site::find().await else { return };
    let kubectl = site.plane.kubectl();
    kubectl.ok(&["create", "namespace", "storage"]).unwrap();
    for (namespace, name) in [
        ("kube-system", "snapshot-controller"),
        ("storage", "csi-snapshot-controller"),
    ] {
        site.create(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": { "labels": { "app": name } },
                    "spec": { "containers": [{ "name": "snapshot-controller", "image": "upstream" }] },
                },
            },
        }));
        let refusal = site.install(&["--set=slackwater.snapshotController.enabled=true"]);
        let refusal = refusal.unwrap_err();
        let expected = format!("{namespace} has a snapshot-controller already (Deployment {name})");
        assert!(refusal.contains(&expected), "{refusal}");
        kubectl
            .ok(&["delete", "deployment", name, "-n", namespace])
            .unwrap();
    }
    // That of the release itself is none.
    let own = "--set=slackwater.snapshotController.enabled=true";
    site.install(&[own]).unwrap();
    site.helm(&["upgrade", "mine", &chart(), own]).unwrap();
    site.helm(&["uninstall", "mine"]).unwrap();
    kubectl.ok(&["delete", "namespace", "storage"]).unwrap();
}

/// The defaults bring rollingUpdate, which goes with one type alone.
#[tokio::test]
async fn journeys_case_126_the_api_server_takes_every_type_of_update() {
    let Some(site) = Site::find().await else { return };
    let values = json!({
        "controller": { "updateStrategy": { "type": "Recreate" } },
        "node": { "updateStrategy": { "type": "OnDelete" } },
        "additionalDaemonSets": { "small": { "updateStrategy": { "type": "RollingUpdate" } } },
    });
    let text = site.helm.template(RELEASE, &values, &[]).unwrap();
    let stored = stored::would_be_of(&site.plane.kubectl(), &text);
    let spec = |kind: &str, name: &str| named(&stored, kind, name).unwrap()["spec"].clone();
    assert_eq!(spec("Deployment", CONTROLLER)["strategy"]["type"], "Recreate");
    assert_eq!(spec("DaemonSet", NODE)["updateStrategy"]["type"], "OnDelete");
    let small = &spec("DaemonSet", "ebs-csi-node-small")["updateStrategy"];
    assert_eq!(small["rollingUpdate"]["maxUnavailable"], "10%");
}

/// Those values have upstream's images, and lack what is ours.
#[tokio::test]
async fn journeys_case_129_the_values_of_an_upstream_release_are_refused_by_what_they_lack() {
    let Some(site) = Site::find().await else { return };
    for helm in [&site.helm, &site.third] {
        install_upstream(&site, helm, &[]);
        let refusal = site.by(helm, &["upgrade", RELEASE, &chart(), "--reuse-values"]);
        let refusal = refusal.unwrap_err();
        assert!(
            refusal.contains("schema") && refusal.contains("slackwater"),
            "{refusal}"
        );
        site.by(helm, &["uninstall", RELEASE]).unwrap();
    }
}

#[tokio::test]
async fn nodes_with_windows_are_told() {
    let Some(site) = Site::find().await else { return };
    site.create(&json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": "win", "labels": { "kubernetes.io/os": "windows" } },
    }));
    let refusal = site.install(&[]).unwrap_err();
    assert!(refusal.contains("node win runs Windows"), "{refusal}");
    site.delete("node", "win");
}

/// The role is of use to who has `view`, and to nobody else.
#[tokio::test]
async fn journeys_case_108_who_may_view_sees_storage_and_changes_nothing() {
    const KINDS: [&str; 8] = [
        "persistentvolumes",
        "volumesnapshots.snapshot.storage.k8s.io",
        "volumesnapshotcontents.snapshot.storage.k8s.io",
        "volumegroupsnapshots.groupsnapshot.storage.k8s.io",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "leases.coordination.k8s.io",
        "events",
    ];
    let Some(site) = Site::find().await else { return };
    let kubectl = site.plane.kubectl();
    let account = "kube-system:viewer";
    site.plane.service_account("kube-system", "viewer").await.unwrap();
    let binding = ["create", "clusterrolebinding", "viewer", "--clusterrole=view"];
    let subject = format!("--serviceaccount={account}");
    kubectl.ok(&[&binding[..], &[&subject]].concat()).unwrap();
    let user = format!("--as=system:serviceaccount:{account}");
    let may = |verb: &str, kind: &str| {
        let answer = kubectl.run(&["auth", "can-i", verb, kind, "--all-namespaces", &user]);
        answer.unwrap().stdout.starts_with("yes")
    };
    let contents = KINDS[2];
    assert!(!may("list", contents), "without the role");
    site.install(&["--set=slackwater.viewerRole.enabled=true"])
        .unwrap();
    until("the role is a part of `view`", PATIENCE, async || {
        may("list", contents).then_some(())
    })
    .await
    .unwrap();
    for kind in KINDS {
        for verb in ["get", "list", "watch"] {
            assert!(may(verb, kind), "{verb} {kind}");
        }
        for verb in ["create", "update", "patch", "delete"] {
            assert!(!may(verb, kind), "{verb} {kind}");
        }
    }
    assert!(!may("get", "secrets"));
    site.helm(&["uninstall", "mine"]).unwrap();
    site.delete("clusterrolebinding", "viewer");
}

/// Who may not make objects of the cluster is told by the API server, of the first one.
#[tokio::test]
async fn missing_rights_are_told_before_anything_is_made() {
    let Some(site) = Site::find().await else { return };
    let nobody = site.plane.service_account("kube-system", "nobody").await.unwrap();
    let args = ["install", "mine", &chart(), "--namespace=kube-system"];
    let refusal = site.helm.with(&nobody, &args).unwrap_err();
    assert!(refusal.contains("forbidden"), "{refusal}");
    site.assert_gone("csidriver", "ebs.csi.aws.com");
}

/// Every right over what the chart makes, and none to read definitions and nodes: who installs is told by them what does not go
/// together, and upstream's chart reads neither.
fn installer() -> serde_json::Value {
    let all = json!(["*"]);
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "installer" },
        "rules": [
            { "apiGroups": [""], "resources": ["secrets", "serviceaccounts", "services"], "verbs": all },
            { "apiGroups": ["apps", "policy", "storage.k8s.io"], "resources": all, "verbs": all },
            { "apiGroups": ["rbac.authorization.k8s.io"], "resources": all, "verbs": all },
        ],
    })
}

#[tokio::test]
async fn journeys_case_122_who_may_not_read_definitions_and_nodes_can_install() {
    let Some(site) = Site::find().await else { return };
    let user = site
        .plane
        .service_account("kube-system", "installer")
        .await
        .unwrap();
    site.create(&installer());
    let kubectl = site.plane.kubectl();
    let binding = [
        "create",
        "clusterrolebinding",
        "installer",
        "--clusterrole=installer",
    ];
    kubectl
        .ok(&[&binding[..], &["--serviceaccount=kube-system:installer"]].concat())
        .unwrap();
    let chart = chart();
    for helm in [&site.helm, &site.third] {
        let args = ["install", "mine", &chart, "--namespace=kube-system"];
        let refusal = helm.with(&user, &args).unwrap_err();
        assert!(refusal.contains("forbidden"), "{refusal}");
        let off = [&args[..], &["--set=slackwater.checkCluster=false"]].concat();
        helm.with(&user, &off).unwrap();
        assert_eq!(site.object("daemonset", NODE)["metadata"]["name"], NODE);
        helm.with(&user, &["uninstall", "mine", "--namespace=kube-system"])
            .unwrap();
    }
    site.delete("clusterrolebinding", "installer");
    site.delete("clusterrole", "installer");
}
