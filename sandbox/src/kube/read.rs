//! Reading: get and list.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::collection::Collection;
use super::error::ApiError;
use super::format::{Format, Shape, convert};
use super::object::{Object, serialise};
use super::query::Query;
use super::selector::Selector;

/// What a list asks for.
pub(crate) struct Listing<'a> {
    pub version: &'a str,
    pub namespace: Option<&'a str>,
    pub query: &'a Query,
    pub format: Format,
    pub now: Timestamp,
}

/// A page of a list.
pub(crate) struct Page {
    pub objects: Vec<Arc<Object>>,
    pub revision: u64,
    continuation: Option<String>,
    remaining: Option<usize>,
}

/// Where the next page begins.
struct Token {
    /// The revision that all pages show; 0 for whatever is current.
    revision: u64,
    start: String,
}

impl Token {
    fn encode(&self) -> String {
        let revision = i64::try_from(self.revision)
            .ok()
            .filter(|&revision| revision > 0)
            .unwrap_or(-1);
        let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": self.start});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        let wrong =
            || ApiError::bad_request("continue key is not valid: encoded continue token is not valid");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        match (token["rv"].as_i64(), token["start"].as_str()) {
            (Some(revision), Some(start)) if token["v"] == "meta.k8s.io/v1" => Ok(Self {
                revision: u64::try_from(revision).unwrap_or(0),
                start: start.to_owned(),
            }),
            _ => Err(wrong()),
        }
    }
}

/// Reads a page.
///
/// # Errors
/// BadRequest, Invalid, Expired (410), or Timeout (504) for a resourceVersion that is not there yet.
pub(crate) fn page(collection: &Collection, current: u64, asked: &Listing<'_>) -> Result<Page, ApiError> {
    let query = asked.query;
    query.check_list()?;
    let resource = &collection.resource;
    let selector = Selector::parse(
        resource,
        asked.version,
        &query.label_selector,
        &query.field_selector,
    )?;
    let version = query.revision()?.unwrap_or(0);
    if version > current {
        return Err(ApiError::version_too_large(version, current));
    }
    let token = match query.continuation.as_str() {
        "" => None,
        _ if version > 0 => {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        text => Some(Token::decode(text)?),
    };
    // What may come from the cache is answered whole, and so is the rest of a list that was begun with a limit.
    let from_cache = query.resource_version == "0" && query.version_match != "Exact";
    // A limit with a version is "exact" for reasons of history.
    let legacy_exact = query.version_match.is_empty() && query.limit.is_some() && version > 0;
    let revision = match &token {
        Some(token) if token.revision > 0 => token.revision,
        None if query.version_match == "Exact" || legacy_exact => version,
        _ => current,
    };
    let start = token.as_ref().map(|token| token.start.as_str());
    let limit = query.limit.filter(|_| !from_cache).unwrap_or(usize::MAX);
    let chosen = |object: &&Arc<Object>| selector.matches(object.value());
    let (objects, rest) = if revision == current {
        take(collection.range(asked.namespace, start).filter(chosen), limit)
    } else {
        let past = collection.range_at(revision, asked.namespace, start);
        let past = past.map_err(|_| too_old(token.as_ref()))?;
        take(past.iter().filter(chosen), limit)
    };
    let next = objects.last().filter(|_| rest > 0).map(|last| Token {
        revision,
        start: format!("{}\0", last.key()),
    });
    Ok(Page {
        continuation: next.map(|token| token.encode()),
        remaining: (rest > 0 && selector.is_empty()).then_some(rest),
        objects,
        revision,
    })
}

/// The first `limit` objects and how many more there are.
fn take<'a>(objects: impl Iterator<Item = &'a Arc<Object>>, limit: usize) -> (Vec<Arc<Object>>, usize) {
    let mut objects = objects;
    let page = objects.by_ref().take(limit).cloned().collect();
    (page, objects.count())
}

fn too_old(token: Option<&Token>) -> ApiError {
    match token {
        None => ApiError::expired("The resourceVersion for the provided list is too old.", None),
        Some(token) => {
            let message = "The provided continue parameter is too old to display a consistent list result. \
                You can start a new list without the continue parameter, or use the continue token in this \
                response to retrieve the remainder of the results. Continuing with the provided token results \
                in an inconsistent list - objects that were created, modified, or deleted between the time the \
                first chunk was returned and now may show up in the list.";
            let inconsistent = Token {
                revision: 0,
                start: token.start.clone(),
            };
            ApiError::expired(message, Some(inconsistent.encode()))
        }
    }
}

/// The JSON of a page.
pub(crate) fn render_page(collection: &Collection, page: &Page, asked: &Listing<'_>) -> Bytes {
    let resource = &collection.resource;
    let shape = Shape {
        resource,
        version: asked.version,
        format: asked.format,
        now: asked.now,
    };
    let (kind, api_version) = shape.list_type();
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".to_owned(), json!(page.revision.to_string()));
    if let Some(token) = &page.continuation {
        metadata.insert("continue".to_owned(), json!(token));
    } else if resource.is_custom() && asked.format == Format::Full {
        metadata.insert("continue".to_owned(), json!(""));
    }
    if let Some(remaining) = page.remaining {
        metadata.insert("remainingItemCount".to_owned(), json!(remaining));
    }
    let metadata = Value::Object(metadata);
    if matches!(asked.format, Format::Table(_)) {
        let objects = page.objects.iter();
        let objects: Vec<_> = objects
            .map(|object| convert(resource, asked.version, object.value()))
            .collect();
        let objects: Vec<&Value> = objects.iter().map(AsRef::as_ref).collect();
        return serialise(&shape.table(&objects, &metadata, true));
    }
    let head = format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{metadata},"items":["#);
    let mut text = BytesMut::with_capacity(head.len() + 2 + page.objects.len() * 1024);
    text.put_slice(head.as_bytes());
    for (index, object) in page.objects.iter().enumerate() {
        if index > 0 {
            text.put_u8(b',');
        }
        text.put_slice(&shape.object(object));
    }
    text.put_slice(b"]}");
    text.freeze()
}
