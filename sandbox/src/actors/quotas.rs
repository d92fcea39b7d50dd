//! The quota controller: what quotas limit, and what is used.
//!
//! The API server books what is taken; what becomes free is counted here.

use base::Scope;
use serde_json::{Value, json};

use super::{CLAIMS, DEFINITIONS, PODS, SERVICES, attempt, follow_all};
use crate::kube::{Amounts, Change, ChangeKind, GroupResource, Object, QUOTAS, Store, amounts, json_of};

/// How often a quota is counted anew when it changes meanwhile.
const TRIES: usize = 10;

/// Starts the controller as a task of the scope.
pub(super) fn start(store: Store, scope: &Scope) {
    let changes = store.subscribe_where(is_followed);
    follow_all(changes, scope, move |change| changed(&store, change));
}

/// Quotas, definitions, the end of anything, and changes of what may come to take less.
fn is_followed(id: GroupResource<'_>, kind: ChangeKind) -> bool {
    match kind {
        ChangeKind::Deleted => true,
        ChangeKind::Added => id == QUOTAS || id == DEFINITIONS,
        ChangeKind::Modified => [QUOTAS, CLAIMS, PODS, SERVICES].contains(&id),
    }
}

fn changed(store: &Store, change: &Change) {
    let object = change.object.value();
    let quotas = match object["kind"].as_str().unwrap_or_default() {
        // From now on its objects are counted, or no more.
        "CustomResourceDefinition" => store.list(QUOTAS, None),
        "ResourceQuota" if change.kind != ChangeKind::Deleted => {
            let spec = |object: &Object| object.value()["spec"].clone();
            if change.previous.as_deref().map(spec) == Some(object["spec"].clone()) {
                // Only what was booked.
                return;
            }
            let (namespace, name) = (change.object.namespace(), change.object.name());
            store.get(QUOTAS, namespace, name).into_iter().collect()
        }
        _ => match change.object.namespace() {
            "" => return,
            namespace => store.list(QUOTAS, Some(namespace)),
        },
    };
    for quota in quotas {
        count(store, &quota);
    }
}

/// Counts what is used of a quota, and writes it where it says something else.
fn count(store: &Store, quota: &Object) {
    let (namespace, name) = (quota.namespace(), quota.name());
    for _ in 0..TRIES {
        let Some(quota) = store.get(QUOTAS, namespace, name) else {
            return;
        };
        let hard = amounts(quota.value(), "/spec/hard");
        let counted = store.used(namespace, hard.keys().map(String::as_str));
        let Some(status) = plan(quota.value(), &counted) else {
            return;
        };
        // What is booked while we count is not in `counted`.
        let version = json!(quota.revision().to_string());
        let written = store.update_status(QUOTAS, namespace, name, |quota| {
            quota["metadata"]["resourceVersion"] = version;
            quota["status"] = status;
        });
        match written {
            Err(error) if error.reason() == "Conflict" => {}
            written => {
                attempt(written);
                return;
            }
        }
    }
}

/// The status that a quota lacks; none where it has it. What nobody counts stays as it was last told.
fn plan(quota: &Value, counted: &Amounts) -> Option<Value> {
    let hard = amounts(quota, "/spec/hard");
    let (told, told_used) = (amounts(quota, "/status/hard"), amounts(quota, "/status/used"));
    let mut used = told_used.clone();
    used.extend(
        counted
            .iter()
            .map(|(name, amount)| (name.clone(), amount.clone())),
    );
    used.retain(|name, _| hard.contains_key(name));
    (hard != told || used != told_used).then(|| json!({"hard": json_of(&hard), "used": json_of(&used)}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Amounts {
        amounts(&json!({"spec": value}), "/spec")
    }

    #[test]
    fn a_quota_says_what_it_limits_and_what_is_used() {
        let status = |hard: Value, used: Value| json!({"hard": hard, "used": used});
        for (why, spec, status_before, counted, expected) in [
            (
                "new",
                json!({"pods": "2"}),
                json!({}),
                json!({"pods": "1"}),
                Some(status(json!({"pods": "2"}), json!({"pods": "1"}))),
            ),
            (
                "as it is",
                json!({"pods": "2"}),
                status(json!({"pods": "2"}), json!({"pods": "1"})),
                json!({"pods": "1"}),
                None,
            ),
            (
                "the same amount",
                json!({"requests.storage": "1Gi"}),
                status(
                    json!({"requests.storage": "1024Mi"}),
                    json!({"requests.storage": "0"}),
                ),
                json!({"requests.storage": "0"}),
                None,
            ),
            (
                "less is used",
                json!({"pods": "2"}),
                status(json!({"pods": "2"}), json!({"pods": "1"})),
                json!({"pods": "0"}),
                Some(status(json!({"pods": "2"}), json!({"pods": "0"}))),
            ),
            (
                "other limits",
                json!({"secrets": "3"}),
                status(json!({"pods": "2"}), json!({"pods": "1"})),
                json!({"secrets": "0"}),
                Some(status(json!({"secrets": "3"}), json!({"secrets": "0"}))),
            ),
            (
                "counted by nobody",
                json!({"count/nothings.example.com": "3", "pods": "1"}),
                json!({}),
                json!({"pods": "0"}),
                Some(status(
                    json!({"count/nothings.example.com": "3", "pods": "1"}),
                    json!({"pods": "0"}),
                )),
            ),
            ("no limits", json!({}), json!({}), json!({}), None),
        ] {
            let quota = json!({"spec": {"hard": spec}, "status": status_before});
            assert_eq!(plan(&quota, &read(&counted)), expected, "{why}");
        }
    }
}
