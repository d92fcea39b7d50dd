//! Layer 7: a person with kubectl resizes and changes volumes, and the process that leads is killed while EC2 works.

use std::time::Duration;

use conformance::{Process, Suite, until};
use serde_json::Value;

use crate::expansion::{CLAIMS, Growable};
use crate::journey::{OURS, Stage};
use crate::processes::terminate;
use crate::shared::{self, Guard, PATIENCE};

const LAYER: &str = "7 resizing";
const LEASE: &str = "external-resizer-ebs-csi-aws-com";

/// The arguments of a patch of these claims' specs.
fn patch<'a>(claims: &[&'a Growable], spec: &'a str) -> Vec<&'a str> {
    let names = claims.iter().map(|claim| claim.name.as_str());
    ["patch", "pvc"]
        .into_iter()
        .chain(names)
        .chain(["-p", spec])
        .collect()
}

fn sized(size: &str) -> String {
    format!(r#"{{"spec":{{"resources":{{"requests":{{"storage":"{size}"}}}}}}}}"#)
}

#[tokio::test]
async fn a_person_with_kubectl_edits_patches_takes_back_and_changes() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(stage) = Stage::new(&plane, LAYER, "resizing", OURS).await else {
        return;
    };
    let processes = [stage.csi_resizer(&[]), stage.driver()];
    stage.has_leader(LEASE).await;
    stage.fast_class(&plane);
    let claims = stage.growable(6).await;
    let kubectl = plane.kubectl();

    // One by the editor, two by one patch, one in size and class at once.
    let editor = kubectl.with_editor("sed -i 's/storage: 10Gi/storage: 12Gi/'");
    editor.ok(&["edit", "pvc", &claims[0].name]).unwrap();
    kubectl
        .ok(&patch(&[&claims[1], &claims[2]], &sized("12Gi")))
        .unwrap();
    let both = r#"{"spec":{"resources":{"requests":{"storage":"12Gi"}},"volumeAttributesClassName":"fast"}}"#;
    kubectl.ok(&patch(&[&claims[3]], both)).unwrap();
    stage.all_grown(&claims[..4], 12).await;
    stage.has_class(&claims[3], "fast", 6_000).await;
    kubectl
        .ok(&patch(
            &[&claims[4]],
            r#"{"spec":{"volumeAttributesClassName":"fast"}}"#,
        ))
        .unwrap();
    stage.has_class(&claims[4], "fast", 5_000).await;
    stage.no_call_twice(0, 5);

    takes_back(&stage, &plane, &claims[5]).await;
    stage.nothing_denied();
    terminate(processes).await;
    stage.clear_claims(&plane);
}

/// A size that EC2 has not: told, and recovered from by a smaller one.
async fn takes_back(stage: &Stage, plane: &Guard, claim: &Growable) {
    let kubectl = plane.kubectl();
    kubectl.ok(&patch(&[claim], &sized("900Ti"))).unwrap();
    let path = format!("{CLAIMS}/{}", claim.name);
    let refused = until("the refusal is told", PATIENCE, async || {
        let object = stage.hand.find(&path).await.ok()??;
        let conditions = object["status"]["conditions"].as_array()?.clone();
        let error = |one: &&Value| one["type"] == "ControllerResizeError";
        conditions.iter().find(error).cloned()
    })
    .await
    .unwrap();
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("failed to expand pvc"),
        "{refused}"
    );
    until("the event is told", PATIENCE, async || {
        let described = kubectl.ok(&["describe", "pvc", &claim.name]).ok()?;
        described.contains("VolumeResizeFailed").then_some(())
    })
    .await
    .unwrap();
    // Not all of it can be taken back: what the claim has is the least.
    let refusal = kubectl
        .ok(&patch(&[claim], &sized("10Gi")))
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains("field can not be less than status.capacity"),
        "{refusal}"
    );
    kubectl.ok(&patch(&[claim], &sized("11Gi"))).unwrap();
    stage.all_grown(std::slice::from_ref(claim), 11).await;
    let object = stage.hand.find(&path).await.unwrap().unwrap();
    assert_eq!(object["status"]["allocatedResources"]["storage"], "11Gi");
    let conditions = object["status"]["conditions"].to_string();
    assert!(!conditions.contains("ControllerResizeError"), "{conditions}");
}

/// A volume of the in-tree plugin: kube-controller-manager hands the claim over, and its class stands on the claim alone.
#[tokio::test]
async fn a_volume_of_the_in_tree_plugin_is_grown_and_changed() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(stage) = Stage::new(&plane, LAYER, "resizing-in-tree", OURS).await else {
        return;
    };
    let processes = [stage.csi_resizer(&[]), stage.driver()];
    stage.has_leader(LEASE).await;
    stage.fast_class(&plane);
    // Its storage class.
    stage.growable(0).await;
    let claim = stage.in_tree("in-tree").await;
    let kubectl = plane.kubectl();
    kubectl.ok(&patch(&[&claim], &sized("12Gi"))).unwrap();
    stage.waits_for_node(&claim, 12).await;
    stage.all_grown(std::slice::from_ref(&claim), 12).await;
    let get = |path: &str| kubectl.ok(&["get", "pvc", &claim.name, "-o", path]).unwrap();
    let handed_to = get(r"jsonpath={.metadata.annotations.volume\.kubernetes\.io/storage-resizer}");
    assert_eq!(handed_to, "ebs.csi.aws.com");
    stage.change(std::slice::from_ref(&claim), "fast").await;
    until("the claim has its class", PATIENCE, async || {
        let has = get("jsonpath={.status.currentVolumeAttributesClassName}") == "fast";
        let rests = get("jsonpath={.status.modifyVolumeStatus}").is_empty();
        (has && rests).then_some(())
    })
    .await
    .unwrap();
    let class = [
        "get",
        "pv",
        &claim.name,
        "-o",
        "jsonpath={.spec.volumeAttributesClassName}",
    ];
    assert_eq!(kubectl.ok(&class).unwrap(), "");
    let volumes = stage.ec2.state().unwrap().volumes;
    let changed = volumes.iter().find(|volume| volume.id == claim.volume).unwrap();
    assert_eq!((changed.gib, changed.iops), (12, Some(6_000)));
    stage.no_call_twice(0, 2);
    stage.nothing_denied();
    terminate(processes).await;
    stage.clear_claims(&plane);
}

/// A csi-resizer as the pod of this name, on the driver of the stage.
fn replica(stage: &Stage, plane: &Guard, host: &str) -> Process {
    let suite = Suite::new(plane.keeper(), stage.suite.folder(), host, &stage.ec2).unwrap();
    let user = &stage.users["csi-resizer"];
    let launch = suite
        .mode("csi-resizer", &stage.program, &user.kubeconfig, &[])
        .args([format!("--csi-address={}", stage.suite.socket().display())])
        .args([
            "--timeout=60s",
            "--leader-election-lease-duration=15s",
            "--leader-election-renew-deadline=10s",
            "--leader-election-retry-period=2s",
        ])
        .args(stage.election());
    suite.start(&Suite::on_host(host, launch)).unwrap()
}

async fn is_held_by(stage: &Stage, host: &str) {
    until(&format!("{host} leads"), PATIENCE, async || {
        (stage.holder(LEASE).await.as_deref() == Some(host)).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_leader_killed_while_ec2_works_leaves_it_to_the_other_one() {
    if !rustix::process::geteuid().is_root() {
        return shared::not_run_without_root(LAYER, "a host name of its own for each replica needs root");
    }
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(stage) = Stage::new(&plane, LAYER, "resizing-killed", OURS).await else {
        return;
    };
    let driver = stage.driver();
    stage.fast_class(&plane);
    let claims = stage.growable(3).await;
    let mut first = replica(&stage, &plane, "resizer-1");
    is_held_by(&stage, "resizer-1").await;
    let second = replica(&stage, &plane, "resizer-2");
    let kubectl = plane.kubectl();
    kubectl
        .ok(&patch(&[&claims[0], &claims[1]], &sized("12Gi")))
        .unwrap();
    kubectl
        .ok(&patch(
            &[&claims[2]],
            r#"{"spec":{"volumeAttributesClassName":"fast"}}"#,
        ))
        .unwrap();
    until("EC2 works at all of them", PATIENCE, async || {
        let counts = stage.ec2.counts().unwrap();
        (counts.get("ModifyVolume") == Some(&3)).then_some(())
    })
    .await
    .unwrap();
    first.kill();
    is_held_by(&stage, "resizer-2").await;
    stage.all_grown(&claims[..2], 12).await;
    stage.has_class(&claims[2], "fast", 5_000).await;
    // The driver knows what it was asked for already.
    stage.no_call_twice(0, 3);
    stage.nothing_denied();
    tokio::time::sleep(Duration::from_secs(1)).await;
    terminate([second, driver]).await;
    stage.clear_claims(&plane);
}
