//! Requests that ask who one is and what one may do; nothing is stored.

use serde_json::{Value, json};

use super::resource::ResourceType;
use super::state::State;

/// Sets the status of a review.
pub(crate) fn review(state: &State, resource: &ResourceType, user: &str, review: &mut Value) {
    match resource.kind.as_str() {
        "SelfSubjectReview" => {
            let groups = ["system:masters", "system:authenticated"];
            review["status"] = json!({"userInfo": {"username": user, "groups": groups}});
        }
        // Rules without the denials of tests: they are made for what a client asks about one by one.
        "SelfSubjectRulesReview" => {
            review["status"] = json!({
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "incomplete": false,
            });
        }
        _ => state.denials.review(user, review),
    }
}
