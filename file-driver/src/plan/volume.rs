//! Making, publishing, growing and deleting volumes.

use std::collections::BTreeMap;

use super::size::{self, Range};
use super::{Refusal, parameters};
use crate::folder::{Source, Volume, VolumeRecord};

/// What CreateVolume asks for, checked.
#[derive(Clone, Debug)]
pub struct NewVolume {
    /// The name.
    pub name: String,
    /// Sizes.
    pub range: Range,
    /// What it begins with.
    pub source: Option<Source>,
    /// Mutable parameters.
    pub mutable: BTreeMap<String, String>,
}

/// What is to be done for CreateVolume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Create {
    /// Nothing: it is there.
    Nothing,
    /// Make a volume of so many bytes.
    Make(VolumeRecord, u64),
}

/// Decides about CreateVolume: `existing` has the name, `source_bytes` is the size of what it is made from, `free_bytes`
/// what the driver may still give.
///
/// # Errors
/// [`Refusal::AlreadyExists`], [`Refusal::OutOfRange`], [`Refusal::Exhausted`].
pub fn create(
    ask: NewVolume,
    existing: Option<&Volume>,
    source_bytes: Option<u64>,
    free_bytes: u64,
) -> Result<Create, Refusal> {
    if let Some(existing) = existing {
        let differs = |what: &str| {
            let text = format!("{} has the name {:?} and {what}", existing.id, ask.name);
            Err(Refusal::AlreadyExists(text))
        };
        let bytes = existing.bytes.unwrap_or_default();
        if !ask.range.holds(bytes) {
            return differs(&format!("has {bytes} bytes, which is not what is asked for"));
        }
        if existing.record.source != ask.source {
            return differs("was not made from the same source");
        }
        return Ok(Create::Nothing);
    }
    let bytes = size::of_new(&ask.range, source_bytes)?;
    check_room(bytes, free_bytes)?;
    let record = VolumeRecord {
        name: ask.name,
        source: ask.source,
        mutable: parameters::changed(&BTreeMap::new(), &ask.mutable),
        published: BTreeMap::new(),
    };
    Ok(Create::Make(record, bytes))
}

/// Refuses what there is no room for.
///
/// # Errors
/// [`Refusal::Exhausted`].
pub fn check_room(bytes: u64, free_bytes: u64) -> Result<(), Refusal> {
    if bytes > free_bytes {
        return Err(Refusal::Exhausted(format!(
            "{bytes} bytes are asked for, and {free_bytes} of --capacity-gib are left"
        )));
    }
    Ok(())
}

/// Decides about ControllerPublishVolume to this node: the record to write, or none where it is published so. `others` is
/// the number of other volumes that are published to it, `most` how many may be (0: any number).
///
/// # Errors
/// [`Refusal::AlreadyExists`], [`Refusal::Exhausted`].
pub fn publish(
    volume: &Volume,
    node: &str,
    is_read_only: bool,
    others: usize,
    most: u32,
) -> Result<Option<VolumeRecord>, Refusal> {
    match volume.record.published.get(node) {
        Some(was_read_only) if *was_read_only == is_read_only => return Ok(None),
        Some(was_read_only) => {
            let how = if *was_read_only {
                "read-only"
            } else {
                "to be written"
            };
            let text = format!("{} is published to {node} {how}; unpublish it first", volume.id);
            return Err(Refusal::AlreadyExists(text));
        }
        None => {}
    }
    if most > 0 && others >= most as usize {
        let text = format!("{node} has {others} volumes, and may have {most} (--max-volumes-per-node)");
        return Err(Refusal::Exhausted(text));
    }
    let mut record = volume.record.clone();
    record.published.insert(node.to_owned(), is_read_only);
    Ok(Some(record))
}

/// Decides about ControllerUnpublishVolume; an empty node means all.
#[must_use]
pub fn unpublish(volume: &Volume, node: &str) -> Option<VolumeRecord> {
    let mut record = volume.record.clone();
    record
        .published
        .retain(|known, _| !node.is_empty() && known != node);
    (record != volume.record).then_some(record)
}

/// Decides about DeleteVolume of a volume that is there; `is_attached` says whether this node has a device of it.
///
/// # Errors
/// [`Refusal::Precondition`].
pub fn delete(volume: &Volume, is_attached: bool) -> Result<(), Refusal> {
    let nodes: Vec<&String> = volume.record.published.keys().collect();
    if let [node, ..] = nodes.as_slice() {
        let text = format!("{} is published to {node}; unpublish it first", volume.id);
        return Err(Refusal::Precondition(text));
    }
    if is_attached {
        let text = format!("{} is staged or published on this node", volume.id);
        return Err(Refusal::Precondition(text));
    }
    Ok(())
}

/// Decides about ControllerExpandVolume: the bytes that it is to have. `grows_in_use` and `grows_unused` are the
/// capabilities ONLINE and OFFLINE.
///
/// # Errors
/// [`Refusal::OutOfRange`], [`Refusal::Exhausted`], [`Refusal::Precondition`].
pub fn expand(
    volume: &Volume,
    range: &Range,
    is_in_use: bool,
    (grows_in_use, grows_unused): (bool, bool),
    free_bytes: u64,
) -> Result<u64, Refusal> {
    let now = volume.bytes.unwrap_or_default();
    let bytes = size::of_grown(range, now)?;
    if bytes > now {
        check_room(bytes - now, free_bytes)?;
        let text = match (is_in_use, grows_in_use, grows_unused) {
            (true, false, _) => "is in use, and this driver lacks ONLINE expansion: unpublish it first",
            (false, _, false) => "is not in use, and this driver lacks OFFLINE expansion: publish it first",
            _ => return Ok(bytes),
        };
        return Err(Refusal::Precondition(format!("{} {text}", volume.id)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::{Id, Kind};

    fn volume(bytes: u64) -> Volume {
        Volume {
            id: Id::named(Kind::Volume, "v"),
            record: VolumeRecord {
                name: "v".to_owned(),
                source: None,
                mutable: BTreeMap::new(),
                published: BTreeMap::new(),
            },
            data: "data".into(),
            bytes: Some(bytes),
        }
    }

    fn ask(required: u64, limit: Option<u64>, source: Option<Source>) -> NewVolume {
        NewVolume {
            name: "v".to_owned(),
            range: Range { required, limit },
            source,
            mutable: BTreeMap::new(),
        }
    }

    #[test]
    fn a_name_is_given_once() {
        let existing = volume(1 << 20);
        let source = Some(Source::Volume(Id::named(Kind::Volume, "w")));
        let rows = [
            (ask(1 << 20, None, None), Ok(Create::Nothing)),
            (ask(0, None, None), Ok(Create::Nothing)),
            (ask(1 << 19, Some(1 << 21), None), Ok(Create::Nothing)),
            (ask(1 << 21, None, None), Err("bytes")),
            (ask(0, Some(1 << 19), None), Err("bytes")),
            (ask(1 << 20, None, source), Err("source")),
        ];
        for (ask, expected) in rows {
            let outcome = create(ask.clone(), Some(&existing), None, 0);
            match (outcome, expected) {
                (Ok(outcome), Ok(expected)) => assert_eq!(outcome, expected, "{ask:?}"),
                (Err(Refusal::AlreadyExists(text)), Err(says)) => assert!(text.contains(says), "{text}"),
                other => panic!("{ask:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_not_made() {
        let made = create(ask(1 << 20, None, None), None, None, 1 << 20).unwrap();
        assert!(matches!(made, Create::Make(_, bytes) if bytes == 1 << 20));
        let refusal = create(ask(1 << 20, None, None), None, None, (1 << 20) - 1);
        assert!(matches!(refusal, Err(Refusal::Exhausted(_))));
    }

    #[test]
    fn a_volume_is_published_once_and_in_one_way() {
        let mut volume = volume(1);
        let record = publish(&volume, "n", true, 0, 1).unwrap().unwrap();
        volume.record = record;
        assert_eq!(publish(&volume, "n", true, 9, 1), Ok(None));
        assert!(matches!(
            publish(&volume, "n", false, 0, 0),
            Err(Refusal::AlreadyExists(_))
        ));
        assert!(matches!(
            publish(&volume, "m", false, 1, 1),
            Err(Refusal::Exhausted(_))
        ));
        assert!(matches!(delete(&volume, false), Err(Refusal::Precondition(_))));
        assert_eq!(unpublish(&volume, "m"), None);
        for node in ["n", ""] {
            volume.record.published.insert("n".to_owned(), true);
            volume.record = unpublish(&volume, node).unwrap();
            assert!(volume.record.published.is_empty());
        }
        assert_eq!(delete(&volume, false), Ok(()));
        assert!(matches!(delete(&volume, true), Err(Refusal::Precondition(_))));
    }

    #[test]
    fn a_volume_grows_where_the_driver_can() {
        let (volume, larger) = (
            volume(1 << 20),
            Range {
                required: 2 << 20,
                limit: None,
            },
        );
        let rows = [
            (true, (true, true), 1 << 20, Ok(2 << 20)),
            (false, (true, true), 1 << 20, Ok(2 << 20)),
            (true, (false, true), 1 << 20, Err("ONLINE")),
            (false, (true, false), 1 << 20, Err("OFFLINE")),
            (true, (true, true), 1 << 19, Err("--capacity-gib")),
        ];
        for (is_in_use, ways, free, expected) in rows {
            let outcome = expand(&volume, &larger, is_in_use, ways, free);
            match (outcome, expected) {
                (Ok(bytes), Ok(expected)) => assert_eq!(bytes, expected),
                (Err(refusal), Err(says)) => assert!(refusal.to_string().contains(says), "{refusal}"),
                other => panic!("{is_in_use} {ways:?}: {other:?}"),
            }
        }
        let there = Range {
            required: 1 << 20,
            limit: None,
        };
        assert_eq!(expand(&volume, &there, true, (false, false), 0), Ok(1 << 20));
    }
}
