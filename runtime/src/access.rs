//! What our service account may do, asked once instead of found out by a denied request (decision 7).

use std::time::Duration;

use base::Random;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::api::PostParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::json;

use crate::error::{ApiError, ApiErrorClass};
use crate::request::{AnswerWithin, WHOLE_ANSWER};

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

impl Permission {
    /// A verb on all objects of a kind.
    const fn to(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            group,
            resource,
        }
    }
}

/// Whether we may follow a kind: `list` and `watch`.
pub async fn may_follow(
    client: &kube::Client,
    random: &Random,
    group: &'static str,
    resource: &'static str,
) -> bool {
    may(client, random, Permission::to("list", group, resource)).await
        && may(client, random, Permission::to("watch", group, resource)).await
}

/// Whether the API server serves this resource of the group and version.
///
/// # Errors
/// It does not say.
pub async fn is_served(
    client: &kube::Client,
    random: &Random,
    group_version: &str,
    resource: &str,
) -> Result<bool, ApiError> {
    let ask = || async {
        match client.request::<APIResourceList>(listing(group_version)?).await {
            Ok(list) => Ok(list.resources.iter().any(|served| served.name == resource)),
            // Of a group that nobody serves the API server says so in plain text, which elsewhere is no verdict.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(error),
        }
    };
    verdict(random, ask).await
}

fn listing(group_version: &str) -> Result<http::Request<Vec<u8>>, kube::Error> {
    let request = http::Request::get(format!("/apis/{group_version}"));
    let request = request.extension(AnswerWithin(REQUEST_TIMEOUT)).body(Vec::new());
    request.map_err(kube::Error::HttpError)
}

/// The first of these versions of a group in which the API server serves this resource; none where it serves it in none.
///
/// # Errors
/// It does not say.
pub async fn served_version(
    client: &kube::Client,
    random: &Random,
    group: &str,
    versions: &[&'static str],
    resource: &str,
) -> Result<Option<&'static str>, ApiError> {
    for &version in versions {
        if is_served(client, random, &format!("{group}/{version}"), resource).await? {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

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

/// Asks with one SelfSubjectAccessReview, until there is a [`verdict`]. Where we may not even ask it is no.
pub async fn may(client: &kube::Client, random: &Random, permission: Permission) -> bool {
    match verdict(random, || ask(client, permission)).await {
        Ok(allowed) => allowed,
        Err(error) => {
            tracing::warn!(%error, "cannot ask what we may do; taken as not allowed: {permission:?}");
            false
        }
    }
}

/// Asks until the API server answers. While it gives no verdict it is asked again, with growing pauses up to 10 s.
///
/// # Errors
/// What is asked for does not exist, or we may not ask; at once. The question is refused for another reason, again and
/// again.
pub async fn verdict<T, F>(random: &Random, ask: impl Fn() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut pause = Duration::from_millis(200);
    let (mut logged, mut refused) = (false, 0);
    loop {
        let answered = match tokio::time::timeout(WHOLE_ANSWER, ask()).await {
            Ok(answered) => answered.map_err(ApiError::from),
            Err(_) => Err(ApiError::no_answer("no whole answer within 2 min")),
        };
        match answered {
            Ok(answer) => return Ok(answer),
            Err(error) if error.class() == ApiErrorClass::Transient => {
                if !logged {
                    tracing::warn!(%error, "the API server gives no verdict yet, asking on");
                }
                logged = true;
            }
            Err(error) => {
                refused += 1;
                if is_final(&error) || refused == PATIENCE {
                    return Err(error);
                }
            }
        }
        tokio::time::sleep(random.jittered(pause, 0.5)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A webhook that denies, and a lost race, say nothing of what was asked; a webhook says 400 where it names no code.
fn is_final(error: &ApiError) -> bool {
    error.class() == ApiErrorClass::NotFound || error.code() == 403
}

async fn ask(client: &kube::Client, permission: Permission) -> Result<bool, kube::Error> {
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
    let mut request = Request::new(PATH)
        .create(&PostParams::default(), review.to_string().into_bytes())
        .map_err(kube::Error::BuildRequest)?;
    request.extensions_mut().insert(AnswerWithin(REQUEST_TIMEOUT));
    let review: Review = client.request(request).await?;
    Ok(review.status.allowed)
}
