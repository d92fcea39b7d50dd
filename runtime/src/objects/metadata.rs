//! Decodes the metadata fields that are read, so that the others are never allocated.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What a type reads of the annotations or labels of its objects.
pub(super) trait FromEntries: Default {
    /// Takes one annotation or label.
    fn take(&mut self, key: &str, value: &str);
}

/// Nothing is read.
impl FromEntries for () {
    fn take(&mut self, _: &str, _: &str) {}
}

/// Name, namespace, UID, version, deletion and finalizers of an object's metadata, and what is read of its
/// annotations and labels.
pub(super) struct Metadata<A, L = ()> {
    pub(super) metadata: ObjectMeta,
    pub(super) annotations: A,
    pub(super) labels: L,
}

#[derive(Deserialize)]
#[serde(
    rename_all = "camelCase",
    bound(deserialize = "A: FromEntries, L: FromEntries")
)]
struct Trimmed<A, L> {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    resource_version: Option<String>,
    #[serde(default)]
    deletion_timestamp: Option<Time>,
    #[serde(default)]
    deletion_grace_period_seconds: Option<i64>,
    #[serde(default)]
    finalizers: Option<Vec<String>>,
    #[serde(default, deserialize_with = "entries")]
    annotations: A,
    #[serde(default, deserialize_with = "entries")]
    labels: L,
}

impl<'de, A: FromEntries, L: FromEntries> Deserialize<'de> for Metadata<A, L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Trimmed::deserialize(deserializer)?;
        Ok(Self {
            annotations: read.annotations,
            labels: read.labels,
            metadata: ObjectMeta {
                name: read.name,
                namespace: read.namespace,
                uid: read.uid,
                resource_version: read.resource_version,
                deletion_timestamp: read.deletion_timestamp,
                deletion_grace_period_seconds: read.deletion_grace_period_seconds,
                finalizers: read.finalizers,
                ..ObjectMeta::default()
            },
        })
    }
}

fn entries<'de, D: Deserializer<'de>, A: FromEntries>(deserializer: D) -> Result<A, D::Error> {
    struct Read<A>(A);

    impl<'de, A: FromEntries> Visitor<'de> for Read<A> {
        type Value = A;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("annotations or labels")
        }

        fn visit_unit<E>(self) -> Result<A, E> {
            Ok(self.0)
        }

        fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<A, M::Error> {
            while let Some((key, value)) = map.next_entry::<Cow<'de, str>, Option<Cow<'de, str>>>()? {
                self.0.take(&key, &value.unwrap_or_default());
            }
            Ok(self.0)
        }
    }

    deserializer.deserialize_any(Read(A::default()))
}
