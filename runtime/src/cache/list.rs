//! LIST: of all objects, page by page, and of none, for the version of the collection.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::ListParams;
use kube::core::{NamespaceResourceScope, Request};
use kube::{Client, Resource};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Selection;
use super::decode::{Page, page};
use super::store::Listed;
use super::version::Version;
use crate::error::{ApiError, ApiErrorClass};
use crate::request::{built, exchange, path};
use crate::write::list_params;

/// Objects a page.
pub(super) const PAGE: u32 = 500;
/// How often a page is asked for again.
const PAGE_TRIES: u32 = 5;
/// The wait before that, doubled each time: 16 s together.
const PAGE_BACKOFF: Duration = Duration::from_millis(500);
/// A name that no object has.
const NOBODY: &str = "slackwater-asks-for-the-version";

/// Everything that is selected, as of the newest version, each as `take` makes it, if it does. Pages are decoded one by one.
///
/// Sends: LIST, one a page. A continue token that expires between two pages leads to one LIST without pages.
pub(crate) async fn list_all<K, T>(
    client: &Client,
    selection: &Selection,
    take: impl Fn(K) -> Option<T>,
) -> Result<Listed<T>, ApiError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    match list_pages(client, selection, &take, Some(PAGE)).await {
        Err((error, true)) if error.class() == ApiErrorClass::Gone => {
            list_pages(client, selection, &take, None)
                .await
                .map_err(|(error, _)| error)
        }
        outcome => outcome.map_err(|(error, _)| error),
    }
}

/// The flag of an error says whether it came after the first page.
async fn list_pages<K, T>(
    client: &Client,
    selection: &Selection,
    take: &impl Fn(K) -> Option<T>,
    limit: Option<u32>,
) -> Result<Listed<T>, (ApiError, bool)>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let mut params = list_params(selection);
    params.limit = limit;
    let request = Request::new(url::<K>(selection));
    let mut listed = Listed {
        objects: Vec::new(),
        unreadable: BTreeSet::new(),
        version: String::new(),
    };
    loop {
        let later = params.continue_token.is_some();
        let failed = |error| (error, later);
        let page = ask::<K>(client, &request, &params).await.map_err(failed)?;
        listed.objects.extend(page.objects.into_iter().filter_map(take));
        for key in &page.unreadable {
            tracing::warn!(kind = %K::kind(&()), %key, "an object in a list cannot be decoded and is skipped");
        }
        listed.unreadable.extend(page.unreadable);
        listed.version = page.version;
        let Some(next) = page.next else {
            return Ok(listed);
        };
        params.continue_token = Some(next);
    }
}

/// One page. A later one that does not come is asked for again: those before it need not be read anew.
async fn ask<K: DeserializeOwned>(
    client: &Client,
    request: &Request,
    params: &ListParams,
) -> Result<Page<K>, ApiError> {
    let mut tries = 0;
    loop {
        let list = built(request.list(params))?;
        let asked = async { page::<K>(&exchange(client, list).await?) };
        match asked.await {
            Err(error)
                if params.continue_token.is_some()
                    && error.class() == ApiErrorClass::Transient
                    && tries < PAGE_TRIES =>
            {
                let wait = PAGE_BACKOFF.saturating_mul(2_u32.saturating_pow(tries));
                let asked = error.retry_after().unwrap_or_default();
                tokio::time::sleep(wait.max(asked)).await;
                tries += 1;
            }
            asked => return asked,
        }
    }
}

/// The version of the collection at this moment.
///
/// Sends: one LIST of a name that nothing has, in one namespace. That is a consistent read that costs the API server
/// one look at one key however many objects there are. Where it answers from its watch cache (Kubernetes 1.31 and
/// newer) it has brought the cache, from which watches are fed, up to this version.
pub(super) async fn newest_version<K>(client: &Client, selection: &Selection) -> Result<Version, ApiError>
where
    K: Resource<DynamicType = ()> + 'static,
{
    let mut within = selection.clone();
    if within.namespace.is_empty() && TypeId::of::<K::Scope>() == TypeId::of::<NamespaceResourceScope>() {
        within.namespace = "default".to_owned();
    }
    let params = list_params(&Selection::fields(format!("metadata.name={NOBODY}")));
    let list = built(Request::new(url::<K>(&within)).list(&params))?;
    let page = page::<IgnoredAny>(&exchange(client, list).await?)?;
    Ok(Version::parse(&page.version))
}

/// Path of the collection.
pub(super) fn url<K: Resource<DynamicType = ()>>(selection: &Selection) -> String {
    let namespace = Some(selection.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    path::<K>(selection.version, namespace)
}
