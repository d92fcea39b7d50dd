//! Pages of a list and lines of a watch. One object that cannot be decoded never stops the others.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{ListMeta, Status};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::version::Version;
use crate::error::{ApiError, unreadable};
use crate::managed_fields::without_managed_fields;
use crate::objects::ObjectKey;

/// Annotation of the bookmark that ends the initial events of a streaming list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// One page of a list.
pub(super) struct Page<K> {
    pub(super) objects: Vec<K>,
    pub(super) unreadable: BTreeSet<ObjectKey>,
    pub(super) version: String,
    pub(super) next: Option<String>,
}

/// One line of a watch.
pub(super) enum Event<K> {
    /// ADDED or MODIFIED.
    Applied(K),
    Deleted(K),
    Bookmark {
        version: String,
        initial_events_end: bool,
    },
    /// The watch ends with this.
    Failed(ApiError),
    /// An event about an object that cannot be decoded.
    Unreadable {
        /// DELETED, and not ADDED or MODIFIED.
        is_deletion: bool,
        object: Outline,
        error: String,
    },
}

/// What can be told of an object that cannot be decoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    /// `None` where not even its name can be read.
    pub(super) key: Option<ObjectKey>,
    /// Empty if it cannot be read.
    pub(super) uid: String,
    pub(super) version: Version,
}

impl Outline {
    /// Takes what is a text.
    fn of(object: &Value) -> Self {
        let text = |field: &str| {
            let value = object.pointer(&format!("/metadata/{field}"));
            value.and_then(Value::as_str).unwrap_or_default()
        };
        let name = text("name");
        Self {
            key: (!name.is_empty()).then(|| ObjectKey::new(text("namespace"), name)),
            uid: text("uid").to_owned(),
            version: Version::parse(text("resourceVersion")),
        }
    }
}

#[derive(Deserialize)]
struct WirePage<K> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default = "Option::default")]
    items: Option<Vec<K>>,
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
enum WireEvent<K> {
    Added(K),
    Modified(K),
    Deleted(K),
    Bookmark(Bookmark),
    Error(Box<Status>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bookmark {
    metadata: BookmarkMetadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BookmarkMetadata {
    resource_version: String,
    annotations: BTreeMap<String, String>,
}

/// An event whose object is looked at piece by piece.
#[derive(Deserialize)]
struct OutlineEvent {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    object: Value,
}

/// Decodes one page of a list.
pub(super) fn page<K: DeserializeOwned>(body: &[u8]) -> Result<Page<K>, ApiError> {
    let body = &*without_managed_fields(body);
    if let Ok(page) = serde_json::from_slice::<WirePage<K>>(body) {
        return Ok(Page {
            objects: page.items.unwrap_or_default(),
            unreadable: BTreeSet::new(),
            version: page.metadata.resource_version.unwrap_or_default(),
            next: page.metadata.continue_.filter(|token| !token.is_empty()),
        });
    }
    let page = serde_json::from_slice::<WirePage<Value>>(body)
        .map_err(|error| ApiError::no_answer(&unreadable(&error)))?;
    let (mut objects, mut skipped) = (Vec::new(), BTreeSet::new());
    for item in page.items.unwrap_or_default() {
        let outline = Outline::of(&item);
        match serde_json::from_value(item) {
            Ok(object) => objects.push(object),
            Err(_) => {
                skipped.insert(outline.key.unwrap_or_default());
            }
        }
    }
    Ok(Page {
        objects,
        unreadable: skipped,
        version: page.metadata.resource_version.unwrap_or_default(),
        next: page.metadata.continue_.filter(|token| !token.is_empty()),
    })
}

/// Decodes one line of a watch. An error means that the stream itself is broken.
pub(super) fn event<K: DeserializeOwned>(line: &[u8]) -> Result<Event<K>, ApiError> {
    let line = &*without_managed_fields(line);
    let error = match serde_json::from_slice::<WireEvent<K>>(line) {
        Ok(WireEvent::Added(object) | WireEvent::Modified(object)) => return Ok(Event::Applied(object)),
        Ok(WireEvent::Deleted(object)) => return Ok(Event::Deleted(object)),
        Ok(WireEvent::Bookmark(bookmark)) => {
            let ending = bookmark.metadata.annotations.get(INITIAL_EVENTS_END);
            return Ok(Event::Bookmark {
                initial_events_end: ending.is_some_and(|value| value == "true"),
                version: bookmark.metadata.resource_version,
            });
        }
        Ok(WireEvent::Error(status)) => return Ok(Event::Failed(ApiError::from_status(500, &status, None))),
        Err(error) => error,
    };
    if let Ok(outline) = serde_json::from_slice::<OutlineEvent>(line) {
        return Ok(Event::Unreadable {
            is_deletion: outline.kind == "DELETED",
            object: Outline::of(&outline.object),
            error: unreadable(&error),
        });
    }
    // Some proxies end a watch with a bare Status.
    match serde_json::from_slice::<Status>(line) {
        Ok(status) if status.is_failure() => Ok(Event::Failed(ApiError::from_status(500, &status, None))),
        _ => Err(ApiError::no_answer(&unreadable(&error))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ApiErrorClass;
    use crate::objects::Claim;

    fn decoded(line: &Value) -> Result<Event<Claim>, ApiError> {
        event(&serde_json::to_vec(line).unwrap())
    }

    #[test]
    fn a_broken_item_does_not_hide_the_others() {
        let body = json!({"metadata": {"resourceVersion": "9", "continue": ""}, "items": [
            {"metadata": {"namespace": "a", "name": "good"}},
            {"metadata": {"namespace": "a", "name": "bad"}, "spec": {"volumeName": 7}},
        ]});
        let page: Page<Claim> = page(&serde_json::to_vec(&body).unwrap()).unwrap();
        assert_eq!(page.objects.len(), 1);
        assert_eq!(
            page.unreadable.into_iter().collect::<Vec<_>>(),
            [ObjectKey::new("a", "bad")]
        );
        assert_eq!((page.version.as_str(), page.next), ("9", None));
    }

    #[test]
    fn a_list_without_items_is_empty() {
        let page: Page<Claim> = page(br#"{"metadata": {"resourceVersion": "9"}, "items": null}"#).unwrap();
        assert!(page.objects.is_empty());
    }

    #[test]
    fn lines_of_a_watch_are_told_apart() {
        let object = json!({"metadata": {"name": "n", "namespace": "a", "resourceVersion": "5"}});
        let of = |kind: &str, object: &Value| decoded(&json!({"type": kind, "object": object}));
        assert!(matches!(of("ADDED", &object), Ok(Event::Applied(_))));
        assert!(matches!(of("MODIFIED", &object), Ok(Event::Applied(_))));
        assert!(matches!(of("DELETED", &object), Ok(Event::Deleted(_))));
        let mark = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {
            "resourceVersion": "8", "annotations": {"k8s.io/initial-events-end": "true"}}});
        let Ok(Event::Bookmark {
            version,
            initial_events_end,
        }) = of("BOOKMARK", &mark)
        else {
            panic!("not a bookmark");
        };
        assert_eq!((version.as_str(), initial_events_end), ("8", true));
        let expired =
            json!({"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "m"});
        for line in [of("ERROR", &expired), decoded(&expired)] {
            assert!(matches!(line, Ok(Event::Failed(error)) if error.class() == ApiErrorClass::Gone));
        }
    }

    #[test]
    fn a_broken_object_is_named_and_a_broken_stream_is_an_error() {
        let bad = json!({"metadata": {"name": "n", "namespace": "a", "uid": "u", "resourceVersion": "5"},
            "spec": {"volumeName": {"secret": 1}}});
        for kind in ["ADDED", "MODIFIED", "DELETED"] {
            let Ok(Event::Unreadable {
                is_deletion,
                object,
                error,
            }) = decoded(&json!({"type": kind, "object": bad}))
            else {
                panic!("readable");
            };
            let outline = Outline {
                key: Some(ObjectKey::new("a", "n")),
                uid: "u".to_owned(),
                version: Version::parse("5"),
            };
            assert_eq!((is_deletion, object), (kind == "DELETED", outline));
            assert!(!error.contains("secret"));
        }
        assert!(event::<Claim>(b"<html>").is_err());
    }

    #[test]
    fn an_object_without_readable_metadata_is_no_broken_stream() {
        for metadata in [json!(7), json!({"name": {}, "resourceVersion": 9}), json!(null)] {
            let line = json!({"type": "DELETED", "object": {"metadata": metadata, "spec": 1}});
            let Ok(Event::Unreadable {
                is_deletion: true,
                object,
                ..
            }) = decoded(&line)
            else {
                panic!("not told apart: {line}");
            };
            assert_eq!(object, Outline::default());
        }
    }
}
