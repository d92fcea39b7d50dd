//! What our service account may do, asked once instead of found out by a denied request (decision 7).

use std::time::Duration;

use base::Random;
use kube::api::PostParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::json;

use crate::client::explain;
use crate::error::{ApiError, ApiErrorClass};

const PATH: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A verb on a resource in all namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// `patch` and the like.
    pub verb: &'static str,
    /// API group; empty for core.
    pub group: &'static str,
    /// Plural name.
    pub resource: &'static str,
}

/// Patching of PersistentVolumeClaims: granted by our role, not by upstream's, which grants update.
pub const PATCH_CLAIMS: Permission = Permission {
    verb: "patch",
    group: "",
    resource: "persistentvolumeclaims",
};

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: ReviewStatus,
}

#[derive(Default, Deserialize)]
struct ReviewStatus {
    #[serde(default)]
    allowed: bool,
}

/// So often in a row may the question be refused by something that is no verdict on us, such as an admission webhook.
const PATIENCE: u32 = 6;

/// Asks with one SelfSubjectAccessReview. While the API server gives no verdict, it is asked again with
/// growing pauses up to 10 s. Where we may not even ask, and where the question is refused again and again, it is no.
pub async fn may(client: &kube::Client, random: &Random, permission: Permission) -> bool {
    let mut pause = Duration::from_millis(200);
    let mut logged = false;
    let mut refused = 0;
    loop {
        match ask(client, permission).await {
            Ok(allowed) => return allowed,
            Err(Refusal::Final(reason)) => {
                tracing::warn!(%reason, "cannot ask what we may do; taken as not allowed: {permission:?}");
                return false;
            }
            Err(Refusal::Question(reason)) => {
                refused += 1;
                if refused == PATIENCE {
                    tracing::warn!(%reason, "refused what we may do; taken as not allowed: {permission:?}");
                    return false;
                }
            }
            Err(Refusal::Passing(reason)) => {
                if !logged {
                    tracing::warn!(%reason, "cannot ask yet what we may do, trying on");
                }
                logged = true;
            }
        }
        tokio::time::sleep(random.jittered(pause, 0.5)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

enum Refusal {
    /// No verdict on anything.
    Passing(String),
    /// The request is refused, by a rule or a webhook; that says nothing of the permission.
    Question(String),
    /// We may not ask.
    Final(String),
}

async fn ask(client: &kube::Client, permission: Permission) -> Result<bool, Refusal> {
    let Permission {
        verb,
        group,
        resource,
    } = permission;
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": { "verb": verb, "group": group, "resource": resource } },
    });
    let request = Request::new(PATH)
        .create(&PostParams::default(), review.to_string().into_bytes())
        .map_err(|error| Refusal::Final(error.to_string()))?;
    match tokio::time::timeout(REQUEST_TIMEOUT, client.request::<Review>(request)).await {
        Ok(Ok(review)) => Ok(review.status.allowed),
        Ok(Err(error)) => {
            let reason = explain(&error);
            let error = ApiError::from(error);
            Err(match error.class() {
                ApiErrorClass::Transient => Refusal::Passing(reason),
                ApiErrorClass::NotFound => Refusal::Final(reason),
                ApiErrorClass::Forbidden if error.code() == 403 => Refusal::Final(reason),
                // A webhook says 400 where it names no code.
                ApiErrorClass::Forbidden
                | ApiErrorClass::Conflict
                | ApiErrorClass::Invalid
                | ApiErrorClass::AlreadyExists
                | ApiErrorClass::Gone => Refusal::Question(reason),
            })
        }
        Err(_) => Err(Refusal::Passing("no answer within 10 s".to_owned())),
    }
}
