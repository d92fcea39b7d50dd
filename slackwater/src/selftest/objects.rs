//! Objects as they are served, all fields: the selftest writes few and shows people what stands in them.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Resource;
use kube::core::ObjectMeta;
use runtime::ObjectKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A claim.
pub(super) type Claim = Object<core::PersistentVolumeClaim>;
/// A pod.
pub(super) type Pod = Object<core::Pod>;
/// A volume.
pub(super) type Volume = Object<core::PersistentVolume>;
/// What was told of an object.
pub(super) type Event = Object<core::Event>;
/// A StorageClass.
pub(super) type Class = Object<StorageClass>;
/// A snapshot.
pub(super) type Snapshot = Object<crds::v1::VolumeSnapshot>;
/// A VolumeSnapshotClass.
pub(super) type SnapshotClass = Object<crds::v1::VolumeSnapshotClass>;

/// An object of the kind `K`.
#[derive(Debug)]
pub(super) struct Object<K> {
    metadata: ObjectMeta,
    value: Value,
    kind: PhantomData<fn() -> K>,
}

impl<K> Object<K> {
    /// All of it.
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// Whether its deletion was asked for.
    pub(super) fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

impl<K: Resource<DynamicType = ()>> Object<K> {
    /// As kubectl names it: `pod/ns/name`.
    pub(super) fn spelled(key: &ObjectKey) -> String {
        format!("{} {key}", K::kind(&()))
    }
}

/// A text at a JSON pointer; empty where there is none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

impl<K> Clone for Object<K> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            value: self.value.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> TryFrom<Value> for Object<K> {
    type Error = serde_json::Error;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let metadata = ObjectMeta::deserialize(&value["metadata"])?;
        Ok(Self {
            metadata,
            value,
            kind: PhantomData,
        })
    }
}

impl<'de, K> Deserialize<'de> for Object<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<K> Serialize for Object<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Object<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
