//! Claims and classes that cannot be served as they are: one row each (sidecars.md 2.3 to 2.5).

use controller::testing::seconds;
use csi::v1::controller_service_capability::rpc;
use csi::v1::volume_capability::access_mode::Mode;
use serde_json::{Value, json};

use crate::world::World;

/// A claim of class `k` with these parameters.
async fn with(parameters: Value, change: impl FnOnce(&mut Value)) -> World {
    let world = World::new();
    world.class("k", &json!({"parameters": parameters}));
    let _process = world.start();
    world.claim(|claim| {
        claim["spec"]["storageClassName"] = json!("k");
        change(claim);
    });
    seconds(3).await;
    world
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_22_27_31_33_34_classes_that_contradict_themselves_are_told() {
    let (stage, publish) = (
        "csi.storage.k8s.io/node-stage-secret",
        "csi.storage.k8s.io/node-publish-secret",
    );
    let pair = |keys: &str, name: &str, namespace: &str| json!({format!("{keys}-name"): name, format!("{keys}-namespace"): namespace});
    for (parameters, says) in [
        (
            json!({"fstype": "xfs", "csi.storage.k8s.io/fstype": "ext4"}),
            "names a file system twice",
        ),
        (
            json!({"csi.storage.k8s.io/colour": "red"}),
            "csi.storage.k8s.io/colour",
        ),
        (json!({format!("{publish}-name"): "s"}), "by half"),
        (
            pair(stage, "${pvc.annotations['x/y']}", "n"),
            "pvc.annotations['x/y']",
        ),
        (pair(stage, "a$b", "n"), "invalid tokens"),
        (pair(stage, "a", "${pvc.name}"), "invalid tokens"),
        (pair(stage, "A", "n"), "no valid DNS subdomain name"),
        (
            json!({"csiNodeStageSecretName": "a", "csiNodeStageSecretNamespace": "n", format!("{stage}-name"): "b"}),
            "names one secret twice",
        ),
    ] {
        let world = with(parameters, |_| {}).await;
        let told = world.events();
        assert_eq!(
            (world.calls(), told[0].reason.as_str()),
            ([0, 0], "ProvisioningFailed"),
            "{says}"
        );
        assert!(told[0].message.contains(says), "{says}: {told:?}");
    }
    let world = with(json!({}), |claim| {
        claim["spec"]["selector"] = json!({"matchLabels": {"a": "b"}})
    })
    .await;
    assert_eq!(world.calls(), [0, 0]);
    assert!(world.events()[0].message.contains("Selector is not supported"));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_26_27_37_what_a_class_says_reaches_driver_and_volume() {
    let parameters = json!({
        "FSType": "xfs", "type": "gp3",
        "csi.storage.k8s.io/secret-name": "${pvc.annotations['team']}",
        "csi.storage.k8s.io/secret-namespace": "default",
    });
    let world = World::new();
    world.class("k", &json!({"parameters": parameters}));
    world.secret("x");
    let _process = world.start();
    let name = world.claim(|claim| {
        claim["spec"]["storageClassName"] = json!("k");
        claim["metadata"]["annotations"]["team"] = json!("sec");
        claim["spec"]["resources"]["requests"]["storage"] = json!("1500M");
    });
    seconds(3).await;
    let request = world.driver.state().volumes.created[0].clone();
    let passed: Vec<&str> = request.parameters.keys().map(String::as_str).collect();
    assert_eq!(passed, ["FSType", "type"]);
    assert_eq!(request.capacity_range.unwrap().required_bytes, 1_500_000_000);
    let volume = world.volume(&name).unwrap();
    let csi = &volume["spec"]["csi"];
    assert_eq!(csi["fsType"], "xfs");
    for purpose in [
        "controllerPublish",
        "nodeStage",
        "nodePublish",
        "controllerExpand",
        "nodeExpand",
    ] {
        assert_eq!(
            csi[format!("{purpose}SecretRef")],
            json!({"name": "sec", "namespace": "default"}),
            "{purpose}"
        );
    }
    for purpose in ["provisioner-deletion", "controller-modify"] {
        let key = format!("volume.kubernetes.io/{purpose}-secret-name");
        assert_eq!(volume["metadata"]["annotations"][key], "sec", "{purpose}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_29_30_each_access_mode_is_asked_for() {
    for (capabilities, modes, asked) in [
        (
            vec![],
            vec!["ReadWriteOnce", "ReadOnlyMany"],
            vec![Mode::SingleNodeWriter, Mode::MultiNodeReaderOnly],
        ),
        (vec![], vec!["ReadWriteOncePod"], vec![Mode::SingleNodeWriter]),
        (
            vec![rpc::Type::SingleNodeMultiWriter],
            vec!["ReadWriteOncePod"],
            vec![Mode::SingleNodeSingleWriter],
        ),
    ] {
        let world = World::of(&capabilities);
        let _process = world.start();
        world.claim(|claim| claim["spec"]["accessModes"] = json!(modes));
        seconds(3).await;
        let request = world.driver.state().volumes.created[0].clone();
        let found: Vec<Mode> = request
            .volume_capabilities
            .iter()
            .map(|capability| capability.access_mode.as_ref().unwrap().mode())
            .collect();
        assert_eq!(found, asked, "{modes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_205_an_attributes_class_for_a_volume_of_the_plugin_is_told_before_any_call() {
    let world = World::of_driver("ebs.csi.aws.com", &[rpc::Type::ModifyVolume]);
    world.attributes_class("gold", "ebs.csi.aws.com");
    world.class("in-tree", &json!({"provisioner": "kubernetes.io/aws-ebs"}));
    let _process = world.start();
    seconds(1).await;
    let mark = world.mark();
    let name = world.claim(|claim| {
        claim["metadata"]["annotations"] = json!({
            "volume.kubernetes.io/storage-provisioner": "kubernetes.io/aws-ebs",
            "pv.kubernetes.io/migrated-to": "ebs.csi.aws.com",
        });
        claim["spec"]["storageClassName"] = json!("in-tree");
        claim["spec"]["volumeAttributesClassName"] = json!("gold");
    });
    seconds(30).await;
    let told = world.events();
    assert_eq!((told.len(), told[0].count), (1, 1), "{told:?}");
    assert!(
        told[0].message.contains("name the class once the claim is bound"),
        "{told:?}"
    );
    assert_eq!(
        (world.calls(), world.requests_since(mark), world.volume(&name)),
        ([0, 0], Vec::new(), None)
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_206_a_secret_may_be_named_by_one_old_and_one_new_key() {
    for (name, namespace) in [
        (
            "csiProvisionerSecretName",
            "csi.storage.k8s.io/provisioner-secret-namespace",
        ),
        (
            "csi.storage.k8s.io/provisioner-secret-name",
            "csiProvisionerSecretNamespace",
        ),
    ] {
        let world = World::new();
        world.class("k", &json!({"parameters": {name: "sec", namespace: "default"}}));
        world.secret("x");
        let _process = world.start();
        let volume = world.claim(|claim| claim["spec"]["storageClassName"] = json!("k"));
        seconds(3).await;
        let volume = world.volume(&volume).unwrap();
        let key = "volume.kubernetes.io/provisioner-deletion-secret-name";
        assert_eq!(volume["metadata"]["annotations"][key], "sec", "{name}");
    }
    // By half all the same.
    let world = with(json!({"csiProvisionerSecretName": "sec"}), |_| {}).await;
    assert!(world.events()[0].message.contains("by half"));
}
