//! Whatever is sent, the server answers, and never with an error of its own.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kube_support::{Fixture, thing, things_definition};

/// Field names that the server looks at.
const FIELDS: [&str; 24] = [
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "status",
    "name",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "uid",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "names",
    "versions",
    "conditions",
    "resourceAttributes",
    "preconditions",
    "dryRun",
    "phase",
    "resources",
    "data",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![
            Just("v1"),
            Just("one"),
            Just("default"),
            Just("Background"),
            Just(""),
            Just("a/b")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(&FIELDS[..]), inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

/// `noise` laid over an object that would be good.
fn nearly(good: Value, noise: &Value) -> Value {
    let mut value = good;
    if let (Some(value), Some(noise)) = (value.as_object_mut(), noise.as_object()) {
        value.extend(noise.clone());
        return Value::Object(value.clone());
    }
    noise.clone()
}

#[allow(clippy::too_many_lines, reason = "one table")]
async fn send_everywhere(noise: &Value) {
    let fixture = Fixture::new();
    fixture.config_map("one").await;
    fixture.define_things().await;
    let things = "/apis/example.com/v1/namespaces/default/things";
    let made = thing("one", json!({}));
    fixture
        .send("POST", things, "", serde_json::to_value(made).unwrap())
        .await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (map, definition) = (format!("{maps}/one"), format!("{definitions}/things.example.com"));
    let (one, one_status) = (format!("{things}/one"), format!("{things}/one/status"));
    let good_map = json!({"metadata": {"name": "one"}});
    let good_thing = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one"}});
    let merge = "application/merge-patch+json";
    let apply = "application/apply-patch+yaml";
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let namespace = json!({"metadata": {"name": "default"}});
    let claim = json!({"metadata": {"name": "claim"}, "spec": {}});
    for (method, path, kind, good) in [
        ("POST", maps, "", &good_map),
        ("PUT", map.as_str(), "", &good_map),
        ("PATCH", map.as_str(), merge, &good_map),
        ("PATCH", map.as_str(), "application/json-patch+json", &json!([])),
        ("PATCH", &format!("{map}?fieldManager=x"), apply, &good_map),
        ("POST", things, "", &good_thing),
        ("PATCH", one.as_str(), merge, &good_thing),
        ("PATCH", one_status.as_str(), merge, &good_thing),
        (
            "PATCH",
            &format!("{one_status}?fieldManager=x"),
            apply,
            &good_thing,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/persistentvolumeclaims",
            "",
            &claim,
        ),
        ("POST", definitions, "", &things_definition()),
        ("PATCH", definition.as_str(), merge, &json!({})),
        ("PATCH", &format!("{definition}/status"), merge, &json!({})),
        ("POST", review, "", &json!({})),
        ("PATCH", "/api/v1/namespaces/default/status", merge, &namespace),
        ("DELETE", definition.as_str(), "", &json!({})),
        ("DELETE", map.as_str(), "", &json!({})),
        ("DELETE", "/api/v1/namespaces/default", "", &json!({})),
    ] {
        for body in [noise.clone(), nearly(good.clone(), noise)] {
            let (code, answer) = fixture.send(method, path, kind, body.clone()).await;
            // What the API server answers to an apply of undeclared fields or other types.
            let is_unfit = answer["message"].as_str().is_some_and(|text| {
                text.ends_with("field not declared in schema")
                    || text.starts_with("failed to convert new object")
            });
            assert!(code < 500 || is_unfit, "{method} {path} {body}: {code} {answer}");
            assert!(answer.is_object(), "{method} {path} {body}: {code} {answer}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_body_breaks_the_server(noise in any_json()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(send_everywhere(&noise));
    }

    #[test]
    fn no_path_or_query_breaks_the_server(
        path in "(/(api|apis|v1|namespaces|default|configmaps|pods|%2F|%FF|é|\\.\\.)){0,6}",
        query in "((watch|limit|continue|resourceVersion|labelSelector|timeoutSeconds|dryRun)=[-0-9a-z(),!=%]{0,6}&){0,4}",
        method in "GET|POST|PUT|PATCH|DELETE|HEAD",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new();
            let uri: Result<http::Uri, _> = format!("/{path}?{query}").parse();
            if let Ok(uri) = uri {
                let request = http::Request::builder().method(method.as_str()).uri(uri).body(Vec::new()).unwrap();
                let (code, _) = tokio::time::timeout(std::time::Duration::from_secs(7200), fixture.raw(request))
                    .await
                    .unwrap_or_default();
                prop_assert!(code < 500 || code == 504, "{code}");
            }
            Ok(())
        })?;
    }
}
