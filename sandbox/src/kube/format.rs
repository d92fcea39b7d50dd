//! In which form objects are answered.

use bytes::Bytes;
use serde_json::{Value, json};

use super::error::ApiError;
use super::object::{Object, serialise};
use super::resource::ResourceType;

/// The form of the objects in an answer. JSON always; a `Table` falls back to the objects where the
/// client takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Whole objects.
    Full,
    /// `PartialObjectMetadata`.
    Metadata,
}

impl Format {
    /// Chooses by the Accept header.
    ///
    /// # Errors
    /// NotAcceptable when the client takes nothing that we give.
    pub fn negotiate(accept: &str) -> Result<Self, ApiError> {
        if accept.trim().is_empty() {
            return Ok(Self::Full);
        }
        accept
            .split(',')
            .find_map(Self::of_media_range)
            .ok_or_else(ApiError::not_acceptable)
    }

    fn of_media_range(range: &str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        if !matches!(parts.next()?, "application/json" | "application/*" | "*/*") {
            return None;
        }
        let form = parts.find_map(|part| part.strip_prefix("as="));
        match form {
            None => Some(Self::Full),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(Self::Metadata),
            Some(_) => None,
        }
    }
}

/// The object as clients of `version` see it, as a value.
pub(crate) fn convert(resource: &ResourceType, version: &str, stored: &Value) -> Value {
    let mut value = stored.clone();
    if version != resource.storage() {
        value["apiVersion"] = json!(resource.api_version(version));
        if let Some(custom) = &resource.custom {
            custom.prepare(version, &mut value);
        }
    }
    value
}

/// The JSON of an object in a version and form.
pub(crate) fn render(resource: &ResourceType, version: &str, format: Format, object: &Object) -> Bytes {
    match format {
        Format::Full if version == resource.storage() => object.json(),
        Format::Full => serialise(&convert(resource, version, object.value())),
        Format::Metadata => serialise(&metadata_only(object.value())),
    }
}

/// The JSON of an object that is not stored as it is, in `version` already.
pub(crate) fn render_value(format: Format, value: &Value) -> Bytes {
    match format {
        Format::Full => serialise(value),
        Format::Metadata => serialise(&metadata_only(value)),
    }
}

fn metadata_only(value: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]})
}

/// Kind and apiVersion of a list or of a single object in this form.
pub(crate) fn list_type(resource: &ResourceType, version: &str, format: Format) -> (String, String) {
    match format {
        Format::Full => (resource.list_kind.clone(), resource.api_version(version)),
        Format::Metadata => (
            "PartialObjectMetadataList".to_owned(),
            "meta.k8s.io/v1".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_headers() {
        let chosen = |accept: &str| Format::negotiate(accept).ok();
        assert_eq!(chosen(""), Some(Format::Full));
        assert_eq!(chosen("application/json, */*"), Some(Format::Full));
        let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        assert_eq!(chosen(partial), Some(Format::Metadata));
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(chosen(table), None);
        assert_eq!(chosen(&format!("{table},application/json")), Some(Format::Full));
        assert_eq!(chosen("application/vnd.kubernetes.protobuf"), None);
    }
}
