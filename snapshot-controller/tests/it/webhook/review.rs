//! Reviews: what the API server asks and is answered.

use serde_json::{Value, json};
use snapshot_controller::webhook::review::answer;

use super::{ANNOTATION, V1, V1BETA1, content};

fn review(desired: &str, objects: &[Value]) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "request": { "uid": "r-1", "desiredAPIVersion": desired, "objects": objects },
    })
}

fn asked(review: &Value) -> Value {
    answer(review.to_string().as_bytes()).unwrap()
}

#[test]
fn snapshot_case_11_all_objects_of_a_review_are_converted() {
    let answered = asked(&review(V1BETA1, &[content(V1), content(V1)]));
    assert_eq!(answered["apiVersion"], "apiextensions.k8s.io/v1");
    assert_eq!(answered["kind"], "ConversionReview");
    assert!(answered.get("request").is_none(), "{answered}");
    let response = &answered["response"];
    assert_eq!(response["uid"], "r-1");
    assert_eq!(response["result"], json!({ "status": "Success" }));
    let converted = response["convertedObjects"].as_array().unwrap();
    assert_eq!(converted.len(), 2);
    assert!(converted.iter().all(|object| object["apiVersion"] == V1BETA1));
    let nothing = asked(&review(V1, &[]));
    assert_eq!(nothing["response"]["convertedObjects"], json!([]));
}

#[test]
fn one_malformed_annotation_fails_the_review_with_its_name_and_reason() {
    let mut bad = content(V1BETA1);
    bad["metadata"]["annotations"] = json!({ (ANNOTATION): "7" });
    let answered = asked(&review(V1, &[content(V1BETA1), bad]));
    let response = &answered["response"];
    assert_eq!(response["uid"], "r-1");
    assert_eq!(response["result"]["status"], "Failure");
    assert!(response.get("convertedObjects").is_none(), "{response}");
    let message = response["result"]["message"].as_str().unwrap();
    for part in ["groupsnapcontent-u", ANNOTATION, "it is no list of objects"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_is_no_review_is_refused() {
    let mut other = review(V1, &[]);
    other["kind"] = json!("AdmissionReview");
    let mut beta = review(V1, &[]);
    beta["apiVersion"] = json!("apiextensions.k8s.io/v1beta1");
    let mut strange = review(V1, &[]);
    strange["request"]["objects"] = json!("x");
    for body in [
        "",
        "{",
        "null",
        "[]",
        "{}",
        &other.to_string(),
        &beta.to_string(),
        &strange.to_string(),
    ] {
        answer(body.as_bytes()).unwrap_err();
    }
    let empty = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview" });
    assert_eq!(asked(&empty)["response"]["uid"], "");
}
