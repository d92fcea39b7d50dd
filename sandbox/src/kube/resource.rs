//! What the server knows of a resource type, built in or from a CustomResourceDefinition.

use std::fmt;
use std::sync::Arc;

use super::custom::CustomType;
use super::table::custom::Column;

/// The name of a resource type: its API group ("" for core) and plural name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource<'a> {
    /// API group, empty for core.
    pub group: &'a str,
    /// Plural name as in paths, `pods` for example.
    pub plural: &'a str,
}

impl<'a> GroupResource<'a> {
    /// The resource type `plural` of `group`.
    #[must_use]
    pub const fn new(group: &'a str, plural: &'a str) -> Self {
        Self { group, plural }
    }
}

impl fmt::Display for GroupResource<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            formatter.write_str(self.plural)
        } else {
            write!(formatter, "{}.{}", self.plural, self.group)
        }
    }
}

/// A resource type that is served.
#[derive(Debug)]
pub(crate) struct ResourceType {
    pub group: String,
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub list_kind: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    /// In order of preference.
    pub versions: Vec<ServedVersion>,
    pub rules: Rules,
    /// Schemas and rules of a custom type.
    pub custom: Option<Arc<CustomType>>,
}

/// A version of a resource type.
#[derive(Debug)]
pub(crate) struct ServedVersion {
    pub name: String,
    pub served: bool,
    pub storage: bool,
    /// The `status` subresource exists.
    pub status: bool,
    /// Fields that field selectors may name, beside `metadata.name` and `metadata.namespace`.
    pub fields: Vec<SelectableField>,
    /// Printer columns beside the name, of custom types.
    pub columns: Vec<Column>,
    /// The `scale` subresource exists.
    pub scale: bool,
}

/// A field that field selectors may name.
#[derive(Clone, Debug)]
pub(crate) struct SelectableField {
    /// The name in the selector.
    pub label: String,
    /// Where the value stands.
    pub path: Vec<String>,
    /// What a missing value counts as.
    pub missing: &'static str,
}

/// Where types differ in how they are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub generation: Generation,
    /// What a new object's status is, as JSON.
    pub initial_status: InitialStatus,
    /// A status write leaves the metadata alone.
    pub status_keeps_metadata: bool,
    /// PUT without resourceVersion is taken.
    pub unconditional_update: bool,
    /// PUT of a missing object makes it.
    pub create_on_update: bool,
    /// DELETE answers the object, not a `Status`.
    pub returns_deleted: bool,
    /// Deletion waits for the node (pods).
    pub graceful: bool,
    /// Nothing is stored: a review is answered (POST only).
    pub review_only: bool,
    pub names: NameStyle,
}

/// When `metadata.generation` moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// The type has none.
    None,
    /// When `spec` changes.
    Spec,
    /// The same, but a new object has none.
    OnceChanged,
    /// When anything outside metadata, and status where it is a subresource, changes.
    Content,
}

/// The status of a new object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitialStatus {
    /// As sent.
    AsSent,
    /// None.
    Dropped,
    /// This JSON.
    Set(&'static str),
}

/// Which names are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameStyle {
    Subdomain,
    Label,
    ServiceLabel,
    PathSegment,
}

impl ResourceType {
    pub fn id(&self) -> GroupResource<'_> {
        GroupResource::new(&self.group, &self.plural)
    }

    /// `plural.group`, as error messages name the type.
    pub fn qualified(&self) -> String {
        self.id().to_string()
    }

    pub fn version(&self, name: &str) -> Option<&ServedVersion> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// The version that objects are stored in.
    pub fn storage(&self) -> &str {
        let storage = self.versions.iter().find(|version| version.storage);
        storage.map_or("v1", |version| version.name.as_str())
    }

    /// `group/version`, or the version alone for core.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    pub fn is_custom(&self) -> bool {
        self.custom.is_some()
    }
}
