//! Parameters of classes.

use std::collections::BTreeMap;

use super::Refusal;

/// What Kubernetes' sidecars add; without effect.
const OF_KUBERNETES: &str = "csi.storage.k8s.io/";
/// Whether the volume has all its space at once.
const ALLOCATION: &str = "allocation";
/// Any words.
const COMMENT: &str = "comment";
/// The most characters of a comment.
const LONGEST_COMMENT: usize = 128;

/// Checks what a StorageClass, a VolumeSnapshotClass or a VolumeGroupSnapshotClass says: this driver has no parameters.
///
/// # Errors
/// [`Refusal::Invalid`] naming the key.
pub fn check(parameters: &BTreeMap<String, String>) -> Result<(), Refusal> {
    match parameters.keys().find(|key| !key.starts_with(OF_KUBERNETES)) {
        None => Ok(()),
        Some(key) => Err(Refusal::invalid(
            "parameters",
            format!("has the unknown key {key:?}"),
        )),
    }
}

/// Checks what a VolumeAttributesClass says.
///
/// # Errors
/// [`Refusal::Invalid`] naming the key.
pub fn check_mutable(parameters: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let invalid = |problem| Err(Refusal::invalid("mutable_parameters", problem));
    for (key, value) in parameters {
        match key.as_str() {
            key if key.starts_with(OF_KUBERNETES) => {}
            ALLOCATION if !matches!(value.as_str(), "sparse" | "full") => {
                return invalid(format!("has {ALLOCATION} {value:?}: neither sparse nor full"));
            }
            COMMENT if value.chars().count() > LONGEST_COMMENT => {
                return invalid(format!(
                    "has a {COMMENT} of more than {LONGEST_COMMENT} characters"
                ));
            }
            ALLOCATION | COMMENT => {}
            key => {
                return invalid(format!(
                    "has the unknown key {key:?}; {ALLOCATION} and {COMMENT} are known"
                ));
            }
        }
    }
    Ok(())
}

/// What a volume has after it was changed so: what a change does not name stays.
#[must_use]
pub fn changed(
    now: &BTreeMap<String, String>,
    change: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let of_ours = |(key, _): &(&String, &String)| !key.starts_with(OF_KUBERNETES);
    let all = now.iter().chain(change.iter().filter(of_ours));
    all.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether a volume with these has all its space at once.
#[must_use]
pub fn is_allocated(parameters: &BTreeMap<String, String>) -> bool {
    parameters.get(ALLOCATION).is_some_and(|value| value == "full")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn unknown_keys_are_named() {
        assert_eq!(check(&map(&[("csi.storage.k8s.io/pv/name", "x")])), Ok(()));
        let refusal = check(&map(&[("type", "gp3")])).unwrap_err();
        assert_eq!(refusal.to_string(), "parameters has the unknown key \"type\"");
        let long = "é".repeat(129);
        for (pairs, says) in [
            ([("iops", "5")], "\"iops\""),
            ([("allocation", "thick")], "\"thick\""),
            ([("comment", long.as_str())], "128 characters"),
        ] {
            let refusal = check_mutable(&map(&pairs)).unwrap_err().to_string();
            assert!(
                refusal.starts_with("mutable_parameters has") && refusal.contains(says),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let now = map(&[("allocation", "full"), ("comment", "a")]);
        let change = map(&[("comment", "b"), ("csi.storage.k8s.io/pv/name", "x")]);
        let changed = changed(&now, &change);
        assert_eq!(changed, map(&[("allocation", "full"), ("comment", "b")]));
        assert!(is_allocated(&changed));
    }
}
