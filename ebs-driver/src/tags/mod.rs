//! Tags of volumes and snapshots. Source: spec 2.6, Q25.

pub mod change;
mod evaluate;
mod functions;
mod lexer;
mod parser;
pub mod template;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::names::{
    CLUSTER_OWNS, TAG_AUTO_IOPS, TAG_CLAIM_NAME, TAG_CLAIM_NAMESPACE, TAG_CLUSTER_NAME, TAG_GROUP_ATTEMPT,
    TAG_GROUP_NAME, TAG_IOPS_PER_GIB, TAG_MANAGED, TAG_SNAPSHOT_NAME, TAG_VOLUME_NAME, TAG_VOLUME_OBJECT,
    cluster_tag,
};
use crate::parameters::{ClaimMetadata, SnapshotParameters, VolumeParameters};
use template::TemplateError;

pub use change::{TagChange, of_change};

/// Why a tag is refused. All are InvalidArgument.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TagError {
    /// Not of the form `key=value`.
    #[error("the tag {0:?} is not of the form key=value")]
    NoValue(String),
    /// A tag to remove without a name.
    #[error("the key of a tag to remove is empty")]
    NoKey,
    /// The key belongs to the driver or to Kubernetes.
    #[error("the tag key {0:?} is reserved")]
    Reserved(String),
    /// The template of the value fails.
    #[error("the value of the tag {key:?}: {source}")]
    Template {
        /// The key.
        key: String,
        /// What is wrong.
        source: TemplateError,
    },
}

/// What happens to a tag with a reserved key or a failing template.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum InvalidTags {
    /// The request is refused.
    #[default]
    Refuse,
    /// The tag is dropped and logged (`--warn-on-invalid-tag`).
    Drop,
}

/// The tags that the flags ask for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TagPolicy {
    /// Of `--extra-volume-tags` and, over them, `--extra-tags`.
    pub extra: BTreeMap<String, String>,
    /// Of `--k8s-tag-cluster-id`.
    pub cluster_id: Option<String>,
    /// Of `--warn-on-invalid-tag`.
    pub invalid: InvalidTags,
}

/// The tags of a new volume or snapshot, and the ones that were dropped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tags {
    /// By key.
    pub tags: BTreeMap<String, String>,
    /// For the log.
    pub dropped: Vec<TagError>,
}

impl Tags {
    fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.tags.insert(key.into(), value.into());
    }

    /// Sets what was evaluated, or drops or refuses it.
    fn accept(
        &mut self,
        tag: Result<(String, String), TagError>,
        invalid: InvalidTags,
    ) -> Result<(), TagError> {
        match tag {
            Ok((key, value)) => self.set(key, value),
            Err(error @ TagError::NoValue(_)) => return Err(error),
            Err(error) if invalid == InvalidTags::Drop => self.dropped.push(error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn set_cluster(&mut self, id: &str, csi_name: &str) {
        self.set(cluster_tag(id), CLUSTER_OWNS);
        self.set("Name", format!("{id}-dynamic-{csi_name}"));
        self.set(TAG_CLUSTER_NAME, id);
    }
}

/// Whether the driver or Kubernetes owns a key.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    [
        TAG_VOLUME_NAME,
        TAG_SNAPSHOT_NAME,
        TAG_GROUP_NAME,
        TAG_CLUSTER_NAME,
    ]
    .contains(&key)
        || key.starts_with("kubernetes.io")
        || key.starts_with("ebs.csi.aws.com/")
}

/// Reads `key=value,key=value` of a flag. Blanks around keys and values do not count, as in upstream's flag; in a class
/// they do.
///
/// # Errors
/// An entry without `=` or with a reserved key.
pub fn parse_flag(text: &str) -> Result<BTreeMap<String, String>, TagError> {
    text.split(',')
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let (key, value) = pair(entry)?;
            Ok((unreserved(key.trim())?.to_owned(), value.trim().to_owned()))
        })
        .collect()
}

fn split(specification: &str) -> Result<(&str, &str), TagError> {
    let (key, value) = pair(specification)?;
    Ok((unreserved(key)?, value))
}

fn pair(specification: &str) -> Result<(&str, &str), TagError> {
    specification
        .split_once('=')
        .ok_or_else(|| TagError::NoValue(specification.to_owned()))
}

fn unreserved(key: &str) -> Result<&str, TagError> {
    if is_reserved(key) {
        return Err(TagError::Reserved(key.to_owned()));
    }
    Ok(key)
}

fn evaluated(key: &str, value: &str, fields: &BTreeMap<&str, &str>) -> Result<(String, String), TagError> {
    let value = template::render(value, fields).map_err(|source| TagError::Template {
        key: key.to_owned(),
        source,
    })?;
    Ok((key.to_owned(), value))
}

/// What templates of volumes may name.
fn claim_fields(metadata: &ClaimMetadata) -> BTreeMap<&'static str, &str> {
    let fields = [
        ("PVCName", &metadata.claim_name),
        ("PVCNamespace", &metadata.claim_namespace),
        ("PVName", &metadata.volume_name),
    ];
    fields
        .map(|(name, value)| (name, value.as_deref().unwrap_or_default()))
        .into()
}

/// The tags of a new volume. Later ones win: built-in, cluster, class, attributes class, flags.
///
/// # Errors
/// The first tag that is refused.
pub fn of_volume(
    policy: &TagPolicy,
    csi_name: &str,
    parameters: &VolumeParameters,
) -> Result<Tags, TagError> {
    let metadata = &parameters.metadata;
    let mut tags = Tags::default();
    tags.set(TAG_VOLUME_NAME, csi_name);
    tags.set(TAG_MANAGED, "true");
    let created_for = [
        (TAG_CLAIM_NAME, &metadata.claim_name),
        (TAG_CLAIM_NAMESPACE, &metadata.claim_namespace),
        (TAG_VOLUME_OBJECT, &metadata.volume_name),
    ];
    for (key, value) in created_for {
        if let Some(value) = value {
            tags.set(key, value);
        }
    }
    if let Some(ratio) = parameters.iops_per_gib {
        tags.set(TAG_IOPS_PER_GIB, ratio.to_string());
    }
    if let Some(auto) = parameters.auto_iops_on_modify {
        tags.set(TAG_AUTO_IOPS, auto.to_string());
    }
    if let Some(id) = &policy.cluster_id {
        tags.set_cluster(id, csi_name);
        tags.set("KubernetesCluster", id);
    }
    let fields = claim_fields(metadata);
    for specification in &parameters.tag_specifications {
        let tag = split(specification).and_then(|(key, value)| evaluated(key, value, &fields));
        tags.accept(tag, policy.invalid)?;
    }
    for (key, value) in &policy.extra {
        tags.accept(evaluated(key, value, &fields), policy.invalid)?;
    }
    Ok(tags)
}

/// The tags of a new snapshot. Later ones win: built-in, cluster, flags (not templated), class.
///
/// # Errors
/// The first tag that is refused.
pub fn of_snapshot(
    policy: &TagPolicy,
    csi_name: &str,
    parameters: &SnapshotParameters,
) -> Result<Tags, TagError> {
    let mut tags = Tags::default();
    tags.set(TAG_SNAPSHOT_NAME, csi_name);
    of_class(tags, policy, csi_name, parameters)
}

/// The tags of each snapshot of a new group, by the same rules. `attempt` tells one CreateSnapshots from another.
///
/// # Errors
/// The first tag that is refused.
pub fn of_group(
    policy: &TagPolicy,
    csi_name: &str,
    attempt: &str,
    parameters: &SnapshotParameters,
) -> Result<Tags, TagError> {
    let mut tags = Tags::default();
    tags.set(TAG_GROUP_NAME, csi_name);
    tags.set(TAG_GROUP_ATTEMPT, attempt);
    of_class(tags, policy, csi_name, parameters)
}

fn of_class(
    mut tags: Tags,
    policy: &TagPolicy,
    csi_name: &str,
    parameters: &SnapshotParameters,
) -> Result<Tags, TagError> {
    tags.set(TAG_MANAGED, "true");
    if let Some(id) = &policy.cluster_id {
        tags.set_cluster(id, csi_name);
    }
    for (key, value) in &policy.extra {
        tags.set(key, value);
    }
    let fields = BTreeMap::from([
        ("VolumeSnapshotName", parameters.snapshot_name.as_str()),
        ("VolumeSnapshotNamespace", parameters.snapshot_namespace.as_str()),
        ("VolumeSnapshotContentName", parameters.content_name.as_str()),
        ("VolumeGroupSnapshotName", parameters.group_name.as_str()),
        (
            "VolumeGroupSnapshotNamespace",
            parameters.group_namespace.as_str(),
        ),
        (
            "VolumeGroupSnapshotContentName",
            parameters.group_content_name.as_str(),
        ),
    ]);
    for specification in &parameters.tag_specifications {
        let tag = split(specification).and_then(|(key, value)| evaluated(key, value, &fields));
        tags.accept(tag, policy.invalid)?;
    }
    Ok(tags)
}

#[cfg(test)]
mod tests;
