//! Volumes for claims: requests and calls counted (sidecars.md 7.1).

use std::time::Duration;

use controller::testing::resources::{ATTRIBUTES_CLASSES, CLAIMS, SECRETS, STORAGE_CLASSES, VOLUMES};
use controller::testing::{self, Driver, VolumeAnswer, seconds};
use csi::v1::controller_service_capability::rpc;
use csi::v1::volume_capability::AccessType;
use sandbox::faults::{Call, Fault, Faults, Refusal, Schedule};
use sandbox::kube::Denial;
use serde_json::json;
use tonic::Status;

use crate::world::{DRIVER, FINALIZER, PATCH, SAVE, World, claim, from_snapshot};

#[tokio::test(start_paused = true)]
async fn sidecars_case_138_a_plain_claim_costs_one_call_and_two_requests() {
    let world = World::of(&[rpc::Type::PublishUnpublishVolume]);
    let process = world.start();
    seconds(2).await;
    let (name, mark) = (world.claim(|_| {}), world.mark());
    seconds(5).await;
    assert_eq!(world.requests_since(mark), [SAVE]);
    assert_eq!(
        (world.calls(), world.reasons()),
        ([1, 0], vec!["ProvisioningSucceeded".to_owned()])
    );
    assert_eq!(world.events()[0].component, format!("{DRIVER}_pod-0"));
    assert_eq!(world.phase("c"), "Bound");
    let volume = world.volume(&name).unwrap();
    let finalizers = world.finalizers(VOLUMES, "", &name);
    assert!(
        finalizers.contains(&FINALIZER.to_owned())
            && finalizers.contains(&"external-attacher/d-csi".to_owned())
    );
    let spec = &volume["spec"];
    assert_eq!(
        (&spec["capacity"]["storage"], &spec["csi"]["volumeHandle"]),
        (&json!("1Gi"), &json!("vol-1"))
    );
    assert_eq!(
        volume["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"],
        DRIVER
    );
    assert!(spec["nodeAffinity"].is_null() && spec["csi"]["fsType"].is_null());
    let labels = [("class", "s"), ("source", "")];
    assert_eq!(
        process.metric("controller_persistentvolumeclaim_provision_total", &labels),
        1.0
    );
    assert_eq!(
        process.metric("controller_persistentvolumeclaim_provision_failed_total", &labels),
        0.0
    );
    let request = world.driver.state().volumes.created[0].clone();
    assert_eq!(
        (request.name, request.capacity_range.unwrap().limit_bytes),
        (name, 0)
    );
    process.stop().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_16_21_claims_of_others_and_with_a_volume_are_left_alone() {
    let world = World::new();
    let _process = world.start();
    seconds(2).await;
    let mark = world.mark();
    world.claim_named("foreign", |claim| {
        claim["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"] = json!("other.csi");
    });
    world.claim_named("bare", |claim| claim["metadata"]["annotations"] = json!({}));
    world.claim_named("named", |claim| claim["spec"]["volumeName"] = json!("v"));
    seconds(60).await;
    assert_eq!(
        (
            world.requests_since(mark).len(),
            world.calls(),
            world.reasons().len()
        ),
        (0, [0, 0], 0)
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_18_19_old_annotations_count() {
    let world = World::new();
    world.class("a", &json!({"parameters": {"is": "a"}}));
    let _process = world.start();
    world.claim(|claim| {
        claim["metadata"]["annotations"] = json!({
            "volume.beta.kubernetes.io/storage-provisioner": DRIVER,
            "volume.beta.kubernetes.io/storage-class": "a",
        });
    });
    seconds(5).await;
    assert_eq!(world.driver.state().volumes.created[0].parameters["is"], "a");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_20_a_class_that_comes_later_is_taken() {
    let world = World::new();
    world.remove_by_force(STORAGE_CLASSES, "", "s");
    let process = world.start();
    world.claim(|_| {});
    seconds(5).await;
    assert_eq!((world.calls(), world.reasons().len()), ([0, 0], 0));
    let failed = process.metric("controller_persistentvolumeclaim_provision_failed_total", &[]);
    assert!(failed >= 1.0);
    world.class("s", &json!({}));
    seconds(1).await;
    assert_eq!(world.calls(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_15_35_36_94_secrets_are_read_for_each_call_and_never_shown() {
    let world = World::new();
    world.class(
        "k",
        &json!({"parameters": {
            "csi.storage.k8s.io/provisioner-secret-name": "sec",
            "csi.storage.k8s.io/provisioner-secret-namespace": "${pvc.namespace}",
        }}),
    );
    world
        .driver
        .refuse_volumes(&Status::internal("the password hunter2 is wrong"), 1);
    let _process = world.start();
    let name = world.claim(|claim| claim["spec"]["storageClassName"] = json!("k"));
    seconds(3).await;
    assert_eq!(
        (world.calls(), world.reasons()),
        ([0, 0], vec!["ProvisioningFailed".to_owned()])
    );
    assert!(
        world.events()[0]
            .message
            .contains("secret sec in namespace default")
    );
    world.secret("hunter2");
    seconds(15).await;
    assert_eq!(world.phase("c"), "Bound");
    let annotations = world.volume(&name).unwrap()["metadata"]["annotations"].clone();
    assert_eq!(
        annotations["volume.kubernetes.io/provisioner-deletion-secret-name"],
        "sec"
    );
    assert_eq!(
        world.driver.state().volumes.created[1].secrets["password"],
        "hunter2"
    );
    assert!(
        world
            .events()
            .iter()
            .all(|event| !event.message.contains("hunter2"))
    );
    // Another one without secrets says so.
    let name = world.claim_named("plain", |_| {});
    seconds(5).await;
    let annotations = world.volume(&name).unwrap()["metadata"]["annotations"].clone();
    assert_eq!(
        annotations["volume.kubernetes.io/provisioner-deletion-secret-name"],
        ""
    );
    assert!(
        annotations
            .get("volume.kubernetes.io/controller-modify-secret-name")
            .is_none()
    );
    // The end of a volume whose secret is gone is made without it.
    world.remove_by_force(SECRETS, "default", "sec");
    world.delete(CLAIMS, "default", "c");
    seconds(5).await;
    assert_eq!(world.calls()[1], 1);
    assert!(world.driver.state().volumes.deleted[0].secrets.is_empty());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_42_an_attributes_class_costs_no_request() {
    let world = World::of(&[rpc::Type::ModifyVolume]);
    world.attributes_class("gold", DRIVER);
    let _process = world.start();
    seconds(2).await;
    let mark = world.mark();
    let name = world.claim(|claim| claim["spec"]["volumeAttributesClassName"] = json!("gold"));
    seconds(5).await;
    assert_eq!(world.requests_since(mark), [SAVE]);
    assert_eq!(
        world.driver.state().volumes.created[0].mutable_parameters["iops"],
        "4000"
    );
    assert_eq!(
        world.volume(&name).unwrap()["spec"]["volumeAttributesClassName"],
        "gold"
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_164_attributes_classes_of_an_older_version_are_used_where_that_is_asked_for() {
    for (falls_back, is_hidden) in [(true, false), (true, true), (false, false)] {
        let mut world = World::of(&[rpc::Type::ModifyVolume]);
        world.environment.vac_fallback = falls_back;
        world.api.serve_only(ATTRIBUTES_CLASSES, "v1beta1");
        world.attributes_class_in("v1beta1", "gold", DRIVER);
        if is_hidden {
            world
                .api
                .deny("csi-provisioner", Denial::of("watch", ATTRIBUTES_CLASSES));
        }
        let _process = world.start();
        let name = world.claim(|claim| claim["spec"]["volumeAttributesClassName"] = json!("gold"));
        seconds(5).await;
        let what = format!("{falls_back} {is_hidden}: {:?}", world.events());
        assert_eq!(world.calls(), [1, 0], "{what}");
        let sent = world.driver.state().volumes.created[0].mutable_parameters.clone();
        let class = world.volume(&name).unwrap()["spec"]["volumeAttributesClassName"].clone();
        if falls_back {
            assert_eq!(
                (sent["iops"].as_str(), &class),
                ("4000", &json!("gold")),
                "{what}"
            );
        } else {
            assert!(sent.is_empty() && class.is_null(), "{what}");
        }
        let failed = |request: &String| request.ends_with("404") || request.ends_with("403");
        let failed = world.requests().into_iter().filter(failed).count();
        assert_eq!(failed, 0, "{:?}", world.requests());
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_41_an_attributes_class_that_cannot_be_had_is_told() {
    for (capabilities, class, says) in [
        (vec![rpc::Type::ModifyVolume], "other", "is of driver other.csi"),
        (vec![rpc::Type::ModifyVolume], "none", "does not exist"),
        (vec![], "gold", "MODIFY_VOLUME"),
    ] {
        let world = World::of(&capabilities);
        world.attributes_class("gold", DRIVER);
        world.attributes_class("other", "other.csi");
        let _process = world.start();
        world.claim(|claim| claim["spec"]["volumeAttributesClassName"] = json!(class));
        seconds(2).await;
        assert_eq!(world.calls(), [0, 0], "{class}");
        assert!(world.events()[0].message.contains(says), "{:?}", world.events());
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_87_a_volume_that_stays_has_no_finalizer_of_ours() {
    let world = World::new();
    world.class("r", &json!({"reclaimPolicy": "Retain"}));
    let _process = world.start();
    seconds(2).await;
    let mark = world.mark();
    let name = world.claim(|claim| claim["spec"]["storageClassName"] = json!("r"));
    seconds(10).await;
    assert_eq!(world.requests_since(mark), [SAVE]);
    let finalizers = world.finalizers(VOLUMES, "", &name);
    assert!(!finalizers.contains(&FINALIZER.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_139_a_slow_call_is_told_once_it_is_slow() {
    let world = World::new();
    world.driver.state().volumes.takes = Duration::from_secs(5);
    let _process = world.start();
    world.claim(|_| {});
    seconds(4).await;
    assert_eq!(world.reasons(), ["Provisioning"]);
    assert!(
        world.events()[0]
            .message
            .contains("provisioning volume for claim \"default/c\"")
    );
    seconds(5).await;
    assert_eq!(world.reasons(), ["Provisioning", "ProvisioningSucceeded"]);
    assert_eq!(world.calls(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_23_24_25_a_volume_of_the_name_is_enough() {
    for (flags, prefix, length) in [
        ("", "pvc", 36),
        ("--volume-name-prefix=kube", "kube", 36),
        ("--volume-name-uuid-length=8", "pvc", 8),
    ] {
        let mut world = World::new();
        world.flags = flags.to_owned();
        let uid = world.claim(|_| {}).trim_start_matches("pvc-").to_owned();
        let name = format!("{prefix}-{}", &uid[..length]);
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "other",
                "csi": {"driver": DRIVER, "volumeHandle": "v"},
            },
        });
        world.create(VOLUMES, volume);
        let _process = world.start();
        seconds(5).await;
        assert_eq!((world.calls(), world.reasons().len()), ([0, 0], 0), "{flags}");
        world.delete(VOLUMES, "", &name);
        world.change(CLAIMS, "default", "c", |claim| {
            claim["metadata"]["annotations"]["x"] = json!("y");
        });
        seconds(5).await;
        assert_eq!(world.driver.state().volumes.created[0].name, name, "{flags}");
        assert!(world.volume(&name).is_some(), "{flags}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_28_32_39_40_modes_and_attributes_reach_the_volume() {
    let mut world = World::new();
    world.flags = "--controller-publish-readonly --default-fstype=ext4 --extra-create-metadata".to_owned();
    world.class("m", &json!({"mountOptions": ["noatime"]}));
    world
        .driver
        .state()
        .volumes
        .create
        .push_back(Some(VolumeAnswer::Made(|volume| {
            let identity = "storage.kubernetes.io/csiProvisionerIdentity".to_owned();
            volume.volume_context.insert(identity, "mine".to_owned());
            volume.capacity_bytes = 0;
        })));
    let _process = world.start();
    let name = world.claim(|claim| {
        claim["spec"]["accessModes"] = json!(["ReadOnlyMany"]);
        claim["spec"]["storageClassName"] = json!("m");
    });
    seconds(5).await;
    let spec = world.volume(&name).unwrap()["spec"].clone();
    assert_eq!(
        (&spec["csi"]["readOnly"], &spec["csi"]["fsType"]),
        (&json!(true), &json!("ext4"))
    );
    assert_eq!(
        spec["csi"]["volumeAttributes"]["storage.kubernetes.io/csiProvisionerIdentity"],
        "mine"
    );
    assert_eq!(spec["capacity"]["storage"], "1Gi");
    let request = world.driver.state().volumes.created[0].clone();
    assert_eq!(request.parameters["csi.storage.k8s.io/pvc/name"], "c");
    assert_eq!(request.parameters["csi.storage.k8s.io/pv/name"], name);
    let Some(AccessType::Mount(mount)) = &request.volume_capabilities[0].access_type else {
        panic!("no mount");
    };
    assert_eq!((mount.fs_type.as_str(), mount.mount_flags.len()), ("ext4", 1));
    let name = world.claim_named("b", |claim| {
        claim["spec"]["volumeMode"] = json!("Block");
        claim["spec"]["storageClassName"] = json!("m");
    });
    seconds(5).await;
    let spec = world.volume(&name).unwrap()["spec"].clone();
    assert_eq!(
        (&spec["csi"]["fsType"], &spec["mountOptions"]),
        (&json!(null), &json!(["noatime"]))
    );
    let last = world.driver.state().volumes.created[1].volume_capabilities[0].clone();
    assert!(matches!(last.access_type, Some(AccessType::Block(_))));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_14_120_126_a_class_of_the_plugin_makes_volumes_of_the_plugin() {
    let world = World::of_driver("ebs.csi.aws.com", &[rpc::Type::CreateDeleteSnapshot]);
    world.snapshot_of("ebs.csi.aws.com");
    world.class(
        "in-tree",
        &json!({"provisioner": "kubernetes.io/aws-ebs", "parameters": {"type": "gp2", "fsType": "ext3", "zone": "us-west-2a"}}),
    );
    let process = world.start();
    let of_plugin = |claim: &mut serde_json::Value| {
        claim["metadata"]["annotations"] = json!({
            "volume.kubernetes.io/storage-provisioner": "kubernetes.io/aws-ebs",
            "pv.kubernetes.io/migrated-to": "ebs.csi.aws.com",
        });
        claim["spec"]["storageClassName"] = json!("in-tree");
    };
    let name = world.claim(of_plugin);
    seconds(5).await;
    let volume = world.volume(&name).unwrap();
    assert_eq!(
        volume["spec"]["awsElasticBlockStore"],
        json!({"volumeID": "vol-1", "fsType": "ext3"})
    );
    let by = &volume["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"];
    assert_eq!(by, "kubernetes.io/aws-ebs");
    let labels = [
        ("migrated", "true"),
        ("method_name", "/csi.v1.Controller/CreateVolume"),
    ];
    assert_eq!(process.metric("csi_sidecar_operations_seconds", &labels), 1.0);
    world.delete(CLAIMS, "default", "c");
    seconds(5).await;
    assert_eq!((world.calls(), world.volume(&name)), ([1, 1], None));
    assert_eq!(world.driver.state().volumes.deleted[0].volume_id, "vol-1");
    // Restored for the plugin; made for a class of the driver.
    world.claim_named("restored", |claim| {
        of_plugin(claim);
        from_snapshot(claim);
    });
    world.claim_named("plain", |claim| {
        claim["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"] =
            json!("ebs.csi.aws.com");
    });
    seconds(5).await;
    assert_eq!(
        ["restored", "plain"].map(|name| world.phase(name)),
        ["Bound", "Bound"]
    );
    let of = |migrated| {
        process.metric(
            "csi_sidecar_operations_seconds",
            &[("migrated", migrated), labels[1]],
        )
    };
    assert_eq!((of("true"), of("false")), (2.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_183_what_is_of_an_untranslated_plugin_is_told() {
    let driver = "pd.csi.storage.gke.io";
    let world = World::of_driver(driver, &[]);
    world.class("in-tree", &json!({"provisioner": "kubernetes.io/gce-pd"}));
    world.class("other", &json!({"provisioner": "other.csi"}));
    let _process = world.start();
    for class in ["other", "in-tree"] {
        world.claim_named(class, |claim| {
            claim["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"] = json!(driver);
            claim["spec"]["storageClassName"] = json!(class);
        });
    }
    seconds(5).await;
    let told = world.events();
    assert_eq!(
        (world.reasons(), world.calls()),
        (vec!["ProvisioningFailed".to_owned()], [0, 0])
    );
    assert!(told[0].message.contains("kubernetes.io/gce-pd"), "{told:?}");
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": "pv", "annotations": {
            "pv.kubernetes.io/provisioned-by": "kubernetes.io/gce-pd", "pv.kubernetes.io/migrated-to": driver,
        }},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "in-tree",
            "persistentVolumeReclaimPolicy": "Delete", "gcePersistentDisk": {"pdName": "disk"},
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "in-tree"},
        },
    });
    world.create(VOLUMES, volume);
    seconds(5).await;
    assert_eq!(world.phase("in-tree"), "Bound");
    let mark = world.mark();
    world.delete(CLAIMS, "default", "in-tree");
    seconds(5).await;
    let told = world.events().pop().unwrap();
    assert_eq!(told.reason, "VolumeFailedDelete", "{told:?}");
    assert!(told.message.contains("neither csi nor migratable"), "{told:?}");
    assert!(!world.requests_since(mark).contains(&PATCH.to_owned()));
}

/// The API server does not let us ask what it serves.
struct SilentDiscovery;

impl Schedule for SilentDiscovery {
    fn fault(&self, call: &Call) -> Fault {
        match call.name == "GET /apis/storage.k8s.io/v1" {
            true => Fault::Refuse(Refusal::Denied),
            false => Fault::None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_219_attributes_classes_are_used_where_the_api_server_does_not_say_what_it_serves() {
    for is_served in [true, false] {
        let world = World::of(&[rpc::Type::ModifyVolume]);
        match is_served {
            true => world.attributes_class("gold", DRIVER),
            false => world.api.serve_only(ATTRIBUTES_CLASSES, "v1beta1"),
        }
        let _process = world.start_with(Faults::new(SilentDiscovery));
        seconds(60).await;
        world.claim(|claim| claim["spec"]["volumeAttributesClassName"] = json!("gold"));
        seconds(3).await;
        if is_served {
            let sent = world.driver.state().volumes.created[0].mutable_parameters.clone();
            assert_eq!(sent["iops"], "4000");
        } else {
            assert_eq!(world.calls(), [0, 0]);
            let told = world.events();
            assert!(told[0].message.contains("gold does not exist"), "{told:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_242_no_volume_is_made_without_the_class_that_a_flag_demands() {
    for (flags, is_refused) in [
        ("--feature-gates=VolumeAttributesClass=true", true),
        ("--feature-gates=Topology=true", false),
    ] {
        let mut world = World::of(&[rpc::Type::ModifyVolume]);
        world.flags = flags.to_owned();
        world.api.serve_only(ATTRIBUTES_CLASSES, "v1beta1");
        world.attributes_class_in("v1beta1", "gold", DRIVER);
        let _process = world.start();
        world.claim_named("plain", |_| {});
        world.claim(|claim| claim["spec"]["volumeAttributesClassName"] = json!("gold"));
        seconds(5).await;
        let events = world.events();
        assert_eq!(world.phase("plain"), "Bound", "{flags}: {events:?}");
        assert_eq!(world.calls(), [if is_refused { 1 } else { 2 }, 0], "{flags}");
        let told = events.iter().find(|event| event.reason == "ProvisioningFailed");
        assert_eq!(told.is_some(), is_refused, "{events:?}");
        if let Some(told) = told {
            assert!(told.message.contains("ENABLE_VAC_FALLBACK=true"), "{told:?}");
            // It may come: each try asks for the class.
            world.remove_by_force(ATTRIBUTES_CLASSES, "", "gold");
            world.api.serve_only(ATTRIBUTES_CLASSES, "v1");
            world.attributes_class("gold", DRIVER);
            seconds(60).await;
            assert_eq!(world.calls(), [2, 0], "{:?}", world.events());
            let sent = world.driver.state().volumes.created[1].mutable_parameters.clone();
            assert_eq!(sent["iops"], "4000");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_234_a_volume_of_the_plugin_is_born_with_the_driver_that_took_over() {
    let driver = "ebs.csi.aws.com";
    let capabilities = [rpc::Type::CreateDeleteVolume, rpc::Type::PublishUnpublishVolume];
    // Nobody else writes here.
    let world = testing::World::new(csi_provisioner::ENTRY, Driver::new(driver, &capabilities));
    for (name, provisioner) in [("in-tree", "kubernetes.io/aws-ebs"), ("s", driver)] {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": provisioner, "reclaimPolicy": "Delete",
        });
        world.create(STORAGE_CLASSES, class);
    }
    let _process = world.start();
    for (class, provisioner, is_migrated) in
        [("in-tree", "kubernetes.io/aws-ebs", true), ("s", driver, false)]
    {
        let mut claim = claim(class);
        claim["spec"]["storageClassName"] = json!(class);
        claim["metadata"]["annotations"] = json!({
            "volume.kubernetes.io/storage-provisioner": provisioner, "pv.kubernetes.io/migrated-to": driver,
        });
        let claim = world.create(CLAIMS, claim);
        seconds(2).await;
        let name = format!("pvc-{}", claim["metadata"]["uid"].as_str().unwrap());
        let metadata = world.get(VOLUMES, "", &name).unwrap()["metadata"].clone();
        let to = metadata["annotations"].get("pv.kubernetes.io/migrated-to");
        assert_eq!(to, is_migrated.then_some(&json!(driver)), "{metadata}");
        let finalizers = metadata["finalizers"].as_array().unwrap();
        assert!(finalizers.contains(&json!("external-attacher/ebs-csi-aws-com")));
    }
}
