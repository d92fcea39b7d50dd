//! What each answer of the driver leads to (sidecars.md 2.9).

use std::time::Duration;

use controller::testing::resources::{ATTRIBUTES_CLASSES, CLAIMS, SECRETS, STORAGE_CLASSES};
use controller::testing::{VolumeAnswer, seconds};
use csi::v1::VolumeContentSource;
use csi::v1::controller_service_capability::rpc;
use csi::v1::volume_content_source::Type;
use serde_json::json;
use tonic::{Code, Status};

use crate::world::{DRIVER, SAVE, World};

#[tokio::test(start_paused = true)]
async fn sidecars_case_141_every_code_ends_with_one_volume() {
    for number in 1..=16 {
        let code = Code::from(number);
        let world = World::new();
        let fail = VolumeAnswer::MakeAndFail(Status::new(code, "no"));
        world.driver.state().volumes.create.push_back(Some(fail));
        let process = world.start();
        let name = world.claim(|_| {});
        seconds(60).await;
        // What was refused for its content is not asked for again so soon (80).
        let is_slow = code == Code::InvalidArgument;
        assert_eq!(world.volume(&name).is_some(), !is_slow, "{code:?}");
        assert_eq!(world.calls(), [if is_slow { 1 } else { 2 }, 0], "{code:?}");
        let failed = process.metric("controller_persistentvolumeclaim_provision_failed_total", &[]);
        assert_eq!(failed, 1.0, "{code:?}");
        seconds(300).await;
        assert_eq!((world.calls(), world.made()), ([2, 0], 1), "{code:?}");
        assert_eq!(world.phase("c"), "Bound", "{code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_73_74_a_claim_that_is_gone_is_finished_until_a_final_answer() {
    for (last, made) in [(None, 1), (Some(Status::not_found("no")), 0)] {
        let world = World::new();
        world.driver.refuse_volumes(&Status::unavailable("later"), 2);
        if let Some(status) = &last {
            world.driver.refuse_volumes(status, 1);
        }
        let _process = world.start();
        let name = world.claim(|_| {});
        seconds(1).await;
        world.remove_by_force(CLAIMS, "default", "c");
        seconds(4).await;
        assert_eq!(world.calls()[0], 3);
        // The volume is saved for the claim that is gone, and deleted with it.
        seconds(60).await;
        assert_eq!(world.calls(), [3, made]);
        assert_eq!((world.volume(&name), world.made()), (None, 0));
        assert!(!world.reasons().contains(&"ProvisioningSucceeded".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_75_76_77_the_request_that_was_sent_is_repeated() {
    let world = World::of(&[rpc::Type::ModifyVolume]);
    world.attributes_class("gold", DRIVER);
    world
        .driver
        .refuse_volumes(&Status::deadline_exceeded("later"), 3);
    let _process = world.start();
    let name = world.claim(|claim| claim["spec"]["volumeAttributesClassName"] = json!("gold"));
    seconds(2).await;
    world.remove_by_force(STORAGE_CLASSES, "", "s");
    world.remove_by_force(ATTRIBUTES_CLASSES, "", "gold");
    world.change(CLAIMS, "default", "c", |claim| {
        claim["metadata"]["annotations"] = json!({});
    });
    seconds(30).await;
    let requests = world.driver.state().volumes.created.clone();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| *request == requests[0]));
    assert_eq!(
        world.volume(&name).unwrap()["spec"]["volumeAttributesClassName"],
        "gold"
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_248_a_request_without_an_end_goes_by_a_class_made_anew_after_some_tries() {
    let world = World::new();
    world
        .driver
        .refuse_volumes(&Status::unavailable("who are you?"), 7);
    let _process = world.start();
    let name = world.claim(|_| {});
    seconds(2).await;
    world.remove_by_force(STORAGE_CLASSES, "", "s");
    world.class("s", &json!({ "parameters": { "backend": "other" } }));
    seconds(60).await;
    let requests = world.driver.state().volumes.created.clone();
    let backends: Vec<Option<&str>> = requests
        .iter()
        .map(|request| request.parameters.get("backend").map(String::as_str))
        .collect();
    assert_eq!(backends, [[None; 5].as_slice(), &[Some("other"); 3]].concat());
    assert!(requests.iter().all(|request| request.name == name));
    assert_eq!(world.phase("c"), "Bound");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_78_without_room_another_node_is_asked_for() {
    let world = World::with_nodes();
    world
        .driver
        .refuse_volumes(&Status::resource_exhausted("full"), 1);
    let _process = world.start();
    seconds(1).await;
    let mark = world.mark();
    world.claim(|_| {});
    world.select("n1");
    seconds(20).await;
    assert_eq!((world.calls(), world.selected()), ([1, 0], None));
    let requests = world.requests_since(mark);
    let writes: Vec<&String> = requests
        .iter()
        .filter(|request| request.contains("claims "))
        .collect();
    assert_eq!(writes, ["patch persistentvolumeclaims 200"]);
    world.select("n2");
    seconds(5).await;
    assert_eq!((world.calls(), world.phase("c")), ([2, 0], "Bound".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_78_a_claim_for_no_node_is_tried_again() {
    let world = World::new();
    world
        .driver
        .refuse_volumes(&Status::resource_exhausted("full"), 1);
    let _process = world.start();
    seconds(1).await;
    let mark = world.mark();
    world.claim(|_| {});
    seconds(5).await;
    assert_eq!(
        (world.requests_since(mark), world.calls()),
        (vec![SAVE.to_owned()], [2, 0])
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_80_81_what_is_infeasible_waits_for_a_change() {
    let world = World::new();
    world
        .driver
        .refuse_volumes(&Status::invalid_argument("no such type"), 9);
    let _process = world.start();
    world.claim(|_| {});
    seconds(10).await;
    for number in 0..3 {
        world.change(CLAIMS, "default", "c", |claim| {
            claim["metadata"]["annotations"]["x"] = json!(number.to_string());
        });
        seconds(1).await;
    }
    assert_eq!(world.calls(), [1, 0]);
    let told = world.events();
    assert_eq!((told.len(), told[0].count), (1, 1));
    assert!(
        told[0].message.starts_with(
            "Volume provisioning failed with infeasible error. Retries will be delayed. rpc error"
        )
    );
    seconds(280).await;
    assert_eq!(world.calls(), [1, 0]);
    seconds(20).await;
    assert_eq!(world.calls(), [2, 0]);
    world.remove_by_force(STORAGE_CLASSES, "", "s");
    world.class("s", &json!({}));
    seconds(1).await;
    assert_eq!(world.calls(), [3, 0]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_82_tries_are_further_and_further_apart() {
    let world = World::new();
    world.driver.refuse_volumes(&Status::internal("no"), 5);
    let _process = world.start();
    world.claim(|_| {});
    seconds(60).await;
    let times = world.driver.times("CreateVolume");
    let waits: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, least) in waits.iter().zip([1, 2, 4, 8, 16]) {
        assert!((least..=least + least / 8 + 1).contains(wait), "{waits:?}");
    }
    assert_eq!((waits.len(), world.phase("c")), (5, "Bound".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_243_a_driver_may_name_the_source_in_its_own_way() {
    let numbered: fn(&mut csi::v1::Volume) = |volume| {
        let source = volume
            .content_source
            .as_mut()
            .and_then(|source| source.r#type.as_mut());
        if let Some(Type::Snapshot(snapshot)) = source {
            snapshot.snapshot_id = "4711".to_owned();
        }
    };
    let untold: fn(&mut csi::v1::Volume) =
        |volume| volume.content_source = Some(VolumeContentSource::default());
    for (number, change) in [numbered, untold].into_iter().enumerate() {
        let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
        world.snapshot();
        let answer = Some(VolumeAnswer::Made(change));
        world.driver.state().volumes.create.push_back(answer);
        let _process = world.start();
        let name = world.claim(|claim| {
            claim["spec"]["dataSource"] =
                json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap"});
        });
        seconds(30).await;
        assert_eq!((world.calls(), world.made()), ([1, 0], 1), "{number}");
        assert_eq!(
            world.volume(&name).unwrap()["spec"]["csi"]["volumeHandle"],
            "vol-1",
            "{number}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_38_67_68_a_wrong_volume_is_deleted_and_asked_for_again() {
    let wrong: [fn(&mut csi::v1::Volume); 2] = [
        |volume| volume.capacity_bytes = 5,
        |volume| volume.content_source = None,
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
        world.snapshot();
        world
            .driver
            .state()
            .volumes
            .create
            .push_back(Some(VolumeAnswer::Made(change)));
        world
            .driver
            .state()
            .volumes
            .delete
            .push_back(Some(Status::internal("no")));
        let _process = world.start();
        let name = world.claim(|claim| {
            // Only the second reference, which the API server would copy to the first.
            claim["spec"]["dataSourceRef"] =
                json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap"});
        });
        seconds(1).await;
        assert!(world.volume(&name).is_none(), "{number}");
        assert!(
            world.events()[0].message.contains("vol-1"),
            "{:?}",
            world.events()
        );
        seconds(30).await;
        assert_eq!((world.calls(), world.made()), ([2, 2], 1), "{number}");
        assert_eq!(
            world.volume(&name).unwrap()["spec"]["csi"]["volumeHandle"],
            "vol-2",
            "{number}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_207_wrong_volumes_are_further_and_further_apart() {
    let world = World::new();
    let wrong = std::iter::repeat_with(|| Some(VolumeAnswer::Made(|volume| volume.capacity_bytes = 5)));
    world.driver.state().volumes.create.extend(wrong.take(10));
    // A deletion that fails is of the same try.
    let refusals = [None, Some(Status::internal("no"))];
    world.driver.state().volumes.delete.extend(refusals);
    let _process = world.start();
    world.claim(|_| {});
    seconds(2000).await;
    let times = world.driver.times("DeleteVolume");
    let waits: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, least) in waits.iter().zip([1, 2, 4, 8, 16, 32, 64, 128]) {
        assert!((least..=least + least / 8 + 1).contains(wait), "{waits:?}");
    }
    assert_eq!((world.calls(), world.made()), ([11, 11], 1));
    assert_eq!(world.phase("c"), "Bound");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_249_a_wrong_volume_is_deleted_with_the_secret_as_it_is_now() {
    let world = World::new();
    world.secret("of old");
    let named = json!({
        "csi.storage.k8s.io/provisioner-secret-name": "sec",
        "csi.storage.k8s.io/provisioner-secret-namespace": "default",
    });
    world.class("k", &json!({ "parameters": named }));
    let wrong = Some(VolumeAnswer::Made(|volume| volume.capacity_bytes = 5));
    world.driver.state().volumes.create.push_back(wrong);
    let refusals = std::iter::repeat_with(|| Some(Status::permission_denied("wrong password")));
    world.driver.state().volumes.delete.extend(refusals.take(2));
    let _process = world.start();
    world.claim(|claim| claim["spec"]["storageClassName"] = json!("k"));
    seconds(2).await;
    world.change(SECRETS, "default", "sec", |secret| {
        secret["stringData"] = json!({ "password": "of now" });
    });
    seconds(60).await;
    let deleted = world.driver.state().volumes.deleted.clone();
    let passwords: Vec<&str> = deleted
        .iter()
        .map(|request| request.secrets["password"].as_str())
        .collect();
    assert_eq!(passwords, ["of old", "of old", "of now"]);
    assert_eq!((world.made(), world.phase("c").as_str()), (1, "Bound"));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_250_the_volume_of_another_claim_is_never_deleted() {
    let world = World::new();
    let _process = world.start();
    let first = world.claim_named("first", |_| {});
    seconds(5).await;
    let of_another = Some(VolumeAnswer::Made(|volume| {
        volume.volume_id = "vol-1".to_owned();
        volume.capacity_bytes = 5;
    }));
    world.driver.state().volumes.create.push_back(of_another);
    world.claim_named("second", |_| {});
    seconds(300).await;
    assert_eq!(world.calls()[1], 0);
    assert_eq!(world.phase("first"), "Bound");
    let says = format!("vol-1, which PersistentVolume {first} has already");
    let events = world.events();
    assert!(
        events.iter().any(|event| event.message.contains(&says)),
        "{events:?}"
    );
}

/// A refusal of this code that asks for so much time.
fn come_back(code: Code, delay_seconds: u64) -> Status {
    csi::retry::status_with_delay(code, "come back", Duration::from_secs(delay_seconds))
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_253_what_was_mended_does_not_wait_for_the_time_of_the_driver() {
    let world = World::new();
    world.driver.refuse_volumes(&come_back(Code::Internal, 250), 1);
    let _process = world.start();
    world.claim(|_| {});
    seconds(20).await;
    assert_eq!(world.calls(), [1, 0]);
    world.remove_by_force(STORAGE_CLASSES, "", "s");
    world.class("s", &json!({ "parameters": { "backend": "other" } }));
    seconds(2).await;
    assert_eq!((world.calls(), world.phase("c").as_str()), ([2, 0], "Bound"));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_190_the_time_that_a_driver_asks_for_has_bounds() {
    let world = World::new();
    let at_once = come_back(Code::Unavailable, 0);
    world.driver.refuse_volumes(&at_once, 100);
    let _process = world.start();
    world.claim(|_| {});
    seconds(10).await;
    let calls = world.calls()[0];
    assert!((8..=11).contains(&calls), "once a second: {calls}");

    for code in [Code::Unavailable, Code::Internal] {
        let world = World::new();
        world.driver.refuse_volumes(&come_back(code, 86_400), 1);
        let process = world.start();
        world.claim(|_| {});
        seconds(295).await;
        assert_eq!(world.calls(), [1, 0], "{code:?}");
        seconds(10).await;
        assert_eq!(
            (world.calls(), world.phase("c").as_str()),
            ([2, 0], "Bound"),
            "{code:?}"
        );
        assert_eq!(
            world.reasons(),
            ["Provisioning", "ProvisioningSucceeded"],
            "{code:?}"
        );
        let failed = process.metric("controller_persistentvolumeclaim_provision_failed_total", &[]);
        assert_eq!(failed, 0.0, "a wait is no failure");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_191_what_is_infeasible_stays_so_whenever_the_driver_asks_to_come_back() {
    let world = World::new();
    let refusal = come_back(Code::InvalidArgument, 5);
    world.driver.refuse_volumes(&refusal, 1);
    let _process = world.start();
    world.claim(|_| {});
    seconds(290).await;
    assert_eq!(
        (world.calls(), world.reasons()),
        ([1, 0], vec!["ProvisioningFailed".to_owned()])
    );
    let told = world.events()[0].message.clone();
    assert!(
        told.starts_with("Volume provisioning failed with infeasible error"),
        "{told}"
    );
    seconds(20).await;
    assert_eq!((world.calls(), world.phase("c")), ([2, 0], "Bound".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_192_without_room_another_node_is_asked_for_whenever_the_driver_asks_to_come_back() {
    let world = World::with_nodes();
    let full = come_back(Code::ResourceExhausted, 5);
    world.driver.refuse_volumes(&full, 1);
    let _process = world.start();
    world.claim(|_| {});
    world.select("n1");
    seconds(20).await;
    assert_eq!((world.calls(), world.selected()), ([1, 0], None));
    world.select("n2");
    seconds(5).await;
    assert_eq!((world.calls(), world.phase("c")), ([2, 0], "Bound".to_owned()));
}
