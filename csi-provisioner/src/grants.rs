//! ReferenceGrants: whether claims of one namespace may be made from objects of another one. Source: sidecars.md 2.7.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use runtime::Cache;
use runtime::objects::DataSource;
use serde::Deserialize;
use std::borrow::Cow;

/// A ReferenceGrant of `gateway.networking.k8s.io/v1beta1`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct ReferenceGrant {
    /// Name, namespace, version.
    pub metadata: ObjectMeta,
    /// What is allowed.
    pub spec: Spec,
}

/// Each of `from` may refer to each of `to`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Spec {
    /// Who refers.
    pub from: Vec<From>,
    /// To what in the grant's own namespace.
    pub to: Vec<To>,
}

/// Who refers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct From {
    /// API group; empty for core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
}

/// To what.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct To {
    /// API group; empty for core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name; all of the kind without one.
    pub name: Option<String>,
}

impl Resource for ReferenceGrant {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "ReferenceGrant".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "gateway.networking.k8s.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1beta1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "referencegrants".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl ReferenceGrant {
    /// Whether claims of this namespace may name this source in the grant's.
    #[must_use]
    pub fn allows(&self, namespace: &str, reference: &DataSource) -> bool {
        let from = |from: &From| {
            from.group.is_empty() && from.kind == "PersistentVolumeClaim" && from.namespace == namespace
        };
        let to = |to: &To| {
            to.group == reference.api_group.as_deref().unwrap_or_default()
                && to.kind == reference.kind
                && to
                    .name
                    .as_deref()
                    .is_none_or(|name| name.is_empty() || name == reference.name)
        };
        self.spec.from.iter().any(from) && self.spec.to.iter().any(to)
    }
}

/// All grants, as far as they are known.
#[derive(Clone)]
pub(crate) struct Grants(pub(crate) Cache<ReferenceGrant>);

/// Index of grants by their namespace.
pub(crate) const BY_NAMESPACE: &str = "csi-provisioner-namespace";

/// The namespace of a grant, for the index.
pub(crate) fn namespace_of(grant: &ReferenceGrant) -> Vec<String> {
    grant.metadata.namespace.iter().cloned().collect()
}

impl Grants {
    /// Whether claims of this namespace may name this source, which is in namespace `there`.
    pub(crate) fn allow(&self, namespace: &str, reference: &DataSource, there: &str) -> bool {
        let allows = |grant: &ReferenceGrant| grant.allows(namespace, reference);
        self.0.find(BY_NAMESPACE, there, allows).is_some()
    }
}
