//! Writes against a scripted API server.

use http::Response;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use runtime::json_patch::Patch;
use runtime::objects::Claim;
use runtime::{ApiErrorClass, Deleted, ObjectKey, Selection, Writer};
use serde_json::{Value, json};

use crate::script::{Script, claim, status};

const PATH: &str = "/api/v1/namespaces/shop/persistentvolumeclaims/a";

fn writer(script: &Script) -> Writer<Claim> {
    Writer::new(&script.client(), "slackwater-test")
}

fn key() -> ObjectKey {
    ObjectKey::new("shop", "a")
}

fn patch(operations: &Value) -> Patch {
    serde_json::from_value(operations.clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_write_is_one_request_with_our_field_manager() {
    let script = Script::default();
    let writer = writer(&script);
    let operations = json!([{"op": "add", "path": "/metadata/labels/a", "value": "b"}]);
    for _ in 0..6 {
        script.json(200, &claim("a", "ua", "8"));
    }
    let answer = writer.patch_json(&key(), patch(&operations)).await.unwrap();
    assert_eq!(answer.metadata.resource_version.as_deref(), Some("8"));
    writer
        .patch_json_status(&key(), patch(&operations))
        .await
        .unwrap();
    writer.patch_merge(&key(), &json!({"a": 1})).await.unwrap();
    writer.patch_merge_status(&key(), &json!({"a": 1})).await.unwrap();
    let mut raw = writer.get_raw(&key()).await.unwrap();
    raw["metadata"]["finalizers"] = json!(["x/y"]);
    writer.replace_raw(&key(), &raw).await.unwrap();
    let sent = script.requests();
    let lines: Vec<_> = sent
        .iter()
        .map(|sent| format!("{} {}", sent.method, sent.path))
        .collect();
    let status_path = format!("{PATH}/status");
    assert_eq!(
        lines,
        [
            format!("PATCH {PATH}"),
            format!("PATCH {status_path}"),
            format!("PATCH {PATH}"),
            format!("PATCH {status_path}"),
            format!("GET {PATH}"),
            format!("PUT {PATH}"),
        ]
    );
    assert_eq!(
        (sent[0].content_type.as_str(), &sent[0].body),
        ("application/json-patch+json", &operations)
    );
    assert_eq!(sent[2].content_type, "application/merge-patch+json");
    assert_eq!(sent[5].body, raw);
    assert!(
        sent.iter()
            .all(|sent| sent.method == "GET" || sent.query == "fieldManager=slackwater-test")
    );
}

#[tokio::test(start_paused = true)]
async fn whole_objects_are_created_and_replaced() {
    let script = Script::default();
    let writer: Writer<ConfigMap> = Writer::new(&script.client(), "slackwater-test");
    let mut object = ConfigMap {
        metadata: ObjectMeta {
            name: Some("c".to_owned()),
            namespace: Some("shop".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    let answer = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    script.json(201, &answer);
    writer.create(&object).await.unwrap();
    script.json(200, &answer);
    writer.replace(&object).await.unwrap();
    object.metadata.name = None;
    object.metadata.generate_name = Some("c-".to_owned());
    script.status(409, "AlreadyExists");
    let error = writer.create(&object).await.unwrap_err();
    assert_eq!(error.class(), ApiErrorClass::AlreadyExists);
    assert_eq!(
        error.to_string(),
        "create configmaps shop/c-*: said the server (AlreadyExists, HTTP 409)"
    );
    let base = "/api/v1/namespaces/shop/configmaps";
    let requests = script.take_requests();
    let manager = "fieldManager=slackwater-test";
    assert_eq!(requests[0], format!("POST {base}?{manager}"));
    assert_eq!(requests[1], format!("PUT {base}/c?{manager}"));
    assert_eq!(requests.len(), 3, "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_delete_names_the_object_it_means() {
    let script = Script::default();
    let writer = writer(&script);
    script.json(200, &json!({"kind": "Status", "status": "Success"}));
    assert_eq!(
        writer.delete(&key(), "ua", Some("7")).await.unwrap(),
        Deleted::Gone
    );
    let sent = &script.requests()[0];
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("DELETE", PATH));
    assert_eq!(
        sent.body,
        json!({"preconditions": {"uid": "ua", "resourceVersion": "7"}, "propagationPolicy": "Background"})
    );
    // Answered with the object: it waits for its finalizers, or is gone.
    let mut marked = claim("a", "ua", "9");
    script.json(200, &marked);
    assert_eq!(writer.delete(&key(), "ua", None).await.unwrap(), Deleted::Gone);
    marked["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    script.json(200, &marked);
    assert_eq!(writer.delete(&key(), "ua", None).await.unwrap(), Deleted::Gone);
    marked["metadata"]["finalizers"] = json!(["x/y"]);
    script.json(200, &marked);
    let Deleted::Pending(pending) = writer.delete(&key(), "ua", None).await.unwrap() else {
        panic!("gone");
    };
    assert_eq!(pending.metadata.resource_version.as_deref(), Some("9"));
    script.status(409, "Conflict");
    let error = writer.delete(&key(), "ua", None).await.unwrap_err();
    assert_eq!(error.class(), ApiErrorClass::Conflict);
}

#[tokio::test(start_paused = true)]
async fn a_failed_test_of_a_patch_is_a_conflict() {
    let script = Script::default();
    let writer = writer(&script);
    let tested = json!([{"op": "test", "path": "/metadata/uid", "value": "ua"}]);
    let untested = json!([{"op": "remove", "path": "/metadata/finalizers/0"}]);
    for (operations, class) in [
        (tested, ApiErrorClass::Conflict),
        (untested, ApiErrorClass::Invalid),
    ] {
        script.status(422, "Invalid");
        let error = writer.patch_json(&key(), patch(&operations)).await.unwrap_err();
        assert_eq!(error.class(), class);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_have_a_class_and_one_clear_line() {
    let script = Script::default();
    let writer = writer(&script);
    script.body(
        Response::builder().status(429).header("Retry-After", "7"),
        "Too many requests,\nplease wait\n",
    );
    let error = writer.get(&key()).await.unwrap_err();
    assert_eq!(
        (error.class(), error.retry_after().unwrap().as_secs()),
        (ApiErrorClass::Transient, 7)
    );
    let text = "get persistentvolumeclaims shop/a: Too many requests, please wait (HTTP 429)";
    assert_eq!(error.to_string(), text);
    script.no_connection();
    let error = writer
        .patch_merge_status(&key(), &json!({"password": "secret"}))
        .await
        .unwrap_err();
    assert_eq!((error.class(), error.code()), (ApiErrorClass::Transient, 0));
    assert_eq!(
        error.to_string(),
        "patch persistentvolumeclaims/status shop/a: ServiceError: connection refused"
    );
    script.json(200, &json!({"metadata": {"name": ["secret"]}}));
    let error = writer.get(&key()).await.unwrap_err();
    assert_eq!(error.class(), ApiErrorClass::Transient);
    assert!(
        error.to_string().contains("does not have the expected fields"),
        "{error}"
    );
    assert!(!error.to_string().contains("secret"));
    let error = writer.get(&ObjectKey::new("shop", "")).await.unwrap_err();
    assert_eq!(error.class(), ApiErrorClass::Invalid, "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_end_is_given_up_after_a_minute() {
    let script = Script::default();
    let _rest = script.watch();
    let started = tokio::time::Instant::now();
    let error = writer(&script).get(&key()).await.unwrap_err();
    assert_eq!(
        (error.class(), started.elapsed().as_secs()),
        (ApiErrorClass::Transient, 60)
    );
}

#[tokio::test(start_paused = true)]
async fn lists_are_whole() {
    let script = Script::default();
    script.page("10", &[claim("a", "ua", "1")], "more");
    script.list("10", &[claim("b", "ub", "2")]);
    let writer = writer(&script);
    let selection = Selection::labels("app=db").within("shop");
    assert_eq!(writer.list(&selection).await.unwrap().len(), 2);
    script.json(403, &status(403, "Forbidden"));
    let error = writer.list(&selection).await.unwrap_err();
    assert_eq!(error.class(), ApiErrorClass::Forbidden);
    assert_eq!(
        error.to_string(),
        "list persistentvolumeclaims: said the server (Forbidden, HTTP 403)"
    );
}
