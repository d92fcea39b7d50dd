//! PUT, and what every update keeps.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::kube_support::{Fixture, from, refused, thing};

#[tokio::test(start_paused = true)]
async fn an_old_version_conflicts_with_the_real_message() {
    let fixture = Fixture::new();
    let old = fixture.config_map("one").await;
    let mut new = old.clone();
    new.data.as_mut().unwrap().insert("a".to_owned(), "2".to_owned());
    let written = fixture
        .config_maps()
        .replace("one", &PostParams::default(), &new)
        .await
        .unwrap();
    assert_eq!(written.data.unwrap()["a"], "2");
    let status = refused(
        fixture
            .config_maps()
            .replace("one", &PostParams::default(), &old)
            .await,
    );
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Operation cannot be fulfilled on configmaps \"one\": the object has been modified; please apply your \
         changes to the latest version and try again"
    );
    fixture.define_things().await;
    let things = fixture.things("v1");
    things
        .create(&PostParams::default(), &thing("t", json!({"x": 1})))
        .await
        .unwrap();
    let mut stale = things.get("t").await.unwrap();
    stale.metadata.resource_version = Some("1".to_owned());
    let status = refused(things.replace("t", &PostParams::default(), &stale).await);
    assert!(
        status
            .message
            .starts_with("Operation cannot be fulfilled on things.example.com \"t\": the object")
    );
}

#[tokio::test(start_paused = true)]
async fn another_uid_conflicts() {
    let fixture = Fixture::new();
    let mut map = fixture.config_map("one").await;
    map.metadata.uid = Some("other".to_owned());
    let status = refused(
        fixture
            .config_maps()
            .replace("one", &PostParams::default(), &map)
            .await,
    );
    assert_eq!(status.reason, "Conflict");
    assert!(
        status
            .message
            .contains("Precondition failed: UID in precondition: other"),
        "{}",
        status.message
    );
}

#[tokio::test(start_paused = true)]
async fn an_equal_write_is_none() {
    let fixture = Fixture::new();
    let map = fixture.config_map("one").await;
    let before = fixture.server.revision();
    let same = fixture
        .config_maps()
        .replace("one", &PostParams::default(), &map)
        .await
        .unwrap();
    assert_eq!(same, map);
    let mut bare = map.clone();
    (
        bare.metadata.resource_version,
        bare.metadata.uid,
        bare.metadata.creation_timestamp,
    ) = (None, None, None);
    assert_eq!(
        fixture
            .config_maps()
            .replace("one", &PostParams::default(), &bare)
            .await
            .unwrap(),
        map
    );
    assert_eq!(fixture.server.revision(), before);
}

#[tokio::test(start_paused = true)]
async fn system_fields_cannot_be_changed() {
    let fixture = Fixture::new();
    fixture.config_map("one").await;
    let path = "/api/v1/namespaces/default/configmaps/one";
    let before = fixture.get(path).await.1["metadata"]["creationTimestamp"].clone();
    let put = |field: &str, value: serde_json::Value| json!({"metadata": {"name": "one", field: value}});
    let body = put("creationTimestamp", json!("2020-01-01T00:00:00Z"));
    let (code, same) = fixture.send("PUT", path, "application/json", body).await;
    assert_eq!((code, &same["metadata"]["creationTimestamp"]), (200, &before));
    for (field, value) in [
        ("deletionTimestamp", json!("2020-01-01T00:00:00Z")),
        ("deletionGracePeriodSeconds", json!(5)),
    ] {
        let (code, status) = fixture
            .send("PUT", path, "application/json", put(field, value))
            .await;
        assert_eq!(code, 422, "{field}");
        let cause = &status["details"]["causes"][0];
        assert_eq!(cause["field"], format!("metadata.{field}"));
        assert!(cause["message"].as_str().unwrap().ends_with("field is immutable"));
    }
    let (code, status) = fixture
        .send(
            "PUT",
            path,
            "application/json",
            json!({"metadata": {"name": "two"}}),
        )
        .await;
    assert_eq!(code, 400);
    assert_eq!(
        status["message"],
        "the name of the object (two) does not match the name on the URL (one)"
    );
}

#[tokio::test(start_paused = true)]
async fn custom_objects_and_leases_need_a_version() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    fixture
        .things("v1")
        .create(&PostParams::default(), &thing("t", json!({})))
        .await
        .unwrap();
    let status = refused(
        fixture
            .things("v1")
            .replace("t", &PostParams::default(), &thing("t", json!({"x": 1})))
            .await,
    );
    assert_eq!(status.code, 422);
    assert!(
        status
            .message
            .contains("metadata.resourceVersion: Invalid value: 0: must be specified for an update")
    );
    // A missing lease is made by PUT.
    let leases: Api<Lease> = Api::namespaced(fixture.client.clone(), "default");
    let lease: Lease = from(json!({"metadata": {"name": "leader"}, "spec": {"holderIdentity": "a"}}));
    leases
        .replace("leader", &PostParams::default(), &lease)
        .await
        .unwrap();
    assert_eq!(
        refused(leases.replace("leader", &PostParams::default(), &lease).await).code,
        422
    );
    // One that is gone is not made again.
    let gone: Lease = from(json!({"metadata": {"name": "gone", "uid": "u", "resourceVersion": "5"}}));
    assert_eq!(
        refused(leases.replace("gone", &PostParams::default(), &gone).await).reason,
        "Conflict"
    );
    let other: Lease = from(json!({"metadata": {"name": "other"}}));
    assert_eq!(
        refused(leases.replace("third", &PostParams::default(), &other).await).code,
        400
    );
    let map: ConfigMap = from(json!({"metadata": {"name": "none"}}));
    assert_eq!(
        refused(
            fixture
                .config_maps()
                .replace("none", &PostParams::default(), &map)
                .await
        )
        .code,
        404
    );
}

#[tokio::test]
async fn drivers_nodes_capacities_and_attachments_need_a_version_and_classes_do_not() {
    let fixture = Fixture::new();
    let storage = "/apis/storage.k8s.io/v1";
    let attachment =
        json!({"spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "p"}}});
    let driver = json!({"name": "d", "nodeID": "i", "topologyKeys": ["zone"]});
    for (plural, mut object, code) in [
        ("csidrivers", json!({"spec": {"attachRequired": true}}), 422),
        ("csinodes", json!({"spec": {"drivers": [driver]}}), 422),
        (
            "namespaces/default/csistoragecapacities",
            json!({"storageClassName": "c"}),
            422,
        ),
        ("volumeattachments", attachment, 422),
        ("storageclasses", json!({"provisioner": "p"}), 200),
        (
            "volumeattributesclasses",
            json!({"driverName": "d", "parameters": {"iops": "1"}}),
            200,
        ),
    ] {
        let path = format!("{storage}/{plural}");
        object["metadata"] = json!({"name": "a"});
        let (made, answer) = fixture
            .send("POST", &path, "application/json", object.clone())
            .await;
        assert_eq!(made, 201, "{answer}");
        object["metadata"]["labels"] = json!({"a": "b"});
        let (got, answer) = fixture
            .send("PUT", &format!("{path}/a"), "application/json", object)
            .await;
        assert_eq!(got, code, "{answer}");
        if code == 422 {
            let cause = &answer["details"]["causes"][0];
            assert_eq!(cause["field"], "metadata.resourceVersion", "{answer}");
        }
    }
}

#[tokio::test]
async fn a_driver_has_a_generation_once_its_spec_has_changed() {
    let fixture = Fixture::new();
    let path = "/apis/storage.k8s.io/v1/csidrivers";
    let driver = json!({"metadata": {"name": "a"}, "spec": {"attachRequired": true}});
    let (code, made) = fixture.send("POST", path, "application/json", driver).await;
    assert_eq!((code, &made["metadata"]["generation"]), (201, &json!(null)));
    let path = format!("{path}/a");
    for (patch, generation) in [
        (json!({"metadata": {"labels": {"a": "b"}}}), json!(null)),
        (json!({"spec": {"podInfoOnMount": true}}), json!(1)),
        (json!({"metadata": {"labels": {"a": "c"}}}), json!(1)),
        (json!({"spec": {"podInfoOnMount": false}}), json!(2)),
    ] {
        let (code, changed) = fixture
            .send("PATCH", &path, "application/merge-patch+json", patch)
            .await;
        assert_eq!((code, &changed["metadata"]["generation"]), (200, &generation));
    }
}

#[tokio::test(start_paused = true)]
async fn status_and_the_rest_are_written_apart() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let things = fixture.things("v1");
    things
        .create(&PostParams::default(), &thing("t", json!({"x": 1})))
        .await
        .unwrap();
    let mut object = things.get("t").await.unwrap();
    assert_eq!(object.metadata.generation, Some(1));
    object.data["status"] = json!({"ready": true});
    object.data["spec"] = json!({"x": 2});
    let main = things
        .replace("t", &PostParams::default(), &object)
        .await
        .unwrap();
    assert_eq!(
        (&main.data["spec"]["x"], &main.data["status"]),
        (&json!(2), &json!(null))
    );
    assert_eq!(main.metadata.generation, Some(2));
    let mut object = main;
    object.data["status"] = json!({"ready": true});
    object.data["spec"] = json!({"x": 3});
    object.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    let status = things
        .replace_status("t", &PostParams::default(), &object)
        .await
        .unwrap();
    assert_eq!(
        (&status.data["spec"]["x"], &status.data["status"]["ready"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(status.metadata.generation, Some(2));
    assert_eq!(
        status.metadata.labels, None,
        "a custom object's status write leaves its metadata"
    );
    // The older version has no status subresource: its main resource takes it, and everything counts.
    let mut object = fixture.things("v1beta1").get("t").await.unwrap();
    object.data["status"] = json!({"ready": false});
    let whole = fixture
        .things("v1beta1")
        .replace("t", &PostParams::default(), &object)
        .await
        .unwrap();
    assert_eq!(
        (whole.data["status"]["ready"].clone(), whole.metadata.generation),
        (json!(false), Some(3))
    );
    let missing = fixture
        .things("v1beta1")
        .replace_status("t", &PostParams::default(), &whole)
        .await;
    assert_eq!(refused(missing).code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_claims_status_is_apart_too() {
    let fixture = Fixture::new();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(fixture.client.clone(), "default");
    let claim = from(json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }));
    let made = claims.create(&PostParams::default(), &claim).await.unwrap();
    assert_eq!(made.status.as_ref().unwrap().phase.as_deref(), Some("Pending"));
    let mut bound = made.clone();
    bound.status.as_mut().unwrap().phase = Some("Bound".to_owned());
    let main = claims
        .replace("data", &PostParams::default(), &bound)
        .await
        .unwrap();
    assert_eq!(main, made, "nothing but the status differs");
    let written = claims
        .replace_status("data", &PostParams::default(), &bound)
        .await
        .unwrap();
    assert_eq!(written.status.unwrap().phase.as_deref(), Some("Bound"));
}
