//! The API server asks our conversion webhook.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conformance::{ControlPlane, Hand, Launch, Patch, Process, free_port, slackwater, until};
use serde_json::{Value, json};

use super::LAYER;
use crate::processes::terminate;
use crate::shared::{self, PATIENCE, repository};
use crate::stored;

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io";
const ANNOTATION: &str = "groupsnapshot.storage.kubernetes.io/volume-snapshot-info-list";

fn path(version: &str, name: &str) -> String {
    format!("/apis/groupsnapshot.storage.k8s.io/{version}/volumegroupsnapshotcontents{name}")
}

/// Writes a certificate of loopback and its key; the certificate.
fn certificate(folder: &Path) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    std::fs::write(folder.join("webhook.crt"), certificate.pem()).unwrap();
    std::fs::write(folder.join("webhook.key"), key.serialize_pem()).unwrap();
    certificate.pem()
}

/// The API server converts by this strategy from now on, or soon.
async fn converts_by(hand: &Hand, conversion: &Value) {
    let change = json!({ "spec": { "conversion": conversion } });
    let changed = hand.patch(DEFINITION, Patch::Merge, &change).await.unwrap();
    changed.ok(DEFINITION).unwrap();
}

fn content() -> Value {
    json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1",
        "kind": "VolumeGroupSnapshotContent",
        "metadata": { "name": "converted" },
        "spec": {
            "deletionPolicy": "Retain",
            "driver": "other.example.com",
            "source": { "volumeHandles": ["vol-1", "vol-2"] },
            "volumeGroupSnapshotRef": { "name": "g", "namespace": "default" },
        },
    })
}

fn members() -> Value {
    json!([
        { "volumeHandle": "vol-1", "snapshotHandle": "snap-1", "creationTime": 23, "readyToUse": true, "restoreSize": 12 },
        { "volumeHandle": "vol-2", "snapshotHandle": "snap-2", "creationTime": 23, "readyToUse": false, "restoreSize": 12 },
    ])
}

async fn read(hand: &Hand, version: &str) -> Value {
    let at = path(version, "/converted");
    hand.get(&at).await.unwrap().ok(&at).unwrap()
}

/// Our webhook as a process that listens.
async fn listening(plane: &ControlPlane, log: &str, port: u16, flags: &[String]) -> Process {
    let launch = Launch::new(log, &slackwater().unwrap())
        .args(["snapshot-conversion-webhook".to_owned(), format!("--port={port}")])
        .args(flags);
    let webhook = Process::start(plane.keeper(), plane.folder(), &launch).unwrap();
    until("the webhook listens", PATIENCE, async || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    })
    .await
    .unwrap();
    webhook
}

/// Our webhook with a certificate in files, and how the definition is to name it.
async fn started(plane: &ControlPlane, folder: &Path) -> (Process, Value) {
    let port = free_port().unwrap();
    let pem = certificate(folder);
    let file = |name: &str| folder.join(name).display().to_string();
    let flags = [
        format!("--tls-cert-file={}", file("webhook.crt")),
        format!("--tls-private-key-file={}", file("webhook.key")),
    ];
    let webhook = listening(plane, "snapshot-conversion-webhook", port, &flags).await;
    let client =
        json!({ "url": format!("https://127.0.0.1:{port}/convert"), "caBundle": STANDARD.encode(pem) });
    let conversion = json!({
        "strategy": "Webhook",
        "webhook": { "conversionReviewVersions": ["v1"], "clientConfig": client },
    });
    (webhook, conversion)
}

async fn create(hand: &Hand) {
    let made = hand.create(&path("v1", ""), &content()).await.unwrap();
    made.ok("create").unwrap();
    let status = json!({
        "status": { "volumeGroupSnapshotHandle": "group-1", "volumeSnapshotInfoList": members() }
    });
    let at = path("v1", "/converted/status");
    let changed = hand.patch(&at, Patch::Merge, &status).await.unwrap();
    changed.ok(&at).unwrap();
}

/// The content in the older version, as the webhook has converted it. The strategy is taken a little later: until then the list
/// is only dropped, and in between the answer is 503.
async fn converted(hand: &Hand) -> Value {
    until("the webhook is asked", PATIENCE, async || {
        let old = hand.get(&path("v1beta1", "/converted")).await.unwrap();
        let old = old.ok("read").ok()?;
        let pairs = old["status"]["volumeSnapshotHandlePairList"].is_array();
        pairs.then_some(old)
    })
    .await
    .unwrap()
}

/// Puts back what was read in the older version, with a label and readiness.
async fn write_old(hand: &Hand, old: &Value) {
    let mut labelled = old.clone();
    labelled["metadata"]["labels"] = json!({ "touched": "yes" });
    let at = path("v1beta1", "/converted");
    hand.replace(&at, &labelled).await.unwrap().ok(&at).unwrap();
    let mut ready = read(hand, "v1beta1").await;
    ready["status"]["readyToUse"] = json!(true);
    let at = path("v1beta1", "/converted/status");
    hand.replace(&at, &ready).await.unwrap().ok(&at).unwrap();
}

#[tokio::test]
async fn snapshot_case_11_members_survive_the_older_version() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let (folder, hand) = (tempfile::tempdir().unwrap(), plane.hand().await.unwrap());
    let (mut webhook, conversion) = started(&plane, folder.path()).await;
    create(&hand).await;
    converts_by(&hand, &conversion).await;
    let old = converted(&hand).await;
    let pairs = json!([
        { "volumeHandle": "vol-1", "snapshotHandle": "snap-1" },
        { "volumeHandle": "vol-2", "snapshotHandle": "snap-2" },
    ]);
    assert_eq!(old["status"]["volumeSnapshotHandlePairList"], pairs);
    assert!(old["metadata"]["annotations"][ANNOTATION].is_string(), "{old}");

    write_old(&hand, &old).await;
    for version in ["v1", "v1beta2"] {
        let new = read(&hand, version).await;
        assert_eq!(new["status"]["volumeSnapshotInfoList"], members(), "{version}");
        assert_eq!(new["status"]["readyToUse"], true, "{version}");
        assert_eq!(new["metadata"]["labels"]["touched"], "yes", "{version}");
        assert!(new["metadata"]["annotations"][ANNOTATION].is_null(), "{new}");
    }
    let malformed = json!({ "metadata": { "annotations": { (ANNOTATION): "7" } } });
    let at = path("v1beta1", "/converted");
    let refused = hand.patch(&at, Patch::Merge, &malformed).await.unwrap();
    assert!(
        refused.message().contains("it is no list of objects"),
        "{refused:?}"
    );
    webhook.check().unwrap();

    let deleted = hand.delete(&path("v1", "/converted")).await.unwrap();
    deleted.ok("delete").unwrap();
    converts_by(&hand, &json!({ "strategy": "None", "webhook": null })).await;
    terminate([webhook]).await;
}

/// The Secret of the webhook's own certificate.
const SECRET: &str = "/api/v1/namespaces/slackwater/secrets/snapshot-conversion-webhook-certificate";

/// Under the rights of `deploy/` alone, and nobody tells the API server whom to trust.
#[tokio::test]
async fn snapshot_case_143_two_replicas_make_themselves_trusted() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let hand = plane.hand().await.unwrap();
    let user = plane
        .service_account("slackwater", "snapshot-conversion-webhook")
        .await
        .unwrap();
    let roles = repository().join("deploy/snapshot-controller/webhook/rbac.yaml");
    let roles = roles.display().to_string();
    plane.kubectl().ok(&["apply", "-f", &roles]).unwrap();
    let ports = [free_port().unwrap(), free_port().unwrap()];
    let flags = [
        "--certificate-issuer=self-signed".to_owned(),
        format!("--kubeconfig={}", user.kubeconfig.display()),
        "--service-namespace=slackwater".to_owned(),
        // No Service leads out of the cluster.
        format!("--url=https://127.0.0.1:{}/convert", ports[0]),
    ];
    create(&hand).await;
    let begun = plane.audit().mark();
    let (first, second) = tokio::join!(
        listening(&plane, "webhook-1", ports[0], &flags),
        listening(&plane, "webhook-2", ports[1], &flags),
    );
    let old = converted(&hand).await;
    write_old(&hand, &old).await;
    assert_eq!(
        read(&hand, "v1").await["status"]["volumeSnapshotInfoList"],
        members()
    );
    let secret = hand.get(SECRET).await.unwrap().ok(SECRET).unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let definition = hand.get(DEFINITION).await.unwrap().ok(DEFINITION).unwrap();
    let client = &definition["spec"]["conversion"]["webhook"]["clientConfig"];
    assert_eq!(client["caBundle"], secret["data"]["ca.crt"]);
    // Who applies the definitions again takes nothing of that away.
    let definitions = repository().join("crds").display().to_string();
    stored::folder_would_not_change(&plane.kubectl(), &definitions);
    let asked = plane.audit().since(begun).unwrap();
    let denied: Vec<_> = asked
        .iter()
        .filter(|request| request.user == user.name && request.is_denied())
        .collect();
    assert!(denied.is_empty(), "{denied:#?}");

    let deleted = hand.delete(&path("v1", "/converted")).await.unwrap();
    deleted.ok("delete").unwrap();
    terminate([first, second]).await;
    converts_by(&hand, &json!({ "strategy": "None", "webhook": null })).await;
    hand.delete(SECRET).await.unwrap().ok(SECRET).unwrap();
}
