//! What does not have the type of its field is refused, and what is taken comes out in the form of its type.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::kube_support::Fixture;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";
const MERGE: &str = "application/merge-patch+json";

/// Answers the body and the warnings too.
async fn post(fixture: &Fixture, path: &str, body: &Value) -> (u16, Value, Vec<String>) {
    let request = http::Request::post(path).header("content-type", "application/json");
    let body = http_body_util::Full::new(bytes::Bytes::from(body.to_string()));
    let answer = fixture
        .server
        .service("tester")
        .oneshot(request.body(body).unwrap())
        .await
        .unwrap();
    let warnings = answer.headers().get_all("warning").iter();
    let warnings = warnings.map(|text| text.to_str().unwrap().to_owned()).collect();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap(), warnings)
}

#[tokio::test]
async fn a_lease_has_times_of_six_digits() {
    let fixture = Fixture::new();
    for (index, (time, stored)) in [
        ("2026-01-02T03:04:05.123456Z", Some("2026-01-02T03:04:05.123456Z")),
        (
            "2026-01-02T03:04:05.123456+02:00",
            Some("2026-01-02T01:04:05.123456Z"),
        ),
        ("2026-01-02T03:04:05Z", None),
        ("2026-01-02T03:04:05.123Z", None),
        ("2026-01-02T03:04:05.123456789Z", None),
    ]
    .into_iter()
    .enumerate()
    {
        let lease = json!({"metadata": {"name": format!("l{index}")}, "spec": {"renewTime": time}});
        let (code, answer) = fixture.send("POST", LEASES, "application/json", lease).await;
        match stored {
            Some(stored) => assert_eq!((code, &answer["spec"]["renewTime"]), (201, &json!(stored))),
            None => assert_eq!((code, &answer["reason"]), (400, &json!("BadRequest")), "{answer}"),
        }
    }
    let patch = json!({"spec": {"renewTime": "2026-01-02T03:04:06Z"}});
    let (code, answer) = fixture.send("PATCH", &format!("{LEASES}/l0"), MERGE, patch).await;
    assert_eq!((code, &answer["reason"]), (422, &json!("Invalid")), "{answer}");
}

#[tokio::test]
async fn values_of_other_types_are_refused() {
    let fixture = Fixture::new();
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let secrets = "/api/v1/namespaces/default/secrets";
    let claim = |spec: Value| json!({"metadata": {"name": "a"}, "spec": spec});
    let size = |size: Value| {
        claim(json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}))
    };
    for (path, object, why) in [
        (
            LEASES,
            json!({"metadata": {"name": "a"}, "spec": {"leaseDurationSeconds": 15.0}}),
            "json: cannot unmarshal number 15.0 into Go struct field LeaseSpec.spec.leaseDurationSeconds of type int32",
        ),
        (
            "/api/v1/namespaces/default/pods",
            json!({"metadata": {"name": "a"}, "spec": {"containers": [], "terminationGracePeriodSeconds": 30.5}}),
            "cannot unmarshal number 30.5 into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64",
        ),
        (
            MAPS,
            json!({"metadata": {"name": "a"}, "data": {"k": 1}}),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            MAPS,
            json!({"metadata": {"name": "a", "labels": {"k": true}}}),
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            claims,
            claim(json!("all")),
            "cannot unmarshal string into Go struct field PersistentVolumeClaim.spec",
        ),
        (
            claims,
            size(json!("1Gx")),
            "quantities must match the regular expression",
        ),
        (claims, size(json!("1mm")), "unable to parse quantity's suffix"),
        (
            secrets,
            json!({"metadata": {"name": "a"}, "data": {"k": "a*b"}}),
            "illegal base64 data at input byte 1",
        ),
        (
            MAPS,
            json!({"metadata": {"name": "a", "creationTimestamp": "soon"}}),
            "parsing time \"soon\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"soon\" as \"2006\"",
        ),
    ] {
        let (code, answer) = fixture.send("POST", path, "application/json", object).await;
        assert_eq!(code, 400, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(why), "{answer}");
    }
}

#[tokio::test]
async fn unknown_fields_are_dropped_and_told() {
    let fixture = Fixture::new();
    let map = json!({"metadata": {"name": "a", "shape": 1}, "data": {"k": null}, "colour": "red"});
    let (code, made, warnings) = post(&fixture, MAPS, &map).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        (&made["colour"], &made["data"]),
        (&Value::Null, &json!({"k": ""}))
    );
    let told = [
        "299 - \"unknown field \\\"colour\\\"\"",
        "299 - \"unknown field \\\"metadata.shape\\\"\"",
    ];
    assert_eq!(warnings, told);
    let (.., warnings) = post(&fixture, &format!("{MAPS}?fieldValidation=Ignore"), &map).await;
    assert!(warnings.is_empty());
    let (code, ..) = post(&fixture, &format!("{MAPS}?fieldValidation=Strict"), &map).await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn finalizers_have_a_domain() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let metadata = json!({"name": "a", "finalizers": ["plain", "example.com/a"]});
    let (code, refused, _) = post(&fixture, MAPS, &json!({"metadata": metadata})).await;
    assert_eq!(
        (code, &refused["details"]["causes"][0]["field"]),
        (422, &json!("metadata.finalizers[0]"))
    );
    let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": metadata, "spec": {}});
    let (code, made, warnings) = post(&fixture, THINGS, &thing).await;
    assert_eq!((code, warnings.len()), (201, 1), "{made}");
    assert!(
        warnings[0].contains("prefer a domain-qualified finalizer name"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn fractions_of_bytes_are_told() {
    let fixture = Fixture::new();
    let claim = json!({"metadata": {"name": "a"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1.0000001Mi"}},
    }});
    let (code, made, warnings) = post(
        &fixture,
        "/api/v1/namespaces/default/persistentvolumeclaims",
        &claim,
    )
    .await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["spec"]["resources"]["requests"]["storage"], "1048576105m");
    assert!(
        warnings[0].contains("fractional byte value \\\"1048576105m\\\" is invalid"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn whole_floats_of_custom_kinds_become_integers() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let thing = json!({
        "apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"a": 1.0, "b": 1.5},
    });
    let (code, made, _) = post(&fixture, THINGS, &thing).await;
    assert_eq!(
        (code, made["spec"].to_string().as_str()),
        (201, r#"{"a":1,"b":1.5}"#)
    );
}

#[tokio::test]
async fn a_namespace_on_an_object_of_the_cluster_is_dropped() {
    let fixture = Fixture::new();
    let path = "/apis/storage.k8s.io/v1/storageclasses";
    let class = json!({"metadata": {"name": "a", "namespace": "default"}, "provisioner": "p"});
    let (code, made, _) = post(&fixture, path, &class).await;
    assert_eq!(
        (code, &made["metadata"]["namespace"]),
        (201, &Value::Null),
        "{made}"
    );
    let (code, put) = fixture
        .send("PUT", &format!("{path}/a"), "application/json", class)
        .await;
    assert_eq!(
        (code, &put["metadata"]["namespace"]),
        (200, &Value::Null),
        "{put}"
    );
}

#[tokio::test]
async fn a_newer_event_has_limits() {
    let fixture = Fixture::new();
    let path = "/api/v1/namespaces/default/events";
    let event = |message: usize, time: Value| {
        json!({
            "metadata": {"generateName": "e"}, "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
            "reason": "R", "action": "A", "type": "Normal", "reportingComponent": "c", "reportingInstance": "i",
            "message": "m".repeat(message), "eventTime": time,
        })
    };
    let now = json!("2026-01-02T03:04:05.123456Z");
    for (message, time, expected) in [
        (5000, Value::Null, 201),
        (1024, now.clone(), 201),
        (5000, now.clone(), 422),
    ] {
        let (code, answer) = fixture
            .send("POST", path, "application/json", event(message, time))
            .await;
        assert_eq!(code, expected, "{answer}");
    }
    let mut nameless = event(1, now);
    nameless["reportingComponent"] = json!("");
    let (code, answer) = fixture.send("POST", path, "application/json", nameless).await;
    assert_eq!(code, 422, "{answer}");
}

#[tokio::test]
async fn objects_and_options_may_come_as_protobuf() {
    let fixture = Fixture::new();
    let field = |tag: u8, bytes: &[u8]| [&[tag << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let body = |kind: &str, raw: Vec<u8>| {
        let of = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), field(1, &of), field(2, &raw)].concat()
    };
    let send = async |method: &str, path: &str, body: Vec<u8>| {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/vnd.kubernetes.protobuf");
        let request = request.header("accept", "application/vnd.kubernetes.protobuf,application/json");
        fixture.raw(request.body(body).unwrap()).await
    };
    let secrets = "/api/v1/namespaces/default/secrets";
    let metadata = field(1, &field(1, b"a"));
    let data = field(2, &[field(1, b"k"), field(2, b"hi")].concat());
    let (code, made) = send("POST", secrets, body("Secret", [metadata, data].concat())).await;
    assert_eq!((code, &made["data"]), (201, &json!({"k": "aGk="})), "{made}");
    assert_eq!(made["type"], "Opaque");
    // The UID of another one.
    let options = body("DeleteOptions", field(2, &field(1, b"other")));
    let (code, refused) = send("DELETE", &format!("{secrets}/a"), options).await;
    assert_eq!(code, 409, "{refused}");
    let (code, refused) = send("POST", secrets, b"{}".to_vec()).await;
    assert_eq!(code, 400, "{refused}");
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (code, refused) = send("POST", definitions, body("CustomResourceDefinition", Vec::new())).await;
    assert_eq!(code, 415, "{refused}");
}
