//! Tags that a change of a volume sets and removes. Source: spec 2.2, 2.6.

use std::collections::{BTreeMap, BTreeSet};

use super::{TagError, claim_fields, evaluated, is_reserved, split};
use crate::names::{TAG_AUTO_IOPS, TAG_IOPS_PER_GIB};
use crate::parameters::ChangeParameters;

/// What becomes of the tags of a volume. What is removed goes first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TagChange {
    /// By key.
    pub set: BTreeMap<String, String>,
    /// Keys.
    pub removed: BTreeSet<String>,
}

impl TagChange {
    /// Nothing is set and nothing removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }
}

/// The tags of a change. No flag makes a wrong one a warning: the class must be mended.
///
/// # Errors
/// The first tag that is refused.
pub fn of_change(parameters: &ChangeParameters) -> Result<TagChange, TagError> {
    let mut change = TagChange::default();
    let mutable = &parameters.mutable;
    if let Some(ratio) = mutable.iops_per_gib {
        change.set.insert(TAG_IOPS_PER_GIB.to_owned(), ratio.to_string());
    }
    if let Some(auto) = mutable.auto_iops_on_modify {
        change.set.insert(TAG_AUTO_IOPS.to_owned(), auto.to_string());
    }
    let fields = claim_fields(&parameters.metadata);
    for specification in &mutable.tag_specifications {
        let (key, value) = split(specification).and_then(|(key, value)| evaluated(key, value, &fields))?;
        change.set.insert(key, value);
    }
    for key in &parameters.tag_deletions {
        if key.is_empty() {
            return Err(TagError::NoKey);
        }
        if is_reserved(key) {
            return Err(TagError::Reserved(key.clone()));
        }
        change.removed.insert(key.clone());
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(pairs: &[(&str, &str)]) -> Result<TagChange, TagError> {
        let owned = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        of_change(&ChangeParameters::parse(&owned.collect()).unwrap())
    }

    #[test]
    fn tags_are_templated_and_those_of_the_driver_follow_the_ratio() {
        let found = change(&[
            ("csi.storage.k8s.io/pvc/namespace", "shop"),
            ("tagSpecification_1", "team={{ .PVCNamespace | toUpper }}"),
            ("tagDeletion_1", "old"),
            ("iopspergb", "5"),
            ("allowautoiopsincreaseonmodify", "true"),
        ])
        .unwrap();
        let set: Vec<(&str, &str)> = found
            .set
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            set,
            [(TAG_AUTO_IOPS, "true"), (TAG_IOPS_PER_GIB, "5"), ("team", "SHOP")]
        );
        assert!(found.removed.contains("old"));
    }

    #[test]
    fn ebs_case_98_reserved_and_broken_tags_of_a_change_are_refused() {
        for (key, value) in [
            ("tagSpecification_1", "abc"),
            ("tagSpecification_1", "kubernetes.io/x=1"),
            ("tagSpecification_1", "a={{ .Nope }}"),
            ("tagDeletion_1", "CSIVolumeName"),
            ("tagDeletion_1", "ebs.csi.aws.com/cluster"),
            ("tagDeletion_1", ""),
        ] {
            assert!(change(&[(key, value)]).is_err(), "{key}={value}");
        }
    }
}
