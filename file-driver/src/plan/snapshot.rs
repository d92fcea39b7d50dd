//! Snapshots and groups of them.

use std::collections::BTreeSet;

use super::Refusal;
use crate::folder::{Group, Id, Kind, Snapshot};

/// Whether CreateSnapshot has been done: `existing` has the name.
///
/// # Errors
/// [`Refusal::AlreadyExists`] when it is of another volume.
pub fn is_taken(existing: Option<&Snapshot>, name: &str, volume: &Id) -> Result<bool, Refusal> {
    match existing {
        None => Ok(false),
        Some(snapshot) if snapshot.record.source_volume == *volume => Ok(true),
        Some(snapshot) => {
            let (id, other) = (&snapshot.id, &snapshot.record.source_volume);
            let text = format!("{id} has the name {name:?} and is of {other}, not of {volume}");
            Err(Refusal::AlreadyExists(text))
        }
    }
}

/// Decides about DeleteSnapshot.
///
/// # Errors
/// [`Refusal::Invalid`] for a member of a group, which CSI deletes with its group.
pub fn delete(snapshot: &Snapshot) -> Result<(), Refusal> {
    match &snapshot.group {
        None => Ok(()),
        Some(group) => Err(Refusal::invalid(
            "snapshot_id",
            format!(
                "{} is of the group {group}: delete that with DeleteVolumeGroupSnapshot",
                snapshot.id
            ),
        )),
    }
}

/// The volumes of a group, each named once.
///
/// # Errors
/// [`Refusal::Invalid`] when none is named or one twice, [`Refusal::NotFound`] for what is no ID.
pub fn volumes_of_group(texts: &[String]) -> Result<BTreeSet<Id>, Refusal> {
    const FIELD: &str = "source_volume_ids";
    if texts.is_empty() {
        return Err(Refusal::invalid(FIELD, "is missing"));
    }
    let mut ids = BTreeSet::new();
    for text in texts {
        let id = Id::parse(Kind::Volume, super::required(text, FIELD)?);
        let id = id.ok_or_else(|| Refusal::not_found("volume", text))?;
        if !ids.insert(id) {
            return Err(Refusal::invalid(FIELD, format!("names {text} twice")));
        }
    }
    Ok(ids)
}

/// Whether CreateVolumeGroupSnapshot has been done: `existing` has the name.
///
/// # Errors
/// [`Refusal::AlreadyExists`] when it is of other volumes.
pub fn is_group_taken(existing: Option<&Group>, name: &str, volumes: &BTreeSet<Id>) -> Result<bool, Refusal> {
    let Some(group) = existing else {
        return Ok(false);
    };
    let of_group: BTreeSet<&Id> = group
        .members
        .iter()
        .map(|member| &member.record.source_volume)
        .collect();
    if of_group.into_iter().eq(volumes) {
        return Ok(true);
    }
    let text = format!("{} has the name {name:?} and is of other volumes", group.id);
    Err(Refusal::AlreadyExists(text))
}

/// Refuses a list of members that is not that of the group; an empty one says nothing.
///
/// # Errors
/// [`Refusal::Invalid`] naming the first that differs.
pub fn check_members(group: &Group, listed: &[String]) -> Result<(), Refusal> {
    const FIELD: &str = "snapshot_ids";
    if listed.is_empty() {
        return Ok(());
    }
    let members: BTreeSet<&str> = group.members.iter().map(|member| member.id.as_str()).collect();
    let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    if let Some(foreign) = listed.difference(&members).next() {
        let text = format!("has {foreign}, which is not of the group {}", group.id);
        return Err(Refusal::invalid(FIELD, text));
    }
    if let Some(missing) = members.difference(&listed).next() {
        let text = format!("lacks {missing}, which is of the group {}", group.id);
        return Err(Refusal::invalid(FIELD, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::folder::{GroupRecord, SnapshotRecord};

    fn volume(name: &str) -> Id {
        Id::named(Kind::Volume, name)
    }

    fn snapshot(of: &str, group: Option<Id>) -> Snapshot {
        Snapshot {
            id: Id::named(Kind::Snapshot, of),
            record: SnapshotRecord {
                name: "s".to_owned(),
                source_volume: volume(of),
                created: Timestamp::UNIX_EPOCH,
            },
            group,
            data: "data".into(),
            bytes: 1,
        }
    }

    fn group(of: &[&str]) -> Group {
        let id = Id::named(Kind::Group, "g");
        Group {
            record: GroupRecord {
                name: "g".to_owned(),
                created: Timestamp::UNIX_EPOCH,
            },
            members: of.iter().map(|of| snapshot(of, Some(id.clone()))).collect(),
            id,
        }
    }

    #[test]
    fn a_name_is_given_once() {
        let existing = snapshot("v", None);
        assert_eq!(is_taken(None, "s", &volume("v")), Ok(false));
        assert_eq!(is_taken(Some(&existing), "s", &volume("v")), Ok(true));
        let refusal = is_taken(Some(&existing), "s", &volume("w"));
        assert!(matches!(refusal, Err(Refusal::AlreadyExists(_))));

        let ids = |of: &[&str]| of.iter().map(|name| volume(name)).collect::<BTreeSet<Id>>();
        let existing = group(&["v", "w"]);
        assert_eq!(is_group_taken(None, "g", &ids(&["v"])), Ok(false));
        assert_eq!(is_group_taken(Some(&existing), "g", &ids(&["w", "v"])), Ok(true));
        for other in [&["v"][..], &["v", "x"], &["v", "w", "x"]] {
            let refusal = is_group_taken(Some(&existing), "g", &ids(other));
            assert!(matches!(refusal, Err(Refusal::AlreadyExists(_))), "{other:?}");
        }
    }

    #[test]
    fn a_member_goes_with_its_group() {
        assert_eq!(delete(&snapshot("v", None)), Ok(()));
        let refusal = delete(&group(&["v"]).members[0]).unwrap_err().to_string();
        assert!(refusal.contains("DeleteVolumeGroupSnapshot"), "{refusal}");
    }

    #[test]
    fn each_volume_of_a_group_is_named_once() {
        let text = |name: &str| volume(name).to_string();
        assert_eq!(volumes_of_group(&[text("v"), text("w")]).unwrap().len(), 2);
        for (texts, says) in [
            (vec![], "source_volume_ids is missing"),
            (vec![String::new()], "source_volume_ids is missing"),
            (vec![text("v"), text("v")], "twice"),
            (vec!["../v".to_owned()], "there is no volume \"../v\""),
        ] {
            let refusal = volumes_of_group(&texts).unwrap_err().to_string();
            assert!(refusal.contains(says), "{refusal}");
        }
    }

    #[test]
    fn a_list_of_members_is_that_of_the_group() {
        let group = group(&["v", "w"]);
        let of = |names: &[&str]| -> Vec<String> {
            let id = |name: &&str| Id::named(Kind::Snapshot, name).to_string();
            names.iter().map(id).collect()
        };
        assert_eq!(check_members(&group, &[]), Ok(()));
        assert_eq!(check_members(&group, &of(&["w", "v"])), Ok(()));
        for (listed, says) in [(of(&["v"]), "lacks"), (of(&["v", "w", "x"]), "not of the group")] {
            let refusal = check_members(&group, &listed).unwrap_err().to_string();
            assert!(
                refusal.starts_with("snapshot_ids") && refusal.contains(says),
                "{refusal}"
            );
        }
    }
}
