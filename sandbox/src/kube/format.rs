//! In which form objects are answered.

use std::borrow::Cow;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::ApiError;
use super::object::{Object, serialise};
use super::resource::ResourceType;
use super::table::{self, Include};

/// The form of the objects in an answer, which is JSON always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Whole objects.
    Full,
    /// `PartialObjectMetadata`.
    Metadata,
    /// `Table`.
    Table(Include),
}

impl Format {
    /// Chooses by the Accept header and the query parameter `includeObject`.
    ///
    /// # Errors
    /// NotAcceptable when the client takes nothing that we give; BadRequest for an unknown `includeObject`.
    pub fn negotiate(accept: &str, include: &str) -> Result<Self, ApiError> {
        if accept.trim().is_empty() {
            return Ok(Self::Full);
        }
        let format = accept
            .split(',')
            .find_map(Self::of_media_range)
            .ok_or_else(ApiError::not_acceptable)?;
        match format {
            Self::Table(_) => Include::parse(include).map(Self::Table).ok_or_else(|| {
                ApiError::bad_request(format!("unrecognized includeObject value: {include:?}"))
            }),
            other => Ok(other),
        }
    }

    fn of_media_range(range: &str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        if !matches!(parts.next()?, "application/json" | "application/*" | "*/*") {
            return None;
        }
        let (mut form, mut version) = (None, "v1");
        for part in parts {
            match part.split_once('=') {
                Some(("as", name)) => form = Some(name),
                Some(("v", name)) => version = name,
                _ => {}
            }
        }
        match form {
            None => Some(Self::Full),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(Self::Metadata),
            Some("Table") if version == "v1" => Some(Self::Table(Include::Metadata)),
            Some(_) => None,
        }
    }
}

/// How a client sees the objects of a type.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub resource: &'a ResourceType,
    pub version: &'a str,
    pub format: Format,
    /// The present moment, to which ages count.
    pub now: Timestamp,
}

impl Shape<'_> {
    /// The JSON of a stored object.
    pub fn object(&self, object: &Object) -> Bytes {
        self.streamed(object, true)
    }

    /// The same in a stream, where only the first table names its columns.
    pub fn streamed(&self, object: &Object, headers: bool) -> Bytes {
        match self.format {
            Format::Full if self.version == self.resource.storage() => object.json(),
            Format::Metadata => serialise(&metadata_only(object.value())),
            _ => self.value(&convert(self.resource, self.version, object.value()), headers),
        }
    }

    /// The JSON of an object that is not stored as it is, in the version already.
    pub fn value(&self, value: &Value, headers: bool) -> Bytes {
        match self.format {
            Format::Full => serialise(value),
            Format::Metadata => serialise(&metadata_only(value)),
            Format::Table(_) => serialise(&self.table(&[value], &value["metadata"], headers)),
        }
    }

    /// A table of objects that are in the version already.
    pub fn table(&self, objects: &[&Value], list: &Value, headers: bool) -> Value {
        let include = match self.format {
            Format::Table(include) => include,
            Format::Full | Format::Metadata => Include::Object,
        };
        table::render(self, objects, list, include, headers)
    }

    /// Kind and apiVersion of a list of such objects.
    pub fn list_type(&self) -> (String, String) {
        match self.format {
            Format::Metadata => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
            Format::Full | Format::Table(_) => (
                self.resource.list_kind.clone(),
                self.resource.api_version(self.version),
            ),
        }
    }
}

/// The object as clients of `version` see it, as a value.
pub(crate) fn convert<'a>(resource: &ResourceType, version: &str, stored: &'a Value) -> Cow<'a, Value> {
    if version == resource.storage() {
        return Cow::Borrowed(stored);
    }
    let mut value = stored.clone();
    value["apiVersion"] = json!(resource.api_version(version));
    if let Some(custom) = &resource.custom {
        custom.prepare(version, &mut value);
    }
    Cow::Owned(value)
}

fn metadata_only(value: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_headers() {
        let chosen = |accept: &str| Format::negotiate(accept, "Object").ok();
        assert_eq!(chosen(""), Some(Format::Full));
        assert_eq!(chosen("application/json, */*"), Some(Format::Full));
        let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        assert_eq!(chosen(partial), Some(Format::Metadata));
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(chosen(table), Some(Format::Table(Include::Object)));
        assert_eq!(
            chosen(&format!("{table},application/json")),
            Some(Format::Table(Include::Object))
        );
        let old = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
        assert_eq!(chosen(old), None);
        assert_eq!(chosen(&format!("{old},application/json")), Some(Format::Full));
        assert_eq!(chosen("application/vnd.kubernetes.protobuf"), None);
        assert!(Format::negotiate(table, "All").is_err());
    }
}
